//! The rows of one kind in the store: what all kinds share.
//!
//! A row is a struct of `pipeline::event::directory`, kept under its tenant and
//! id. A kind says how it is written and read ([`Stored`]); what follows from
//! that (lists by keyset, conflicts, the outbox) is written once, here, in
//! [`super::work`] and in [`super::repository`].

use pipeline::event::{Row, Time};

use super::{
    database::{Line, Value},
    error::{Broken, StoreError},
};

/// Rows that one page may have at most.
pub const PAGE_ROWS_MAX: usize = 200;
/// Rows of a page whose size was not said.
pub const PAGE_ROWS: usize = 50;

/// A row with what the store knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<R> {
    /// Its id, unique in its tenant.
    pub id: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// The row.
    pub row: R,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// How many rows at most.
    pub limit: usize,
    /// The last id of the page before.
    pub after: Option<String>,
}

impl Default for Paging {
    fn default() -> Self {
        Paging { limit: PAGE_ROWS, after: None }
    }
}

/// A part of a list, by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// [`Paging::after`] of the next page, if there may be one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From what was found when one row more than the limit was asked for.
    pub(super) fn cut(mut rows: Vec<T>, limit: usize, id: impl Fn(&T) -> &str) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| id(row).to_owned());
        Page { rows, next }
    }
}

impl Paging {
    /// The limit within its bounds.
    pub(super) fn limit(&self) -> usize {
        self.limit.clamp(1, PAGE_ROWS_MAX)
    }

    /// `$1` to `$3` of a page's statement: the tenant, the last id, one row more
    /// than wanted.
    pub(super) fn values(&self, tenant: &str) -> Vec<Value> {
        let limit = self.limit() as i64 + 1;
        vec![tenant.into(), self.after.as_deref().unwrap_or_default().into(), limit.into()]
    }
}

/// The statements of a kind. `$1` is the tenant, `$2` the id.
pub struct Statements {
    /// `$3` is the time, then [`Stored::values`].
    pub insert: &'static str,
    /// The same values.
    pub update: &'static str,
    /// Takes the row away.
    pub delete: &'static str,
    /// `id`, `created_at_ms`, `updated_at_ms`, then what [`Stored::read`] reads.
    pub get: &'static str,
    /// The same columns; `$2` is the last id, `$3` the limit.
    pub page: &'static str,
}

/// The statements of a table, by its name.
macro_rules! statements {
    ($table:literal) => {
        $crate::rows::Statements {
            insert: $crate::sql!($table, "_insert"),
            update: $crate::sql!($table, "_update"),
            delete: $crate::sql!($table, "_delete"),
            get: $crate::sql!($table, "_get"),
            page: $crate::sql!($table, "_page"),
        }
    };
}
pub(super) use statements;

/// A list within a row, in a table of its own. `$1` is the tenant, `$2` the
/// row's id.
pub struct Part {
    /// One element, its values following.
    pub insert: &'static str,
    /// Takes all of a row's elements away.
    pub clear: &'static str,
    /// The elements of the rows from `$2` to `$3`, the row's id first.
    pub between: &'static str,
    /// The field, as JSON names it.
    pub field: &'static str,
}

/// The statements of a part's table.
macro_rules! part {
    ($table:literal, $field:literal) => {
        $crate::rows::Part {
            insert: $crate::sql!($table, "_insert"),
            clear: $crate::sql!($table, "_clear"),
            between: $crate::sql!($table, "_between"),
            field: $field,
        }
    };
}
pub(super) use part;

/// Rows of another kind that name one which is taken away.
pub struct Dependents {
    /// Their kind.
    pub kind: &'static str,
    /// Lets go of it (`$1` the tenant, `$2` the id), returning their ids.
    pub release: &'static str,
    /// Whether they go with it, or stay without it.
    pub gone: bool,
}

/// A kind of row that the store keeps.
pub trait Stored: Row + Clone {
    /// How it is written and read.
    const STATEMENTS: Statements;
    /// Columns that no two rows may share, and the fields they are.
    const UNIQUE: &'static [(&'static str, &'static str)] = &[];
    /// The field that refers to another row.
    const REFERS: &'static str = "tenantId";
    /// Its lists.
    const PARTS: &'static [Part] = &[];
    /// Who names it.
    const DEPENDENTS: &'static [Dependents] = &[];

    /// Its columns, in the order of the statements.
    fn values(&self) -> Vec<Value>;
    /// From its columns, the first of which is number 3.
    fn read(line: &Line) -> Result<Self, StoreError>;
    /// The elements of one of its parts.
    fn elements(&self, _part: usize) -> Vec<Vec<Value>> {
        Vec::new()
    }
    /// Takes up an element of a part, whose first column is number 1.
    fn take(&mut self, _part: usize, _line: &Line) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A row and what the store knows of it, its parts still missing.
pub(super) fn entry<R: Stored>(line: &Line) -> Result<Entry<R>, StoreError> {
    Ok(Entry {
        id: line.text(0)?,
        created_at: Time(line.number(1)?),
        updated_at: Time(line.number(2)?),
        row: R::read(line)?,
    })
}

/// The error of a statement that writes a row of this kind.
pub(super) fn refused<R: Stored>(error: sqlx::Error, refers: &'static str) -> StoreError {
    match super::error::broken(&error) {
        Some(Broken::Unique(words)) => {
            let named = R::UNIQUE
                .iter()
                .find(|(column, _)| words.contains(&format!("_{column}_key")) || words.contains(&format!(".{column}")));
            StoreError::Conflict { kind: R::KIND, field: named.map_or("id", |(_, field)| field) }
        }
        Some(Broken::Reference) => StoreError::Dangling { kind: R::KIND, field: refers },
        None => error.into(),
    }
}

/// Gives each row its elements; both are ordered by the row's id, but a row may
/// have gone or come between the two queries.
pub(super) fn join<R: Stored>(entries: &mut [Entry<R>], part: usize, lines: &[Line]) -> Result<(), StoreError> {
    let mut owners: std::collections::HashMap<String, &mut Entry<R>> =
        entries.iter_mut().map(|entry| (entry.id.clone(), entry)).collect();
    for line in lines {
        if let Some(entry) = owners.get_mut(&line.text(0)?) {
            entry.row.take(part, line)?;
        }
    }
    Ok(())
}
