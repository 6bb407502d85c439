//! Moves the memory to another model while it is in use.
//!
//! First `memory.next` names the model: from then on every process learns what
//! comes for both. Then all texts are read and indexed for the new one; what was
//! changed meanwhile is indexed again. Then `memory.model` names the new one,
//! searches go there, and the old one's vectors are let go. Ended at any point,
//! it can be begun again.

use std::time::Duration;

use super::{
    learn::indexed,
    recall::{IN_FORCE, NEXT, Recall, RecallError},
    vectors::Model,
};
use store::Kept;

/// Texts that are indexed together.
const TEXTS_AT_ONCE: usize = 64;
/// How long other processes may take to see another fact.
const SEEN_WITHIN: Duration = Duration::from_millis(2_500);

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The model before.
    pub from: String,
    /// The model now.
    pub to: String,
    /// Texts that were indexed.
    pub texts: u64,
}

/// Moves to the model of the settings; `progress` is told texts of texts.
pub async fn reembed(recall: &Recall, progress: impl Fn(u64, u64)) -> Result<Moved, RecallError> {
    let facts = recall.store.texts();
    let to = recall.embedder.model();
    let from = facts.fact(IN_FORCE).await?.unwrap_or_else(|| to.key());
    if from != to.key() {
        facts.set_fact(NEXT, &to.key()).await?;
        tokio::time::sleep(SEEN_WITHIN).await;
    }
    let all = facts.count().await?;
    let (mut after, mut texts) = ((String::new(), String::new()), 0);
    progress(0, all);
    loop {
        let page = facts.page(&after, TEXTS_AT_ONCE).await?;
        let Some(last) = page.last() else { break };
        after = (last.tenant_id.clone(), last.id.clone());
        texts += page.len() as u64;
        for part in page.chunk_by(|one, other| one.tenant_id == other.tenant_id) {
            index(recall, to, part.to_vec()).await?;
        }
        progress(texts.min(all), all.max(texts));
    }
    if from != to.key() {
        facts.set_fact(IN_FORCE, &to.key()).await?;
        facts.set_fact(NEXT, "").await?;
        tokio::time::sleep(SEEN_WITHIN).await;
        if let Some(before) = Model::from_key(&from) {
            recall.vectors.drop_model(&before).await?;
        }
    }
    Ok(Moved { from, to: to.key(), texts })
}

/// Indexes texts of one tenant, and again those that changed meanwhile.
async fn index(recall: &Recall, to: &Model, mut texts: Vec<pipeline::event::Text>) -> Result<(), RecallError> {
    while let Some(first) = texts.first() {
        let tenant = first.tenant_id.clone();
        let pieces = indexed(&recall.embedder, &texts).await?;
        recall.vectors.put(&tenant, to, &pieces).await?;
        let mut changed = Vec::new();
        for text in texts {
            match recall.store.texts().get(&tenant, &text.id).await? {
                Some(Kept::There(now)) if *now == text => {}
                Some(Kept::There(now)) => changed.push(*now),
                _ => recall.vectors.remove(&tenant, to, std::slice::from_ref(&text.id)).await?,
            }
        }
        texts = changed;
    }
    Ok(())
}
