//! Events in the shapes that senders use, and those that they should not.

use proptest::prelude::*;

use super::*;

fn bad(name: &str) -> Option<Invalid> {
    Some(Invalid::Bad(name.into()))
}

#[test]
fn the_mode_is_told_by_media_type_then_headers() {
    assert_eq!(mode(Some("application/cloudevents+json; charset=utf-8"), true), Some(Mode::Structured));
    assert_eq!(mode(Some("Application/CloudEvents-Batch+JSON"), false), Some(Mode::Batch));
    assert_eq!(mode(Some("application/json"), true), Some(Mode::Binary));
    assert_eq!(mode(None, true), Some(Mode::Binary));
    assert_eq!(mode(Some("application/cloudevents+avro"), true), None, "a format that is not read here");
    assert_eq!(mode(Some("application/json"), false), None);
}

#[test]
fn a_structured_event() {
    let body =
        br#" {"specversion":"1.0","id":"i\u0031","source":"/shop","type":"order.paid","time":"2024-02-29T12:00:00Z",
        "subject":null,"datacontenttype":"application/vnd.x+json","region":"eu","retries":3,"urgent":true,"gone":null,
        "data":{"total": 12.50}}"#;
    let event = structured(body).unwrap();
    assert_eq!(event.id, "i1");
    assert!(matches!(event.source, Cow::Borrowed("/shop")));
    assert_eq!(event.kind, "order.paid");
    assert_eq!((event.subject, event.time_ms), (None, Some(1_709_208_000_000)));
    assert_eq!(event.data, Data::Json(r#"{"total": 12.50}"#), "byte for byte");
    let extensions: Vec<_> = event.extensions.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(extensions, [("region", "eu"), ("retries", "3"), ("urgent", "true")]);
}

#[test]
fn data_by_its_media_type() {
    let data = |rest: &str| {
        let body = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{rest}}}"#);
        structured(body.as_bytes()).map(|event| format!("{:?}", event.data)).unwrap_or_else(|error| error.to_string())
    };
    assert_eq!(data(""), "None");
    assert_eq!(data(r#","data":null"#), "None");
    assert_eq!(data(r#","data":"text""#), r#"Json("\"text\"")"#);
    assert_eq!(data(r#","datacontenttype":"text/plain","data":"a\n""#), r#"Text("a\n")"#);
    assert_eq!(data(r#","datacontenttype":"text/plain","data":[1]"#), "Json(\"[1]\")");
    assert_eq!(data(r#","data_base64":"e30=""#), "Bytes([123, 125])");
    assert_eq!(data(r#","data_base64":"e30""#), "the attribute data_base64 is malformed");
    assert_eq!(data(r#","data_base64":7"#), "the attribute data_base64 is malformed");
    assert_eq!(data(r#","data":1,"data_base64":"e30=""#), "data and data_base64 exclude each other");
    assert_eq!(data(r#","data":1,"data":2"#), "the attribute data is malformed");
}

#[test]
fn what_every_event_must_have() {
    let fields = [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "t")];
    let with = |fields: &[(&str, &str)]| {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        structured(format!("{{{}}}", body.join(",")).as_bytes()).err()
    };
    assert_eq!(with(&fields), None);
    for (missing, (name, _)) in fields.iter().enumerate() {
        let mut some = fields.to_vec();
        some.remove(missing);
        assert_eq!(with(&some), Some(Invalid::Missing(name)));
        some.push((name, ""));
        assert_eq!(with(&some), bad(name));
        let twice = [&fields[..], &[fields[missing]]].concat();
        assert_eq!(with(&twice), bad(name), "which of the two would be true?");
    }
    for (name, value) in [("specversion", "0.3"), ("time", "yesterday"), ("subject", ""), ("datacontenttype", "")] {
        let mut more = fields.to_vec();
        more.retain(|(known, _)| *known != name);
        more.push((name, value));
        assert_eq!(with(&more), bad(name));
    }
    for value in ["{}", "7", "true"] {
        assert_eq!(structured(format!(r#"{{"id":{value}}}"#).as_bytes()).err(), bad("id"));
    }
    for (body, error) in
        [("", Invalid::NotJson), ("{", Invalid::NotJson), ("5", Invalid::NotAnEvent), ("[]", Invalid::NotAnEvent)]
    {
        assert_eq!(structured(body.as_bytes()), Err(error), "{body}");
    }
    assert_eq!(structured(b"{\"id\":\"\xff\"}"), Err(Invalid::NotJson));
}

#[test]
fn a_batch_is_taken_whole_or_not() {
    let one = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
    assert_eq!(batch(format!("[{one}, {one}]").as_bytes()).unwrap().len(), 2);
    assert_eq!(batch(b"[]"), Ok(Vec::new()));
    assert_eq!(batch(format!(r#"[{one},{{"specversion":"1.0"}}]"#).as_bytes()), Err(Invalid::Missing("id")));
    assert_eq!(batch(format!("[{one},5]").as_bytes()), Err(Invalid::NotAnEvent));
    assert_eq!(batch(one.as_bytes()), Err(Invalid::NotAnEvent));
}

const BINARY: [(&str, &[u8]); 4] =
    [("ce-specversion", b"1.0"), ("Ce-Id", b"1"), ("ce-source", b"/s"), ("ce-type", b"t")];

fn with<'a>(more: &[(&'a str, &'a [u8])], body: &'a [u8]) -> Result<CloudEvent<'a>, Invalid> {
    binary(BINARY.iter().chain(more).copied(), body)
}

#[test]
fn a_binary_event() {
    let headers: &[(&str, &[u8])] = &[
        ("content-type", b"application/json; charset=utf-8"),
        ("ce-subject", b"caf%C3%A9 %22x%22"),
        ("ce-quoted", b"\"a \\\"b\\\" %25\""),
        ("ce-odd", b"100% %zz %4"),
        ("ce-id", b"a second line"),
        ("accept", b"\xff"),
    ];
    let event = with(headers, b"{\"a\":1}").unwrap();
    assert_eq!((&*event.id, event.subject.as_deref()), ("1", Some("café \"x\"")));
    assert_eq!(event.extensions["quoted"], "a \"b\" %");
    assert_eq!(event.extensions["odd"], "100% %zz %4");
    assert_eq!(event.data, Data::Json("{\"a\":1}"));
    assert_eq!(event.datacontenttype.as_deref(), Some("application/json; charset=utf-8"));

    assert_eq!(with(&[("content-type", b"application/json")], b"{").err(), Some(Invalid::NotJson));
    assert_eq!(with(&[("content-type", b"text/plain")], b"{").unwrap().data, Data::Bytes(Cow::Borrowed(b"{")));
    assert_eq!(with(&[], b"").unwrap().data, Data::None);
    assert_eq!(with(&[("ce-x", b"%ff")], b"").err(), bad("x"));
    assert_eq!(with(&[("ce-time", b"soon")], b"").err(), bad("time"));
    assert_eq!(binary(BINARY[..3].iter().copied(), b"").err(), Some(Invalid::Missing("type")));
}

proptest! {
    /// Whatever comes, an event that is read has what every event has, and what
    /// is read differently in another mode is not read at all.
    #[test]
    fn what_is_read_from_any_request_is_an_event(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..100),
            r#"(\[?\{)("(specversion":"(1\.0)?"|id":"[a-c]?"|source":"s"|type":"t"|time":"[a-c]"|x":[17]|data":[\[\]1]),?){3,7}(\}\]?)"#
                .prop_map(String::into_bytes),
            Just(br#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":[1]}"#.to_vec()),
        ],
        name in "(ce-)?[a-zé]{0,3}",
        value in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let is_whole = |event: &CloudEvent<'_>| ![&event.id, &event.source, &event.kind].iter().any(|part| part.is_empty());
        let (one, many) = (structured(&body), batch(&body));
        prop_assert!(one.is_err() || many.is_err(), "an object is no list");
        if let Ok(event) = &one {
            let read: serde_json::Value = serde_json::from_slice(&body).expect("well formed");
            prop_assert!(is_whole(event));
            prop_assert_eq!((&read["specversion"], &read["id"]), (&"1.0".into(), &(*event.id).into()));
        }
        if let Ok(events) = &many {
            let read: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("well formed");
            prop_assert!(events.iter().all(is_whole));
            prop_assert_eq!(events.len(), read.len());
        }
        if let Ok(event) = with(&[(&name, &value)], &body) {
            prop_assert!(is_whole(&event));
            prop_assert_eq!((&*event.id, &*event.source, &*event.kind), ("1", "/s", "t"));
            let data = match event.data {
                Data::None => Vec::new(),
                Data::Json(text) => text.as_bytes().to_vec(),
                Data::Text(text) => text.into_owned().into_bytes(),
                Data::Bytes(bytes) => bytes.into_owned(),
            };
            prop_assert_eq!(data, body, "the body is the data, byte for byte");
        }
    }

    #[test]
    fn percent_encoding_is_undone(text in "\\PC{1,20}") {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let event = with(&[("ce-x", encoded.as_bytes())], b"").map(|event| event.extensions["x"].clone().into_owned());
        prop_assert_eq!(event, Ok(text));
    }
}
