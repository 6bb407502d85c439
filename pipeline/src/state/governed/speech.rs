//! What an agent wants to say or do: whether it may, and what follows if not.

use serde_json::{Map, Value, json};

use crate::{
    event::{Act, Barred, Deed, Doer, Time},
    governance::{Judgement, Level, Limits, SpokenMessage},
    ports::Headers,
    state::{governed::Governed, ledger::key_of},
    topics::Topic,
    turn::Turn,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Speech<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// The hub's id of the task that it is about, if it is about one.
    pub task: Option<&'a str>,
    /// What it would say; nothing if it only moves something, or could not be
    /// said anyway.
    pub words: Option<&'a str>,
    /// The trace that it belongs to.
    pub trace_id: Option<&'a str>,
}

/// Whether it may be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeechVerdict {
    /// Why not: the rule that refuses it, or `mutedByAdmin`.
    pub refused: Option<&'static str>,
    /// In how many milliseconds of the log's clock it may, where time can help.
    pub retry_after_ms: Option<u64>,
    /// What to tell the agent in words, whether it may or not.
    pub nudge: Option<Map<String, Value>>,
}

/// Why an agent is refused that a person silenced.
const MUTED_BY_ADMIN: &str = "mutedByAdmin";

impl Governed {
    /// Decides, remembers, and tells everybody who must know.
    pub fn judge(&mut self, limits: &Limits, speech: &Speech<'_>, turn: &mut Turn<'_>) -> SpeechVerdict {
        let key = key_of(speech.tenant, speech.agent);
        if self.bars.is_muted(&key) {
            return SpeechVerdict { refused: Some(MUTED_BY_ADMIN), ..SpeechVerdict::default() };
        }
        let judged = match speech.words {
            Some(words) => self.judge_words(limits, &key, speech, words, turn.now_ms),
            None => self.agents.get(&key).map_or(Judgement::PASS, |state| limits.on_act(state, turn.now_ms)),
        };
        let mut nudge = None;
        for finding in &judged.alerts {
            turn.alert_traced(
                finding.kind,
                finding.severity,
                speech.tenant,
                &finding.subject,
                finding.message.clone(),
                speech.trace_id,
            );
            nudge = Some(nudge_of(finding.kind, &finding.message));
        }
        match (judged.enforce, judged.alerts.last()) {
            (Some(Level::Disconnect), _) => self.cut(limits, speech, &judged, turn),
            // Once an episode, as it is told.
            (Some(Level::Mute), Some(finding)) => {
                note(speech, "agent.muted", judged.refused_by, &finding.message, turn);
            }
            _ => {}
        }
        SpeechVerdict {
            refused: judged.refused_by,
            retry_after_ms: judged.retry_after_ms,
            nudge: nudge.filter(|_| judged.enforce == Some(Level::Nudge)),
        }
    }

    fn judge_words(&mut self, limits: &Limits, key: &str, speech: &Speech<'_>, words: &str, now_ms: u64) -> Judgement {
        let message = SpokenMessage::new(speech.agent, speech.task, words);
        let mut agent = self.agents.take(key);
        let judged = match speech.task {
            None => limits.on_message(&mut agent, None, &message, now_ms),
            Some(task) => {
                let task = key_of(speech.tenant, task);
                let mut state = self.tasks.take(&task);
                let judged = limits.on_message(&mut agent, Some(&mut state), &message, now_ms);
                let until_ms = limits.task_expiry(&state);
                self.tasks.put(&task, state, until_ms);
                judged
            }
        };
        let until_ms = limits.agent_expiry(&agent);
        self.agents.put(key, agent, until_ms);
        judged
    }

    fn cut(&mut self, limits: &Limits, speech: &Speech<'_>, judged: &Judgement, turn: &mut Turn<'_>) {
        let told = judged.alerts.last().map(|finding| finding.message.clone());
        let barred = Barred {
            agent_id: speech.agent.to_owned(),
            reason: judged.refused_by.unwrap_or_default().to_owned(),
            message: told.unwrap_or_else(|| "it does again what it was cut for".to_owned()),
            at: turn.now(),
            until: Time::from_ms(turn.now_ms + limits.cool_down_ms),
        };
        note(speech, "agent.disconnected", judged.refused_by, &barred.message, turn);
        self.bars.cut(speech.tenant, &barred, turn);
    }
}

/// Has the trail say what was done to an agent.
fn note(speech: &Speech<'_>, action: &str, rule: Option<&str>, message: &str, turn: &mut Turn<'_>) {
    let act = Act {
        id: turn.id("aud", "govern", 0),
        tenant_id: speech.tenant.to_owned(),
        action: action.to_owned(),
        outcome: "done".to_owned(),
        actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
        subject: Deed { kind: "agent".to_owned(), id: Some(speech.agent.to_owned()) },
        at: turn.now(),
        agent_id: Some(speech.agent.to_owned()),
        task_id: speech.task.map(str::to_owned),
        reason: Some([rule.unwrap_or_default(), message].join(": ")),
        trace_id: speech.trace_id.map(str::to_owned),
        ..Act::default()
    };
    let headers = Headers::new([
        ("event_id", act.id.as_bytes()),
        ("type", action.as_bytes()),
        ("schema", Topic::Audit.spec().schema.as_bytes()),
    ]);
    turn.emit(Topic::Audit, speech.tenant, &act, headers);
}

fn nudge_of(kind: &str, message: &str) -> Map<String, Value> {
    let text = format!("Governance: {message}. Please change course, or ask a person.");
    Map::from_iter([
        ("nudge".to_owned(), json!({ "kind": kind, "message": message })),
        ("message".to_owned(), json!({ "text": text })),
    ])
}
