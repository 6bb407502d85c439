//! What is counted of the kill switch: asked when somebody reads it.

use std::sync::Arc;

use prometheus::{
    IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{EVERYBODY, KillSwitch};

/// See the module.
pub struct Gauges {
    kill_switch: Arc<KillSwitch>,
    stopped: IntGauge,
    lease: IntGauge,
    under_way: IntGauge,
}

impl Gauges {
    /// Of a kill switch.
    pub fn new(kill_switch: Arc<KillSwitch>) -> Result<Gauges, prometheus::Error> {
        Ok(Gauges {
            kill_switch,
            stopped: IntGauge::new("nexus_stopped_scopes", "Tenants that are stopped; everybody counts as one.")?,
            lease: IntGauge::new("nexus_lease_held", "Whether this process may act in the outside world.")?,
            under_way: IntGauge::new("nexus_under_way", "Calls and agents' sockets that are under way here.")?,
        })
    }

    fn all(&self) -> [&IntGauge; 3] {
        [&self.stopped, &self.lease, &self.under_way]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.stopped.set(count(self.kill_switch.stops().len()));
        self.lease.set(i64::from(!self.kill_switch.lease_left().is_zero()));
        self.under_way.set(count(self.kill_switch.under_way(EVERYBODY)));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
