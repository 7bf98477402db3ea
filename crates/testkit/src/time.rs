//! Time and randomness that a test decides.
//!
//! Not here: timers. What sleeps in the product sleeps for real time, whatever this clock says.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access::{Clock, Timestamp};
use admin::Entropy;

/// When every world begins: 2026-11-22T03:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_795_316_400_000_000);

/// A clock that starts at [`START`] and moves when it is told to; a running one also moves by itself.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    running_since: Option<Instant>,
}

impl TestClock {
    /// A clock that stands still.
    #[must_use]
    pub const fn held() -> Self {
        Self { now: AtomicI64::new(START.as_micros()), running_since: None }
    }

    /// A clock that runs as fast as the machine's.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a clock is where time comes in")]
    pub fn running() -> Self {
        Self { running_since: Some(Instant::now()), ..Self::held() }
    }

    /// Moves it ahead.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let set = Timestamp::from_micros(self.now.load(Ordering::SeqCst));
        self.running_since.map_or(set, |since| set.plus(since.elapsed()))
    }
}

/// SplitMix64: the same numbers from the same seed, on every machine.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// Numbers from this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn number(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is.
    pub fn below(&self, bound: usize) -> usize {
        usize::try_from(self.number() >> 1).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }

    /// One of several; `None` of none.
    pub fn pick<'t, T>(&self, several: &'t [T]) -> Option<&'t T> {
        several.get(self.below(several.len()))
    }
}

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            chunk.iter_mut().zip(number).for_each(|(byte, random)| *byte = random);
        }
    }
}

/// How long a condition is waited for, in real time.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Looks until there is something to see, for at most [`PATIENCE`].
///
/// # Panics
/// There was nothing until then.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("not within {} s: {what}", PATIENCE.as_secs()),
    }
}
