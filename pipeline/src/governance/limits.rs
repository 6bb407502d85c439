//! A tenant's limits: a part of a document comes in (a `control` row of the kind
//! `limits`, a file of rules), limits that may be used go out.
//!
//! Every field is optional: what is left out is as it was in the limits that
//! the document is laid over, and those begin with the defaults of the
//! contract. Nothing unchecked becomes [`Limits`] this way, so that the memory
//! of every subject stays bounded.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::governance::{Handoffs, Identical, MessageRate, NearDuplicates, NoProgress, SyncRate};

const WINDOW_MS: RangeInclusive<u64> = 1_000..=7 * 86_400_000;
const IDLE_MS: RangeInclusive<u64> = 1_000..=30 * 86_400_000;

/// What a tenant's agents may do.
///
/// ```
/// use pipeline::governance::{Level, Limits};
/// let row = serde_json::json!({ "messages": { "limit": 30 }, "handoffs": { "level": "mute" } });
/// let limits = Limits::default().over(&row)?;
/// assert_eq!((limits.messages.limit, limits.messages.window_ms), (30, 60_000));
/// assert_eq!(limits.handoffs.level, Level::Mute);
/// # Ok::<(), pipeline::governance::BadLimits>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Messages of an agent.
    pub messages: MessageRate,
    /// Changes of a project that are mirrored.
    pub syncs: SyncRate,
    /// The same text again.
    pub identical: Identical,
    /// Nearly the same text again.
    pub near_duplicates: NearDuplicates,
    /// Tasks that go round in circles.
    pub handoffs: Handoffs,
    /// Tasks in which nothing moves.
    pub no_progress: NoProgress,
    /// How long an agent stays out that was cut, by whichever of them.
    pub cool_down_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            messages: MessageRate::default(),
            syncs: SyncRate::default(),
            identical: Identical::default(),
            near_duplicates: NearDuplicates::default(),
            handoffs: Handoffs::default(),
            no_progress: NoProgress::default(),
            cool_down_ms: 60_000,
        }
    }
}

/// Why a document is not taken: whoever wrote it can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLimits {
    /// It has another shape.
    #[error("these are no limits: {reason}")]
    Shape {
        /// What does not fit.
        reason: String,
    },
    /// A number is too small or too large.
    #[error("{field} is {value}; it may be {least} to {most}")]
    OutOfRange {
        /// Which, as a path.
        field: &'static str,
        /// What it is.
        value: u64,
        /// The smallest that is allowed.
        least: u64,
        /// The largest.
        most: u64,
    },
}

impl Limits {
    /// The kind of the `control` row and a part of its key.
    pub const KIND: &'static str = "limits";

    /// These limits with what `document` says laid over them (RFC 7396: `null`
    /// brings the default back). Fields that nobody knows are ignored here, as
    /// a newer writer may have set them.
    pub fn over(&self, document: &Value) -> Result<Limits, BadLimits> {
        let shape = |error: serde_json::Error| BadLimits::Shape { reason: error.to_string() };
        if !document.is_object() {
            return Err(BadLimits::Shape { reason: "not an object".to_owned() });
        }
        let mut merged = serde_json::to_value(self).map_err(shape)?;
        merge(&mut merged, document);
        let limits: Limits = serde_json::from_value(merged).map_err(shape)?;
        limits.check()?;
        Ok(limits)
    }

    /// The fields of `document` that no limits have, as paths: a person who
    /// wrote one has mistyped it.
    pub fn unknown_fields(document: &Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Ok(known) = serde_json::to_value(Limits::default()) {
            compare(document, &known, "", &mut unknown);
        }
        unknown
    }

