//! Which configuration is in force, and what became of the last attempt to change it: for `status`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use access::{Revision, Timestamp};
use admin::{Configuration, FailedReload};

/// The newest of it; shared between who reloads and who asks.
#[derive(Debug)]
pub struct Configured {
    present: Mutex<Configuration>,
    /// The last attempt to have another process take over, which came to nothing.
    takeover: Mutex<Option<FailedReload>>,
}

impl Configured {
    /// A configuration came into force: its policy at a revision of the ledger, the rest of it at `at`.
    #[must_use]
    pub fn new(revision: Revision, at: Timestamp) -> Self {
        let present = Mutex::new(Configuration { revision, loaded: at, warnings: 0, failed: None });
        Self { present, takeover: Mutex::default() }
    }

    /// Another one took its place.
    pub fn replace(&self, revision: Revision, at: Timestamp) {
        *self.lock() = Configuration { revision, loaded: at, warnings: 0, failed: None };
    }

    /// It says so many things that are not in force.
    pub fn warn(&self, warnings: usize) {
        self.lock().warnings = warnings;
    }

    /// Another one could not take its place.
    pub fn fail(&self, at: Timestamp, why: Vec<String>) {
        self.lock().failed = Some(FailedReload { at, why });
    }

    /// No other process took over.
    pub fn stay(&self, at: Timestamp, why: Vec<String>) {
        *self.takeover.lock().unwrap_or_else(PoisonError::into_inner) = Some(FailedReload { at, why });
    }

    /// Why no other process took over, if one was to.
    #[must_use]
    pub fn failed_takeover(&self) -> Option<FailedReload> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it stands now.
    #[must_use]
    pub fn read(&self) -> Configuration {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Configuration> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
