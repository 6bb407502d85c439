//! What agents say: parsed from both dialects, checked, and made into actions.
//!
//! What is not understood is answered and never written down; what is written
//! down is as the agent said it.

use std::borrow::Cow;

use pipeline::event::{AgentAction, AgentMessage, StatusUpdate, Time, ToolRequest, TraceOf, Usage};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::seat::Identity;
use runtime::identity::random_hex;

/// A message of a client.
#[derive(Debug)]
pub enum Said<'a> {
    /// An agent event. With a number, the client of Socket.IO wants it
    /// acknowledged.
    Event {
        /// Its name.
        name: Cow<'a, str>,
        /// Its data.
        data: Option<&'a RawValue>,
        /// Under this number.
        answer: Option<u64>,
    },
    /// Socket.IO's own acknowledgement of an event of ours.
    Acked(u64),
    /// A sign of life.
    Alive,
    /// Goodbye.
    Leave,
    /// Not understood.
    Bad(&'static str, String),
}

#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A message on a plain socket.
pub fn plain(text: &str) -> Said<'_> {
    match serde_json::from_str::<Plain<'_>>(text) {
        Ok(Plain { event, data }) => Said::Event { name: event, data, answer: None },
        Err(error) => Said::Bad("bad_json", format!("a message is {{\"event\":…,\"data\":…}}: {error}")),
    }
}

/// A packet of Engine.IO on a socket that is connected to `/agents`.
pub fn socket_io(text: &str) -> Said<'_> {
    let Some(packet) = text.strip_prefix('4') else {
        return match text.as_bytes().first() {
            Some(b'1') => Said::Leave,
            Some(b'b') => binary(),
            _ => Said::Alive,
        };
    };
    let Some(kind) = packet.bytes().next() else {
        return Said::Bad("bad_packet", "an empty packet".to_owned());
    };
    if matches!(kind, b'5' | b'6') {
        return binary();
    }
    let Some(rest) = packet[1..].strip_prefix("/agents") else {
        return Said::Bad("unknown_namespace", "this socket is connected to /agents only".to_owned());
    };
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, payload) = (rest[..digits].parse::<u64>().ok(), &rest[digits..]);
    match (kind, number) {
        (b'1', _) => Said::Leave,
        // Connected already.
        (b'0', _) => Said::Alive,
        (b'3', Some(number)) => Said::Acked(number),
        (b'2', answer) => event(payload, answer),
        _ => Said::Bad("bad_packet", "a packet of no known kind".to_owned()),
    }
}

fn event(payload: &str, answer: Option<u64>) -> Said<'_> {
    match serde_json::from_str::<Vec<&RawValue>>(payload) {
        Ok(parts) => match parts.first().map(|name| serde_json::from_str::<Cow<'_, str>>(name.get())) {
            Some(Ok(name)) => Said::Event { name: Cow::Owned(name.into_owned()), data: parts.get(1).copied(), answer },
            _ => Said::Bad("bad_packet", "an event without a name".to_owned()),
        },
        Err(error) => Said::Bad("bad_json", format!("an event is [NAME, DATA]: {error}")),
    }
}

fn binary<'a>() -> Said<'a> {
    Said::Bad("binary_unsupported", "agent events are JSON; send bytes as text".to_owned())
}

/// Why an action is not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What the agent called it, as far as it did.
    pub request_id: Option<String>,
    /// Why.
    pub reason: String,
}

/// The longest text of one message or status.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The names of what is written down.
pub fn is_action(name: &str) -> bool {
    matches!(name, "message" | "status_update" | "tool_request" | "trace" | "usage")
}

