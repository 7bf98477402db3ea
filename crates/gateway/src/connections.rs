//! Connections of clients: how many are open, and how many were turned away, and why.
//!
//! They are counted for the node as a whole. A flood of those that are turned away is one line of the log a second
//! for each reason. One whose client leaves by itself was not turned away.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use access::Timestamp;

use crate::bounds::TURNED_AWAY_TELL_TIME;

/// Why a connection was closed before anything was asked over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// As many are open as one core takes.
    Core,
    /// As many are open as one source may have.
    Source,
    /// Its TLS handshake failed.
    Handshake,
    /// A proxy that is believed did not say whom it speaks for.
    ProxyHeader,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Core, Self::Source, Self::Handshake, Self::ProxyHeader];

    /// In a word, for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Source => "source",
            Self::Handshake => "handshake",
            Self::ProxyHeader => "proxy_header",
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Core => "as many are open as one core takes",
            Self::Source => "as many are open as one source may have",
            Self::Handshake => "the TLS handshake failed",
            Self::ProxyHeader => "no PROXY header came from a proxy that is believed",
        }
    }
}

/// The count of one node.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    core: Tally,
    source: Tally,
    handshake: Tally,
    proxy_header: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    /// Of these the log has told.
    told: AtomicU64,
    /// When it did, in microseconds since the epoch.
    told_at: AtomicI64,
}

impl Connections {
    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many were turned away for this reason.
    #[must_use]
    pub fn turned_away(&self, why: Why) -> u64 {
        self.tally(why).count.load(Ordering::Relaxed)
    }

    /// One more is open.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        self.open.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    /// One was turned away at `now`; `last` is what the log says of the last of them.
    pub(crate) fn turn_away(&self, why: Why, last: impl Display, now: Timestamp) {
        if let Some(count) = self.tally(why).add(now) {
            tracing::warn!(count, %last, "connections were turned away: {}", why.told());
        }
    }

    const fn tally(&self, why: Why) -> &Tally {
        match why {
            Why::Core => &self.core,
            Why::Source => &self.source,
            Why::Handshake => &self.handshake,
            Why::ProxyHeader => &self.proxy_header,
        }
    }
}

impl Tally {
    /// Counts one; how many there were since the log told of some, if it is to tell again.
    fn add(&self, now: Timestamp) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let told_at = self.told_at.load(Ordering::Relaxed);
        if now.since(Timestamp::from_micros(told_at)) < TURNED_AWAY_TELL_TIME {
            return None;
        }
        let own =
            self.told_at.compare_exchange(told_at, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed);
        own.ok()?;
        Some(count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

/// An open connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Connections>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_second_and_counted_whole() {
        let (tally, start) = (Tally::default(), Timestamp::from_micros(1_000_000_000_000));
        assert_eq!(tally.add(start), Some(1));
        assert!((0..99).all(|_| tally.add(start).is_none()));
        assert_eq!(tally.add(start.plus(TURNED_AWAY_TELL_TIME)), Some(100));
        assert_eq!(tally.count.load(Ordering::Relaxed), 101);
    }
}
