//! An API that answers as Arroyo's does: its paths, its shapes, its errors. It
//! plans with [`dialect`] and compiles nothing; what it keeps can be looked at.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dialect;

/// A text that no compiler takes.
pub const UNCOMPILABLE: &str = "not_even_rust";

/// What there is.
#[derive(Default)]
pub struct World {
    pub functions: Vec<Value>,
    pub pipelines: Vec<Pipeline>,
    /// Every request that was believed: `POST /udfs`, in their order.
    pub asked: Vec<String>,
    pub api_key: Option<String>,
    /// What the next requests to a path are answered with instead.
    pub faults: VecDeque<Fault>,
    made: u64,
}

/// A fault to come.
pub struct Fault {
    /// `POST /pipelines`
    pub at: &'static str,
    pub status: u16,
    /// Whether what was asked for is done all the same.
    pub is_done: bool,
}

/// A pipeline and its only job.
pub struct Pipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    pub udfs: Vec<Value>,
    pub parallelism: u64,
    pub checkpoint_interval_micros: u64,
    pub stop: String,
    pub state: String,
    pub failure: Option<String>,
}

impl Pipeline {
    fn shown(&self) -> Value {
        let node = |id: u32, description: &str| json!({ "node_id": id, "operator": description, "description": description, "parallelism": self.parallelism });
        json!({
            "id": self.id, "name": self.name, "query": self.query, "udfs": self.udfs,
            "checkpoint_interval_micros": self.checkpoint_interval_micros, "stop": self.stop, "created_at": 1_795_248_000_000_000_u64,
            "action": "checkpoint", "action_text": "Stop", "action_in_progress": false, "preview": false,
            "state_url": null, "tags": {},
            "graph": { "nodes": [node(0, "KafkaSource"), node(1, "KafkaSink")],
                "edges": [{ "src_id": 0, "dest_id": 1, "key_type": "()", "value_type": "()", "edge_type": "Forward" }] },
        })
    }

    /// The texts of its functions.
    pub fn definitions(&self) -> Vec<&str> {
        self.udfs.iter().map(|udf| udf["definition"].as_str().unwrap()).collect()
    }
}

/// The API, in a thread of its own.
#[derive(Clone)]
pub struct Arroyo {
    world: Arc<Mutex<World>>,
    pub url: String,
}

type Answer = Result<Json<Value>, Response>;

#[derive(Deserialize)]
struct Page {
    starting_after: Option<String>,
    limit: Option<usize>,
}

impl Arroyo {
    /// Begins to listen.
    pub fn start() -> Arroyo {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let arroyo = Arroyo { world: Arc::default(), url };
        let router = arroyo.router();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        arroyo
    }

    /// What there is, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What was asked for that changes something, since this was asked last.
    pub fn changes(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.world().asked);
        let looks = |asked: &String| asked.starts_with("GET") || asked.contains("validate");
        asked.into_iter().filter(|asked| !looks(asked)).collect()
    }

    fn router(&self) -> Router {
        let api = Router::new()
            .route("/udfs", get(functions).post(create_function))
            .route("/udfs/validate", post(validate_function))
            .route("/udfs/{id}", delete(delete_function))
            .route("/pipelines", get(pipelines).post(create_pipeline))
            .route("/pipelines/validate_query", post(validate_query))
            .route("/pipelines/{id}", patch(patch_pipeline).delete(delete_pipeline))
            .route("/pipelines/{id}/jobs", get(jobs))
            .fallback(|| async { refused(404, "Route not found") });
        let guarded = Router::new().nest("/api/v1", api).with_state(self.clone());
        guarded.layer(middleware::from_fn_with_state(self.clone(), at_the_door))
    }
}

fn refused(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "error": message }))).into_response()
}

/// The key, and what was told to go wrong.
async fn at_the_door(State(arroyo): State<Arroyo>, request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches("/api/v1");
    let named = match path.split('/').nth(2) {
        Some(id) if !id.starts_with("validate") => path.replace(id, "ID"),
        _ => path.to_owned(),
    };
    let asked = format!("{} {named}", request.method());
    let fault = {
        let mut world = arroyo.world();
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let wanted = world.api_key.as_ref().map(|key| format!("Bearer {key}"));
        if wanted.is_some() && wanted != given {
            // As its layer does: no body at all.
            return (StatusCode::UNAUTHORIZED, Body::empty()).into_response();
        }
        world.asked.push(asked.clone());
        let is_due = world.faults.front().is_some_and(|fault| fault.at == asked);
        if is_due { world.faults.pop_front() } else { None }
    };
    match fault {
        None => next.run(request).await,
        Some(fault) => {
            if fault.is_done {
                next.run(request).await;
            }
            refused(fault.status, "Something went wrong")
        }
    }
}

