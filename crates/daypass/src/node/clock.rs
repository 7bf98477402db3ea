//! The present and randomness, from the system.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use access::{Clock, Timestamp};
use admin::Entropy;

/// The system's clock, which never goes backwards within one process: set back, it goes on from where it was at
/// the pace of the monotonic clock, so that no grant outlives its time; set ahead, it follows.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
impl SystemClock {
    /// A clock that starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        Self { wall_at_start: wall(), start: Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall_at_start.plus(self.start.elapsed()).max(wall())
    }
}

/// The system's source of random bytes.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // INVARIANT: the source works: `SystemEntropy::probe` was asked at start, and on Linux it does not fail
        // after it has once answered. Should it, the process ends rather than mint what can be guessed.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

impl SystemEntropy {
    /// Whether random bytes can be had, and a number from them.
    ///
    /// # Errors
    /// What the system said.
    pub fn probe() -> Result<u64, getrandom::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
