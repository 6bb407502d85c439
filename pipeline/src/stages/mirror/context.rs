//! Where decisions become items: something is wanted, something else instead,
//! nothing any more. Who decides is in `say`, `work` and `lists`.

use std::sync::Arc;

use udfs::hash::from_hex;

use crate::{
    event::{MirrorAuthor, MirrorPlace, MirrorText, Severity, Task},
    governance::SyncRate,
    stages::mirror::render,
    state::{
        PartitionState,
        candidates::Candidates,
        index::Index,
        mirror::{
            MirrorState, due_of,
            item::{Aim, Item, key_of},
            lanes::{channel_key, lane_key},
        },
        tasks::{Tasks, id_of},
    },
    turn::Turn,
};

/// The stage's name.
pub const NAME: &str = "mirror";

/// What a decision needs to see, of one tenant.
pub struct MirrorContext<'a> {
    /// What it remembers.
    pub state: &'a mut MirrorState,
    /// Whose it is.
    pub tenant: &'a str,
    /// The tenant's directory.
    pub index: Option<&'a Index>,
    /// The tasks.
    pub tasks: &'a mut Tasks,
    /// What could be mapped in its places.
    pub candidates: &'a mut Candidates,
    /// How fast its projects may be mirrored.
    pub syncs: &'a SyncRate,
}

/// Something that is wanted somewhere.
pub struct Desired {
    pub source: String,
    pub aim: Aim,
    pub place: MirrorPlace,
    pub connection: String,
    pub lane: String,
    pub task: Option<u128>,
    pub project: Option<String>,
    pub action: Option<String>,
    pub trace: Option<String>,
    pub author: Option<MirrorAuthor>,
    pub said_ms: i64,
    pub text: Option<MirrorText>,
}

/// The lane of a task's thread, or of its comments.
pub fn lane_of(provider: &str, task: u128) -> String {
    format!("{provider}/{}", id_of(task))
}

impl<'a> MirrorContext<'a> {
    /// What the mirror sees of a tenant.
    pub fn of(state: &'a mut PartitionState, tenant: &'a str) -> Self {
        let PartitionState { directory, mirror, tasks, candidates, .. } = state;
        let (index, limits) = directory.with_limits(tenant);
        MirrorContext { state: mirror, tenant, index, tasks, candidates, syncs: &limits.syncs }
    }
}

