//! The stories over a real Kafka, where one is (see [`crate::kafka`] for the
//! switch). Each has topics of its own.
//!
//! What a broker has let go of cannot be asked for: it cleans by its own clock,
//! so the stories of retention and compaction end where they would ask. Nor are
//! there stories of damaged files and failing disks: those are the broker's.

use std::sync::Arc;

use log::kafka::KafkaLog;
use pipeline::{ports::Log, topics::TOPICS};

use super::{House, PARTITIONS};
use crate::kafka::Bench;

struct Broker(Bench);

impl Broker {
    /// `None`, said aloud, where Kafka is off.
    async fn find() -> Option<Broker> {
        let mut bench = Bench::new("story").await?;
        bench.settings.partitions = PARTITIONS;
        // Who joins again is taken for the same member after a restart, and
        // has all of its partitions at once: that is the newer session of the
        // stories, which fences the older one. Two names would share instead.
        bench.settings.instance_id = Some("house".to_owned());
        // The stories' records are as old as 1970.
        bench.settings.keep_days = TOPICS.iter().map(|spec| (spec.topic, u16::MAX)).collect();
        Some(Broker(bench))
    }
}

impl House for Broker {
    async fn open(&mut self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::open(self.0.settings.clone()).await.expect("the broker that NEXUS_TEST_KAFKA names"))
    }
}

super::tell!(Broker::find().await);
