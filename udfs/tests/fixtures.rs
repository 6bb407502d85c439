//! Tries what others wrote. `NEXUS_FIXTURES` names a folder of vectors and
//! payloads that are not part of this repository; without it nothing is tested
//! here and the test says so.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;
use udfs::{
    cloudevents,
    json::{depth_within, mend_surrogates, well_formed},
    markup::{Body, Dialect, Document, Options, clickup_comment_to_plain, render},
    signature::{self, Scheme},
};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NEXUS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        println!("NEXUS_FIXTURES is not set: nothing was tested");
    }
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the fixture can be read")).expect("the fixture is JSON")
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str()
}

/// One request, built from a vector.
struct Request {
    lines: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    secret: String,
    now_ms: i64,
}

impl Request {
    fn of(vector: &Value) -> Request {
        let mut request = Request {
            lines: Vec::new(),
            body: text(vector, "body").expect("a vector has a body").into(),
            secret: text(vector, "secret").expect("a vector has a secret").into(),
            now_ms: 0,
        };
        request.take_headers(&vector["headers"]);
        request.now_ms = text(vector, "timestamp").and_then(|seconds| seconds.parse().ok()).unwrap_or(0i64) * 1000;
        request
    }

    fn take_headers(&mut self, headers: &Value) {
        for (name, value) in headers.as_object().into_iter().flatten() {
            let name = name.to_ascii_lowercase();
            self.lines.retain(|(known, _)| *known != name);
            self.lines.push((name, value.as_str().expect("a header is text").into()));
        }
    }

    fn verdict(&self, scheme: &Scheme) -> Result<(), signature::Refused> {
        let find = |name: &str| self.lines.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
        signature::verify(scheme, &find, &self.body, &[&self.secret], self.now_ms).map(drop)
    }
}

#[test]
fn signatures() {
    let Some(folder) = folder() else { return };
    let mut known = BTreeMap::new();
    let (mut accepted, mut refused) = (0, 0);
    for scheme in signature::SCHEMES {
        let path = folder.join(format!("signatures/{}.json", scheme.name));
        if !path.exists() {
            println!("no vectors for {}", scheme.name);
            continue;
        }
        let file = json(&path);
        let vectors = file["vectors"].as_array().expect("vectors");
        for vector in vectors {
            assert_eq!(Request::of(vector).verdict(scheme), Ok(()), "{}: {vector}", scheme.name);
            accepted += 1;
        }
        for vector in file["must_fail"].as_array().into_iter().flatten() {
            let mut request = Request::of(vector);
            request.now_ms = Request::of(&vectors[0]).now_ms;
            assert!(request.verdict(scheme).is_err(), "{}: {vector}", scheme.name);
            refused += 1;
        }
        for secret in file["invalid_secrets"].as_array().into_iter().flatten() {
            let mut request = Request::of(&vectors[0]);
            request.secret = secret.as_str().expect("a secret is text").into();
            assert_eq!(request.verdict(scheme), Err(signature::Refused::NoSecret));
            refused += 1;
        }
        known.insert(scheme.name, vectors[0].clone());
    }
    assert!(accepted >= 10 && refused >= 12, "{accepted} accepted, {refused} refused");

    let negatives = json(&folder.join("signatures/shared_negatives.json"));
    for case in negatives["cases"].as_array().expect("cases") {
        let provider = text(case, "provider").expect("a provider");
        let change = text(case, "change").expect("a change");
        if provider == "any" {
            for (name, vector) in &known {
                any_case(signature::by_name(name).expect("a scheme"), vector, change);
            }
            continue;
        }
        let scheme = signature::by_name(provider).expect("a scheme");
        let mut request = Request::of(&known[provider]);
        change_request(&mut request, case, change, scheme);
        assert!(request.verdict(scheme).is_err(), "{provider}: {change}");
    }
}

/// What may be accepted: the digits in upper case (documented), header names in
/// any case (the lookup is asked in lower case).
fn any_case(scheme: &Scheme, vector: &Value, change: &str) {
    let mut request = Request::of(vector);
    match change {
        "upper-case hex digest" if scheme.written == signature::Written::Versions => return,
        "upper-case hex digest" => {
            let digest = text(vector, "expected_digest").expect("a digest");
            for (_, value) in &mut request.lines {
                let line = String::from_utf8_lossy(value).replace(digest, &digest.to_uppercase());
                *value = line.into_bytes();
            }
        }
        "header name in other letter case" => {}
        other => panic!("a new case: {other}"),
    }
    assert_eq!(request.verdict(scheme), Ok(()), "{}: {change}", scheme.name);
}

