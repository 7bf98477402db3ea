//! What all clients of a run have seen, counted as it happens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crash::check::Answered;

/// Failures that are kept with their text; the rest is only counted.
const FAILURES_SHOWN_MAX: usize = 20;

/// Counters and evidence, shared between clients and rounds.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: AtomicU64,
    /// A kept connection was closed before one byte of an answer, and the request was sent again.
    pub(crate) retried: AtomicU64,
    /// Nobody was connected: the request was sent to the node that takes over.
    pub(crate) elsewhere: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) failed: AtomicU64,
    over: AtomicBool,
    evidence: Mutex<Vec<Answered>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, answered: Answered) {
        Self::add(&self.answered);
        lock(&self.evidence).push(answered);
    }

    pub(crate) fn fail(&self, what: String) {
        Self::add(&self.failed);
        let mut failures = lock(&self.failures);
        if failures.len() < FAILURES_SHOWN_MAX {
            failures.push(what);
        }
    }

    /// No client begins another exchange.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn take_evidence(&self) -> Vec<Answered> {
        std::mem::take(&mut *lock(&self.evidence))
    }

    /// What failed, the first of it in words.
    pub(crate) fn show(&self) -> u64 {
        for failure in lock(&self.failures).iter() {
            println!("  failed: {failure}");
        }
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn line(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        format!(
            "answered {}, streams {}, failed {}, sent again {} (kept connection closed), {} (not connected)",
            read(&self.answered),
            read(&self.streams),
            read(&self.failed),
            read(&self.retried),
            read(&self.elsewhere),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
