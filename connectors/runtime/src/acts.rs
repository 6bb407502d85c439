//! From records to acts: what the audit trail says of each. Pure.

use pipeline::{
    event::{
        Act, AgentAction, Alert, Deed, Doer, InboxEntry, MirrorCommand, MirrorPlace, MirrorResult, MirrorStage,
        MirrorWork, Time, TraceOf,
    },
    ports::Record,
};
use udfs::{
    hash::{Parts, hex},
    markup::Document,
};

/// Alerts that tell of something that was done. What is done to agents is in
/// `audit`: an alert alone does not say whether anything was.
const ALERTS_THAT_ARE_ACTS: &[&str] = &["project.throttled", "agent.offline", "agent.online"];

/// An agent may name an action that is none; a name is no longer than ids are.
const ID_BYTES_MAX: usize = 128;

/// The id of what a record tells, the same however often it is read.
pub fn id_of(log: u64, record: &Record) -> String {
    let at = record.position;
    let name = Parts::new().add("audit").number(log).number(at.topic as u64);
    format!("aud_{}", hex(name.number(u64::from(at.partition)).number(at.offset).finish()))
}

/// What a command of the mirror is about to do. `by` is who wants it, as the
/// record's header says.
pub fn of_command(command: &MirrorCommand, by: Option<&str>) -> Act {
    let (kind, subject, author, text) = match &command.work {
        MirrorWork::Post { place, text, author } => ("posted", Some(place), author.as_ref(), Some(text)),
        MirrorWork::Edit { place, text, author, .. } => ("edited", Some(place), author.as_ref(), Some(text)),
        MirrorWork::Retract { place, .. } => ("deleted", Some(place), None, None),
        MirrorWork::SetStatus { place, .. } => ("set", Some(place), None, None),
        MirrorWork::Whisper { text, .. } => ("whispered", None, None, Some(text)),
        MirrorWork::CreateChannel { .. } => ("created", None, None, None),
    };
    let what = match (&command.work, subject) {
        (MirrorWork::SetStatus { .. }, _) => "status",
        (MirrorWork::CreateChannel { .. }, _) => "channel",
        (_, Some(place)) if !place.is_chat() => "comment",
        (_, _) => "message",
    };
    let by = by.and_then(|by| by.split_once(':').or(Some((by, ""))));
    let actor = match (author.and_then(|author| author.agent_id.as_deref()), by) {
        (Some(agent), _) => Doer { kind: "agent".to_owned(), id: Some(agent.to_owned()), role: None },
        (None, Some((kind, id))) => {
            Doer { kind: kind.to_owned(), id: Some(id.to_owned()).filter(|id| !id.is_empty()), role: None }
        }
        (None, None) => Doer { kind: "hub".to_owned(), ..Doer::default() },
    };
    let agent_id = actor.id.clone().filter(|_| actor.kind == "agent");
    let hash = |markdown: &str, plain| match plain {
        true => Document::from_plain(markdown).content_hash(),
        false => Document::from_markdown(markdown).content_hash(),
    };
    let said = text.map(|text| hex(hash(&text.markdown, text.plain)));
    Act {
        id: String::new(),
        tenant_id: command.tenant_id.clone(),
        action: format!("{what}.{kind}"),
        outcome: String::new(),
        actor,
        subject: subject.map_or_else(|| elsewhere(&command.work), of_place),
        at: command.at,
        agent_id,
        task_id: command.task_id.clone(),
        project_id: command.project_id.clone(),
        content_hashes: said.into_iter().collect(),
        command_id: Some(command.id.clone()),
        trace_id: command.trace_id.clone(),
        ..Act::default()
    }
}

fn of_place(place: &MirrorPlace) -> Deed {
    Deed { kind: place.provider().to_owned(), id: Some(place.id()) }
}

fn elsewhere(work: &MirrorWork) -> Deed {
    let id = match work {
        MirrorWork::Whisper { channel_id, .. } => channel_id.clone(),
        MirrorWork::CreateChannel { name, .. } => name.clone(),
        _ => String::new(),
    };
    Deed { kind: work.provider().to_owned(), id: Some(id) }
}

/// The end of what a command began. Of a command that is not known only its
/// result tells.
pub fn of_result(begun: Option<Act>, result: &MirrorResult, id: String) -> Act {
    let unknown = || Act {
        tenant_id: result.tenant_id.clone(),
        action: "command.ended".to_owned(),
        actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
        subject: Deed { kind: "command".to_owned(), id: Some(result.command_id.clone()) },
        command_id: Some(result.command_id.clone()),
        ..Act::default()
    };
    let mut act = begun.unwrap_or_else(unknown);
    act.id = id;
    act.at = result.at;
    act.outcome = match result.stage {
        MirrorStage::Claimed | MirrorStage::Done => "done",
        MirrorStage::Failed => "failed",
        MirrorStage::Uncertain => "uncertain",
    }
    .to_owned();
    act.remote_ids = result.parts.iter().map(|part| part.id.clone()).chain(result.channel_id.clone()).collect();
    let hashes: Vec<_> = result.parts.iter().filter_map(|part| part.hash.clone()).collect();
    if !hashes.is_empty() {
        act.content_hashes = hashes;
    }
    act.reason = match (&result.code, &result.error) {
        (Some(code), Some(error)) => Some(format!("{code}: {error}")),
        (code, error) => code.clone().or_else(|| error.clone()),
    };
    act
}

