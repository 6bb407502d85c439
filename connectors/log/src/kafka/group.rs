//! A place in a consumer group: which partitions are this process's, and a
//! session for each. The group's consumer is served on a thread of its own and
//! fetches nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use pipeline::{
    ports::{LogError, Membership, Pending, Session},
    topics::Topic,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::JoinSet;

use super::{
    assignment::{Assignment, Member, Tenure},
    config::Settings,
    feed::Feeds,
    record::{broken, describe, unavailable},
    session::{KafkaSession, Opening},
};

/// How often the group's events are looked for; a rebalance wakes the poll, so
/// this only bounds how long leaving takes.
const SERVE_EVERY: Duration = Duration::from_millis(100);
/// Sessions prepared at the same time: each asks the brokers a few questions.
const OPENING_MAX: usize = 8;

/// See [`Membership`].
pub(super) struct KafkaMembership {
    group: String,
    assignment: Arc<Assignment>,
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
        let assignment = Arc::new(Assignment::default());
        let names: Vec<_> = inputs.iter().map(|topic| settings.topic_name(*topic)).collect();
        let context = Member { assignment: assignment.clone(), inputs: names.clone() };
        let consumer: BaseConsumer<Member> = settings.member(group).create_with_context(context).map_err(broken)?;
        consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(broken)?;
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped, told, name) = (consumer.clone(), stop.clone(), assignment.clone(), group.to_owned());
        std::thread::Builder::new()
            .name("kafka-group".into())
            .spawn(move || serve(&served, &stopped, &told, &name))
            .map_err(unavailable)?;
        Ok(KafkaMembership {
            opening: Arc::new(Opening {
                settings: settings.clone(),
                feeds: feeds.clone(),
                assignment: assignment.clone(),
                member: Arc::downgrade(&consumer),
                group: group.to_owned(),
                inputs: inputs.to_vec(),
            }),
            group: group.to_owned(),
            assignment,
            under_way: JoinSet::new(),
            stop,
        })
    }

    fn open_offered(&mut self) -> Result<(), LogError> {
        while self.under_way.len() < OPENING_MAX {
            let Some(tenure) = self.assignment.next_offer()? else { break };
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
fn serve(consumer: &BaseConsumer<Member>, stopped: &AtomicBool, assignment: &Assignment, group: &str) {
    while !stopped.load(Relaxed) {
        let Some(Err(error)) = consumer.poll(SERVE_EVERY) else { continue };
        if let Some((code, reason)) = consumer.client().fatal_error() {
            tracing::error!(group, %code, reason, "expelled from the group");
            return assignment.expel(format!("expelled from group {group}: {reason}"));
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
                    () = self.assignment.news.notified() => continue,
                };
                match opened {
                    // Taken back while it was prepared; dropped, it is nothing.
                    (tenure, _) if tenure.is_over() => {}
                    (_, Ok(session)) => return Ok(Box::new(session) as Box<dyn Session>),
                    (tenure, Err(error)) => {
                        self.assignment.offer_again(&tenure);
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
        self.assignment.revoke();
        self.stop.store(true, Relaxed);
    }
}
