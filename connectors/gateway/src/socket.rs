//! One task for each socket: asks the session what to do, and does it.
//!
//! It waits for the client, for news from the gateway, for its session's next
//! deadline and for the log, whichever comes first. While an action of its agent
//! is being written down it reads nothing more from it, so that an agent is as
//! fast as the log; events go out to it all the while.

use std::{pin::Pin, sync::Arc, time::Duration};

use pipeline::{
    event::{Ack, AgentReady},
    ports::{LogError, Pending, Position},
};
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};

use super::{
    encode::Dialect,
    entry::hash_of,
    gateway::Gateway,
    inbox::Taken,
    said::{self, Said},
    seat::{Identity, Seat, Transport},
    session::{Output, Reason, Say, Session},
    wire::{Heard, Text, Wire},
};

/// Events that are taken at once, and bytes that are written at once: what a
/// slow socket holds while it is waited for.
const TAKE_MAX: usize = 64;
const WRITE_BYTES: usize = 64 << 10;

/// How long a socket may take to be told that it is stopped, and to say goodbye.
const STOPPED_TIMEOUT: Duration = Duration::from_millis(250);

/// Messages read before events get a turn again.
const HEAR_MAX: usize = 32;

/// A socket, from its first word to its last.
pub async fn serve(gateway: Arc<Gateway>, identity: Arc<Identity>, transport: Transport, wire: Wire) {
    // Under way until its last word: a stop is silent only then.
    let _flight = gateway.kill_switch.enter(&identity.tenant);
    let seat = gateway.enter(identity, transport);
    let mut socket = Box::new(Socket::new(Arc::clone(&gateway), Arc::clone(&seat), wire));
    let reason = socket.run().await;
    socket.leave();
    if reason != Reason::Gone {
        gateway.counts.cut.with_label_values(&[reason.text()]).inc();
        gateway.note_cut(&seat, reason);
    }
    let Socket { wire, .. } = *socket;
    let ending = Box::pin(wire.end(reason));
    match reason {
        // Whoever throws the switch waits for this.
        Reason::Stopped => _ = tokio::time::timeout(STOPPED_TIMEOUT, ending).await,
        _ => ending.await,
    }
    gateway.closed(&seat);
}

/// What an agent waits for while it is written down.
struct Writing {
    append: Pending<'static, Vec<Position>>,
    action_id: String,
    request_id: Option<String>,
    answer: Option<u64>,
}

struct Socket {
    gateway: Arc<Gateway>,
    seat: Arc<Seat>,
    wire: Wire,
    session: Session,
    out: Vec<Output>,
    writing: Option<Box<Writing>>,
    frames: Allowance,
    actions: Allowance,
}

/// Something heard, or something that happened.
enum Step {
    Heard(Heard),
    Written(Result<Vec<Position>, LogError>),
    Other,
}

impl Socket {
    fn new(gateway: Arc<Gateway>, seat: Arc<Seat>, wire: Wire) -> Socket {
        let settings = &gateway.settings;
        let mut out = Vec::new();
        let mark = gateway.cursors.get(&seat.identity.tenant, &seat.identity.agent);
        let session = Session::new(settings.limits, settings.epoch, mark, gateway.now_ms(), &mut out);
        let (frames, actions) =
            (Allowance::new(settings.frames_per_second_max), Allowance::new(settings.actions_per_second_max));
        Socket { gateway, seat, wire, session, out, writing: None, frames, actions }
    }

    async fn run(&mut self) -> Reason {
        let sleep = tokio::time::sleep_until(Instant::now());
        let mut sleep = std::pin::pin!(sleep);
        loop {
            if let Err(reason) = self.turn().await {
                return reason;
            }
            if let Err(reason) = self.wait(sleep.as_mut()).await {
                let _ = self.perform().await;
                return reason;
            }
        }
    }

