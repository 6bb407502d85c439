//! From an HTTP request to a WebSocket.
//!
//! Nothing of the request is kept: its headers are slices of the connection's
//! read buffer, and one of them held would hold all of it for as long as the
//! socket lives.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use runtime::http::problem::Problem;

/// A WebSocket. Boxed, so that tasks that hand it on stay small.
pub type Ws = Box<WebSocketStream<TcpStream>>;

/// Room that an idle socket has to read into. What is larger is read in more
/// steps, and its room given back.
const READ_BUFFER_BYTES: usize = 512;

/// The key that proves that the request was understood, if it is one for a
/// WebSocket.
pub fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let has = |name: header::HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        let detail = "this address is for WebSockets";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        let detail = "version 13 of the WebSocket protocol is spoken here";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "websocket_version", detail));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    key.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "websocket_key", "the header Sec-WebSocket-Key is missing"))
}

/// The answer that begins a WebSocket.
pub fn switching(key: &str, protocol: Option<String>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(Ok(protocol)) = protocol.map(|protocol| HeaderValue::from_str(&protocol)) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The socket, once the answer is sent.
pub async fn open(upgrade: OnUpgrade, message_bytes_max: usize) -> Option<Ws> {
    let upgraded = upgrade.await.ok()?;
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("a WebSocket over something that is no TCP socket");
        return None;
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    let (stream, early) = (parts.io.into_inner(), parts.read_buf);
    let socket = match early.is_empty() {
        true => WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
        false => WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config)).await,
    };
    Some(Box::new(socket))
}
