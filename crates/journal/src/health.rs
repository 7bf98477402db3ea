//! How the journal is doing, readable from any thread without waiting for the writer.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use access::{Clock, Timestamp};
use serde::{Serialize, Serializer};
use tokio::sync::watch;

/// What can be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writable {
    /// Everything.
    Yes,
    /// No next segment can be made (the disk is full, say): outcomes, and refusals and changes while room lasts.
    OutcomesOnly,
    /// Nothing: the last write failed, or has not come back.
    No,
}

/// The state of a node's journal at one instant.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// How many leaves the log has.
    pub size: u64,
    /// What can be written.
    pub writable: Writable,
    /// What failed last, while something is failing.
    pub last_error: Option<String>,
    /// The first damage to what was written before that a reader of this process has met.
    pub damage: Option<String>,
    /// For how long a commit, or a failed journal, has kept records waiting, in milliseconds; 0 when idle.
    pub lag_ms: u64,
    /// The size of all segments, without room allocated ahead.
    pub bytes: u64,
    /// When the last commit was acknowledged.
    #[serde(serialize_with = "as_text")]
    pub durable_at: Option<Timestamp>,
}

fn as_text<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

/// Not waiting, not written yet.
const NEVER: i64 = i64::MIN;

/// What the writer shows and everybody may read.
#[derive(Debug)]
pub(crate) struct Gauges {
    writable: AtomicU8,
    size: AtomicU64,
    bytes: AtomicU64,
    durable_at: AtomicI64,
    waiting_since: AtomicI64,
    last_error: Mutex<Option<String>>,
    damage: OnceLock<String>,
    changes: watch::Sender<Writable>,
    ended: AtomicBool,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        Self {
            writable: AtomicU8::new(Writable::No as u8),
            size: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            durable_at: AtomicI64::new(NEVER),
            waiting_since: AtomicI64::new(NEVER),
            last_error: Mutex::new(None),
            damage: OnceLock::new(),
            changes: watch::Sender::new(Writable::No),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn writable(&self) -> Writable {
        match self.writable.load(Ordering::Acquire) {
            yes if yes == Writable::Yes as u8 => Writable::Yes,
            some if some == Writable::OutcomesOnly as u8 => Writable::OutcomesOnly,
            _ => Writable::No,
        }
    }

    /// Tells each time when more, or less, can be written.
    pub(crate) fn changes(&self) -> watch::Receiver<Writable> {
        self.changes.subscribe()
    }

    /// Whether something failed, and that is not over.
    pub(crate) fn is_failing(&self) -> bool {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn meet_damage(&self, what: String) {
        // The first stays: others are met once it is mended.
        let _ = self.damage.set(what);
    }

    pub(crate) fn turn(&self, writable: Writable, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        self.writable.store(writable as u8, Ordering::Release);
        self.changes.send_replace(writable);
    }

    /// The writer writes nothing any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.rest();
        self.turn(Writable::No, Some("the journal is shut down".to_owned()));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn wait_from(&self, now: Timestamp) {
        self.waiting_since.store(now.as_micros(), Ordering::Relaxed);
    }

    pub(crate) fn commit(&self, size: u64, bytes: u64, now: Timestamp) {
        self.size.store(size, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.durable_at.store(now.as_micros(), Ordering::Relaxed);
        self.rest();
    }

    pub(crate) fn rest(&self) {
        self.waiting_since.store(NEVER, Ordering::Relaxed);
    }

    pub(crate) fn place(&self, size: u64, bytes: u64) {
        self.size.store(size, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The state now; a commit that takes longer than `commit_wait_max` counts as a journal that cannot be written.
    pub(crate) fn health(&self, clock: &dyn Clock, commit_wait_max: Duration) -> Health {
        let since = self.waiting_since.load(Ordering::Relaxed);
        let lag =
            if since == NEVER { Duration::ZERO } else { clock.now().since(Timestamp::from_micros(since)) };
        let mut last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut writable = self.writable();
        if writable != Writable::No && lag > commit_wait_max {
            writable = Writable::No;
            last_error = last_error.or_else(|| Some("the disk does not answer".to_owned()));
        }
        let durable_at = self.durable_at.load(Ordering::Relaxed);
        Health {
            size: self.size.load(Ordering::Relaxed),
            writable,
            last_error,
            damage: self.damage.get().cloned(),
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            bytes: self.bytes.load(Ordering::Relaxed),
            durable_at: (durable_at != NEVER).then(|| Timestamp::from_micros(durable_at)),
        }
    }
}
