//! What somebody should look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// THE list of alerts: the kind, how bad it is, what it says.
pub const ALERTS: &[(&str, Severity, &str)] = &[
    ("agent.muted", Severity::Warning, "an agent said more than it may, and is muted until there is room"),
    ("agent.stuck", Severity::Critical, "an agent says the same again and again; its socket is cut"),
    ("agent.repeating", Severity::Warning, "an agent says nearly the same again and again"),
    ("task.handoffs", Severity::Warning, "agents hand a task to each other and no person takes part"),
    ("task.no_progress", Severity::Warning, "much is said about a task that does not move"),
    ("agent.offline", Severity::Warning, "an agent is not heard any more"),
    ("agent.online", Severity::Info, "an agent that was offline is heard again"),
    ("project.throttled", Severity::Warning, "a project's changes wait, because there are too many"),
    ("budget.half", Severity::Info, "half of a budget is used"),
    ("budget.nearly", Severity::Warning, "four fifths of a budget are used"),
    ("budget.spent", Severity::Critical, "a budget is used up"),
    ("connection.unknown", Severity::Warning, "somebody whom no connection knows sends webhooks"),
    ("connection.silent", Severity::Warning, "a connection that should be heard is not"),
    ("mirror.full", Severity::Warning, "more waits for one task than is kept; what follows is not mirrored"),
    ("dead_letter", Severity::Warning, "something could not be processed and was put away"),
    ("hub.stopped", Severity::Critical, "the kill switch was used"),
    ("hub.resumed", Severity::Warning, "the kill switch was lifted"),
];

/// How bad a kind of alert is; one that is not in the list is a warning.
pub fn severity_of(kind: &str) -> Severity {
    ALERTS.iter().find(|(known, ..)| *known == kind).map_or(Severity::Warning, |(_, severity, _)| *severity)
}

/// The value of `alerts` (schema `nexus.alert.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Which kind, from one list: `dead_letter`, `connection.unknown`, …
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whose it is.
    pub tenant_id: String,
    /// What it is about: an id.
    pub subject: String,
    /// What to know and do, for a person.
    pub message: String,
    /// When, by the log's clock.
    pub at: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl Alert {
    /// One of the list.
    pub fn new(kind: &str, tenant: &str, subject: &str, message: impl Into<String>, at: Time) -> Alert {
        Alert {
            kind: kind.to_owned(),
            severity: severity_of(kind),
            tenant_id: tenant.to_owned(),
            subject: subject.to_owned(),
            message: message.into(),
            at,
            trace_id: None,
        }
    }
}
