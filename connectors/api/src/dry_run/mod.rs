//! What another set of limits would have done to the log of the last days,
//! beside what was done: nothing is written.
//!
//! In: `control` (the tenants' own limits), `events` and `mirror.commands`
//! (what happened), `agents.inbox` and `agents.actions` (what was refused, and
//! what it was), `alerts`. Out: a [`Report`], a line a rule. The detectors are
//! the pipeline's own, and the clock is the log's: the records that the pipeline
//! wrote carry it.
//!
//! What it cannot know: how agents would have gone on after another answer, what
//! they said that could not be said at all, and when commands that waited for
//! their project would have come without that.

mod judge;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;
use pipeline::{
    event::Time,
    governance::{BadLimits, Limits, RULES},
    ports::{Log, LogError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::judge::Judge;

/// Subjects that are named for a rule; of more there is only the number.
const SUBJECTS_MAX: usize = 20;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// A part of limits, laid over those that are in force for each tenant.
    pub rules: Value,
    /// From when on.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// Only this tenant.
    pub tenant: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// The rules cannot be worked with.
    #[error("{0}")]
    Rules(#[from] BadLimits),
    /// Somebody mistyped a name.
    #[error("limits have no field {}", .0.join(", "))]
    Unknown(Vec<String>),
    /// More was refused than can be held.
    #[error("more than {max} messages were refused in that time; ask for a shorter one, or for one tenant")]
    TooMany {
        /// How many can be.
        max: usize,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// From when on.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// Messages of agents in that time, refused ones among them.
    pub messages: u64,
    /// Commands to providers for projects in that time.
    pub syncs: u64,
    /// A line a rule.
    pub rules: Vec<Line>,
}

/// One rule: what it did, and what it would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The rule, as limits name it.
    pub rule: String,
    /// The kind of its alerts.
    pub kind: String,
    /// What the log says.
    pub was: Tally,
    /// What the other limits say.
    pub would: Tally,
}

/// What a rule did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Messages that were refused; for `syncs`, commands that had to wait (what
    /// waited in the past, nobody has noted).
    pub refused: u64,
    /// Alerts: one an episode.
    pub alerts: u64,
    /// Agents, projects or tasks that it found.
    pub subjects: u64,
    /// The first of them, as `tenant/id`.
    pub first: Vec<String>,
}

/// Tallies of all rules, while they are counted.
#[derive(Default)]
struct Tallies(BTreeMap<&'static str, Counting>);

#[derive(Default)]
struct Counting {
    refused: u64,
    alerts: u64,
    subjects: BTreeSet<String>,
}

impl Tallies {
    fn refused(&mut self, rule: &str) {
        if let Some((rule, _)) = RULES.iter().find(|(known, _)| *known == rule) {
            self.0.entry(rule).or_default().refused += 1;
        }
    }

    fn alert(&mut self, kind: &str, tenant: &str, subject: &str) {
        if let Some((rule, _)) = RULES.iter().find(|(_, known)| *known == kind) {
            let counting = self.0.entry(rule).or_default();
            counting.alerts += 1;
            counting.subjects.insert(format!("{tenant}/{subject}"));
        }
    }

    fn of(&self, rule: &str) -> Tally {
        let Some(counting) = self.0.get(rule) else { return Tally::default() };
        Tally {
            refused: counting.refused,
            alerts: counting.alerts,
            subjects: counting.subjects.len() as u64,
            first: counting.subjects.iter().take(SUBJECTS_MAX).cloned().collect(),
        }
    }
}

/// The limits of each tenant, as the rules would have them.
struct Supposed {
    house: Limits,
    tenants: HashMap<String, Limits>,
}

impl Supposed {
    fn of(&self, tenant: &str) -> &Limits {
        self.tenants.get(tenant).unwrap_or(&self.house)
    }
}

/// Looks through the log.
pub async fn run(log: Arc<dyn Log>, house: &Limits, query: &Query) -> Result<Report, NoReport> {
    let unknown = Limits::unknown_fields(&query.rules);
    if !unknown.is_empty() {
        return Err(NoReport::Unknown(unknown));
    }
    let mut supposed = Supposed { house: house.over(&query.rules)?, tenants: HashMap::new() };
    for (tenant, own) in read::own_limits(&*log).await? {
        // What a later version wrote is not for us, as in the pipeline.
        let own = house.over(&Value::Object(own)).unwrap_or_else(|_| house.clone());
        supposed.tenants.insert(tenant, own.over(&query.rules)?);
    }
    let (mut was, mut judge) = (Tallies::default(), Judge::new(&supposed));
    for partition in 0..log.partitions() {
        let refused = read::refused(&*log, partition, query, &mut was).await?;
        read::alerts(&*log, partition, query, &mut was).await?;
        read::happened(&*log, partition, query, refused, &mut judge).await?;
        read::mirrored(&*log, partition, query, &mut judge).await?;
        judge.next_partition();
    }
    let line = |(rule, kind): &(&'static str, &'static str)| Line {
        rule: (*rule).to_owned(),
        kind: (*kind).to_owned(),
        was: was.of(rule),
        would: judge.tallies.of(rule),
    };
    Ok(Report {
        from: Time::from_ms(query.from_ms),
        to: Time::from_ms(query.to_ms),
        messages: judge.messages,
        syncs: judge.syncs,
        rules: RULES.iter().map(line).collect(),
    })
}
