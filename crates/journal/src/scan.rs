//! Reading one segment from its start, frame by frame, and judging what is not a frame.
//!
//! Memory: one block of [`BLOCK_BYTES`] at a time; judging damage reads the rest of that one file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::frame::{HEAD_BYTES, Head, mark_crc};
use crate::read::ReadError;
use crate::record::{RECORD_BYTES_MAX, Record};
use crate::segment::{Durability, Header, SegmentName};

/// How much is read at once, in bytes.
const BLOCK_BYTES: u64 = 256 * 1024;
/// What disks write whole, in bytes.
const SECTOR_BYTES: u64 = 512;
/// How many zeros tell a reader that it is at the end of what was written, in bytes.
const BLANK_BYTES_ENOUGH: usize = 64 * 1024;

/// A window on a file.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: File,
    start: u64,
    bytes: Vec<u8>,
}

impl Blocks {
    pub(crate) const fn new(file: File) -> Self {
        Self { file, start: 0, bytes: Vec::new() }
    }

    /// The bytes at an offset. `None`: the file ends before them.
    pub(crate) fn slice(&mut self, at: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if self.held(at, length).is_none() {
            self.load(at, length)?;
        }
        Ok(self.held(at, length))
    }

    fn held(&self, at: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }

    fn load(&mut self, at: u64, length: usize) -> io::Result<()> {
        let start = at - at % BLOCK_BYTES;
        let end = (at + length as u64).next_multiple_of(BLOCK_BYTES);
        self.bytes.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        let read = read_at_most(&self.file, &mut self.bytes, start)?;
        self.bytes.truncate(read);
        self.start = start;
        Ok(())
    }

    /// Forgets what was read: the file may have grown.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
    }
}

fn read_at_most(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(read)
}

/// Where a record stands in its segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) leaf: u64,
    pub(crate) at: u64,
    length: usize,
}

/// One segment, from its first record on.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    blocks: Blocks,
    at: u64,
    leaf: u64,
}

impl Scan {
    pub(crate) fn open(name: &SegmentName) -> Result<Self, ReadError> {
        let path = name.path.clone();
        let file = File::open(&path).map_err(|fault| ReadError::Io { file: path.clone(), fault })?;
        let (header, at) = Header::read(&file, &path)?;
        if header.first_leaf != name.first_leaf {
            return Err(ReadError::Header { file: path });
        }
        let leaf = header.first_leaf;
        Ok(Self { header, path, blocks: Blocks::new(file), at, leaf })
    }

    /// The offset of what comes next.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The index of the leaf that comes next.
    pub(crate) const fn leaf(&self) -> u64 {
        self.leaf
    }

    /// Finds the next record. `None`: nothing more, or nothing yet, or something that is no frame.
    pub(crate) fn step(&mut self) -> Result<Option<Place>, ReadError> {
        self.advance().map_err(|fault| self.io(fault))
    }

    fn advance(&mut self) -> io::Result<Option<Place>> {
        while let Some(valid) = read_frame(&mut self.blocks, self.at)? {
            let at = self.at;
            match valid {
                Valid::Mark => self.at += HEAD_BYTES as u64,
                Valid::Frame { length } => {
                    self.at += (HEAD_BYTES + length) as u64;
                    self.leaf += 1;
                    return Ok(Some(Place { leaf: self.leaf - 1, at, length }));
                }
            }
        }
        Ok(None)
    }

    /// The bytes of a record found before.
    pub(crate) fn payload(&mut self, place: Place) -> Result<&[u8], ReadError> {
        if self.blocks.held(place.at, HEAD_BYTES + place.length).is_none() {
            self.check(place)?;
        }
        Ok(self.blocks.held(place.at + HEAD_BYTES as u64, place.length).unwrap_or_default())
    }

    /// What a record found before says.
    pub(crate) fn record(&mut self, place: Place) -> Result<Record<'_>, ReadError> {
        if self.blocks.held(place.at, HEAD_BYTES + place.length).is_none() {
            self.check(place)?;
        }
        let Self { blocks, path, .. } = self;
        let payload = blocks.held(place.at + HEAD_BYTES as u64, place.length).unwrap_or_default();
        Record::decode(payload).map_err(|fault| {
            let Place { leaf, at: offset, .. } = place;
            ReadError::Record { file: path.clone(), offset, leaf, fault }
        })
    }

    fn check(&mut self, place: Place) -> Result<(), ReadError> {
        match read_frame(&mut self.blocks, place.at) {
            Ok(Some(Valid::Frame { length })) if length == place.length => Ok(()),
            Ok(_) => Err(ReadError::Corrupt { file: self.path.clone(), offset: place.at, leaf: place.leaf }),
            Err(fault) => Err(self.io(fault)),
        }
    }

    /// Whether what follows looks like room that was only allocated: enough for a reader of the segment being
    /// written, which then need not read all of that room. Only [`judge`](Self::judge) knows.
    pub(crate) fn looks_blank(&mut self) -> Result<bool, ReadError> {
        let rest = self
            .blocks
            .slice(self.at, BLANK_BYTES_ENOUGH)
            .map_err(|fault| ReadError::Io { file: self.path.clone(), fault })?;
        Ok(rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0)))
    }

    /// Forgets what was read ahead, so that the next step sees what has been written since.
    pub(crate) fn refresh(&mut self) {
        self.blocks.forget();
    }

    /// Why there is no record here.
    ///
    /// What is being written is read as a whole no more than it is written as one: the end of a commit may be seen
    /// without its start. Since the start was written first, whoever looks again sees it; damage stays.
    pub(crate) fn judge(&mut self) -> Result<Verdict, ReadError> {
        match self.look()? {
            Verdict::Corrupt => self.look(),
            verdict => Ok(verdict),
        }
    }

    fn look(&mut self) -> Result<Verdict, ReadError> {
        self.refresh();
        judge(&mut self.blocks, self.at, self.header.durability).map_err(|fault| self.io(fault))
    }

    /// The error for a record that is damaged here.
    pub(crate) fn corrupt(&self) -> ReadError {
        ReadError::Corrupt { file: self.path.clone(), offset: self.at, leaf: self.leaf }
    }

    fn io(&self, fault: io::Error) -> ReadError {
        ReadError::Io { file: self.path.clone(), fault }
    }
}

