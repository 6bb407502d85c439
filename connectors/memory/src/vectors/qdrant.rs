//! Vectors in a Qdrant server, through its own client.
//!
//! A point is a piece of a text: a dense vector (`meaning`), a sparse one of its
//! terms (`words`, weighed by rarity by the server), and what filters look at.
//! A collection holds one model's points: one for each tenant
//! (`tenant_{id}_{model}`), or one for all (`shared_{model}`) with an index that
//! keeps a tenant's points together. Either way the tenant and the projects of
//! the scope are a part of every filter, and what comes back is held against
//! them once more.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use hashbrown::HashSet;
use pipeline::event::{TextKind, Time, Trust};
use qdrant_client::{
    Payload, Qdrant as Server, QdrantError,
    qdrant::{
        Condition, CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, DeletePointsBuilder,
        Distance, FieldType, Filter as Must, KeywordIndexParamsBuilder, Modifier, NamedVectors, PointId, PointStruct,
        Query, QueryPointsBuilder, Range, SparseVectorParamsBuilder, SparseVectorsConfigBuilder, UpsertPointsBuilder,
        Value, Vector, VectorInput, VectorParamsBuilder, VectorsConfigBuilder, point_id::PointIdOptions, value::Kind,
    },
};
use serde_json::json;
use udfs::recall::terms::weights;

use super::{Ask, Doing, Filter, Hit, Indexed, Model, Passage, Scope, VectorError, Vectors, depth, piece_id, ranked};
use runtime::{
    config::{MemorySettings, QdrantLayout},
    supervisor::Failure,
};

const MEANING: &str = "meaning";
const WORDS: &str = "words";
/// Points of one call: 384 dimensions and a text each are a few kilobytes.
const POINTS_AT_ONCE: usize = 256;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What has an index, beside the tenant.
const KEYWORDS: &[&str] = &["project_id", "text_id", "task_id", "thread_ts", "author", "kind"];

/// See the module.
pub struct Qdrant {
    server: Server,
    layout: QdrantLayout,
    prefix: String,
    /// Collections that are there.
    known: Mutex<HashSet<String>>,
}

impl Qdrant {
    /// The server of the settings. It is asked when it is needed.
    pub fn open(settings: &MemorySettings) -> Result<Qdrant, Failure> {
        let key = Some(settings.qdrant_api_key.clone()).filter(|key| !key.is_empty());
        let server = Server::from_url(&settings.qdrant_url).timeout(TIMEOUT).connect_timeout(TIMEOUT).api_key(key);
        let server = server.skip_compatibility_check().build().map_err(|error| format!("QDRANT_URL: {error}"))?;
        let prefix = settings.qdrant_prefix.clone();
        Ok(Qdrant { server, layout: settings.qdrant_layout, prefix, known: Mutex::default() })
    }

    fn collection(&self, tenant: &str, model: &Model) -> String {
        match self.layout {
            QdrantLayout::Tenant => format!("{}tenant_{tenant}_{}", self.prefix, model.key()),
            QdrantLayout::Shared => format!("{}shared_{}", self.prefix, model.key()),
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(name)
    }

    fn know(&self, name: &str) {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned());
    }

    fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
    }

    /// Whether the collection is there.
    async fn is_there(&self, name: &str) -> Result<bool, VectorError> {
        if self.is_known(name) {
            return Ok(true);
        }
        let there = self.server.collection_exists(name).await.map_err(told)?;
        if there {
            self.know(name);
        }
        Ok(there)
    }

    /// Makes the collection and its indexes, where they are not there.
    async fn make(&self, name: &str, model: &Model) -> Result<(), VectorError> {
        if self.is_known(name) {
            return Ok(());
        }
        if !self.is_there(name).await? {
            let mut meaning = VectorsConfigBuilder::default();
            let size = model.dimensions as u64;
            meaning.add_named_vector_params(MEANING, VectorParamsBuilder::new(size, Distance::Cosine));
            let mut words = SparseVectorsConfigBuilder::default();
            words.add_named_vector_params(WORDS, SparseVectorParamsBuilder::default().modifier(Modifier::Idf));
            let new = CreateCollectionBuilder::new(name).vectors_config(meaning).sparse_vectors_config(words);
            if let Err(error) = self.server.create_collection(new).await {
                // Another process was first.
                if !self.server.collection_exists(name).await.map_err(told)? {
                    return Err(told(error));
                }
            }
        }
        let tenant = KeywordIndexParamsBuilder::default().is_tenant(true);
        let index = |field: &str, of| CreateFieldIndexCollectionBuilder::new(name, field, of).wait(true);
        let tenants = index("tenant_id", FieldType::Keyword).field_index_params(tenant);
        self.server.create_field_index(tenants).await.map_err(told)?;
        for field in KEYWORDS {
            self.server.create_field_index(index(field, FieldType::Keyword)).await.map_err(told)?;
        }
        self.server.create_field_index(index("at_ms", FieldType::Integer)).await.map_err(told)?;
        self.know(name);
        Ok(())
    }

    async fn replace(&self, tenant: &str, model: &Model, texts: &[Indexed]) -> Result<(), VectorError> {
        let name = self.collection(tenant, model);
        self.make(&name, model).await?;
        let mut points = Vec::new();
        for indexed in texts {
            points.extend(points_of(tenant, indexed));
        }
        let ids: Vec<PointId> = points.iter().filter_map(|point: &PointStruct| point.id.clone()).collect();
        for some in points.chunks(POINTS_AT_ONCE) {
            let upsert = UpsertPointsBuilder::new(&name, some.to_vec()).wait(true);
            self.server.upsert_points(upsert).await.map_err(|error| self.gone(&name, error))?;
        }
        // The pieces that the texts had before and have no more.
        let text_ids: Vec<String> = texts.iter().map(|indexed| indexed.text.id.clone()).collect();
        let mut left = of_texts(tenant, text_ids);
        if !ids.is_empty() {
            left.must_not.push(Condition::has_id(ids));
        }
        let delete = DeletePointsBuilder::new(&name).points(left).wait(true);
        self.server.delete_points(delete).await.map(drop).map_err(|error| self.gone(&name, error))
    }

    async fn found(&self, scope: &Scope, model: &Model, ask: &Ask) -> Result<Vec<Hit>, VectorError> {
        let name = self.collection(&scope.tenant_id, model);
        if scope.project_ids.is_empty() || !self.is_there(&name).await? {
            return Ok(Vec::new());
        }
        let must = must(scope, &ask.filter);
        let mut hits = HashMap::new();
        let near = match &ask.vector {
            Some(vector) => self.side(&name, MEANING, vector.clone().into(), &must, ask, scope, &mut hits).await?,
            None => Vec::new(),
        };
        let mut terms = ask.terms.clone();
        terms.sort_unstable();
        terms.dedup();
        let words = match terms.is_empty() {
            true => Vec::new(),
            false => {
                let values = vec![1.0; terms.len()];
                let words = VectorInput::new_sparse(terms, values);
                self.side(&name, WORDS, words, &must, ask, scope, &mut hits).await?
            }
        };
        let best = ranked(&near, &words, ask, |id| hits.get(id).map(|hit: &Hit| hit.passage.text_id.clone()));
        Ok(best.into_iter().filter_map(|(id, score)| Some(Hit { score, ..hits.remove(&id)? })).collect())
    }

    /// One side of a search: pieces and their scores; what they are goes into
    /// `hits`.
    #[allow(clippy::too_many_arguments)] // one call, told apart from the other by its vector
    async fn side(
        &self,
        name: &str,
        using: &str,
        vector: VectorInput,
        must: &Must,
        ask: &Ask,
        scope: &Scope,
        hits: &mut HashMap<String, Hit>,
    ) -> Result<Vec<(String, f32)>, VectorError> {
        let query = QueryPointsBuilder::new(name)
            .query(Query::new_nearest(vector))
            .using(using)
            .filter(must.clone())
            .limit(depth(ask.limit) as u64)
            .with_payload(true);
        let answer = self.server.query(query).await.map_err(|error| self.gone(name, error))?;
        let mut ranking = Vec::with_capacity(answer.result.len());
        for point in answer.result {
            let (score, payload) = (point.score, point.payload);
            let Some(PointIdOptions::Uuid(id)) = point.id.and_then(|id| id.point_id_options) else { continue };
            // What does not say that it is in the scope is not.
            let Some(hit) = hit(&payload, scope).filter(|_| score > 0.0) else { continue };
            ranking.push((id.clone(), score));
            hits.insert(id, hit);
        }
        Ok(ranking)
    }

    /// A collection that somebody took away is made anew the next time.
    fn gone(&self, name: &str, error: QdrantError) -> VectorError {
        self.forget(name);
        told(error)
    }
}

