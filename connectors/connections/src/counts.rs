//! What is counted of connections.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, core::Collector};

/// See the module.
pub struct Counts {
    /// Calls, by provider and outcome.
    pub calls: IntCounterVec,
    /// Connections that are looked at, by provider and how they are.
    pub health: IntGaugeVec,
    /// What backfills and reconciliations fed in, by provider.
    pub fed: IntCounterVec,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help);
        Ok(Counts {
            calls: IntCounterVec::new(
                opts("nexus_connection_calls_total", "Calls made for connections' own sake."),
                &["provider", "outcome"],
            )?,
            health: IntGaugeVec::new(opts("nexus_connections", "Connections by health."), &["provider", "status"])?,
            fed: IntCounterVec::new(
                opts("nexus_reconciled_total", "Records that were found by asking and fed in."),
                &["provider"],
            )?,
        })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.calls.clone()), Box::new(self.health.clone()), Box::new(self.fed.clone())]
    }
}
