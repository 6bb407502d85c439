//! What people and agents say: on one side, so on the other.

use crate::{
    draft::Draft,
    event::{EventType, MirrorAuthor, MirrorPlace, MirrorText, Task},
    stages::mirror::{
        context::{Desired, MirrorContext, lane_of},
        filter, render,
        results::PROVIDERS,
    },
    state::mirror::item::{Aim, key_of, source_of},
    turn::Turn,
};

/// Where something is to be copied to.
pub struct Target {
    pub place: MirrorPlace,
    pub connection: String,
    pub lane: String,
}

impl MirrorContext<'_> {
    /// What an event asks for on the other side.
    pub fn on(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        use EventType::{
            CommentDeleted, CommentPosted, CommentUpdated, MessageChanged, MessageDeleted, MessagePosted, NewWorkItem,
            WorkItemDeleted, WorkItemStatusChanged, WorkItemUpdated,
        };
        let event = &draft.event;
        if event.echo || event.is_history() || draft.facts.place.as_ref().is_none_or(|place| place.archived) {
            return;
        }
        let is_deletion = matches!(event.kind, MessageDeleted | CommentDeleted);
        if let Some(copy) = draft.facts.copy {
            return if is_deletion { self.lost(copy, turn) } else { self.put_right(copy, turn) };
        }
        match event.kind {
            _ if draft.facts.is_own => {}
            MessagePosted | CommentPosted => self.say(draft, turn),
            MessageChanged | CommentUpdated => self.say_otherwise(draft, turn),
            MessageDeleted | CommentDeleted => self.unsay(draft, turn),
            NewWorkItem => self.on_new_task(draft, turn),
            WorkItemUpdated => self.on_changed_task(draft, turn),
            WorkItemStatusChanged => self.on_status(draft, turn),
            WorkItemDeleted => self.on_deleted_task(draft, turn),
            _ => {}
        }
    }

    fn say(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let event = &draft.event;
        if let Some(task) = draft.facts.task.filter(|_| draft.facts.by.is_none()) {
            self.interrupt(&lane_of("slack", task));
            self.interrupt(&lane_of(&event.source.provider, task));
            if let Some(home) = self.tasks.get(task).map(|task| task.provider.clone()) {
                self.interrupt(&lane_of(&home, task));
            }
        }
        let Some(text) = render::of_event(event).filter(|text| !text.markdown.trim().is_empty()) else { return };
        if self.passes(draft) {
            self.refuse_if_over(draft, turn);
            let author = render::author(self.index, event);
            let Some(source) = source_of(event) else { return };
            for target in self.targets(draft, turn) {
                self.post(self.wish(draft, source.clone(), target, text.clone(), author.clone()), turn);
            }
        }
    }

    /// An edit; of what was not heard of yet it is the first that is heard.
    fn say_otherwise(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let (Some(source), Some(text)) = (source_of(&draft.event), render::of_event(&draft.event)) else { return };
        let known = self.copies(&source);
        if known.is_empty() {
            return self.say(draft, turn);
        }
        for key in known {
            self.edit(key, text.clone(), draft.event.occurred_at.0, turn);
        }
    }

    /// A deletion; of what was not heard of yet, so that it is not said later.
    fn unsay(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let Some(source) = source_of(&draft.event) else { return };
        let mut known = self.copies(&source);
        if known.is_empty() && draft.facts.task.is_some() {
            for target in self.targets(draft, turn) {
                let key = key_of(self.tenant, &source, target.place.provider());
                self.post(self.wish(draft, source.clone(), target, MirrorText::default(), None), turn);
                known.push(key);
            }
        }
        // Who deletes is told nowhere; the author is the one who may.
        let by = render::name_of(self.index, draft.event.actor.as_ref()).map(str::to_owned);
        for key in known {
            self.take_back(key, by.as_deref(), turn);
        }
    }

    /// The copies that there are of something.
    pub fn copies(&self, source: &str) -> Vec<u128> {
        let keys = PROVIDERS.iter().map(|provider| key_of(self.tenant, source, provider));
        keys.filter(|key| self.state.items.get(*key).is_some()).collect()
    }

    fn passes(&self, draft: &Draft) -> bool {
        let connection = draft.event.source.connection_id.as_deref();
        let connection = connection.and_then(|id| self.index?.connection(id));
        filter::passes(connection.and_then(|connection| connection.filters.as_ref()), &draft.event)
    }

    /// The other sides of where something was said.
    fn targets(&mut self, draft: &Draft, turn: &mut Turn<'_>) -> Vec<Target> {
        let provider = &*draft.event.source.provider;
        let Some(task) = draft.facts.task.filter(|task| self.tasks.get(*task).is_some()) else {
            return self.thread_alone(draft).into_iter().collect();
        };
        let mut targets = Vec::with_capacity(2);
        if provider != "slack" {
            targets.extend(self.thread(draft, task, turn));
        }
        if matches!(provider, "slack" | "nexus") {
            targets.extend(self.tasks.get(task).and_then(|known| self.home(task, known)));
        }
        targets
    }

    /// A task's thread, which begins if there is none.
    pub fn thread(&mut self, draft: &Draft, task: u128, turn: &mut Turn<'_>) -> Option<Target> {
        let connection = self.index?.outgoing("slack")?.to_owned();
        let project = draft.facts.place.as_ref()?;
        let known = self.tasks.get(task)?;
        let channel_id = known.channel_id.clone().or_else(|| project.channel_id.clone())?;
        let thread_ts = known.thread_ts.clone();
        if thread_ts.is_none() {
            self.want_thread(task, &channel_id, project.project_id.as_deref(), turn);
        }
        let place = MirrorPlace::Slack { channel_id, thread_ts };
        Some(Target { place, connection, lane: lane_of("slack", task) })
    }

    fn home(&self, task: u128, known: &Task) -> Option<Target> {
        let place = render::home_of(known).filter(|_| !known.deleted)?;
        Some(Target { place, connection: self.home_connection(known)?, lane: lane_of(&known.provider, task) })
    }

    /// A thread that is no task's, into which an agent speaks.
    fn thread_alone(&self, draft: &Draft) -> Option<Target> {
        let message = draft.event.message.as_ref().filter(|_| draft.event.source.provider == "nexus")?;
        let channel_id = message.channel_id.clone()?;
        let connection = self.index?.outgoing("slack")?.to_owned();
        let lane = format!("slack/{channel_id}/{}", message.thread_ts.as_deref().unwrap_or_default());
        Some(Target {
            place: MirrorPlace::Slack { channel_id, thread_ts: message.thread_ts.clone() },
            connection,
            lane,
        })
    }

    /// What an event's words are to become somewhere.
    pub fn wish(
        &self,
        draft: &Draft,
        source: String,
        target: Target,
        text: MirrorText,
        author: Option<MirrorAuthor>,
    ) -> Desired {
        let event = &draft.event;
        Desired {
            action: event.source.delivery_id.clone().filter(|_| event.source.provider == "nexus"),
            source,
            aim: Aim::Message,
            place: target.place,
            connection: target.connection,
            lane: target.lane,
            task: draft.facts.task,
            project: draft.facts.place.as_ref().and_then(|place| place.project_id.clone()),
            trace: Some(event.trace_id.clone()),
            author,
            said_ms: event.occurred_at.0,
            text: Some(text),
        }
    }

    /// Who answers below a task that is gone is told so.
    fn refuse_if_over(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let event = &draft.event;
        let Some(task) = draft.facts.task.filter(|_| event.source.provider == "slack" && render::is_person(event))
        else {
            return;
        };
        let Some(known) = self.tasks.get(task).filter(|known| known.deleted) else { return };
        let text = format!("The task is gone from {}: what you write here stays here.", render::label(&known.provider));
        let channel = event.message.as_ref().and_then(|message| message.channel_id.clone());
        let user = event.actor.as_ref().and_then(|actor| actor.external_id.clone());
        if let (Some(channel), Some(user)) = (channel, user) {
            self.whisper(&channel, Some(task), &user, &text, turn);
        }
    }
}
