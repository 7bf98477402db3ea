//! The one place where the tool reads a clock or waits.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A running stopwatch.
#[derive(Clone, Copy)]
pub(crate) struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "a tool that measures reads the real clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Nanoseconds since 1970: a fresh seed, and a part of scratch names.
#[expect(clippy::disallowed_methods, reason = "a seed is drawn from the real clock, and printed")]
pub(crate) fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn pause(length: Duration) {
    thread::sleep(length);
}

/// Asks `done` every 5 ms until it answers or `longest` has passed; the time it took.
pub(crate) fn wait_for(longest: Duration, mut done: impl FnMut() -> bool) -> Option<Duration> {
    let watch = Watch::start();
    while !done() {
        if watch.elapsed() > longest {
            return None;
        }
        pause(Duration::from_millis(5));
    }
    Some(watch.elapsed())
}
