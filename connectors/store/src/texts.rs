//! What the hub remembers, as rows: whole texts, and summaries of threads.
//!
//! Guaranteed: an older wording never replaces a newer one, whichever comes
//! first; a text that was taken away does not come back by a request that was
//! made before.

use pipeline::event::{Text, TextKind, ThreadSummary, Time, Trust};

use super::{Store, StoreError, database::Line, sql};

/// A thread, by where it is and by the task that is discussed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The channel.
    pub channel_id: Option<String>,
    /// Its first message there.
    pub thread_ts: Option<String>,
    /// The task.
    pub task_id: Option<String>,
}

/// Where a part of a history begins: behind the text of this time and id.
pub type Place = (i64, String);

/// A text as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// With its wording.
    There(Box<Text>),
    /// Taken away, as of then.
    Gone(Time),
}

/// The texts and summaries.
pub struct Texts<'a>(pub(super) &'a Store);

impl Texts<'_> {
    /// Keeps wordings, where no newer ones are kept.
    pub async fn keep(&self, texts: &[Text]) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        for text in texts {
            let values = [
                text.tenant_id.as_str().into(),
                text.id.as_str().into(),
                text.project_id.as_str().into(),
                text.kind.name().into(),
                (&text.task_id).into(),
                (&text.channel_id).into(),
                (&text.thread_ts).into(),
                text.thread_seq.map(number).into(),
                (&text.author).into(),
                text.trust.name().into(),
                text.at.0.into(),
                text.revised_at.0.into(),
                text.text.as_str().into(),
            ];
            tx.execute(sql!("texts_put"), &values).await?;
        }
        tx.commit().await
    }

    /// A text, as it is kept.
    pub async fn get(&self, tenant: &str, id: &str) -> Result<Option<Kept>, StoreError> {
        let lines = self.0.database.rows(sql!("texts_get"), &[tenant.into(), id.into()]).await?;
        let Some(line) = lines.first() else { return Ok(None) };
        let text = text(tenant, line)?;
        Ok(Some(if line.truth(12)? { Kept::Gone(text.revised_at) } else { Kept::There(Box::new(text)) }))
    }

    /// Takes texts away, as of a time.
    pub async fn forget(&self, tenant: &str, ids: &[String], at: Time) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        for id in ids {
            tx.execute(sql!("texts_forget"), &[tenant.into(), id.as_str().into(), at.0.into()]).await?;
        }
        tx.commit().await
    }

    /// Some of the texts of a thread that were there at a time.
    pub async fn ids_in_thread(
        &self,
        tenant: &str,
        channel: Option<&str>,
        thread_ts: &str,
        until: Time,
    ) -> Result<Vec<String>, StoreError> {
        let channel = channel.map(str::to_owned);
        let values = [tenant.into(), thread_ts.into(), channel.into(), until.0.into()];
        let lines = self.0.database.rows(sql!("texts_in_thread"), &values).await?;
        lines.iter().map(|line| line.text(0)).collect()
    }

    /// What was said in a thread, oldest first, in these projects (all of them,
    /// if none are named).
    pub async fn of_thread(
        &self,
        tenant: &str,
        thread: &Thread,
        projects: Option<&[String]>,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Text>, StoreError> {
        let (after_ms, after_id) = after.map_or((i64::MIN, ""), |(at_ms, id)| (*at_ms, id.as_str()));
        let values = [
            tenant.into(),
            (&thread.task_id).into(),
            (&thread.channel_id).into(),
            (&thread.thread_ts).into(),
            projects.map(listed).into(),
            after_ms.into(),
            after_id.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let lines = self.0.database.rows(sql!("texts_of_thread"), &values).await?;
        lines.iter().map(|line| text(tenant, line)).collect()
    }

    /// What was said in a task's thread between two numbers, the first not
    /// included.
    pub async fn span(&self, tenant: &str, task: &str, after: u64, through: u64) -> Result<Vec<Text>, StoreError> {
        let values = [tenant.into(), task.into(), number(after).into(), number(through).into()];
        let lines = self.0.database.rows(sql!("texts_span"), &values).await?;
        lines.iter().map(|line| text(tenant, line)).collect()
    }

    /// Texts of all tenants behind one of a tenant, in the order of tenants and
    /// ids.
    pub async fn page(&self, after: &(String, String), limit: usize) -> Result<Vec<Text>, StoreError> {
        let values = [after.0.as_str().into(), after.1.as_str().into(), number(limit as u64).into()];
        let lines = self.0.database.rows(sql!("texts_page"), &values).await?;
        lines.iter().map(|line| text(&line.text(12)?, line)).collect()
    }

    /// How many texts there are.
    pub async fn count(&self) -> Result<u64, StoreError> {
        let lines = self.0.database.rows(sql!("texts_count"), &[]).await?;
        lines.first().map_or(Ok(0), |line| line.number(0).map(|count| u64::try_from(count).unwrap_or(0)))
    }

    /// The task that is discussed in a thread.
    pub async fn task_in(&self, tenant: &str, channel: &str, thread_ts: &str) -> Result<Option<String>, StoreError> {
        let values = [tenant.into(), channel.into(), thread_ts.into()];
        let lines = self.0.database.rows(sql!("tasks_by_thread"), &values).await?;
        lines.first().map(|line| line.text(0)).transpose()
    }

    /// Keeps a summary; one that is there already stays.
    pub async fn keep_summary(&self, tenant: &str, summary: &ThreadSummary, at: Time) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        let values = [
            tenant.into(),
            summary.task_id.as_str().into(),
            number(summary.through).into(),
            summary.project_id.as_str().into(),
            (&summary.channel_id).into(),
            (&summary.thread_ts).into(),
            summary.trust.name().into(),
            summary.model.as_str().into(),
            at.0.into(),
            summary.text.as_str().into(),
        ];
        tx.execute(sql!("summaries_put"), &values).await?;
        tx.commit().await
    }

    /// The newest summary of a task's thread that goes no further than a number,
    /// and when it was made.
    pub async fn summary(
        &self,
        tenant: &str,
        task: &str,
        through: u64,
    ) -> Result<Option<(ThreadSummary, Time)>, StoreError> {
        let values = [tenant.into(), task.into(), number(through).into()];
        let lines = self.0.database.rows(sql!("summaries_newest"), &values).await?;
        let Some(line) = lines.first() else { return Ok(None) };
        let summary = ThreadSummary {
            project_id: line.text(0)?,
            task_id: line.text(1)?,
            channel_id: line.some_text(2)?,
            thread_ts: line.some_text(3)?,
            through: u64::try_from(line.number(4)?).unwrap_or(0),
            text: line.text(5)?,
            trust: Trust::from_name(&line.text(6)?),
            model: line.text(7)?,
        };
        Ok(Some((summary, Time(line.number(8)?))))
    }

    /// Takes a thread's summaries away.
    pub async fn forget_summaries(
        &self,
        tenant: &str,
        channel: Option<&str>,
        thread_ts: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        let channel = channel.map(str::to_owned);
        tx.execute(sql!("summaries_forget"), &[tenant.into(), thread_ts.into(), channel.into()]).await?;
        tx.commit().await
    }

    /// A fact that the memory keeps of itself.
    pub async fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        let lines = self.0.database.rows(sql!("facts_get"), &[name.into()]).await?;
        lines.first().map(|line| line.text(0)).transpose()
    }

    /// Another value of such a fact.
    pub async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let mut tx = self.0.database.begin().await?;
        tx.execute(sql!("facts_set"), &[name.into(), value.into()]).await?;
        tx.commit().await
    }
}

fn text(tenant: &str, line: &Line) -> Result<Text, StoreError> {
    Ok(Text {
        id: line.text(0)?,
        tenant_id: tenant.to_owned(),
        project_id: line.text(1)?,
        kind: kind(&line.text(2)?),
        task_id: line.some_text(3)?,
        channel_id: line.some_text(4)?,
        thread_ts: line.some_text(5)?,
        thread_seq: line.some_number(6)?.and_then(|seq| u64::try_from(seq).ok()),
        author: line.some_text(7)?,
        trust: Trust::from_name(&line.text(8)?),
        at: Time(line.number(9)?),
        revised_at: Time(line.number(10)?),
        text: line.text(11)?,
        is_edit: false,
    })
}

/// What was written by a later version is still a text.
pub(super) fn kind(name: &str) -> TextKind {
    TextKind::from_name(name).unwrap_or(TextKind::Document)
}

pub(super) fn listed(ids: &[String]) -> String {
    ids.iter().map(|id| format!(",{id},")).collect()
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