/// An action, checked.
pub fn action(name: &str, data: Option<&RawValue>, of: &Identity, now_ms: u64) -> Result<AgentAction, Invalid> {
    let data = data.map_or("null", RawValue::get);
    let value: Value = serde_json::from_str(data)
        .map_err(|error| Invalid { request_id: None, reason: format!("the data cannot be read: {error}") })?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let trace_id = text("traceId").filter(|trace| is_trace(trace)).map_or_else(random_hex, str::to_owned);
    let checked = match name {
        "message" => check::<AgentMessage>(&value).and_then(|message| match message {
            _ if message.text.trim().is_empty() => Err("text is empty".to_owned()),
            _ if message.task_id.is_none() && message.thread.is_none() => {
                Err("taskId or thread is needed, to say it there".to_owned())
            }
            _ => short("text", &message.text),
        }),
        "status_update" => check::<StatusUpdate>(&value).and_then(|update| {
            short("status", &update.status).and_then(|()| short("message", update.message.as_deref().unwrap_or("")))
        }),
        "tool_request" => check::<ToolRequest>(&value).map(drop),
        "trace" => check::<TraceOf>(&value).map(drop),
        _ => check::<Usage>(&value).map(drop),
    };
    if let Err(reason) = checked {
        return Err(Invalid { request_id: text("requestId").map(str::to_owned), reason });
    }
    Ok(AgentAction {
        id: format!("act_{}", random_hex()),
        tenant_id: of.tenant.to_string(),
        agent_id: of.agent.to_string(),
        name: name.to_owned(),
        data: value,
        at: Time::from_ms(now_ms),
        trace_id: Some(trace_id),
        correlation_id: None,
    })
}

fn check<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn short(name: &str, text: &str) -> Result<(), String> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("{name} is longer than {TEXT_BYTES_MAX} bytes")),
    }
}

fn is_trace(trace: &str) -> bool {
    trace.len() == 32 && trace.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity { tenant: "acme".into(), agent: "a".into(), client: "c".into(), expires_at_ms: 0, partition: 0 }
    }

    fn act(name: &str, data: &Value) -> Result<AgentAction, Invalid> {
        let raw = RawValue::from_string(data.to_string()).expect("JSON");
        action(name, Some(&raw), &identity(), 5)
    }

    #[test]
    fn both_dialects_say_the_same() {
        let is_ack = |said: Said<'_>| matches!(said, Said::Event { name, data: Some(data), .. } if name == "ack" && data.get() == r#"{"seq":3}"#);
        assert!(is_ack(plain(r#"{"event":"ack","data":{"seq":3}}"#)));
        assert!(is_ack(socket_io(r#"42/agents,["ack",{"seq":3}]"#)));
        assert!(matches!(socket_io(r#"42/agents,17["heartbeat"]"#), Said::Event { answer: Some(17), data: None, .. }));
        assert!(matches!(socket_io("43/agents,9[]"), Said::Acked(9)));
        assert!(matches!(socket_io("3"), Said::Alive));
        assert!(matches!(socket_io("41/agents,"), Said::Leave));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, code) in [
            ("45/agents,1-[\"x\"]", "binary_unsupported"),
            ("bAAAA", "binary_unsupported"),
            ("42[\"x\"]", "unknown_namespace"),
            ("42/agents,{}", "bad_json"),
            ("42/agents,[]", "bad_packet"),
            ("42/agents,[1]", "bad_packet"),
            ("4", "bad_packet"),
            ("49/agents,", "bad_packet"),
        ] {
            assert!(matches!(socket_io(text), Said::Bad(known, _) if known == code), "{text}");
        }
        for text in ["", "x", "[]", r#"{"data":{}}"#] {
            assert!(matches!(plain(text), Said::Bad("bad_json", _)), "{text}");
        }
    }

    #[test]
    fn an_action_carries_what_was_said_and_a_trace() {
        let trace = "0123456789abcdef0123456789abcdef";
        let said = json!({"taskId": "task_1", "text": "done", "traceId": trace, "more": [1]});
        let action = act("message", &said).expect("valid");
        assert_eq!((action.data, action.trace_id.as_deref(), &*action.tenant_id), (said, Some(trace), "acme"));
        let other = act("usage", &json!({"model": "m", "inputTokens": 1, "outputTokens": 2, "traceId": "no"}));
        assert!(other.expect("valid").trace_id.is_some_and(|trace| is_trace(&trace)));
    }

    #[test]
    fn what_lacks_something_is_refused_by_its_request() {
        for (name, data) in [
            ("message", json!({"requestId": "r", "text": "to nobody"})),
            ("message", json!({"requestId": "r", "taskId": "t", "text": " "})),
            ("message", json!({"requestId": "r", "taskId": "t", "text": "x".repeat(TEXT_BYTES_MAX + 1)})),
            ("status_update", json!({"requestId": "r"})),
            ("tool_request", json!({"requestId": "r"})),
            ("usage", json!({"requestId": "r", "model": "m", "inputTokens": -1, "outputTokens": 0})),
        ] {
            assert_eq!(act(name, &data).expect_err(name).request_id.as_deref(), Some("r"), "{name}");
        }
        assert!(act("trace", &Value::Null).is_err());
    }
}
