//! How fast a client takes what waits for it, or sends what is waited for: one that moves next to nothing is not served
//! forever.
//!
//! Time that is spent waiting for anybody else does not count. Not here: a client that moves nothing at all, for
//! which an alarm is set.

use std::time::Duration;

use crate::bounds::{CLIENT_RATE_BYTES_MIN, CLIENT_RATE_GRACE};

/// A client's part in how long a body takes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    since: Option<Duration>,
    bytes: u64,
}

impl Pace {
    /// The client is waited for, from `now` on: a time on any clock that does not go back.
    pub(crate) fn wait(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// The client took, or sent, so many bytes at `now`.
    pub(crate) fn take(&mut self, bytes: u64, now: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(now.saturating_sub(since));
        }
    }

    /// Whether the client was waited for longer than [`CLIENT_RATE_GRACE`], and moved less than
    /// [`CLIENT_RATE_BYTES_MIN`] for each second of it.
    pub(crate) const fn is_too_slow(&self) -> bool {
        let least = self.waited.as_secs().saturating_mul(CLIENT_RATE_BYTES_MIN);
        self.waited.as_secs() > CLIENT_RATE_GRACE.as_secs() && self.bytes < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a client is too slow that takes `bytes` after each wait of `seconds`, `times` times.
    fn check(bytes: u64, seconds: u64, times: u64) -> bool {
        let mut pace = Pace::default();
        for turn in 0..times {
            // Between the waits an upstream thinks for an hour.
            let begin = Duration::from_secs(turn * 3_600);
            pace.wait(begin);
            pace.take(bytes, begin + Duration::from_secs(seconds));
        }
        pace.is_too_slow()
    }

    #[test]
    fn a_client_that_takes_next_to_nothing_is_too_slow_once_it_was_waited_for_long_enough() {
        let grace = CLIENT_RATE_GRACE.as_secs();
        let least = CLIENT_RATE_BYTES_MIN;
        assert!(check(1, 1, grace + 1));
        assert!(check(1, grace / 2 + 1, 2));
        assert!(check(least - 1, 1, grace + 1));
        assert!(!check(1, 1, grace), "within the grace");
        assert!(!check(least, 1, grace * 10), "just fast enough");
        assert!(!check(least * 30, 30, 100), "in bursts");
        assert!(!check(1, 0, 10_000), "never waited for");
    }
}
