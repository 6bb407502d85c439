//! Vectors from a server that speaks OpenAI's API, and summaries too
//! ([`crate::summarise`]).
//!
//! A client of our own over [`providers::client`]: two calls of JSON need no
//! library, and the house's time-outs, bounds, retries and circuit apply as to
//! every other call.

use std::sync::Arc;

use pipeline::ports::Clock;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use udfs::recall::ngrams::normalise;

use super::{Embedder, Embedding, ModelError};
use crate::vectors::Model;
use providers::{
    client::{Call, Caller, Credential, Http, Ledger, Limits, Policies, ProviderError, Request, WhileDown},
    generic::Generic,
};
use runtime::{config::MemorySettings, kill_switch::KillSwitch, supervisor::Failure};

/// Where OpenAI itself is.
const DEFAULT_URL: &str = "https://api.openai.com/v1";
/// Texts of one call; OpenAI takes 2,048, others fewer.
const TEXTS_MAX: usize = 128;

/// What each model's vectors have unless shortened.
const KNOWN_DIMENSIONS: &[(&str, usize)] =
    &[("text-embedding-3-small", 1_536), ("text-embedding-3-large", 3_072), ("text-embedding-ada-002", 1_536)];

/// Calls the server.
pub struct Client {
    caller: Caller,
    url: Url,
    credential: Option<Credential>,
    clock: Arc<dyn Clock>,
    timeout_ms: u64,
}

/// Whether a server is named, or a key is there for the usual one.
pub fn is_configured(settings: &MemorySettings) -> bool {
    !settings.openai_api_key.is_empty() || !settings.openai_base_url.is_empty()
}

impl Client {
    /// The server of the settings.
    pub fn new(settings: &MemorySettings, clock: Arc<dyn Clock>) -> Result<Client, Failure> {
        let is_own = !settings.openai_base_url.is_empty();
        let base = if is_own { &settings.openai_base_url } else { DEFAULT_URL };
        let url: Url = format!("{}/", base.trim_end_matches('/')).parse().map_err(|error| {
            format!("memory.openai_base_url: {error}; it is an address like https://api.openai.com/v1")
        })?;
        let credential = match settings.openai_api_key.is_empty() {
            true if is_own => None,
            true => return Err("memory.embedder is openai, but there is no OPENAI_API_KEY".into()),
            false => Some(Credential::bearer(&settings.openai_api_key).ok_or("OPENAI_API_KEY fits no header")?),
        };
        // Whoever runs the hub named the server: it may be their own.
        let limits = Limits {
            allow_private_targets: is_own,
            timeout_ms: settings.model_timeout_ms,
            body_max_bytes: 32 << 20,
            ..Limits::default()
        };
        let caller = Caller::new(
            Http::new(limits)?,
            Arc::clone(&clock),
            Policies::default(),
            &Ledger::default(),
            // What it is asked changes nothing in the outside world.
            KillSwitch::free(),
        );
        Ok(Client { caller, url, credential, clock, timeout_ms: settings.model_timeout_ms })
    }

    /// Posts JSON, and reads JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ModelError> {
        let url = self.url.join(path).map_err(|error| ModelError::Refused(error.to_string()))?;
        let mut request = Request::new(&Generic, Method::POST, url).json(body);
        request.credential.clone_from(&self.credential);
        // Asked twice, it costs twice, and changes nothing.
        request.is_repeatable = true;
        let call = Call {
            tenant: String::new(),
            connection: "openai".to_owned(),
            request,
            scope: None,
            deadline_ms: Some(self.clock.now_ms() + 3 * self.timeout_ms),
            while_down: WhileDown::Tell,
        };
        let answer = self.caller.call(&call).await.map_err(|error| match &error {
            ProviderError::Rejected { status: Some(400 | 413 | 422), .. } => ModelError::Refused(error.to_string()),
            // A wrong key or model is put right by whoever runs the hub; until
            // then the texts wait.
            _ => ModelError::Down(error.to_string()),
        })?;
        serde_json::from_slice(&answer.body).map_err(|error| ModelError::Down(format!("not JSON: {error}")))
    }
}

/// Makes vectors there.
pub struct OpenAi {
    client: Client,
    model: Model,
    shortened: bool,
}

impl OpenAi {
    /// With the model of the settings.
    pub fn new(settings: &MemorySettings, clock: Arc<dyn Clock>) -> Result<OpenAi, Failure> {
        let name = settings.openai_embedding_model.clone();
        let usual = KNOWN_DIMENSIONS.iter().find(|(known, _)| *known == name).map(|(_, dimensions)| *dimensions);
        let dimensions = match (settings.openai_dimensions, usual) {
            (0, Some(usual)) => usual,
            (0, None) => return Err("memory.openai_dimensions: say how long the vectors of this model are".into()),
            (named, _) => named,
        };
        let shortened = usual.is_some_and(|usual| usual != dimensions);
        Ok(OpenAi { client: Client::new(settings, clock)?, model: Model { name, dimensions }, shortened })
    }

    async fn some(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut body = json!({ "model": self.model.name, "input": texts, "encoding_format": "float" });
        if self.shortened {
            body["dimensions"] = self.model.dimensions.into();
        }
        let answer: Answer = serde_json::from_value(self.client.post("embeddings", &body).await?)
            .map_err(|error| ModelError::Down(format!("not the answer of an embedding server: {error}")))?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for Vector { index, mut embedding } in answer.data {
            normalise(&mut embedding);
            if let Some(place) = vectors.get_mut(index) {
                *place = embedding;
            }
        }
        match vectors.iter().find(|vector| vector.len() != self.model.dimensions) {
            Some(vector) => {
                let (got, wanted) = (vector.len(), self.model.dimensions);
                Err(ModelError::Down(format!("a vector of {got} dimensions; memory.openai_dimensions says {wanted}")))
            }
            None => Ok(vectors),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    index: usize,
    embedding: Vec<f32>,
}

impl Embedder for OpenAi {
    fn model(&self) -> &Model {
        &self.model
    }

    fn share(&self) -> f32 {
        0.8
    }

    fn text_bytes_max(&self) -> usize {
        2_000
    }

    fn embed(&self, texts: Vec<String>) -> Embedding<'_> {
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for some in texts.chunks(TEXTS_MAX) {
                vectors.extend(self.some(some).await?);
            }
            Ok(vectors)
        })
    }
}
