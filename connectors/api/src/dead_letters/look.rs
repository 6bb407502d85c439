//! Goes through the dead letters that there are, oldest first in each partition.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use pipeline::{
    event::DeadLetter,
    ports::{Log, LogError, Reader, Record, Start, Visibility},
    topics::Topic,
};

/// Letters of one page take no more than this, as they are stored; a larger
/// one has a page for itself.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// For one page not more than this is looked at, so that a filter that fits
/// nothing has an answer soon. It then says where to go on.
const LOOKED_AT_BYTES_MAX: usize = 256 << 20;
/// Records that are read at once. One may be many megabytes.
const RECORDS_AT_ONCE: usize = 1;

/// A place among the letters, as text `partition.offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    partition: u32,
    offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.partition, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (partition, offset) = text.split_once('.').unwrap_or((text, ""));
        Ok(Cursor { partition: partition.parse()?, offset: offset.parse()? })
    }
}

/// Some letters, and where there may be more.
#[derive(Debug, Default)]
pub struct Page {
    /// The letters; there may be none, and more behind them nevertheless.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; nothing behind the last.
    pub next: Option<Cursor>,
}

/// The letters from a place on that `wanted` picks, at most `letters_max`.
pub async fn page(
    log: &dyn Log,
    from: Cursor,
    letters_max: usize,
    wanted: impl Fn(&DeadLetter) -> bool,
) -> Result<Page, LogError> {
    let mut look = Look::begin(log, from).await?;
    let mut page = Page::default();
    let (mut page_bytes, mut looked_at_bytes) = (0, 0);
    while let Some(found) = look.next().await? {
        looked_at_bytes += found.bytes;
        if let Some(letter) = found.letter.filter(&wanted) {
            let has_room = page.letters.len() < letters_max && page_bytes + found.bytes <= PAGE_BYTES_MAX;
            if !has_room && !page.letters.is_empty() {
                page.next = Some(found.at);
                return Ok(page);
            }
            page_bytes += found.bytes;
            page.letters.push(letter);
        }
        if looked_at_bytes > LOOKED_AT_BYTES_MAX {
            page.next = Some(look.at);
            return Ok(page);
        }
    }
    Ok(page)
}

/// The letter of this id.
pub async fn find(log: &dyn Log, id: &str) -> Result<Option<DeadLetter>, LogError> {
    let mut look = Look::begin(log, Cursor::default()).await?;
    while let Some(found) = look.next().await? {
        if let Some(letter) = found.letter.filter(|letter| letter.id == id) {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

/// A record of the topic.
pub(super) struct Found {
    at: Cursor,
    bytes: usize,
    /// Nothing where somebody wrote what is no letter.
    pub(super) letter: Option<DeadLetter>,
}

/// A look through what there was when it began.
pub(super) struct Look<'a> {
    log: &'a dyn Log,
    /// For each partition, the offset behind its last letter at the beginning.
    ends: Vec<u64>,
    /// What is read next.
    at: Cursor,
    reader: Option<Box<dyn Reader>>,
}

impl<'a> Look<'a> {
    pub(super) async fn begin(log: &'a dyn Log, from: Cursor) -> Result<Look<'a>, LogError> {
        let mut ends = vec![0; log.partitions() as usize];
        for lag in log.lag("", &[Topic::DeadLetters]).await? {
            if let Some(end) = ends.get_mut(lag.partition as usize) {
                *end = lag.end_offset;
            }
        }
        Ok(Look { log, ends, at: from, reader: None })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Found>, LogError> {
        while let Some(end) = self.ends.get(self.at.partition as usize).copied() {
            if self.at.offset < end
                && let Some(record) = self.read().await?.filter(|record| record.position.offset < end)
            {
                let at = Cursor { offset: record.position.offset, ..self.at };
                self.at.offset = at.offset + 1;
                let value = record.value.as_deref();
                let letter = value.and_then(|value| serde_json::from_slice(value).ok());
                let bytes = record.key.len() + record.value.as_ref().map_or(0, Bytes::len);
                return Ok(Some(Found { at, bytes, letter }));
            }
            self.reader = None;
            self.at = Cursor { partition: self.at.partition + 1, offset: 0 };
        }
        Ok(None)
    }

    /// The next record of this partition that is still kept.
    async fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            let Cursor { partition, offset } = self.at;
            let from = if offset == 0 { Start::Oldest } else { Start::Offset(offset) };
            let read = match &mut self.reader {
                Some(reader) => reader.ready(RECORDS_AT_ONCE).await,
                None => match self.log.read(Topic::DeadLetters, partition, from, Visibility::Durable).await {
                    Ok(reader) => self.reader.insert(reader).ready(RECORDS_AT_ONCE).await,
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok(records) => return Ok(records.into_iter().next()),
                // Retention was faster; what it left is looked at.
                Err(LogError::Gone { first, .. }) if first > offset => {
                    self.at.offset = first;
                    self.reader = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_it_says() {
        let cursor = Cursor { partition: 7, offset: 1 << 40 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "7", ".", "7.", ".1", "7.1.2", "-1.1", "7.x", "dl_7"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
