//! An event on its way through the stages, and what they have found out about it
//! for each other.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    event::{ProjectRef, StandardEvent, Subject, Task},
    state::{
        Resumed,
        index::{AgentId, Place},
    },
};

/// An event on its way down the chain.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What will be published.
    pub event: StandardEvent,
    /// By what a repeat of this event is known: if any of these was seen
    /// before in the tenant, this is one. Empty: never a repeat.
    pub marks: Vec<u128>,
    /// What it tells of, where the hub could also find that by asking. What is
    /// found is a repeat of what was told of the same thing, and the other way
    /// round; two requests of the provider are told apart by their marks alone.
    pub thing: Option<u128>,
    /// What the stages have found out about it for each other.
    pub facts: Facts,
}

impl Draft {
    /// A draft of an event that the hub itself makes: never a repeat.
    pub fn of(event: StandardEvent) -> Self {
        Draft { event, marks: Vec::new(), thing: None, facts: Facts::default() }
    }

    /// A draft of an event that was held and goes on.
    pub fn resumed(resumed: Resumed) -> Self {
        let mut draft = Draft::of(resumed.event);
        draft.facts.held_since_ms = resumed.held_since_ms;
        draft
    }

    /// Says which task a draft of the hub's own is about.
    pub fn set_task(&mut self, key: u128, task: &Task) {
        self.facts.task = Some(key);
        self.event.subject = Some(Subject {
            kind: "task".to_owned(),
            external_id: Some(task.external_id.clone()),
            url: task.url.clone(),
        });
        self.event.project = Some(ProjectRef { id: task.project_id.clone(), ..ProjectRef::default() });
        self.event.task = Some(task.to_ref());
    }
}

/// What the tenant's directory and the tasks say of an event.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The project or workgroup channel that it belongs to.
    pub place: Option<Arc<Place>>,
    /// The task that it is about, by its key (see [`Tasks`](crate::state::tasks::Tasks)).
    pub task: Option<u128>,
    /// The agent that did it.
    pub by: Option<Arc<str>>,
    /// Our own bot did it.
    pub is_own: bool,
    /// The agents that it calls, in the order of their ids.
    pub called: Vec<Arc<str>>,
    /// It calls our own bot.
    pub calls_hub: bool,
    /// It tells nothing that was not known: nobody need be told.
    pub is_old_news: bool,
    /// The copy of ours that somebody changed or deleted.
    pub copy: Option<u128>,
    /// Since when it was held for being perhaps our own voice.
    pub held_since_ms: Option<u64>,
    /// To whom it goes, once that is decided.
    pub told: Option<Recipients>,
    /// The event as it was published.
    pub json: Option<Bytes>,
}

/// Who is told of an event, and under which name.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    /// The name that most get it under.
    pub name: &'static str,
    /// Each agent, and its own name for it where that differs.
    pub to: Vec<(AgentId, Option<&'static str>)>,
}
