//! What happens to tasks: shown in their thread, and done at their provider
//! where it was asked for here.

use serde_json::Value;
use udfs::markup::{Document, notices};

use crate::{
    draft::Draft,
    event::{Change, MirrorAuthor, MirrorPlace, MirrorText, StandardEvent},
    stages::mirror::{
        context::{Desired, MirrorContext, NAME, lane_of},
        render,
        say::Target,
    },
    state::{
        mirror::item::{Aim, key_of},
        tasks::id_of,
    },
    turn::Turn,
};

/// What a task's status at its provider is called here.
pub fn status_source(task: u128) -> String {
    format!("{NAME}:status:{}", id_of(task))
}

impl MirrorContext<'_> {
    /// A task's thread begins.
    pub fn on_new_task(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        if let Some(task) = draft.facts.task {
            self.thread(draft, task, turn);
        }
        // It may have been spoken of before it was told of.
        self.on_changed_task(draft, turn);
    }

    /// Its root message says what the task says.
    pub fn on_changed_task(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let Some((task, known)) = draft.facts.task.and_then(|task| Some((task, self.tasks.get(task)?))) else { return };
        let key = key_of(self.tenant, &format!("{NAME}:root:{}", id_of(task)), "slack");
        if self.state.items.get(key).is_some() {
            let text = render::root(known);
            self.edit(key, text, turn.now().0, turn);
        }
    }

    /// It is gone at its provider.
    pub fn on_deleted_task(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let Some(task) = draft.facts.task.filter(|task| self.thread_of(*task).is_some()) else { return };
        let by = render::name_of(self.index, draft.event.actor.as_ref());
        let notice = notices::changed("task", None, Some("deleted"), by);
        self.notice(task, &draft.event.id, &notice, Some(draft), turn);
    }

    /// It has moved: there, or by somebody here who wants it moved there.
    pub fn on_status(&mut self, draft: &Draft, turn: &mut Turn<'_>) {
        let event = &draft.event;
        let Some(task) = draft.facts.task.filter(|_| !draft.facts.is_old_news) else { return };
        let is_ours = event.source.provider == "nexus";
        if is_ours {
            self.move_there(draft, task, turn);
        } else {
            self.moved_there(task, &event.source.provider);
        }
        let change = event.changes.iter().find(|change| matches!(&*change.field, "status" | "state"));
        let word = |value: fn(&Change) -> Option<&Value>| change.and_then(value).and_then(Value::as_str);
        let (before, after) = (word(|change| change.before.as_ref()), word(|change| change.after.as_ref()));
        let after = after.or_else(|| event.task.as_ref()?.status.as_deref());
        let said = event.message.as_ref().map(|message| &*message.text).filter(|text| !text.trim().is_empty());
        let author = render::author(self.index, event).filter(|author| author.agent_id.is_some());
        let by = render::name_of(self.index, event.actor.as_ref()).filter(|_| author.is_none());
        let mut notice = notices::changed("status", before, after, by);
        if let Some(said) = said {
            notice = notice.followed_by(Document::from_markdown(said));
        }
        if let Some(target) = self.thread(draft, task, turn) {
            let wish = self.wish(draft, status_notice(event), target, render::notice(&notice), author.clone());
            self.post(wish, turn);
        }
        if let Some(said) = said.filter(|_| is_ours) {
            self.say_at_home(draft, task, said, author, turn);
        }
    }

    /// The words that an agent gave to a move, as a comment.
    fn say_at_home(&mut self, draft: &Draft, task: u128, said: &str, by: Option<MirrorAuthor>, turn: &mut Turn<'_>) {
        let Some(target) = self.home_of(task) else { return };
        let text = MirrorText { markdown: said.to_owned(), plain: false, from: "nexus".to_owned(), footer: None };
        self.post(self.wish(draft, format!("{}:said", draft.event.id), target, text, by), turn);
    }

    fn home_of(&self, task: u128) -> Option<Target> {
        let known = self.tasks.get(task).filter(|known| !known.deleted)?;
        let (place, connection) = (render::home_of(known)?, self.home_connection(known)?);
        Some(Target { place, connection, lane: lane_of(&known.provider, task) })
    }

    /// Wants the provider to have the state that the task has here.
    fn move_there(&mut self, draft: &Draft, task: u128, turn: &mut Turn<'_>) {
        let (Some(known), Some(target)) = (self.tasks.get(task), self.home_of(task)) else { return };
        let state = known.state;
        let word = render::status_word(draft, &known.provider, state);
        let says_so_already = word.is_some() && word == known.status;
        let source = status_source(task);
        let key = key_of(self.tenant, &source, &known.provider);
        let author = render::author(self.index, &draft.event);
        let wish = self.wish(draft, source, target, MirrorText::default(), author);
        if self.state.items.get(key).is_some() {
            return self.change(key, |item| {
                item.aim = Aim::Status { state, word };
                // Whoever moves it now, not whoever did first.
                (item.author, item.action, item.trace) = (wish.author, wish.action, wish.trace);
                item.want(turn.now_ms);
            });
        }
        if !says_so_already {
            self.post(Desired { aim: Aim::Status { state, word }, text: None, ..wish }, turn);
        }
    }

    /// The provider's own moves win over those that are not under way yet.
    fn moved_there(&mut self, task: u128, provider: &str) {
        let key = key_of(self.tenant, &status_source(task), provider);
        if self.state.items.get(key).is_some_and(|item| item.is_pending()) {
            self.change(key, |item| match &item.issued {
                Some(issued) => (item.wanted, item.overtaken) = (issued.revision, true),
                None => item.stands = item.wanted,
            });
        }
    }

    /// Says something in a task's thread, if it has one.
    pub fn notice(&mut self, task: u128, name: &str, said: &Document, draft: Option<&Draft>, turn: &mut Turn<'_>) {
        let Some((channel_id, thread_ts)) = self.thread_of(task) else { return };
        let Some(connection) = self.index.and_then(|index| index.outgoing("slack")).map(str::to_owned) else { return };
        let wish = Desired {
            source: format!("{NAME}:notice:{name}"),
            aim: Aim::Message,
            place: MirrorPlace::Slack { channel_id, thread_ts: Some(thread_ts) },
            connection,
            lane: lane_of("slack", task),
            task: Some(task),
            project: self.tasks.get(task).and_then(|known| known.project_id.clone()),
            action: None,
            trace: draft.map(|draft| draft.event.trace_id.clone()),
            author: None,
            said_ms: turn.now().0,
            text: Some(render::notice(said)),
        };
        self.post(wish, turn);
    }

    /// Tells one person something in Slack.
    pub fn whisper(&mut self, channel: &str, task: Option<u128>, user: &str, said: &str, turn: &mut Turn<'_>) {
        let Some(connection) = self.index.and_then(|index| index.outgoing("slack")).map(str::to_owned) else { return };
        let thread_ts = task.and_then(|task| self.thread_of(task)).map(|(_, thread_ts)| thread_ts);
        let wish = Desired {
            source: format!("{NAME}:whisper:{}:{user}", turn.id("mir", NAME, 2)),
            aim: Aim::Whisper { user_id: user.to_owned() },
            place: MirrorPlace::Slack { channel_id: channel.to_owned(), thread_ts },
            connection,
            lane: format!("whisper/{channel}/{user}"),
            task,
            project: None,
            action: None,
            trace: None,
            author: None,
            said_ms: turn.now().0,
            text: Some(render::notice(&Document::from_plain(said))),
        };
        self.post(wish, turn);
    }
}

fn status_notice(event: &StandardEvent) -> String {
    format!("{NAME}:status:{}", event.id)
}
