//! Client credentials: is whoever asks the client that it says?
//!
//! Guesses at one client are taken one after the other, so that they are
//! counted before the next is looked at, and so that a client that asks a
//! hundred times at once costs one comparison.

use std::net::IpAddr;

use pipeline::event::Role;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    failures::{Failures, Who},
    secrets::{Busy, Secrets},
};

/// Queues for guesses; clients share one by chance, which costs them a little
/// time and nothing else.
const QUEUES: usize = 256;

/// Guesses that may wait, all together.
const WAITING_MAX: usize = 4_096;

/// What is known of a client that asks for a token.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whose it is.
    pub tenant_id: String,
    /// The agent that it is, if it is one.
    pub agent_id: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Whether it may have tokens.
    pub enabled: bool,
    /// What its secret is compared with.
    pub secret_hash: String,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such client, or not its secret: which, is not told.
    Wrong,
    /// Too many wrong ones came before; seconds until the next is looked at.
    Often(u64),
    /// Too many ask at the same time.
    Busy,
}

impl From<Busy> for Denied {
    fn from(_: Busy) -> Self {
        Denied::Busy
    }
}

/// Looks at guesses.
pub struct Login {
    secrets: Secrets,
    failures: Failures,
    queues: Vec<Mutex<()>>,
    waiting: tokio::sync::Semaphore,
}

impl Login {
    /// Whose new hashes have this cost.
    pub fn new(bcrypt_cost: u32) -> Self {
        Login {
            secrets: Secrets::new(bcrypt_cost),
            failures: Failures::default(),
            queues: (0..QUEUES).map(|_| Mutex::new(())).collect(),
            waiting: tokio::sync::Semaphore::new(WAITING_MAX),
        }
    }
}

/// One guess.
pub struct Guess<'a> {
    /// Who it says it is.
    pub client_id: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// From where it asks.
    pub address: Option<IpAddr>,
    /// When.
    pub now_ms: u64,
}

impl Login {
    /// What hashes new secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The client that `find` knows under the id, if the secret is its own.
    pub async fn prove<E>(
        &self,
        guess: Guess<'_>,
        find: impl Future<Output = Result<Option<Known>, E>>,
    ) -> Result<Result<Known, Denied>, E> {
        let (client, address) = (Who::Client(guess.client_id.to_owned()), guess.address.map(Who::at));
        let Ok(_waiting) = self.waiting.try_acquire() else { return Ok(Err(Denied::Busy)) };
        let _turn = self.queue(guess.client_id).await;
        let refused = |who: &Who| self.failures.refused_s(who, guess.now_ms);
        if let Some(seconds) = refused(&client).or_else(|| refused(address.as_ref()?)) {
            return Ok(Err(Denied::Often(seconds)));
        }
        let known = find.await?;
        let hash = known.as_ref().map(|known| known.secret_hash.as_str());
        let fits = match self.secrets.fits(guess.client_id, guess.secret, hash, guess.now_ms).await {
            Ok(fits) => fits,
            Err(busy) => return Ok(Err(busy.into())),
        };
        Ok(match known.filter(|known| fits && known.enabled) {
            Some(known) => {
                self.failures.succeeded(guess.client_id);
                Ok(known)
            }
            None => {
                self.failures.failed(client, guess.now_ms);
                if let Some(address) = address {
                    self.failures.failed(address, guess.now_ms);
                }
                Err(Denied::Wrong)
            }
        })
    }

    async fn queue(&self, client_id: &str) -> MutexGuard<'_, ()> {
        let number = udfs::hash::content(client_id) % QUEUES as u128;
        self.queues[number as usize].lock().await
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn guess(login: &Login, known: Option<&Known>, secret: &str, now_ms: u64) -> Result<String, Denied> {
        let guess = Guess { client_id: "cli_1", secret, address: Some([10, 0, 0, 1].into()), now_ms };
        let found = login.prove(guess, async { Ok::<_, Infallible>(known.cloned()) }).await;
        found.unwrap_or_else(|never| match never {}).map(|known| known.tenant_id)
    }

    #[tokio::test]
    async fn the_tenth_wrong_secret_is_the_last_for_a_while() {
        let login = Login::new(4);
        // Cheap to compare: the cost stands in the hash.
        let secret_hash = bcrypt::hash("right", 4).expect("hashed");
        let known = Known { tenant_id: "acme".into(), agent_id: None, role: Role::Admin, enabled: true, secret_hash };
        assert_eq!(guess(&login, Some(&known), "right", 0).await.as_deref(), Ok("acme"));
        for _ in 0..10 {
            assert_eq!(guess(&login, Some(&known), "wrong", 0).await, Err(Denied::Wrong));
        }
        assert_eq!(guess(&login, Some(&known), "right", 0).await, Err(Denied::Often(30)), "nor is the right one told");
        assert_eq!(guess(&login, Some(&known), "right", 30_000).await.as_deref(), Ok("acme"));
        let off = Known { enabled: false, ..known };
        assert_eq!(guess(&login, Some(&off), "right", 30_000).await, Err(Denied::Wrong));
        assert_eq!(guess(&login, None, "right", 30_000).await, Err(Denied::Wrong));
    }

    #[tokio::test]
    async fn guesses_at_the_same_time_are_counted_one_by_one() {
        let login = Login::new(4);
        let known = Known {
            tenant_id: "acme".into(),
            agent_id: None,
            role: Role::Admin,
            enabled: true,
            secret_hash: bcrypt::hash("right", 4).expect("hashed"),
        };
        let guesses = (0..50).map(|_| guess(&login, Some(&known), "wrong", 0));
        let answers = futures_util::future::join_all(guesses).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Denied::Wrong)).count(), 10);
        assert!(answers[10..].iter().all(|answer| *answer == Err(Denied::Often(30))));
    }
}
