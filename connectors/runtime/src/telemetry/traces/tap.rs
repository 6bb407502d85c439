//! A log that tells what passes through it. Nothing else about it is different:
//! what is tapped is handed over by reference, after the log has answered.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hashbrown::HashMap;
use pipeline::{
    ports::{
        Batch, Lag, Log, LogError, Membership, NewRecord, Pending, Position, Reader, Record, Session, Start, Visibility,
    },
    topics::Topic,
};

use super::{Tracer, build::Seen, now_ns};

/// See the module.
pub struct Tapped {
    inner: Arc<dyn Log>,
    tracer: Tracer,
}

impl Tapped {
    /// Taps a log.
    pub fn new(inner: Arc<dyn Log>, tracer: Tracer) -> Tapped {
        Tapped { inner, tracer }
    }
}

fn parent(headers: &pipeline::ports::Headers) -> Option<&[u8]> {
    headers.get("traceparent")
}

impl Log for Tapped {
    fn identity(&self) -> u64 {
        self.inner.identity()
    }

    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn append(&self, records: Vec<NewRecord>) -> Pending<'static, Vec<Position>> {
        let is_told =
            |record: &&NewRecord| record.topic == Topic::AgentsActions && self.tracer.keeps(parent(&record.headers));
        let said: Vec<_> = records.iter().filter(is_told).filter_map(|record| record.value.clone()).collect();
        let appending = self.inner.append(records);
        if said.is_empty() {
            return appending;
        }
        let tracer = self.tracer.clone();
        Box::pin(async move {
            let positions = appending.await?;
            let ended_ns = now_ns();
            said.into_iter().for_each(|value| tracer.take(Seen::Said { value, ended_ns }));
            Ok(positions)
        })
    }

    fn read(&self, topic: Topic, partition: u32, from: Start, visibility: Visibility) -> Pending<'_, Box<dyn Reader>> {
        let reading = self.inner.read(topic, partition, from, visibility);
        // The gateway's own way of reading, and nobody else's.
        if topic != Topic::AgentsInbox || visibility != Visibility::Early {
            return reading;
        }
        let tracer = self.tracer.clone();
        Box::pin(async move { Ok(Box::new(TappedReader { inner: reading.await?, tracer }) as Box<dyn Reader>) })
    }

    fn join(&self, group: &str, inputs: &[Topic]) -> Pending<'_, Box<dyn Membership>> {
        let work = match inputs {
            [Topic::MirrorCommands] => Work::Mirror,
            inputs if inputs.contains(&Topic::WebhooksRaw) => Work::Pipeline,
            _ => return self.inner.join(group, inputs),
        };
        let joining = self.inner.join(group, inputs);
        let (tracer, identity) = (self.tracer.clone(), self.identity());
        Box::pin(async move {
            Ok(Box::new(TappedMembership { inner: joining.await?, tracer, work, identity }) as Box<dyn Membership>)
        })
    }

    fn lag(&self, group: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>> {
        self.inner.lag(group, topics)
    }

    fn ready(&self) -> Result<(), LogError> {
        self.inner.ready()
    }

    fn close(&self) -> Pending<'_, ()> {
        self.inner.close()
    }
}

struct TappedReader {
    inner: Box<dyn Reader>,
    tracer: Tracer,
}

impl TappedReader {
    fn tell(tracer: &Tracer, records: &[Record]) {
        for record in records.iter().filter(|record| tracer.keeps(parent(&record.headers))) {
            tracer.take(Seen::Told { headers: record.headers.clone(), at_ns: now_ns() });
        }
    }
}

impl Reader for TappedReader {
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        let (reading, tracer) = (self.inner.next(records_max), &self.tracer);
        Box::pin(async move {
            let records = reading.await?;
            TappedReader::tell(tracer, &records);
            Ok(records)
        })
    }

    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        let (reading, tracer) = (self.inner.ready(records_max), &self.tracer);
        Box::pin(async move {
            let records = reading.await?;
            TappedReader::tell(tracer, &records);
            Ok(records)
        })
    }

    fn position(&self) -> u64 {
        self.inner.position()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Pipeline,
    Mirror,
}

