//! Passwords: Argon2id (RFC 9106), a few at a time off the runtime's threads, a short queue before
//! them. An account that does not exist costs what one with a wrong password costs, so that the
//! time of an answer tells nobody which accounts there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::model::Secret;
use crate::base::{Entropy, Error, Result, random32};

/// Hashes that are computed at once.
const AT_ONCE: usize = 4;
/// Hashes that may wait for that; past it, the answer is 503.
const WAITING: usize = 64;

/// What a password hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordParams {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordParams {
    /// 64 MiB, three passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 65_536, passes: 3, lanes: 1 }
    }
}

/// Hashes and verifies passwords, within bounds.
#[derive(Clone)]
pub struct PasswordHasher {
    argon: Argon2<'static>,
    /// A hash that no password has, with the costs of a real one.
    decoy: Arc<str>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    load: Arc<Load>,
}

/// How many hashes are computed now, and were at most at once.
#[derive(Default)]
struct Load {
    running: AtomicUsize,
    peak: AtomicUsize,
}

/// A place in the queue. Taken before anything is asked of the database, so that a flood of logins
/// costs neither memory nor connections; given back when the hash is computed.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A place and a turn, counted while they are held.
struct Turn {
    _place: Place,
    _turn: OwnedSemaphorePermit,
    load: Arc<Load>,
}

impl Turn {
    fn begin(place: Place, turn: OwnedSemaphorePermit, load: Arc<Load>) -> Self {
        let running = load.running.fetch_add(1, Ordering::SeqCst) + 1;
        load.peak.fetch_max(running, Ordering::SeqCst);
        metrics::counter!("password_hashes_total").increment(1);
        Self { _place: place, _turn: turn, load }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.load.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PasswordHasher {
    /// A hasher with these costs.
    ///
    /// # Errors
    /// [`Error::Internal`] for costs that Argon2 does not take.
    pub fn new(params: PasswordParams) -> Result<Self> {
        let PasswordParams { memory_kib, passes, lanes } = params;
        let costs = Params::new(memory_kib, passes, lanes, None).map_err(|error| Error::internal(error.to_string()))?;
        // 16 bytes of salt and 32 of output, in base 64.
        let decoy = format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}", "A".repeat(22), "A".repeat(43));
        Ok(Self {
            argon: Argon2::new(Algorithm::Argon2id, Version::V0x13, costs),
            decoy: decoy.into(),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            load: Arc::default(),
        })
    }

    /// The most hashes that were computed at once since the start.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.load.peak.load(Ordering::SeqCst)
    }

    /// A place in the queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none: come again in two seconds.
    pub fn place(&self) -> Result<Place> {
        let busy = Error::Unavailable { retry_after: 2, cause: "too many passwords at once" };
        Arc::clone(&self.places).try_acquire_owned().map(|permit| Place { _permit: permit }).map_err(|_| busy)
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many wait.
    pub async fn hash(&self, password: &Secret, entropy: &dyn Entropy) -> Result<String> {
        let mut salt = [0_u8; 16];
        salt.copy_from_slice(&random32(entropy)[..16]);
        let turn = self.turn(self.place()?).await?;
        let (argon, password) = (self.argon.clone(), password.clone());
        computed(move || {
            let _turn = turn;
            let hash: Result<PasswordHash, HashError> = argon.hash_password_with_salt(password.expose().as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
        })
        .await
    }

    /// True if the password has this hash; without a hash, false at the same cost. A hash of other
    /// costs than this hasher's is verified at its own, and costs what the others cost besides.
    ///
    /// # Errors
    /// [`Error::Internal`] for a stored text that is no hash.
    pub async fn verify(&self, place: Place, password: &Secret, stored: Option<&str>) -> Result<bool> {
        let turn = self.turn(place).await?;
        let (argon, password) = (self.argon.clone(), password.clone());
        let (stored, decoy) = (stored.map(str::to_owned), Arc::clone(&self.decoy));
        computed(move || {
            let _turn = turn;
            let has = |hash: &str| match argon.verify_password(password.expose().as_bytes(), hash) {
                Ok(()) => Ok(true),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(error) => Err(Error::internal(error.to_string())),
            };
            let right = stored.as_deref().map_or(Ok(false), has)?;
            // One made at other costs than today's would show by its time that the account exists.
            if owes_decoy(stored.as_deref(), &decoy) {
                has(&decoy)?;
            }
            Ok(right)
        })
        .await
    }

    async fn turn(&self, place: Place) -> Result<Turn> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Error::internal)?;
        Ok(Turn::begin(place, turn, Arc::clone(&self.load)))
    }
}