/// Reads a definition: its name, or why it cannot be built.
fn compiled(definition: &str) -> Result<String, String> {
    let marked = definition.find("#[udf").ok_or("UDF must contain a function with with the annotation #[udf]")?;
    if definition[marked + 1..].contains("#[udf") {
        return Err("Only one function in a UDF may be annotated with #[udf]".to_owned());
    }
    if let Some(list) = definition.find("/*\n[dependencies]\n") {
        let end = definition[list..].find("*/").unwrap();
        let list: toml::Table = definition[list + 3..list + end]
            .parse()
            .map_err(|error| format!("invalid dependency definition: {error:?}"))?;
        // A path is looked for where the compiler runs, not where the text came from.
        let path = list["dependencies"].get("nexus-udfs").and_then(|source| source.get("path")?.as_str());
        if path.is_some_and(|path| !path.starts_with('/')) {
            return Err("error: failed to load source for dependency `nexus-udfs`".to_owned());
        }
    }
    if definition.contains(UNCOMPILABLE) {
        return Err(format!("error[E0425]: cannot find function `{UNCOMPILABLE}` in this scope"));
    }
    let declared = definition[marked..].split_once("fn ").unwrap().1;
    Ok(declared[..declared.find('(').unwrap()].to_owned())
}

async fn functions(State(arroyo): State<Arroyo>) -> Json<Value> {
    Json(json!({ "data": arroyo.world().functions }))
}

async fn validate_function(Json(asked): Json<Value>) -> Json<Value> {
    Json(match compiled(asked["definition"].as_str().unwrap()) {
        Ok(name) => json!({ "udf_name": name, "errors": [] }),
        Err(error) => json!({ "udf_name": null, "errors": [error] }),
    })
}

async fn create_function(State(arroyo): State<Arroyo>, Json(asked): Json<Value>) -> Answer {
    let definition = asked["definition"].as_str().ok_or_else(|| refused(422, "missing field `definition`"))?;
    let prefix = asked["prefix"].as_str().ok_or_else(|| refused(422, "missing field `prefix`"))?;
    let name = compiled(definition).map_err(|_| refused(400, "UDF is invalid"))?;
    let mut world = arroyo.world();
    if world.functions.iter().any(|function| function["name"] == name) {
        return Err(refused(400, "udf with that name already exists"));
    }
    world.made += 1;
    let function = json!({
        "id": format!("udf_{}", world.made), "prefix": prefix, "name": name, "language": "rust",
        "created_at": 1, "updated_at": 1, "definition": definition, "description": asked["description"],
        "dylib_url": "file:///tmp/arroyo/artifacts/x/udf.so",
    });
    world.functions.push(function.clone());
    Ok(Json(function))
}

async fn delete_function(State(arroyo): State<Arroyo>, Path(id): Path<String>) -> Result<(), Response> {
    let mut world = arroyo.world();
    let before = world.functions.len();
    world.functions.retain(|function| function["id"] != id);
    if world.functions.len() == before { Err(refused(404, "UDF not found")) } else { Ok(()) }
}

/// What the planner says to a query, with the functions it comes with and those
/// that are registered.
fn planned(world: &World, asked: &Value) -> Vec<String> {
    let own = asked["udfs"].as_array().cloned().unwrap_or_default();
    let own = own.iter().map(|udf| compiled(udf["definition"].as_str().unwrap()).unwrap());
    let registered = world.functions.iter().map(|function| function["name"].as_str().unwrap().to_owned());
    let known: BTreeSet<String> = own.chain(registered).collect();
    dialect::problems(asked["query"].as_str().unwrap(), &known)
}

async fn validate_query(State(arroyo): State<Arroyo>, Json(asked): Json<Value>) -> Json<Value> {
    let problems = planned(&arroyo.world(), &asked);
    if problems.is_empty() {
        return Json(json!({ "graph": { "nodes": [], "edges": [] }, "errors": [] }));
    }
    let span = json!({ "start": { "line": 3, "column": 7 }, "end": { "line": 3, "column": 9 } });
    let errors = problems.iter().map(|message| json!({ "message": message, "span": span }));
    Json(json!({ "graph": null, "errors": errors.collect::<Vec<_>>() }))
}

async fn create_pipeline(State(arroyo): State<Arroyo>, Json(asked): Json<Value>) -> Answer {
    let mut world = arroyo.world();
    let text = |name: &str| asked[name].as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let name = text("name").ok_or_else(|| refused(400, "Field name must be set"))?;
    let query = text("query").ok_or_else(|| refused(422, "missing field `query`"))?;
    let parallelism = asked["parallelism"].as_u64().ok_or_else(|| refused(422, "missing field `parallelism`"))?;
    let problems = planned(&world, &asked);
    if !problems.is_empty() {
        let lines = problems.iter().map(|problem| format!("\n * {problem}"));
        return Err(refused(400, &format!("Failed to plan query:{}", lines.collect::<String>())));
    }
    world.made += 1;
    let pipeline = Pipeline {
        id: format!("pl_{}", world.made),
        name,
        query,
        udfs: asked["udfs"].as_array().cloned().unwrap_or_default(),
        parallelism,
        checkpoint_interval_micros: asked["checkpoint_interval_micros"].as_u64().unwrap_or(10_000_000),
        stop: "none".to_owned(),
        state: "Running".to_owned(),
        failure: None,
    };
    let shown = pipeline.shown();
    // The newest stands first.
    world.pipelines.insert(0, pipeline);
    Ok(Json(shown))
}

