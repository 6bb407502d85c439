//! The answers that commands got, so that a repeat is answered again and not
//! done again. StoredEntry in `pipeline.state` (kind `answered`, id a hash of the
//! correlation id), bounded in number and time.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use serde::Deserialize;
use udfs::hash::{Parts, from_hex, hex};

use crate::{
    event::CommandResult,
    ports::Headers,
    state::{Stateful, StoredEntry},
    topics::Topic,
    turn::Turn,
};

/// The kind of state entry.
const KIND: &str = "answered";

/// Answers that one partition remembers.
const ANSWERS_MAX: usize = 10_000;
/// How long one is remembered; who asks gives up after seconds.
const KEEP_MS: u64 = 3_600_000;

/// The answers, by the commands that they are to.
#[derive(Default)]
pub struct Answers {
    known: HashMap<u128, CommandResult>,
    order: VecDeque<(u64, Arc<str>, u128)>,
}

fn key_of(tenant: &str, correlation_id: &str) -> u128 {
    Parts::new().add("answer").add(tenant).add(correlation_id).finish()
}

impl Answers {
    /// Answers a command that was answered before; whether it was.
    pub fn repeat(&self, tenant: &str, correlation_id: &str, turn: &mut Turn<'_>) -> bool {
        let Some(result) = self.known.get(&key_of(tenant, correlation_id)) else { return false };
        tell(result, turn);
        true
    }

    /// Answers a command, and remembers it.
    pub fn give(&mut self, result: CommandResult, turn: &mut Turn<'_>) {
        tell(&result, turn);
        let key = key_of(&result.tenant_id, &result.correlation_id);
        turn.keep(&result.tenant_id, KIND, &hex(key), Some(&result));
        self.remember(key, result);
        while self.order.len() > ANSWERS_MAX {
            self.forget_oldest(turn);
        }
    }

    fn remember(&mut self, key: u128, result: CommandResult) {
        self.order.push_back((result.at.as_ms(), result.tenant_id.as_str().into(), key));
        self.known.insert(key, result);
    }

    fn forget_oldest(&mut self, turn: &mut Turn<'_>) {
        if let Some((_, tenant, key)) = self.order.pop_front() {
            self.known.remove(&key);
            turn.forget(&tenant, KIND, &hex(key));
        }
    }
}

impl Stateful for Answers {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(key) = from_hex(kept.key.id) else { return };
        let Some(result) = kept.data.and_then(|data| CommandResult::deserialize(data).ok()) else { return };
        self.remember(key, result);
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        while self.order.front().is_some_and(|(at_ms, ..)| at_ms + KEEP_MS <= turn.now_ms) {
            self.forget_oldest(turn);
        }
    }
}

fn tell(result: &CommandResult, turn: &mut Turn<'_>) {
    let headers = Headers::new([
        ("event_id", result.correlation_id.as_bytes()),
        ("type", if result.accepted { b"accepted".as_slice() } else { b"refused" }),
        ("schema", b"nexus.command-result.v1".as_slice()),
    ]);
    turn.emit(Topic::CommandsResults, &result.tenant_id, result, headers);
}
