//! Traces: from a webhook through the pipeline and an agent to a comment, one
//! trace, whichever processes it went through.
//!
//! In: what passes the log ([`tap`]), which is where every stage begins and
//! ends. Out: spans over OTLP/HTTP, to a collector, to Langfuse, or both.
//! Guaranteed: nothing waits for a trace. What passes is handed over by
//! reference into a bounded queue; what does not fit is counted and lost.
//! Switched off, the log is not even tapped.
//!
//! Ids are deterministic: a span's is a part of the id of what it is of (the
//! event, the action, the command), so processes that know nothing of each other
//! write one tree, and what a crash repeats is the same span again.

mod build;
mod export;
mod protobuf;
mod tap;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{IntCounterVec, Opts, core::Collector};
use tokio::sync::mpsc;

pub use build::{Attribute, Kind, Span};
pub use export::{Destination, Exporter};
pub use protobuf::request;
pub use tap::Tapped;

use build::Seen;

use crate::config::{LangfuseSettings, TraceSettings};

/// Which traces are kept: the same in every process, because it goes by the
/// trace's id alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Of the last eight bytes of a trace id: those below.
    below: u128,
}

impl Sampler {
    /// The sampler of the settings, by its name of OpenTelemetry.
    pub fn new(name: &str, argument: &str) -> Result<Sampler, String> {
        let part = match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument
                .parse::<f64>()
                .ok()
                .filter(|part| (0.0..=1.0).contains(part))
                .ok_or("traces.sampler_arg must be a number from 0 to 1")?,
            _ => return Err(format!("traces.sampler: {name:?} is not known")),
        };
        Ok(Sampler { below: (part * 2f64.powi(64)) as u128 })
    }

    /// Whether a trace is kept.
    pub fn keeps(&self, trace: u128) -> bool {
        (trace & u128::from(u64::MAX)) < self.below
    }
}

/// What is counted of traces.
#[derive(Clone)]
pub struct Counts {
    /// Spans, by what became of them: `exported`, `failed`, `dropped`.
    pub spans: IntCounterVec,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let spans = Opts::new("nexus_trace_spans_total", "Spans of traces, by what became of them.");
        let spans = IntCounterVec::new(spans, &["outcome"])?;
        for outcome in ["exported", "failed", "dropped"] {
            spans.with_label_values(&[outcome]);
        }
        Ok(Counts { spans })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.spans.clone())]
    }
}

/// Takes what passes, without waiting.
#[derive(Clone)]
pub struct Tracer {
    queue: mpsc::Sender<Seen>,
    sampler: Sampler,
    counts: Counts,
}

impl Tracer {
    fn take(&self, seen: Seen) {
        if self.queue.try_send(seen).is_err() {
            self.counts.spans.with_label_values(&["dropped"]).inc();
        }
    }

    /// Whether the trace in a `traceparent` is kept.
    fn keeps(&self, parent: Option<&[u8]>) -> bool {
        let trace = parent.and_then(|parent| std::str::from_utf8(parent.get(3..35)?).ok());
        trace.and_then(udfs::hash::from_hex).is_some_and(|trace| trace != 0 && self.sampler.keeps(trace))
    }
}

/// What a process needs to trace, if its settings want that.
pub fn open(settings: &TraceSettings, langfuse: &LangfuseSettings) -> Result<Option<(Tracer, Exporter)>, String> {
    let mut destinations = Vec::new();
    let endpoint = match (&*settings.otlp_traces_endpoint, &*settings.otlp_endpoint) {
        ("", "") => None,
        ("", base) => Some(format!("{}/v1/traces", base.trim_end_matches('/'))),
        (whole, _) => Some(whole.to_owned()),
    };
    if let Some(endpoint) = endpoint {
        destinations.push(Destination::collector(&endpoint, &settings.otlp_headers)?);
    }
    if [&langfuse.host, &langfuse.public_key, &langfuse.secret_key].iter().all(|text| !text.is_empty()) {
        destinations.push(Destination::langfuse(langfuse)?);
    }
    let sampler = Sampler::new(&settings.sampler, &settings.sampler_arg)?;
    if destinations.is_empty() || sampler.below == 0 {
        return Ok(None);
    }
    let counts = Counts::new().map_err(|error| error.to_string())?;
    let (queue, seen) = mpsc::channel(settings.queue_spans_max.max(1));
    let tracer = Tracer { queue, sampler, counts: counts.clone() };
    let exporter = Exporter::new(settings, destinations, seen, counts)?;
    Ok(Some((tracer, exporter)))
}

/// The wall clock, as spans have it.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A log that is tapped, or the log itself where nobody traces.
pub fn tapped(log: Arc<dyn pipeline::ports::Log>, tracer: Option<&Tracer>) -> Arc<dyn pipeline::ports::Log> {
    match tracer {
        Some(tracer) => Arc::new(Tapped::new(log, tracer.clone())),
        None => log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_all_traces_is_kept_and_always_the_same() {
        let sampler = |name, argument| Sampler::new(name, argument).expect("a sampler");
        let traces = || (0..1_000u64).map(|number| udfs::hash::content(number.to_be_bytes()));
        let kept = |sampler: Sampler| traces().filter(|trace| sampler.keeps(*trace)).count();
        assert_eq!((kept(sampler("always_on", "")), kept(sampler("parentbased_always_off", ""))), (1_000, 0));
        let quarter = kept(sampler("parentbased_traceidratio", "0.25"));
        assert!((150..350).contains(&quarter), "{quarter}");
        assert!(Sampler::new("sometimes", "").is_err() && Sampler::new("traceidratio", "2").is_err());
    }
}
