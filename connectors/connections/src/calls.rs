//! How connections ask their providers, what is counted of it, and what an error
//! is to who asked.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use pipeline::{
    event::{Act, Deed, Doer, Time},
    ports::{Clock, Log},
};
use prometheus::IntCounterVec;
use reqwest::Method;

use super::Connections;
use providers::{
    client::{
        CallObserver, Cause, Deadline, Manner, NotSent, ProviderClient, ProviderError, Rejection, Request, WhileDown,
    },
    provider::Boxed,
};
use runtime::{http::problem::Problem, identity::random_hex, kill_switch::switch::act_record};

/// How long somebody who waits for an answer waits for a provider.
pub(super) const HURRIED: Duration = Duration::from_secs(8);
/// How long what is done behind waits for one answer, pauses included.
pub(super) const UNHURRIED: Duration = Duration::from_secs(60);

/// When to ask again while the hub is stopped, in seconds.
const STOPPED_S: u64 = 5;

/// An allowance comes back by itself and is waited for; a provider that is down is
/// not.
pub(super) fn manner(patience: Duration) -> Manner {
    Manner { while_down: WhileDown::Fail, deadline: Deadline::Within(patience), is_paced: true }
}

/// Whether the same may succeed later, and when at the earliest.
pub fn again_at_ms(error: &ProviderError, now_ms: u64) -> Option<u64> {
    match error {
        ProviderError::NotSent { retry_at_ms: Some(at_ms), .. }
        | ProviderError::RetryAt { at_ms: Some(at_ms), .. }
        | ProviderError::MayHaveLanded { at_ms: Some(at_ms), .. } => Some((*at_ms).max(now_ms)),
        ProviderError::NotSent { why: NotSent::Late, .. } => Some(now_ms),
        ProviderError::RetryAt { cause: Cause::BadAnswer, .. } => None,
        ProviderError::NotSent { why: NotSent::Hub, .. }
        | ProviderError::RetryAt { .. }
        | ProviderError::MayHaveLanded { .. }
        | ProviderError::KillSwitchBefore(_)
        | ProviderError::KillSwitchUnderWay(_) => Some(now_ms + 5_000),
        _ => None,
    }
}

/// Whether it only takes a pause.
pub(super) fn is_pause(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::NotSent { why: NotSent::Down | NotSent::BudgetSpent { .. } | NotSent::Late, .. }
            | ProviderError::RetryAt { at_ms: Some(_), .. }
            | ProviderError::MayHaveLanded { at_ms: Some(_), .. }
    )
}

/// Whether the calls were too many.
fn is_limit(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::NotSent { why: NotSent::BudgetSpent { .. }, .. }
            | ProviderError::RetryAt { cause: Cause::Limit { .. }, .. }
    )
}

