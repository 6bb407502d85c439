//! Who may open a socket: agents whose token counts.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::http::{HeaderMap, StatusCode, header};
use pipeline::{
    event::{Agent, Barred, Role},
    topics::partition_of,
};

use super::{gateway::Gateway, seat::Identity};
use runtime::http::problem::Problem;

/// Why a socket is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As a status of HTTP.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// When to try again, where time helps.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Refused {
        Refused { status, code, detail: detail.into(), retry_after_ms: None }
    }

    /// An agent that was cut, until its cool-down is over.
    fn barred(barred: &Barred, now_ms: u64) -> Refused {
        let left_ms = barred.until.as_ms().saturating_sub(now_ms);
        let (did, left_s) = (&barred.message, left_ms.div_ceil(1_000));
        let detail = format!("this agent was cut ({did}); it may come back in {left_s} s");
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "cooling_down", detail);
        Refused { retry_after_ms: Some(left_ms), ..refused }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let problem = Problem::new(refused.status, refused.code, refused.detail);
        match refused.retry_after_ms {
            Some(left_ms) => problem.retry_after(left_ms.div_ceil(1_000)),
            None if refused.status == StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(1),
            None => problem,
        }
    }
}

/// The token in `Authorization`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Looks at a token.
pub fn admit(gateway: &Gateway, token: Option<&str>) -> Result<Arc<Identity>, Refused> {
    let admitted = look(gateway, token);
    if let Err(refused) = &admitted {
        gateway.counts.refused.with_label_values(&[refused.code]).inc();
    }
    admitted
}

fn look(gateway: &Gateway, token: Option<&str>) -> Result<Arc<Identity>, Refused> {
    let unauthorized = |detail: String| Refused::new(StatusCode::UNAUTHORIZED, "invalid_token", detail);
    let forbidden = |detail: &str| Refused::new(StatusCode::FORBIDDEN, "forbidden", detail);
    let busy = |code, detail: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
    if !gateway.is_open.load(Relaxed) {
        return Err(busy("unavailable", "the gateway is starting or stopping"));
    }
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| unauthorized("an agent's token is needed".to_owned()))?;
    let principal = gateway.tokens.verify(token).map_err(|refusal| unauthorized(refusal.to_string()))?;
    if principal.role != Role::Agent {
        return Err(forbidden("this token is not an agent's"));
    }
    let row = gateway.directory.get::<Agent>(&principal.tenant_id, &principal.subject);
    if !row.is_some_and(|row| row.enabled) {
        return Err(forbidden("this agent takes no part; an administrator can enable it"));
    }
    if let Some(reason) = gateway.kill_switch.shut_out(&principal.tenant_id, &principal.subject, gateway.clock_ms()) {
        return Err(busy("stopped", &format!("agents are stopped: {reason}")));
    }
    if let Some(barred) = gateway.online().barred(&principal.tenant_id, &principal.subject) {
        return Err(Refused::barred(&barred, gateway.clock_ms()));
    }
    if gateway.sockets.load(Relaxed) >= gateway.settings.sockets_max {
        return Err(busy("too_many_sockets", "this gateway has as many sockets as it takes"));
    }
    Ok(Arc::new(Identity {
        partition: partition_of(&principal.tenant_id, gateway.log.partitions()),
        tenant: principal.tenant_id.into(),
        agent: principal.subject.into(),
        client: principal.client_id.into(),
        expires_at_ms: principal.expires_at_ms,
    }))
}