fn told(error: QdrantError) -> VectorError {
    use tonic_code::{INVALID_ARGUMENT, UNIMPLEMENTED};
    match &error {
        QdrantError::ResponseError { status }
            if [INVALID_ARGUMENT, UNIMPLEMENTED].contains(&(status.code() as i32)) =>
        {
            VectorError::Refused(status.message().to_owned())
        }
        QdrantError::ResponseError { status } => VectorError::Unavailable(status.message().to_owned()),
        QdrantError::ConversionError(_) | QdrantError::InvalidUri(_) => VectorError::Refused(error.to_string()),
        _ => VectorError::Unavailable(error.to_string()),
    }
}

/// gRPC's numbers for what a server will never do.
mod tonic_code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const UNIMPLEMENTED: i32 = 12;
}

/// As Qdrant writes an id of 128 bits.
fn uuid(id: u128) -> String {
    let hex = udfs::hash::hex(id);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn points_of(tenant: &str, Indexed { text, pieces }: &Indexed) -> Vec<PointStruct> {
    let of = |(number, piece): (usize, &super::Piece)| {
        let (indices, values): (Vec<u32>, Vec<f32>) = weights(&piece.text).into_iter().unzip();
        let mut vectors = NamedVectors::default().add_vector(MEANING, piece.vector.clone());
        if !indices.is_empty() {
            vectors = vectors.add_vector(WORDS, Vector::new_sparse(indices, values));
        }
        let payload = json!({
            "tenant_id": tenant,
            "project_id": text.project_id,
            "text_id": text.id,
            "kind": text.kind.name(),
            "task_id": text.task_id,
            "channel_id": text.channel_id,
            "thread_ts": text.thread_ts,
            "author": text.author.as_deref().map(str::to_lowercase),
            "author_name": text.author,
            "trust": text.trust.name(),
            "at_ms": text.at.0,
            "text": piece.text,
        });
        let payload = Payload::try_from(payload).unwrap_or_default();
        PointStruct::new(uuid(piece_id(tenant, &text.project_id, &text.id, number)), vectors, payload)
    };
    pieces.iter().enumerate().map(of).collect()
}

fn of_texts(tenant: &str, text_ids: Vec<String>) -> Must {
    Must::must([Condition::matches("tenant_id", tenant.to_owned()), Condition::matches("text_id", text_ids)])
}

fn must(scope: &Scope, filter: &Filter) -> Must {
    let mut must = vec![
        Condition::matches("tenant_id", scope.tenant_id.clone()),
        Condition::matches("project_id", scope.project_ids.clone()),
    ];
    let folded = filter.author.as_deref().map(str::to_lowercase);
    for (field, value) in [("task_id", &filter.task_id), ("thread_ts", &filter.thread_ts), ("author", &folded)] {
        must.extend(value.clone().map(|value| Condition::matches(field, value)));
    }
    if !filter.kinds.is_empty() {
        let kinds: Vec<String> = filter.kinds.iter().map(|kind| kind.name().to_owned()).collect();
        must.push(Condition::matches("kind", kinds));
    }
    if filter.from.is_some() || filter.to.is_some() {
        let ms = |time: Option<Time>| time.map(|time| time.0 as f64);
        must.push(Condition::range("at_ms", Range { gte: ms(filter.from), lte: ms(filter.to), gt: None, lt: None }));
    }
    Must::must(must)
}

fn hit(payload: &HashMap<String, Value>, scope: &Scope) -> Option<Hit> {
    let text = |name: &str| match payload.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        _ => None,
    };
    let at = match payload.get("at_ms")?.kind.as_ref()? {
        Kind::IntegerValue(ms) => Time(*ms),
        _ => return None,
    };
    let project_id = text("project_id")?;
    let is_in_scope = text("tenant_id")? == scope.tenant_id && scope.project_ids.contains(&project_id);
    let passage = Passage {
        text_id: text("text_id")?,
        text: text("text")?,
        project_id,
        kind: TextKind::from_name(&text("kind")?)?,
        task_id: text("task_id"),
        channel_id: text("channel_id"),
        thread_ts: text("thread_ts"),
        author: text("author_name"),
        trust: Trust::from_name(&text("trust").unwrap_or_default()),
        at,
    };
    is_in_scope.then_some(Hit { score: 0.0, passage })
}

