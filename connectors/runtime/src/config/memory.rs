//! `[memory]`, as the manual describes it.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// `[memory]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct MemorySettings {
    pub embedder: String,
    pub summariser: String,
    pub threads_max: usize,
    pub models_dir: PathBuf,
    pub cache_mb_max: usize,
    pub model_timeout_ms: u64,
    pub openai_api_key: String,
    pub openai_base_url: String,
    pub openai_embedding_model: String,
    pub openai_dimensions: usize,
    pub openai_chat_model: String,
    pub qdrant_url: String,
    pub qdrant_api_key: String,
    pub qdrant_layout: QdrantLayout,
    pub qdrant_prefix: String,
}

/// How tenants share a Qdrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QdrantLayout {
    /// A collection for each.
    Tenant,
    /// One collection for all, the tenant in every filter.
    Shared,
}

impl fmt::Debug for MemorySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySettings")
            .field("embedder", &self.embedder)
            .field("summariser", &self.summariser)
            .finish()
    }
}
