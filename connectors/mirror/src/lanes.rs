//! Whose turn it is. Pure.
//!
//! Jobs of a tenant that share a lane go one after the other, in the order in
//! which they came. Tenants take turns; so do, within a tenant, the [`Gate`]s
//! that its calls go through, and within a gate the lanes. A gate that is closed
//! for a while (a channel had its message of this second, a provider is down)
//! holds up its own lanes and nobody else's.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;

/// What is limited together: a connection, or one of its channels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The connection.
    pub connection: Arc<str>,
    /// Slack's channel.
    pub scope: Option<Arc<str>>,
    /// Jobs that may be under way through it.
    pub jobs_max: usize,
}

/// What is put into a lane.
pub trait Placed {
    /// Whose it is.
    fn tenant(&self) -> &Arc<str>;
    /// Behind what it waits.
    fn lane(&self) -> &Arc<str>;
    /// Through what it goes.
    fn gate(&self) -> &Gate;
    /// Not before then.
    fn not_before_ms(&self) -> u64;
}

impl<J: Placed> Placed for Box<J> {
    fn tenant(&self) -> &Arc<str> {
        (**self).tenant()
    }
    fn lane(&self) -> &Arc<str> {
        (**self).lane()
    }
    fn gate(&self) -> &Gate {
        (**self).gate()
    }
    fn not_before_ms(&self) -> u64 {
        (**self).not_before_ms()
    }
}

/// What there is to do now.
#[derive(Debug)]
pub enum Next<J> {
    /// This.
    Go(J),
    /// Nothing before then.
    At(u64),
    /// Nothing until something comes or ends.
    Idle,
}

/// Which of the gates a pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// This one.
    Gate,
    /// All of the connection.
    Connection,
}

/// All jobs that wait, by whose turn it is.
pub struct Lanes<J> {
    tenants: HashMap<Arc<str>, Tenant<J>>,
    ring: VecDeque<Arc<str>>,
    running: usize,
    running_max: usize,
    running_of_tenant_max: usize,
}

struct Tenant<J> {
    lanes: HashMap<Arc<str>, VecDeque<J>>,
    gates: HashMap<Gate, Way>,
    ring: VecDeque<Gate>,
    /// Connections that are paused as a whole.
    paused: HashMap<Arc<str>, u64>,
    running: usize,
}

/// The lanes whose first job goes through a gate.
#[derive(Default)]
struct Way {
    lanes: VecDeque<Arc<str>>,
    running: usize,
    closed_until_ms: u64,
}

impl<J> Default for Tenant<J> {
    fn default() -> Self {
        let (lanes, gates, ring, paused) = Default::default();
        Tenant { lanes, gates, ring, paused, running: 0 }
    }
}

impl<J: Placed> Lanes<J> {
    /// Nobody waits. So many jobs may be under way at once, and of one tenant.
    pub fn new(running_max: usize, running_of_tenant_max: usize) -> Self {
        Lanes { tenants: HashMap::new(), ring: VecDeque::new(), running: 0, running_max, running_of_tenant_max }
    }

    /// One more, behind the others of its lane.
    pub fn push(&mut self, job: J) {
        let tenant = self.tenant(job.tenant());
        match tenant.lanes.get_mut(job.lane()) {
            Some(lane) => lane.push_back(job),
            None => {
                let (lane, gate) = (Arc::clone(job.lane()), job.gate().clone());
                tenant.lanes.insert(Arc::clone(&lane), VecDeque::from([job]));
                tenant.line_up(lane, gate);
            }
        }
    }

    fn tenant(&mut self, tenant: &Arc<str>) -> &mut Tenant<J> {
        self.tenants.entry(Arc::clone(tenant)).or_insert_with(|| {
            self.ring.push_back(Arc::clone(tenant));
            Tenant::default()
        })
    }

    /// What is next.
    pub fn next(&mut self, now_ms: u64) -> Next<J> {
        if self.running >= self.running_max {
            return Next::Idle;
        }
        let mut at_ms = u64::MAX;
        for _ in 0..self.ring.len() {
            let Some(name) = self.ring.pop_front() else { break };
            let found = self.tenants.get_mut(&name).filter(|tenant| tenant.running < self.running_of_tenant_max);
            let found = found.and_then(|tenant| tenant.next(now_ms, &mut at_ms));
            self.ring.push_back(name);
            if let Some(job) = found {
                self.running += 1;
                return Next::Go(job);
            }
        }
        if at_ms == u64::MAX { Next::Idle } else { Next::At(at_ms) }
    }

