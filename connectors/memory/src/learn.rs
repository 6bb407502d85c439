//! Does what a request asks. Everything here may be done twice.

use std::sync::Arc;

use hashbrown::HashMap;
use pipeline::event::{Forget, MemoryResult, Span, Text, TextKind, ThreadSummary};
use udfs::{
    hash::{Parts, hex},
    recall::chunk::chunks,
};

use super::{
    embed::{Embedder, ModelError},
    recall::{Recall, RecallError, Target, Targets},
    summarise::least_trust,
    vectors::{Indexed, Piece},
};
use store::Kept;

impl Recall {
    /// Learns texts, of one tenant or several, in their order.
    pub(super) async fn learn(&self, texts: &[Text]) -> Result<Vec<MemoryResult>, RecallError> {
        let targets = self.targets().await?;
        let news = self.news(texts).await?;
        let mut by_tenant: Vec<(String, Vec<Text>)> = Vec::new();
        for text in news {
            match by_tenant.iter_mut().find(|(tenant, _)| *tenant == text.tenant_id) {
                Some((_, texts)) => texts.push(text),
                None => by_tenant.push((text.tenant_id.clone(), vec![text])),
            }
        }
        let mut results = Vec::new();
        for (tenant_id, texts) in by_tenant {
            self.index(&targets, &tenant_id, &texts).await?;
            // Last: what is kept is known to be indexed.
            self.store.texts().keep(&texts).await?;
            let model = targets.0.first().map(|target| target.model.key()).unwrap_or_default();
            let text_ids = texts.into_iter().map(|text| text.id).collect();
            results.push(MemoryResult::Indexed { tenant_id, text_ids, model, at: self.now() });
        }
        Ok(results)
    }

    /// The wordings that hold and are not known, each text once.
    async fn news(&self, texts: &[Text]) -> Result<Vec<Text>, RecallError> {
        let mut order = Vec::new();
        let mut now: HashMap<(&str, &str), (Option<Kept>, bool)> = HashMap::new();
        for text in texts {
            let key = (&*text.tenant_id, &*text.id);
            if !now.contains_key(&key) {
                order.push(key);
                now.insert(key, (self.store.texts().get(&text.tenant_id, &text.id).await?, false));
            }
            let Some((kept, is_new)) = now.get_mut(&key) else { continue };
            if let Some(joined) = joined(kept.as_ref(), text) {
                (*kept, *is_new) = (Some(Kept::There(Box::new(joined))), true);
            }
        }
        let news = order.into_iter().filter_map(|key| match now.remove(&key)? {
            (Some(Kept::There(text)), true) => Some(*text),
            _ => None,
        });
        Ok(news.collect())
    }

    async fn index(&self, targets: &Targets, tenant: &str, texts: &[Text]) -> Result<(), RecallError> {
        for Target { model, embedder } in &targets.0 {
            let indexed = match embedder {
                Some(embedder) => indexed(embedder, texts).await?,
                // Words alone find it, until the texts are moved to a model
                // that is here.
                None => texts.iter().map(|text| lexical(text, model.dimensions)).collect(),
            };
            self.vectors.put(tenant, model, &indexed).await?;
        }
        Ok(())
    }

    /// Lets texts go.
    pub(super) async fn forget(&self, forget: &Forget) -> Result<MemoryResult, RecallError> {
        let Forget { id, tenant_id, text_id, thread_ts, channel_id, at } = forget;
        let mut count = 0;
        if let Some(text_id) = text_id {
            count += self.take_away(tenant_id, std::slice::from_ref(text_id), *at).await?;
        } else if let Some(thread_ts) = thread_ts {
            loop {
                let texts = self.store.texts();
                let ids = texts.ids_in_thread(tenant_id, channel_id.as_deref(), thread_ts, *at).await?;
                if ids.is_empty() {
                    break;
                }
                count += self.take_away(tenant_id, &ids, *at).await?;
            }
            self.store.texts().forget_summaries(tenant_id, channel_id.as_deref(), thread_ts).await?;
        }
        let (request_id, tenant_id) = (id.clone(), tenant_id.clone());
        Ok(MemoryResult::Forgotten { request_id, tenant_id, texts: count, at: self.now() })
    }

    async fn take_away(&self, tenant: &str, ids: &[String], at: pipeline::event::Time) -> Result<u64, RecallError> {
        for Target { model, .. } in &self.targets().await?.0 {
            self.vectors.remove(tenant, model, ids).await?;
        }
        self.store.texts().forget(tenant, ids, at).await?;
        Ok(ids.len() as u64)
    }

    /// Sums up a thread; nothing where nothing was said.
    pub(super) async fn sum_up(&self, span: &Span) -> Result<Option<MemoryResult>, RecallError> {
        let texts = self.store.texts();
        let kept = texts.summary(&span.tenant_id, &span.task_id, span.through).await?.map(|(summary, _)| summary);
        let summary = match kept {
            // Made before a crash: what was made once stays.
            Some(kept) if kept.through == span.through => kept,
            before => {
                let after = before.as_ref().map_or(0, |before| before.through);
                let said = texts.span(&span.tenant_id, &span.task_id, after, span.through).await?;
                if said.is_empty() {
                    return Ok(None);
                }
                let text = self.summariser.summarise(before.as_ref().map(|before| &*before.text), &said).await?;
                ThreadSummary {
                    project_id: span.project_id.clone(),
                    task_id: span.task_id.clone(),
                    channel_id: span.channel_id.clone(),
                    thread_ts: span.thread_ts.clone(),
                    through: span.through,
                    text,
                    trust: least_trust(&said, before.map(|before| before.trust)),
                    model: self.summariser.name().to_owned(),
                }
            }
        };
        self.learn(&[remembered(span, &summary)]).await?;
        texts.keep_summary(&span.tenant_id, &summary, self.now()).await?;
        let (request_id, tenant_id) = (span.id.clone(), span.tenant_id.clone());
        Ok(Some(MemoryResult::Summarised { request_id, tenant_id, summary, at: self.now() }))
    }
}