    /// Does all that can be done without waiting for anybody but the client.
    async fn turn(&mut self) -> Result<(), Reason> {
        loop {
            if let Some(reason) = self.seat.is_cut() {
                self.tell_why(reason).await;
                return Err(reason);
            }
            self.session.tick(self.gateway.now_ms(), &mut self.out);
            if self.seat.is_active() != self.session.is_active() {
                self.change_over();
            }
            let more = self.take();
            self.perform().await?;
            if !more {
                return Ok(());
            }
            // Whoever has much to be told must not keep others from being told.
            tokio::task::yield_now().await;
            // And must be heard in between: acknowledgements make room.
            if let Some(Heard::Ended(reason)) = self.hear_some() {
                return Err(reason);
            }
        }
    }

    /// The last event, where there is one to say.
    async fn tell_why(&mut self, reason: Reason) {
        if reason != Reason::Stopped {
            return;
        }
        let why = self.gateway.shut_out(&self.seat.identity);
        let say = Say::Stopped { reason: why.unwrap_or_else(|| "stopped".to_owned()) };
        let mut bytes = Vec::new();
        self.wire.encoder(&mut bytes).say(&say, self.session.wants_callbacks());
        // A client that does not read has missed it.
        let _ = tokio::time::timeout(STOPPED_TIMEOUT, self.wire.write_last(bytes, STOPPED_TIMEOUT)).await;
    }

    /// Reads what is there already.
    fn hear_some(&mut self) -> Option<Heard> {
        use futures_util::FutureExt;
        for _ in 0..HEAR_MAX {
            if self.writing.is_some() {
                return None;
            }
            match self.wire.hear().now_or_never()? {
                Heard::Ended(reason) => return Some(Heard::Ended(reason)),
                heard => self.heard(heard).err().map_or((), |reason| self.out.push(Output::Cut(reason))),
            }
        }
        None
    }

    /// Another socket is the newest now, or this one is.
    fn change_over(&mut self) {
        if self.seat.is_active() {
            let mark = self.gateway.cursors.get(&self.seat.identity.tenant, &self.seat.identity.agent);
            self.session.activate(mark, &mut self.out);
        } else {
            self.session.deactivate();
        }
    }

    /// Takes what is next. True: there may be more at once.
    fn take(&mut self) -> bool {
        let room = self.session.room().min(TAKE_MAX);
        if room == 0 {
            return false;
        }
        let from = self.session.position();
        match self.gateway.inbox(&self.seat).take(&self.seat, from, room) {
            Taken::Some(deliveries, next) => {
                self.session.deliver(deliveries, next, self.gateway.now_ms(), &mut self.out);
                true
            }
            Taken::Gone(first) => {
                self.session.gone(first);
                true
            }
            Taken::Wait => false,
        }
    }