    /// A job has ended: the next of its lane may go.
    pub fn end(&mut self, tenant: &Arc<str>, lane: &Arc<str>, gate: &Gate, now_ms: u64) {
        self.running -= 1;
        let Some(own) = self.tenants.get_mut(tenant) else { return };
        own.end(lane, gate);
        own.tidy(now_ms);
        if own.lanes.is_empty() && own.running == 0 && own.gates.is_empty() && own.paused.is_empty() {
            self.tenants.remove(tenant);
            self.ring.retain(|known| known != tenant);
        }
    }

    /// A job could not be done yet: it is the first of its lane again.
    pub fn back(&mut self, job: J, now_ms: u64) {
        let (tenant, lane, gate) = (Arc::clone(job.tenant()), Arc::clone(job.lane()), job.gate().clone());
        // An empty lane is not there while its only job is under way.
        self.tenant(&tenant).lanes.entry(Arc::clone(&lane)).or_default().push_front(job);
        self.end(&tenant, &lane, &gate, now_ms);
    }

    /// Nothing goes through before then.
    pub fn pause(&mut self, tenant: &Arc<str>, gate: &Gate, what: Pause, until_ms: u64) {
        let tenant = self.tenant(tenant);
        match what {
            Pause::Gate => {
                let way = tenant.gates.entry(gate.clone()).or_insert_with(|| {
                    tenant.ring.push_back(gate.clone());
                    Way::default()
                });
                way.closed_until_ms = way.closed_until_ms.max(until_ms);
            }
            Pause::Connection => {
                let paused = tenant.paused.entry(Arc::clone(&gate.connection)).or_default();
                *paused = (*paused).max(until_ms);
            }
        }
    }

    /// Takes out what is not wanted any more.
    pub fn retain(&mut self, mut keeps: impl FnMut(&J) -> bool) {
        for tenant in self.tenants.values_mut() {
            tenant.lanes.values_mut().for_each(|lane| lane.retain(&mut keeps));
            // The first of a lane may be another now, with another gate.
            tenant.line_up_all();
        }
    }

    /// Jobs under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// All that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &J> {
        self.tenants.values().flat_map(|tenant| tenant.lanes.values().flatten())
    }
}

impl<J: Placed> Tenant<J> {
    fn line_up(&mut self, lane: Arc<str>, gate: Gate) {
        let way = self.gates.entry(gate).or_insert_with_key(|gate| {
            self.ring.push_back(gate.clone());
            Way::default()
        });
        way.lanes.push_back(lane);
    }

    /// Every lane that stands in line anew, where its first job goes through.
    fn line_up_all(&mut self) {
        let mut lined_up = Vec::new();
        for gate in &self.ring {
            if let Some(way) = self.gates.get_mut(gate) {
                lined_up.extend(way.lanes.drain(..));
            }
        }
        for lane in lined_up {
            match self.lanes.get(&lane).and_then(|jobs| jobs.front()) {
                Some(job) => {
                    let gate = job.gate().clone();
                    self.line_up(lane, gate);
                }
                None => {
                    self.lanes.remove(&lane);
                }
            }
        }
    }

