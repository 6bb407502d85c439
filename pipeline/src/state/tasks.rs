//! The tasks that a partition remembers, by key and by thread, in the order of
//! their last update. Only what `track` and the commands do is kept here; the
//! rules are theirs.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use serde::Deserialize;
use udfs::{
    hash::{Parts, from_hex, hex},
    keys::thread_key,
};

use crate::{
    event::{EventType, StandardEvent, Task, TaskState},
    settings::TrackSettings,
    state::{Stateful, StoredEntry, index::Index},
    turn::Turn,
};

/// The kind of state entry in which tasks are kept.
const KIND: &str = "task";

/// What a task costs beside its texts.
const TASK_COST_BYTES: usize = 600;

/// See the module.
pub struct Tasks {
    settings: TrackSettings,
    by_key: HashMap<u128, TaskSlot>,
    threads: HashMap<u128, u128>,
    /// When each was touched; entries that are not a task's last are skipped.
    order: VecDeque<(u64, u128)>,
    touches: u64,
    bytes: usize,
    dirty: Vec<u128>,
}

struct TaskSlot {
    tenant: Arc<str>,
    task: Task,
    touched: u64,
    bytes: usize,
    is_dirty: bool,
    thread: Option<u128>,
}

/// The hub's id of a task's key.
pub fn id_of(key: u128) -> String {
    format!("task_{}", hex(key))
}

/// The key of a task of a tenant. `scope` tells sites apart whose ids are only
/// their own: Jira's. ClickUp's and GitHub's are the same everywhere.
pub fn key_of(tenant: &str, provider: &str, scope: &str, external_id: &str) -> u128 {
    let parts = Parts::new().add("task").add(tenant).add(provider).add(scope);
    match provider {
        "github" => parts.add(external_id.to_lowercase()).finish(),
        _ => parts.add(external_id).finish(),
    }
}

/// What tells the ids of one provider apart within a tenant.
pub fn scope<'a>(index: Option<&'a Index>, provider: &str, connection: Option<&'a str>) -> &'a str {
    match provider {
        "jira" => connection.or_else(|| index.and_then(Index::jira)).unwrap_or_default(),
        _ => "",
    }
}

impl Tasks {
    /// None is known yet.
    pub fn new(settings: &TrackSettings) -> Self {
        Tasks {
            settings: settings.clone(),
            by_key: HashMap::new(),
            threads: HashMap::new(),
            order: VecDeque::new(),
            touches: 0,
            bytes: 0,
            dirty: Vec::new(),
        }
    }

    /// The key of the task that an event is about, known yet or not: by the
    /// provider's id, or by the thread.
    pub fn recall(&self, index: Option<&Index>, event: &StandardEvent) -> Option<u128> {
        if let Some(id) = event.task.as_ref().and_then(|task| task.external_id.as_deref()) {
            let scope = scope(index, &event.source.provider, event.source.connection_id.as_deref());
            return Some(key_of(&event.tenant_id, &event.source.provider, scope, id));
        }
        let message = event.message.as_ref()?;
        let channel = message.channel_id.as_deref()?;
        let of_root = || match event.kind {
            EventType::MessageChanged | EventType::MessageDeleted => event.subject.as_ref()?.external_id.as_deref(),
            _ => None,
        };
        let thread_ts = message.thread_ts.as_deref().or_else(of_root)?;
        self.in_thread(&event.tenant_id, channel, thread_ts)
    }

    /// The task that is discussed in a thread.
    pub fn in_thread(&self, tenant: &str, channel: &str, thread_ts: &str) -> Option<u128> {
        self.threads.get(&thread_key(tenant, channel, thread_ts)).copied()
    }

    /// A task.
    pub fn get(&self, key: u128) -> Option<&Task> {
        self.by_key.get(&key).map(|slot| &slot.task)
    }