fn change_request(request: &mut Request, case: &Value, change: &str, scheme: &Scheme) {
    let lines_before = request.lines.clone();
    let (now_ms, body) = (request.now_ms, request.body.clone());
    match change {
        "header missing" => request.lines.clear(),
        "only the legacy SHA-1 header is sent" => {
            request.lines.clear();
            request.take_headers(&case["headers"]);
        }
        "timestamp 301 s older than now" => request.now_ms += 301_000,
        "timestamp 301 s in the future" => request.now_ms -= 301_000,
        _ if change.starts_with("5000 v1 entries") => {
            let zeros = format!(",v1={}", "0".repeat(64)).repeat(5000);
            request.lines = vec![(scheme.header.into(), format!("t={}{zeros}", now_ms / 1000).into())];
        }
        _ => {
            request.take_headers(&case["headers"]);
            if let Some(lines) = case["headers_list"].as_array() {
                let line = |line: &Value| Some((line[0].as_str()?.to_ascii_lowercase(), line[1].as_str()?.into()));
                request.lines = lines.iter().filter_map(line).collect();
            }
            if let Some(changed) = text(case, "body") {
                request.body = changed.into();
            }
        }
    }
    let changed = request.lines != lines_before || request.now_ms != now_ms || request.body != body;
    assert!(changed, "{change} changed nothing");
}

/// The specification's own examples; where one holds a placeholder instead of
/// base64, that is what must be found.
#[test]
fn cloudevents_of_the_specification() {
    let Some(folder) = folder() else { return };
    for number in 1..=8 {
        let path = folder.join(format!("generic/cloudevents.json_format.{number}.json"));
        let body = std::fs::read(&path).expect("the fixture can be read");
        let placeholder = String::from_utf8_lossy(&body).contains("... base64");
        let result = match json(&path) {
            Value::Array(items) => cloudevents::batch(&body).map(|events| assert_eq!(events.len(), items.len())),
            _ => cloudevents::structured(&body).map(drop),
        };
        let expected = if placeholder { Err(cloudevents::Invalid::Bad("data_base64".into())) } else { Ok(()) };
        assert_eq!(result, expected, "{number}");
    }
}

/// Whether a body is JSON is known for each of these; none of the functions may
/// be surprised by any.
#[test]
fn adversarial_bodies() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("adversarial");
    let index = json(&folder.join("index.json"));
    let rows = index["files"].as_array().expect("a list of bodies");
    for row in rows {
        let name = text(row, "file").expect("a file");
        let body = std::fs::read(folder.join(name)).expect("the fixture can be read");
        // The index takes this one for valid, but nothing in it is ever closed.
        let unclosed = name.contains("unclosed");
        if let Some(valid) = row["valid_json_rfc8259"].as_bool().map(|valid| valid && !unclosed) {
            assert_eq!(well_formed(&body), valid, "{name}");
        }
        let deep = name.starts_with("nesting_") && name != "nesting_64.body";
        assert_eq!(depth_within(&body, 64), !deep, "{name}");
        if well_formed(&body) && name.contains("surrogate") {
            assert!(serde_json::from_slice::<Value>(&mend_surrogates(&body)).is_ok(), "{name}");
        }
        if name.starts_with("ce_") {
            let batch = name.contains("batch");
            let refused = if batch { cloudevents::batch(&body).err() } else { cloudevents::structured(&body).err() };
            assert!(refused.is_some(), "{name}");
        }
    }
}

/// Comments as ClickUp and Jira send them: a document says what the plain text
/// says, and what is rendered for the same system says it again.
#[test]
fn comments_as_documents() {
    let Some(folder) = folder() else { return };
    let mut found = 0;
    for (system, dialect) in [("clickup", Dialect::Clickup), ("jira", Dialect::Jira)] {
        for entry in std::fs::read_dir(folder.join(system)).expect("the folder can be read").flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let file = json(&entry.path());
            let of_items = file["history_items"].as_array().into_iter().flatten().map(|item| &item["comment"]);
            let of_lists = file["comments"].as_array().into_iter().flatten();
            let of_jira = [&file["body"], &file["comment"]["body"], &file["fields"]["description"]];
            for comment in of_items.chain(of_lists).chain(of_jira) {
                let (document, plain) = match dialect {
                    Dialect::Clickup => (Document::from_clickup(comment), clickup_comment_to_plain(comment)),
                    _ if comment.is_null() => continue,
                    _ => (Document::from_jira(comment), String::new()),
                };
                if dialect == Dialect::Clickup {
                    assert_eq!(document.to_plain(), plain, "{:?}", entry.path());
                }
                found += usize::from(!document.is_empty());
                for part in render(dialect, &document, &Options::default()) {
                    let Body::Json(body) = &part.body else { panic!("{dialect:?} takes JSON") };
                    let again =
                        if dialect == Dialect::Jira { Document::from_jira(body) } else { Document::from_clickup(body) };
                    assert_eq!(again.visible(), part.visible, "{:?}", entry.path());
                    assert_eq!(again.content_hash(), part.content_hash, "{:?}", entry.path());
                }
            }
        }
    }
    assert!(found >= 5, "{found}");
}
