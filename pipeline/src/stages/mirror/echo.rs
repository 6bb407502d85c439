//! Tells our own voice from everybody else's, before anybody is told of it.
//!
//! What comes in is ours if what stands under its remote id is; if its author
//! is us and it carries the mark of one of our commands; or if its author is us
//! and it says what we were about to say there within [`Mirror::echo_ms`]. A
//! mark alone is worth nothing: whoever copies a message copies its mark. Where
//! nobody has told who we are at a provider, anybody may be us.
//!
//! Slack knows us by our bot, which says nothing but what we say. A tracker may
//! know us by a person's token: what that person writes by hand is copied.
//!
//! [`Mirror::echo_ms`]: crate::stages::mirror::Mirror::echo_ms

use crate::{
    draft::Draft,
    event::{ActorKind, EventType, TaskState, Trust},
    stages::mirror::{
        context::{MirrorContext, lane_of},
        render::hash_of,
        work::status_source,
    },
    state::mirror::{
        item::{Aim, key_of, source_of},
        lanes::{channel_key, lane_key},
    },
    turn::Turn,
};

/// How far Slack's clock may be behind the log's.
const SKEW_MAX_MS: u64 = 60_000;

/// The time that a message's `ts` is.
fn ms_of(ts: &str) -> Option<u64> {
    let seconds: u64 = ts.split('.').next()?.parse().ok()?;
    seconds.checked_mul(1_000)
}

