//! The role: what it needs, and what it counts.

use std::sync::Arc;

use pipeline::{ports::Log, retry::Policy};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, core::Collector};

use super::recall::Recall;
use runtime::{
    consumer,
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all memories.
pub const GROUP: &str = "nexus-memory";

/// What is counted.
pub struct Counts {
    /// Requests that were done, by kind; `dead` are those that never will be.
    pub done: IntCounterVec,
    /// From the request's record to where it can be found.
    pub delay: Histogram,
    /// Times that something was down, or failed.
    pub waits: IntCounter,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let delay = HistogramOpts::new("nexus_memory_delay_seconds", "From a request to where its text can be found.");
        Ok(Counts {
            done: IntCounterVec::new(Opts::new("nexus_memory_requests_total", "Requests that were done."), &["what"])?,
            delay: Histogram::with_opts(delay.buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0]))?,
            waits: IntCounter::new("nexus_memory_waits_total", "Times that the memory waited for something down.")?,
        })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.done.clone()), Box::new(self.delay.clone()), Box::new(self.waits.clone())]
    }
}

/// What the sessions work with.
pub struct Bench {
    /// The memory.
    pub recall: Arc<Recall>,
    /// How often and how patiently.
    pub policy: Policy,
    /// What is counted.
    pub counts: Counts,
}

/// What the role needs.
#[derive(Clone)]
pub struct Memory {
    /// Where requests come from and results go.
    pub log: Arc<dyn Log>,
    /// What they are done with.
    pub bench: Arc<Bench>,
}

impl Memory {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, context: RoleContext) -> Result<(), Failure> {
        if let Some(notice) = self.bench.recall.embedder.notice() {
            tracing::info!("{notice}");
        }
        consumer::run(Arc::clone(&self.log), self, context).await
    }
}
