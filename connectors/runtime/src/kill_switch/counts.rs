//! What is counted of the brake: asked when somebody reads it.

use std::sync::Arc;

use prometheus::{
    IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{Brake, EVERYBODY};

/// See the module.
pub struct Gauges {
    brake: Arc<Brake>,
    stopped: IntGauge,
    lease: IntGauge,
    under_way: IntGauge,
}

impl Gauges {
    /// Of a brake.
    pub fn new(brake: Arc<Brake>) -> Result<Gauges, prometheus::Error> {
        Ok(Gauges {
            brake,
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
        self.stopped.set(count(self.brake.stops().len()));
        self.lease.set(i64::from(!self.brake.lease_left().is_zero()));
        self.under_way.set(count(self.brake.under_way(EVERYBODY)));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
