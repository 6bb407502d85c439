//! THE list of metrics that the process as a whole has, in Prometheus' form. What
//! a connector counts by itself it brings along ([`Metrics::include`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::consumer::GroupLoad;
use pipeline::{ports::Lag, worker::Progress};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Upper bounds of what a webhook's answer takes, in seconds: from a fifth of a
/// quiet disk's sync to where providers give up.
const WEBHOOK_SECONDS: &[f64] =
    &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    webhooks: IntCounterVec,
    webhook_seconds: HistogramVec,
    refused: IntCounterVec,
    lookups: IntCounterVec,
    restarts: IntCounterVec,
    pipeline: IntGaugeVec,
    depth: IntGaugeVec,
    lag: IntGaugeVec,
    remembered: IntGauge,
    clock: IntGauge,
    groups: GroupGauges,
    warned_at_s: AtomicU64,
}

/// Of consumer groups, by group.
struct GroupGauges {
    in_hand: IntGaugeVec,
    parked: IntGaugeVec,
    oldest_age: IntGaugeVec,
    lag: IntGaugeVec,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let seconds = HistogramOpts::new("nexus_webhook_seconds", "From a webhook's head to its answer.");
        let metrics = Metrics {
            registry: Registry::new(),
            webhooks: counter("nexus_webhooks_total", "Webhooks answered.", &["provider", "outcome"])?,
            webhook_seconds: HistogramVec::new(seconds.buckets(WEBHOOK_SECONDS.to_vec()), &["provider"])?,
            refused: counter("nexus_webhooks_refused_total", "Webhooks not accepted.", &["provider", "reason"])?,
            lookups: counter("nexus_lookups_total", "Requests for details answered.", &["outcome"])?,
            restarts: counter("nexus_role_restarts_total", "Roles restarted after a failure.", &["role"])?,
            pipeline: gauge("nexus_pipeline_total", "What the workers of this process did.", &["what"])?,
            depth: gauge("nexus_topic_records", "Records kept.", &["topic"])?,
            lag: gauge("nexus_topic_lag_records", "Records that the pipeline has not read.", &["topic"])?,
            remembered: IntGauge::new("nexus_deduplicate_events", "Events remembered to know a repeat.")?,
            clock: IntGauge::new("nexus_pipeline_clock_ms", "The log's clock, in ms since the epoch.")?,
            groups: GroupGauges {
                in_hand: gauge("nexus_group_records", "Records in hand of a consumer group.", &["group"])?,
                parked: gauge("nexus_group_parked_records", "Records that wait in the log for room.", &["group"])?,
                oldest_age: gauge("nexus_group_oldest_age_ms", "Age of the oldest record in hand.", &["group"])?,
                lag: gauge("nexus_group_lag_records", "Records that a group has not passed.", &["group"])?,
            },
            warned_at_s: AtomicU64::new(0),
        };
        for collector in metrics.collectors() {
            metrics.registry.register(collector)?;
        }
        let process = prometheus::process_collector::ProcessCollector::for_self();
        metrics.registry.register(Box::new(process))?;
        Ok(Arc::new(metrics))
    }

    /// Takes in what a part of the hub counts by itself.
    pub fn include(&self, collectors: Vec<Box<dyn prometheus::core::Collector>>) -> Result<(), prometheus::Error> {
        collectors.into_iter().try_for_each(|collector| self.registry.register(collector))
    }

    fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.webhooks.clone()),
            Box::new(self.webhook_seconds.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.lookups.clone()),
            Box::new(self.restarts.clone()),
            Box::new(self.pipeline.clone()),
            Box::new(self.depth.clone()),
            Box::new(self.lag.clone()),
            Box::new(self.remembered.clone()),
            Box::new(self.clock.clone()),
            Box::new(self.groups.in_hand.clone()),
            Box::new(self.groups.parked.clone()),
            Box::new(self.groups.oldest_age.clone()),
            Box::new(self.groups.lag.clone()),
        ]
    }

    /// A webhook was answered.
    pub fn webhook(&self, provider: &str, outcome: &str, took: Duration) {
        self.webhooks.with_label_values(&[provider, outcome]).inc();
        self.webhook_seconds.with_label_values(&[provider]).observe(took.as_secs_f64());
    }

    /// A webhook was not believed or not understood. One warning a second at
    /// most: whoever knocks must not be able to fill the disk with our words.
    pub fn refused(&self, provider: &str, reason: &str, detail: &dyn std::fmt::Display, now_ms: u64) {
        self.refused.with_label_values(&[provider, reason]).inc();
        let now_s = now_ms / 1000;
        if self.warned_at_s.swap(now_s, Relaxed) != now_s {
            tracing::warn!(provider, reason, %detail, "a webhook was refused (further ones this second are only counted)");
        }
    }

    /// A request for details was answered.
    pub fn lookup(&self, outcome: &str) {
        self.lookups.with_label_values(&[outcome]).inc();
    }

    /// A role failed and begins again.
    pub fn restarted(&self, role: &str) {
        self.restarts.with_label_values(&[role]).inc();
    }

    /// Takes over what the workers and the log say just now.
    pub fn update(&self, progress: &Progress, lags: &[Lag]) {
        for (what, count) in [
            ("records", &progress.records),
            ("published", &progress.published),
            ("repeats", &progress.repeats),
            ("twins", &progress.twins),
            ("dead", &progress.dead),
            ("moved", &progress.moved),
        ] {
            self.pipeline.with_label_values(&[what]).set(count.load(Relaxed) as i64);
        }
        self.remembered.set(progress.remembered.load(Relaxed) as i64);
        self.clock.set(progress.now_ms.load(Relaxed) as i64);
        self.depth.reset();
        self.lag.reset();
        for lag in lags {
            let topic = lag.topic.name();
            self.depth.with_label_values(&[topic]).add((lag.end_offset - lag.first_offset) as i64);
            if let Some(read) = lag.group_offset {
                self.lag.with_label_values(&[topic]).add(lag.end_offset.saturating_sub(read) as i64);
            }
        }
    }

    /// Takes over what a consumer group has in hand just now, and how far behind
    /// it is, if that is known.
    pub fn update_group(&self, group: &str, load: &GroupLoad, lag_records: Option<u64>, now_ms: u64) {
        let set = |gauge: &IntGaugeVec, value: u64| {
            gauge.with_label_values(&[group]).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.groups.in_hand, load.in_hand() as u64);
        set(&self.groups.parked, load.parked() as u64);
        set(&self.groups.oldest_age, load.oldest_ms().map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms)));
        lag_records.into_iter().for_each(|records| set(&self.groups.lag, records));
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Fails only where a metric has no name; ours have.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
