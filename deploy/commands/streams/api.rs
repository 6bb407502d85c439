//! Arroyo's REST API, as far as streams need it.
//!
//! What may be asked again is, with the one policy; what makes something is
//! looked for before it is asked again. An error is told in Arroyo's own words.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pipeline::retry::{self, Decision, Failure, Policy};
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    NewPipeline,
    files::{Function, Stream},
};
use crate::commands::remote;

/// A function is compiled while its request waits; the first one of a cluster
/// brings all its crates with it.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(1_200);
/// For all that only looks or notes down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pipelines of a page, and pages at most: a cluster with more has something else wrong.
const PAGE: usize = 100;
const PAGES_MAX: usize = 100;
/// The folder that functions are shown in.
const FUNCTIONS_FOLDER: &str = "nexus";

/// A cluster's API.
pub struct Api {
    client: Client,
    url: String,
    key: Option<String>,
    policy: Policy,
}

/// A function that is registered.
#[derive(Deserialize)]
pub struct Registered {
    pub id: String,
    pub name: String,
    pub definition: String,
}

/// A pipeline that is there.
#[derive(Deserialize)]
pub struct Pipeline {
    pub id: String,
    pub name: String,
    pub query: String,
    pub udfs: Vec<Udf>,
    pub checkpoint_interval_micros: u64,
    pub graph: Graph,
}

/// A function that a pipeline was built with.
#[derive(Deserialize)]
pub struct Udf {
    pub definition: String,
}

/// What a pipeline is planned as.
#[derive(Deserialize)]
pub struct Graph {
    pub nodes: Vec<Node>,
}

/// An operator.
#[derive(Deserialize)]
pub struct Node {
    pub parallelism: u32,
}

/// A run of a pipeline.
#[derive(Deserialize)]
pub struct Job {
    pub state: String,
    #[serde(default)]
    pub failure_reason: Option<Reason>,
}

/// Why a run has failed.
#[derive(Deserialize)]
pub struct Reason {
    pub error: String,
}

#[derive(Deserialize)]
struct All<T> {
    data: Vec<T>,
    #[serde(default, rename = "hasMore")]
    has_more: bool,
}

#[derive(Deserialize)]
struct CheckedFunction {
    udf_name: Option<String>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct CheckedQuery {
    errors: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    message: String,
    #[serde(default)]
    span: Option<Value>,
}

/// How a request went wrong.
enum Wrong {
    /// Asked again, it may go well; it may have been done.
    Passing(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

impl Api {
    /// The API at an address.
    pub fn new(url: &str, key: Option<&str>) -> Result<Api> {
        let policy = Policy { backoff_first_ms: 500, ..Policy::default() };
        let key = key.filter(|key| !key.is_empty()).map(str::to_owned);
        Ok(Api { client: remote::client()?, url: url.trim_end_matches('/').to_owned(), key, policy })
    }

    /// The functions that are registered.
    pub async fn functions(&self) -> Result<Vec<Registered>> {
        let all: All<Registered> = self.get("udfs").await?;
        Ok(all.data)
    }

    /// The pipelines that are there, previews aside.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>> {
        let mut pipelines: Vec<Pipeline> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = pipelines.last().map(|last| format!("&starting_after={}", last.id)).unwrap_or_default();
            let page: All<Pipeline> = self.get(&format!("pipelines?limit={PAGE}{after}")).await?;
            let is_last = !page.has_more || page.data.is_empty();
            pipelines.extend(page.data);
            if is_last {
                return Ok(pipelines);
            }
        }
        bail!("Arroyo lists more than {} pipelines", PAGE * PAGES_MAX)
    }

    /// The runs of a pipeline.
    pub async fn jobs(&self, id: &str) -> Result<Vec<Job>> {
        let all: All<Job> = self.get(&format!("pipelines/{id}/jobs")).await?;
        Ok(all.data)
    }

    /// Whether a function can be compiled and is what we take it for.
    pub async fn check_function(&self, function: &Function) -> Result<()> {
        let body = json!({ "definition": function.definition, "language": "rust" });
        let checked: CheckedFunction = self.again(Method::POST, "udfs/validate", Some(&body)).await?;
        ensure!(checked.errors.is_empty(), "Arroyo cannot compile it:\n{}", checked.errors.join("\n"));
        let name = checked.udf_name.unwrap_or_default();
        ensure!(name == function.name, "Arroyo reads its name as {name:?}");
        Ok(())
    }

    /// Whether a query can be planned.
    pub async fn check_query(&self, stream: &Stream, definitions: &[&str]) -> Result<()> {
        let body = json!({ "query": stream.query, "udfs": udfs(definitions) });
        let checked: CheckedQuery = self.again(Method::POST, "pipelines/validate_query", Some(&body)).await?;
        if checked.errors.is_empty() {
            return Ok(());
        }
        let said = checked.errors.iter().map(|error| match error.span.as_ref().map(|span| &span["start"]) {
            Some(start) => format!("line {}, column {}: {}", start["line"], start["column"], error.message),
            None => error.message.clone(),
        });
        bail!("Arroyo cannot plan it:\n{}", said.collect::<Vec<_>>().join("\n"))
    }

