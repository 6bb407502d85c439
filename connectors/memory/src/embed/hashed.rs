//! Vectors without a model: hashed words and parts of words.

use udfs::recall::ngrams;

use super::{Embedder, Embedding};
use crate::vectors::Model;

/// See the module.
pub struct Hashed {
    model: Model,
}

impl Hashed {
    /// The only one.
    pub fn new() -> Hashed {
        Hashed { model: Model { name: "hashed-v1".to_owned(), dimensions: ngrams::DIMENSIONS } }
    }
}

impl Default for Hashed {
    fn default() -> Self {
        Hashed::new()
    }
}

impl Embedder for Hashed {
    fn model(&self) -> &Model {
        &self.model
    }

    /// It finds near spellings, which keyword search does not; by itself it
    /// finds less than keyword search does.
    fn share(&self) -> f32 {
        0.3
    }

    fn text_bytes_max(&self) -> usize {
        1_000
    }

    fn embed(&self, texts: Vec<String>) -> Embedding<'_> {
        // Microseconds each: not worth another thread.
        Box::pin(std::future::ready(Ok(texts.iter().map(|text| ngrams::embed(text)).collect())))
    }

    fn notice(&self) -> Option<&'static str> {
        Some("memory search is lexical: no model is there; `nexus model get minilm` fetches one")
    }
}
