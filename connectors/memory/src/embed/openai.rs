//! Vectors from a server that speaks OpenAI's API, and summaries too
//! ([`crate::memory::summarise`]).
//!
//! `async-openai` says what is asked and how; the exchange itself is made by
//! [`providers::client`] behind it, so the house's time-outs, bounds, retries,
//! circuit and token apply as to every other call. Answers are read by types of
//! our own: servers that only resemble OpenAI leave out what its types demand.

use std::sync::Arc;

use async_openai::{
    Client as Library,
    config::Config,
    error::OpenAIError,
    middleware::HttpRequestFactory,
    types::{
        chat::CreateChatCompletionRequest,
        embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat},
    },
};
use pipeline::ports::Clock;
use reqwest::{Response, header::HeaderMap};
use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use tower::{BoxError, service_fn};
use udfs::recall::ngrams::normalise;

use super::{Embedder, Embedding, ModelError};
use crate::vectors::Model;
use providers::{
    client::{Call, Caller, Credential, Http, Ledger, Limits, Policies, ProviderError, Request, WhileDown},
    generic::Generic,
};
use runtime::{config::MemorySettings, supervisor::Failure};

/// Where OpenAI itself is.
const DEFAULT_URL: &str = "https://api.openai.com/v1";
/// Texts of one call; OpenAI takes 2,048, others fewer.
const TEXTS_MAX: usize = 128;

/// What each model's vectors have unless shortened.
const KNOWN_DIMENSIONS: &[(&str, usize)] =
    &[("text-embedding-3-small", 1_536), ("text-embedding-3-large", 3_072), ("text-embedding-ada-002", 1_536)];

/// Where the library's requests go. The token is not its business.
struct Server {
    base: String,
    no_key: SecretString,
}

impl Config for Server {
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.no_key
    }
}

/// Makes the library's exchanges.
struct Transport {
    caller: Caller,
    credential: Option<Credential>,
    clock: Arc<dyn Clock>,
    timeout_ms: u64,
}

impl Transport {
    async fn exchange(&self, asked: HttpRequestFactory) -> Result<Response, BoxError> {
        let asked = asked.build().await?;
        let mut request = Request::new(&Generic, asked.method().clone(), asked.url().clone());
        let body = asked.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        request.body = Some(("application/json", body.to_vec().into()));
        request.credential.clone_from(&self.credential);
        // Asked twice, it costs twice, and changes nothing.
        request.is_repeatable = true;
        let call = Call {
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
        // The library would log the whole of what it cannot read.
        serde_json::from_slice::<IgnoredAny>(&answer.body)
            .map_err(|error| ModelError::Down(format!("not JSON: {error}")))?;
        Ok(http::Response::new(answer.body).into())
    }
}

fn model_error(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(error) => ModelError::Down(error.to_string()),
        },
        OpenAIError::InvalidArgument(reason) => ModelError::Refused(reason),
        other => ModelError::Down(other.to_string()),
    }
}

/// Calls the server.
pub struct Client {
    library: Library<Server>,
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
        let base = base.trim_end_matches('/').to_owned();
        base.parse::<reqwest::Url>().map_err(|error| {
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
        let timeout_ms = settings.model_timeout_ms;
        // Nobody else calls with this key.
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), Policies::default(), Ledger::default());
        let transport = Arc::new(Transport { caller, credential, clock, timeout_ms });
        // The library builds its requests with a client of its own, and sends
        // none of them.
        let builder = reqwest::Client::builder().no_proxy().build()?;
        let library = Library::build(builder, Server { base, no_key: SecretString::default() });
        let exchange = service_fn(move |asked| {
            let transport = Arc::clone(&transport);
            async move { transport.exchange(asked).await }
        });
        Ok(Client { library: library.with_http_service(exchange) })
    }

    /// Vectors for texts, as the server answers.
    async fn embed(&self, request: &CreateEmbeddingRequest) -> Result<Value, ModelError> {
        self.library.embeddings().create_byot(request).await.map_err(model_error)
    }

    /// What follows in a conversation, as the server answers.
    pub async fn complete(&self, request: &CreateChatCompletionRequest) -> Result<Value, ModelError> {
        self.library.chat().create_byot(request).await.map_err(model_error)
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
        let request = CreateEmbeddingRequest {
            model: self.model.name.clone(),
            input: EmbeddingInput::StringArray(texts.to_vec()),
            encoding_format: Some(EncodingFormat::Float),
            dimensions: self.shortened.then_some(self.model.dimensions as u32),
            user: None,
        };
        let answer: Answer = serde_json::from_value(self.client.embed(&request).await?)
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