/// A text as it is known from now on; nothing if that is no news.
fn joined(kept: Option<&Kept>, new: &Text) -> Option<Text> {
    let known = match kept {
        None => return Some(Text { is_edit: false, ..new.clone() }),
        Some(Kept::Gone(at)) => return (new.revised_at > *at).then(|| Text { is_edit: false, ..new.clone() }),
        Some(Kept::There(known)) => known,
    };
    if known.revised_at > new.revised_at {
        return None;
    }
    let either = |new: &Option<String>, known: &Option<String>| new.clone().or_else(|| known.clone());
    let mut joined = Text {
        task_id: either(&new.task_id, &known.task_id),
        channel_id: either(&new.channel_id, &known.channel_id),
        thread_ts: either(&new.thread_ts, &known.thread_ts),
        thread_seq: new.thread_seq.or(known.thread_seq),
        is_edit: false,
        ..new.clone()
    };
    if new.is_edit {
        (joined.author, joined.trust, joined.at) = (known.author.clone(), known.trust, known.at);
    }
    let is_same = Text { revised_at: known.revised_at, ..joined.clone() } == **known;
    (!is_same).then_some(joined)
}

/// The one text that a thread's summaries are found by: the newest has all.
fn remembered(span: &Span, summary: &ThreadSummary) -> Text {
    Text {
        id: format!("sum_{}", hex(Parts::new().add("summary").add(&span.task_id).finish())),
        tenant_id: span.tenant_id.clone(),
        project_id: summary.project_id.clone(),
        kind: TextKind::Summary,
        text: summary.text.clone(),
        task_id: Some(span.task_id.clone()),
        channel_id: summary.channel_id.clone(),
        thread_ts: summary.thread_ts.clone(),
        thread_seq: Some(summary.through),
        author: Some(summary.model.clone()),
        trust: summary.trust,
        at: span.at,
        revised_at: span.at,
        is_edit: false,
    }
}

/// Texts cut into pieces, with the vectors of these.
pub(super) async fn indexed(embedder: &Arc<dyn Embedder>, texts: &[Text]) -> Result<Vec<Indexed>, ModelError> {
    let cut: Vec<Vec<&str>> = texts.iter().map(|text| chunks(&text.text, embedder.text_bytes_max())).collect();
    let all: Vec<String> = cut.iter().flatten().map(|piece| (*piece).to_owned()).collect();
    let mut vectors = embedder.embed(all).await?.into_iter();
    let indexed = texts.iter().zip(cut).map(|(text, pieces)| {
        let pieces = pieces.into_iter().zip(&mut vectors);
        let pieces = pieces.map(|(piece, vector)| Piece { text: piece.to_owned(), vector }).collect();
        Indexed { text: text.clone(), pieces }
    });
    Ok(indexed.collect())
}

fn lexical(text: &Text, dimensions: usize) -> Indexed {
    let piece = |piece: &str| Piece { text: piece.to_owned(), vector: vec![0.0; dimensions] };
    Indexed { text: text.clone(), pieces: chunks(&text.text, 1_000).into_iter().map(piece).collect() }
}

#[cfg(test)]
mod tests {
    use pipeline::event::{Time, Trust};

    use super::*;

    fn text(wording: &str, revised: i64, is_edit: bool) -> Text {
        Text {
            id: "t".into(),
            tenant_id: "acme".into(),
            project_id: "p".into(),
            kind: TextKind::Message,
            text: wording.into(),
            task_id: None,
            channel_id: None,
            thread_ts: (!is_edit).then(|| "1.0".into()),
            thread_seq: (!is_edit).then_some(3),
            author: Some(if is_edit { "somebody else" } else { "Mara" }.into()),
            trust: if is_edit { Trust::Unknown } else { Trust::Member },
            at: Time(revised),
            revised_at: Time(revised),
            is_edit,
        }
    }

    #[test]
    fn an_edit_keeps_who_wrote_it_and_when() {
        let first = joined(None, &text("a", 10, false)).unwrap();
        let edited = joined(Some(&Kept::There(Box::new(first.clone()))), &text("b", 20, true)).unwrap();
        assert_eq!((edited.text.as_str(), edited.at, edited.author.as_deref()), ("b", Time(10), Some("Mara")));
        assert_eq!((edited.thread_seq, edited.trust), (Some(3), Trust::Member));
        assert_eq!(joined(Some(&Kept::There(Box::new(edited.clone()))), &text("a", 10, false)), None, "older");
        assert_eq!(joined(Some(&Kept::There(Box::new(edited))), &text("b", 30, true)), None, "the same");
    }

    #[test]
    fn what_was_taken_away_stays_away() {
        assert_eq!(joined(Some(&Kept::Gone(Time(20))), &text("a", 10, false)), None);
        assert!(joined(Some(&Kept::Gone(Time(20))), &text("a", 30, false)).is_some());
    }
}
