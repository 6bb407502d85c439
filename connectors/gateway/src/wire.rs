//! What carries a socket's messages: a WebSocket, or polls.
//!
//! In: encoded messages, and frames or bodies of the client. Out: bytes that
//! reached the system, and one thing heard at a time. A client that takes
//! nothing for too long ends the socket; so does an order from afar, also in the
//! middle of a write.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use rustix::net::SendFlags;
use tokio::{io::Interest, time::timeout};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::CapacityError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    encode::{Dialect, Encoder, Framing, reframe},
    polls::{Polls, Posted},
    seat::Seat,
    session::Reason,
    upgrade::Ws,
};

/// How long the last words may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// See the module.
pub enum Wire {
    /// A WebSocket, plain or of Engine.IO.
    Socket(Ws, Dialect),
    /// Engine.IO's polls, which may become a WebSocket.
    Polls(Arc<Polls>),
}

/// What came from the client.
pub enum Heard {
    /// A message.
    Text(Text),
    /// Bytes, which no agent event is made of.
    Binary,
    /// A sign of life.
    Alive,
    /// The client is gone, or broke the rules.
    Ended(Reason),
}

/// A message, as it came.
pub enum Text {
    /// In a frame.
    Frame(Utf8Bytes),
    /// In a body.
    Posted(String),
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Frame(text) => text.as_str(),
            Text::Posted(text) => text,
        }
    }
}

impl Wire {
    /// The words' wrapping.
    pub fn dialect(&self) -> Dialect {
        match self {
            Wire::Socket(_, dialect) => *dialect,
            Wire::Polls(_) => Dialect::SocketIo,
        }
    }

    /// Writes messages.
    pub fn encoder<'a>(&self, to: &'a mut Vec<u8>) -> Encoder<'a> {
        let framing = if matches!(self, Wire::Socket(..)) { Framing::WebSocket } else { Framing::Polling };
        Encoder { dialect: self.dialect(), framing, to }
    }

    /// The next thing heard. Nothing is lost when this is dropped.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match self {
                Wire::Socket(ws, _) => return heard(ws.next().await),
                Wire::Polls(polls) => match polls.posted().await {
                    Posted::Text(text) => return Heard::Text(Text::Posted(text)),
                    Posted::Closed(reason) => return Heard::Ended(reason),
                    Posted::Upgraded(ws) => *self = Wire::Socket(ws, Dialect::SocketIo),
                },
            }
        }
    }

    /// Hands messages to the system.
    pub async fn write(&mut self, bytes: Vec<u8>, seat: Option<&Seat>, patience: Duration) -> Result<(), Reason> {
        match self {
            Wire::Socket(ws, _) => write(ws, &bytes, seat, patience).await,
            Wire::Polls(polls) => {
                // Rare and slow by nature: its state need not be in every task.
                let polls = Arc::clone(polls);
                let left = Box::pin(answer(&polls, bytes, seat, patience)).await?;
                let Some((mut ws, bytes)) = left else { return Ok(()) };
                let result = Box::pin(write(&mut ws, &reframe(&bytes), seat, patience)).await;
                *self = Wire::Socket(ws, Dialect::SocketIo);
                result
            }
        }
    }

    /// Messages that are followed by a goodbye: they go with it, as one packet
    /// that wakes the other side once.
    pub async fn write_last(&mut self, bytes: Vec<u8>, patience: Duration) -> Result<(), Reason> {
        if let Wire::Socket(ws, _) = self
            && matches!(ws.flush().now_or_never(), Some(Ok(())))
        {
            let (stream, flags) = (ws.get_ref(), SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            let sent = stream.try_io(Interest::WRITABLE, || Ok(rustix::net::send(stream, &bytes, flags)?));
            return match sent {
                Ok(count) if count == bytes.len() => Ok(()),
                Ok(count) => self.write(bytes[count..].to_vec(), None, patience).await,
                Err(_) => self.write(bytes, None, patience).await,
            };
        }
        self.write(bytes, None, patience).await
    }

    /// Says goodbye, if that can be done at once.
    pub async fn end(mut self, reason: Reason) {
        if reason == Reason::Slow || reason == Reason::PingTimeout {
            return;
        }
        // A client of Socket.IO comes back by itself when only its transport
        // ends; it does not when it is told to leave.
        let stays_away = matches!(reason, Reason::Revoked | Reason::Stopped | Reason::Flood | Reason::TooMany);
        if self.dialect() == Dialect::SocketIo && stays_away {
            let mut bytes = Vec::new();
            self.encoder(&mut bytes).message(&["41/agents,"]);
            if self.write_last(bytes, CLOSE_TIMEOUT).await.is_err() {
                return;
            }
        }
        match self {
            Wire::Socket(mut ws, _) => {
                let frame = CloseFrame { code: CloseCode::from(reason.close_code()), reason: reason.text().into() };
                let _ = timeout(CLOSE_TIMEOUT, ws.send(Message::Close(Some(frame)))).await;
                // The client's own close frame, so that it reads ours before the
                // connection ends.
                let rest = async { while let Some(Ok(_)) = ws.next().await {} };
                let _ = timeout(CLOSE_TIMEOUT, rest).await;
            }
            Wire::Polls(polls) => polls.close(),
        }
    }
}

fn heard(message: Option<Result<Message, Error>>) -> Heard {
    match message {
        Some(Ok(Message::Text(text))) => Heard::Text(Text::Frame(text)),
        Some(Ok(Message::Binary(_))) => Heard::Binary,
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Alive,
        Some(Ok(Message::Close(_))) | None => Heard::Ended(Reason::Gone),
        Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => Heard::Ended(Reason::TooLarge),
        Some(Err(Error::Protocol(_) | Error::Utf8(_))) => Heard::Ended(Reason::Protocol),
        Some(Err(_)) => Heard::Ended(Reason::Gone),
    }
}

/// Past the WebSocket's own buffer, which would keep its room for ever; but not
/// before an answer to a ping that stands in it.
async fn write(ws: &mut Ws, bytes: &[u8], seat: Option<&Seat>, patience: Duration) -> Result<(), Reason> {
    match ws.flush().now_or_never() {
        Some(Ok(())) => {}
        Some(Err(_)) => return Err(Reason::Gone),
        None => match Box::pin(timeout(patience, ws.flush())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Reason::Gone),
            Err(_) => return Err(Reason::Slow),
        },
    }
    let mut rest = bytes;
    loop {
        match ws.get_ref().try_write(rest) {
            Ok(0) => return Err(Reason::Gone),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Box::pin(writable(ws, seat, patience)).await?;
            }
            Err(_) => return Err(Reason::Gone),
        }
        if rest.is_empty() {
            return Ok(());
        }
    }
}

async fn writable(ws: &Ws, seat: Option<&Seat>, patience: Duration) -> Result<(), Reason> {
    let ended = async {
        match seat {
            Some(seat) => seat.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        reason = ended => Err(reason),
        ready = timeout(patience, ws.get_ref().writable()) => match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Reason::Gone),
            Err(_) => Err(Reason::Slow),
        },
    }
}

/// Answers a poll, or tells that the client came over to a WebSocket.
async fn answer(
    polls: &Polls,
    bytes: Vec<u8>,
    seat: Option<&Seat>,
    patience: Duration,
) -> Result<Option<(Ws, Bytes)>, Reason> {
    let ended = async {
        match seat {
            Some(seat) => seat.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        reason = ended => Err(reason),
        done = timeout(patience, polls.answer(Bytes::from(bytes))) => done.unwrap_or(Err(Reason::Slow)),
    }
}