    fn next(&mut self, now_ms: u64, at_ms: &mut u64) -> Option<J> {
        for _ in 0..self.ring.len() {
            let gate = self.ring.pop_front()?;
            let paused_ms = self.paused.get(&gate.connection).copied().unwrap_or_default();
            let Some(way) = self.gates.get_mut(&gate) else { continue };
            let closed_ms = way.closed_until_ms.max(paused_ms);
            let mut found = None;
            let is_wanted = !way.lanes.is_empty() && way.running < gate.jobs_max;
            if is_wanted && closed_ms > now_ms {
                *at_ms = closed_ms.min(*at_ms);
            } else if is_wanted {
                for _ in 0..way.lanes.len() {
                    let Some(lane) = way.lanes.pop_front() else { break };
                    let first = self.lanes.get_mut(&lane).and_then(|jobs| jobs.front());
                    let due_ms = first.map_or(u64::MAX, Placed::not_before_ms);
                    if due_ms <= now_ms {
                        found = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front);
                        way.running += 1;
                        break;
                    }
                    *at_ms = due_ms.min(*at_ms);
                    way.lanes.push_back(lane);
                }
            }
            self.ring.push_back(gate);
            if found.is_some() {
                self.running += 1;
                return found;
            }
        }
        None
    }

    fn end(&mut self, lane: &Arc<str>, gate: &Gate) {
        self.running -= 1;
        if let Some(way) = self.gates.get_mut(gate) {
            way.running -= 1;
        }
        match self.lanes.get(lane).map(|jobs| jobs.front().map(|job| job.gate().clone())) {
            Some(Some(gate)) => self.line_up(Arc::clone(lane), gate),
            Some(None) => {
                self.lanes.remove(lane);
            }
            None => {}
        }
    }

    /// Forgets gates that nothing goes through and that are open.
    fn tidy(&mut self, now_ms: u64) {
        self.paused.retain(|_, until_ms| *until_ms > now_ms);
        let gates = &mut self.gates;
        self.ring.retain(|gate| {
            let is_idle = |way: &Way| way.lanes.is_empty() && way.running == 0 && way.closed_until_ms <= now_ms;
            let idle = gates.get(gate).is_none_or(is_idle);
            if idle {
                gates.remove(gate);
            }
            !idle
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Job {
        tenant: Arc<str>,
        lane: Arc<str>,
        gate: Gate,
        number: u32,
        not_before_ms: u64,
    }

    impl Placed for Job {
        fn tenant(&self) -> &Arc<str> {
            &self.tenant
        }
        fn lane(&self) -> &Arc<str> {
            &self.lane
        }
        fn gate(&self) -> &Gate {
            &self.gate
        }
        fn not_before_ms(&self) -> u64 {
            self.not_before_ms
        }
    }

    fn job(tenant: &str, lane: &str, channel: &str, number: u32) -> Job {
        let gate = Gate { connection: "con".into(), scope: Some(channel.into()), jobs_max: 1 };
        Job { tenant: tenant.into(), lane: lane.into(), gate, number, not_before_ms: 0 }
    }

    fn go(lanes: &mut Lanes<Job>, now_ms: u64) -> Option<Job> {
        match lanes.next(now_ms) {
            Next::Go(job) => Some(job),
            _ => None,
        }
    }

    fn end(lanes: &mut Lanes<Job>, job: &Job) {
        lanes.end(&job.tenant, &job.lane, &job.gate, 0);
    }

    #[test]
    fn a_lane_keeps_its_order_also_when_one_comes_back() {
        let mut lanes = Lanes::new(10, 10);
        (0..3).for_each(|number| lanes.push(job("acme", "a", "C1", number)));
        let mut first = go(&mut lanes, 0).expect("one");
        assert!(go(&mut lanes, 0).is_none(), "the lane is busy");
        first.not_before_ms = 50;
        lanes.back(first, 0);
        assert!(matches!(lanes.next(0), Next::At(50)));
        for number in 0..3 {
            let job = go(&mut lanes, 50).expect("one");
            assert_eq!(job.number, number);
            end(&mut lanes, &job);
        }
        assert!(matches!(lanes.next(50), Next::Idle));
        assert!(lanes.tenants.is_empty() && lanes.ring.is_empty());
    }

    #[test]
    fn tenants_take_turns_however_much_one_wants() {
        let mut lanes = Lanes::new(1, 1);
        for number in 0..100 {
            lanes.push(job("big", &format!("lane {number}"), &format!("C{number}"), number));
        }
        (0..3).for_each(|number| lanes.push(job("small", "a", "C", number)));
        let mut order = Vec::new();
        for _ in 0..6 {
            let job = go(&mut lanes, 0).expect("one");
            order.push(job.tenant.to_string());
            end(&mut lanes, &job);
        }
        assert_eq!(order, ["big", "small", "big", "small", "big", "small"]);
    }

    #[test]
    fn a_closed_gate_holds_up_its_own_lanes_alone() {
        let mut lanes = Lanes::new(10, 10);
        lanes.push(job("acme", "a", "C1", 0));
        lanes.push(job("acme", "b", "C1", 1));
        lanes.push(job("acme", "c", "C2", 2));
        let first = go(&mut lanes, 0).expect("one");
        lanes.pause(&first.tenant, &first.gate, Pause::Gate, 1_000);
        end(&mut lanes, &first);
        let other = go(&mut lanes, 0).expect("the other channel's");
        assert_eq!(other.number, 2);
        assert!(matches!(lanes.next(0), Next::At(1_000)));
        assert_eq!(go(&mut lanes, 1_000).map(|job| job.number), Some(1));
        lanes.push(job("acme", "d", "C3", 3));
        lanes.pause(&other.tenant, &other.gate, Pause::Connection, 2_000);
        assert!(matches!(lanes.next(1_000), Next::At(2_000)));
    }

    #[test]
    fn what_is_taken_out_leaves_the_rest_in_order() {
        let mut lanes = Lanes::new(10, 10);
        lanes.push(job("acme", "a", "C1", 0));
        lanes.push(job("acme", "a", "C2", 1));
        lanes.push(job("acme", "b", "C1", 2));
        lanes.retain(|job| job.number != 0 && job.number != 2);
        assert_eq!(go(&mut lanes, 0).map(|job| job.number), Some(1));
        assert!(matches!(lanes.next(0), Next::Idle));
    }
}