/// A call that the kill switch cut off: whether it landed is found out later.
pub fn cut_off(command: &MirrorCommand, at: Time) -> Act {
    let name = Parts::new().add("cut off").add(&command.id).number(at.as_ms()).finish();
    Act {
        id: format!("aud_{}", hex(name)),
        outcome: "uncertain".to_owned(),
        at,
        reason: Some("cut off by the kill switch; it is looked for when the hub goes on".to_owned()),
        ..of_command(command, None)
    }
}

/// What an agent was answered that asked for a tool.
pub fn of_decision(entry: &InboxEntry, id: String) -> Act {
    let data = |name: &str| entry.data.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let agent = entry.to.first().map(|to| to.agent_id.clone());
    let decision = data("decision");
    // A tool of the hub's that fails says so with a code and a reason.
    let error = entry.data.as_ref().and_then(|data| data.get("error")).filter(|error| !error.is_null());
    let error = error.map(|error| match (error["code"].as_str(), error["reason"].as_str(), error.as_str()) {
        (Some(code), Some(reason), _) => format!("{code}: {reason}"),
        (.., Some(text)) => text.to_owned(),
        _ => error.to_string(),
    });
    let outcome = match (decision.as_deref(), &error) {
        (Some("denied"), _) | (_, Some(_)) => "refused",
        _ => "done",
    };
    Act {
        id,
        tenant_id: entry.tenant_id.clone(),
        action: "tool.decided".to_owned(),
        outcome: outcome.to_owned(),
        actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
        subject: Deed { kind: "tool".to_owned(), id: data("tool").or_else(|| data("requestId")) },
        at: entry.at,
        agent_id: agent,
        command_id: data("requestId"),
        reason: error.or_else(|| data("reason")).or(decision),
        trace_id: entry.trace_id.clone(),
        ..Act::default()
    }
}

/// A trace that an agent named later for one of its actions: the row joins both.
pub fn of_trace(action: &AgentAction, id: String) -> Option<Act> {
    let TraceOf { action_id, trace_id } = serde_json::from_value(action.data.clone()).ok()?;
    let is_trace = trace_id.len() == 32 && trace_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_trace || action_id.len() > ID_BYTES_MAX {
        return None;
    }
    Some(Act {
        id,
        tenant_id: action.tenant_id.clone(),
        action: "action.traced".to_owned(),
        outcome: "done".to_owned(),
        actor: Doer { kind: "agent".to_owned(), id: Some(action.agent_id.clone()), role: None },
        subject: Deed { kind: "action".to_owned(), id: Some(action_id.clone()) },
        at: action.at,
        agent_id: Some(action.agent_id.clone()),
        command_id: Some(action_id),
        reason: Some("the agent named the action's trace later".to_owned()),
        trace_id: Some(trace_id),
        ..Act::default()
    })
}

/// What an alert says was done, if it says that.
pub fn of_alert(alert: &Alert, id: String) -> Option<Act> {
    let action = ALERTS_THAT_ARE_ACTS.iter().find(|kind| **kind == alert.kind)?;
    let kind = action.split('.').next().unwrap_or_default();
    Some(Act {
        id,
        tenant_id: alert.tenant_id.clone(),
        action: (*action).to_owned(),
        outcome: "done".to_owned(),
        actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
        subject: Deed { kind: kind.to_owned(), id: Some(alert.subject.clone()) },
        at: alert.at,
        agent_id: (kind == "agent").then(|| alert.subject.clone()),
        project_id: (kind == "project").then(|| alert.subject.clone()),
        reason: Some(alert.message.clone()),
        trace_id: alert.trace_id.clone(),
        ..Act::default()
    })
}

#[cfg(test)]
mod tests {
    use pipeline::event::{ActorKind, MirrorAuthor, MirrorPart, MirrorText, TaskState};

    use super::*;

    fn command(work: MirrorWork) -> MirrorCommand {
        MirrorCommand {
            id: "mir_1".to_owned(),
            tenant_id: "acme".to_owned(),
            connection_id: "con".to_owned(),
            lane: "lane".to_owned(),
            work,
            attempt: 1,
            project_id: Some("prj_1".to_owned()),
            task_id: Some("task_1".to_owned()),
            action_id: None,
            at: Time(1),
            deadline: Time(9),
            trace_id: Some("t".repeat(32)),
        }
    }