struct TappedMembership {
    inner: Box<dyn Membership>,
    tracer: Tracer,
    work: Work,
    identity: u64,
}

impl Membership for TappedMembership {
    fn next(&mut self) -> Pending<'_, Box<dyn Session>> {
        let (tracer, work, identity) = (self.tracer.clone(), self.work, self.identity);
        let next = self.inner.next();
        Box::pin(async move {
            let inner = next.await?;
            let (polled_ns, causes) = Default::default();
            Ok(Box::new(TappedSession { inner, tracer, work, identity, polled_ns, causes }) as Box<dyn Session>)
        })
    }
}

struct TappedSession {
    inner: Box<dyn Session>,
    tracer: Tracer,
    work: Work,
    identity: u64,
    polled_ns: u64,
    /// The webhooks that were polled last, by their offset.
    causes: HashMap<u64, Bytes>,
}

impl TappedSession {
    fn polled(&mut self, records: &[Record]) {
        self.polled_ns = now_ns();
        self.causes.clear();
        for record in records {
            let Some(value) = &record.value else { continue };
            match record.position.topic {
                Topic::WebhooksRaw => _ = self.causes.insert(record.position.offset, value.clone()),
                Topic::MirrorCommands if self.tracer.keeps(parent(&record.headers)) => {
                    self.tracer.take(Seen::Taken { value: value.clone(), at_ns: self.polled_ns });
                }
                _ => {}
            }
        }
    }

    /// What of a batch tells of something.
    fn told(&self, outputs: &[NewRecord]) -> Vec<(Topic, Bytes)> {
        let is_told = |record: &&NewRecord| match (self.work, record.topic) {
            (Work::Pipeline, Topic::Events | Topic::MirrorCommands) => self.tracer.keeps(parent(&record.headers)),
            // A claim has no header; it is looked up by its command.
            (Work::Mirror, Topic::MirrorResults) => true,
            _ => false,
        };
        let told = outputs.iter().filter(is_told);
        told.filter_map(|record| Some((record.topic, record.value.clone()?))).collect()
    }

    fn committed(&mut self, told: Vec<(Topic, Bytes)>) {
        let (log, begun_ns, ended_ns) = (self.identity, self.polled_ns, now_ns());
        for (topic, value) in told {
            self.tracer.take(match topic {
                Topic::Events => {
                    let cause = self.causes.get(&offset_of(&value)).cloned();
                    Seen::Event { value, cause, log, begun_ns, ended_ns }
                }
                Topic::MirrorCommands => Seen::Wanted { value, begun_ns, ended_ns },
                _ => Seen::Done { value, at_ns: ended_ns },
            });
        }
    }
}

/// The offset at the end of an event: `"raw":{…,"offset":17}}`.
fn offset_of(event: &[u8]) -> u64 {
    let digits = event.iter().rev().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    let digits: Vec<u8> = digits.copied().collect();
    digits.iter().rev().fold(0u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

impl Session for TappedSession {
    fn partition(&self) -> u32 {
        self.inner.partition()
    }

    fn restore<'a>(&'a mut self, topic: Topic, each: &'a mut (dyn FnMut(Record) + Send)) -> Pending<'a, ()> {
        self.inner.restore(topic, each)
    }

    fn poll(&mut self, records_max: usize, patience: Duration) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            let records = self.inner.poll(records_max, patience).await?;
            self.polled(&records);
            Ok(records)
        })
    }

    fn commit(&mut self, batch: Batch) -> Pending<'_, ()> {
        let told = self.told(&batch.outputs);
        Box::pin(async move {
            self.inner.commit(batch).await?;
            self.committed(told);
            Ok(())
        })
    }

    fn settle(&mut self) -> Pending<'_, ()> {
        self.inner.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webhook_of_an_event_is_found_by_its_end() {
        let event = br#"{"id":"evt_1","raw":{"topic":"webhooks.raw","partition":2,"offset":1709}}"#;
        assert_eq!((offset_of(event), offset_of(b"{}")), (1_709, 0));
    }
}
