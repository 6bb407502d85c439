//! The deliveries that this instance has just taken, so that a sender that
//! repeats one is told so at once.
//!
//! Only a help to senders: a delivery counts as taken when it is durable, and a
//! repeat that comes while the first is still under way waits for it. What is
//! not known here (another instance, a restart, long ago) is found by the
//! `deduplicate` operator.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use hashbrown::HashMap;
use tokio::sync::watch;

/// The deliveries taken last.
pub struct Repeats {
    known: Mutex<Known>,
    remembered_max: usize,
}

#[derive(Default)]
struct Known {
    deliveries: HashMap<u128, Delivery>,
    oldest_first: VecDeque<u128>,
}

enum Delivery {
    UnderWay(watch::Receiver<Option<Arc<str>>>),
    Taken(Arc<str>),
}

/// What to do with a delivery.
pub enum Seen<'a> {
    /// It is new: append it, then say so.
    New(First<'a>),
    /// It was taken before, under this id.
    Repeat(Arc<str>),
}

/// The first of its kind. Dropped without [`First::taken`], it was not: the
/// next one is then the first.
pub struct First<'a> {
    repeats: &'a Repeats,
    delivery: u128,
    tell: watch::Sender<Option<Arc<str>>>,
    taken: bool,
}

impl Repeats {
    /// Remembers so many deliveries at most.
    pub fn new(remembered_max: usize) -> Self {
        Repeats { known: Mutex::default(), remembered_max }
    }

    /// Whether a delivery is the first of its kind. Waits for the first, if
    /// that one is under way.
    pub async fn seen(&self, delivery: u128) -> Seen<'_> {
        loop {
            let mut first = {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                match known.deliveries.get(&delivery) {
                    Some(Delivery::Taken(id)) => return Seen::Repeat(Arc::clone(id)),
                    Some(Delivery::UnderWay(first)) => first.clone(),
                    None => {
                        let (tell, first) = watch::channel(None);
                        known.deliveries.insert(delivery, Delivery::UnderWay(first));
                        return Seen::New(First { repeats: self, delivery, tell, taken: false });
                    }
                }
            };
            // Without an answer the first failed: whoever asks now is the first.
            if let Ok(Some(id)) = first.wait_for(Option::is_some).await.as_deref() {
                return Seen::Repeat(Arc::clone(id));
            }
        }
    }
}

impl First<'_> {
    /// It is durable, under this id.
    pub fn taken(mut self, id: Arc<str>) {
        self.taken = true;
        {
            let mut known = self.repeats.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.deliveries.insert(self.delivery, Delivery::Taken(Arc::clone(&id)));
            known.oldest_first.push_back(self.delivery);
            while known.oldest_first.len() > self.repeats.remembered_max {
                if let Some(oldest) = known.oldest_first.pop_front() {
                    known.deliveries.remove(&oldest);
                }
            }
        }
        self.tell.send_replace(Some(id));
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if !self.taken {
            let mut known = self.repeats.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.deliveries.remove(&self.delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_repeat_waits_for_the_first_and_gets_its_id() {
        let repeats = Repeats::new(10);
        let Seen::New(first) = repeats.seen(1).await else { panic!("the first is new") };
        let mut second = Box::pin(repeats.seen(1));
        assert!(second.as_mut().now_or_never().is_none(), "the second waits");
        first.taken("id".into());
        assert!(matches!(second.await, Seen::Repeat(id) if &*id == "id"));
        assert!(matches!(repeats.seen(1).await, Seen::Repeat(_)));
        assert!(matches!(repeats.seen(2).await, Seen::New(_)));
    }

    #[tokio::test]
    async fn after_a_first_that_failed_the_next_is_the_first() {
        let repeats = Repeats::new(10);
        let Seen::New(first) = repeats.seen(1).await else { panic!("the first is new") };
        let mut second = Box::pin(repeats.seen(1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(matches!(second.await, Seen::New(_)));
    }

    #[tokio::test]
    async fn the_oldest_are_forgotten() {
        let repeats = Repeats::new(2);
        for delivery in 0..3 {
            let Seen::New(first) = repeats.seen(delivery).await else { panic!("new") };
            first.taken("id".into());
        }
        assert!(matches!(repeats.seen(0).await, Seen::New(_)));
        assert!(matches!(repeats.seen(2).await, Seen::Repeat(_)));
    }
}
