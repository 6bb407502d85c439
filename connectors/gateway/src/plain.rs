//! `GET /agents/ws`: a plain WebSocket, one JSON object a message.
//!
//! The token is in `Authorization`, in `?token=`, or among the subprotocols as
//! `bearer.TOKEN` (for browsers, which can set nothing else; it is echoed, as a
//! browser demands).

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use super::{
    admission::{admit, bearer},
    encode::Dialect,
    gateway::Gateway,
    seat::Transport,
    socket, upgrade,
    wire::Wire,
};
use runtime::http::problem::Problem;

#[derive(Default, Deserialize)]
struct Asked {
    token: Option<String>,
}

/// Opens a socket, or says why not.
pub async fn open(State(gateway): State<Arc<Gateway>>, mut request: Request) -> Response {
    match begin(&gateway, &mut request) {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

fn begin(gateway: &Arc<Gateway>, request: &mut Request) -> Result<Response, Problem> {
    let headers = request.headers();
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
    let protocol = offered.find(|protocol| protocol.starts_with("bearer.")).map(str::to_owned);
    let asked = Query::<Asked>::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
    let by_protocol = protocol.as_deref().and_then(|protocol| protocol.strip_prefix("bearer."));
    let identity = admit(gateway, bearer(headers).or(asked.token.as_deref()).or(by_protocol))?;
    let key = upgrade::key_of(headers)?;
    let Some(upgrading) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::unavailable("this connection cannot become a WebSocket"));
    };
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        if let Some(ws) = upgrade::open(upgrading, gateway.settings.message_bytes_max).await {
            socket::serve(gateway, identity, Transport::Plain, Wire::Socket(ws, Dialect::Plain)).await;
        }
    });
    Ok(upgrade::switching(&key, protocol))
}
