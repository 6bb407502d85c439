//! The embedded store of vectors: exact search over one project at a time.
//!
//! Kept in the hub's own database, whichever engine that is, beside the texts:
//! so a hub needs no other server, processes share what is kept, and a
//! backup has all of it. Searched in memory: a project's rows are read when it
//! is first asked about and followed by their numbered changes at every search,
//! so what one process wrote the next search of any other finds. What has not
//! been asked about for longest gives way when the bound is reached.
//!
//! What a search found is read from the database by its id, its tenant and its
//! scope: memory only says where to look.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use tokio::sync::Semaphore;
use udfs::hash::{from_hex, hex};

mod rows;

use self::rows::{Codes, Rows};
use super::{Ask, Doing, Hit, Indexed, Model, Scope, VectorError, Vectors, piece_id, ranked};
use store::{Chunk, Passage, Store, StoreError};

/// How long a row that is gone stays for others to see it go, and after how
/// long without a look a project is therefore read anew.
const GONE_MS: i64 = 86_400_000;
const STALE: Duration = Duration::from_secs(43_200);

/// Searches at the same time: each takes a core.
const SEARCHES_MAX: usize = 4;

/// How many puts there are between two looks for rows that all have seen go.
const PUTS_BETWEEN_PURGES: u64 = 1_024;

/// What is in memory of one project.
struct Shelf {
    state: tokio::sync::Mutex<Followed>,
    rows: RwLock<Rows>,
}

/// How far a project was followed.
struct Followed {
    after: (i64, String),
    at: Instant,
}

type Key = (String, String, String);

#[derive(Default)]
struct Shelves {
    /// With when each was asked about last.
    by_key: HashMap<Key, (Arc<Shelf>, u64)>,
    asked: u64,
}

/// See the module.
pub struct Embedded {
    store: Arc<Store>,
    bytes_max: usize,
    shelves: Mutex<Shelves>,
    turns: Arc<Semaphore>,
    puts: AtomicU64,
}