/// True if verifying this hash takes another time than the decoy would: the third part of a PHC string
/// says what it costs.
fn owes_decoy(stored: Option<&str>, decoy: &str) -> bool {
    let costs = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
    stored.is_none_or(|hash| costs(hash) != costs(decoy))
}

async fn computed<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;

    fn hasher() -> PasswordHasher {
        PasswordHasher::new(PasswordParams { memory_kib: 8, passes: 1, lanes: 1 }).unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_verifies() {
        let hasher = hasher();
        let right = Secret::from("correct horse battery");
        let stored = hasher.hash(&right, &SeededEntropy::new(1)).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
        for (password, hash, verifies) in
            [(&right, Some(&stored), true), (&Secret::from("wrong"), Some(&stored), false), (&right, None, false)]
        {
            let verified = hasher.verify(hasher.place().unwrap(), password, hash.map(String::as_str)).await.unwrap();
            assert_eq!(verified, verifies, "{password:?} {hash:?}");
        }
        assert!(hasher.verify(hasher.place().unwrap(), &right, Some("no hash")).await.is_err());
    }

    #[tokio::test]
    async fn a_hash_of_other_costs_verifies_and_takes_no_less_time() {
        let (cheap, today) = (hasher(), PasswordHasher::new(PasswordParams { memory_kib: 16, passes: 2, lanes: 1 }).unwrap());
        let right = Secret::from("correct horse battery");
        let stored = cheap.hash(&right, &SeededEntropy::new(1)).await.unwrap();
        for (password, verifies) in [(&right, true), (&Secret::from("wrong"), false)] {
            assert_eq!(today.verify(today.place().unwrap(), password, Some(&stored)).await.unwrap(), verifies);
        }
        let own = today.hash(&right, &SeededEntropy::new(1)).await.unwrap();
        // The control is the hash at today's costs: it owes nothing.
        for (hash, owes) in [(None, true), (Some(&stored), true), (Some(&own), false)] {
            assert_eq!(owes_decoy(hash.map(String::as_str), &today.decoy), owes, "{hash:?}");
        }
    }

    #[tokio::test]
    async fn past_the_queue_the_answer_is_to_come_again() {
        let hasher = hasher();
        let held = Arc::clone(&hasher.places).acquire_many_owned(68).await.unwrap();
        assert!(matches!(hasher.place(), Err(Error::Unavailable { .. })));
        drop(held);
        assert!(!hasher.verify(hasher.place().unwrap(), &Secret::from("x"), None).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn at_most_four_hashes_are_computed_at_once() {
        let hasher = PasswordHasher::new(PasswordParams { memory_kib: 1024, passes: 1, lanes: 1 }).unwrap();
        let places: Vec<Place> = std::iter::from_fn(|| hasher.place().ok()).collect();
        assert_eq!(places.len(), AT_ONCE + WAITING);
        let running: Vec<_> = places
            .into_iter()
            .map(|place| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.verify(place, &Secret::from("x"), None).await })
            })
            .collect();
        for hash in running {
            assert!(!hash.await.unwrap().unwrap());
        }
        assert_eq!((hasher.peak(), hasher.load.running.load(Ordering::SeqCst)), (AT_ONCE, 0));
    }
}
