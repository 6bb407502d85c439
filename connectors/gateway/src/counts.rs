//! What is counted of the gateway.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector};

/// See the module.
pub struct Counts {
    /// Open sockets, by transport.
    pub sockets: IntGaugeVec,
    /// Events told for the first time on a socket.
    pub delivered: IntCounter,
    /// Events told again on the same socket.
    pub redelivered: IntCounter,
    /// Sockets that the hub ended, by reason.
    pub cut: IntCounterVec,
    /// Handshakes refused, by code.
    pub refused: IntCounterVec,
    /// Scans of the past for sockets that came back.
    pub scans: IntCounter,
    /// What agents said, by the event's name.
    pub said: IntCounterVec,
    /// Records of the inbox that the slowest active socket here has not taken.
    pub lag: IntGauge,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let counters = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        Ok(Counts {
            sockets: IntGaugeVec::new(Opts::new("nexus_agent_sockets", "Open sockets of agents."), &["transport"])?,
            delivered: counter("nexus_agent_events_total", "Events told to agents.")?,
            redelivered: counter("nexus_agent_events_again_total", "Events told to agents again.")?,
            cut: counters("nexus_agent_sockets_cut_total", "Sockets that the hub ended.", "reason")?,
            refused: counters("nexus_agent_refused_total", "Handshakes of agents refused.", "code")?,
            scans: counter("nexus_agent_scans_total", "Scans of the past for agents that came back.")?,
            said: counters("nexus_agent_said_total", "What agents said.", "event")?,
            lag: IntGauge::new("nexus_agent_cursor_lag_records", "Records behind which the slowest active agent is.")?,
        })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.sockets.clone()),
            Box::new(self.delivered.clone()),
            Box::new(self.redelivered.clone()),
            Box::new(self.cut.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.scans.clone()),
            Box::new(self.said.clone()),
            Box::new(self.lag.clone()),
        ]
    }
}
