//! Which partitions the group has given to this process.
//!
//! In: what the group's consumer is told when partitions come and go. Out: a
//! tenure for each partition, offered until a session works on it. Guaranteed: a
//! tenure ends before the group hears that its partition was given back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use pipeline::ports::LogError;
use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::{feed::Bell, record::describe};

/// The right to a partition, until the group takes it back.
pub(super) struct Tenure {
    pub(super) partition: u32,
    ended: AtomicBool,
    pub(super) bell: Arc<Bell>,
}

impl Tenure {
    pub(super) fn is_over(&self) -> bool {
        self.ended.load(SeqCst)
    }

    fn end(&self) {
        self.ended.store(true, SeqCst);
        self.bell.ring();
    }
}

/// Where the group's thread and the member meet.
#[derive(Default)]
pub(super) struct Assignment {
    hand: Mutex<Offers>,
    pub(super) news: Notify,
}

#[derive(Default)]
struct Offers {
    held: Vec<Arc<Tenure>>,
    /// Of those, the ones that nobody works on.
    offers: VecDeque<Arc<Tenure>>,
    /// Why there will be no more.
    expelled: Option<String>,
}

impl Assignment {
    fn assign(&self, partitions: impl Iterator<Item = u32>) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions {
            let tenure = Arc::new(Tenure { partition, ended: AtomicBool::new(false), bell: Arc::default() });
            hand.held.push(tenure.clone());
            hand.offers.push_back(tenure);
        }
        self.news.notify_one();
    }

    pub(super) fn revoke(&self) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        hand.offers.clear();
        for tenure in hand.held.drain(..) {
            tenure.end();
        }
    }

    pub(super) fn expel(&self, reason: String) {
        self.revoke();
        self.hand.lock().unwrap_or_else(PoisonError::into_inner).expelled = Some(reason);
        self.news.notify_one();
    }

    /// Offers a partition again whose session ended before its tenure.
    pub(super) fn offer_again(&self, tenure: &Arc<Tenure>) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        if !tenure.is_over() {
            hand.offers.push_back(tenure.clone());
            self.news.notify_one();
        }
    }

    pub(super) fn next_offer(&self) -> Result<Option<Arc<Tenure>>, LogError> {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        match &hand.expelled {
            Some(reason) => Err(LogError::Unavailable { detail: reason.clone() }),
            None => Ok(hand.offers.pop_front()),
        }
    }
}

/// The group's consumer, with what it does when partitions come and go.
pub(super) struct Member {
    pub(super) assignment: Arc<Assignment>,
    pub(super) inputs: Vec<String>,
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = describe(&error), reason, "kafka group");
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        // The sessions end before the group hears of it, or begin after.
        let told = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Nothing is assigned to the consumer itself: it is not to fetch.
            let told = consumer.assign(&TopicPartitionList::new());
            self.assignment.assign(self.whole(partitions).into_iter());
            told
        } else {
            self.assignment.revoke();
            consumer.unassign()
        };
        if let Err(error) = told {
            tracing::error!(error = describe(&error), "the group could not be answered");
        }
    }
}

impl Member {
    /// The partitions that were given in all inputs.
    fn whole(&self, partitions: &TopicPartitionList) -> Vec<u32> {
        let mut inputs = BTreeMap::<i32, usize>::new();
        for element in partitions.elements() {
            *inputs.entry(element.partition()).or_default() += 1;
        }
        let (whole, torn): (Vec<_>, Vec<_>) = inputs.into_iter().partition(|(_, count)| *count == self.inputs.len());
        if !torn.is_empty() {
            tracing::error!(
                partitions = ?torn.iter().map(|(partition, _)| partition).collect::<Vec<_>>(),
                "given only in some inputs: all members of a group must read the same topics"
            );
        }
        whole.into_iter().map(|(partition, _)| partition.max(0) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(assignment: &Assignment) -> Vec<u32> {
        std::iter::from_fn(|| assignment.next_offer().ok().flatten()).map(|tenure| tenure.partition).collect()
    }

    #[test]
    fn only_partitions_given_in_all_inputs_count() {
        let member = Member { assignment: Arc::default(), inputs: vec!["a".into(), "b".into()] };
        let mut partitions = TopicPartitionList::new();
        for (topic, partition) in [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 2)] {
            partitions.add_partition(topic, partition);
        }
        assert_eq!(member.whole(&partitions), [0, 2]);
    }

    #[test]
    fn a_partition_is_offered_again_only_while_it_is_held() {
        let assignment = Assignment::default();
        assignment.assign([3].into_iter());
        let tenure = assignment.next_offer().expect("a member").expect("an offer");
        assignment.offer_again(&tenure);
        assert_eq!(offers(&assignment), [3]);
        assignment.revoke();
        assert!(tenure.is_over());
        assignment.offer_again(&tenure);
        assert_eq!(offers(&assignment), [0u32; 0]);
    }

    #[test]
    fn nothing_is_offered_to_an_expelled_member() {
        let assignment = Assignment::default();
        assignment.assign([1].into_iter());
        assignment.expel("another has this name".into());
        assert!(matches!(assignment.next_offer(), Err(LogError::Unavailable { .. })));
    }
}
