//! A socket, as the rest of the gateway sees it: whose it is, and two things
//! that it can be told from afar without waiting for it: that it has (or has no
//! longer) its agent's events, and that it shall end.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::SeqCst},
};

use futures_util::task::AtomicWaker;

use super::session::Reason;

/// Whose a socket is.
#[derive(Debug)]
pub struct Identity {
    /// The tenant.
    pub tenant: Box<str>,
    /// The agent.
    pub agent: Box<str>,
    /// The client whose token was good.
    pub client: Box<str>,
    /// When that token ends.
    pub expires_at_ms: u64,
    /// The tenant's partition.
    pub partition: u32,
}

/// The news for a socket, as bits.
const WOKEN: u8 = 1;
const ACTIVE: u8 = 2;

/// See the module.
#[derive(Debug)]
pub struct Seat {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// Its number in this instance, from one.
    pub number: u64,
    /// What it is carried by.
    pub transport: Transport,
    waker: AtomicWaker,
    news: AtomicU8,
    /// A [`Reason`], or zero.
    cut: AtomicU8,
    /// When it was opened, in ms since the epoch.
    pub connected_ms: u64,
}

/// How a socket is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A plain WebSocket.
    Plain,
    /// Socket.IO over whichever transport of Engine.IO.
    SocketIo,
}

impl Transport {
    /// Its name in presence and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Plain => "websocket",
            Transport::SocketIo => "socket.io",
        }
    }
}

impl Seat {
    /// A new socket's.
    pub fn new(identity: Arc<Identity>, number: u64, transport: Transport, connected_ms: u64) -> Seat {
        Seat {
            identity,
            number,
            transport,
            waker: AtomicWaker::new(),
            news: AtomicU8::new(0),
            cut: AtomicU8::new(0),
            connected_ms,
        }
    }

    /// There may be something for it.
    pub fn wake(&self) {
        if self.news.fetch_or(WOKEN, SeqCst) & WOKEN == 0 {
            self.waker.wake();
        }
    }

    /// It shall end, for this reason; the first one counts.
    pub fn cut(&self, reason: Reason) {
        let _ = self.cut.compare_exchange(0, reason as u8, SeqCst, SeqCst);
        self.news.fetch_or(WOKEN, SeqCst);
        self.waker.wake();
    }

    /// Why it shall end, if it shall.
    pub fn is_cut(&self) -> Option<Reason> {
        let number = self.cut.load(SeqCst);
        Reason::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// Whether it has its agent's events.
    pub fn is_active(&self) -> bool {
        self.news.load(SeqCst) & ACTIVE != 0
    }

    /// It has its agent's events, or has them no longer. Tells whether that is
    /// new.
    pub fn set_active(&self, active: bool) -> bool {
        let before = match active {
            true => self.news.fetch_or(ACTIVE, SeqCst),
            false => self.news.fetch_and(!ACTIVE, SeqCst),
        };
        let is_new = (before & ACTIVE != 0) != active;
        if is_new {
            self.wake();
        }
        is_new
    }

    /// Waits for news. Only the socket's own task may.
    pub async fn woken(&self) {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            match self.news.fetch_and(!WOKEN, SeqCst) & WOKEN != 0 {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }

    /// Waits until it shall end, and hears of nothing else.
    pub async fn ended(&self) -> Reason {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            self.is_cut().map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }
}
