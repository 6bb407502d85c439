//! The embedded journal on a disk that loses what was not synced: whatever is
//! done to it, and whenever the power goes, what was answered is there, commits
//! are there whole or not at all, and offsets have no holes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use log::embedded::{Journal, Settings, faulty::FaultyDisk};
use pipeline::{
    ports::{Batch, Log, NewRecord},
    topics::Topic,
};
use proptest::prelude::*;

use super::{entry, event, everything, session, text};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW_MS: u64 = 100 * DAY_MS;
const PARTITIONS: u32 = 2;
const KEYS: u32 = 3;
/// How many lives are lived; more find more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

/// The lanes into which every commit writes one record.
const COMMITTED: [(Topic, u32); 3] = [(Topic::Events, 0), (Topic::Events, 1), (Topic::PipelineState, 0)];

#[derive(Clone, Debug)]
enum Step {
    /// Appends so many records to a stream, and waits for the answer or not.
    Append {
        records: u32,
        waits: bool,
    },
    /// The same to a table, for one key.
    Put {
        key: u32,
        waits: bool,
    },
    /// To a stream that the next cleaning takes.
    Expiring {
        records: u32,
    },
    Commit {
        bytes: usize,
        settles: bool,
    },
    Clean,
    Crash {
        latency_us: u64,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4_u32, any::<bool>()).prop_map(|(records, waits)| Step::Append { records, waits }),
        3 => (0..KEYS, any::<bool>()).prop_map(|(key, waits)| Step::Put { key, waits }),
        2 => (1..3_u32).prop_map(|records| Step::Expiring { records }),
        4 => (0..2000_usize, any::<bool>()).prop_map(|(bytes, settles)| Step::Commit { bytes, settles }),
        1 => Just(Step::Clean),
        1 => (0..300_u64).prop_map(|latency_us| Step::Crash { latency_us }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the journal has promised.
#[derive(Default)]
struct Promised {
    appended: u32,
    answered: Vec<(u64, u32)>,
    put: u32,
    /// The newest answered number of each key.
    newest: BTreeMap<u32, u32>,
    committed: u32,
    settled: u32,
}

struct World {
    disk: FaultyDisk,
    journal: Option<Journal>,
    promised: Promised,
}

impl World {
    fn open(&mut self) -> &Journal {
        let disk = self.disk.clone();
        self.journal.get_or_insert_with(|| {
            let settings = Settings {
                partitions: PARTITIONS,
                segment_bytes: 8 << 10,
                tail_bytes_max: 4 << 10,
                clean_every: None,
                ..Settings::default()
            };
            Journal::open_on(Arc::new(disk), None, settings).expect("whatever was lost, it opens")
        })
    }

    async fn append(&mut self, records: Vec<NewRecord>, waits: bool) -> Option<u64> {
        let appending = self.open().append(records);
        if !waits {
            return None;
        }
        Some(appending.await.expect("an append")[0].offset)
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { records, waits } => {
                let first = self.promised.appended;
                self.promised.appended += records;
                let record = |number: u32| event(Topic::AgentsActions, 1, &number.to_string());
                let offset = self.append((first..first + records).map(record).collect(), waits).await;
                if let Some(offset) = offset {
                    self.promised.answered.extend((0..records).map(|at| (offset + u64::from(at), first + at)));
                }
            }
            Step::Put { key, waits } => {
                self.promised.put += 1;
                let put = self.promised.put;
                let record = entry(Topic::Presence, 1, &key.to_string(), Some(&put.to_string()));
                if self.append(vec![record], waits).await.is_some() {
                    self.promised.newest.insert(key, put);
                }
            }
            Step::Expiring { records } => {
                let record = NewRecord { at_ms: DAY_MS, ..event(Topic::Alerts, 1, "") };
                self.append(vec![record; records as usize], true).await;
            }
            Step::Commit { bytes, settles } => self.commit(bytes, settles).await,
            Step::Clean => {
                self.open().clean(NOW_MS).expect("cleaned");
            }
            Step::Crash { latency_us } => {
                self.open();
                // Something is under way when the power goes.
                self.disk.set_latency(Duration::from_micros(latency_us));
                self.commit(700, false).await;
                let number = self.promised.appended;
                self.promised.appended += 1;
                self.append(vec![event(Topic::AgentsActions, 1, &number.to_string())], false).await;
                tokio::time::sleep(Duration::from_micros(latency_us / 2)).await;
                self.disk = self.disk.crash();
                self.journal = None;
                self.check().await;
            }
            Step::Restart => {
                self.open().close().await.expect("closed");
                self.journal = None;
                self.check().await;
            }
        }
    }

    async fn commit(&mut self, bytes: usize, settles: bool) {
        let number = self.promised.committed;
        self.promised.committed += 1;
        let value = format!("{number} {}", "x".repeat(bytes));
        let output = |(topic, partition)| match topic {
            Topic::PipelineState => entry(topic, partition, &format!("acme/n/{number}"), Some(&value)),
            _ => event(topic, partition, &value),
        };
        let outputs = COMMITTED.map(output).into();
        let mut owner = session(self.open(), "pipeline", &[Topic::WebhooksRaw], 0).await;
        let batch = Batch { outputs, next_offsets: vec![(Topic::WebhooksRaw, u64::from(number) + 1)] };
        owner.session.commit(batch).await.expect("a commit");
        if settles {
            owner.session.settle().await.expect("durable");
            self.promised.settled = self.promised.committed;
        }
    }

    /// What the journal has now is what it promised, and from here on counts.
    async fn check(&mut self) {
        self.open();
        let journal = self.journal.as_ref().expect("opened");
        let promised = &mut self.promised;

        let appended = everything(journal, Topic::AgentsActions, 1).await;
        for (offset, record) in appended.iter().enumerate() {
            assert_eq!(record.position.offset, offset as u64, "offsets have no holes");
        }
        for (offset, number) in &promised.answered {
            let record = appended.get(*offset as usize);
            assert_eq!(record.map(text), Some(number.to_string()), "what was answered is where it was said to be");
        }

        for (key, number) in &promised.newest {
            let of_key = everything(journal, Topic::Presence, 1).await;
            let newest = of_key.iter().rfind(|record| record.key == key.to_string().as_bytes()).map(text);
            let newest: u32 = newest.and_then(|newest| newest.parse().ok()).expect("the key has a value");
            assert!(newest >= *number, "key {key} has {newest}, but {number} was answered");
        }

        let expiring = everything(journal, Topic::Alerts, 1).await;
        assert!(expiring.windows(2).all(|pair| pair[0].position.offset + 1 == pair[1].position.offset));

        let mut committed = Vec::new();
        for (topic, partition) in COMMITTED {
            let values = everything(journal, topic, partition).await;
            let number = |record| text(record).split(' ').next().and_then(|number| number.parse::<u32>().ok());
            committed.push(values.iter().map(|record| number(record).expect("a number")).collect::<Vec<_>>());
        }
        assert!(committed.iter().all(|numbers| *numbers == committed[0]), "commits are whole: {committed:?}");
        assert!(committed[0].is_sorted_by(|a, b| a < b));
        if let Some(settled) = promised.settled.checked_sub(1) {
            assert!(committed[0].contains(&settled), "commit {settled} was durable");
        }
        let lags = journal.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("the lag");
        assert_eq!(
            lags[0].group_offset,
            committed[0].last().map(|last| u64::from(*last) + 1),
            "progress is part of it"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_answered_is_lost(seed in any::<u64>(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World { disk: FaultyDisk::new(seed), journal: None, promised: Promised::default() };
            for step in &steps {
                world.step(step).await;
            }
            world.step(&Step::Crash { latency_us: 100 }).await;
        });
    }
}