impl Vectors for Qdrant {
    fn name(&self) -> &'static str {
        "qdrant"
    }

    fn put<'a>(&'a self, tenant: &'a str, model: &'a Model, texts: &'a [Indexed]) -> Doing<'a, ()> {
        Box::pin(self.replace(tenant, model, texts))
    }

    fn remove<'a>(&'a self, tenant: &'a str, model: &'a Model, text_ids: &'a [String]) -> Doing<'a, ()> {
        Box::pin(async move {
            let name = self.collection(tenant, model);
            if !self.is_there(&name).await? {
                return Ok(());
            }
            let points = of_texts(tenant, text_ids.to_vec());
            let delete = DeletePointsBuilder::new(&name).points(points).wait(true);
            self.server.delete_points(delete).await.map(drop).map_err(|error| self.gone(&name, error))
        })
    }

    fn search<'a>(&'a self, scope: &'a Scope, model: &'a Model, ask: &'a Ask) -> Doing<'a, Vec<Hit>> {
        Box::pin(self.found(scope, model, ask))
    }

    fn count<'a>(&'a self, tenant: &'a str, model: &'a Model) -> Doing<'a, u64> {
        Box::pin(async move {
            let name = self.collection(tenant, model);
            if !self.is_there(&name).await? {
                return Ok(0);
            }
            let of = Must::must([Condition::matches("tenant_id", tenant.to_owned())]);
            let count = CountPointsBuilder::new(&name).filter(of).exact(true);
            let answer = self.server.count(count).await.map_err(|error| self.gone(&name, error))?;
            Ok(answer.result.map_or(0, |result| result.count))
        })
    }

    fn forget_tenant<'a>(&'a self, tenant: &'a str, model: &'a Model) -> Doing<'a, ()> {
        Box::pin(async move {
            let name = self.collection(tenant, model);
            if !self.is_there(&name).await? {
                return Ok(());
            }
            if self.layout == QdrantLayout::Tenant {
                self.server.delete_collection(&name).await.map_err(told)?;
                self.forget(&name);
                return Ok(());
            }
            let of = Must::must([Condition::matches("tenant_id", tenant.to_owned())]);
            let delete = DeletePointsBuilder::new(&name).points(of).wait(true);
            self.server.delete_points(delete).await.map(drop).map_err(|error| self.gone(&name, error))
        })
    }

    fn drop_model<'a>(&'a self, model: &'a Model) -> Doing<'a, ()> {
        Box::pin(async move {
            let of_model = format!("_{}", model.key());
            let all = self.server.list_collections().await.map_err(told)?;
            for collection in all.collections.into_iter().map(|collection| collection.name) {
                let is_ours =
                    ["tenant_", "shared_"].iter().any(|kind| collection.starts_with(&format!("{}{kind}", self.prefix)));
                if is_ours && collection.ends_with(&of_model) {
                    self.server.delete_collection(&collection).await.map_err(told)?;
                    self.forget(&collection);
                }
            }
            Ok(())
        })
    }

    fn ping(&self) -> Doing<'_, ()> {
        Box::pin(async move { self.server.health_check().await.map(drop).map_err(told) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_qdrant_writes_them() {
        assert_eq!(uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