impl MirrorContext<'_> {
    /// Looks at a draft; whether it is held, and by what.
    pub fn detect_echo(&mut self, draft: &mut Draft, turn: &mut Turn<'_>) -> Option<u128> {
        use EventType::{
            CommentDeleted, CommentPosted, CommentUpdated, MessageChanged, MessageDeleted, MessagePosted,
            WorkItemStatusChanged,
        };
        let can_be_ours = !self.state.is_empty() || draft.facts.is_own;
        if !can_be_ours || !crate::stages::mirror::results::PROVIDERS.contains(&&*draft.event.source.provider) {
            return None;
        }
        let cause = match draft.event.kind {
            MessagePosted | CommentPosted => self.echo_of_post(draft, turn),
            MessageChanged | CommentUpdated | MessageDeleted | CommentDeleted => self.echo_of_change(draft, turn),
            WorkItemStatusChanged => self.echo_of_status(draft),
            _ => None,
        };
        if cause.is_none() && draft.facts.is_own && !draft.event.echo && draft.event.source.provider != "slack" {
            // The one whose token we use, with their own hands.
            draft.facts.is_own = false;
            if let Some(actor) = &mut draft.event.actor {
                (actor.kind, actor.trust) = (ActorKind::Human, Trust::Member);
            }
        }
        cause
    }

    fn echo_of_post(&mut self, draft: &mut Draft, turn: &mut Turn<'_>) -> Option<u128> {
        let may_be_ours = draft.facts.is_own || self.is_nameless(draft);
        let source = source_of(&draft.event)?;
        let is_ours = self.state.items.at(self.tenant, &source).is_some()
            || may_be_ours && (self.learn(draft, &source, turn) || self.says_ours(draft, turn));
        if is_ours {
            draft.event.echo = true;
        } else if let Some(cause) = self.cause_of_doubt(draft, may_be_ours).filter(|_| self.may_hold(draft, turn)) {
            return Some(cause);
        }
        None
    }

    /// Takes notice of a mark of ours: it tells under which id something stands.
    fn learn(&mut self, draft: &Draft, source: &str, turn: &mut Turn<'_>) -> bool {
        let Some(mark) = draft.event.message.as_ref().and_then(|message| message.mark.as_deref()) else { return false };
        let is_person = draft.event.actor.as_ref().is_none_or(|actor| actor.kind == ActorKind::Human);
        if !draft.facts.is_own && is_person && draft.event.source.provider == "slack" {
            return false;
        }
        let Some((command, _)) = mark.rsplit_once('.') else { return false };
        let Some(key) = self.state.items.of_command(self.tenant, command) else { return draft.facts.is_own };
        let Some(id) = source.rsplit(':').next().map(str::to_owned) else { return true };
        self.state.items.update(key, |item| {
            if !item.seen.contains(&id) && !item.parts.iter().any(|part| part.id == id) {
                item.seen.push(id);
            }
        });
        match self.state.items.get(key).map(|item| (&item.aim, &item.issued)) {
            Some((_, Some(issued))) if issued.uncertain && issued.is_post => self.told_by_echo(key, turn),
            Some((Aim::Root, _)) => self.discuss_below(key, None),
            _ => {}
        }
        true
    }

    fn says_ours(&self, draft: &Draft, turn: &Turn<'_>) -> bool {
        let Some(lane) = self.lane_at(draft) else { return false };
        let since_ms = turn.now_ms.saturating_sub(self.state.settings.echo_ms);
        hash_of(&draft.event).is_some_and(|hash| self.state.items.says(lane, &hash, since_ms))
    }

    /// The lane in which something would be under way that this is the echo of.
    fn lane_at(&self, draft: &Draft) -> Option<u128> {
        let provider = &*draft.event.source.provider;
        Some(lane_key(self.tenant, &lane_of(provider, draft.facts.task?)))
    }

    /// What may be ours, or answers to what is, as long as that is under way.
    fn cause_of_doubt(&self, draft: &Draft, may_be_ours: bool) -> Option<u128> {
        if draft.event.source.provider == "slack" {
            let is_reply = draft.event.message.as_ref().is_some_and(|message| message.thread_ts.is_some());
            return self.channel_in_doubt(draft).filter(|_| is_reply);
        }
        self.lane_at(draft).filter(|lane| may_be_ours && self.is_posting(*lane))
    }

    /// The channel of what may stand below a root message that is under way: in
    /// a thread that nobody knows, and that is no older than the message.
    fn channel_in_doubt(&self, draft: &Draft) -> Option<u128> {
        let message = draft.event.message.as_ref()?;
        if draft.facts.is_own || draft.facts.task.is_some() {
            return None;
        }
        let own_ts = || draft.event.subject.as_ref()?.external_id.as_deref();
        let begun_ms = message.thread_ts.as_deref().or_else(own_ts).and_then(ms_of)?;
        let channel = channel_key(self.tenant, message.channel_id.as_deref()?);
        let issued = |key: u128| self.state.items.get(key)?.issued.as_ref();
        let mut roots = self.state.lanes.roots(channel).filter_map(issued);
        roots.any(|issued| issued.at_ms <= begun_ms + SKEW_MAX_MS).then_some(channel)
    }

    fn echo_of_change(&mut self, draft: &mut Draft, turn: &mut Turn<'_>) -> Option<u128> {
        let source = source_of(&draft.event)?;
        let is_deletion = matches!(draft.event.kind, EventType::MessageDeleted | EventType::CommentDeleted);
        let Some(key) = self.state.items.at(self.tenant, &source) else {
            return self.echo_of_unknown(draft, &source, turn);
        };
        let item = self.state.items.get(key)?;
        if is_deletion && item.issued.is_some() && self.may_hold(draft, turn) {
            // An edit that needs fewer parts deletes the rest.
            return Some(lane_key(self.tenant, &item.lane));
        }
        let is_ours = match is_deletion {
            // Who deleted it is not told everywhere; what we wanted gone is.
            true => item.gone || item.ended || !Self::is_at(item, &source),
            false => {
                let says_ours = || hash_of(&draft.event).is_some_and(|hash| item.says(&hash, 0));
                draft.facts.is_own || self.is_nameless(draft) || says_ours()
            }
        };
        draft.event.echo = is_ours;
        if !is_ours {
            draft.facts.copy = Some(key);
        }
        None
    }

    /// What was changed is not known to be ours: perhaps not yet.
    fn echo_of_unknown(&mut self, draft: &mut Draft, source: &str, turn: &mut Turn<'_>) -> Option<u128> {
        let is_slack = draft.event.source.provider == "slack";
        if !self.copies(source).is_empty() {
            return None;
        }
        if is_slack && !draft.facts.is_own {
            // What it changes may be held itself.
            return self.channel_in_doubt(draft).filter(|_| self.may_hold(draft, turn));
        }
        let lane = self.lane_at(draft).filter(|lane| self.is_posting(*lane));
        if let Some(cause) = lane.filter(|_| self.may_hold(draft, turn)) {
            return Some(cause);
        }
        let is_marked = draft.event.message.as_ref().is_some_and(|message| message.mark.is_some());
        draft.event.echo = draft.facts.is_own && (is_marked || is_slack);
        None
    }

    /// Whether something may appear there that is not known by its id yet: an
    /// edit makes further parts, too.
    fn is_posting(&self, lane: u128) -> bool {
        let first = self.state.lanes.first(lane).and_then(|key| self.state.items.get(key));
        first.is_some_and(|item| item.issued.is_some() && matches!(item.aim, Aim::Message | Aim::Root))
    }

    fn may_hold(&self, draft: &Draft, turn: &Turn<'_>) -> bool {
        let since_ms = draft.facts.held_since_ms.unwrap_or(turn.now_ms);
        self.state.held.len() < self.state.settings.held_max && turn.now_ms < since_ms + self.state.settings.held_ms
    }

    /// A status that we have just set comes back.
    fn echo_of_status(&mut self, draft: &mut Draft) -> Option<u128> {
        let event = &draft.event;
        let (key, told) = (draft.facts.task?, event.task.as_ref()?);
        let word = told.status.clone()?;
        let item_key = key_of(self.tenant, &status_source(key), &event.source.provider);
        let item = self.state.items.get(item_key).filter(|item| item.issued.is_some())?;
        let Aim::Status { state, word: wanted } = &item.aim else { return None };
        let state = *state;
        let map = draft.facts.place.as_ref().map(|place| &place.status_map);
        let fits = match wanted {
            Some(wanted) => wanted.eq_ignore_ascii_case(&word),
            None => TaskState::of_status(&word, map).or(told.state) == Some(state),
        };
        if fits {
            draft.event.echo = true;
            self.tasks.update(key, |task| (task.status, task.state) = (Some(word), state));
            self.state.items.update(item_key, |item| item.overtaken = false);
        }
        None
    }

    /// Whether nobody has told who we are where this comes from.
    fn is_nameless(&self, draft: &Draft) -> bool {
        let Some((index, id)) = self.index.zip(draft.event.source.connection_id.as_deref()) else { return false };
        index.connection(id).is_some_and(|connection| connection.own_ids.is_empty() && index.is_usable(connection))
    }
}
