//! What the writer knows about the log it appends to, beyond the bytes of the last segment.

use std::collections::HashSet;

use access::{Revision, Timestamp};

use crate::frame::{Frames, Span};
use crate::leaf::LeafHash;
use crate::record::Record;
use crate::segment::{Durability, Header};

/// The log's position and what a next segment's header must carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The next leaf's index, which is the log's size.
    pub(crate) next_leaf: u64,
    /// The hash of the last leaf of the segment before the last.
    before_hash: LeafHash,
    /// The first leaf of the segment before the last.
    before_first: Option<u64>,
    /// The bytes of the last leaf if it stands in the last segment; hashed when a header needs it.
    last: Vec<u8>,
    /// The highest ledger revision journaled.
    pub(crate) revision: Revision,
    /// Intents without an outcome. Bounded by the lanes' `open_entries_max`.
    pub(crate) open: HashSet<u64>,
    /// The times of requests in the last segment.
    times: Span,
    /// The times of requests in the segment before it.
    before: Span,
}

impl Log {
    /// A log without a leaf.
    pub(crate) fn empty() -> Self {
        Self {
            next_leaf: 0,
            before_hash: LeafHash::NONE,
            before_first: None,
            last: Vec::new(),
            revision: Revision::ZERO,
            open: HashSet::new(),
            times: Span::default(),
            before: Span::default(),
        }
    }

    /// The log as it was when this segment began.
    pub(crate) fn at_start_of(header: &Header) -> Self {
        Self {
            next_leaf: header.first_leaf,
            before_hash: LeafHash::from_bytes(header.previous_hash),
            before_first: header.previous_first,
            last: Vec::new(),
            revision: header.revision,
            open: header.open.iter().copied().collect(),
            times: Span::default(),
            before: header.previous_times(),
        }
    }

    /// The header of a segment that begins now; `first_leaf` is the last segment's, if there is one.
    pub(crate) fn header(
        &self,
        node: &str,
        durability: Durability,
        at: Timestamp,
        last: Option<u64>,
    ) -> Header {
        let replaced = last.is_none_or(|first_leaf| first_leaf == self.next_leaf);
        let before = if replaced { self.before } else { self.times };
        let mut open: Vec<u64> = self.open.iter().copied().collect();
        open.sort_unstable();
        Header {
            node: node.to_owned(),
            first_leaf: self.next_leaf,
            previous_hash: *self.last_hash().as_bytes(),
            revision: self.revision,
            open,
            previous_from: before.0.map(|(from, _)| from),
            previous_until: before.0.map(|(_, until)| until),
            created: at,
            durability,
            previous_first: if replaced { self.before_first } else { last },
        }
    }

    /// The hash of the last leaf.
    fn last_hash(&self) -> LeafHash {
        if self.last.is_empty() { self.before_hash } else { LeafHash::of(&self.last) }
    }

    /// The last leaf's bytes, read back.
    pub(crate) fn ends_with(&mut self, payload: &[u8]) {
        self.last = payload.to_vec();
    }

    /// The segment with this header is now the last.
    pub(crate) fn begin(&mut self, header: &Header) {
        self.before_hash = LeafHash::from_bytes(header.previous_hash);
        self.before_first = header.previous_first;
        self.last.clear();
        self.before = header.previous_times();
        self.times = Span::default();
    }

    /// One record read back from the last segment.
    pub(crate) fn replay(&mut self, record: &Record<'_>) {
        match record {
            Record::Intent(request) => {
                self.open.insert(self.next_leaf);
                self.times.add(request.time.as_micros());
            }
            Record::Refusal(refusal) => self.times.add(refusal.request.time.as_micros()),
            Record::Outcome(outcome) => {
                self.open.remove(&outcome.leaf);
            }
            Record::Change(change) => self.revision = self.revision.max(change.revision),
            Record::Note(_) => {}
        }
        self.next_leaf += 1;
    }

    /// These frames are written, and are no intents. Returns the first one's leaf.
    pub(crate) fn wrote(&mut self, frames: &Frames) -> u64 {
        let first = self.next_leaf;
        self.next_leaf += frames.count();
        if !frames.is_empty() {
            self.last.clear();
            self.last.extend_from_slice(frames.last());
        }
        self.revision = self.revision.max(frames.revision());
        self.times.join(frames.times());
        for leaf in frames.closes() {
            self.open.remove(leaf);
        }
        first
    }

    /// These frames are written, and are intents. Returns the first one's leaf.
    pub(crate) fn opened(&mut self, intents: &Frames) -> u64 {
        let first = self.wrote(intents);
        self.open.extend(first..self.next_leaf);
        first
    }
}