    /// Registers a function.
    pub async fn add_function(&self, function: &Function) -> Result<()> {
        let body = json!({
            "prefix": FUNCTIONS_FOLDER, "language": "rust", "definition": function.definition,
            "description": format!("{} of nexus-udfs", function.name),
        });
        self.make("udfs", &body, || async {
            let there = self.functions().await?;
            Ok(there.iter().any(|there| there.name == function.name && there.definition == function.definition))
        })
        .await
    }

    /// Takes a function away.
    pub async fn delete_function(&self, id: &str) -> Result<()> {
        self.delete(&format!("udfs/{id}")).await
    }

    /// Makes a pipeline, which begins to run.
    pub async fn add_pipeline(&self, new: &NewPipeline<'_>) -> Result<()> {
        let mut body = json!({
            "name": new.name, "query": new.stream.query, "udfs": udfs(&new.definitions),
            "parallelism": new.parallelism,
        });
        if let Some(micros) = new.checkpoint_interval_micros {
            body["checkpoint_interval_micros"] = micros.into();
        }
        self.make("pipelines", &body, || async {
            let there = self.pipelines().await?;
            Ok(there.iter().any(|there| there.name == new.name && there.query == new.stream.query))
        })
        .await
    }

    /// Changes how a pipeline runs.
    pub async fn patch_pipeline(&self, id: &str, change: &Value) -> Result<()> {
        self.again::<Value>(Method::PATCH, &format!("pipelines/{id}"), Some(change)).await.map(drop)
    }

    /// Takes a pipeline away that has ended.
    pub async fn delete_pipeline(&self, id: &str) -> Result<()> {
        self.delete(&format!("pipelines/{id}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.again(Method::GET, path, None).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.again::<Value>(Method::DELETE, path, None).await.map(drop)
    }

    /// A request that does no harm twice.
    async fn again<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(method.clone(), path, body).await {
                Ok(answer) => return serde_json::from_value(answer).context("Arroyo's answer is not understood"),
                Err(Wrong::Final(error)) => return Err(error),
                Err(Wrong::Passing(error)) => self.pause(attempt, error).await?,
            }
        }
    }

    /// A request that makes something: asked again only if it is not there.
    async fn make<F: Future<Output = Result<bool>>>(
        &self,
        path: &str,
        body: &Value,
        is_there: impl Fn() -> F,
    ) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(Method::POST, path, Some(body)).await {
                Ok(_) => return Ok(()),
                Err(Wrong::Final(error)) => return Err(error),
                Err(Wrong::Passing(error)) => self.pause(attempt, error).await?,
            }
            if is_there().await? {
                return Ok(());
            }
        }
    }

    /// Waits before another attempt, or gives up with the error.
    async fn pause(&self, attempt: u32, error: anyhow::Error) -> Result<()> {
        let failure = Failure::Retryable { retry_after_ms: None };
        // Nobody else asks at the same time, so nothing is left to chance.
        match retry::decide(&self.policy, attempt, &failure, 0) {
            Decision::RetryAfter { delay_ms } => {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                Ok(())
            }
            Decision::GiveUp | Decision::Wait => Err(error),
        }
    }

    async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Wrong> {
        let compiles = method == Method::POST && path != "pipelines/validate_query";
        let timeout = if compiles { COMPILE_TIMEOUT } else { ANSWER_TIMEOUT };
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.url)).timeout(timeout);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = || format!("cannot reach Arroyo at {} (--arroyo names another)", self.url);
        let sent = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        let (status, bytes) = sent.await.with_context(unreachable).map_err(Wrong::Passing)?;
        if status.is_success() {
            // What is taken away is answered with nothing.
            let answer = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
            return answer.context("Arroyo's answer is no JSON: is this its API?").map_err(Wrong::Final);
        }
        let error = refusal(status, &bytes, path, self.key.is_some());
        Err(if status.is_server_error() { Wrong::Passing(error) } else { Wrong::Final(error) })
    }
}

/// A refusal in Arroyo's own words.
fn refusal(status: StatusCode, bytes: &[u8], path: &str, has_key: bool) -> anyhow::Error {
    if status == StatusCode::UNAUTHORIZED {
        let advice = if has_key { "it does not take this API key" } else { "it wants an API key" };
        return anyhow::anyhow!("Arroyo: {advice} (--api-key or ARROYO_API_KEY)");
    }
    let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let plain = String::from_utf8_lossy(bytes);
    let words = said["error"].as_str().unwrap_or(plain.trim());
    let words = if words.is_empty() { "no reason given" } else { words };
    anyhow::anyhow!("Arroyo answers {} to {path}: {words}", status.as_u16())
}

fn udfs(definitions: &[&str]) -> Vec<Value> {
    definitions.iter().map(|definition| json!({ "definition": definition, "language": "rust" })).collect()
}
