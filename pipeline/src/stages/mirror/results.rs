//! What became of commands: what stands at the providers now, and what is done
//! about what does not.

use udfs::markup::{Document, notices};

use crate::{
    event::{ActorKind, MirrorPlace, MirrorResult, MirrorStage, MirrorText, TaskState},
    stages::mirror::{
        context::{Desired, MirrorContext, task_key},
        render,
    },
    state::mirror::{
        due_of,
        item::{Aim, Item, remote},
        lanes::{channel_key, lane_key},
    },
    turn::Turn,
};

/// Something that may be done twice without harm is tried so often.
const TRIES_MAX: u32 = 3;
/// Ids of ours that are remembered though nothing stands there any more.
const SEEN_MAX: usize = 64;
/// A post is sent once more and no more: who knows how often it landed.
const POSTS_MAX: u32 = 2;

impl MirrorContext<'_> {
    /// One step of a command.
    pub fn on_result(&mut self, result: &MirrorResult, turn: &mut Turn<'_>) {
        let Some(key) = self.state.items.of_command(self.tenant, &result.command_id) else { return };
        if result.stage == MirrorStage::Claimed {
            let hashes = &result.hashes;
            self.state.items.update(key, |item| {
                hashes.iter().for_each(|hash| item.remember_hash(hash.clone(), turn.now_ms));
            });
            return;
        }
        let Some(item) = self.state.items.get(key) else { return };
        let is_current = item.issued.as_ref().is_some_and(|issued| issued.command == result.command_id);
        match result.stage {
            MirrorStage::Done if is_current => self.done(key, result, turn),
            MirrorStage::Done => self.done_late(key, result, turn),
            MirrorStage::Failed if is_current => self.failed(key, result, turn),
            MirrorStage::Uncertain if is_current => self.uncertain(key, turn),
            _ => {}
        }
        self.let_go(key);
    }

    /// What was held because of an item need not be any more.
    fn let_go(&mut self, key: u128) {
        let Some(item) = self.state.items.get(key) else { return };
        if item.issued.is_some() {
            return;
        }
        let lane = lane_key(self.tenant, &item.lane);
        let channel = match (&item.aim, &item.place) {
            (Aim::Root, MirrorPlace::Slack { channel_id, .. }) => Some(channel_key(self.tenant, channel_id)),
            _ => None,
        };
        self.release(lane);
        if let Some(channel) = channel {
            self.release(channel);
        }
    }

    fn done(&mut self, key: u128, result: &MirrorResult, turn: &mut Turn<'_>) {
        let text_bytes_max = self.state.settings.text_bytes_max;
        self.change(key, |item| {
            let Some(issued) = item.issued.take() else { return };
            (item.stands, item.tried, item.failed_ms) = (issued.revision, 0, None);
            item.said_bytes = item.said_bytes.map(|_| issued.bytes);
            if !result.parts.is_empty() {
                let before = std::mem::replace(&mut item.parts, result.parts.clone());
                item.seen.extend(before.into_iter().map(|part| part.id));
                item.limit = result.limit;
            }
            let Item { parts, seen, .. } = item;
            seen.retain(|id| !parts.iter().any(|part| part.id == *id));
            let more = seen.len().saturating_sub(SEEN_MAX);
            seen.drain(..more);
            for hash in result.parts.iter().filter_map(|part| part.hash.clone()) {
                item.remember_hash(hash, turn.now_ms);
            }
            if !item.is_pending() && item.text.as_ref().is_some_and(|text| text.markdown.len() > text_bytes_max) {
                item.text = None;
            }
        });
        self.stands(key, result, turn);
    }

    /// What follows from something standing there.
    fn stands(&mut self, key: u128, result: &MirrorResult, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key) else { return };
        match &item.aim {
            Aim::Root => self.discuss_below(key, result.thread_ts.as_deref()),
            Aim::Status { state, word } if !item.overtaken => {
                let state = *state;
                let word = result.status.clone().or_else(|| word.clone());
                let task = item.task.as_deref().and_then(task_key);
                if let (Some(task), Some(word)) = (task, word) {
                    self.tasks.update(task, |task| (task.status, task.state) = (Some(word), state));
                }
            }
            Aim::Whisper { .. } if !item.is_pending() => self.state.items.forget(key, turn),
            _ => {}
        }
    }

    /// An answer to what was given up, or was sent again since.
    fn done_late(&mut self, key: u128, result: &MirrorResult, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key).filter(|item| !item.ended) else { return };
        if item.parts.is_empty() && item.issued.is_none() && !result.parts.is_empty() {
            self.change(key, |item| {
                item.parts.clone_from(&result.parts);
                item.limit = result.limit;
            });
            // What it says is not what is wanted now, perhaps.
            self.put_right(key, turn);
            return self.stands(key, result, turn);
        }
        self.state.items.update(key, |item| {
            let new = result.parts.iter().filter(|part| !item.parts.contains(part));
            item.seen.extend(new.map(|part| part.id.clone()));
        });
    }

    fn failed(&mut self, key: u128, result: &MirrorResult, turn: &mut Turn<'_>) {
        let had_parts = self.state.items.get(key).is_some_and(|item| !item.parts.is_empty());
        if had_parts && result.code.as_deref() == Some("not_found") {
            return self.lost(key, turn);
        }
        self.change(key, |item| {
            if !result.parts.is_empty() {
                item.parts.clone_from(&result.parts);
                item.limit = result.limit;
            }
            item.give_up(turn.now_ms);
        });
        if result.code.as_deref() == Some("dropped") {
            // Somebody wanted that: nobody needs to be told.
            return self.undo_move(key);
        }
        let why = result.error.as_deref().or(result.code.as_deref());
        self.tell_of_failure(key, why.unwrap_or("it was refused"), turn);
    }

    /// Our copy was deleted there, by somebody. That is that side's own affair:
    /// the original stays, and nothing is put there again, except what an agent
    /// has said since.
    pub fn lost(&mut self, key: u128, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key) else { return };
        let rest = item.text.as_ref().and_then(|text| text.markdown.get(item.said_bytes?..)).map(str::trim_start);
        let rest = rest.filter(|rest| !rest.is_empty()).map(|rest| Desired {
            source: format!("{}:{}", item.source, item.wanted),
            aim: Aim::Message,
            place: item.place.clone(),
            connection: item.connection.clone(),
            lane: item.lane.clone(),
            task: item.task.as_deref().and_then(task_key),
            project: item.project.clone(),
            action: item.action.clone(),
            trace: item.trace.clone(),
            author: item.author.clone(),
            said_ms: item.said_ms,
            text: item.text.clone().map(|text| MirrorText { markdown: rest.to_owned(), ..text }),
        });
        self.end(key);
        if let Some(wish) = rest {
            self.post(wish, turn);
        }
    }

    fn uncertain(&mut self, key: u128, turn: &mut Turn<'_>) {
        let Some((item, issued)) = self.state.items.get(key).and_then(|item| Some((item, item.issued.as_ref()?)))
        else {
            return;
        };
        match item.aim {
            Aim::Message | Aim::Root if issued.is_post && !item.seen.is_empty() => self.told_by_echo(key, turn),
            Aim::Message | Aim::Root if issued.is_post && issued.attempt < POSTS_MAX => {
                self.change(key, |item| {
                    if let Some(issued) = &mut item.issued {
                        (issued.uncertain, issued.at_ms) = (true, turn.now_ms);
                    }
                });
            }
            Aim::Message | Aim::Root if !issued.is_post && issued.attempt < TRIES_MAX => {
                self.change(key, |item| item.issued = None);
            }
            _ => {
                self.change(key, |item| item.give_up(turn.now_ms));
                self.tell_of_failure(key, "nobody can tell whether it arrived", turn);
            }
        }
    }

    /// An echo says that a post landed, which its result could not.
    pub fn told_by_echo(&mut self, key: u128, turn: &mut Turn<'_>) {
        self.change(key, |item| {
            let Some(issued) = item.issued.take_if(|issued| issued.is_post) else { return };
            (item.stands, item.tried) = (issued.revision, 0);
            item.said_bytes = item.said_bytes.map(|_| issued.bytes);
            let seen = std::mem::take(&mut item.seen);
            item.parts = seen.into_iter().map(|id| crate::event::MirrorPart { id, hash: None }).collect();
        });
        self.discuss_below(key, None);
        self.let_go(key);
        self.state.items.trim(&self.state.settings, turn);
    }

    /// Time has passed.
    pub fn on_due(&mut self, key: u128, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key).filter(|item| item.is_pending()) else { return };
        let due_ms = due_of(item, &self.state.settings);
        if due_ms > turn.now_ms {
            return self.state.lanes.remind(due_ms, key);
        }
        if item.issued.is_none() && self.is_paced(&item.lane) {
            // Nothing is lost for its project's limit: its patience begins anew.
            return self.change(key, |item| item.at_ms = turn.now_ms);
        }
        if item.issued.as_ref().is_some_and(|issued| issued.uncertain) {
            self.change(key, |item| item.issued = None);
        } else {
            self.change(key, |item| item.give_up(turn.now_ms));
            self.tell_of_failure(key, "it took too long", turn);
        }
        self.let_go(key);
    }

    /// Who wrote it in Slack is told; a task that could not be moved goes back.
    fn tell_of_failure(&mut self, key: u128, why: &str, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key) else { return };
        let place = render::label(item.place.provider());
        match &item.aim {
            Aim::Message => {
                let Some(author) = item.author.clone().filter(|author| author.kind == ActorKind::Human) else { return };
                let Some((channel, _)) = item.source.strip_prefix("slack:").and_then(|it| it.split_once(':')) else {
                    return;
                };
                let text = format!("What you wrote could not be copied to {place}: {why}.");
                let (channel, task) = (channel.to_owned(), item.task.as_deref().and_then(task_key));
                if let Some(user) = author.external_id {
                    self.whisper(&channel, task, &user, &text, turn);
                }
            }
            Aim::Status { .. } => {
                let Some(task) = item.task.as_deref().and_then(task_key) else { return };
                let text = notices::changed("status", None, Some("not changed"), None)
                    .followed_by(Document::from_plain(&format!("It could not be changed in {place}: {why}.")));
                self.go_back(task);
                self.notice(
                    task,
                    &format!("failed:{}", turn.id("mir", crate::stages::mirror::context::NAME, 1)),
                    &text,
                    None,
                    turn,
                );
            }
            _ => {}
        }
    }

    fn undo_move(&mut self, key: u128) {
        let Some(item) = self.state.items.get(key) else { return };
        let task = item.task.as_deref().and_then(task_key);
        if let (Aim::Status { .. }, Some(task)) = (&item.aim, task) {
            self.go_back(task);
        }
    }

    /// The provider is the truth about a task's state.
    fn go_back(&mut self, task: u128) {
        let Some(known) = self.tasks.get(task) else { return };
        let place = known.project_id.as_deref().and_then(|id| self.index?.project(id));
        let map = place.map(|place| &place.status_map);
        if let Some(state) = known.status.as_deref().and_then(|word| TaskState::of_status(word, map)) {
            self.tasks.update(task, |task| task.state = state);
        }
    }

    /// The names under which what stands of an item is known.
    pub fn is_at(item: &Item, name_there: &str) -> bool {
        item.parts.iter().any(|part| remote(&item.place, &item.connection, &part.id) == name_there)
    }
}

/// Where copies can be.
pub const PROVIDERS: &[&str] = &["slack", "clickup", "github", "jira"];
