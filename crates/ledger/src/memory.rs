//! A ledger in memory: for tests and the demo. Clones are writers of one list.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Revision;
use control::Event;

use crate::chain::Link;
use crate::{AppendError, Ledger, ReadError, Recorded, StoreFault, codec};

/// The place after an event, and the event's bytes.
type Stored = (Link, Vec<u8>);

/// A ledger that ends with its last clone.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    stored: Arc<Mutex<Vec<Stored>>>,
}

impl Memory {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn stored(&self) -> MutexGuard<'_, Vec<Stored>> {
        // A list is only ever extended at once, so a panic elsewhere leaves it whole.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head(stored: &[Stored]) -> Link {
    stored.last().map_or(Link::START, |(link, _)| *link)
}

impl Ledger for Memory {
    fn append(&mut self, expected: Revision, events: &[Event]) -> Result<Revision, AppendError> {
        let payloads = events.iter().map(codec::encode).collect::<Result<Vec<_>, _>>();
        let payloads = payloads.map_err(AppendError::Store)?;
        let mut stored = self.stored();
        let mut link = head(&stored);
        if link.revision != expected {
            let found = link.revision;
            return Err(AppendError::Conflict { expected, found });
        }
        for payload in payloads {
            link = link.next(&payload);
            stored.push((link, payload));
        }
        Ok(link.revision)
    }

    fn read(&mut self, since: Revision, most: usize) -> Result<Vec<Recorded>, ReadError> {
        let stored = self.stored();
        let before = usize::try_from(since.number()).unwrap_or(usize::MAX);
        let mut link =
            before.checked_sub(1).and_then(|place| stored.get(place)).map_or(Link::START, |(link, _)| *link);
        let mut read = Vec::new();
        for (place, payload) in stored.iter().skip(before).take(most) {
            link = link.check(*place, payload).map_err(ReadError::Broken)?;
            read.push(codec::decode(link, payload).map_err(ReadError::Broken)?);
        }
        Ok(read)
    }

    fn prove(&mut self) -> Result<Revision, ReadError> {
        Ok(head(&self.stored()).revision)
    }

    fn try_write(&mut self) -> Result<(), StoreFault> {
        Ok(())
    }
}
