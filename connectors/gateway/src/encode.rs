//! What an agent is told, as bytes on its way.
//!
//! The words are the same for every transport, only their wrapping differs:
//! `{"event":NAME,"data":DATA}` on a plain socket, `42/agents,[NAME,DATA]` on
//! Socket.IO. Around that comes a WebSocket frame, or for polling a separator.

use pipeline::event::{ActionResult, ActionStatus, Fault, Hello, Resync, Stopped};
use serde::Serialize;

use super::{
    entry::{Delivery, push_text},
    session::Say,
};

/// The words' wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One JSON object a message.
    Plain,
    /// Packets of Socket.IO v5, in messages of Engine.IO v4.
    SocketIo,
}

/// The messages' wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Text frames of a server, which are not masked.
    WebSocket,
    /// The payload of one poll: messages with a separator between them.
    Polling,
}

/// Between two packets of one payload.
pub const SEPARATOR: char = '\x1e';

/// Writes messages behind each other.
pub struct Encoder<'a> {
    /// How the words are wrapped.
    pub dialect: Dialect,
    /// How the messages are.
    pub framing: Framing,
    /// To where.
    pub to: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    /// Something that the session says. With `callback`, Socket.IO's client is
    /// asked to acknowledge an event under its number.
    pub fn say(&mut self, say: &Say, callback: bool) {
        match say {
            Say::Event { delivery, prev_seq, .. } => self.delivery(delivery, *prev_seq, callback),
            Say::Hello { seq, epoch, resumed } => {
                let hello = Hello { kind: "HELLO".to_owned(), seq: *seq, epoch: *epoch, resumed: *resumed };
                self.event("hello", &hello);
            }
            Say::Resync { reason, epoch, from_seq } => {
                let kind = "RESYNC".to_owned();
                self.event("resync", &Resync { kind, reason: *reason, epoch: *epoch, from_seq: *from_seq });
            }
            Say::Stopped { reason } => {
                self.event("stopped", &Stopped { kind: "STOPPED".to_owned(), reason: reason.clone() });
            }
            Say::Fault { code, detail } => {
                let (kind, code) = ("ERROR".to_owned(), (*code).to_owned());
                self.event("error", &Fault { kind, code, detail: detail.clone() });
            }
            Say::Answer { number, json } => self.message(&[&format!("43/agents,{number}"), json]),
            Say::Failed { reason, request_id, retry_after_ms } => self.event(
                "action_result",
                &ActionResult {
                    kind: "ACTION_RESULT".to_owned(),
                    status: ActionStatus::Failed,
                    reason: Some(reason.clone()),
                    action_id: None,
                    request_id: request_id.clone(),
                    retry_after_ms: *retry_after_ms,
                    trace_id: None,
                    event_id: None,
                    seq: None,
                    prev_seq: None,
                },
            ),
        }
    }

    fn event(&mut self, name: &str, data: &impl Serialize) {
        let mut head = String::with_capacity(64);
        self.open(&mut head, name, None);
        // Our own plain structures always are JSON.
        let data = serde_json::to_string(data).unwrap_or_default();
        self.message(&[&head, &data, self.close()]);
    }

    fn delivery(&mut self, delivery: &Delivery, prev_seq: u64, callback: bool) {
        use std::fmt::Write;
        let (to, name) = (delivery.to(), delivery.name());
        let mut head = String::with_capacity(160);
        self.open(&mut head, name, callback.then_some(to.seq));
        head.push_str("{\"type\":");
        push_text(&mut head, &name.to_ascii_uppercase());
        head.push_str(",\"agentId\":");
        push_text(&mut head, &to.agent);
        let _ = write!(head, ",\"seq\":{},\"prevSeq\":{prev_seq},", to.seq);
        self.message(&[&head, &delivery.entry.body, "}", self.close()]);
    }

    fn open(&self, head: &mut String, name: &str, callback: Option<u64>) {
        use std::fmt::Write;
        match self.dialect {
            Dialect::Plain => head.push_str("{\"event\":"),
            Dialect::SocketIo => {
                head.push_str("42/agents,");
                if let Some(number) = callback {
                    let _ = write!(head, "{number}");
                }
                head.push('[');
            }
        }
        push_text(head, name);
        head.push_str(if self.dialect == Dialect::Plain { ",\"data\":" } else { "," });
    }

    fn close(&self) -> &'static str {
        if self.dialect == Dialect::Plain { "}" } else { "]" }
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) {
        match (self.dialect, self.framing) {
            (Dialect::Plain, _) => self.to.extend_from_slice(&[0x89, 0]),
            (Dialect::SocketIo, _) => self.message(&["2"]),
        }
    }

    /// One message, given in pieces.
    pub fn message(&mut self, pieces: &[&str]) {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.to.reserve(bytes + 10);
        match self.framing {
            Framing::Polling if self.to.is_empty() => {}
            Framing::Polling => self.to.push(SEPARATOR as u8),
            Framing::WebSocket => self.head(bytes),
        }
        for piece in pieces {
            self.to.extend_from_slice(piece.as_bytes());
        }
    }

    /// A whole text frame begins.
    fn head(&mut self, bytes: usize) {
        self.to.push(0x81);
        match bytes {
            0..126 => self.to.push(bytes as u8),
            126..65_536 => {
                self.to.push(126);
                self.to.extend_from_slice(&(bytes as u16).to_be_bytes());
            }
            _ => {
                self.to.push(127);
                self.to.extend_from_slice(&(bytes as u64).to_be_bytes());
            }
        }
    }
}

