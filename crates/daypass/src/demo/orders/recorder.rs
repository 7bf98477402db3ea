//! What the service saw, for tests that compare it with the journal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method};

/// Requests kept by one [`Recorder`]; later ones are only counted.
pub const SEEN_MAX: usize = 200_000;

/// One request as it arrived, its body left out.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The target as sent: path, and query with its `?` where there is one.
    pub path_and_query: String,
    /// Every header, in order of arrival per name, repeated ones included.
    pub headers: HeaderMap,
}

/// Keeps the requests that arrived, oldest first. Clones share one list.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    lost: u64,
}

impl Recorder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of all that is kept.
    pub fn seen(&self) -> Vec<Seen> {
        self.log().seen.clone()
    }

    /// Takes all that is kept, and starts anew.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.log().seen)
    }

    /// Requests that arrived while [`SEEN_MAX`] were kept. An oracle trusts the list only when this is 0.
    pub fn lost(&self) -> u64 {
        self.log().lost
    }

    pub(super) fn record(&self, seen: Seen) {
        let mut log = self.log();
        if log.seen.len() < SEEN_MAX {
            log.seen.push(seen);
        } else {
            log.lost = log.lost.saturating_add(1);
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
