//! What all sockets of this process share, and the role that keeps it running.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use bytes::Bytes;
use pipeline::{
    event::{Act, AgentAction, Deed, Doer, GATEWAY, Presence, SocketStatus, Time},
    ports::{Clock, Headers, Log, NewRecord, Pending, Position},
    topics::{Topic, partition_of},
};
use tokio::{sync::Notify, time::Instant};

use super::{
    Counts, Settings,
    by_agent::ByAgent,
    cursors::Cursors,
    inbox::Partition,
    polls::Sessions,
    presence::{Changed, Online},
    seat::{Identity, Seat, Transport},
    session::{Mark, Reason},
};
use runtime::{
    auth::{Principal, Tokens},
    directory::Directory,
    http::body::Budget,
    identity::random_hex,
    kill_switch::{KillSwitch, switch::act_record},
};

/// Large bodies of polls, all together.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// What a gateway is made of.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Who is who; followed by its owner.
    pub directory: Arc<Directory>,
    /// Whose a token is.
    pub tokens: Arc<Tokens>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// Who may be here at all.
    pub kill_switch: Arc<KillSwitch>,
    /// How agents are treated.
    pub settings: Settings,
}

type Seats = ByAgent<Vec<Arc<Seat>>>;

/// See the module.
pub struct Gateway {
    pub(super) log: Arc<dyn Log>,
    pub(super) directory: Arc<Directory>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counts: Arc<Counts>,
    pub(super) kill_switch: Arc<KillSwitch>,
    pub(super) settings: Settings,
    pub(super) instance: Arc<str>,
    pub(super) cursors: Cursors,
    pub(super) polls: Sessions,
    pub(super) is_open: AtomicBool,
    /// Open sockets of agents.
    pub(super) sockets: AtomicUsize,
    /// Connections of Engine.IO whose agent is not known yet.
    pub(super) opening: AtomicUsize,
    /// What is posted to all polls at the same time.
    pub(super) bodies: Budget,
    pub(super) partitions: Box<[Partition]>,
    online: Arc<Online>,
    seats: Mutex<Seats>,
    next_number: AtomicU64,
    begun: Instant,
    /// Records of `presence` on their way, in order.
    outbox: Mutex<Vec<NewRecord>>,
    posted: Notify,
}

impl Gateway {
    /// One that takes nobody until it runs.
    pub fn new(parts: Parts) -> Arc<Gateway> {
        let Parts { log, directory, tokens, clock, counts, kill_switch, settings } = parts;
        let partitions = (0..log.partitions()).map(|_| Partition::new(settings.bounds, 0)).collect();
        let online = Online::new(Arc::clone(&directory), Arc::clone(&clock));
        Arc::new(Gateway {
            instance: random_hex()[..12].into(),
            log,
            directory,
            tokens,
            clock,
            counts,
            kill_switch,
            settings,
            cursors: Cursors::default(),
            polls: Sessions::default(),
            is_open: AtomicBool::new(false),
            sockets: AtomicUsize::new(0),
            opening: AtomicUsize::new(0),
            bodies: Budget::new(BODIES_BYTES_MAX),
            partitions,
            online,
            seats: Mutex::default(),
            next_number: AtomicU64::new(1),
            begun: Instant::now(),
            outbox: Mutex::default(),
            posted: Notify::new(),
        })
    }

    /// Who is online, over all instances.
    pub fn online(&self) -> Arc<Online> {
        Arc::clone(&self.online)
    }

    /// The name under which its sockets are in `presence`.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How far an agent is, as far as this instance knows.
    pub fn mark(&self, tenant: &str, agent: &str) -> Option<Mark> {
        self.cursors.get(tenant, agent)
    }

    /// Open sockets.
    pub fn sockets(&self) -> usize {
        self.sockets.load(SeqCst)
    }