    /// The task of one of the hub's ids.
    pub fn find(&self, tenant: &str, id: &str) -> Option<u128> {
        let key = from_hex(id.strip_prefix("task_")?)?;
        self.by_key.get(&key).filter(|slot| *slot.tenant == *tenant).map(|_| key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Adds one, to be updated at once.
    pub fn insert(&mut self, key: u128, tenant: &str, task: Task) {
        let slot = TaskSlot { tenant: tenant.into(), task, touched: 0, bytes: 0, is_dirty: false, thread: None };
        self.by_key.insert(key, slot);
    }

    /// A task is discussed in this thread from now on.
    pub fn discuss(&mut self, key: u128, channel: String, thread_ts: String) {
        let Some(slot) = self.by_key.get_mut(&key) else { return };
        let now = thread_key(&slot.tenant, &channel, &thread_ts);
        if let Some(before) = slot.thread.replace(now).filter(|before| self.threads.get(before) == Some(&key)) {
            self.threads.remove(&before);
        }
        self.threads.insert(now, key);
        self.update(key, |task| (task.channel_id, task.thread_ts) = (Some(channel), Some(thread_ts)));
    }

    /// Changes one, but not where it is discussed.
    pub fn update(&mut self, key: u128, change: impl FnOnce(&mut Task)) {
        let Some(slot) = self.by_key.get_mut(&key) else { return };
        change(&mut slot.task);
        self.bytes -= slot.bytes;
        slot.bytes = cost_of(&slot.task);
        self.bytes += slot.bytes;
        self.touches += 1;
        slot.touched = self.touches;
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(key);
        }
        self.order.push_back((self.touches, key));
        if self.order.len() > 64 + 2 * self.by_key.len() {
            let by_key = &self.by_key;
            self.order.retain(|(touched, key)| by_key.get(key).is_some_and(|slot| slot.touched == *touched));
        }
    }

    /// Forgets what is beyond the self.settings.
    pub fn trim(&mut self, turn: &mut Turn<'_>) {
        while let Some((tenant, task, is_dirty)) = self.forget_oldest() {
            let done_ms = turn.now_ms.saturating_sub(task.updated_at.as_ms());
            if task.deleted || task.state == TaskState::Done && done_ms > self.settings.done_keep_ms {
                turn.forget(&tenant, KIND, &task.id);
            } else if is_dirty {
                turn.keep(&tenant, KIND, &task.id, Some(&task));
            }
        }
    }

    fn forget_oldest(&mut self) -> Option<(Arc<str>, Task, bool)> {
        // The newest stays, however large it is.
        while self.by_key.len() > self.settings.tasks_max.max(1)
            || (self.bytes > self.settings.bytes_max && self.by_key.len() > 1)
        {
            let (touched, key) = self.order.pop_front()?;
            if self.by_key.get(&key).is_none_or(|slot| slot.touched != touched) {
                continue;
            }
            let slot = self.by_key.remove(&key)?;
            if let Some(thread) = slot.thread.filter(|thread| self.threads.get(thread) == Some(&key)) {
                self.threads.remove(&thread);
            }
            self.bytes -= slot.bytes;
            return Some((slot.tenant, slot.task, slot.is_dirty));
        }
        None
    }
}

impl Stateful for Tasks {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(key) = kept.key.id.strip_prefix("task_").and_then(from_hex) else { return };
        let Some(task) = kept.data.and_then(|data| Task::deserialize(data).ok()) else { return };
        let thread = task.channel_id.clone().zip(task.thread_ts.clone());
        self.insert(key, kept.key.tenant, task);
        match thread {
            Some((channel, thread_ts)) => self.discuss(key, channel, thread_ts),
            None => self.update(key, |_| {}),
        }
        if let Some(slot) = self.by_key.get_mut(&key) {
            slot.is_dirty = false;
        }
        self.dirty.clear();
        while self.forget_oldest().is_some() {}
    }

    fn flush(&mut self, turn: &mut Turn<'_>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable_by_key(|key| self.by_key.get(key).map(|slot| slot.touched));
        dirty.dedup();
        for key in dirty.drain(..) {
            if let Some(slot) = self.by_key.get_mut(&key).filter(|slot| slot.is_dirty) {
                slot.is_dirty = false;
                turn.keep(&slot.tenant, KIND, &slot.task.id, Some(&slot.task));
            }
        }
        self.dirty = dirty;
    }
}

/// The same for the same task, whenever it is counted.
fn cost_of(task: &Task) -> usize {
    let texts = [&task.title, &task.description, &task.status, &task.priority, &task.url];
    let lists = task.assignees.iter().chain(&task.agent_ids).map(|id| id.len() + 32).sum::<usize>();
    TASK_COST_BYTES + texts.into_iter().flatten().map(String::len).sum::<usize>() + lists
}
