//! Spans as OTLP's protobuf, in the types of `opentelemetry-proto`. Pure.
//!
//! Only the messages are OpenTelemetry's: its spans are made while the work is
//! done, in one process; ours are made of records.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status, status::StatusCode},
};
use prost::Message as _;

use super::build::{Attribute, Span};

fn pair(Attribute(name, value): &Attribute) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.clone())) });
    KeyValue { key: (*name).to_owned(), value, ..KeyValue::default() }
}

fn message(span: &Span) -> Message {
    let status = |error: &String| Status { message: error.clone(), code: StatusCode::Error.into() };
    Message {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: span.kind as i32,
        start_time_unix_nano: span.begun_ns,
        end_time_unix_nano: span.ended_ns.max(span.begun_ns),
        attributes: span.attributes.iter().map(pair).collect(),
        status: span.error.as_ref().map(status),
        ..Message::default()
    }
}

/// An `ExportTraceServiceRequest`.
pub fn request(resource: &[Attribute], spans: &[Span]) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "nexus".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.iter().map(message).collect();
    let of_resource = ResourceSpans {
        resource: Some(Resource { attributes: resource.iter().map(pair).collect(), ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::{super::build::Kind, *};

    fn one() -> Span {
        Span {
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            id: 0x1112_1314_1516_1718,
            parent: None,
            name: "a".to_owned(),
            kind: Kind::Server,
            begun_ns: 1,
            ended_ns: 2,
            attributes: vec![Attribute("k", "v".to_owned())],
            error: None,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let bytes = message(&one()).encode_to_vec();
        let mut expected = vec![0x0a, 16];
        expected.extend(1..=16u8);
        expected.extend([0x12, 8]);
        expected.extend(0x11..=0x18u8);
        expected.extend([0x2a, 1, b'a', 0x30, 2]);
        expected.extend([0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 2, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0x4a, 8, 0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'v']);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_request_says_whose_spans_they_are_and_what_failed() {
        let failed = Span { parent: Some(7), error: Some("gone".to_owned()), begun_ns: 9, ..one() };
        let bytes = request(&[Attribute("service.name", "nexus".to_owned())], &[one(), failed]);
        let request = ExportTraceServiceRequest::decode(&bytes[..]).expect("a request");
        let [of_resource] = &request.resource_spans[..] else { panic!("{request:?}") };
        assert_eq!(of_resource.resource.as_ref().map(|resource| resource.attributes.len()), Some(1));
        let [of_scope] = &of_resource.scope_spans[..] else { panic!("{request:?}") };
        assert_eq!(of_scope.scope.as_ref().map(|scope| &*scope.name), Some("nexus"));
        let [_, failed] = &of_scope.spans[..] else { panic!("{request:?}") };
        assert_eq!((&failed.parent_span_id[..], failed.end_time_unix_nano), (&[0, 0, 0, 0, 0, 0, 0, 7][..], 9));
        let status = failed.status.as_ref().expect("a status");
        assert_eq!((&*status.message, status.code()), ("gone", StatusCode::Error));
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let long = Message { name: "\u{7}".repeat(300), ..Message::default() };
        let to = long.encode_to_vec();
        assert_eq!((&to[..3], to.len()), (&[0x2a, 0xac, 0x02][..], 303));
    }
}
