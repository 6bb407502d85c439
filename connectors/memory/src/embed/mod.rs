//! Texts become vectors: one trait, three makers.
//!
//! [`openai`] asks a server that speaks OpenAI's API; [`minilm`] runs a small
//! model in this process, from weights that `nexus model get minilm` fetched;
//! [`hashed`] needs nothing, and knows how words are written but not what they
//! mean. [`choose`] says which it is: what the settings name, or with `auto`
//! MiniLM where it is, else hashes. Texts leave this process only where somebody
//! asked for that by name.
//!
//! A vector has the length one and belongs to its [`Model`]: those of another
//! are never compared with it.

pub mod hashed;
pub mod minilm;
pub mod openai;

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};

use pipeline::ports::Clock;

use super::vectors::Model;
use runtime::supervisor::Failure;

/// Vectors, one for each text, in their order.
pub type Embedding<'a> = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>, ModelError>> + Send + 'a>>;

/// Why a model gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be reached, is unwell or asks to wait: whatever was asked can
    /// be asked again, and counts as not tried.
    #[error("the model is not there now: {0}")]
    Down(String),
    /// It refuses this, and always will.
    #[error("the model refuses: {0}")]
    Refused(String),
}

/// Makes vectors.
pub trait Embedder: Send + Sync + 'static {
    /// Whose vectors they are.
    fn model(&self) -> &Model;

    /// How much nearness counts against words in a search, from 0 to 1: more
    /// the better a model knows what words mean.
    fn share(&self) -> f32;

    /// The longest text that it reads whole.
    fn text_bytes_max(&self) -> usize;

    /// The vectors of texts.
    fn embed(&self, texts: Vec<String>) -> Embedding<'_>;

    /// What people should know who rely on it.
    fn notice(&self) -> Option<&'static str> {
        None
    }
}

/// Where downloaded models are kept.
pub fn models_dir(config: &runtime::config::Config) -> PathBuf {
    match config.memory.models_dir.as_os_str().is_empty() {
        true => config.data_dir.join("models"),
        false => config.memory.models_dir.clone(),
    }
}

/// The embedder that the settings ask for.
pub fn choose(config: &runtime::config::Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Embedder>, Failure> {
    let settings = &config.memory;
    let folder = models_dir(config).join(minilm::NAME);
    match &*settings.embedder {
        "auto" if minilm::is_there(&folder) => Ok(Arc::new(minilm::MiniLm::open(&folder, settings.threads_max)?)),
        "auto" | "hashed" => Ok(Arc::new(hashed::Hashed::new())),
        "minilm" => Ok(Arc::new(minilm::MiniLm::open(&folder, settings.threads_max)?)),
        "openai" => Ok(Arc::new(openai::OpenAi::new(settings, clock)?)),
        other => Err(format!("memory.embedder: there is no embedder {other:?}").into()),
    }
}

/// The embedder of a model that something was made with before, if this process
/// can have it.
pub fn of_model(model: &Model, config: &runtime::config::Config, clock: Arc<dyn Clock>) -> Option<Arc<dyn Embedder>> {
    let settings = |embedder: &str| {
        let mut config = config.clone();
        embedder.clone_into(&mut config.memory.embedder);
        if embedder == "openai" {
            config.memory.openai_embedding_model.clone_from(&model.name);
            config.memory.openai_dimensions = model.dimensions;
        }
        config
    };
    let may_ask = openai::is_configured(&config.memory);
    let known = ["hashed", "minilm", "openai"].into_iter().filter(|name| *name != "openai" || may_ask);
    known
        .filter_map(|embedder| choose(&settings(embedder), Arc::clone(&clock)).ok())
        .find(|embedder| embedder.model() == model)
}
