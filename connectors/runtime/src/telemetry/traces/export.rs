//! Sends spans away, in batches. A destination that is slow or down costs its
//! own spans and nothing else: each has its own short queue of batches.

use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::Engine;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use pipeline::retry::{self, Decision, Failure as Failed, Policy};
use reqwest::{
    Client,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Counts,
    build::{Attribute, Builder, Seen, Span},
    protobuf,
};
use crate::config::{LangfuseSettings, TraceSettings};
use crate::{
    identity::random_hex,
    supervisor::{Failure, RoleContext},
};

/// Batches that wait for a destination that is slow.
const BATCHES_MAX: usize = 8;
/// What is left after a stop may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Somewhere that takes spans.
#[derive(Clone)]
pub struct Destination {
    url: String,
    headers: HeaderMap,
}

impl Destination {
    /// A collector, with headers as `OTEL_EXPORTER_OTLP_HEADERS` has them.
    pub fn collector(url: &str, headers: &str) -> Result<Destination, String> {
        let mut map = HeaderMap::new();
        for pair in headers.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let bad = || "traces.otlp_headers must be name=value, comma-separated".to_owned();
            let (name, value) = pair.split_once('=').ok_or_else(bad)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(unescaped(value.trim())).map_err(|_| bad())?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        Destination::new(url, map)
    }

    /// LangfuseSettings, which takes OTLP beside its own API.
    pub fn langfuse(settings: &LangfuseSettings) -> Result<Destination, String> {
        let pair = format!("{}:{}", settings.public_key, settings.secret_key);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut value = HeaderValue::try_from(basic).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("authorization"), value)]);
        Destination::new(&format!("{}/api/public/otel/v1/traces", settings.host.trim_end_matches('/')), headers)
    }

    fn new(url: &str, headers: HeaderMap) -> Result<Destination, String> {
        let parsed: reqwest::Url = url.parse().map_err(|error| format!("{url:?} is no address for spans: {error}"))?;
        match parsed.scheme() {
            "http" | "https" => Ok(Destination { url: url.to_owned(), headers }),
            _ => Err(format!("{url:?} is no address for spans: it must begin with http:// or https://")),
        }
    }
}

/// `%20` and its like; what is not UTF-8 then stays as it was.
fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Builds spans and sends them. One for each process.
pub struct Exporter {
    resource: Arc<Vec<Attribute>>,
    environment: String,
    destinations: Vec<Destination>,
    client: Client,
    batch_spans_max: usize,
    schedule_delay: Duration,
    export_timeout: Duration,
    counts: Counts,
    seen: Mutex<(mpsc::Receiver<Seen>, Builder)>,
}