    /// Milliseconds of a clock that only goes up.
    pub(super) fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    pub(super) fn instant(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    /// The wall clock.
    pub(super) fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(super) fn inbox(&self, seat: &Seat) -> &Partition {
        &self.partitions[seat.identity.partition as usize]
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket is open.
    pub(super) fn enter(&self, identity: Arc<Identity>, transport: Transport) -> Arc<Seat> {
        self.sockets.fetch_add(1, SeqCst);
        self.counts.sockets.with_label_values(&[transport.name()]).inc();
        let number = self.next_number.fetch_add(1, Relaxed);
        let seat = Arc::new(Seat::new(identity, number, transport, self.clock.now_ms()));
        let mut seats = self.seats();
        let of_agent = seats.get_or(&seat.identity.tenant, &seat.identity.agent, Vec::new);
        of_agent.reserve_exact(1);
        of_agent.push(Arc::clone(&seat));
        if of_agent.len() > self.settings.agent_sockets_max {
            // The oldest one: more likely forgotten than the newest.
            of_agent[0].cut(Reason::TooMany);
        }
        // What is barred after this look is cut by who hears of it.
        if self.online.barred(&seat.identity.tenant, &seat.identity.agent).is_some() {
            seat.cut(Reason::Barred);
        }
        drop(seats);
        // A stop that came between the look at the token and now.
        if !self.is_open.load(SeqCst) {
            seat.cut(Reason::GoingAway);
        }
        if self.shut_out(&seat.identity).is_some() {
            seat.cut(Reason::Stopped);
        }
        seat
    }

    /// Why an agent may have no socket now, if so.
    pub(super) fn shut_out(&self, identity: &Identity) -> Option<String> {
        self.kill_switch.shut_out(&identity.tenant, &identity.agent, self.clock_ms())
    }

    /// Cuts the sockets of whoever may have none.
    pub(super) fn cut_stopped(&self) {
        self.each_seat(|seat| {
            if self.shut_out(&seat.identity).is_some() {
                seat.cut(Reason::Stopped);
            }
        });
    }

    /// A socket was cut for what its agent or its client is, or did: that goes
    /// into the trail. (A stop is in it as itself, once.)
    pub(super) fn note_cut(&self, seat: &Seat, reason: Reason) {
        if !matches!(reason, Reason::Revoked | Reason::Flood) {
            return;
        }
        let agent = Some(seat.identity.agent.to_string());
        let act = Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: seat.identity.tenant.to_string(),
            action: "agent.disconnected".to_owned(),
            outcome: "done".to_owned(),
            actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
            subject: Deed { kind: "agent".to_owned(), id: agent.clone() },
            at: Time::from_ms(self.clock_ms()),
            agent_id: agent,
            reason: Some(reason.text().to_owned()),
            ..Act::default()
        };
        self.post(act_record(&act, self.log.partitions()));
    }

    /// A socket takes no more events.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        let mut seats = self.seats();
        if let Some(of_agent) = seats.get_mut(&seat.identity.tenant, &seat.identity.agent) {
            of_agent.retain(|other| other.number != seat.number);
            if of_agent.is_empty() {
                seats.remove(&seat.identity.tenant, &seat.identity.agent);
            }
        }
        self.inbox(seat).detach(seat);
        drop(seats);
        self.post(self.presence_record(seat, None));
    }

    /// A socket is closed.
    pub(super) fn closed(&self, seat: &Seat) {
        self.counts.sockets.with_label_values(&[seat.transport.name()]).dec();
        self.sockets.fetch_sub(1, SeqCst);
    }

    /// Calls `each` for every open socket.
    pub(super) fn each_seat(&self, mut each: impl FnMut(&Arc<Seat>)) {
        self.seats().iter().flat_map(|(_, _, seats)| seats).for_each(&mut each);
    }

    /// Cuts the sockets whose clients count no more.
    pub(super) fn cut_revoked(&self) {
        use pipeline::event::{Agent, Role};
        self.each_seat(|seat| {
            let identity = &seat.identity;
            let principal = Principal {
                tenant_id: identity.tenant.to_string(),
                subject: identity.agent.to_string(),
                client_id: identity.client.to_string(),
                role: Role::Agent,
                expires_at_ms: identity.expires_at_ms,
            };
            let row = self.directory.get::<Agent>(&identity.tenant, &identity.agent);
            if !self.tokens.still_counts(&principal) || !row.is_some_and(|row| row.enabled) {
                seat.cut(Reason::Revoked);
            }
        });
    }

    /// An agent's sockets changed, somewhere: its events may belong to another.
    pub(super) fn decide(&self, changed: &Changed) {
        // Kept while it is decided and put to work, so that two decisions on one
        // agent are not mixed.
        let seats = self.seats();
        let newest = self.online.newest(&changed.tenant, &changed.agent);
        let Some(of_agent) = seats.get(&changed.tenant, &changed.agent) else { return };
        if self.online.barred(&changed.tenant, &changed.agent).is_some() {
            of_agent.iter().for_each(|seat| seat.cut(Reason::Barred));
        }
        let is_it = |seat: &Seat| {
            newest.as_ref().is_some_and(|(instance, number)| **instance == *self.instance && *number == seat.number)
        };
        for seat in of_agent.iter().filter(|seat| !is_it(seat)) {
            if seat.set_active(false) {
                self.inbox(seat).detach(seat);
            }
        }
        if let Some(seat) = of_agent.iter().find(|seat| is_it(seat))
            && !seat.is_active()
        {
            self.inbox(seat).attach(seat);
            seat.set_active(true);
        }
    }

