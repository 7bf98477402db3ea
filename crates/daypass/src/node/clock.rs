//! The present and randomness, from the system.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use access::{Clock, Timestamp};
use admin::Entropy;

/// How often the wall clock is looked at, in microseconds: between two looks time passes at the pace of the
/// monotonic clock.
const WALL_LOOK_MICROS: i64 = 1_000;

/// The system's clock, which never goes backwards within one process: set back, it goes on from where it was at
/// the pace of the monotonic clock, so that no grant outlives its time; set ahead, it follows within a
/// millisecond.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    /// What is added to the time since the start; never falls.
    offset_micros: AtomicI64,
    /// When the wall clock was looked at last, in microseconds since the start.
    looked_micros: AtomicI64,
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
impl SystemClock {
    /// A clock that starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            offset_micros: AtomicI64::new(wall_micros()),
            looked_micros: AtomicI64::new(0),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        let looked = self.looked_micros.load(Ordering::Relaxed);
        if passed.saturating_sub(looked) >= WALL_LOOK_MICROS {
            self.looked_micros.fetch_max(passed, Ordering::Relaxed);
            self.offset_micros.fetch_max(wall_micros().saturating_sub(passed), Ordering::Relaxed);
        }
        Timestamp::from_micros(passed.saturating_add(self.offset_micros.load(Ordering::Relaxed)))
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
