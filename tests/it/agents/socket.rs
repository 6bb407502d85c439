//! A client of the gateway, of either kind, that follows the rules of its
//! protocol by itself and tells what it was told.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, http::StatusCode, protocol::WebSocketConfig},
};

use crate::hub::PATIENCE;

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    SocketIo,
}

pub const KINDS: [Kind; 2] = [Kind::Plain, Kind::SocketIo];

/// An open socket.
pub struct Socket {
    pub ws: WebSocketStream<TcpStream>,
    kind: Kind,
}

/// Why a socket was not opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Status(StatusCode),
    ConnectError(String),
}

impl Socket {
    /// With the token where each kind usually has it.
    pub async fn open(address: SocketAddr, kind: Kind, token: &str) -> Result<Socket, Refusal> {
        match kind {
            Kind::Plain => {
                let mut request = format!("ws://{address}/agents/ws").into_client_request().unwrap();
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                Self::request(address, kind, request).await
            }
            Kind::SocketIo => {
                let mut socket = Self::engine(address, "").await?;
                socket.connect_agents(&json!({ "token": token })).await?;
                Ok(socket)
            }
        }
    }

    /// Engine.IO over a WebSocket, not connected to a namespace yet.
    pub async fn engine(address: SocketAddr, query: &str) -> Result<Socket, Refusal> {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        let mut socket = Self::request(address, Kind::SocketIo, url.into_client_request().unwrap()).await?;
        let open = socket.text().await.unwrap();
        assert!(open.starts_with("0{"), "{open}");
        Ok(socket)
    }

    /// CONNECT to `/agents`.
    pub async fn connect_agents(&mut self, auth: &Value) -> Result<(), Refusal> {
        self.send(&format!("40/agents,{auth}")).await;
        let answer = self.text().await.unwrap();
        match answer.strip_prefix("44/agents,") {
            None if answer.starts_with("40/agents,{\"sid\":") => Ok(()),
            None => panic!("{answer}"),
            Some(error) => {
                let error: Value = serde_json::from_str(error).unwrap();
                Err(Refusal::ConnectError(error["message"].as_str().unwrap().to_owned()))
            }
        }
    }

    pub async fn request(
        address: SocketAddr,
        kind: Kind,
        request: tokio_tungstenite::tungstenite::http::Request<()>,
    ) -> Result<Socket, Refusal> {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // Thousands of clients share this process.
        let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(0);
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((ws, _)) => Ok(Socket { ws, kind }),
            Err(Error::Http(response)) => Err(Refusal::Status(response.status())),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    /// An agent event.
    pub async fn say(&mut self, name: &str, data: Value) {
        let text = match self.kind {
            Kind::Plain => json!({"event": name, "data": data}).to_string(),
            Kind::SocketIo => format!("42/agents,{}", json!([name, data])),
        };
        // A socket that was cut says so to whoever reads from it.
        let _ = self.ws.send(Message::text(text)).await;
    }

    pub async fn ack(&mut self, event: &Value) {
        self.say("ack", json!({"id": event["eventId"]})).await;
    }

    /// The next message that is not the transport's own; nothing at the end.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            let message = timeout(PATIENCE, self.ws.next()).await.expect("something comes");
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" && self.kind == Kind::SocketIo => {
                    let _ = self.ws.send(Message::text("3")).await;
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next agent event; nothing when the socket has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let text = self.text().await?;
        let (name, data) = match self.kind {
            Kind::Plain => {
                let mut message: Value = serde_json::from_str(&text).unwrap();
                (message["event"].take(), message["data"].take())
            }
            Kind::SocketIo => {
                if text == "41/agents," {
                    return None;
                }
                let event = text.strip_prefix("42/agents,").unwrap_or_else(|| panic!("{text}"));
                let mut event: Value = serde_json::from_str(event).unwrap();
                (event[0].take(), event[1].take())
            }
        };
        Some((name.as_str().unwrap().to_owned(), data))
    }

    /// The next agent event, which must be this one.
    pub async fn expect(&mut self, name: &str) -> Value {
        let (told, data) = self.next().await.unwrap_or_else(|| panic!("the socket ended before {name}"));
        assert_eq!(told, name, "{data}");
        assert_eq!(data["type"], name.to_ascii_uppercase());
        data
    }

    /// The next event, which is acknowledged.
    pub async fn take(&mut self, name: &str) -> Value {
        let event = self.expect(name).await;
        self.ack(&event).await;
        event
    }

    /// Acknowledges all that comes until this event, and gives it.
    pub async fn skip_to(&mut self, name: &str) -> Value {
        loop {
            let (told, event) = self.next().await.unwrap_or_else(|| panic!("the socket ended before {name}"));
            self.ack(&event).await;
            if told == name {
                return event;
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn hears_nothing(&mut self) {
        let heard = timeout(Duration::from_millis(250), self.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Reads until the socket ends, and gives what it was told until then.
    pub async fn rest(&mut self) -> Vec<(String, Value)> {
        let mut told = Vec::new();
        while let Some(event) = self.next().await {
            told.push(event);
        }
        told
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let _ = self.ws.close(None).await;
        while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.ws.next()).await {}
    }
}