impl Embedded {
    /// Over this store, with so much memory.
    pub fn new(store: Arc<Store>, bytes_max: usize) -> Embedded {
        let turns = Arc::new(Semaphore::new(SEARCHES_MAX));
        Embedded { store, bytes_max, shelves: Mutex::default(), turns, puts: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A project's rows, as of now.
    async fn shelf(&self, tenant: &str, model: &Model, project: &str) -> Result<Arc<Shelf>, StoreError> {
        let key = (tenant.to_owned(), model.key(), project.to_owned());
        let shelf = {
            let mut shelves = self.lock();
            shelves.asked += 1;
            let asked = shelves.asked;
            let fresh = || {
                let followed = Followed { after: (0, String::new()), at: Instant::now() };
                let rows = RwLock::new(Rows::new(model.dimensions));
                (Arc::new(Shelf { state: tokio::sync::Mutex::new(followed), rows }), asked)
            };
            let (shelf, last) = shelves.by_key.entry(key).or_insert_with(fresh);
            *last = asked;
            Arc::clone(shelf)
        };
        let mut followed = shelf.state.lock().await;
        if followed.at.elapsed() > STALE || shelf.read().is_worn() {
            followed.after = (0, String::new());
            *shelf.rows.write().unwrap_or_else(PoisonError::into_inner) = Rows::new(model.dimensions);
        }
        loop {
            let after = (followed.after.0, followed.after.1.as_str());
            let changes = self.store.vectors().since(tenant, &model.key(), project, after).await?;
            let Some(last) = changes.last() else { break };
            followed.after = (last.change, last.id.clone());
            let rows = Arc::clone(&shelf);
            let applied = tokio::task::spawn_blocking(move || {
                let mut rows = rows.rows.write().unwrap_or_else(PoisonError::into_inner);
                changes.iter().for_each(|change| rows.apply(change));
            });
            applied.await.map_err(|error| StoreError::Unavailable { detail: error.to_string() })?;
        }
        followed.at = Instant::now();
        drop(followed);
        self.make_room();
        Ok(shelf)
    }

    /// Lets go of what was not asked about for longest; the last one stays,
    /// however large it is.
    fn make_room(&self) {
        let mut shelves = self.lock();
        loop {
            let bytes: usize = shelves.by_key.values().map(|(shelf, _)| shelf.read().bytes()).sum();
            if bytes <= self.bytes_max || shelves.by_key.len() <= 1 {
                return;
            }
            let oldest = shelves.by_key.iter().min_by_key(|(_, (_, asked))| *asked).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            shelves.by_key.remove(&oldest);
        }
    }

    async fn found(&self, scope: &Scope, model: &Model, ask: &Ask) -> Result<Vec<Hit>, StoreError> {
        // A project that is named twice is looked into once.
        let projects: BTreeSet<&String> = scope.project_ids.iter().collect();
        let mut shelves = Vec::with_capacity(projects.len());
        for project in projects {
            shelves.push(self.shelf(&scope.tenant_id, model, project).await?);
        }
        let _turn = self.turns.acquire().await;
        let asked = ask.clone();
        let best = tokio::task::spawn_blocking(move || {
            let (mut near, mut words) = (Vec::new(), Vec::new());
            for shelf in &shelves {
                let (more_near, more_words) = shelf.read().candidates(&asked);
                near.extend(more_near);
                words.extend(more_words);
            }
            ranked(&near, &words, &asked, |id| shelves.iter().find_map(|shelf| shelf.read().text_of(*id)))
        });
        let best = best.await.map_err(|error| StoreError::Unavailable { detail: error.to_string() })?;
        let ids: Vec<String> = best.iter().map(|(id, _)| hex(*id)).collect();
        let rows = self.store.vectors();
        let chunks = rows.named(&scope.tenant_id, &model.key(), &scope.project_ids, &ids).await?;
        let mut chunks: HashMap<u128, Passage> =
            chunks.into_iter().filter_map(|chunk| Some((from_hex(&chunk.id)?, chunk.passage))).collect();
        Ok(best.into_iter().filter_map(|(id, score)| Some(Hit { score, passage: chunks.remove(&id)? })).collect())
    }

    async fn replace(&self, tenant: &str, model: &Model, texts: &[Indexed]) -> Result<(), StoreError> {
        let text_ids: Vec<String> = texts.iter().map(|indexed| indexed.text.id.clone()).collect();
        let pieces = texts.iter().flat_map(|indexed| indexed.pieces.iter().enumerate().map(move |at| (indexed, at)));
        let chunks: Vec<_> = pieces
            .map(|(Indexed { text, .. }, (number, piece))| {
                let id = hex(piece_id(tenant, &text.project_id, &text.id, number));
                let passage = Passage {
                    text_id: text.id.clone(),
                    project_id: text.project_id.clone(),
                    kind: text.kind,
                    task_id: text.task_id.clone(),
                    channel_id: text.channel_id.clone(),
                    thread_ts: text.thread_ts.clone(),
                    author: text.author.clone(),
                    trust: text.trust,
                    at: text.at,
                    text: piece.text.clone(),
                };
                (Chunk { id, passage }, Codes::of(&piece.vector).written())
            })
            .collect();
        self.store.vectors().replace(tenant, &model.key(), &text_ids, &chunks).await?;
        if self.puts.fetch_add(1, Relaxed) % PUTS_BETWEEN_PURGES == PUTS_BETWEEN_PURGES - 1 {
            self.store.vectors().purge(GONE_MS).await?;
        }
        Ok(())
    }
}

impl Shelf {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(error: StoreError) -> VectorError {
    VectorError::Unavailable(error.to_string())
}

impl Vectors for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn put<'a>(&'a self, tenant: &'a str, model: &'a Model, texts: &'a [Indexed]) -> Doing<'a, ()> {
        Box::pin(async move {
            let pieces = texts.iter().flat_map(|text| &text.pieces);
            if let Some(piece) = pieces.into_iter().find(|piece| piece.vector.len() != model.dimensions) {
                let detail = format!("a vector of {} dimensions for {}", piece.vector.len(), model.key());
                return Err(VectorError::Refused(detail));
            }
            self.replace(tenant, model, texts).await.map_err(unavailable)
        })
    }

    fn remove<'a>(&'a self, tenant: &'a str, model: &'a Model, text_ids: &'a [String]) -> Doing<'a, ()> {
        Box::pin(async move {
            self.store.vectors().replace(tenant, &model.key(), text_ids, &[]).await.map(drop).map_err(unavailable)
        })
    }

    fn search<'a>(&'a self, scope: &'a Scope, model: &'a Model, ask: &'a Ask) -> Doing<'a, Vec<Hit>> {
        Box::pin(async move { self.found(scope, model, ask).await.map_err(unavailable) })
    }

    fn count<'a>(&'a self, tenant: &'a str, model: &'a Model) -> Doing<'a, u64> {
        Box::pin(async move { self.store.vectors().count(tenant, &model.key()).await.map_err(unavailable) })
    }

    fn forget_tenant<'a>(&'a self, tenant: &'a str, _: &'a Model) -> Doing<'a, ()> {
        // Its rows go with the tenant's others, in one transaction.
        self.lock().by_key.retain(|(known, ..), _| known != tenant);
        Box::pin(std::future::ready(Ok(())))
    }

    fn drop_model<'a>(&'a self, model: &'a Model) -> Doing<'a, ()> {
        Box::pin(async move {
            self.store.vectors().drop_model(&model.key()).await.map_err(unavailable)?;
            self.store.vectors().purge(GONE_MS).await.map(drop).map_err(unavailable)
        })
    }

    fn ping(&self) -> Doing<'_, ()> {
        Box::pin(async move { self.store.ping().await.map_err(unavailable) })
    }
}