impl MirrorContext<'_> {
    /// Wants something that nobody wanted before; whether it is new.
    pub fn post(&mut self, wish: Desired, turn: &mut Turn<'_>) -> bool {
        let key = key_of(self.tenant, &wish.source, wish.place.provider());
        if self.state.items.get(key).is_some() || self.put_together(&wish, turn) {
            return false;
        }
        let lane = lane_key(self.tenant, &wish.lane);
        let queued = self.state.lanes.queued(lane);
        if queued >= self.state.settings.queued_per_lane_max {
            return false;
        }
        if queued + 1 == self.state.settings.queued_per_lane_max {
            let message = format!("{} changes wait for {}; what follows is not mirrored", queued + 1, wish.lane);
            turn.alert("mirror.full", Severity::Warning, self.tenant, &wish.lane, message);
        }
        let is_agents = wish.aim == Aim::Message && wish.author.as_ref().is_some_and(|by| by.agent_id.is_some());
        let item = Item {
            source: wish.source,
            aim: wish.aim,
            place: wish.place,
            connection: wish.connection,
            lane: wish.lane,
            turn: 0,
            task: wish.task.map(id_of),
            project: wish.project,
            action: wish.action,
            trace: wish.trace,
            author: wish.author,
            said_ms: wish.said_ms,
            text: wish.text,
            gone: false,
            by: None,
            ended: false,
            wanted: 1,
            stands: 0,
            said_bytes: is_agents.then_some(0),
            open: is_agents,
            parts: Vec::new(),
            limit: None,
            seen: Vec::new(),
            hashes: Default::default(),
            commands: Default::default(),
            issued: None,
            overtaken: false,
            paced: false,
            tried: 0,
            failed_ms: None,
            at_ms: turn.now_ms,
        };
        self.state.items.insert(key, self.tenant, item);
        self.enqueue(key);
        self.state.items.trim(&self.state.settings, turn);
        true
    }

    /// What an agent says while its last words wait is put to them.
    fn put_together(&mut self, wish: &Desired, turn: &Turn<'_>) -> bool {
        let Some(agent) = wish.author.as_ref().and_then(|author| author.agent_id.as_deref()) else { return false };
        let Some(key) = self.state.lanes.last(lane_key(self.tenant, &wish.lane)) else { return false };
        let (Some(last), Some(more)) = (self.state.items.get(key), &wish.text) else { return false };
        let bytes = last.text.as_ref().map_or(0, |text| text.markdown.len()) + more.markdown.len() + 2;
        let by_same = last.author.as_ref().is_some_and(|author| author.agent_id.as_deref() == Some(agent));
        if wish.aim != Aim::Message
            || !last.open
            || last.gone
            || !by_same
            || bytes > self.state.settings.together_bytes_max
        {
            return false;
        }
        self.state.items.update(key, |item| {
            if let Some(text) = &mut item.text {
                text.markdown.push_str("\n\n");
                text.markdown.push_str(&more.markdown);
            }
            item.want(turn.now_ms);
        });
        self.enqueue(key);
        true
    }

    /// Somebody else has spoken: what an agent says next is not put to what it
    /// said before.
    pub fn interrupt(&mut self, lane: &str) {
        if let Some(key) = self.state.lanes.last(lane_key(self.tenant, lane))
            && self.state.items.get(key).is_some_and(|item| item.open)
        {
            self.state.items.update(key, |item| item.open = false);
        }
    }

    /// Wants other words, unless they are older than those that are wanted.
    pub fn edit(&mut self, key: u128, text: MirrorText, said_ms: i64, turn: &Turn<'_>) {
        let Some(item) = self.state.items.get(key) else { return };
        if item.gone || item.ended || said_ms < item.said_ms {
            return;
        }
        let is_new = item.text.as_ref().is_none_or(|known| known.markdown != text.markdown);
        self.state.items.update(key, |item| {
            item.said_ms = said_ms;
            if is_new {
                item.text = Some(text);
                item.said_bytes = None;
                item.open = false;
                item.want(turn.now_ms);
            }
        });
        if is_new {
            self.enqueue(key);
        }
    }

    /// Wants nothing to stand there any more.
    pub fn take_back(&mut self, key: u128, by: Option<&str>, turn: &Turn<'_>) {
        if self.state.items.get(key).is_none_or(|item| item.gone || item.ended) {
            return;
        }
        self.state.items.update(key, |item| {
            (item.gone, item.open, item.text) = (true, false, None);
            item.by = by.map(str::to_owned);
            item.want(turn.now_ms);
        });
        self.enqueue(key);
    }

    /// Wants what stands there to be put right: somebody changed it.
    pub fn put_right(&mut self, key: u128, turn: &Turn<'_>) {
        if self.state.items.get(key).is_none_or(|item| item.ended || (item.text.is_none() && !item.gone)) {
            return;
        }
        self.state.items.update(key, |item| item.want(turn.now_ms));
        self.enqueue(key);
    }

    /// Nothing is done about an item any more.
    pub fn end(&mut self, key: u128) {
        self.change(key, |item| {
            (item.ended, item.issued, item.text) = (true, None, None);
            item.stands = item.wanted;
        });
    }

    /// An item's place in its lane follows from whether there is something to do.
    pub fn enqueue(&mut self, key: u128) {
        self.change(key, |_| {});
    }

    /// Changes an item, and its place in its lane with it.
    pub fn change(&mut self, key: u128, change: impl FnOnce(&mut Item)) {
        let MirrorContext { state: MirrorState { settings, items, lanes, stirred, .. }, tenant, .. } = self;
        let due_ms = items.update(key, |item| {
            change(item);
            stirred.push_back((Arc::from(*tenant), lane_key(tenant, &item.lane)));
            if !item.is_pending() {
                lanes.leave(tenant, key, item);
                return None;
            }
            lanes.join(tenant, key, item);
            Some(due_of(item, settings))
        });
        if let Some(due_ms) = due_ms.flatten() {
            lanes.remind(due_ms, key);
        }
    }

    /// The thread that a task is discussed in, as far as it is known.
    pub fn thread_of(&self, task: u128) -> Option<(String, String)> {
        let known = self.tasks.get(task)?;
        known.channel_id.clone().zip(known.thread_ts.clone())
    }

    /// A root message stands: the task is discussed below it, unless somebody
    /// said meanwhile that it is elsewhere.
    pub fn discuss_below(&mut self, key: u128, thread_ts: Option<&str>) {
        let Some(item) = self.state.items.get(key).filter(|item| item.aim == Aim::Root) else { return };
        let MirrorPlace::Slack { channel_id, .. } = item.place.clone() else { return };
        let first = item.parts.first().map(|part| part.id.clone()).or_else(|| item.seen.first().cloned());
        let Some(thread_ts) = thread_ts.map(str::to_owned).or(first) else { return };
        let Some(task) = item.task.as_deref().and_then(task_key) else { return };
        if self.tasks.get(task).is_some_and(|task| task.thread_ts.is_none()) {
            self.tasks.discuss(task, channel_id.clone(), thread_ts);
        }
        self.state.stirred.push_back((Arc::from(self.tenant), lane_key(self.tenant, &lane_of("slack", task))));
        self.release(channel_key(self.tenant, &channel_id));
    }

    /// What waited for this goes on.
    pub fn release(&mut self, cause: u128) {
        if self.state.held.waits_for(cause) {
            self.state.released_causes.push(cause);
        }
    }

    /// The connection through which a task's own provider is written to. One
    /// that the task came through and that has no token is not gone round.
    pub fn home_connection(&self, task: &Task) -> Option<String> {
        let index = self.index?;
        match task.connection_id.as_deref().filter(|id| index.connection(id).is_some()) {
            Some(id) => index.may_call(id).then(|| id.to_owned()),
            None => index.outgoing(&task.provider).map(str::to_owned),
        }
    }

    /// Wants a task to have a thread, if it has a channel to have it in.
    pub fn want_thread(&mut self, task: u128, channel: &str, project: Option<&str>, turn: &mut Turn<'_>) {
        let Some(known) = self.tasks.get(task).filter(|known| known.thread_ts.is_none() && !known.deleted) else {
            return;
        };
        let source = format!("{NAME}:root:{}", known.id);
        let key = key_of(self.tenant, &source, "slack");
        if let Some(root) = self.state.items.get(key) {
            if !root.parts.is_empty() {
                self.discuss_below(key, None);
            } else if root.failed_ms.is_some_and(|at_ms| at_ms + self.state.settings.root_again_ms <= turn.now_ms) {
                let place = MirrorPlace::Slack { channel_id: channel.to_owned(), thread_ts: None };
                self.change(key, |item| {
                    item.place = place;
                    item.want(turn.now_ms);
                });
            }
            return;
        }
        let Some(connection) = self.index.and_then(|index| index.outgoing("slack")).map(str::to_owned) else { return };
        let text = Some(render::root(known));
        let wish = Desired {
            source,
            aim: Aim::Root,
            place: MirrorPlace::Slack { channel_id: channel.to_owned(), thread_ts: None },
            connection,
            lane: lane_of("slack", task),
            task: Some(task),
            project: project.map(str::to_owned),
            action: None,
            trace: None,
            author: None,
            said_ms: turn.now().0,
            text,
        };
        self.post(wish, turn);
    }
}

/// The key of a task's id.
pub fn task_key(id: &str) -> Option<u128> {
    from_hex(id.strip_prefix("task_")?)
}