/// For who asked.
pub fn problem(error: &ProviderError, now_ms: u64) -> Problem {
    let detail = error.to_string();
    let bad_gateway = |code, detail| Problem::new(StatusCode::BAD_GATEWAY, code, detail);
    let unavailable = |code, detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
    match error {
        _ if is_pause(error) => {
            let at_ms = again_at_ms(error, now_ms).unwrap_or(now_ms);
            let seconds = at_ms.saturating_sub(now_ms).div_ceil(1000).max(1);
            match is_limit(error) {
                true => Problem::new(StatusCode::TOO_MANY_REQUESTS, "provider_rate_limited", detail),
                false => unavailable("provider_down", detail),
            }
            .retry_after(seconds)
        }
        ProviderError::NotSent { why, .. } => match why {
            NotSent::NoToken => Problem::new(StatusCode::CONFLICT, "no_token", detail),
            NotSent::Unsupported => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unsupported", detail),
            NotSent::BadId => Problem::not_found("there is nothing of this id".to_owned()),
            NotSent::First(code @ "bad_cursor") => Problem::new(StatusCode::BAD_REQUEST, code, detail),
            NotSent::First(code) => Problem::new(StatusCode::CONFLICT, code, detail),
            NotSent::NoConnection => Problem::new(StatusCode::CONFLICT, "disabled", detail),
            NotSent::Misconfigured => Problem::new(StatusCode::CONFLICT, "misconfigured", detail),
            _ => Problem::unavailable("the hub cannot do it now; try again"),
        },
        ProviderError::Unauthorised { .. } => bad_gateway("provider_unauthorised", detail),
        ProviderError::Gone { .. } => Problem::not_found(detail),
        ProviderError::Rejected { code: Rejection::BadAnswer, .. }
        | ProviderError::RetryAt { cause: Cause::BadAnswer, .. } => bad_gateway("provider_answer", detail),
        ProviderError::Rejected { .. } => bad_gateway("provider_refused", detail),
        ProviderError::RetryAt { .. } | ProviderError::MayHaveLanded { .. } => {
            unavailable("provider_unavailable", detail).retry_after(5)
        }
        ProviderError::KillSwitchBefore(_) | ProviderError::KillSwitchUnderWay(_) => {
            unavailable("stopped", detail).retry_after(STOPPED_S)
        }
    }
}

impl Connections {
    /// The client of a connection, for an answer within `patience`.
    pub(super) fn client(&self, tenant: &str, id: &str, patience: Duration) -> Result<ProviderClient, ProviderError> {
        let off = || ProviderError::not_sent(NotSent::NoConnection, "the connection is off");
        let link = self.links.find(tenant, id).ok_or_else(off)?;
        let calls = Arc::clone(&self.calls);
        ProviderClient::new(calls, (tenant, id), &link, &self.providers, manner(patience))
    }
}

/// Counts calls, and writes into the trail what was cut off and may have landed.
pub(super) struct CallTrail {
    pub calls: IntCounterVec,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
}

impl CallObserver for CallTrail {
    fn called<'a>(
        &'a self,
        tenant: &'a str,
        request: &'a Request,
        result: Result<(), &'a ProviderError>,
    ) -> Boxed<'a, ()> {
        let outcome = result.map_or_else(word, |()| "done");
        self.calls.with_label_values(&[request.provider.name(), outcome]).inc();
        Box::pin(async move {
            // What only asks has changed nothing.
            if matches!(result, Err(ProviderError::KillSwitchUnderWay(_))) && request.method != Method::GET {
                self.note_cut_off(tenant, request).await;
            }
        })
    }
}

impl CallTrail {
    async fn note_cut_off(&self, tenant: &str, request: &Request) {
        let act = Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: tenant.to_owned(),
            action: format!("{} {}", request.method, request.url.path()),
            outcome: "uncertain".to_owned(),
            actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
            subject: Deed { kind: request.provider.name().to_owned(), id: None },
            at: Time::from_ms(self.clock.now_ms()),
            reason: Some("cut off by the kill switch".to_owned()),
            ..Act::default()
        };
        if let Err(error) = self.log.append(vec![act_record(&act, self.log.partitions())]).await {
            tracing::error!(tenant, action = act.action, %error, "a call that was cut off is not in the trail");
        }
    }
}

/// One word, for metrics.
fn word(error: &ProviderError) -> &'static str {
    match error {
        _ if is_limit(error) => "limited",
        _ if is_pause(error) => "down",
        ProviderError::Unauthorised { .. } => "unauthorised",
        ProviderError::Gone { .. } => "not_found",
        ProviderError::Rejected { code: Rejection::BadAnswer, .. } => "nonsense",
        ProviderError::RetryAt { .. } | ProviderError::MayHaveLanded { .. } => "failed",
        ProviderError::KillSwitchBefore(_) | ProviderError::KillSwitchUnderWay(_) => "stopped",
        ProviderError::NotSent { .. } | ProviderError::Rejected { .. } => "refused",
    }
}
