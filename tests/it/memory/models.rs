//! Models: asked over HTTP, waited for while they are down, and changed without
//! anybody noticing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use memory::{
    Query, Recall,
    embed::{Embedder, hashed::Hashed, minilm::MiniLm},
    reembed::reembed,
    vectors::{Filter, Scope},
};
use pipeline::topics::Topic;
use runtime::{clock::SystemClock, config::Config};
use serde_json::{Value, json};
use store::Store;
use udfs::recall::ngrams;

use super::{CHANNEL, World};

/// A server that speaks OpenAI's API, and may be down, or refuse a text.
#[derive(Default)]
struct Server {
    is_down: AtomicBool,
    asked: AtomicUsize,
}

async fn embed(State(server): State<Arc<Server>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    server.asked.fetch_add(1, SeqCst);
    let texts: Vec<&str> = body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    if server.is_down.load(SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": { "message": "overloaded" } })));
    }
    if texts.iter().any(|text| text.contains("poison")) {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": { "message": "bad input" } })));
    }
    // Not sorted, as the API may answer.
    let data =
        texts.iter().enumerate().rev().map(|(index, text)| json!({ "index": index, "embedding": ngrams::embed(text) }));
    (StatusCode::OK, Json(json!({ "data": data.collect::<Vec<_>>() })))
}

async fn answer(Json(body): Json<Value>) -> Json<Value> {
    let said = body["messages"][1]["content"].as_str().unwrap();
    assert!(said.contains("<<<data "), "what a thread says is fenced");
    Json(json!({ "choices": [{ "message": { "content": "Decisions:\n- Mara: fly" } }] }))
}

async fn serve(server: Arc<Server>) -> String {
    let router = Router::new()
        .route("/v1/embeddings", post(embed))
        .with_state(server)
        .route("/v1/chat/completions", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn over(config: &mut Config, url: &str) {
    config.memory.embedder = "openai".to_owned();
    config.memory.openai_base_url = url.to_owned();
    config.memory.openai_embedding_model = "tiny".to_owned();
    config.memory.openai_dimensions = ngrams::DIMENSIONS;
    config.memory.openai_chat_model = "teller".to_owned();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_a_model_is_down_and_poison_is_put_away() {
    let server = Arc::new(Server::default());
    let url = serve(Arc::clone(&server)).await;
    let world = World::start_with(|config| over(config, &url)).await;
    server.is_down.store(true, SeqCst);
    world.said(CHANNEL, "1795000000.000100", None, "U0MARA", "The pump is replaced").await;
    world.said(CHANNEL, "1795000001.000100", None, "U0EVE", "This is poison for the model").await;
    world.said(CHANNEL, "1795000002.000100", None, "U0JO", "The valve is next").await;
    while server.asked.load(SeqCst) < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let learned = world.api.hub.values(Topic::MemoryResults, 0).await;
    assert!(learned.is_empty(), "{learned:?}");
    server.is_down.store(false, SeqCst);
    world.until("pump valve", |found| found.len() == 2).await;
    let letters = world.api.hub.values(Topic::DeadLetters, 1).await;
    assert_eq!((letters.len(), &letters[0]["stage"]), (1, &json!("memory")));
    let results = world.api.hub.values(Topic::MemoryResults, 1).await;
    assert_eq!(results.iter().filter(|result| result["outcome"] == "failed").count(), 1, "{results:#?}");
    let path = format!("/api/threads/{CHANNEL}/1795000000.000100/summary");
    let summary = world.api.ask("GET", &path, &world.admin, None).await.json();
    assert_eq!(
        (&summary["data"]["text"], &summary["data"]["model"]),
        (&json!("Decisions:\n- Mara: fly"), &json!("teller"))
    );
    // A query whose model is down looks for words alone.
    server.is_down.store(true, SeqCst);
    assert_eq!(world.found(&world.admin, &world.project, "pump").await, ["The pump is replaced"]);
    world.api.hub.is_unharmed().await;
}

/// The memory of a hub with hashed n-grams moves to a model behind HTTP while
/// it is searched: at every moment the search finds what was said.
#[tokio::test(flavor = "multi_thread")]
async fn another_model_takes_over_without_a_gap() {
    let server = Arc::new(Server::default());
    let url = serve(Arc::clone(&server)).await;
    let world = World::start_with(|config| {
        over(config, &url);
        config.memory.embedder = "hashed".to_owned();
    })
    .await;
    for number in 0..80 {
        world
            .said(
                CHANNEL,
                &format!("17950000{number:02}.000100"),
                None,
                "U0MARA",
                &format!("note {number} about the pump"),
            )
            .await;
    }
    world.until("note 79", |found| found.first().is_some_and(|text| text.contains("79"))).await;

    let mut config = Config::load(None, std::iter::empty()).unwrap();
    world.api.hub.directory.path().clone_into(&mut config.data_dir);
    over(&mut config, &url);
    let store = Arc::new(Store::open(&config).await.unwrap());
    let recall = Arc::new(Recall::open(&config, store, Arc::new(SystemClock)).unwrap());
    let moving = {
        let recall = Arc::clone(&recall);
        tokio::spawn(async move { reembed(&recall, |_, _| {}).await.unwrap() })
    };
    let mut late = 0;
    while !moving.is_finished() {
        let found = world.found(&world.admin, &world.project, "note 79 about the pump").await;
        assert_eq!(found.first().map(String::as_str), Some("note 79 about the pump"));
        late += 1;
        world.said(CHANNEL, &format!("17950010{late:02}.000100"), None, "U0JO", &format!("late {late}")).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let moved = moving.await.unwrap();
    assert_eq!((moved.from.as_str(), moved.to.as_str()), ("hashed-v1-384", "tiny-384"));
    assert!(moved.texts >= 80, "{moved:?}");
    // What was said on the way is there too, in the new one alone.
    world
        .until(&format!("late {late}"), |found| found.first().is_some_and(|text| *text == format!("late {late}")))
        .await;
    let scope = Scope { tenant_id: "acme".to_owned(), project_ids: vec![world.project.clone()] };
    let query = Query { text: "late 1".to_owned(), filter: Filter::default(), limit: 100 };
    let found = recall.search(&scope, &query).await.unwrap();
    assert!(!found.by_words_only && found.hits.iter().any(|hit| hit.passage.text == "late 1"), "{found:?}");
    assert_eq!(recall.vectors.count("acme", &Hashed::new().model().clone()).await.unwrap(), 0);
    world.api.hub.is_unharmed().await;
}

/// The model in plain Rust gives what its authors' own program gives: known
/// likenesses of pairs of sentences.
#[tokio::test(flavor = "multi_thread")]
async fn minilm_knows_what_words_mean() {
    let Ok(folder) = std::env::var("NEXUS_TEST_MINILM") else { return };
    let model = MiniLm::open(std::path::Path::new(&folder), 2).unwrap();
    let texts = [
        "That is a happy person",
        "That is a happy dog",
        "That is a very happy person",
        "Today is a sunny day",
        "The payment service is down",
        "customers cannot check out",
    ];
    let vectors = model.embed(texts.map(str::to_owned).to_vec()).await.unwrap();
    let likeness =
        |one: usize, other: usize| -> f32 { vectors[one].iter().zip(&vectors[other]).map(|(a, b)| a * b).sum() };
    // The model card's own example.
    for (other, wanted) in [(1, 0.695), (2, 0.943), (3, 0.257)] {
        assert!((likeness(0, other) - wanted).abs() < 0.01, "{} {wanted}", likeness(0, other));
    }
    assert!(likeness(4, 5) > likeness(4, 3));
}
