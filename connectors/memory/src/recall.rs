//! What the role `memory` and the API share: the texts, their vectors, and the
//! models that made them.
//!
//! Which model is in force stands in the store (`memory.model`), not in the
//! settings: the first that a hub had, until [`super::reembed`] has moved all
//! texts to another. While it moves, `memory.next` names the other, and what is
//! learned is learned for both. Every process looks there once a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pipeline::{
    event::{Text, ThreadSummary, Time},
    ports::Clock,
};
use tokio::sync::Mutex;
use udfs::recall::terms::terms;

use super::{
    embed::{self, Embedder},
    summarise::{self, Summariser, least_trust},
    vectors::{Ask, Filter, Hit, Model, Scope, VectorError, Vectors, embedded::Embedded, qdrant::Qdrant},
};
use runtime::{config::Config, supervisor::Failure};
use store::{Store, StoreError, Thread};

/// The fact that names the model in force, and the one that is moved to.
pub(super) const IN_FORCE: &str = "memory.model";
pub(super) const NEXT: &str = "memory.next";

/// How long what the store says of models is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a search waits for the vector of its query; then words must do.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// How many of a thread's newest texts a summary on demand takes up.
const ON_DEMAND_TEXTS_MAX: usize = 200;
/// The longest query that a model is asked about.
const QUERY_BYTES_MAX: usize = 4_000;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// In words.
    pub text: String,
    /// What must be true.
    pub filter: Filter,
    /// How many texts at most.
    pub limit: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best first.
    pub hits: Vec<Hit>,
    /// The model could not be asked: words alone were looked for.
    pub by_words_only: bool,
}

/// A model that something is made with.
#[derive(Clone)]
pub(super) struct Target {
    pub model: Model,
    /// None: this process cannot have it.
    pub embedder: Option<Arc<dyn Embedder>>,
}

/// The models in use: the one in force first.
#[derive(Clone)]
pub(super) struct Targets(pub Vec<Target>);

/// See the module.
pub struct Recall {
    /// Texts and summaries.
    pub store: Arc<Store>,
    /// Their vectors.
    pub vectors: Arc<dyn Vectors>,
    /// What the settings ask for.
    pub embedder: Arc<dyn Embedder>,
    /// Makes summaries.
    pub summariser: Arc<dyn Summariser>,
    pub(super) clock: Arc<dyn Clock>,
    config: Config,
    targets: Mutex<Option<(Instant, Targets)>>,
}

/// Why a question about the memory has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vectors.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// The model.
    #[error(transparent)]
    Model(#[from] embed::ModelError),
}

impl Recall {
    /// Of a configuration, over an open store.
    pub fn open(config: &Config, store: Arc<Store>, clock: Arc<dyn Clock>) -> Result<Recall, Failure> {
        let settings = &config.memory;
        let vectors: Arc<dyn Vectors> = match settings.qdrant_url.is_empty() {
            true => Arc::new(Embedded::new(Arc::clone(&store), settings.cache_mb_max << 20)),
            false => Arc::new(Qdrant::open(settings)?),
        };
        let embedder = embed::choose(config, Arc::clone(&clock))?;
        let summariser = summarise::choose(config, Arc::clone(&clock))?;
        Ok(Recall { store, vectors, embedder, summariser, clock, config: config.clone(), targets: Mutex::new(None) })
    }

    /// The time.
    pub(super) fn now(&self) -> Time {
        Time::from_ms(self.clock.now_ms())
    }

    /// The models in use.
    pub(super) async fn targets(&self) -> Result<Targets, StoreError> {
        let mut known = self.targets.lock().await;
        if let Some((at, targets)) = &*known
            && at.elapsed() < BELIEVED
        {
            return Ok(targets.clone());
        }
        let texts = self.store.texts();
        let in_force = match texts.fact(IN_FORCE).await?.as_deref().and_then(Model::from_key) {
            Some(model) => model,
            None => {
                let model = self.embedder.model().clone();
                texts.set_fact(IN_FORCE, &model.key()).await?;
                model
            }
        };
        let next = texts.fact(NEXT).await?.as_deref().and_then(Model::from_key).filter(|next| *next != in_force);
        let before = known.take().map(|(_, targets)| targets.0).unwrap_or_default();
        let mut targets = Vec::with_capacity(2);
        for model in [Some(in_force), next].into_iter().flatten() {
            targets.push(self.target(model, &before).await);
        }
        let targets = Targets(targets);
        *known = Some((Instant::now(), targets.clone()));
        Ok(targets)
    }

