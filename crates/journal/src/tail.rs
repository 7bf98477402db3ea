//! Following a log as it grows: each request once, when its end is known.
//!
//! Memory: at most [`OPEN_ROWS_MAX`] requests that have not ended; the intents of others are read again.

use std::collections::HashMap;

use crate::read::{Cursor, ReadError, Reader};
use crate::record::Record;
use crate::row::{ChangeRow, NoteRow, RequestRow};

/// How many records one call of [`Tail::next_rows`] reads at most.
pub const RECORDS_PER_CALL_MAX: usize = 4096;
/// How many requests that have not ended are remembered.
pub const OPEN_ROWS_MAX: usize = 16_384;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request ended, or was refused.
    Request(Box<RequestRow>),
    /// Access changed.
    Change(ChangeRow),
    /// Something about the node.
    Note(NoteRow),
}

/// A log being followed, by asking again.
#[derive(Debug)]
pub struct Tail {
    reader: Reader,
    cursor: Cursor,
    open: HashMap<u64, RequestRow>,
    node: String,
}

/// A record read, and what must be known of it when its segment is no longer borrowed.
enum Seen {
    Event(Event),
    Opened(u64, Box<RequestRow>),
    Ended { leaf: u64, payload: Vec<u8> },
}

impl Tail {
    pub(crate) fn new(reader: Reader, from: u64) -> Self {
        let cursor = Cursor::new(reader.directory().to_owned(), from);
        Self { reader, cursor, open: HashMap::new(), node: String::new() }
    }

    /// What has happened since the last call, oldest first: up to [`RECORDS_PER_CALL_MAX`] records' worth.
    /// Empty if nothing has; ask again in a moment.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn next_rows(&mut self) -> Result<Vec<Event>, ReadError> {
        let mut events = Vec::new();
        for _ in 0..RECORDS_PER_CALL_MAX {
            match self.see()? {
                None => break,
                Some(Seen::Event(event)) => events.push(event),
                Some(Seen::Opened(leaf, row)) => self.remember(leaf, *row),
                Some(Seen::Ended { leaf, payload }) => {
                    events.extend(self.end(leaf, &payload)?.map(|row| Event::Request(Box::new(row))));
                }
            }
        }
        Ok(events)
    }

    fn see(&mut self) -> Result<Option<Seen>, ReadError> {
        let Some((scan, place)) = self.cursor.next()? else {
            return Ok(None);
        };
        if self.node != scan.header.node {
            self.node.clone_from(&scan.header.node);
        }
        let ended = match scan.record(place)? {
            Record::Intent(request) => {
                let row = RequestRow::of_intent(&self.node, place.leaf, &request);
                return Ok(Some(Seen::Opened(place.leaf, Box::new(row))));
            }
            Record::Refusal(refusal) => {
                let row = RequestRow::of_refusal(&self.node, place.leaf, &refusal);
                return Ok(Some(Seen::Event(Event::Request(Box::new(row)))));
            }
            Record::Change(change) => return Ok(Some(Seen::Event(Event::Change((&change).into())))),
            Record::Note(note) => return Ok(Some(Seen::Event(Event::Note((&note).into())))),
            Record::Outcome(outcome) => outcome.leaf,
        };
        Ok(Some(Seen::Ended { leaf: ended, payload: scan.payload(place)?.to_vec() }))
    }

    fn remember(&mut self, leaf: u64, row: RequestRow) {
        if self.open.len() < OPEN_ROWS_MAX {
            self.open.insert(leaf, row);
        }
    }

    fn end(&mut self, leaf: u64, payload: &[u8]) -> Result<Option<RequestRow>, ReadError> {
        let row = match self.open.remove(&leaf) {
            Some(row) => Some(row),
            None => self.look_up(leaf)?,
        };
        Ok(match (row, Record::decode(payload)) {
            (Some(row), Ok(Record::Outcome(outcome))) => Some(row.ended(&outcome)),
            _ => None,
        })
    }

    /// An intent from before this tail began, or beyond what is remembered.
    fn look_up(&self, leaf: u64) -> Result<Option<RequestRow>, ReadError> {
        let Some(found) = self.reader.leaf(leaf)? else {
            return Ok(None);
        };
        Ok(match found.record() {
            Ok(Record::Intent(request)) => Some(RequestRow::of_intent(&self.node, leaf, &request)),
            _ => None,
        })
    }
}
