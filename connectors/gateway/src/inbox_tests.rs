//! Tests of the inbox: the ring, its index, and the scan that many share.

use super::*;
use crate::{
    entry::{To, hash_of},
    seat::Transport,
};

const BOUNDS: Bounds = Bounds { recent_max: 4, recent_bytes_max: 1 << 20, scan_bytes_max: 1 << 20 };

fn seat(agent: &str, number: u64) -> Arc<Seat> {
    let identity =
        Identity { tenant: "acme".into(), agent: agent.into(), client: "c".into(), expires_at_ms: 0, partition: 0 };
    Arc::new(Seat::new(Arc::new(identity), number, Transport::Plain, 0))
}

fn entry(offset: u64, agents: &[&str]) -> Arc<Entry> {
    let to = agents.iter().map(|agent| To { agent: (*agent).into(), seq: offset, prev_seq: 0, name: None });
    Arc::new(Entry {
        offset,
        tenant: "acme".into(),
        name: "wake_up".into(),
        kind: None,
        project: None,
        to: to.collect(),
        id_hash: hash_of("x"),
        body: "{}".into(),
    })
}

fn push(partition: &Partition, offset: u64, agents: &[&str]) {
    partition.push(vec![entry(offset, agents)], offset + 1);
}

fn offsets(taken: Taken) -> (Vec<u64>, u64) {
    match taken {
        Taken::Some(found, next) => (found.iter().map(|delivery| delivery.entry.offset).collect(), next),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_agent_gets_its_own_and_reads_on_behind_what_others_got() {
    let partition = Partition::new(BOUNDS, 10);
    let (a, b) = (seat("a", 1), seat("b", 2));
    partition.attach(&a);
    partition.attach(&b);
    assert!(matches!(partition.take(&a, 10, 9), Taken::Wait));
    push(&partition, 10, &["a"]);
    push(&partition, 11, &["a", "b"]);
    push(&partition, 12, &["b"]);
    assert_eq!(offsets(partition.take(&a, 10, 1)), (vec![10], 11));
    assert_eq!(offsets(partition.take(&a, 11, 9)), (vec![11], 13));
    assert_eq!(offsets(partition.take(&b, 10, 9)), (vec![11, 12], 13));
    assert!(matches!(partition.take(&b, 13, 9), Taken::Wait));
}

#[test]
fn an_idle_agent_stays_in_touch_though_the_ring_moves_on() {
    let partition = Partition::new(BOUNDS, 0);
    let (a, b) = (seat("a", 1), seat("b", 2));
    partition.attach(&a);
    partition.attach(&b);
    (0..100).for_each(|offset| push(&partition, offset, &["b"]));
    push(&partition, 100, &["a"]);
    assert_eq!(offsets(partition.take(&a, 0, 9)), (vec![100], 101));
    assert!(matches!(partition.take(&b, 0, 9), Taken::Wait), "what it wants left the ring");
    assert_eq!(partition.begin_scan(), Some(0));
}

#[test]
fn one_scan_serves_all_who_wait() {
    let partition = Partition::new(BOUNDS, 50);
    let seats: Vec<_> = (0..10).map(|number| seat(&format!("agent-{number}"), number)).collect();
    seats.iter().for_each(|seat| partition.attach(seat));
    for (number, seat) in seats.iter().enumerate() {
        assert!(matches!(partition.take(seat, number as u64, 9), Taken::Wait));
    }
    assert_eq!(partition.begin_scan(), Some(0));
    let names: Vec<_> = seats.iter().map(|seat| seat.identity.agent.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert!(partition.scanned(&[entry(3, &names)], 4, false));
    assert!(matches!(partition.take(&seats[0], 0, 9), Taken::Wait), "the round is not over");
    assert!(!partition.scanned(&[entry(30, &names[..1])], 50, false), "the ring has the rest");
    assert_eq!(offsets(partition.take(&seats[0], 0, 1)), (vec![3], 4));
    assert_eq!(offsets(partition.take(&seats[0], 4, 9)), (vec![30], 50));
    assert_eq!(offsets(partition.take(&seats[3], 3, 9)), (vec![3], 50));
    assert_eq!(offsets(partition.take(&seats[4], 4, 9)), (vec![], 50), "that was before its time");
    assert_eq!(partition.begin_scan(), None);
}

#[test]
fn who_comes_late_waits_for_the_next_round_and_who_has_much_takes_it_in_parts() {
    let partition = Partition::new(BOUNDS, 1_000);
    let (a, b) = (seat("a", 1), seat("b", 2));
    partition.attach(&a);
    partition.attach(&b);
    assert!(matches!(partition.take(&a, 0, 9), Taken::Wait));
    assert_eq!(partition.begin_scan(), Some(0));
    assert!(partition.scanned(&[], 100, false));
    assert!(matches!(partition.take(&b, 50, 9), Taken::Wait));
    let many: Vec<_> = (100..100 + BACKLOG_MAX as u64 + 5).map(|offset| entry(offset, &["a", "b"])).collect();
    assert!(partition.scanned(&many, 400, false));
    assert_eq!(offsets(partition.take(&a, 0, 1_000)).1, 100 + BACKLOG_MAX as u64, "a part");
    assert!(!partition.scanned(&[], 1_000, true));
    assert!(matches!(partition.take(&b, 50, 9), Taken::Wait));
    assert_eq!(partition.begin_scan(), Some(50));
}

#[test]
fn what_is_gone_is_said() {
    let partition = Partition::new(BOUNDS, 100);
    let a = seat("a", 1);
    partition.attach(&a);
    assert!(matches!(partition.take(&a, 5, 9), Taken::Wait));
    assert_eq!(partition.begin_scan(), Some(5));
    partition.scan_gone(60);
    assert!(matches!(partition.take(&a, 5, 9), Taken::Gone(60)));
    assert!(matches!(partition.take(&a, 60, 9), Taken::Wait));
    assert_eq!(partition.begin_scan(), Some(60));
}

#[test]
fn only_the_socket_in_charge_takes_and_nothing_is_left_behind() {
    let partition = Partition::new(BOUNDS, 0);
    let (old, new) = (seat("a", 1), seat("a", 2));
    partition.attach(&old);
    push(&partition, 0, &["a"]);
    partition.attach(&new);
    assert!(matches!(partition.take(&old, 0, 9), Taken::Wait));
    assert_eq!(offsets(partition.take(&new, 0, 9)), (vec![0], 1));
    partition.detach(&old);
    assert_eq!(offsets(partition.take(&new, 0, 9)), (vec![0], 1), "the old one's end changes nothing");
    partition.detach(&new);
    (1..10).for_each(|offset| push(&partition, offset, &[]));
    assert_eq!(partition.lock().lanes.iter().count(), 0);
}
