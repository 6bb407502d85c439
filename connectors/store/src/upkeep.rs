//! Notes on connections beside their rows: how they are, what they were granted,
//! what is being looked for. Never announced; what is secret in them is sealed.
//!
//! A note may be due. Whoever works on one claims it by moving that on, and
//! names the version that was read: of several processes one succeeds.

use serde_json::Value as Json;

use super::{
    Store,
    database::{Line, Value},
    error::StoreError,
    from_json,
    rows::{Page, Paging},
    sql,
};

/// A note, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Whose.
    pub tenant: String,
    /// Of which kind.
    pub kind: String,
    /// Which.
    pub id: String,
    /// Counts its changes.
    pub version: i64,
    /// When somebody is to look at it.
    pub due_at_ms: Option<i64>,
    /// What it says.
    pub data: Json,
}

impl Note {
    fn read(line: &Line) -> Result<Note, StoreError> {
        Ok(Note {
            tenant: line.text(0)?,
            kind: line.text(1)?,
            id: line.text(2)?,
            version: line.number(3)?,
            due_at_ms: line.some_number(4)?,
            data: from_json(&line.text(5)?)?,
        })
    }

    fn key(&self) -> [Value; 4] {
        [self.tenant.as_str().into(), self.kind.as_str().into(), self.id.as_str().into(), self.version.into()]
    }
}

/// See the module.
pub struct Upkeep<'a>(pub(super) &'a Store);

impl Upkeep<'_> {
    /// One note.
    pub async fn get(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<Note>, StoreError> {
        let lines = self.0.database.rows(sql!("upkeep_get"), &[tenant.into(), kind.into(), id.into()]).await?;
        lines.first().map(Note::read).transpose()
    }

    /// A new one; whether it is new.
    pub async fn add(
        &self,
        tenant: &str,
        kind: &str,
        id: &str,
        due_at_ms: Option<i64>,
        data: &Json,
    ) -> Result<bool, StoreError> {
        let values = [tenant.into(), kind.into(), id.into(), due_at_ms.into(), data.to_string().into()];
        self.write(sql!("upkeep_add"), &values).await
    }

    /// Another text in the place of the one that was read; whether nobody was
    /// faster. The note is then the new one.
    pub async fn change(&self, note: &mut Note, due_at_ms: Option<i64>, data: Json) -> Result<bool, StoreError> {
        let mut values = note.key().to_vec();
        values.extend([due_at_ms.into(), data.to_string().into()]);
        let changed = self.write(sql!("upkeep_change"), &values).await?;
        if changed {
            (note.version, note.due_at_ms, note.data) = (note.version + 1, due_at_ms, data);
        }
        Ok(changed)
    }

    /// Takes one away; whether nobody was faster.
    pub async fn take(&self, note: &Note) -> Result<bool, StoreError> {
        self.write(sql!("upkeep_take"), &note.key()).await
    }

    /// What is due, of all tenants, the oldest first.
    pub async fn due(&self, now_ms: i64, notes_max: usize) -> Result<Vec<Note>, StoreError> {
        let values = [now_ms.into(), (notes_max as i64).into()];
        self.0.database.rows(sql!("upkeep_due"), &values).await?.iter().map(Note::read).collect()
    }

    /// A tenant's notes of a kind, by id.
    pub async fn page(&self, tenant: &str, kind: &str, paging: &Paging) -> Result<Page<Note>, StoreError> {
        let after = paging.after.as_deref().unwrap_or_default();
        let values = [tenant.into(), kind.into(), after.into(), (paging.limit() as i64 + 1).into()];
        let lines = self.0.database.rows(sql!("upkeep_page"), &values).await?;
        let notes = lines.iter().map(Note::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(notes, paging.limit(), |note| &note.id))
    }

    /// A tenant's notes of a kind whose ids are from `first` to `last`.
    pub async fn between(&self, tenant: &str, kind: &str, first: &str, last: &str) -> Result<Vec<Note>, StoreError> {
        let values = [tenant.into(), kind.into(), first.into(), last.into()];
        self.0.database.rows(sql!("upkeep_between"), &values).await?.iter().map(Note::read).collect()
    }

    async fn write(&self, statement: &'static str, values: &[Value]) -> Result<bool, StoreError> {
        let mut tx = self.0.database.begin().await?;
        let changed = tx.execute(statement, values).await?;
        tx.commit().await?;
        Ok(changed > 0)
    }
}
