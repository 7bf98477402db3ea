//! Frames: how records stand one after another in a file, and the batches lanes hand to the writer.
//!
//! A frame is `[length: u32 LE][CRC-32 of the payload: u32 LE][payload]`. The frames of one commit end with a
//! *mark*, 8 bytes that are no leaf: `[0xFFFF_FFFF][CRC-32 of the mark's own offset, u64 LE]`. After a power
//! cut the marks tell a commit that was never acknowledged from damage to one that was (see `scan`).

use std::collections::HashSet;
use std::convert::Infallible;

use access::Revision;

use crate::leaf::LeafHash;
use crate::record::{RECORD_BYTES_MAX, Record};

/// Length and checksum before each payload.
pub(crate) const HEAD_BYTES: usize = 8;
/// A mark, all of it.
pub(crate) const MARK_BYTES: usize = 8;
/// Room reserved for the outcome of each open entry: its frame and a mark of its own, in bytes.
pub(crate) const OUTCOME_BYTES_MAX: usize = 448;

const MARK: u32 = u32::MAX;

/// What the eight bytes at the start of a frame say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// Nothing was written here.
    Blank,
    /// A commit ends here.
    Mark { crc: u32 },
    /// A payload follows.
    Frame { length: usize, crc: u32 },
    /// No frame begins like this.
    Nonsense,
}

impl Head {
    pub(crate) fn parse(bytes: [u8; HEAD_BYTES], payload_bytes_max: usize) -> Self {
        let [a, b, c, d, rest @ ..] = bytes;
        let crc = u32::from_le_bytes(rest);
        match u32::from_le_bytes([a, b, c, d]) {
            0 => Self::Blank,
            MARK => Self::Mark { crc },
            length if length as usize <= payload_bytes_max => Self::Frame { length: length as usize, crc },
            _ => Self::Nonsense,
        }
    }
}

/// The mark that ends a commit at this offset of its file.
pub(crate) fn mark(at: u64) -> [u8; MARK_BYTES] {
    let [a, b, c, d] = mark_crc(at).to_le_bytes();
    [0xff, 0xff, 0xff, 0xff, a, b, c, d]
}

/// The checksum a mark at this offset holds.
pub(crate) fn mark_crc(at: u64) -> u32 {
    crc32fast::hash(&at.to_le_bytes())
}

/// Puts a payload that starts `HEAD_BYTES` after `start` into its frame. `None`: it is no payload.
pub(crate) fn seal(bytes: &mut [u8], start: usize) -> Option<&[u8]> {
    let (head, payload) = bytes.get_mut(start..)?.split_at_mut_checked(HEAD_BYTES)?;
    let length = u32::try_from(payload.len()).ok().filter(|length| *length > 0 && *length != MARK)?;
    let (first, last) = head.split_at_mut_checked(4)?;
    first.copy_from_slice(&length.to_le_bytes());
    last.copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    Some(payload)
}

/// The times of requests, from the earliest to the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span(pub(crate) Option<(i64, i64)>);

impl Span {
    pub(crate) fn add(&mut self, micros: i64) {
        self.join(Self(Some((micros, micros))));
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0 = match (self.0, other.0) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, two) => one.or(two),
        };
    }
}

/// The payloads of frames that stand one behind the other; `None` where they do not.
pub(crate) fn payloads(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let left = rest.take().filter(|left| !left.is_empty())?;
        let Some((payload, behind)) = split(left) else { return Some(None) };
        rest = Some(behind);
        Some(Some(payload))
    })
}

/// The first frame's payload, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, behind) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let Head::Frame { length, crc } = Head::parse(*head, RECORD_BYTES_MAX) else { return None };
    let (payload, behind) = behind.split_at_checked(length)?;
    (crc32fast::hash(payload) == crc).then_some((payload, behind))
}

/// Frames of one class, encoded and waiting to be written, with what the writer must know about them.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    count: u64,
    /// Where the last record's frame begins.
    last_at: usize,
    closes: Vec<u64>,
    revision: Revision,
    times: Span,
}

/// Most of what an encoder writes is one byte: it costs no call here.
struct Tight<'a>(&'a mut Vec<u8>);

