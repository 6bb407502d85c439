//! Clients' secrets: made, hashed, and compared with their hashes.
//!
//! bcrypt is slow on purpose (some 50 ms of a core), so it runs on threads of
//! its own, as many at a time as there are cores but one, and only so many may
//! wait for a turn. What was found right is remembered for as long as the hash
//! it was compared with stands, so that ten thousand agents that come back
//! after a gateway's restart do not wait for each other. What is remembered is
//! an HMAC under a key that no other process knows and that dies with this one.
//! (A token outlives a restart of the hub: whoever still has one needs no turn.)

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::bounded::Bounded;
use crate::identity::random_hex;

/// bcrypt looks at so many bytes; a longer secret would be cut in silence.
pub const SECRET_BYTES_MAX: usize = 72;

/// Comparisons that may wait for a turn; beyond it callers are asked to come
/// back. At 20 a second and core the last one waits for 13 s.
const WAITING_MAX: usize = 256;

/// Clients whose secret is remembered, some 200 bytes each.
const REMEMBERED_MAX: usize = 20_000;

/// The end of a hash of nothing that anybody has: what the secret of an unknown
/// client is compared with, so that the time of an answer does not tell it from
/// a known one's.
const NOBODY: &str = "$C6UzMDM.H6dfI/f/IKcEeO7ZC.1f0pG9m2ZkGZx6cV8b4n1y0J9aK";

/// Why a secret was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many clients ask for tokens at the same time")]
pub struct Busy;

/// Compares secrets.
pub struct Secrets {
    cost: u32,
    nobody: String,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    key: Hmac<Sha256>,
    remembered: Mutex<Bounded<String, Remembered>>,
}

struct Remembered {
    hash: String,
    mark: [u8; 32],
}

impl Secrets {
    /// Whose new hashes have this cost; those that are there keep theirs.
    pub fn new(cost: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let key = random_hex();
        Secrets {
            cost,
            nobody: format!("$2b${cost:02}{NOBODY}"),
            turns: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            waiting: AtomicUsize::new(0),
            key: Hmac::new_from_slice(key.as_bytes()).expect("a key of any length will do"),
            remembered: Mutex::new(Bounded::new(REMEMBERED_MAX)),
        }
    }

    /// A new secret.
    pub fn make() -> String {
        format!("nxs_{}{}", random_hex(), &random_hex()[..16])
    }

    /// The hash of a secret.
    pub async fn hash(&self, secret: String) -> Result<String, Busy> {
        let cost = self.cost;
        let hashed = self.turn(move || bcrypt::non_truncating_hash(secret, cost)).await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "a secret could not be hashed");
            Busy
        })
    }

    /// Whether a client's secret is the one that was hashed. Without a hash the
    /// answer takes as long, and is no.
    pub async fn fits(&self, client_id: &str, secret: &str, hash: Option<&str>, now_ms: u64) -> Result<bool, Busy> {
        let mark = self.mark(client_id, secret);
        if hash.is_some_and(|hash| self.remembers(client_id, hash, &mark)) {
            return Ok(true);
        }
        let (given, known) = (secret.to_owned(), hash.unwrap_or(&self.nobody).to_owned());
        let fits = self.turn(move || {
            let short = given.len() <= SECRET_BYTES_MAX;
            // Cut, so that a long one takes as long.
            let given = &given.as_bytes()[..given.len().min(SECRET_BYTES_MAX)];
            bcrypt::verify(given, &known).unwrap_or(false) && short
        });
        let fits = fits.await? && hash.is_some();
        if let Some(hash) = hash.filter(|_| fits) {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = || Remembered { hash: String::new(), mark };
            *remembered.entry(client_id.to_owned(), now_ms, entry) = Remembered { hash: hash.to_owned(), mark };
        }
        Ok(fits)
    }

    fn remembers(&self, client_id: &str, hash: &str, mark: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(client_id).is_some_and(|known| known.hash == hash && udfs::hash::same(&known.mark, mark))
    }

    fn mark(&self, client_id: &str, secret: &str) -> [u8; 32] {
        let mut mac = self.key.clone();
        mac.update(&(client_id.len() as u64).to_le_bytes());
        mac.update(client_id.as_bytes());
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }

    async fn turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = Place::take(&self.waiting).ok_or(Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        // The turn goes with the work: a caller that goes away does not end it.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

/// A place in the queue, given back also by a caller that went away.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Place(waiting);
        (waiting.fetch_add(1, Relaxed) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_secret_fits_and_no_other() {
        let secrets = Secrets::new(4);
        let secret = Secrets::make();
        assert!(secret.len() <= SECRET_BYTES_MAX && secret != Secrets::make());
        let hash = secrets.hash(secret.clone()).await.expect("not busy");
        for (given, known, fits) in [
            (secret.as_str(), Some(hash.as_str()), true),
            ("wrong", Some(hash.as_str()), false),
            ("", Some(hash.as_str()), false),
            (&format!("{secret}{}", "x".repeat(100)), Some(hash.as_str()), false),
            (&secret, None, false),
            (&secret, Some("no hash at all"), false),
        ] {
            assert_eq!(secrets.fits("cli_1", given, known, 0).await, Ok(fits), "{given}");
        }
    }

    #[tokio::test]
    async fn what_is_remembered_goes_with_the_hash() {
        let secrets = Secrets::new(4);
        let old = secrets.hash("old".to_owned()).await.expect("not busy");
        let new = secrets.hash("new".to_owned()).await.expect("not busy");
        assert_eq!(secrets.fits("cli_1", "old", Some(&old), 0).await, Ok(true));
        let old_mark = secrets.mark("cli_1", "old");
        assert!(secrets.remembers("cli_1", &old, &old_mark));
        assert!(!secrets.remembers("cli_1", &old, &secrets.mark("cli_1", "other")));
        assert!(!secrets.remembers("cli_1", &new, &old_mark));
        assert_eq!(secrets.fits("cli_1", "old", Some(&new), 0).await, Ok(false), "rotated");
        assert_eq!(secrets.fits("cli_2", "old", None, 0).await, Ok(false));
    }

    #[test]
    fn nobody_has_a_real_hash() {
        // One that bcrypt cannot read would be refused at once, and the time
        // of the answer would tell.
        let secrets = Secrets::new(6);
        assert!(secrets.nobody.parse::<bcrypt::HashParts>().is_ok_and(|parts| parts.get_cost() == 6));
        assert_eq!(bcrypt::verify("anything", &secrets.nobody).ok(), Some(false));
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let secrets = Secrets::new(4);
        let places: Vec<_> = (0..WAITING_MAX).map(|_| Place::take(&secrets.waiting)).collect();
        assert!(places.iter().all(Option::is_some));
        assert_eq!(secrets.fits("cli_1", "x", None, 0).await, Err(Busy));
        drop(places);
        assert_eq!(secrets.fits("cli_1", "x", None, 0).await, Ok(false));
    }
}
