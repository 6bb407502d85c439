//! A connection of Engine.IO that is made of polls: what the client posts, and
//! the one request of it that waits for an answer.
//!
//! Nothing waits here on its way out: what an agent is told is made when a poll
//! is there to carry it. What is posted is bounded, beyond that the client's own
//! request waits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hashbrown::HashMap;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{encode::SEPARATOR, session::Reason, upgrade::Ws};

/// What may be posted and not yet read.
const POSTED_BYTES_MAX: usize = 256 << 10;
const POSTED_TIMEOUT: Duration = Duration::from_secs(10);

/// The packets that mean "closed" and "nothing".
const CLOSE: Bytes = Bytes::from_static(b"1");
pub const NOOP: Bytes = Bytes::from_static(b"6");

/// Something from the client.
pub enum Posted {
    /// A packet.
    Text(String),
    /// It goes on over a WebSocket.
    Upgraded(Ws),
    /// It is over.
    Closed(Reason),
}

/// Why a request of the client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The connection is over.
    Over,
    /// Two polls at once.
    Overlap,
    /// Too much is posted.
    Busy,
}

#[derive(Default)]
struct State {
    poll: Option<oneshot::Sender<Bytes>>,
    posted: VecDeque<String>,
    posted_bytes: usize,
    is_probing: bool,
    upgraded: Option<Ws>,
    is_upgraded: bool,
    closed: Option<Reason>,
}

/// See the module.
#[derive(Default)]
pub struct Polls {
    state: Mutex<State>,
    waker: AtomicWaker,
    room: Notify,
}

impl Polls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing from the client. Only the socket's own task may wait.
    pub async fn posted(&self) -> Posted {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            let mut state = self.lock();
            if let Some(text) = state.posted.pop_front() {
                state.posted_bytes -= text.len();
                self.room.notify_one();
                return Poll::Ready(Posted::Text(text));
            }
            if let Some(ws) = state.upgraded.take() {
                return Poll::Ready(Posted::Upgraded(ws));
            }
            state.closed.map_or(Poll::Pending, |reason| Poll::Ready(Posted::Closed(reason)))
        })
        .await
    }

    /// Answers a poll with a payload, as soon as there is one; or gives the
    /// payload back, with the WebSocket that the client came over to.
    pub async fn answer(&self, payload: Bytes) -> Result<Option<(Ws, Bytes)>, Reason> {
        let mut payload = Some(payload);
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            let mut state = self.lock();
            if let Some(reason) = state.closed {
                return Poll::Ready(Err(reason));
            }
            if let Some(ws) = state.upgraded.take() {
                return Poll::Ready(Ok(Some((ws, payload.take().unwrap_or_default()))));
            }
            if state.is_probing {
                return Poll::Pending;
            }
            let Some(poll) = state.poll.take() else { return Poll::Pending };
            match poll.send(payload.take().unwrap_or_default()) {
                Ok(()) => Poll::Ready(Ok(None)),
                // The client hung up; it will poll again.
                Err(back) => {
                    payload = Some(back);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A poll came: its answer will.
    pub fn poll(&self) -> Result<oneshot::Receiver<Bytes>, Wrong> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if state.closed.is_some() || state.is_upgraded {
            return Err(Wrong::Over);
        }
        if state.poll.as_ref().is_some_and(|poll| !poll.is_closed()) {
            drop(state);
            self.close_for(Reason::Protocol);
            return Err(Wrong::Overlap);
        }
        if state.is_probing {
            let _ = answer.send(NOOP);
        } else {
            state.poll = Some(answer);
        }
        drop(state);
        self.waker.wake();
        Ok(answered)
    }

    /// Packets came.
    pub async fn post(&self, payload: &str) -> Result<(), Wrong> {
        let room = async {
            loop {
                let room = self.room.notified();
                match self.lock() {
                    state if state.closed.is_some() => return Err(Wrong::Over),
                    state if state.posted_bytes < POSTED_BYTES_MAX => return Ok(()),
                    _ => {}
                }
                room.await;
            }
        };
        timeout(POSTED_TIMEOUT, room).await.unwrap_or(Err(Wrong::Busy))?;
        let mut state = self.lock();
        for packet in payload.split(SEPARATOR) {
            state.posted_bytes += packet.len();
            state.posted.push_back(packet.to_owned());
        }
        drop(state);
        self.waker.wake();
        Ok(())
    }

    /// The client tries a WebSocket: its poll is ended, so that it can leave.
    pub fn probe(&self, is_probing: bool) {
        let mut state = self.lock();
        state.is_probing = is_probing;
        if is_probing && let Some(poll) = state.poll.take() {
            let _ = poll.send(NOOP);
        }
        drop(state);
        self.waker.wake();
    }

    /// The client came over to a WebSocket.
    pub fn upgrade(&self, ws: Ws) {
        let mut state = self.lock();
        state.is_upgraded = true;
        state.upgraded = Some(ws);
        drop(state);
        self.waker.wake();
    }

    /// Ends the connection from this side.
    pub fn close(&self) {
        self.close_for(Reason::GoingAway);
    }

    fn close_for(&self, reason: Reason) {
        let mut state = self.lock();
        state.closed.get_or_insert(reason);
        state.posted.clear();
        state.posted_bytes = 0;
        if let Some(poll) = state.poll.take() {
            let _ = poll.send(CLOSE);
        }
        drop(state);
        self.waker.wake();
        self.room.notify_waiters();
    }
}

/// The connections that are made of polls, by their ids.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Box<str>, Arc<Polls>>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Polls>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection begins.
    pub fn begin(&self, sid: &str) -> Arc<Polls> {
        let polls = Arc::new(Polls::default());
        self.lock().insert(sid.into(), Arc::clone(&polls));
        polls
    }

    /// The connection of an id.
    pub fn get(&self, sid: &str) -> Option<Arc<Polls>> {
        self.lock().get(sid).cloned()
    }

    /// A connection is over, or goes on elsewhere.
    pub fn end(&self, sid: &str) {
        let mut sessions = self.lock();
        sessions.remove(sid);
        if sessions.len() * 4 < sessions.capacity() {
            sessions.shrink_to_fit();
        }
    }

    /// All are over.
    pub fn close_all(&self) {
        let all: Vec<_> = self.lock().values().cloned().collect();
        all.iter().for_each(|polls| polls.close());
    }
}