    #[test]
    fn a_comment_of_an_agent_is_told_with_all_that_is_known_and_no_words() {
        let author = MirrorAuthor {
            kind: ActorKind::Agent,
            name: Some("Fixer".to_owned()),
            avatar: None,
            provider: "nexus".to_owned(),
            external_id: None,
            agent_id: Some("agt_1".to_owned()),
        };
        let place = MirrorPlace::Clickup { task_id: "86abc".to_owned() };
        let text = MirrorText { markdown: "the secret plan".to_owned(), ..MirrorText::default() };
        let command = command(MirrorWork::Post { place, text, author: Some(author) });
        let begun = of_command(&command, None);
        assert_eq!((&*begun.action, begun.agent_id.as_deref()), ("comment.posted", Some("agt_1")));
        let mut result = MirrorResult::of(&command, MirrorStage::Done, Time(5));
        result.parts = vec![MirrorPart { id: "90120".to_owned(), hash: Some("ab".to_owned()) }];
        let act = of_result(Some(begun), &result, "aud_1".to_owned());
        assert_eq!(
            (&*act.outcome, &act.remote_ids, &act.content_hashes, act.at),
            ("done", &vec!["90120".to_owned()], &vec!["ab".to_owned()], Time(5))
        );
        assert!(!serde_json::to_string(&act).expect("JSON").contains("secret plan"));
        let cut = cut_off(&command, Time(7));
        assert_eq!((&*cut.outcome, cut.command_id.as_deref()), ("uncertain", Some("mir_1")));
    }

    #[test]
    fn who_moved_a_task_stands_in_the_header() {
        let place = MirrorPlace::Jira { issue: "SHOP-1".to_owned() };
        let work = MirrorWork::SetStatus { place, status: None, state: TaskState::Done };
        let act = of_command(&command(work), Some("agent:agt_2"));
        assert_eq!((&*act.action, act.agent_id.as_deref(), &*act.subject.kind), ("status.set", Some("agt_2"), "jira"));
    }

    #[test]
    fn a_tool_that_failed_is_not_done() {
        let outcome = |data: serde_json::Value| {
            let entry = serde_json::json!({
                "id": "inb_1", "tenantId": "acme", "name": "tool_result", "at": "2026-11-21T08:00:00Z",
                "to": [{ "agentId": "agt_1", "seq": 1, "prevSeq": 0 }], "data": data,
            });
            let act = of_decision(&serde_json::from_value(entry).expect("an entry"), "aud_1".to_owned());
            (act.outcome, act.reason)
        };
        let told = |outcome: &str, reason: Option<&str>| (outcome.to_owned(), reason.map(str::to_owned));
        let error = serde_json::json!({ "error": { "code": "not_found", "reason": "there is no such task" } });
        assert_eq!(outcome(error), told("refused", Some("not_found: there is no such task")));
        let denied = serde_json::json!({ "decision": "denied", "reason": "stopped: runaway" });
        assert_eq!(outcome(denied), told("refused", Some("stopped: runaway")));
        assert_eq!(outcome(serde_json::json!({ "result": {} })), told("done", None));
        assert_eq!(outcome(serde_json::json!({ "result": {}, "error": null })), told("done", None));
    }

    #[test]
    fn a_trace_that_comes_later_names_its_action() {
        let traced = |action_id: &str, trace_id: &str| {
            let action = AgentAction {
                id: "act_2".to_owned(),
                tenant_id: "acme".to_owned(),
                agent_id: "agt_1".to_owned(),
                name: "trace".to_owned(),
                data: serde_json::json!({ "actionId": action_id, "traceId": trace_id }),
                at: Time(7),
                trace_id: None,
                correlation_id: None,
            };
            of_trace(&action, "aud_1".to_owned())
        };
        let trace = "a".repeat(32);
        let act = traced("act_1", &trace).expect("an act");
        assert_eq!((&*act.action, act.subject.id.as_deref()), ("action.traced", Some("act_1")));
        assert_eq!((act.trace_id, act.agent_id.as_deref(), act.at), (Some(trace.clone()), Some("agt_1"), Time(7)));
        assert!(traced("act_1", "no trace").is_none() && traced(&"x".repeat(129), &trace).is_none());
    }

    #[test]
    fn an_agent_that_is_gone_is_in_the_trail_and_a_warning_is_not() {
        let alert = |kind| Alert::new(kind, "acme", "agt_1", "not heard for 90 s", Time(3));
        let act = of_alert(&alert("agent.offline"), "aud_1".to_owned()).expect("an act");
        assert_eq!((&*act.action, act.agent_id.as_deref()), ("agent.offline", Some("agt_1")));
        assert!(of_alert(&alert("agent.repeating"), "aud_1".to_owned()).is_none());
    }
}
