//! The document is what the hub does.

use api::{Served, operations};
use reqwest::{Method, StatusCode};

use super::{Api, rights::address};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_served_and_described() {
    let api = Api::start().await;
    let document = api.hub.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = 0;
    for methods in document["paths"].as_object().unwrap().values() {
        described += methods.as_object().unwrap().len();
    }
    assert_eq!(described, operations().len());
    for operation in operations() {
        let method = operation.method.as_str().to_ascii_lowercase();
        assert!(document["paths"][operation.path][&method].is_object(), "{method} {}", operation.path);
        if operation.path == "/api/unrouted/reroute" {
            // Served as the others are, but it would wait for the pipeline.
            continue;
        }
        let answer = api.send(api.request(operation.method.clone(), &address(&operation, "nobody"))).await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {}", operation.path);
        assert!(!answer.text.contains("nothing at this address"), "{method} {}", operation.path);
        // An address that is described takes no method that is not.
        let unknown = api.send(api.request(Method::PUT, &address(&operation, "nobody"))).await;
        assert_eq!(unknown.status, StatusCode::METHOD_NOT_ALLOWED, "{}", operation.path);
        assert_eq!(unknown.json()["code"], "method_not_allowed");
    }
    assert!(operations().iter().any(|operation| matches!(operation.served, Served::Ingest)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_nothing_from_elsewhere() {
    let api = Api::start().await;
    let page = api.hub.get("/docs").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text.contains("openapi.json"));
    for elsewhere in ["http://", "https://", "src="] {
        assert!(!page.text.contains(elsewhere), "{elsewhere}");
    }
}
