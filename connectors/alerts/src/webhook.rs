//! One alert to one webhook, signed by Standard Webhooks.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashMap;
use pipeline::{
    event::Alert,
    ports::Clock,
    retry::{self, Circuit, CircuitPolicy, Decision, Failure as Failed, Permit, Policy},
};
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use udfs::signature::{self, STANDARD_WEBHOOKS};

use providers::{
    client::{Cause, Http, Limits, ProviderError, Request},
    generic::Generic,
};
use runtime::supervisor::Failure;

/// One attempt.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of which it is remembered that they do not answer.
const CIRCUITS_MAX: usize = 1_000;

/// Posts to webhooks.
pub(super) struct Webhooks {
    http: Http,
    clock: Arc<dyn Clock>,
    circuits: Mutex<HashMap<String, Circuit>>,
}

impl Webhooks {
    pub fn new(allow_private_targets: bool, clock: Arc<dyn Clock>) -> Result<Webhooks, Failure> {
        let limits = Limits { allow_private_targets, timeout_ms: TIMEOUT.as_millis() as u64, ..Limits::default() };
        Ok(Webhooks { http: Http::new(limits)?, clock, circuits: Mutex::default() })
    }

    /// Whether the webhook took it. One that does not answer is left alone for a
    /// while.
    pub async fn post(&self, url: &str, secret: &str, id: &str, alert: &Alert) -> bool {
        let policy = Policy::default();
        let mut attempts = 0;
        loop {
            let now_ms = self.clock.now_ms();
            if let Some(Permit::Wait { .. }) = self.circuits().get_mut(url).map(|circuit| circuit.ask(now_ms)) {
                return false;
            }
            let request = match request(url, secret, id, alert, now_ms / 1_000) {
                Ok(request) => request,
                Err(reason) => {
                    tracing::warn!(tenant = alert.tenant_id, reason, "an alert cannot be posted");
                    return false;
                }
            };
            attempts += 1;
            let failed = match self.http.send(&request, TIMEOUT, now_ms).await.result {
                Ok(_) => {
                    self.circuits().remove(url);
                    return true;
                }
                Err(ProviderError::RetryAt { cause: Cause::Limit { .. }, at_ms, .. }) => {
                    let now_ms = self.clock.now_ms();
                    Failed::Retryable { retry_after_ms: at_ms.map(|at_ms| at_ms.saturating_sub(now_ms)) }
                }
                // The webhook knows the id: a repeat is known to it.
                Err(ProviderError::RetryAt { .. } | ProviderError::MayHaveLanded { .. }) => {
                    self.failed(url);
                    Failed::Retryable { retry_after_ms: None }
                }
                Err(error) => {
                    tracing::warn!(tenant = alert.tenant_id, reason = %error, "an alert was refused");
                    Failed::Final
                }
            };
            match retry::decide(&policy, attempts, &failed, getrandom::u64().unwrap_or_default()) {
                Decision::RetryAfter { delay_ms } => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
                _ => return false,
            }
        }
    }

    fn failed(&self, url: &str) {
        let mut circuits = self.circuits();
        if circuits.contains_key(url) || circuits.len() < CIRCUITS_MAX {
            let new = || Circuit::new(CircuitPolicy::default());
            circuits.entry_ref(url).or_insert_with(new).failed(self.clock.now_ms());
        }
    }

    fn circuits(&self) -> std::sync::MutexGuard<'_, HashMap<String, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(url: &str, secret: &str, id: &str, alert: &Alert, now_s: u64) -> Result<Request, String> {
    let url = url.parse().map_err(|error| format!("the address is none: {error}"))?;
    let event = serde_json::json!({ "type": alert.kind, "timestamp": alert.at, "data": alert });
    let body = event.to_string();
    let mut request = Request::new(&Generic, Method::POST, url);
    for (name, value) in signature::sign(&STANDARD_WEBHOOKS, secret, id, now_s, body.as_bytes())
        .map_err(|refused| format!("the secret does not sign: {refused}"))?
    {
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        request.headers.insert(HeaderName::from_static(name), value);
    }
    request.body = Some(("application/json", Bytes::from(body)));
    Ok(request)
}
