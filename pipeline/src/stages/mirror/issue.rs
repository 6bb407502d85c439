//! The next command of a lane: made of the first item in it that has something
//! to do, once nothing of the lane is under way.

use udfs::hash::{Parts, from_hex, hex};

use crate::{
    event::{ActorKind, MirrorAuthor, MirrorCommand, MirrorPlace, MirrorWork, Time},
    ports::Headers,
    stages::mirror::context::{MirrorContext, NAME, task_key},
    state::mirror::item::{Aim, Issued, Item},
    topics::Topic,
    turn::Turn,
};

/// What there is to do about an item.
enum Step {
    Work(Box<MirrorWork>),
    /// Nothing, as it turns out.
    Nothing,
    /// Nothing that anybody could do.
    GiveUp,
    /// Its thread is not there yet.
    Wait,
}

impl MirrorContext<'_> {
    /// Issues what is next in every lane in which something has changed.
    pub fn pump(&mut self, lane: u128, turn: &mut Turn<'_>) {
        self.pump_as(lane, false, turn);
    }

    /// The same, for a lane that has waited for its project or has not.
    pub fn pump_as(&mut self, lane: u128, has_waited: bool, turn: &mut Turn<'_>) {
        while let Some(key) = self.state.lanes.first(lane) {
            let Some(item) = self.state.items.get(key).filter(|item| item.issued.is_none()) else { return };
            match self.step(item) {
                Step::Work(work) => {
                    if self.may_go(key, has_waited, turn) {
                        self.issue(key, *work, turn);
                    }
                    return;
                }
                Step::Wait => return,
                Step::Nothing => self.change(key, |item| item.stands = item.wanted),
                Step::GiveUp => self.change(key, |item| item.give_up(turn.now_ms)),
            }
        }
    }

    fn step(&self, item: &Item) -> Step {
        let can_write = self.index.is_some_and(|index| index.may_call(&item.connection));
        let (place, parts) = (item.place.clone(), item.parts.clone());
        let work = match &item.aim {
            _ if item.gone && parts.is_empty() => return Step::Nothing,
            _ if !can_write => return Step::GiveUp,
            _ if item.gone => {
                MirrorWork::Retract { place, parts, how: self.state.settings.removal, by: item.by.clone() }
            }
            Aim::Message | Aim::Root => {
                let (Some(text), author) = (item.text.clone(), item.author.clone()) else { return Step::Nothing };
                if !parts.is_empty() {
                    MirrorWork::Edit { place, parts, limit: item.limit, text, author }
                } else {
                    let Some(place) = self.settled(item) else { return Step::Wait };
                    MirrorWork::Post { place, text, author }
                }
            }
            Aim::Status { state, word } => MirrorWork::SetStatus { place, status: word.clone(), state: *state },
            Aim::Whisper { user_id } => {
                let MirrorPlace::Slack { channel_id, thread_ts } = place else { return Step::Nothing };
                let Some(text) = item.text.clone() else { return Step::Nothing };
                MirrorWork::Whisper { channel_id, thread_ts, user_id: user_id.clone(), text }
            }
            Aim::Channel { name, provider, external_id, workgroup_id } => MirrorWork::CreateChannel {
                name: name.clone(),
                provider: provider.clone(),
                external_id: external_id.clone(),
                workgroup_id: workgroup_id.clone(),
            },
        };
        Step::Work(Box::new(work))
    }

    /// Where a message goes: what belongs into a task's thread needs to know it.
    fn settled(&self, item: &Item) -> Option<MirrorPlace> {
        let is_open = matches!(&item.place, MirrorPlace::Slack { thread_ts: None, .. }) && item.aim == Aim::Message;
        let Some(task) = item.task.as_deref().filter(|_| is_open) else { return Some(item.place.clone()) };
        let (channel_id, thread_ts) = self.thread_of(task_key(task)?)?;
        Some(MirrorPlace::Slack { channel_id, thread_ts: Some(thread_ts) })
    }

    fn issue(&mut self, key: u128, work: MirrorWork, turn: &mut Turn<'_>) {
        let Some(item) = self.state.items.get(key) else { return };
        let source = from_hex(&turn.id("", NAME, 0)[1..]).unwrap_or_default();
        let name =
            Parts::new().add(source.to_be_bytes()).add(key.to_be_bytes()).number(u64::from(item.wanted)).finish();
        let id = format!("mir_{}", hex(name));
        let command = MirrorCommand {
            id: id.clone(),
            tenant_id: self.tenant.to_owned(),
            connection_id: item.connection.clone(),
            lane: item.lane.clone(),
            work,
            attempt: item.tried + 1,
            project_id: item.project.clone(),
            task_id: item.task.clone(),
            action_id: item.action.clone(),
            at: turn.now(),
            deadline: Time::from_ms(turn.now_ms + self.state.settings.patience_ms),
            trace_id: item.trace.clone(),
        };
        let place = match &command.work {
            MirrorWork::Post { place, .. } => Some(place.clone()),
            _ => None,
        };
        let trace = command.trace_id.as_deref().filter(|trace| trace.len() == 32);
        // The span is the command itself.
        let traceparent = trace.map(|trace| ["00-", trace, "-", &id[id.len() - 16..], "-01"].concat());
        let traceparent = traceparent.as_ref().map(|parent| ("traceparent", parent.as_bytes()));
        let by = item.author.as_ref().map(by);
        let by = by.as_ref().map(|by| ("by", by.as_bytes()));
        let headers = [
            ("event_id", id.as_bytes()),
            ("type", kind_of(&command.work).as_bytes()),
            ("schema", b"nexus.mirror-command.v1".as_slice()),
        ];
        let headers = Headers::new(headers.into_iter().chain(traceparent).chain(by));
        turn.emit(Topic::MirrorCommands, self.tenant, &command, headers);
        let mut forgotten = None;
        self.change(key, |item| {
            let is_post = place.is_some();
            if let Some(place) = place {
                item.place = place;
            }
            item.tried += 1;
            item.overtaken = false;
            let (revision, attempt) = (item.wanted, item.tried);
            item.issued = Some(Issued {
                command: id.clone(),
                revision,
                attempt,
                bytes: item.text.as_ref().map_or(0, |text| text.markdown.len()),
                at_ms: turn.now_ms,
                is_post,
                uncertain: false,
            });
            forgotten = item.remember_command(id);
        });
        if let Some(forgotten) = forgotten {
            self.state.items.forget_command(self.tenant, &forgotten);
        }
    }
}

/// Who wants it, for the trail: the work itself does not always say.
fn by(author: &MirrorAuthor) -> String {
    match (&author.agent_id, &author.external_id) {
        (Some(agent), _) => format!("agent:{agent}"),
        (None, Some(id)) => format!("{}:{id}", kind(author)),
        (None, None) => kind(author).to_owned(),
    }
}

fn kind(author: &MirrorAuthor) -> &'static str {
    match author.kind {
        ActorKind::Human => "human",
        ActorKind::Agent => "agent",
        ActorKind::Bot => "bot",
        ActorKind::System => "system",
    }
}

fn kind_of(work: &MirrorWork) -> &'static str {
    match work {
        MirrorWork::Post { .. } => "post",
        MirrorWork::Edit { .. } => "edit",
        MirrorWork::Retract { .. } => "retract",
        MirrorWork::SetStatus { .. } => "setStatus",
        MirrorWork::Whisper { .. } => "whisper",
        MirrorWork::CreateChannel { .. } => "createChannel",
    }
}
