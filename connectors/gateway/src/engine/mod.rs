//! `/socket.io/`: a server for Engine.IO v4 and Socket.IO v5, with the one
//! namespace `/agents`.
//!
//! In: polls, posts and WebSockets. Out: connections whose agent is known, which
//! are served like every other socket; for all others the protocol's own
//! refusals. It is our own because an idle connection of the server at hand took
//! half as much again as the product's budget (DESIGN, sockets).

mod connect;

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    admission::bearer,
    encode::Dialect,
    gateway::Gateway,
    polls::{Polls, Wrong},
    upgrade,
    upgrade::Ws,
    wire::Wire,
};
use runtime::{
    http::{
        body::{self, Limits},
        problem::Problem,
    },
    identity::random_hex,
};

/// How long a change of the transport may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections whose agent is not known yet: each may hold a message of the
/// largest size for as long as CONNECT may take.
const OPENING_MAX: usize = 2_000;

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(rename = "EIO")]
    version: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
    token: Option<String>,
}

/// The protocol's own errors.
#[derive(Clone, Copy, Debug)]
enum Wrongs {
    Transport = 0,
    Session = 1,
    Method = 2,
    Request = 3,
    Version = 5,
}

impl Wrongs {
    fn response(self) -> Response {
        let message = match self {
            Wrongs::Transport => "Transport unknown",
            Wrongs::Session => "Session ID unknown",
            Wrongs::Method => "Bad handshake method",
            Wrongs::Request => "Bad request",
            Wrongs::Version => "Unsupported protocol version",
        };
        (StatusCode::BAD_REQUEST, Json(json!({"code": self as u8, "message": message}))).into_response()
    }
}

/// Every request to `/socket.io/`.
pub async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let asked = Query::<Asked>::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
    if !gateway.is_open.load(SeqCst) {
        return Problem::unavailable("the gateway is starting or stopping").into_response();
    }
    if asked.version.as_deref() != Some("4") {
        return Wrongs::Version.response();
    }
    match asked.transport.as_deref() {
        Some("websocket") => websocket(&gateway, asked, request),
        Some("polling") => polling(&gateway, asked, request).await,
        _ => Wrongs::Transport.response(),
    }
}

/// The packet that opens a connection.
fn opening(gateway: &Gateway, sid: &str, upgrades: &[&str]) -> String {
    let limits = &gateway.settings.limits;
    let open = json!({
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": limits.ping_interval_ms,
        "pingTimeout": limits.ping_timeout_ms,
        "maxPayload": gateway.settings.message_bytes_max,
    });
    format!("0{open}")
}

async fn polling(gateway: &Arc<Gateway>, asked: Asked, request: Request) -> Response {
    let Some(sid) = asked.sid else {
        return match *request.method() {
            Method::GET => {
                let token = asked.token.or_else(|| bearer(request.headers()).map(str::to_owned));
                handshake(gateway, token)
            }
            _ => Wrongs::Method.response(),
        };
    };
    let Some(polls) = gateway.polls.get(&sid) else { return Wrongs::Session.response() };
    match *request.method() {
        Method::GET => {
            drop(request);
            match polls.poll() {
                Ok(answer) => text(answer.await.unwrap_or_else(|_| Bytes::from_static(b"1"))),
                Err(Wrong::Over) => Wrongs::Session.response(),
                Err(_) => Wrongs::Request.response(),
            }
        }
        Method::POST => post(gateway, &polls, request).await,
        _ => Wrongs::Request.response(),
    }
}

fn handshake(gateway: &Arc<Gateway>, token: Option<String>) -> Response {
    let Some(opening_now) = Opening::begin(gateway) else { return crowded() };
    let sid = random_hex();
    let polls = gateway.polls.begin(&sid);
    let answer = opening(gateway, &sid, &["websocket"]);
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        connect::serve(Arc::clone(&gateway), Wire::Polls(polls), token, opening_now).await;
        gateway.polls.end(&sid);
    });
    text(Bytes::from(answer))
}

async fn post(gateway: &Gateway, polls: &Polls, request: Request) -> Response {
    let limits = Limits {
        bytes_max: gateway.settings.message_bytes_max,
        idle: Duration::from_secs(5),
        whole: Duration::from_secs(30),
    };
    let (parts, body) = request.into_parts();
    let whole = match body::read(&parts.headers, body, limits, &gateway.bodies).await {
        Ok(whole) => whole,
        Err(problem) => {
            // The protocol has no word for it: the connection ends.
            polls.close();
            return problem.into_response();
        }
    };
    let Ok(payload) = std::str::from_utf8(&whole.bytes) else {
        polls.close();
        return Wrongs::Request.response();
    };
    match polls.post(payload).await {
        Ok(()) => text(Bytes::from_static(b"ok")),
        Err(Wrong::Busy) => Problem::unavailable("too much is posted and not yet read").into_response(),
        Err(_) => Wrongs::Session.response(),
    }
}

fn websocket(gateway: &Arc<Gateway>, asked: Asked, mut request: Request) -> Response {
    let Ok(key) = upgrade::key_of(request.headers()) else { return Wrongs::Request.response() };
    let Some(upgrading) = request.extensions_mut().remove::<OnUpgrade>() else { return Wrongs::Request.response() };
    if let Some(sid) = asked.sid {
        let Some(polls) = gateway.polls.get(&sid) else { return Wrongs::Session.response() };
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move {
            if let Some(ws) = upgrade::open(upgrading, gateway.settings.message_bytes_max).await
                && timeout(UPGRADE_TIMEOUT, change_over(&polls, ws)).await != Ok(true)
            {
                polls.probe(false);
            }
        });
        return upgrade::switching(&key, None);
    }
    let Some(opening_now) = Opening::begin(gateway) else { return crowded() };
    let token = asked.token.or_else(|| bearer(request.headers()).map(str::to_owned));
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let Some(mut ws) = upgrade::open(upgrading, gateway.settings.message_bytes_max).await else { return };
        let open = opening(&gateway, &random_hex(), &[]);
        if ws.send(Message::text(open)).await.is_ok() {
            connect::serve(gateway, Wire::Socket(ws, Dialect::SocketIo), token, opening_now).await;
        }
    });
    upgrade::switching(&key, None)
}

/// The client proves that the WebSocket works, leaves its polls, and says so.
async fn change_over(polls: &Polls, mut ws: Ws) -> bool {
    let is = |message: &Message, text: &str| matches!(message, Message::Text(said) if said.as_str() == text);
    match ws.next().await {
        Some(Ok(message)) if is(&message, "2probe") => {}
        _ => return false,
    }
    if ws.send(Message::text("3probe")).await.is_err() {
        return false;
    }
    polls.probe(true);
    loop {
        match ws.next().await {
            Some(Ok(message)) if is(&message, "5") => break,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return false,
        }
    }
    polls.upgrade(ws);
    true
}

fn crowded() -> Response {
    Problem::unavailable("too many connections wait for their agent to be known").into_response()
}

fn text(body: Bytes) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A place among the connections whose agent is not known yet.
struct Opening(Arc<Gateway>);

impl Opening {
    fn begin(gateway: &Arc<Gateway>) -> Option<Opening> {
        let opening = Opening(Arc::clone(gateway));
        (gateway.opening.fetch_add(1, SeqCst) < OPENING_MAX).then_some(opening)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, SeqCst);
    }
}
