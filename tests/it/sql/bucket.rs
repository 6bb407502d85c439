//! A small store that speaks S3 as far as the real client asks it: objects are
//! put, read in pieces, listed in pages and deleted, by whoever has the key.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header},
};

/// The key that opens it.
pub const ACCESS_KEY: &str = "AKIATEST";
/// And its secret, which only signs.
pub const SECRET: &str = "secret";

/// Names of one page of a list.
const PAGE: usize = 3;

#[derive(Clone)]
struct Object {
    bytes: Vec<u8>,
    version: usize,
}

/// What is in it, and how it behaves.
#[derive(Default)]
pub struct Bucket {
    objects: Mutex<BTreeMap<String, Object>>,
    versions: AtomicUsize,
    /// How many requests in pieces there were.
    pub ranges: AtomicUsize,
    /// Objects whose names end so cannot be put.
    pub refused: Mutex<Option<&'static str>>,
}

impl Bucket {
    /// Serves one at an address of its own.
    pub async fn start() -> (Arc<Bucket>, String) {
        let bucket = Arc::new(Bucket::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&bucket));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (bucket, url)
    }

    pub fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) -> usize {
        let version = self.versions.fetch_add(1, Relaxed);
        self.objects.lock().unwrap().insert(name.to_owned(), Object { bytes, version });
        version
    }

    fn list(&self, query: &BTreeMap<String, String>) -> String {
        let objects = self.objects.lock().unwrap();
        let (prefix, after) = (query.get("prefix").cloned().unwrap_or_default(), query.get("continuation-token"));
        let mut rest = objects
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && after.is_none_or(|after| *name > after))
            .peekable();
        let mut page = String::new();
        let mut last = None;
        for (name, object) in rest.by_ref().take(PAGE) {
            page += &format!(
                "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>\"{}\"</ETag><Size>{}</Size></Contents>",
                object.version,
                object.bytes.len()
            );
            last = Some(name);
        }
        let more = match (rest.peek(), last) {
            (Some(_), Some(last)) => {
                format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>")
            }
            _ => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        format!("<ListBucketResult><Name>nexus</Name><Prefix>{prefix}</Prefix>{more}{page}</ListBucketResult>")
    }

    fn read(&self, name: &str, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let objects = self.objects.lock().unwrap();
        let Some(object) = objects.get(name) else {
            return plain(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>");
        };
        let head = Response::builder()
            .header(header::ETAG, format!("\"{}\"", object.version))
            .header(header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")
            .header(header::ACCEPT_RANGES, "bytes");
        let length = object.bytes.len();
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let (head, bytes) = match range.and_then(|range| range.split_once('-')) {
            Some((from, to)) => {
                self.ranges.fetch_add(1, Relaxed);
                let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
                    (Ok(from), Ok(to)) => (from, (to + 1).min(length)),
                    (Ok(from), Err(_)) => (from, length),
                    (Err(_), to) => (length - to.unwrap().min(length), length),
                };
                let told = format!("bytes {from}-{}/{length}", to - 1);
                (
                    head.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, told),
                    object.bytes[from..to].to_vec(),
                )
            }
            None => (head, object.bytes.clone()),
        };
        let head = head.header(header::CONTENT_LENGTH, bytes.len());
        head.body(if method == Method::HEAD { Body::empty() } else { Body::from(bytes) }).unwrap()
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/xml").body(text.into().into()).unwrap()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (n.to_owned(), decoded(v))).collect()
}

async fn answer(State(bucket): State<Arc<Bucket>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let signed = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")) || !signed.contains("Signature=") {
        return plain(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    }
    let path = decoded(head.uri.path());
    // Path style: the bucket is the first part of the path.
    let Some(name) = path.strip_prefix("/nexus").map(|rest| rest.trim_start_matches('/').to_owned()) else {
        return plain(StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>");
    };
    let query = query(&head.uri);
    match head.method {
        Method::GET if query.contains_key("list-type") => plain(StatusCode::OK, bucket.list(&query)),
        Method::GET | Method::HEAD => bucket.read(&name, &head.method, &head.headers),
        Method::PUT if bucket.refused.lock().unwrap().is_some_and(|end| name.ends_with(end)) => {
            plain(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        }
        Method::PUT => {
            let version = bucket.put(&name, body.to_vec());
            Response::builder().header(header::ETAG, format!("\"{version}\"")).body(Body::empty()).unwrap()
        }
        Method::DELETE => {
            bucket.objects.lock().unwrap().remove(&name);
            plain(StatusCode::NO_CONTENT, "")
        }
        Method::POST if query.contains_key("delete") => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let mut told = String::new();
            for part in text.split("<Key>").skip(1) {
                let name = part.split("</Key>").next().unwrap();
                bucket.objects.lock().unwrap().remove(name);
                told += &format!("<Deleted><Key>{name}</Key></Deleted>");
            }
            plain(StatusCode::OK, format!("<DeleteResult>{told}</DeleteResult>"))
        }
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}