    async fn perform(&mut self) -> Result<(), Reason> {
        while !self.out.is_empty() {
            let mut bytes = Vec::new();
            let callbacks = self.session.wants_callbacks();
            for output in std::mem::take(&mut self.out) {
                match output {
                    Output::Say(say) => {
                        self.count(&say);
                        self.wire.encoder(&mut bytes).say(&say, callbacks);
                        if bytes.len() >= WRITE_BYTES {
                            self.write(std::mem::take(&mut bytes)).await?;
                        }
                    }
                    Output::Ping => self.wire.encoder(&mut bytes).ping(),
                    Output::Advance(mark) => {
                        self.gateway.cursors.advance(&self.seat.identity.tenant, &self.seat.identity.agent, mark);
                    }
                    Output::Claim => self.gateway.claim(&self.seat, Vec::new()),
                    Output::Renew => self.gateway.renew(&self.seat, true),
                    Output::Silent => self.gateway.renew(&self.seat, false),
                    Output::Cut(reason) => {
                        if !bytes.is_empty() {
                            self.write(bytes).await?;
                        }
                        return Err(reason);
                    }
                }
            }
            if !bytes.is_empty() {
                self.write(bytes).await?;
            }
            self.session.flushed(&mut self.out);
        }
        Ok(())
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Reason> {
        self.wire.write(bytes, Some(&self.seat), self.gateway.settings.progress_timeout).await
    }

    fn count(&self, say: &Say) {
        match say {
            Say::Event { again: false, .. } => self.gateway.counts.delivered.inc(),
            Say::Event { again: true, .. } => self.gateway.counts.redelivered.inc(),
            _ => {}
        }
    }

    async fn wait(&mut self, mut sleep: Pin<&mut Sleep>) -> Result<(), Reason> {
        let deadline = self.gateway.instant(self.session.deadline_ms());
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        let step = {
            let Socket { seat, wire, writing, .. } = self;
            tokio::select! {
                heard = wire.hear(), if writing.is_none() => Step::Heard(heard),
                done = async { match writing {
                    Some(writing) => writing.append.as_mut().await,
                    None => std::future::pending().await,
                } } => Step::Written(done),
                () = seat.woken() => Step::Other,
                () = sleep => Step::Other,
            }
        };
        match step {
            Step::Heard(heard) => {
                self.heard(heard)?;
                match self.hear_some() {
                    Some(Heard::Ended(reason)) => Err(reason),
                    _ => Ok(()),
                }
            }
            Step::Written(done) => {
                self.written(done);
                Ok(())
            }
            Step::Other => Ok(()),
        }
    }

    fn heard(&mut self, heard: Heard) -> Result<(), Reason> {
        let now_ms = self.gateway.now_ms();
        if let Heard::Ended(reason) = heard {
            return Err(reason);
        }
        self.session.heard(now_ms, &mut self.out);
        if !self.frames.take(now_ms) {
            return self.flood("messages", self.gateway.settings.frames_per_second_max);
        }
        match heard {
            Heard::Text(text) => self.said(&text, now_ms),
            Heard::Binary => {
                let detail = "agent events are JSON; send bytes as text".to_owned();
                self.fault("binary_unsupported", detail);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn flood(&mut self, what: &str, limit: u32) -> Result<(), Reason> {
        self.fault("rate_limited", format!("more than {limit} {what} a second: the socket is cut"));
        Err(Reason::Flood)
    }

    fn fault(&mut self, code: &'static str, detail: String) {
        self.gateway.counts.said.with_label_values(&["error"]).inc();
        self.out.push(Output::Say(Say::Fault { code, detail }));
    }

    fn said(&mut self, text: &Text, now_ms: u64) -> Result<(), Reason> {
        let said = match self.wire.dialect() {
            Dialect::Plain => said::plain(text),
            Dialect::SocketIo => said::socket_io(text),
        };
        match said {
            Said::Event { name, data, answer } => self.event(&name, data, answer, now_ms),
            Said::Acked(seq) => {
                self.session.ack_one(seq, &mut self.out);
                Ok(())
            }
            Said::Alive => Ok(()),
            Said::Leave => Err(Reason::Gone),
            Said::Bad(code, detail) => {
                // Errors are answers too: whoever makes many is cut.
                if !self.actions.take(now_ms) {
                    return self.flood("actions", self.gateway.settings.actions_per_second_max);
                }
                self.fault(code, detail);
                Ok(())
            }
        }
    }

    fn event(&mut self, name: &str, data: Option<&RawValue>, answer: Option<u64>, now_ms: u64) -> Result<(), Reason> {
        let text = data.map_or("{}", RawValue::get);
        match name {
            "heartbeat" => {}
            "ack" => match serde_json::from_str::<Ack>(text) {
                Ok(Ack { id: Some(id), .. }) => self.session.ack_id(hash_of(&id), &mut self.out),
                Ok(Ack { seq: Some(seq), .. }) => self.session.ack_seq(seq, &mut self.out),
                Ok(_) => self.fault("bad_data", "ack: id or seq is needed".to_owned()),
                Err(error) => self.fault("bad_data", format!("ack: {error}")),
            },
            "agent_ready" => match serde_json::from_str::<AgentReady>(text) {
                Ok(mut ready) => {
                    let capabilities = capabilities(&mut ready);
                    self.session.ready(ready, &mut self.out);
                    // The session's own claim says that it is time; what the
                    // agent can do is not its business.
                    self.out.retain(|output| !matches!(output, Output::Claim));
                    if self.session.is_ready() {
                        self.gateway.claim(&self.seat, capabilities);
                    }
                }
                Err(error) => self.fault("bad_data", format!("agent_ready: {error}")),
            },
            name if !self.actions.take(now_ms) => {
                self.gateway.counts.said.with_label_values(&["flood"]).inc();
                tracing::debug!(agent = %self.seat.identity.agent, name, "an agent says too much");
                return self.flood("actions", self.gateway.settings.actions_per_second_max);
            }
            name if said::is_action(name) => {
                self.act(name, data, answer);
                return Ok(());
            }
            other => {
                let other: String = other.chars().take(64).collect();
                self.fault("unknown_event", format!("agents do not say {other:?}"));
            }
        }
        if let Some(number) = answer {
            self.out.push(Output::Say(Say::Answer { number, json: "[]".to_owned() }));
        }
        Ok(())
    }

    fn act(&mut self, name: &str, data: Option<&RawValue>, answer: Option<u64>) {
        self.gateway.counts.said.with_label_values(&[name]).inc();
        let clock_ms = self.gateway.clock_ms();
        match said::action(name, data, &self.seat.identity, clock_ms) {
            Ok(action) => {
                let request_id = action.data.get("requestId").and_then(|id| id.as_str()).map(str::to_owned);
                let (action_id, append) =
                    (action.id.clone(), self.gateway.append_action(&self.seat, &action, clock_ms));
                self.writing = Some(Box::new(Writing { append, action_id, request_id, answer }));
            }
            Err(said::Invalid { request_id, reason }) => {
                if let Some(number) = answer {
                    let json = serde_json::json!([{"ok": false, "reason": &reason}]).to_string();
                    self.out.push(Output::Say(Say::Answer { number, json }));
                }
                self.out.push(Output::Say(Say::Failed { reason, request_id, retry_after_ms: None }));
            }
        }
    }

    /// An action is written down, or could not be.
    fn written(&mut self, done: Result<Vec<Position>, LogError>) {
        let Some(writing) = self.writing.take() else { return };
        let answer = match done {
            Ok(_) => serde_json::json!([{"ok": true, "actionId": writing.action_id}]),
            Err(error) => {
                tracing::warn!(%error, "an agent's action could not be written");
                let (reason, retry_after_ms) = ("unavailable".to_owned(), error.can_retry().then_some(1_000));
                self.out.push(Output::Say(Say::Failed { reason, request_id: writing.request_id, retry_after_ms }));
                serde_json::json!([{"ok": false, "reason": "unavailable"}])
            }
        };
        if let Some(number) = writing.answer {
            self.out.push(Output::Say(Say::Answer { number, json: answer.to_string() }));
        }
    }

    /// The last word on how far the agent is; then others may have its events.
    fn leave(&mut self) {
        let (seat, inbox) = (&self.seat, self.gateway.inbox(&self.seat));
        if self.session.room() > 0
            && let Taken::Some(deliveries, next) = inbox.take(seat, self.session.position(), 1)
            && deliveries.is_empty()
        {
            // Nothing for this agent up to here: its next socket need not look.
            self.session.deliver(deliveries, next, self.gateway.now_ms(), &mut self.out);
        }
        if let Some(mark) = self.session.finish() {
            self.gateway.cursors.advance(&seat.identity.tenant, &seat.identity.agent, mark);
        }
        self.gateway.leave(seat);
    }
}

/// What an agent said that it can do, within reason.
fn capabilities(ready: &mut AgentReady) -> Vec<String> {
    let mut capabilities = std::mem::take(&mut ready.capabilities);
    capabilities.truncate(64);
    capabilities.retain(|capability| capability.len() <= 128);
    capabilities
}

/// How many more of something may come: so many a second, four seconds' worth
/// at once.
struct Allowance {
    per_second: u32,
    thousandths: u64,
    at_ms: u64,
}

impl Allowance {
    fn new(per_second: u32) -> Allowance {
        Allowance { per_second, thousandths: u64::from(per_second) * 4_000, at_ms: 0 }
    }

    fn take(&mut self, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(std::mem::replace(&mut self.at_ms, now_ms));
        let rate = u64::from(self.per_second);
        self.thousandths = (self.thousandths + passed_ms.saturating_mul(rate)).min(rate * 4_000);
        match self.thousandths.checked_sub(1_000) {
            Some(left) => {
                self.thousandths = left;
                true
            }
            None => false,
        }
    }
}