    /// A socket takes events from now on.
    pub(super) fn claim(&self, seat: &Seat, capabilities: Vec<String>) {
        let known = self.online.claimed(&seat.identity.tenant, &seat.identity.agent, &self.instance, seat.number);
        let presence = self.presence(seat, known.map(|(claim, _)| claim), capabilities, SocketStatus::Online);
        self.post(self.presence_record(seat, Some(&presence)));
    }

    /// A socket is alive, or went silent.
    pub(super) fn renew(&self, seat: &Seat, is_online: bool) {
        let known = self.online.claimed(&seat.identity.tenant, &seat.identity.agent, &self.instance, seat.number);
        // Without a claim that was read back there is nothing to renew yet.
        let Some((claim, capabilities)) = known else { return };
        let status = if is_online { SocketStatus::Online } else { SocketStatus::Offline };
        let presence = self.presence(seat, Some(claim), capabilities, status);
        self.post(self.presence_record(seat, Some(&presence)));
    }

    fn presence(&self, seat: &Seat, claim: Option<u64>, capabilities: Vec<String>, status: SocketStatus) -> Presence {
        Presence {
            agent_id: seat.identity.agent.to_string(),
            instance: self.instance.to_string(),
            socket_id: format!("{}.{}", self.instance, seat.number),
            ready: true,
            status,
            claim,
            transport: Some(seat.transport.name().to_owned()),
            capabilities,
            connected_at: Time::from_ms(seat.connected_ms),
            last_seen: Time::from_ms(self.clock.now_ms()),
        }
    }

    fn presence_record(&self, seat: &Seat, presence: Option<&Presence>) -> NewRecord {
        let socket = format!("{}.{}", self.instance, seat.number);
        self.record_of(&seat.identity.tenant, &seat.identity.agent, &socket, presence)
    }

    /// A record of `presence`; without a value the socket is gone.
    pub(super) fn record_of(&self, tenant: &str, agent: &str, socket: &str, presence: Option<&Presence>) -> NewRecord {
        NewRecord {
            topic: Topic::Presence,
            partition: partition_of(tenant, self.log.partitions()),
            at_ms: self.clock.now_ms(),
            key: Bytes::from(format!("{tenant}/agent/{agent}/{socket}")),
            value: presence.and_then(|presence| serde_json::to_vec(presence).ok()).map(Bytes::from),
            headers: Headers::new([("type", b"presence".as_slice()), ("schema", b"nexus.presence.v1".as_slice())]),
        }
    }

    /// This instance's own sign of life, or its goodbye.
    pub(super) fn sign(&self, lives: bool) -> NewRecord {
        let now = Time::from_ms(self.clock.now_ms());
        let presence = lives.then(|| Presence {
            agent_id: GATEWAY.to_owned(),
            instance: self.instance.to_string(),
            socket_id: self.instance.to_string(),
            ready: false,
            status: SocketStatus::Online,
            claim: None,
            transport: None,
            capabilities: Vec::new(),
            connected_at: now,
            last_seen: now,
        });
        self.record_of(GATEWAY, GATEWAY, &self.instance, presence.as_ref())
    }

    /// Puts a record of `presence` on its way.
    pub(super) fn post(&self, record: NewRecord) {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        self.posted.notify_one();
    }

    /// What is on its way, in order. At most one batch.
    pub(super) fn outgoing(&self) -> Vec<NewRecord> {
        const BATCH_MAX: usize = 2_000;
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let count = outbox.len().min(BATCH_MAX);
        let rest = outbox.split_off(count);
        std::mem::replace(&mut *outbox, rest)
    }

    /// Waits for a record to be posted.
    pub(super) async fn posted(&self) {
        self.posted.notified().await;
    }

    /// Writes an action down.
    pub(super) fn append_action(
        &self,
        seat: &Seat,
        action: &AgentAction,
        at_ms: u64,
    ) -> Pending<'static, Vec<Position>> {
        let trace = action.trace_id.as_deref().unwrap_or_default();
        let parent = format!("00-{trace}-{}-01", &action.id[4..20]);
        let headers = [
            ("event_id", action.id.as_bytes()),
            ("type", action.name.as_bytes()),
            ("schema", b"nexus.action.v1"),
            ("traceparent", parent.as_bytes()),
        ];
        self.log.append(vec![NewRecord {
            topic: Topic::AgentsActions,
            partition: seat.identity.partition,
            at_ms,
            key: Bytes::copy_from_slice(seat.identity.tenant.as_bytes()),
            value: serde_json::to_vec(action).ok().map(Bytes::from),
            headers: Headers::new(headers),
        }])
    }
}
