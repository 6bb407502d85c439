//! What waits behind others. Pure.
//!
//! Things of one lane are handed out in the order in which they came, a batch at a
//! time, and the next batch only after the one before has ended.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;

/// See the module.
pub(super) struct OrderedLanes<T> {
    lanes: HashMap<Arc<str>, Waiting<T>>,
    /// Lanes of which something may be handed out.
    free: VecDeque<Arc<str>>,
}

struct Waiting<T> {
    things: VecDeque<T>,
    is_busy: bool,
}

impl<T> Default for OrderedLanes<T> {
    fn default() -> Self {
        OrderedLanes { lanes: HashMap::new(), free: VecDeque::new() }
    }
}

impl<T> OrderedLanes<T> {
    /// One more, behind the others of its lane.
    pub fn push(&mut self, lane: Arc<str>, thing: T) {
        match self.lanes.get_mut(&lane) {
            Some(waiting) => waiting.things.push_back(thing),
            None => {
                self.lanes.insert(Arc::clone(&lane), Waiting { things: VecDeque::from([thing]), is_busy: false });
                self.free.push_back(lane);
            }
        }
    }

    /// The next batch of a lane that is not busy: its first thing, and those behind
    /// it that join.
    pub fn next(&mut self, batch_max: usize, joins: impl Fn(&T, &T) -> bool) -> Option<(Arc<str>, Vec<T>)> {
        let lane = self.free.pop_front()?;
        let waiting = self.lanes.get_mut(&lane)?;
        waiting.is_busy = true;
        let mut batch: Vec<T> = waiting.things.pop_front().into_iter().collect();
        while let (Some(last), Some(next)) = (batch.last(), waiting.things.front()) {
            if batch.len() >= batch_max || !joins(last, next) {
                break;
            }
            batch.extend(waiting.things.pop_front());
        }
        Some((lane, batch))
    }

    /// The lane's batch has ended.
    pub fn end(&mut self, lane: Arc<str>) {
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        waiting.is_busy = false;
        if waiting.things.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.free.push_back(lane);
        }
    }

    /// The lane's batch could not be done: it comes first again.
    pub fn back(&mut self, lane: Arc<str>, batch: Vec<T>) {
        if let Some(waiting) = self.lanes.get_mut(&lane) {
            batch.into_iter().rev().for_each(|thing| waiting.things.push_front(thing));
        }
        self.end(lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(one: &u32, other: &u32) -> bool {
        one / 10 == other / 10
    }

    fn lanes(things: &[(&str, u32)]) -> OrderedLanes<u32> {
        let mut lanes = OrderedLanes::default();
        things.iter().for_each(|(lane, thing)| lanes.push((*lane).into(), *thing));
        lanes
    }

    #[test]
    fn a_lane_goes_in_order_and_lanes_beside_each_other() {
        let mut lanes = lanes(&[("a", 1), ("a", 2), ("a", 11), ("b", 3), ("a", 12)]);
        assert_eq!(lanes.next(9, joins), Some(("a".into(), vec![1, 2])));
        assert_eq!(lanes.next(9, joins), Some(("b".into(), vec![3])));
        assert_eq!(lanes.next(9, joins), None, "both are busy");
        lanes.end("a".into());
        assert_eq!(lanes.next(1, joins), Some(("a".into(), vec![11])), "no more than may be together");
        lanes.end("b".into());
        lanes.push("b".into(), 4);
        assert_eq!(lanes.next(9, joins), Some(("b".into(), vec![4])));
    }

    #[test]
    fn what_could_not_be_done_comes_first_again() {
        let mut lanes = lanes(&[("a", 1), ("a", 2), ("a", 11)]);
        let (lane, batch) = lanes.next(9, joins).expect("something waits");
        lanes.back(lane, batch);
        assert_eq!(lanes.next(9, |_, _| false), Some(("a".into(), vec![1])));
        lanes.end("a".into());
        assert_eq!(lanes.next(9, joins), Some(("a".into(), vec![2])));
    }

    #[test]
    fn an_empty_lane_is_forgotten() {
        let mut lanes = lanes(&[("a", 1)]);
        let (lane, _) = lanes.next(9, joins).expect("something waits");
        lanes.end(lane);
        assert!(lanes.lanes.is_empty() && lanes.free.is_empty());
    }
}
