//! Spans as OTLP's protobuf: the few messages of `opentelemetry.proto.trace.v1`
//! that we send, written by hand. Pure.
//!
//! By hand, because it is these hundred lines: the crates of OpenTelemetry with
//! their protobuf and gRPC types are forty more to compile, and their spans are
//! made while the work is done, in one process; ours are made of records.

use super::build::{Attribute, Span};

/// A field that has bytes in it.
fn field(to: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    to.push(number << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn number(to: &mut Vec<u8>, field: u8, value: u64) {
    to.push(field << 3);
    varint(to, value);
}

fn fixed(to: &mut Vec<u8>, field: u8, value: u64) {
    to.push(field << 3 | 1);
    to.extend_from_slice(&value.to_le_bytes());
}

fn attribute(to: &mut Vec<u8>, field_number: u8, Attribute(name, value): &Attribute) {
    let (mut pair, mut any) = (Vec::new(), Vec::new());
    field(&mut any, 1, value.as_bytes());
    field(&mut pair, 1, name.as_bytes());
    field(&mut pair, 2, &any);
    field(to, field_number, &pair);
}

fn span(span: &Span) -> Vec<u8> {
    let mut to = Vec::with_capacity(256);
    field(&mut to, 1, &span.trace.to_be_bytes());
    field(&mut to, 2, &span.id.to_be_bytes());
    if let Some(parent) = span.parent {
        field(&mut to, 4, &parent.to_be_bytes());
    }
    field(&mut to, 5, span.name.as_bytes());
    number(&mut to, 6, span.kind as u64);
    fixed(&mut to, 7, span.begun_ns);
    fixed(&mut to, 8, span.ended_ns.max(span.begun_ns));
    span.attributes.iter().for_each(|one| attribute(&mut to, 9, one));
    if let Some(error) = &span.error {
        let mut status = Vec::new();
        field(&mut status, 2, error.as_bytes());
        number(&mut status, 3, 2);
        field(&mut to, 15, &status);
    }
    to
}

/// An `ExportTraceServiceRequest`.
pub fn request(resource: &[Attribute], spans: &[Span]) -> Vec<u8> {
    let (mut scope, mut of_scope, mut of_resource, mut described) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    field(&mut scope, 1, b"nexus");
    field(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    field(&mut of_scope, 1, &scope);
    spans.iter().for_each(|one| field(&mut of_scope, 2, &span(one)));
    resource.iter().for_each(|one| attribute(&mut described, 1, one));
    field(&mut of_resource, 1, &described);
    field(&mut of_resource, 2, &of_scope);
    let mut whole = Vec::with_capacity(of_resource.len() + 8);
    field(&mut whole, 1, &of_resource);
    whole
}

#[cfg(test)]
mod tests {
    use super::{super::build::Kind, *};

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let one = Span {
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            id: 0x1112_1314_1516_1718,
            parent: None,
            name: "a".to_owned(),
            kind: Kind::Server,
            begun_ns: 1,
            ended_ns: 2,
            attributes: vec![Attribute("k", "v".to_owned())],
            error: None,
        };
        let bytes = span(&one);
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
    fn long_texts_have_long_lengths() {
        let mut to = Vec::new();
        field(&mut to, 1, &[7; 300]);
        assert_eq!((&to[..3], to.len()), (&[0x0a, 0xac, 0x02][..], 303));
    }
}
