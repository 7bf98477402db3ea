//! Keeps control events in order, once; and the single writer that turns commands into them.
//!
//! A [`Ledger`] is an ordered list of events and nothing else: it knows no rules. Each event is chained to
//! the one before it by hash, so that a changed, missing or moved event is found when the ledger is read.
//! What the chain cannot show is a tail cut off or a ledger replaced as a whole; the journal, which records
//! every event with its revision, can.
//! Not here: the rules (`control`), the record of requests (`journal`).

pub mod chain;
pub mod codec;
pub mod keeper;
pub mod memory;
pub mod sqlite;

mod reserve;
mod writer;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use access::Revision;
use control::Event;

pub use chain::{Broken, Hash};
pub use keeper::{ExecuteError, Executed, FetchError, Keeper, Publish, StartError};
pub use memory::Memory;
pub use reserve::RESERVE_BYTES;
pub use sqlite::{OpenError, Sqlite};

/// An ordered list of control events.
///
/// Calls block; only the keeper's thread makes them. Every engine passes the one conformance suite in
/// `tests/it`. An engine that other nodes write to (PostgreSQL) fits without a change here: `append` takes
/// its lock and compares the revision in the same transaction, and the keeper already catches up with what
/// it did not write. What such an engine adds is a `wait` that returns when the list grows (LISTEN/NOTIFY),
/// so that the keeper need not learn it from its next heartbeat.
pub trait Ledger: Send + 'static {
    /// Adds events after `expected`, all or none, and returns the position after the last of them. When it
    /// returns, they are durable.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] if the ledger is not at `expected`. [`AppendError::Full`] if there is no room.
    /// After [`AppendError::Store`] the events may have been added or not: only reading tells.
    fn append(&mut self, expected: Revision, events: &[Event]) -> Result<Revision, AppendError>;

    /// The events after `since`, in order, at most `most` of them; none if `since` is the head or beyond it.
    ///
    /// # Errors
    /// [`ReadError::Broken`] names the first event that does not continue the chain.
    fn read(&mut self, since: Revision, most: usize) -> Result<Vec<Recorded>, ReadError>;

    /// The position of the head, read while no other writer can add to it.
    ///
    /// Whoever has seen all events up to here knows that nothing else had been decided when this was called.
    ///
    /// # Errors
    /// [`ReadError::Store`] if the ledger cannot be reached, or another writer holds it for too long.
    fn prove(&mut self) -> Result<Revision, ReadError>;

    /// Writes durably, and adds nothing: whether a write would succeed now.
    ///
    /// # Errors
    /// What a write would fail with.
    fn try_write(&mut self) -> Result<(), StoreFault>;

    /// Gives up the room that [`Ledger::keep_room`] took. Whether there is more room now than before.
    ///
    /// An engine whose disk is another machine's keeps none.
    fn give_up_room(&mut self) -> bool {
        false
    }

    /// Takes room aside, if it is not there yet, for what must be written when there is no other.
    ///
    /// # Errors
    /// What stands in the way of all of it. As much as can be is taken even so.
    fn keep_room(&mut self) -> Result<(), StoreFault> {
        Ok(())
    }
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position.
    pub revision: Revision,
    /// The event.
    pub event: Event,
    /// Its hash, which covers all events up to it.
    pub hash: Hash,
}

/// Why it is not certain that anything was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Another writer came first: catch up and decide again.
    #[error("ledger is at `{found}`, expected `{expected}`")]
    Conflict {
        /// Where the writer believed the ledger to be.
        expected: Revision,
        /// Where it is.
        found: Revision,
    },
    /// There is no room, and nothing was added.
    #[error("there is no room for the ledger")]
    Full(#[source] StoreFault),
    /// The store failed.
    #[error("cannot write the ledger")]
    Store(#[source] StoreFault),
}

/// Why nothing was read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// What is stored is not what was appended.
    #[error("the ledger was changed or damaged")]
    Broken(#[source] Broken),
    /// The store failed.
    #[error("cannot read the ledger")]
    Store(#[source] StoreFault),
}

/// What a store says when it fails: text for operators, the cause in its source.
#[derive(Debug, Clone)]
pub struct StoreFault(Arc<dyn Error + Send + Sync>);

impl StoreFault {
    /// From whatever the store said.
    #[must_use]
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into().into())
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for StoreFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
