//! A disk in memory that fails on purpose: for tests of what becomes of a
//! journal then.
//!
//! It keeps apart what was written and what was synced. [`FaultyDisk::crash`]
//! keeps of the rest a random part, sector by sector, and of the changes of
//! names a random beginning, as a disk may when the power goes.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::disk::{Disk, DiskFile};

/// What a disk writes whole, whatever happens.
const SECTOR_BYTES: usize = 512;

/// See the module. Clones are handles of one disk.
#[derive(Clone)]
pub struct FaultyDisk {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    released: Condvar,
}

type Number = u64;

struct State {
    random: u64,
    names: BTreeMap<String, Number>,
    durable_names: BTreeMap<String, Number>,
    /// Changes of names since the directory was synced.
    changes: Vec<Change>,
    files: BTreeMap<Number, Content>,
    faults: Faults,
}

#[derive(Clone)]
enum Change {
    Set(String, Number),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Number>) {
        match self {
            Change::Set(name, number) => {
                names.insert(name.clone(), *number);
            }
            Change::Rename(from, to) => {
                if let Some(number) = names.remove(from) {
                    names.insert(to.clone(), number);
                }
            }
            Change::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Copy, Default)]
struct Faults {
    free_bytes: Option<u64>,
    short_writes: bool,
    failing_syncs: bool,
    held_syncs: bool,
    latency: Duration,
    is_dead: bool,
}

impl FaultyDisk {
    /// An empty disk that works; `seed` decides what a crash takes.
    pub fn new(seed: u64) -> Self {
        FaultyDisk::with(State {
            random: seed | 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            files: BTreeMap::new(),
            faults: Faults::default(),
        })
    }

    fn with(state: State) -> Self {
        FaultyDisk { inner: Arc::new(Inner { state: Mutex::new(state), released: Condvar::new() }) }
    }

    /// What the power cut left, as a new disk that works. This one fails at
    /// everything from now on.
    pub fn crash(&self) -> FaultyDisk {
        let mut state = self.inner.lock();
        state.faults.is_dead = true;
        self.inner.released.notify_all();
        let mut names = state.durable_names.clone();
        let changes = state.changes.len() as u64;
        let kept = state.below(changes + 1) as usize;
        state.changes[..kept].iter().for_each(|change| change.apply(&mut names));
        let mut files = BTreeMap::new();
        for number in names.values() {
            let Content { now, mut durable, unsynced } = state.files[number].clone();
            durable.resize(now.len(), 0);
            for (at, bytes) in unsynced {
                let mut from = 0;
                while from < bytes.len() {
                    // Sectors are where the disk has them, not where a write begins.
                    let upto = bytes.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
                    if state.below(2) == 0 && at + upto <= durable.len() {
                        durable[at + from..at + upto].copy_from_slice(&bytes[from..upto]);
                    }
                    from = upto;
                }
            }
            files.insert(*number, Content { now: durable.clone(), durable, unsynced: Vec::new() });
        }
        let (random, durable_names) = (state.random, names.clone());
        drop(state);
        FaultyDisk::with(State { random, names, durable_names, changes: Vec::new(), files, faults: Faults::default() })
    }

    /// How much room is left; `None`: enough.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.inner.lock().faults.free_bytes = free_bytes;
    }

    /// Writes take only a part of what they are given.
    pub fn set_short_writes(&self, short_writes: bool) {
        self.inner.lock().faults.short_writes = short_writes;
    }

    /// Syncs of files fail.
    pub fn set_failing_syncs(&self, failing_syncs: bool) {
        self.inner.lock().faults.failing_syncs = failing_syncs;
    }

    /// Syncs of files wait until this is called again with `false`.
    pub fn set_held_syncs(&self, held_syncs: bool) {
        self.inner.lock().faults.held_syncs = held_syncs;
        self.inner.released.notify_all();
    }

    /// How long a sync takes.
    pub fn set_latency(&self, latency: Duration) {
        self.inner.lock().faults.latency = latency;
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.inner.lock();
        state.check_alive()?;
        change.apply(&mut state.names);
        state.changes.push(change);
        Ok(())
    }

    fn file(&self, number: Number) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { disk: self.inner.clone(), number })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A random number below `bound` (xorshift: fast, and the same for a seed).
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.faults.is_dead { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }

    fn content(&mut self, number: Number) -> io::Result<&mut Content> {
        self.check_alive()?;
        self.files.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes room for a file to grow to `length`, if there is any.
    fn grow(&mut self, number: Number, length: usize) -> io::Result<()> {
        let by = length.saturating_sub(self.content(number)?.now.len()) as u64;
        if let Some(free_bytes) = &mut self.faults.free_bytes {
            *free_bytes = free_bytes.checked_sub(by).ok_or(io::ErrorKind::StorageFull)?;
        }
        let content = self.content(number)?;
        content.now.resize(length.max(content.now.len()), 0);
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.inner.lock();
        state.check_alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.inner.lock();
        state.check_alive()?;
        let number = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(number))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let number = {
            let mut state = self.inner.lock();
            state.check_alive()?;
            let number = state.files.keys().last().map_or(0, |last| last + 1);
            state.files.insert(number, Content::default());
            number
        };
        self.change(Change::Set(name.to_owned(), number))?;
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(Change::Remove(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.inner.lock();
        state.check_alive()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }
}

struct FaultyFile {
    disk: Arc<Inner>,
    number: Number,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let content = &state.content(self.number)?.now;
        let from = content.len().min(position as usize);
        let length = buffer.len().min(content.len() - from);
        buffer[..length].copy_from_slice(&content[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.check_alive()?;
        let length = match state.faults.short_writes {
            true => state.below(bytes.len() as u64) as usize + 1,
            false => bytes.len(),
        };
        let at = position as usize;
        state.grow(self.number, at + length)?;
        let content = state.content(self.number)?;
        content.now[at..at + length].copy_from_slice(&bytes[..length]);
        content.unsynced.push((at, bytes[..length].to_vec()));
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        while state.faults.held_syncs && !state.faults.is_dead {
            state = self.disk.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let latency = state.faults.latency;
        if !latency.is_zero() {
            drop(state);
            std::thread::sleep(latency);
            state = self.disk.lock();
        }
        if state.faults.failing_syncs {
            return Err(io::Error::other("the disk failed to sync"));
        }
        let Content { now, durable, unsynced } = state.content(self.number)?;
        durable.resize(now.len(), 0);
        for (at, bytes) in unsynced.drain(..).filter(|(at, bytes)| at + bytes.len() <= now.len()) {
            durable[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.disk.lock().grow(self.number, length as usize)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let Content { now, durable, unsynced } = state.content(self.number)?;
        now.resize(length as usize, 0);
        durable.truncate(length as usize);
        for (at, bytes) in unsynced {
            bytes.truncate(now.len().saturating_sub(*at));
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().content(self.number)?.now.len() as u64)
    }
}
