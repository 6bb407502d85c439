//! What every store of vectors must do, told once and run on each: the embedded
//! one on SQLite and on PostgreSQL (`NEXUS_TEST_POSTGRES`).

use std::{path::PathBuf, process::Stdio, sync::Arc};

use memory::vectors::{
    Ask, Filter, Hit, Indexed, Model, Piece, Scope, VectorError, Vectors, embedded::Embedded, qdrant::Qdrant,
};
use pipeline::event::{Text, TextKind, Time, Trust};
use runtime::config::{Config, QdrantLayout};
use serde_json::Value;
use store::Store;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use udfs::recall::{ngrams, terms::terms};

pub fn model() -> Model {
    Model { name: "hashed-v1".to_owned(), dimensions: ngrams::DIMENSIONS }
}

pub fn text(tenant: &str, project: &str, id: &str, wording: &str) -> Text {
    Text {
        id: id.to_owned(),
        tenant_id: tenant.to_owned(),
        project_id: project.to_owned(),
        kind: TextKind::Message,
        text: wording.to_owned(),
        task_id: Some("task_1".to_owned()),
        channel_id: None,
        thread_ts: Some("1.0".to_owned()),
        thread_seq: None,
        author: Some("Mara".to_owned()),
        trust: Trust::Member,
        at: Time(1_000),
        revised_at: Time(1_000),
        is_edit: false,
    }
}

pub fn indexed(text: Text) -> Indexed {
    let pieces = text.text.split('|').filter(|piece| !piece.is_empty());
    let pieces = pieces.map(|piece| Piece { text: piece.to_owned(), vector: ngrams::embed(piece) }).collect();
    Indexed { text, pieces }
}

pub fn ask(query: &str, filter: Filter) -> Ask {
    Ask { vector: Some(ngrams::embed(query)), terms: terms(query), share: 0.5, filter, limit: 10 }
}

fn scope(tenant: &str, projects: &[&str]) -> Scope {
    Scope { tenant_id: tenant.to_owned(), project_ids: projects.iter().map(|id| (*id).to_owned()).collect() }
}

struct Story<'a> {
    vectors: &'a dyn Vectors,
    model: Model,
}

impl Story<'_> {
    async fn put(&self, texts: Vec<Text>) {
        let tenant = texts[0].tenant_id.clone();
        let texts: Vec<Indexed> = texts.into_iter().map(indexed).collect();
        self.vectors.put(&tenant, &self.model, &texts).await.unwrap();
    }

    async fn hits(&self, tenant: &str, projects: &[&str], ask: &Ask) -> Vec<Hit> {
        self.vectors.search(&scope(tenant, projects), &self.model, ask).await.unwrap()
    }

    async fn found(&self, tenant: &str, projects: &[&str], query: &str) -> Vec<String> {
        let hits = self.hits(tenant, projects, &ask(query, Filter::default())).await;
        hits.into_iter().map(|hit| hit.passage.text_id).collect()
    }
}

/// The suite.
pub async fn hold(vectors: &dyn Vectors) {
    let story = Story { vectors, model: model() };
    vectors.ping().await.unwrap();
    assert_eq!(story.found("acme", &["p1"], "rocket").await, [""; 0], "what is not there yet finds nothing");
    assert_eq!(vectors.count("acme", &story.model).await.unwrap(), 0);
    vectors.remove("acme", &story.model, &["t1".to_owned()]).await.unwrap();

    story
        .put(vec![
            text("acme", "p1", "t1", "the rocket launches on friday"),
            text("acme", "p1", "t2", "invoices are late again|and the rocket invoice is the worst"),
            text("acme", "p2", "t3", "the rocket of another project"),
        ])
        .await;
    story.put(vec![text("umbra", "p1", "t1", "the rocket of another tenant")]).await;

    // Isolation: by tenant and project, whatever is asked.
    let mut found = story.found("acme", &["p1"], "rocket").await;
    found.sort();
    assert_eq!(found, ["t1", "t2"], "each text once, though two pieces fit");
    assert_eq!(story.found("acme", &["p2"], "rocket").await, ["t3"]);
    assert_eq!(story.found("acme", &[], "rocket").await, [""; 0]);
    assert_eq!(story.found("acme", &["p3"], "rocket").await, [""; 0]);
    assert_eq!(story.found("acme", &["p1", "p2"], "rocket").await.len(), 3);
    let theirs = story.hits("umbra", &["p1"], &ask("rocket", Filter::default())).await;
    assert_eq!(
        theirs.iter().map(|hit| hit.passage.text.as_str()).collect::<Vec<_>>(),
        ["the rocket of another tenant"]
    );
    assert_eq!(
        (vectors.count("acme", &story.model).await.unwrap(), vectors.count("umbra", &story.model).await.unwrap()),
        (4, 1)
    );

    // What a hit carries.
    let hits = story.hits("acme", &["p1"], &ask("rocket launches", Filter::default())).await;
    let best = &hits[0];
    assert_eq!((best.passage.text_id.as_str(), best.passage.text.as_str()), ("t1", "the rocket launches on friday"));
    assert_eq!(
        (best.passage.author.as_deref(), best.passage.trust, best.passage.at, best.passage.kind),
        (Some("Mara"), Trust::Member, Time(1_000), TextKind::Message)
    );
    assert!(best.score > 0.99 && hits.windows(2).all(|pair| pair[0].score >= pair[1].score), "{hits:?}");
    assert!(hits[1].score < 0.9, "{hits:?}");
    let worst = story.hits("acme", &["p1"], &ask("worst invoice", Filter::default())).await;
    assert_eq!(worst[0].passage.text, "and the rocket invoice is the worst", "the piece that fits");

    filters(&story).await;
    replacing(&story).await;

    // Models do not meet.
    let other = Model { name: "other".to_owned(), dimensions: 8 };
    let mut small = indexed(text("acme", "p1", "t1", "the rocket in few dimensions"));
    small.pieces[0].vector = vec![0.5; 8];
    vectors.put("acme", &other, std::slice::from_ref(&small)).await.unwrap();
    let small = Ask { vector: Some(vec![0.35; 8]), ..ask("rocket", Filter::default()) };
    let few = vectors.search(&scope("acme", &["p1"]), &other, &small).await.unwrap();
    assert_eq!(few.len(), 1);
    assert_eq!(few[0].passage.text, "the rocket in few dimensions");
    let wrong = indexed(text("acme", "p1", "t9", "long"));
    let refused = vectors.put("acme", &other, &[wrong]).await;
    assert!(matches!(refused, Err(VectorError::Refused(_))), "{refused:?}");
    vectors.drop_model(&other).await.unwrap();

    assert_eq!(vectors.count("acme", &other).await.unwrap(), 0);
    assert_ne!(vectors.count("acme", &story.model).await.unwrap(), 0);
}

