//! A place in a consumer group: which partitions are this process's, and a
//! session for each. The group's consumer is served on a thread of its own and
//! fetches nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use pipeline::{
    ports::{LogError, Membership, Pending, Session},
    topics::Topic,
};
use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    config::Settings,
    feed::{Bell, Feeds},
    record::{broken, describe, unavailable},
    session::{KafkaSession, Opening},
};

/// How often the group's events are looked for; a rebalance wakes the poll, so
/// this only bounds how long leaving takes.
const SERVE_EVERY: Duration = Duration::from_millis(100);
/// Sessions prepared at the same time: each asks the brokers a few questions.
const OPENING_MAX: usize = 8;

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
pub(super) struct Desk {
    hand: Mutex<Hand>,
    news: Notify,
}

#[derive(Default)]
struct Hand {
    held: Vec<Arc<Tenure>>,
    /// Of those, the ones that nobody works on.
    offers: VecDeque<Arc<Tenure>>,
    /// Why there will be no more.
    expelled: Option<String>,
}

impl Desk {
    fn assign(&self, partitions: impl Iterator<Item = u32>) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions {
            let tenure = Arc::new(Tenure { partition, ended: AtomicBool::new(false), bell: Arc::default() });
            hand.held.push(tenure.clone());
            hand.offers.push_back(tenure);
        }
        self.news.notify_one();
    }

    fn revoke(&self) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        hand.offers.clear();
        for tenure in hand.held.drain(..) {
            tenure.end();
        }
    }

    fn expel(&self, reason: String) {
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

    fn next_offer(&self) -> Result<Option<Arc<Tenure>>, LogError> {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        match &hand.expelled {
            Some(reason) => Err(LogError::Unavailable { detail: reason.clone() }),
            None => Ok(hand.offers.pop_front()),
        }
    }
}

/// The group's consumer, with what it does when partitions come and go.
pub(super) struct Member {
    desk: Arc<Desk>,
    inputs: Vec<String>,
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
            self.desk.assign(self.whole(partitions).into_iter());
            told
        } else {
            self.desk.revoke();
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

/// See [`Membership`].
pub(super) struct KafkaMembership {
    group: String,
    desk: Arc<Desk>,
    opening: Arc<Opening>,
    under_way: JoinSet<(Arc<Tenure>, Result<KafkaSession, LogError>)>,
    stop: Arc<AtomicBool>,
}

impl KafkaMembership {
    pub(super) fn join(
        settings: &Arc<Settings>,
        feeds: &Arc<Feeds>,
        group: &str,
        inputs: &[Topic],
    ) -> Result<Self, LogError> {
        let desk = Arc::new(Desk::default());
        let names: Vec<_> = inputs.iter().map(|topic| settings.topic_name(*topic)).collect();
        let context = Member { desk: desk.clone(), inputs: names.clone() };
        let consumer: BaseConsumer<Member> = settings.member(group).create_with_context(context).map_err(broken)?;
        consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(broken)?;
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped, told, name) = (consumer.clone(), stop.clone(), desk.clone(), group.to_owned());
        std::thread::Builder::new()
            .name("kafka-group".into())
            .spawn(move || serve(&served, &stopped, &told, &name))
            .map_err(unavailable)?;
        Ok(KafkaMembership {
            opening: Arc::new(Opening {
                settings: settings.clone(),
                feeds: feeds.clone(),
                desk: desk.clone(),
                member: Arc::downgrade(&consumer),
                group: group.to_owned(),
                inputs: inputs.to_vec(),
            }),
            group: group.to_owned(),
            desk,
            under_way: JoinSet::new(),
            stop,
        })
    }

    fn open_offered(&mut self) -> Result<(), LogError> {
        while self.under_way.len() < OPENING_MAX {
            let Some(tenure) = self.desk.next_offer()? else { break };
            let opening = self.opening.clone();
            self.under_way.spawn_blocking(move || {
                let session = opening.open(&tenure);
                (tenure, session)
            });
        }
        Ok(())
    }
}

/// Serves the group until the member leaves.
fn serve(consumer: &BaseConsumer<Member>, stopped: &AtomicBool, desk: &Desk, group: &str) {
    while !stopped.load(Relaxed) {
        let Some(Err(error)) = consumer.poll(SERVE_EVERY) else { continue };
        if let Some((code, reason)) = consumer.client().fatal_error() {
            tracing::error!(group, %code, reason, "expelled from the group");
            return desk.expel(format!("expelled from group {group}: {reason}"));
        }
        tracing::debug!(group, error = describe(&error), "kafka group");
    }
}

impl Membership for KafkaMembership {
    fn next(&mut self) -> Pending<'_, Box<dyn Session>> {
        Box::pin(async move {
            loop {
                self.open_offered()?;
                let opened = tokio::select! {
                    Some(opened) = self.under_way.join_next() => opened.map_err(unavailable)?,
                    () = self.desk.news.notified() => continue,
                };
                match opened {
                    // Taken back while it was prepared; dropped, it is nothing.
                    (tenure, _) if tenure.is_over() => {}
                    (_, Ok(session)) => return Ok(Box::new(session) as Box<dyn Session>),
                    (tenure, Err(error)) => {
                        self.desk.offer_again(&tenure);
                        return Err(error);
                    }
                }
            }
        })
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        tracing::debug!(group = self.group, "leaving the group");
        self.desk.revoke();
        self.stop.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(desk: &Desk) -> Vec<u32> {
        std::iter::from_fn(|| desk.next_offer().ok().flatten()).map(|tenure| tenure.partition).collect()
    }

    #[test]
    fn only_partitions_given_in_all_inputs_count() {
        let member = Member { desk: Arc::default(), inputs: vec!["a".into(), "b".into()] };
        let mut partitions = TopicPartitionList::new();
        for (topic, partition) in [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 2)] {
            partitions.add_partition(topic, partition);
        }
        assert_eq!(member.whole(&partitions), [0, 2]);
    }

    #[test]
    fn a_partition_is_offered_again_only_while_it_is_held() {
        let desk = Desk::default();
        desk.assign([3].into_iter());
        let tenure = desk.next_offer().expect("a member").expect("an offer");
        desk.offer_again(&tenure);
        assert_eq!(offers(&desk), [3]);
        desk.revoke();
        assert!(tenure.is_over());
        desk.offer_again(&tenure);
        assert_eq!(offers(&desk), [0u32; 0]);
    }

    #[test]
    fn nothing_is_offered_to_an_expelled_member() {
        let desk = Desk::default();
        desk.assign([1].into_iter());
        desk.expel("another has this name".into());
        assert!(matches!(desk.next_offer(), Err(LogError::Unavailable { .. })));
    }
}