/// A payload that was meant for polling, as frames: the client changed its
/// transport while it waited.
pub fn reframe(payload: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(payload.len() + 16);
    let mut encoder = Encoder { dialect: Dialect::SocketIo, framing: Framing::WebSocket, to: &mut frames };
    for message in String::from_utf8_lossy(payload).split(SEPARATOR) {
        encoder.message(&[message]);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(dialect: Dialect, framing: Framing, says: &[Say]) -> Vec<u8> {
        let mut to = Vec::new();
        let mut encoder = Encoder { dialect, framing, to: &mut to };
        says.iter().for_each(|say| encoder.say(say, false));
        to
    }

    fn hello() -> Say {
        Say::Hello { seq: 1, epoch: 2, resumed: true }
    }

    #[test]
    fn each_dialect_wraps_the_same_words() {
        let data = r#"{"type":"HELLO","seq":1,"epoch":2,"resumed":true}"#;
        let plain = encoded(Dialect::Plain, Framing::Polling, &[hello()]);
        assert_eq!(String::from_utf8(plain).expect("text"), format!(r#"{{"event":"hello","data":{data}}}"#));
        let socket_io = encoded(Dialect::SocketIo, Framing::Polling, &[hello(), hello()]);
        let one = format!(r#"42/agents,["hello",{data}]"#);
        assert_eq!(String::from_utf8(socket_io).expect("text"), format!("{one}\x1e{one}"));
    }

    #[test]
    fn frames_have_the_length_of_their_form() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(length);
            let mut to = Vec::new();
            Encoder { dialect: Dialect::Plain, framing: Framing::WebSocket, to: &mut to }.message(&[&text]);
            let head = match length {
                0..126 => vec![0x81, length as u8],
                126..65_536 => [&[0x81, 126][..], &(length as u16).to_be_bytes()].concat(),
                _ => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
            };
            assert_eq!(to, [&head[..], text.as_bytes()].concat());
        }
    }

    #[test]
    fn a_payload_becomes_frames() {
        let payload = encoded(Dialect::SocketIo, Framing::Polling, &[hello(), hello()]);
        assert_eq!(reframe(&payload), encoded(Dialect::SocketIo, Framing::WebSocket, &[hello(), hello()]));
    }
}