impl minicbor::encode::Write for Tight<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// A buffer that grew beyond this in a burst is given back, in bytes.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

impl Frames {
    /// Encodes one more record, and hashes it for whoever waits for its receipt.
    pub(crate) fn push_hashed(&mut self, record: Record<'_>) -> Option<LeafHash> {
        self.push(record)?;
        Some(LeafHash::of(self.last()))
    }

    /// Encodes one more record. `None`: it cannot be written down, and nothing changed.
    pub(crate) fn push(&mut self, record: Record<'_>) -> Option<()> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        let encoded = minicbor::encode(record.bounded(), Tight(&mut self.bytes)).is_ok();
        let within = encoded && self.bytes.len() - start - HEAD_BYTES <= RECORD_BYTES_MAX;
        if !within || seal(&mut self.bytes, start).is_none() {
            self.bytes.truncate(start);
            return None;
        }
        self.last_at = start;
        self.count += 1;
        self.observe(&record);
        Some(())
    }

    fn observe(&mut self, record: &Record<'_>) {
        match record {
            Record::Intent(request) => self.times.add(request.time.as_micros()),
            Record::Refusal(refusal) => self.times.add(refusal.request.time.as_micros()),
            Record::Outcome(outcome) => self.closes.push(outcome.leaf),
            Record::Change(change) => self.revision = self.revision.max(change.revision),
            Record::Note(_) => {}
        }
    }

    /// Puts `later` behind these.
    pub(crate) fn append(&mut self, later: &mut Self) {
        if !later.is_empty() {
            self.last_at = self.bytes.len() + later.last_at;
        }
        self.bytes.append(&mut later.bytes);
        self.closes.append(&mut later.closes);
        self.count += later.count;
        self.revision = self.revision.max(later.revision);
        self.times.join(later.times);
        later.clear();
    }

    /// Only the outcomes of these intents, and nothing but outcomes.
    pub(crate) fn retain_closing(&mut self, open: &HashSet<u64>) {
        let mut kept = Self::default();
        for payload in payloads(&self.bytes).flatten() {
            if let Ok(record @ Record::Outcome(outcome)) = Record::decode(payload)
                && open.contains(&outcome.leaf)
            {
                kept.push(record);
            }
        }
        *self = kept;
    }

    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.closes.clear();
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            closes: std::mem::take(&mut self.closes),
            ..Self::default()
        };
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many records.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last record's bytes, empty if there is none.
    pub(crate) fn last(&self) -> &[u8] {
        self.bytes.get(self.last_at + HEAD_BYTES..).unwrap_or_default()
    }

    /// The intents that the outcomes here belong to.
    pub(crate) fn closes(&self) -> &[u64] {
        &self.closes
    }

    /// The latest ledger revision among the changes here.
    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) const fn times(&self) -> Span {
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Outcome, OutcomeKind, REASON_BYTES_MAX, UPSTREAM_BYTES_MAX};

    #[test]
    fn the_longest_outcome_fits_its_reserved_room() {
        let (upstream, reason) = ("u".repeat(UPSTREAM_BYTES_MAX * 2), "r".repeat(REASON_BYTES_MAX * 2));
        let mut frames = Frames::default();
        frames.push(Record::Outcome(Outcome {
            leaf: u64::MAX,
            status: Some(u16::MAX),
            upstream: Some(&upstream),
            upstream_status: Some(u16::MAX),
            duration_us: Some(u64::MAX),
            upstream_us: Some(u64::MAX),
            request_bytes: Some(u64::MAX),
            response_bytes: Some(u64::MAX),
            outcome: OutcomeKind::Unknown,
            reason: Some(&reason),
        }));
        let needed = frames.bytes().len() + MARK_BYTES;
        assert!(needed <= OUTCOME_BYTES_MAX, "{needed} bytes");
    }

    #[test]
    fn a_mark_belongs_to_its_offset() {
        let Head::Mark { crc } = Head::parse(mark(77), 1) else { panic!("not a mark") };
        assert_eq!(crc, mark_crc(77));
        assert_ne!(crc, mark_crc(78));
    }
}
