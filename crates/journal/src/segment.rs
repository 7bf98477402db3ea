//! Segments: the files of a journal.
//!
//! A segment `<first leaf, 20 decimal digits>.log` holds 8 magic bytes, one header frame, then frames of
//! records and marks (see `frame`). Its end is the file's end or the first zero length: the segment being
//! written is allocated ahead and zero-filled, and cut to its true length when it is full or the node stops.
//!
//! A header repeats what recovery would otherwise have to search older segments for: the previous segment's
//! first leaf and last leaf hash, the last ledger revision journaled, the times of the previous segment's requests, and **every
//! intent still open when the segment began**. So a restart reads one segment, however long a stream has been
//! open, and a reader finds any outcome by reading headers.
//!
//! A segment appears under its name only when its header is durable: it is made as `<name>.log.new` and renamed.
//! What is called `.new` holds no record and is removed at the next start. A node that starts, or recovers from a failed write,
//! cuts the last segment to what is known good and begins a new one; an empty segment is replaced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use access::{Revision, Timestamp};
use minicbor::{Decode, Encode};

use crate::frame::{self, HEAD_BYTES, Head, Span};
use crate::read::ReadError;

/// What every segment begins with: the format and its version, 1.
pub const MAGIC: [u8; 8] = *b"dpjrnl\x00\x01";
/// The longest header, in bytes. With 9 bytes for each open intent there is room for 1.8 million of them.
pub const HEADER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a segment says about itself and about what came before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// The node whose log this is.
    #[n(0)]
    pub node: String,
    /// The index of the segment's first leaf.
    #[n(1)]
    pub first_leaf: u64,
    /// The hash of the leaf before it; zeros before the first.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub previous_hash: [u8; 32],
    /// The highest ledger revision journaled before this segment.
    #[cbor(n(3), with = "crate::codec::revision")]
    pub revision: Revision,
    /// The leaves of intents open when the segment began, ascending.
    #[n(4)]
    pub open: Vec<u64>,
    /// The time of the earliest request in the segment before, in microseconds; absent if it held none.
    #[n(5)]
    pub previous_from: Option<i64>,
    /// The time of the latest request in the segment before, in microseconds.
    #[n(6)]
    pub previous_until: Option<i64>,
    /// When the segment was made.
    #[cbor(n(7), with = "crate::codec::timestamp")]
    pub created: Timestamp,
    /// Whether each commit was made durable before it was acknowledged.
    #[n(8)]
    pub durability: Durability,
    /// The first leaf of the segment before; absent in the first segment.
    #[n(9)]
    pub previous_first: Option<u64>,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Durability {
    /// When it is on the disk: survives a power cut.
    #[default]
    #[n(0)]
    Fsync,
    /// When the kernel has it: survives the process, not a power cut.
    #[n(1)]
    Write,
}

impl Header {
    pub(crate) const fn previous_times(&self) -> Span {
        match (self.previous_from, self.previous_until) {
            (Some(from), Some(until)) => Span(Some((from, until))),
            _ => Span(None),
        }
    }

    /// The segment's first bytes: magic and header frame. `None`: more intents are open than a header holds.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; HEAD_BYTES]);
        minicbor::encode(self, &mut bytes).ok()?;
        let payload = frame::seal(&mut bytes, MAGIC.len())?;
        (payload.len() <= HEADER_BYTES_MAX).then_some(bytes)
    }

    /// Reads a segment's header, and where its records begin.
    pub(crate) fn read(file: &File, path: &Path) -> Result<(Self, u64), ReadError> {
        let corrupt = || ReadError::Header { file: path.to_owned() };
        let unread = |fault: io::Error| match fault.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(),
            _ => ReadError::Io { file: path.to_owned(), fault },
        };
        let (mut magic, mut head) = (MAGIC, [0; HEAD_BYTES]);
        file.read_exact_at(&mut magic, 0).map_err(unread)?;
        file.read_exact_at(&mut head, MAGIC.len() as u64).map_err(unread)?;
        let Head::Frame { length, crc } = Head::parse(head, HEADER_BYTES_MAX) else {
            return Err(corrupt());
        };
        let start = (MAGIC.len() + HEAD_BYTES) as u64;
        let end = start + length as u64;
        if magic != MAGIC || end > file.metadata().map_err(unread)?.len() {
            return Err(corrupt());
        }
        let mut payload = vec![0; length];
        file.read_exact_at(&mut payload, start).map_err(unread)?;
        if crc32fast::hash(&payload) != crc {
            return Err(corrupt());
        }
        Ok((minicbor::decode(&payload).map_err(|_| corrupt())?, end))
    }
}

/// One file of a journal, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The index of its first leaf.
    pub first_leaf: u64,
    /// The file.
    pub path: PathBuf,
}

impl SegmentName {
    /// The segment of this directory that begins with this leaf.
    #[must_use]
    pub fn new(directory: &Path, first_leaf: u64) -> Self {
        Self { first_leaf, path: directory.join(format!("{first_leaf:020}.log")) }
    }

    /// The name a segment is made under.
    pub(crate) fn unfinished(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".new");
        path.into()
    }

    /// What the segment says about itself.
    pub(crate) fn header(&self) -> Result<Header, ReadError> {
        let opened = File::open(&self.path);
        let file = opened.map_err(|fault| ReadError::Io { file: self.path.clone(), fault })?;
        Header::read(&file, &self.path).map(|(header, _)| header)
    }

    fn parse(path: PathBuf) -> Option<Self> {
        let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
        let first_leaf = digits.parse().ok().filter(|_| digits.len() == 20)?;
        Some(Self { first_leaf, path })
    }
}

/// What was being made in this directory when a process died.
pub(crate) fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if SegmentName::parse(path.with_extension("")).is_some()
            && path.extension().is_some_and(|end| end == "new")
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// The segments of a directory, oldest first.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(directory: &Path) -> Result<Vec<SegmentName>, ReadError> {
    let unread = |fault| ReadError::Io { file: directory.to_owned(), fault };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unread)? {
        found.extend(SegmentName::parse(entry.map_err(unread)?.path()));
    }
    found.sort_unstable();
    Ok(found)
}
