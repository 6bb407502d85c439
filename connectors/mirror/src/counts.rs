//! What is counted of the mirror.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector};
use providers::{
    client::{CallObserver, ProviderError, Request},
    provider::Boxed,
};

use super::perform::word;

/// See the module.
pub struct Counts {
    /// Commands that were read and have not ended, by where they are: `waiting`
    /// for their turn, `running`, `parked` in the log.
    pub queue: IntGaugeVec,
    /// How old the oldest of them is.
    pub oldest_age_ms: IntGauge,
    /// How often a job had to wait, by provider and for what.
    pub waits: IntCounterVec,
    /// Calls, by provider and outcome.
    pub calls: IntCounterVec,
    /// Ends of commands, by provider and stage or code.
    pub ends: IntCounterVec,
    /// Searches for what may have landed, by provider and what they found.
    pub searches: IntCounterVec,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let counter = |name: &str, help: &str, second| IntCounterVec::new(Opts::new(name, help), &["provider", second]);
        Ok(Counts {
            queue: IntGaugeVec::new(Opts::new("nexus_mirror_commands", "Commands that have not ended."), &["where"])?,
            oldest_age_ms: IntGauge::new("nexus_mirror_oldest_age_ms", "Age of the oldest command in hand.")?,
            waits: counter("nexus_mirror_waits_total", "Times that a command had to wait.", "why")?,
            calls: counter("nexus_mirror_calls_total", "Calls to providers.", "outcome")?,
            ends: counter("nexus_mirror_ends_total", "Commands that ended.", "how")?,
            searches: counter("nexus_mirror_searches_total", "Searches for what may have landed.", "found")?,
        })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.queue.clone()),
            Box::new(self.oldest_age_ms.clone()),
            Box::new(self.waits.clone()),
            Box::new(self.calls.clone()),
            Box::new(self.ends.clone()),
            Box::new(self.searches.clone()),
        ]
    }
}

/// Counts calls.
pub(super) struct CallCounter(pub IntCounterVec);

impl CallObserver for CallCounter {
    fn called<'a>(&'a self, _: &'a str, request: &'a Request, result: Result<(), &'a ProviderError>) -> Boxed<'a, ()> {
        let outcome = result.map_or_else(word, |()| "done");
        self.0.with_label_values(&[request.provider.name(), outcome]).inc();
        Box::pin(std::future::ready(()))
    }
}
