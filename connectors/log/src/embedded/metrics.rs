//! The metrics of the embedded log: what it says of itself, asked when somebody
//! reads them.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    IntCounter, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{Journal, Stats};

/// A collector for a registry; see the module.
pub struct JournalMetrics {
    journal: Arc<Journal>,
    values: Values,
    /// Held while the values are taken over: two at once would count what is
    /// new twice.
    updating: Mutex<()>,
}

struct Values {
    records: IntCounter,
    bytes: IntCounter,
    syncs: IntCounter,
    pending: IntGauge,
    segments: IntGauge,
    disk: IntGauge,
    epoch: IntGauge,
}

impl JournalMetrics {
    /// Reads `journal` at each scrape.
    pub fn new(journal: Arc<Journal>) -> Result<Self, prometheus::Error> {
        let values = Values {
            records: IntCounter::new(
                "nexus_journal_written_records_total",
                "Records written to the embedded log since it was opened; over the syncs, how many share one.",
            )?,
            bytes: IntCounter::new(
                "nexus_journal_written_bytes_total",
                "Bytes written to the embedded log since it was opened, frames included.",
            )?,
            syncs: IntCounter::new("nexus_journal_syncs_total", "Times the disk was made to keep what was written.")?,
            pending: IntGauge::new("nexus_journal_pending_bytes", "Bytes that wait to be durable.")?,
            segments: IntGauge::new("nexus_journal_segments", "Files of the embedded log.")?,
            disk: IntGauge::new("nexus_journal_disk_bytes", "Room that they take, reserved room included.")?,
            epoch: IntGauge::new("nexus_journal_epoch", "Times it was opened after an unclean stop.")?,
        };
        Ok(JournalMetrics { journal, values, updating: Mutex::new(()) })
    }
}

impl Values {
    fn all(&self) -> [&dyn Collector; 7] {
        [&self.records, &self.bytes, &self.syncs, &self.pending, &self.segments, &self.disk, &self.epoch]
    }

    fn update(&self, stats: &Stats, epoch: u64) {
        let counters =
            [(&self.records, stats.records_written), (&self.bytes, stats.bytes_written), (&self.syncs, stats.syncs)];
        for (counter, now) in counters {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        let gauges = [
            (&self.pending, stats.pending_bytes),
            (&self.segments, stats.segments),
            (&self.disk, stats.disk_bytes),
            (&self.epoch, epoch),
        ];
        for (gauge, now) in gauges {
            gauge.set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }
}

impl Collector for JournalMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.values.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _updating = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        self.values.update(&self.journal.stats(), self.journal.epoch());
        self.values.all().into_iter().flat_map(Collector::collect).collect()
    }
}
