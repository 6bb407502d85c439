//! A place in the journal: reads one lane, or several in the journal's order,
//! from memory where it keeps up and from the disk where it is behind.

use std::{collections::VecDeque, io, sync::Arc};

use bytes::Bytes;
use pipeline::ports::{LogError, Record};

use super::{
    disk::{DiskFile, unavailable},
    frame::{Head, Lane, Stored, records},
    segment::{Trailer, corrupt, name_of, open_sealed, read_frames},
    shared::Shared,
    tail::{Found, Want},
};

/// How often a segment may be replaced while it is being opened; more often
/// would mean that files vanish that nobody removed.
const REOPENS_MAX: usize = 16;

#[derive(Clone)]
struct Place {
    file: Arc<dyn DiskFile>,
    first_seq: u64,
    position: u64,
    /// Where the frames end, once the segment is sealed.
    end: Option<u64>,
}

/// What a step gave.
pub(super) enum Step {
    Records(Vec<Record>),
    /// All that may be seen was read.
    Nothing,
    /// What comes next must be read from the disk first.
    Behind,
}

#[derive(Clone)]
pub(super) struct Cursor {
    shared: Arc<Shared>,
    wants: Vec<Want>,
    early: bool,
    place: Option<Place>,
    /// Records that were read from the disk and not asked for yet.
    ahead: VecDeque<Record>,
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, wants: Vec<Want>, early: bool) -> Self {
        Cursor { shared, wants, early, place: None, ahead: VecDeque::new() }
    }

    /// The offset after the last record that was found in the first lane.
    pub(super) fn next(&self) -> u64 {
        self.wants[0].next
    }

    /// The oldest offset of a lane that can be read.
    pub(super) fn first(shared: &Shared, lane: Lane) -> u64 {
        // Memory first: what it lets go meanwhile is then on the disk.
        let in_memory = shared.order.lock().tail.first(lane);
        shared.segments().first(lane).unwrap_or(in_memory)
    }

    /// The next records, without waiting and without touching the disk.
    pub(super) fn step(&mut self, records_max: usize) -> Result<Step, LogError> {
        if !self.ahead.is_empty() {
            let upto = records_max.min(self.ahead.len());
            return Ok(Step::Records(self.ahead.drain(..upto).collect()));
        }
        let found = {
            let state = self.shared.order.lock();
            state.condition.check_read()?;
            state.tail.read(&mut self.wants, records_max, state.durable_seq, self.early)
        };
        Ok(match found {
            Found::Behind => Step::Behind,
            Found::Nothing => Step::Nothing,
            Found::Records(found) => {
                self.place = None;
                let decode = |(payload, start): (Bytes, u32)| Stored::at(&payload, start as usize)?.record(&payload);
                Step::Records(found.into_iter().filter_map(decode).collect())
            }
        })
    }

    /// Reads on from the disk until there are records for the next step, or
    /// nothing there that is not in memory. Blocks.
    pub(super) fn read_disk(&mut self) -> Result<(), LogError> {
        let floors: Vec<u64> = {
            let state = self.shared.order.lock();
            self.wants.iter().map(|want| state.tail.first(want.lane)).collect()
        };
        for (want, floor) in self.wants.iter_mut().zip(&floors).filter(|(want, floor)| want.next < **floor) {
            let first = self.shared.segments().first(want.lane);
            want.next = want.next.max(first.unwrap_or(*floor));
        }
        while self.ahead.is_empty() && self.wants.iter().zip(&floors).any(|(want, floor)| want.next < *floor) {
            let place = match self.place.take() {
                Some(place) => Some(place),
                None => self.find(&floors)?,
            };
            // Nothing of what is asked for is on the disk any more.
            let Some(mut place) = place else {
                for (want, floor) in self.wants.iter_mut().zip(&floors) {
                    want.next = want.next.max(*floor);
                }
                return Ok(());
            };
            if self.read_chunk(&mut place)? {
                self.place = Some(place);
            }
        }
        Ok(())
    }

    /// The oldest place that has something that is wanted and not in memory.
    fn find(&self, floors: &[u64]) -> Result<Option<Place>, LogError> {
        for _ in 0..REOPENS_MAX {
            let (first_seq, position) = {
                let segments = self.shared.segments();
                let has_any = |last: &dyn Fn(Lane) -> Option<u64>| {
                    let mut wants = self.wants.iter().zip(floors).filter(|(want, floor)| want.next < **floor);
                    wants.any(|(want, _)| last(want.lane).is_some_and(|last| last >= want.next))
                };
                let sealed = segments
                    .sealed
                    .iter()
                    .find(|sealed| has_any(&|lane| sealed.spans.get(&lane).map(|span| span.last)));
                match sealed {
                    Some(sealed) => (sealed.first_seq, None),
                    None if has_any(&|lane| segments.active.spans.get(&lane).map(|span| span.last)) => {
                        let wants = self.wants.iter();
                        let positions = wants.filter_map(|want| segments.active.position_of(want.lane, want.next));
                        let Some(position) = positions.min().filter(|position| *position < segments.readable) else {
                            return Ok(None);
                        };
                        (segments.active_seq, Some(position))
                    }
                    None => return Ok(None),
                }
            };
            let name = name_of(first_seq);
            let opened = match position {
                Some(position) => {
                    self.shared.disk.open(&name).map(|file| Place { file, first_seq, position, end: None })
                }
                None => match self.place_in_sealed(first_seq, &name) {
                    Ok(Some(place)) => Ok(place),
                    Ok(None) => continue,
                    Err(Opening::Missing) => Err(io::ErrorKind::NotFound.into()),
                    Err(Opening::Failed(error)) => return Err(error),
                },
            };
            match opened {
                Ok(place) => return Ok(Some(place)),
                // Merged into its neighbour meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unavailable(&format!("cannot open {name}"), &error)),
            }
        }
        Err(LogError::Unavailable { detail: "segments vanish while they are being opened".into() })
    }

    fn place_in_sealed(&self, first_seq: u64, name: &str) -> Result<Option<Place>, Opening> {
        if let Err(error) = self.shared.disk.open(name)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(Opening::Missing);
        }
        let (file, trailer) = open_sealed(&*self.shared.disk, name).map_err(Opening::Failed)?;
        let index = trailer.index(&*file).map_err(|error| Opening::Failed(unavailable("cannot read", &error)))?;
        let Some((index, _)) = index else {
            return Err(Opening::Failed(corrupt(name, trailer.data_end, "its index is damaged")));
        };
        let positions = self.wants.iter().filter_map(|want| index.position_of(want.lane, want.next));
        let place = |position| Place { file, first_seq, position, end: Some(trailer.data_end) };
        Ok(positions.min().map(place))
    }

    /// Reads on in a segment; false at its end.
    fn read_chunk(&mut self, place: &mut Place) -> Result<bool, LogError> {
        let limit = self.limit(place)?;
        if place.position >= limit {
            return Ok(false);
        }
        let name = name_of(place.first_seq);
        let mut taken = |_: Head, payload: &Bytes| take(&mut self.wants, &mut self.ahead, payload);
        place.position = read_frames(&*place.file, &name, self.shared.salt, place.position, limit, &mut taken)?;
        Ok(true)
    }

    fn limit(&self, place: &mut Place) -> Result<u64, LogError> {
        if let Some(end) = place.end {
            return Ok(end);
        }
        {
            let segments = self.shared.segments();
            if segments.active_seq == place.first_seq {
                return Ok(segments.readable);
            }
        }
        let name = name_of(place.first_seq);
        let trailer = Trailer::read(&*place.file).map_err(|error| unavailable("cannot read a segment", &error))?;
        let trailer = trailer.ok_or_else(|| corrupt(&name, place.position, "its footer is damaged"))?;
        place.end = Some(trailer.data_end);
        Ok(trailer.data_end)
    }
}

/// Sets aside what is wanted of a frame.
fn take(wants: &mut [Want], ahead: &mut VecDeque<Record>, payload: &Bytes) {
    for stored in records(payload) {
        let want = wants.iter_mut().find(|want| want.lane == stored.lane && want.next <= stored.offset);
        if let Some(want) = want {
            want.next = stored.offset + 1;
            ahead.extend(stored.record(payload));
        }
    }
}

enum Opening {
    Missing,
    Failed(LogError),
}