async fn filters(story: &Story<'_>) {
    let mut late = text("acme", "p1", "t4", "the rocket is back");
    (late.at, late.author, late.thread_ts) = (Time(9_000), Some("Jo Ann".to_owned()), Some("2.0".to_owned()));
    (late.task_id, late.kind) = (None, TextKind::Document);
    story.put(vec![late]).await;
    for (filter, wanted) in [
        (Filter { from: Some(Time(2_000)), ..Filter::default() }, vec!["t4"]),
        (Filter { from: Some(Time(9_000)), to: Some(Time(9_000)), ..Filter::default() }, vec!["t4"]),
        (Filter { to: Some(Time(8_999)), ..Filter::default() }, vec!["t1", "t2"]),
        (Filter { author: Some("jo ann".to_owned()), ..Filter::default() }, vec!["t4"]),
        (Filter { author: Some("jo".to_owned()), ..Filter::default() }, vec![]),
        (Filter { thread_ts: Some("1.0".to_owned()), ..Filter::default() }, vec!["t1", "t2"]),
        (Filter { task_id: Some("task_1".to_owned()), ..Filter::default() }, vec!["t1", "t2"]),
        (Filter { kinds: vec![TextKind::Document, TextKind::Task], ..Filter::default() }, vec!["t4"]),
        (Filter { task_id: Some("\" or 1=1".to_owned()), ..Filter::default() }, vec![]),
    ] {
        let hits = story.hits("acme", &["p1"], &ask("rocket", filter.clone())).await;
        let mut found: Vec<_> = hits.into_iter().map(|hit| hit.passage.text_id).collect();
        found.sort();
        assert_eq!(found, wanted, "{filter:?}");
    }
    // By words alone, by nearness alone.
    let words = Ask { vector: None, ..ask("friday", Filter::default()) };
    assert_eq!(story.hits("acme", &["p1"], &words).await[0].passage.text_id, "t1");
    let near = Ask { terms: Vec::new(), ..ask("rocket launch", Filter::default()) };
    assert_eq!(story.hits("acme", &["p1"], &near).await[0].passage.text_id, "t1");
    let few = Ask { limit: 1, ..ask("rocket", Filter::default()) };
    assert_eq!(story.hits("acme", &["p1"], &few).await.len(), 1);
}