    async fn target(&self, model: Model, before: &[Target]) -> Target {
        if *self.embedder.model() == model {
            return Target { embedder: Some(Arc::clone(&self.embedder)), model };
        }
        if let Some(known) = before.iter().find(|target| target.model == model) {
            return known.clone();
        }
        let (config, clock, wanted) = (self.config.clone(), Arc::clone(&self.clock), model.clone());
        // Opening a model reads its weights.
        let opened = tokio::task::spawn_blocking(move || embed::of_model(&wanted, &config, clock)).await;
        let embedder = opened.ok().flatten();
        let (in_force, wanted) = (model.key(), self.embedder.model().key());
        match &embedder {
            Some(_) => {
                tracing::info!(in_force, wanted, "the memory was made by another model; `nexus reembed` moves it")
            }
            None => tracing::warn!(
                in_force,
                wanted,
                "the memory was made by a model that is not here: it is searched by words alone until `nexus reembed`"
            ),
        }
        Target { model, embedder }
    }

    /// What fits a query best.
    pub async fn search(&self, scope: &Scope, query: &Query) -> Result<Found, RecallError> {
        let targets = self.targets().await?;
        let Some(Target { model, embedder }) = targets.0.first() else {
            return Ok(Found { hits: Vec::new(), by_words_only: true });
        };
        let text = &query.text[..query.text.floor_char_boundary(QUERY_BYTES_MAX)];
        let asked = match embedder {
            Some(embedder) => tokio::time::timeout(QUERY_TIMEOUT, embedder.embed(vec![text.to_owned()])).await.ok(),
            None => None,
        };
        let vector = match asked {
            Some(Ok(vectors)) => vectors.into_iter().next(),
            Some(Err(error)) => {
                tracing::warn!(%error, "a query is looked for by words alone");
                None
            }
            None => None,
        };
        let ask = Ask {
            share: embedder.as_ref().map_or(0.0, |embedder| embedder.share()),
            terms: terms(text),
            filter: query.filter.clone(),
            limit: query.limit,
            vector,
        };
        let by_words_only = ask.vector.is_none();
        Ok(Found { hits: self.vectors.search(scope, model, &ask).await?, by_words_only })
    }

    /// Lets go of a tenant's vectors; its texts go with its other rows.
    pub async fn forget_tenant(&self, tenant: &str) -> Result<(), RecallError> {
        for Target { model, .. } in &self.targets().await?.0 {
            self.vectors.forget_tenant(tenant, model).await?;
        }
        Ok(())
    }

    /// A thread, with the task that is discussed in it.
    pub async fn thread(&self, tenant: &str, channel: &str, thread_ts: &str) -> Result<Thread, StoreError> {
        let task_id = self.store.texts().task_in(tenant, channel, thread_ts).await?;
        Ok(Thread { channel_id: Some(channel.to_owned()), thread_ts: Some(thread_ts.to_owned()), task_id })
    }

    /// The newest summary that is kept of a thread, and when it was made.
    pub async fn kept_summary(
        &self,
        tenant: &str,
        thread: &Thread,
    ) -> Result<Option<(ThreadSummary, Time)>, StoreError> {
        match &thread.task_id {
            Some(task) => self.store.texts().summary(tenant, task, i64::MAX as u64).await,
            None => Ok(None),
        }
    }

    /// A summary of a thread as it is now: what is kept, joined with what was
    /// said since. It is not kept. `projects`: what the caller reaches.
    pub async fn summary_now(
        &self,
        tenant: &str,
        thread: &Thread,
        projects: Option<&[String]>,
    ) -> Result<Option<ThreadSummary>, RecallError> {
        let kept = self.kept_summary(tenant, thread).await?.map(|(summary, _)| summary);
        let kept = kept.filter(|kept| projects.is_none_or(|projects| projects.contains(&kept.project_id)));
        let texts = self.store.texts();
        let mut said: Vec<Text> = match (&thread.task_id, &kept) {
            (Some(task), Some(kept)) => texts.span(tenant, task, kept.through, i64::MAX as u64).await?,
            _ => texts.of_thread(tenant, thread, projects, None, 1_000).await?,
        };
        said.retain(|text| projects.is_none_or(|projects| projects.contains(&text.project_id)));
        said.drain(..said.len().saturating_sub(ON_DEMAND_TEXTS_MAX));
        let Some(last) = said.last() else { return Ok(kept) };
        let before = kept.as_ref().map(|kept| kept.text.as_str());
        let text = self.summariser.summarise(before, &said).await?;
        Ok(Some(ThreadSummary {
            project_id: last.project_id.clone(),
            task_id: thread.task_id.clone().unwrap_or_default(),
            channel_id: thread.channel_id.clone(),
            thread_ts: thread.thread_ts.clone(),
            through: last.thread_seq.unwrap_or(0).max(kept.as_ref().map_or(0, |kept| kept.through)),
            text,
            trust: least_trust(&said, kept.as_ref().map(|kept| kept.trust)),
            model: self.summariser.name().to_owned(),
        }))
    }
}
