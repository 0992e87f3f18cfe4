//! Randomness: nonces, salts, tokens and ids, and the only place that reads the machine's source.
//! Tests seed it, so that a failing history can be played again.

use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use super::{Instant, TypedId};

/// A source of random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer with bytes nobody can guess (or, in tests, with seeded ones).
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // A machine that cannot give randomness must not go on with a guessable secret.
        #[expect(
            clippy::expect_used,
            clippy::disallowed_methods,
            reason = "the one place that reads the machine's source; without it every token would be a guess"
        )]
        getrandom::fill(buffer).expect("the operating system gives entropy");
    }
}

/// A deterministic source for tests: SHA-256 over seed and counter.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<(u64, u64)>,
}

impl SeededEntropy {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new((seed, 0)) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in buffer.chunks_mut(32) {
            state.1 += 1;
            let block = Sha256::new().chain_update(state.0.to_be_bytes()).chain_update(state.1.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// Makes a new id: UUID version 7 with the given time.
pub fn fresh_id<T: TypedId>(now: Instant, entropy: &dyn Entropy) -> T {
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    T::from(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// Draws 32 random bytes: a nonce, a salt, or a 256-bit secret.
pub fn random32(entropy: &dyn Entropy) -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    entropy.fill(&mut bytes);
    bytes
}

/// Writes a secret as 64 hexadecimal digits behind a prefix that names its kind.
#[must_use]
pub fn token_text(prefix: &str, secret: &[u8; 32]) -> String {
    format!("{prefix}{}", hex::encode(secret))
}
