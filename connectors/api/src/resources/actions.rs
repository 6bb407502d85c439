//! The audit trail: what was done, by whom.

use axum::http::{Method, StatusCode};
use pipeline::event::HUB;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    call::{Call, problem_of},
    operation::{Operation, operation},
    output::Page,
    query::{CURSOR, Kind, LIMIT, param},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
};
use store::audit::query::{ActFilter, AuditEntry};

/// An act, and where its trace can be seen.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    #[serde(flatten)]
    entry: AuditEntry,
    /// Where the trace can be seen; without a place for traces, the acts of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_url: Option<String>,
}

/// `/api/actions`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/actions", Access::PEOPLE, "List what was done, the newest first", list)
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY])
            .params(&[
                LIMIT,
                CURSOR,
                param("agentId", Kind::Id, "only what an agent did, or what was done to it"),
                param("taskId", Kind::Id, "only what is about a task"),
                param("traceId", Kind::Id, "only what belongs to a trace"),
                param("action", Kind::Text, "only acts of a name, as `comment.posted`"),
                param("from", Kind::Text, "only from this time on (RFC 3339)"),
                param("to", Kind::Text, "only before this time (RFC 3339)"),
                param("of", Kind::OneOf(&["tenant", "hub"]), "whose: the hub's own are for the role `platform`"),
            ]),
    ]
}

async fn list(call: Call, (): ()) -> Result<Page<Action>, Problem> {
    let text = |name: &str| call.said.text(name).map(str::to_owned);
    let filter = ActFilter {
        agent_id: text("agentId"),
        task_id: text("taskId"),
        trace_id: text("traceId"),
        action: text("action"),
        from_ms: time(&call, "from")?,
        to_ms: time(&call, "to")?,
    };
    let of_hub = call.said.text("of") == Some("hub");
    if of_hub && call.who.role != pipeline::event::Role::Platform {
        let detail = "what was done to everybody is for the role `platform`";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let tenant = if of_hub { HUB } else { &call.tenant };
    let page = call.desk.store.acts(tenant, &filter, &call.paging()).await.map_err(problem_of)?;
    let shown = |entry: AuditEntry| {
        let trace_url = entry.act.trace_id.as_deref().map(|trace| call.desk.trace_links.of(trace));
        Action { entry, trace_url }
    };
    Ok(Page { rows: page.rows.into_iter().map(shown).collect(), next: page.next })
}

/// A time of the query, in ms; also a day.
pub(crate) fn time(call: &Call, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = call.said.text(name) else { return Ok(None) };
    let time = udfs::time::from_rfc3339(text).or_else(|| udfs::time::from_rfc3339(&format!("{text}T00:00:00Z")));
    let wrong = || {
        let told = FieldError::new(name, "must be a time as 2026-11-21T08:00:00Z, or a day");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_time", "that is no time").with_errors(vec![told])
    };
    time.map(Some).ok_or_else(wrong)
}

/// Where traces can be seen.
#[derive(Clone, Debug, Default)]
pub struct TraceLinks(String);

impl TraceLinks {
    /// By a template with `{traceId}` in it, or at Langfuse, if that is set.
    pub fn new(template: &str, langfuse_host: &str, langfuse_project: &str) -> TraceLinks {
        TraceLinks(match (template, langfuse_host, langfuse_project) {
            ("", "", _) | ("", _, "") => "/api/actions?traceId={traceId}".to_owned(),
            ("", host, project) => format!("{}/project/{project}/traces/{{traceId}}", host.trim_end_matches('/')),
            (template, ..) => template.to_owned(),
        })
    }

    /// The address of a trace.
    pub fn of(&self, trace: &str) -> String {
        self.0.replace("{traceId}", trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_shown_where_traces_are() {
        let url = |template, host, project| TraceLinks::new(template, host, project).of("ab");
        assert_eq!(url("", "https://lf.example/", "p1"), "https://lf.example/project/p1/traces/ab");
        assert_eq!(
            url("https://jaeger.example/trace/{traceId}", "https://lf", "p1"),
            "https://jaeger.example/trace/ab"
        );
        assert_eq!(url("", "", ""), "/api/actions?traceId=ab");
    }
}