#[derive(Debug, Clone, Copy)]
enum Valid {
    Mark,
    Frame { length: usize },
}

fn read_frame(blocks: &mut Blocks, at: u64) -> io::Result<Option<Valid>> {
    let Some(head) = blocks.slice(at, HEAD_BYTES)?.and_then(|head| <[u8; HEAD_BYTES]>::try_from(head).ok())
    else {
        return Ok(None);
    };
    match Head::parse(head, RECORD_BYTES_MAX) {
        Head::Mark { crc } => Ok((crc == mark_crc(at)).then_some(Valid::Mark)),
        Head::Frame { length, crc } => {
            let payload = blocks.slice(at, HEAD_BYTES + length)?.and_then(|frame| frame.get(HEAD_BYTES..));
            Ok(payload.filter(|payload| crc32fast::hash(payload) == crc).map(|_| Valid::Frame { length }))
        }
        Head::Blank | Head::Nonsense => Ok(None),
    }
}

/// Why a segment stops where it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is a record after all: it was being written.
    Continues,
    /// Nothing but zeros, or nothing, follows.
    Ends,
    /// A commit was cut short and never acknowledged; this many bytes follow that are not zero-filled room.
    Torn { bytes: u64 },
    /// Something acknowledged is damaged.
    Corrupt,
}

/// Tells an unfinished commit from damage.
///
/// Behind an unfinished commit nothing valid can follow, except where the disk wrote a later sector of the same
/// commit before an earlier one: then the gap holds a whole sector (or its rest) of zeros, and no second commit
/// follows. With `write` durability whole commits may be missing so. Anything else is damage.
fn judge(blocks: &mut Blocks, at: u64, durability: Durability) -> io::Result<Verdict> {
    if read_frame(blocks, at)?.is_some() {
        return Ok(Verdict::Continues);
    }
    let Some(end) = last_byte(blocks, at)? else {
        return Ok(Verdict::Ends);
    };
    let torn = Verdict::Torn { bytes: end - at };
    let Some(next) = next_valid(blocks, at + 1, end)? else {
        return Ok(torn);
    };
    let one_commit = durability == Durability::Write || !commit_follows(blocks, next, end)?;
    Ok(if one_commit && has_blank_sector(blocks, at, next)? { torn } else { Verdict::Corrupt })
}

/// The end of the last byte after `at` that is not zero.
fn last_byte(blocks: &mut Blocks, at: u64) -> io::Result<Option<u64>> {
    let (mut end, mut from) = (None, at);
    while blocks.slice(from, 1)?.is_some() {
        let block = blocks.start + blocks.bytes.len() as u64;
        let rest = blocks.held(from, usize::try_from(block - from).unwrap_or(usize::MAX)).unwrap_or_default();
        if let Some(last) = rest.iter().rposition(|byte| *byte != 0) {
            end = Some(from + last as u64 + 1);
        }
        from = block;
    }
    Ok(end)
}

fn next_valid(blocks: &mut Blocks, from: u64, end: u64) -> io::Result<Option<u64>> {
    for at in from..end {
        if read_frame(blocks, at)?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether anything valid stands behind the first mark at or after `at`.
fn commit_follows(blocks: &mut Blocks, mut at: u64, end: u64) -> io::Result<bool> {
    let mut marks = 0;
    while let Some(found) = next_valid(blocks, at, end)? {
        if marks > 0 {
            return Ok(true);
        }
        at = found + HEAD_BYTES as u64;
        match read_frame(blocks, found)? {
            Some(Valid::Mark) => marks += 1,
            Some(Valid::Frame { length }) => at += length as u64,
            None => {}
        }
    }
    Ok(false)
}

fn has_blank_sector(blocks: &mut Blocks, from: u64, until: u64) -> io::Result<bool> {
    let mut start = from;
    while start < until {
        let end = start - start % SECTOR_BYTES + SECTOR_BYTES;
        if end > until {
            break;
        }
        let sector = blocks.slice(start, usize::try_from(end - start).unwrap_or(0))?.unwrap_or(&[1]);
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        start = end;
    }
    Ok(false)
}