impl Exporter {
    pub(super) fn new(
        settings: &TraceSettings,
        destinations: Vec<Destination>,
        seen: mpsc::Receiver<Seen>,
        counts: Counts,
    ) -> Result<Exporter, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| error.to_string())?;
        let mut resource = vec![
            Attribute("service.name", settings.service_name.clone()),
            Attribute("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            Attribute("service.instance.id", random_hex()[..16].to_owned()),
            Attribute("telemetry.sdk.language", "rust".to_owned()),
        ];
        if !settings.environment.is_empty() {
            resource.push(Attribute("deployment.environment.name", settings.environment.clone()));
        }
        Ok(Exporter {
            resource: Arc::new(resource),
            environment: settings.environment.clone(),
            destinations,
            client,
            batch_spans_max: settings.batch_spans_max.max(1),
            schedule_delay: Duration::from_millis(settings.schedule_delay_ms.max(10)),
            export_timeout: Duration::from_millis(settings.export_timeout_ms.max(1)),
            counts,
            seen: Mutex::new((seen, Builder::default())),
        })
    }

    /// What is counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sends spans until told to stop, and then what is left.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        let mut seen = self.seen.lock().await;
        let (seen, builder) = &mut *seen;
        let mut sending = JoinSet::new();
        let ways: Vec<_> = self.destinations.iter().map(|to| self.way(to.clone(), &mut sending)).collect();
        context.running();
        let (mut spans, mut due) = (Vec::new(), Instant::now() + self.schedule_delay);
        loop {
            tokio::select! {
                one = seen.recv() => match one {
                    Some(one) => {
                        spans.extend(builder.on(one));
                        if spans.len() < self.batch_spans_max {
                            continue;
                        }
                    }
                    None => break,
                },
                () = sleep_until(due) => {}
                () = context.told_to_stop() => break,
            }
            due = Instant::now() + self.schedule_delay;
            self.hand_over(&ways, std::mem::take(&mut spans));
        }
        while let Ok(one) = seen.try_recv() {
            spans.extend(builder.on(one));
        }
        self.hand_over(&ways, spans);
        drop(ways);
        let _ = timeout(LAST_WORDS, async { while sending.join_next().await.is_some() {} }).await;
        Ok(())
    }

    fn way(self: &Arc<Self>, to: Destination, sending: &mut JoinSet<()>) -> mpsc::Sender<(Bytes, u64)> {
        let (way, mut batches) = mpsc::channel(BATCHES_MAX);
        let this = Arc::clone(self);
        sending.spawn(async move {
            while let Some((batch, spans)) = batches.recv().await {
                let sent = timeout(this.export_timeout, this.send(&to, batch)).await;
                let outcome = if sent == Ok(true) { "exported" } else { "failed" };
                this.counts.spans.with_label_values(&[outcome]).inc_by(spans);
            }
        });
        way
    }

    fn hand_over(&self, ways: &[mpsc::Sender<(Bytes, u64)>], mut spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        if !self.environment.is_empty() {
            let named =
                |span: &mut Span| span.attributes.push(Attribute("langfuse.environment", self.environment.clone()));
            spans.iter_mut().for_each(named);
        }
        let (batch, count) = (Bytes::from(protobuf::request(&self.resource, &spans)), spans.len() as u64);
        for way in ways {
            if way.try_send((batch.clone(), count)).is_err() {
                self.counts.spans.with_label_values(&["dropped"]).inc_by(count);
            }
        }
    }

    /// Whether a batch was taken.
    async fn send(&self, to: &Destination, batch: Bytes) -> bool {
        let policy = Policy::default();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let request = self.client.post(&to.url).headers(to.headers.clone()).body(batch.clone());
            let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            let failed = match request.send().await {
                Ok(answer) if answer.status().is_success() => return true,
                // Those that the specification says to try again.
                Ok(answer) if matches!(answer.status().as_u16(), 429 | 502 | 503 | 504) => {
                    let after =
                        answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
                    Failed::Retryable { retry_after_ms: after.map(|seconds| seconds.saturating_mul(1_000)) }
                }
                Ok(answer) => {
                    tracing::warn!(status = answer.status().as_u16(), "spans were refused");
                    Failed::Final
                }
                Err(error) => {
                    tracing::debug!(error = %error.without_url(), "spans could not be sent");
                    Failed::Retryable { retry_after_ms: None }
                }
            };
            match retry::decide(&policy, attempts, &failed, getrandom::u64().unwrap_or_default()) {
                Decision::RetryAfter { delay_ms } => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let to =
            Destination::collector("http://c/v1/traces", "api-key=a%20b, x-tenant=acme, plus=a+%41").expect("valid");
        assert_eq!(
            (&to.headers["api-key"], &to.headers["x-tenant"]),
            (&HeaderValue::from_static("a b"), &HeaderValue::from_static("acme"))
        );
        assert_eq!(to.headers["plus"], "a+A");
        for (url, headers) in [("ftp://c", ""), ("nowhere", ""), ("http://c", "no equals sign"), ("http://c", "a b=c")]
        {
            assert!(Destination::collector(url, headers).is_err(), "{url} {headers}");
        }
    }

    #[test]
    fn langfuse_is_asked_by_its_keys() {
        let text = str::to_owned;
        let settings = LangfuseSettings {
            host: text("https://lf.example/"),
            public_key: text("pk"),
            secret_key: text("sk"),
            project_id: String::new(),
        };
        let to = Destination::langfuse(&settings).expect("valid");
        assert_eq!(to.url, "https://lf.example/api/public/otel/v1/traces");
        assert_eq!(to.headers["authorization"], "Basic cGs6c2s=");
    }
}
