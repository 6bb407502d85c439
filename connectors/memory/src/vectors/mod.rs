//! Where chunks of texts are kept and found again: one trait, over our own
//! types, and the [`embedded`] store.
//!
//! Guaranteed by every implementation, and shown by one suite over whatever implements it:
//! what a search returns belongs to the tenant and to the projects of its
//! [`Scope`], whatever the filter or the query says; an empty scope finds
//! nothing; a text's chunks are replaced as a whole; putting the same twice is
//! the same as once. Models do not see each other's vectors.

pub mod embedded;
pub mod qdrant;

use std::{future::Future, pin::Pin};

use pipeline::event::{Text, TextKind, Time};
use udfs::recall::fuse::fuse;

pub use store::Passage;

/// An answer that comes later.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, VectorError>> + Send + 'a>>;

/// Why a store of vectors did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VectorError {
    /// It cannot be reached, or is unwell: later it may do it.
    #[error("the vector store is unavailable: {0}")]
    Unavailable(String),
    /// It refuses what was asked, and always will.
    #[error("the vector store refuses: {0}")]
    Refused(String),
}

/// What makes vectors comparable: a collection holds those of one model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Model {
    /// What it is called: `hashed-v1`, `minilm-l6-v2`, …
    pub name: String,
    /// How long its vectors are.
    pub dimensions: usize,
}

impl Model {
    /// Its name among the collections.
    pub fn key(&self) -> String {
        format!("{}-{}", self.name, self.dimensions)
    }

    /// The model of a key.
    pub fn from_key(key: &str) -> Option<Model> {
        let (name, dimensions) = key.rsplit_once('-')?;
        Some(Model { name: name.to_owned(), dimensions: dimensions.parse().ok()? })
    }
}

/// Whose texts a search may find: those of one tenant, in these projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The tenant.
    pub tenant_id: String,
    /// The projects; without any, nothing is found.
    pub project_ids: Vec<String>,
}

/// What else a chunk must be to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this task.
    pub task_id: Option<String>,
    /// In this thread.
    pub thread_ts: Option<String>,
    /// By this author; case does not matter.
    pub author: Option<String>,
    /// Written then or later.
    pub from: Option<Time>,
    /// Written then or before.
    pub to: Option<Time>,
    /// Of these kinds; of all, if none is named.
    pub kinds: Vec<TextKind>,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// By meaning: a vector of the model, of length one.
    pub vector: Option<Vec<f32>>,
    /// By words: the terms of `udfs::recall::terms`.
    pub terms: Vec<u32>,
    /// How much meaning counts against words, from 0 to 1.
    pub share: f32,
    /// What must be true.
    pub filter: Filter,
    /// How many texts at most.
    pub limit: usize,
}

/// How many chunks each side of a search looks at for so many texts: a text may
/// have several, and what is far down on one side may be first on the other.
pub fn depth(limit: usize) -> usize {
    (4 * limit).clamp(64, 1_000)
}

/// A piece of a text with its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What it says.
    pub text: String,
    /// Its vector, of length one.
    pub vector: Vec<f32>,
}

/// A text and its pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    /// The text (its own wording is not kept here).
    pub text: Text,
    /// What it is cut into. Without any, it is taken away.
    pub pieces: Vec<Piece>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// How well it fits, from 0 to 1, against the best of this search.
    pub score: f32,
    /// The piece of a text that fits best.
    pub passage: Passage,
}

/// A store of vectors.
pub trait Vectors: Send + Sync + 'static {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Puts texts, each in the place of what it was. All are of one tenant.
    fn put<'a>(&'a self, tenant: &'a str, model: &'a Model, texts: &'a [Indexed]) -> Doing<'a, ()>;

    /// Takes texts away.
    fn remove<'a>(&'a self, tenant: &'a str, model: &'a Model, text_ids: &'a [String]) -> Doing<'a, ()>;

    /// The texts that fit best, the best first, each once.
    fn search<'a>(&'a self, scope: &'a Scope, model: &'a Model, ask: &'a Ask) -> Doing<'a, Vec<Hit>>;

    /// How many pieces a tenant has.
    fn count<'a>(&'a self, tenant: &'a str, model: &'a Model) -> Doing<'a, u64>;

    /// Lets go of all that a tenant has.
    fn forget_tenant<'a>(&'a self, tenant: &'a str, model: &'a Model) -> Doing<'a, ()>;

    /// Lets go of all that a model made, and of what is left of what is gone.
    fn drop_model<'a>(&'a self, model: &'a Model) -> Doing<'a, ()>;

    /// Whether it answers.
    fn ping(&self) -> Doing<'_, ()>;
}

/// The id of a piece: the same for the same piece of the same text.
pub fn piece_id(tenant: &str, project: &str, text_id: &str, number: usize) -> u128 {
    let parts = udfs::hash::Parts::new().add("piece").add(tenant).add(project).add(text_id);
    parts.number(number as u64).finish()
}

/// Two rankings of pieces become one of texts: ids of their best pieces, with
/// scores. `text_of` tells to which text a piece belongs.
pub(crate) fn ranked<Id, Text>(
    near: &[(Id, f32)],
    words: &[(Id, f32)],
    ask: &Ask,
    mut text_of: impl FnMut(&Id) -> Option<Text>,
) -> Vec<(Id, f32)>
where
    Id: Ord + Clone,
    Text: Eq + std::hash::Hash,
{
    let mut seen = hashbrown::HashSet::new();
    let mut best = fuse(near, words, ask.share);
    best.retain(|(id, _)| text_of(id).is_some_and(|text| seen.insert(text)));
    best.truncate(ask.limit);
    best
}