async fn replacing(story: &Story<'_>) {
    let pieces = story.vectors.count("acme", &story.model).await.unwrap();
    story.put(vec![text("acme", "p1", "t2", "invoices are paid")]).await;
    assert_eq!(story.vectors.count("acme", &story.model).await.unwrap(), pieces - 1, "what it had before is gone");
    assert!(!story.found("acme", &["p1"], "rocket").await.contains(&"t2".to_owned()));
    story.put(vec![text("acme", "p1", "t2", "invoices are paid")]).await;
    assert_eq!(story.vectors.count("acme", &story.model).await.unwrap(), pieces - 1, "twice is the same as once");
    // A text that moves to another project is in that alone.
    story.put(vec![text("acme", "p2", "t2", "invoices are paid")]).await;
    // Spelling makes others a little like it, so only its place is looked at.
    let has = async |project: &str| story.found("acme", &[project], "invoices").await.contains(&"t2".to_owned());
    assert!(!has("p1").await);
    assert_eq!(story.found("acme", &["p2"], "invoices").await[0], "t2");
    story.vectors.remove("acme", &story.model, &["t2".to_owned(), "t4".to_owned()]).await.unwrap();
    assert!(!has("p2").await);
    assert_eq!(story.found("umbra", &["p1"], "rocket").await, ["t1"], "another tenant's stays");
    story.put(vec![text("acme", "p1", "t1", "")]).await;
    assert_eq!(story.found("acme", &["p1"], "rocket").await, [""; 0], "a text without pieces goes");
    story.put(vec![text("acme", "p1", "t1", "the rocket launches on friday")]).await;
    assert_eq!(story.found("acme", &["p1"], "rocket").await, ["t1"], "and comes back");
}

pub async fn store() -> (tempfile::TempDir, Arc<Store>) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    directory.path().clone_into(&mut config.data_dir);
    let store = Arc::new(Store::open(&config).await.unwrap());
    (directory, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_in_the_store() {
    crate::store::on_each("memory", |bench| async move {
        let store = Arc::new(bench.another().await);
        hold(&Embedded::new(Arc::clone(&store), 64 << 20)).await;
        // With room for next to nothing, everything is read anew and is the same.
        hold_what_is_left(&Embedded::new(Arc::clone(&store), 1)).await;
        // What one process writes is found by the next search of another.
        let (one, other) = (Embedded::new(store, 64 << 20), Embedded::new(Arc::new(bench.another().await), 64 << 20));
        let (writes, reads) = (Story { vectors: &one, model: model() }, Story { vectors: &other, model: model() });
        assert_eq!(reads.found("acme", &["p9"], "comet").await, [""; 0]);
        writes.put(vec![text("acme", "p9", "t1", "a comet")]).await;
        assert_eq!(reads.found("acme", &["p9"], "comet").await, ["t1"]);
        one.remove("acme", &model(), &["t1".to_owned()]).await.unwrap();
        assert_eq!(reads.found("acme", &["p9"], "comet").await, [""; 0]);
    })
    .await;
}

async fn hold_what_is_left(vectors: &dyn Vectors) {
    let story = Story { vectors, model: model() };
    for _ in 0..3 {
        assert_eq!(story.found("acme", &["p1"], "rocket").await, ["t1"]);
        assert_eq!(story.found("umbra", &["p1"], "rocket").await, ["t1"]);
    }
}

/// Qdrant's engine behind its gRPC, as `tests/clients/python/qdrant.py` serves it.
pub struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub url: String,
}

pub fn python(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(folder)
}

/// A virtual environment with these requirements.
pub async fn install(folder: &str, requirements: &str) -> PathBuf {
    let venv = python(folder);
    let must = async |command: &mut Command| {
        let done = command.output().await.unwrap();
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    if !venv.join("bin/python").exists() {
        std::fs::create_dir_all(venv.parent().unwrap()).unwrap();
        must(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await;
    }
    let list = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python").join(requirements);
    must(Command::new(venv.join("bin/pip")).args(["install", "-q", "--disable-pip-version-check", "-r"]).arg(list))
        .await;
    venv.join("bin/python")
}

impl Server {
    pub async fn start() -> Server {
        let python = install("qdrant", "qdrant.lock").await;
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/qdrant.py");
        let mut child = Command::new(python).arg(script).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the server says where it listens");
        let port = serde_json::from_str::<Value>(&line).unwrap()["port"].as_u64().unwrap();
        Server { _child: child, lines, url: format!("http://127.0.0.1:{port}") }
    }

    fn open(&self, layout: QdrantLayout) -> Qdrant {
        let mut config = Config::load(None, std::iter::empty()).unwrap();
        config.memory.qdrant_url.clone_from(&self.url);
        config.memory.qdrant_layout = layout;
        Qdrant::open(&config.memory).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qdrant_in_both_layouts() {
    if std::env::var_os("NEXUS_TEST_CLIENTS").is_none() {
        return;
    }
    let mut server = Server::start().await;
    hold(&server.open(QdrantLayout::Tenant)).await;
    hold(&server.open(QdrantLayout::Shared)).await;
    let mut tenants = Vec::new();
    while let Ok(Ok(Some(line))) =
        tokio::time::timeout(std::time::Duration::from_millis(200), server.lines.next_line()).await
    {
        let index = serde_json::from_str::<Value>(&line).unwrap()["index"].take();
        if index["field"] == "tenant_id" {
            tenants.push((index["collection"].as_str().unwrap().to_owned(), index["isTenant"].clone()));
        }
    }
    assert!(tenants.iter().all(|(_, is_tenant)| is_tenant == true), "{tenants:?}");
    let names: Vec<_> = tenants.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in ["tenant_acme_hashed-v1-384", "tenant_umbra_hashed-v1-384", "shared_hashed-v1-384"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
}
