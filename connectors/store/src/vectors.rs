//! Chunks and their vectors, as rows. What searches them is elsewhere
//! (`memory::vectors::embedded`); here is how they are kept.

use pipeline::event::{TextKind, Time, Trust};

use super::{
    Store, StoreError,
    database::Value,
    sql,
    texts::{kind, listed},
};

/// Rows that one query names.
const NAMED_MAX: usize = 32;

/// A piece of a text, with what it is found by.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The text it is a part of.
    pub text_id: String,
    /// The project that alone may find it.
    pub project_id: String,
    /// What kind of text.
    pub kind: TextKind,
    /// The task it belongs to.
    pub task_id: Option<String>,
    /// The channel it stands in.
    pub channel_id: Option<String>,
    /// The thread it stands in.
    pub thread_ts: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// How far the author is known.
    pub trust: Trust,
    /// When it was written.
    pub at: Time,
    /// What it says.
    pub text: String,
}

/// A passage that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Names it within a tenant and model.
    pub id: String,
    /// What it holds.
    pub passage: Passage,
}

/// What happened to a chunk, for who keeps a project's chunks in memory.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Which chunk.
    pub id: String,
    /// The number of the change.
    pub change: i64,
    /// It is gone.
    pub is_gone: bool,
    /// The text it is a part of.
    pub text_id: String,
    /// What kind of text.
    pub kind: TextKind,
    /// The task it belongs to.
    pub task_id: Option<String>,
    /// The thread it stands in.
    pub thread_ts: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was written.
    pub at_ms: i64,
    /// Its vector, as it was put.
    pub codes: String,
    /// What it says.
    pub text: String,
}

/// The vectors.
pub struct VectorRows<'a>(pub(super) &'a Store);

impl VectorRows<'_> {
    /// Puts the chunks of texts in the place of those that they had. A text
    /// without chunks goes.
    pub async fn replace(
        &self,
        tenant: &str,
        model: &str,
        text_ids: &[String],
        chunks: &[(Chunk, String)],
    ) -> Result<u64, StoreError> {
        let now_ms = self.now_ms();
        let mut tx = self.0.database.begin().await?;
        // Numbers of changes are given in the order of the commits.
        tx.lock(&format!("_vectors/{tenant}")).await?;
        let mut gone = 0;
        for text_id in text_ids {
            let values = [tenant.into(), model.into(), text_id.as_str().into(), now_ms.into()];
            gone += tx.execute(sql!("vectors_take_away"), &values).await?;
        }
        for (Chunk { id, passage }, codes) in chunks {
            let values = [
                tenant.into(),
                model.into(),
                id.as_str().into(),
                passage.project_id.as_str().into(),
                now_ms.into(),
                passage.text_id.as_str().into(),
                passage.kind.name().into(),
                (&passage.task_id).into(),
                (&passage.channel_id).into(),
                (&passage.thread_ts).into(),
                (&passage.author).into(),
                passage.trust.name().into(),
                passage.at.0.into(),
                passage.text.as_str().into(),
                codes.as_str().into(),
            ];
            tx.execute(sql!("vectors_put"), &values).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// What happened in a project behind a change and a row.
    pub async fn since(
        &self,
        tenant: &str,
        model: &str,
        project: &str,
        after: (i64, &str),
    ) -> Result<Vec<Changed>, StoreError> {
        let values = [tenant.into(), model.into(), project.into(), after.0.into(), after.1.into()];
        let lines = self.0.database.rows(sql!("vectors_since"), &values).await?;
        let changed = lines.iter().map(|line| {
            Ok(Changed {
                id: line.text(0)?,
                change: line.number(1)?,
                is_gone: line.truth(2)?,
                text_id: line.text(3)?,
                kind: kind(&line.text(4)?),
                task_id: line.some_text(5)?,
                thread_ts: line.some_text(6)?,
                author: line.some_text(7)?,
                at_ms: line.number(8)?,
                codes: line.text(9)?,
                text: line.text(10)?,
            })
        });
        changed.collect()
    }

    /// Chunks by their ids, of these projects alone.
    pub async fn named(
        &self,
        tenant: &str,
        model: &str,
        projects: &[String],
        ids: &[String],
    ) -> Result<Vec<Chunk>, StoreError> {
        let mut chunks = Vec::with_capacity(ids.len());
        for part in ids.chunks(NAMED_MAX) {
            let mut values: Vec<Value> = vec![tenant.into(), model.into(), listed(projects).into()];
            values.extend(part.iter().map(|id| Value::from(id.as_str())));
            values.resize(3 + NAMED_MAX, "".into());
            for line in self.0.database.rows(sql!("vectors_named"), &values).await? {
                let passage = Passage {
                    text_id: line.text(1)?,
                    project_id: line.text(2)?,
                    kind: kind(&line.text(3)?),
                    task_id: line.some_text(4)?,
                    channel_id: line.some_text(5)?,
                    thread_ts: line.some_text(6)?,
                    author: line.some_text(7)?,
                    trust: Trust::from_name(&line.text(8)?),
                    at: Time(line.number(9)?),
                    text: line.text(10)?,
                };
                chunks.push(Chunk { id: line.text(0)?, passage });
            }
        }
        Ok(chunks)
    }

    /// How many chunks a tenant has.
    pub async fn count(&self, tenant: &str, model: &str) -> Result<u64, StoreError> {
        let lines = self.0.database.rows(sql!("vectors_count"), &[tenant.into(), model.into()]).await?;
        lines.first().map_or(Ok(0), |line| line.number(0).map(|count| u64::try_from(count).unwrap_or(0)))
    }

    /// Lets go of what is gone for so long that everybody has seen it go.
    pub async fn purge(&self, gone_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.0.database.begin().await?;
        let before_ms = self.now_ms().saturating_sub(gone_ms);
        let purged = tx.execute(sql!("vectors_purge"), &[before_ms.into()]).await?;
        tx.commit().await?;
        Ok(purged)
    }

    /// Lets go of all that a model made.
    pub async fn drop_model(&self, model: &str) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        tx.execute(sql!("vectors_drop"), &[model.into()]).await?;
        tx.commit().await
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.0.clock.now_ms()).unwrap_or(i64::MAX)
    }
}
