//! Whether appends may be expected to succeed: a small question to the brokers
//! every second. What is known of them is in [`super::health`].

use std::{
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use pipeline::ports::LogError;

use super::{append::Appender, health::BrokerHealth, record::describe};

/// How often the brokers are asked.
const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks, until it is dropped.
pub(super) struct Watch {
    health: Arc<BrokerHealth>,
    /// Its end tells the thread to end.
    _running: mpsc::Sender<()>,
}

impl Watch {
    pub(super) fn start(appender: &Arc<Appender>) -> std::io::Result<Watch> {
        let (running, stopped) = mpsc::channel();
        let asked = Arc::downgrade(appender);
        let health = appender.health();
        let watched = health.clone();
        std::thread::Builder::new().name("kafka-watch".into()).spawn(move || watch(&asked, &watched, &stopped))?;
        Ok(Watch { health, _running: running })
    }

    pub(super) fn ready(&self) -> Result<(), LogError> {
        self.health.ready()
    }
}

fn watch(asked: &Weak<Appender>, health: &BrokerHealth, stopped: &mpsc::Receiver<()>) {
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(appender) = asked.upgrade() else { return };
        health.answered(appender.ask(PATIENCE).map_err(|error| describe(&error)));
    }
}
