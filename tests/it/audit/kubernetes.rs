//! Scaling the agents' deployments, against a server that speaks the few words
//! of the Kubernetes API that are needed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch},
};
use serde_json::{Value, json};

use super::House;

#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<Deployments>>);

/// By name: labels and replicas.
#[derive(Default)]
struct Deployments {
    known: BTreeMap<String, (BTreeMap<String, String>, u64)>,
    breaks_at: Option<String>,
}

const TOKEN: &str = "account-token-1";

fn is_account(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|given| given == &format!("Bearer {TOKEN}"))
}

async fn list(
    State(cluster): State<Cluster>,
    headers: HeaderMap,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    if !is_account(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Unauthorized"}))).into_response();
    }
    let wanted: Vec<_> = asked["labelSelector"].split(',').filter_map(|pair| pair.split_once('=')).collect();
    let state = cluster.0.lock().unwrap();
    let fits = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|is| is == value))
    };
    let mut names: Vec<_> = state.known.iter().filter(|(_, (labels, _))| fits(labels)).collect();
    // One a page, whatever is asked for, as a server may.
    let from: usize = asked.get("continue").map_or(0, |at| at.parse().unwrap());
    let next = if names.len() > from + 1 { (from + 1).to_string() } else { String::new() };
    let page: Vec<_> = names.drain(..).skip(from).take(1).collect();
    let items: Vec<_> = page
        .iter()
        .map(|(name, (_, replicas))| json!({"metadata": {"name": name}, "spec": {"replicas": replicas}}))
        .collect();
    Json(json!({"items": items, "metadata": {"continue": next}})).into_response()
}

async fn scale(State(cluster): State<Cluster>, Path(name): Path<String>, headers: HeaderMap, body: String) -> Response {
    assert_eq!(headers["content-type"], "application/merge-patch+json");
    assert!(is_account(&headers));
    let mut state = cluster.0.lock().unwrap();
    if state.breaks_at.as_ref() == Some(&name) {
        return (StatusCode::FORBIDDEN, Json(json!({"message": "deployments/scale is forbidden"}))).into_response();
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    state.known.get_mut(&name).unwrap().1 = body["spec"]["replicas"].as_u64().unwrap();
    Json(json!({})).into_response()
}

impl Cluster {
    async fn start() -> (Cluster, String) {
        let cluster = Cluster::default();
        let path = "/apis/apps/v1/namespaces/agents/deployments";
        let router = Router::new()
            .route(path, get(list))
            .route(&format!("{path}/{{name}}/scale"), patch(scale))
            .with_state(cluster.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (cluster, url)
    }

    fn deploy(&self, name: &str, labels: &[(&str, &str)], replicas: u64) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.0.lock().unwrap().known.insert(name.to_owned(), (labels, replicas));
    }

    fn replicas(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap().known.iter().map(|(name, (_, replicas))| (name.clone(), *replicas)).collect()
    }
}

fn are(cluster: &Cluster, wanted: &[(&str, u64)]) {
    let wanted: Vec<_> = wanted.iter().map(|(name, replicas)| ((*name).to_owned(), *replicas)).collect();
    assert_eq!(cluster.replicas(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_scaled_to_nothing_and_back() {
    let (cluster, url) = Cluster::start().await;
    let agent = ("nexus.dev/agent", "true");
    cluster.deploy("a-acme", &[agent, ("nexus.dev/tenant", "acme")], 3);
    cluster.deploy("b-acme", &[agent, ("nexus.dev/tenant", "acme")], 1);
    cluster.deploy("c-shared", &[agent], 2);
    cluster.deploy("d-database", &[], 5);
    let account = tempfile::tempdir().unwrap();
    std::fs::write(account.path().join("token"), format!("{TOKEN}\n")).unwrap();
    std::fs::write(account.path().join("namespace"), "agents\n").unwrap();
    let folder = account.path().to_owned();
    // The address is private and plain, and providers' may not be.
    let house = House::open_with(|config| {
        config.kubernetes.api_url = url;
        config.kubernetes.account_dir = folder;
    })
    .await;
    let stop = |token: String| {
        let body = json!({ "reason": "runaway", "scaleToZero": true });
        let house = &house;
        async move { house.api.ask("POST", "/admin/stop-all-agents", &token, Some(body)).await.json()["data"].take() }
    };
    let stopped = stop(house.admin.clone()).await;
    assert_eq!(stopped["scaled"], json!([{"name": "a-acme", "replicas": 3}, {"name": "b-acme", "replicas": 1}]));
    are(&cluster, &[("a-acme", 0), ("b-acme", 0), ("c-shared", 2), ("d-database", 5)]);
    // Once more changes nothing of what is remembered.
    stop(house.admin.clone()).await;
    house.resume().await;
    are(&cluster, &[("a-acme", 3), ("b-acme", 1), ("c-shared", 2), ("d-database", 5)]);

    // The platform's is all agents'; one that is refused is told, the others are scaled.
    cluster.0.lock().unwrap().breaks_at = Some("b-acme".to_owned());
    let stopped = stop(house.api.local()).await;
    assert!(stopped["scalingFailed"].as_str().unwrap().contains("forbidden"), "{stopped}");
    assert_eq!(stopped["stopped"], true);
    are(&cluster, &[("a-acme", 0), ("b-acme", 1), ("c-shared", 0), ("d-database", 5)]);
    cluster.0.lock().unwrap().breaks_at = None;
    let resumed = house.api.ask("POST", "/admin/resume", &house.api.local(), None).await.json();
    assert!(resumed["data"]["scalingFailed"].is_null(), "{resumed}");
    are(&cluster, &[("a-acme", 3), ("b-acme", 1), ("c-shared", 2), ("d-database", 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cluster_it_stops_all_the_same() {
    let house = House::open().await;
    let body = json!({ "reason": "runaway", "scaleToZero": true });
    let stopped = house.ask("POST", "/admin/stop-all-agents", Some(body)).await;
    assert_eq!(stopped["data"]["stopped"], true);
    assert!(stopped["data"]["scalingFailed"].as_str().unwrap().contains("kubernetes.api_url"), "{stopped}");
}