    /// Whether every number is one that can be worked with.
    pub fn check(&self) -> Result<(), BadLimits> {
        let Limits { messages, syncs, identical, near_duplicates, handoffs, no_progress, cool_down_ms } = self;
        for (field, value, range) in [
            ("messages.limit", u64::from(messages.limit), 1..=10_000),
            ("messages.windowMs", messages.window_ms, WINDOW_MS),
            ("syncs.limit", u64::from(syncs.limit), 1..=10_000),
            ("syncs.windowMs", syncs.window_ms, WINDOW_MS),
            ("identical.occurrences", u64::from(identical.occurrences), 2..=64),
            ("identical.windowMs", identical.window_ms, WINDOW_MS),
            ("nearDuplicates.distance", u64::from(near_duplicates.distance), 0..=20),
            ("nearDuplicates.count", u64::from(near_duplicates.count), 2..=32),
            ("nearDuplicates.windowMs", near_duplicates.window_ms, WINDOW_MS),
            ("nearDuplicates.wordsMin", u64::from(near_duplicates.words_min), 0..=1_000),
            ("handoffs.cycles", u64::from(handoffs.cycles), 2..=10),
            ("handoffs.turnsMax", u64::from(handoffs.turns_max), 2..=8),
            ("handoffs.windowMs", handoffs.window_ms, WINDOW_MS),
            ("noProgress.messages", u64::from(no_progress.messages), 2..=10_000),
            ("noProgress.idleMs", no_progress.idle_ms, IDLE_MS),
            ("coolDownMs", *cool_down_ms, 0..=86_400_000),
        ] {
            if !range.contains(&value) {
                return Err(BadLimits::OutOfRange { field, value, least: *range.start(), most: *range.end() });
            }
        }
        Ok(())
    }
}

fn merge(into: &mut Value, document: &Value) {
    let (Some(fields), Some(changes)) = (into.as_object_mut(), document.as_object()) else {
        *into = document.clone();
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change);
        }
    }
}

fn compare(document: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    let (Some(fields), Some(known)) = (document.as_object(), known.as_object()) else { return };
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known.get(name) {
            Some(known) => compare(value, known, &path, unknown),
            None => unknown.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::governance::Level;

    #[test]
    fn the_defaults_are_the_contract() {
        let limits = Limits::default();
        assert_eq!(limits.check(), Ok(()));
        assert_eq!(
            (limits.messages.limit, limits.messages.window_ms, limits.messages.level),
            (10, 60_000, Level::Mute)
        );
        assert_eq!((limits.syncs.limit, limits.syncs.window_ms, limits.syncs.level), (100, 3_600_000, Level::Mute));
        assert_eq!((limits.identical.occurrences, limits.identical.window_ms), (2, 10_000));
        assert_eq!((limits.identical.level, limits.cool_down_ms), (Level::Disconnect, 60_000));
        let opt_in = [limits.near_duplicates.level, limits.handoffs.level, limits.no_progress.level];
        assert!(opt_in.iter().all(|level| *level == Level::Alert), "enforcement is opt-in");
    }

    #[test]
    fn a_document_says_only_what_differs() {
        let house = Limits::default().over(&json!({ "messages": { "limit": 30 }, "coolDownMs": 5_000 })).unwrap();
        let tenant = house.over(&json!({ "messages": { "windowMs": 10_000, "limit": null } })).unwrap();
        assert_eq!((tenant.messages.limit, tenant.messages.window_ms, tenant.cool_down_ms), (10, 10_000, 5_000));
        assert_eq!(house.over(&json!({})).unwrap(), house);
        assert_eq!(house.over(&serde_json::to_value(&tenant).unwrap()).unwrap(), tenant, "it can be written whole");
        assert_eq!(house.over(&json!({ "messages": null })).unwrap().messages, MessageRate::default());
        assert_eq!(house.over(&json!({ "fromTheFuture": { "x": 1 } })).unwrap(), house);
    }

    #[test]
    fn what_cannot_be_worked_with_is_refused() {
        for (document, says) in [
            (json!([]), "these are no limits: not an object"),
            (json!({ "messages": 3 }), "these are no limits: invalid type: integer `3`, expected struct MessageRate"),
            (json!({ "messages": { "limit": -1 } }), "these are no limits: invalid value: integer `-1`, expected u32"),
            (json!({ "messages": { "limit": 0 } }), "messages.limit is 0; it may be 1 to 10000"),
            (json!({ "handoffs": { "cycles": 1 } }), "handoffs.cycles is 1; it may be 2 to 10"),
            (
                json!({ "syncs": { "windowMs": u64::MAX } }),
                "syncs.windowMs is 18446744073709551615; it may be 1000 to 604800000",
            ),
        ] {
            assert_eq!(Limits::default().over(&document).unwrap_err().to_string(), says);
        }
        assert!(Limits::default().over(&json!({ "messages": { "level": "kill" } })).is_err());
    }

    #[test]
    fn mistyped_names_are_found() {
        let document = json!({ "messages": { "limits": 3, "limit": 3 }, "syncs": 7, "nearduplicates": {} });
        let mut unknown = Limits::unknown_fields(&document);
        unknown.sort();
        assert_eq!(unknown, ["messages.limits", "nearduplicates"]);
        assert!(Limits::unknown_fields(&serde_json::to_value(Limits::default()).unwrap()).is_empty());
    }
}