async fn pipelines(State(arroyo): State<Arroyo>, Query(page): Query<Page>) -> Answer {
    let world = arroyo.world();
    let limit = page.limit.unwrap_or(10);
    let after = page.starting_after.map(|id| {
        world.pipelines.iter().position(|pipeline| pipeline.id == id).map_or(world.pipelines.len(), |at| at + 1)
    });
    let rest = &world.pipelines[after.unwrap_or(0)..];
    let shown: Vec<_> = rest.iter().take(limit).map(Pipeline::shown).collect();
    Ok(Json(json!({ "data": shown, "hasMore": rest.len() > limit })))
}

fn found<'a>(world: &'a mut World, id: &str) -> Result<&'a mut Pipeline, Response> {
    world.pipelines.iter_mut().find(|pipeline| pipeline.id == id).ok_or_else(|| refused(404, "Pipeline not found"))
}

async fn patch_pipeline(State(arroyo): State<Arroyo>, Path(id): Path<String>, Json(asked): Json<Value>) -> Answer {
    let mut world = arroyo.world();
    let pipeline = found(&mut world, &id)?;
    if let Some(micros) = asked["checkpoint_interval_micros"].as_u64() {
        if !(1_000_000..=86_400_000_000).contains(&micros) {
            return Err(refused(400, "checkpoint_interval_micros must be between 1 second and 1 day"));
        }
        pipeline.checkpoint_interval_micros = micros;
    }
    if let Some(parallelism) = asked["parallelism"].as_u64() {
        pipeline.parallelism = parallelism;
    }
    if let Some(stop) = asked["stop"].as_str() {
        assert!(["none", "checkpoint", "graceful", "immediate", "force"].contains(&stop), "{stop}");
        stop.clone_into(&mut pipeline.stop);
        "CheckpointStopping".clone_into(&mut pipeline.state);
    }
    Ok(Json(pipeline.shown()))
}

async fn delete_pipeline(State(arroyo): State<Arroyo>, Path(id): Path<String>) -> Result<(), Response> {
    let mut world = arroyo.world();
    let state = &found(&mut world, &id)?.state;
    if !["Stopped", "Finished", "Failed"].contains(&state.as_str()) {
        return Err(refused(
            400,
            "Pipeline's jobs must be in a terminal state (stopped, finished, or failed) before it can be deleted",
        ));
    }
    world.pipelines.retain(|pipeline| pipeline.id != id);
    Ok(())
}

async fn jobs(State(arroyo): State<Arroyo>, Path(id): Path<String>) -> Answer {
    let mut world = arroyo.world();
    let pipeline = found(&mut world, &id)?;
    let failure = pipeline.failure.as_ref().map(|error| json!({ "error": error, "domain": "user" }));
    let job = json!({
        "id": format!("job_{id}"), "pipeline_id": id, "running_desired": pipeline.stop == "none",
        "state": pipeline.state, "run_id": 1, "start_time": 1, "finish_time": null, "tasks": 2,
        "failure_reason": failure, "created_at": 1, "scheduler_config": {}, "env_vars": {},
    });
    // A checkpoint takes a while: who looks again finds it done.
    if pipeline.state == "CheckpointStopping" {
        "Stopped".clone_into(&mut pipeline.state);
    }
    Ok(Json(json!({ "data": [job] })))
}

#[test]
fn the_fake_refuses_what_arroyo_refuses() {
    let arroyo = Arroyo::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = super::super::hub::client();
        let ask = |method: Method, path: &str, body: Value| {
            let request = client.request(method, format!("{}/api/v1/{path}", arroyo.url)).json(&body);
            async {
                let answer = request.send().await.unwrap();
                let status = answer.status().as_u16();
                (status, serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap_or_default())
            }
        };
        let udf = json!({ "prefix": "x", "definition": "#[udf]\nfn f(a: &str) -> i64 { 1 }" });
        assert_eq!(ask(Method::POST, "udfs", udf.clone()).await.0, 200);
        assert_eq!(
            ask(Method::POST, "udfs", udf).await,
            (400, json!({ "error": "udf with that name already exists" }))
        );
        let good = json!({ "name": "p", "query": dialect::good(), "parallelism": 1 });
        let (status, made) = ask(Method::POST, "pipelines", good).await;
        assert_eq!((status, &made["udfs"]), (200, &json!([])));
        let bad = json!({ "name": "p", "query": dialect::good().replace("tumble", "session"), "parallelism": 1 });
        let (status, said) = ask(Method::POST, "pipelines", bad).await;
        assert!(status == 400 && said["error"].as_str().unwrap().starts_with("Failed to plan query:\n * "), "{said}");
        let id = made["id"].as_str().unwrap();
        assert_eq!(ask(Method::DELETE, &format!("pipelines/{id}"), json!({})).await.0, 400, "it runs");
        assert_eq!(ask(Method::GET, "nowhere", json!({})).await, (404, json!({ "error": "Route not found" })));
    });
}
