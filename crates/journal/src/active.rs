//! The segment being written.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};
use crate::segment::{Header, SegmentName};

/// A commit that waits for the disk writes up to a multiple of this, the rest as zeros: those that follow then write
/// over what is there, and a file system that overwrites in place has nothing else to make durable. It costs writing
/// each byte twice. Where no room can be allocated ahead, a full disk is found by so much sooner.
const AHEAD_BYTES: u64 = 128 * 1024;

/// The one segment that grows.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) name: SegmentName,
    file: Box<dyn DiskFile>,
    /// Where the next commit goes; everything before it is acknowledged.
    offset: u64,
    /// How many bytes were allocated.
    capacity: u64,
    /// How many of them were written by commits that wait for the disk, if only with zeros.
    filled: u64,
}

/// Why there is no new segment to write in.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// No segment of that name was made.
    Nothing(io::Error),
    /// The name was given, and it is not known whether for good: after a crash the segment may be there or not.
    Unsure(io::Error),
}

impl Active {
    /// Makes a segment that has room for `bytes_max`, and for `needed` that is spoken for.
    pub(crate) fn create(
        disk: &dyn Disk,
        directory: &Path,
        header: &Header,
        bytes_max: u64,
        needed: u64,
    ) -> Result<Self, NotMade> {
        let many = || NotMade::Nothing(io::Error::other("too many open entries for one header"));
        let head = header.encode().ok_or_else(many)?;
        let offset = head.len() as u64;
        let capacity = bytes_max + offset + needed;
        let name = SegmentName::new(directory, header.first_leaf);
        let unfinished = name.unfinished();
        let file = make(disk, &unfinished, &head, capacity).map_err(|fault| {
            // Best effort: what is called `.new` is nothing, and its room is wanted.
            let _ = disk.remove(&unfinished);
            NotMade::Nothing(fault)
        })?;
        disk.rename(&unfinished, &name.path).map_err(NotMade::Unsure)?;
        Ok(Self { name, file, offset, capacity, filled: offset })
    }

    /// Where the next commit goes.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are left.
    pub(crate) const fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.offset)
    }

    /// Writes one commit; `bytes` may be longer afterwards. On an error nothing of it counts, and this segment must not
    /// be written again.
    pub(crate) fn commit(&mut self, bytes: &mut Vec<u8>, sync: Sync) -> io::Result<()> {
        let end = self.offset + bytes.len() as u64;
        if sync == Sync::Now && end > self.filled {
            self.filled = end.next_multiple_of(AHEAD_BYTES).min(self.capacity).max(end);
            let zeros = usize::try_from(self.filled - end).map_err(io::Error::other)?;
            bytes.resize(bytes.len() + zeros, 0);
        }
        self.file.write_all_at(bytes, self.offset)?;
        if sync == Sync::Now {
            self.file.sync()?;
            self.look()?;
        }
        self.offset = end;
        Ok(())
    }

    /// Makes sure that this segment is still where a reader looks for it.
    pub(crate) fn look(&self) -> io::Result<()> {
        if self.file.is_at(&self.name.path)? { Ok(()) } else { Err(gone(&self.name.path)) }
    }

    /// Makes what was committed durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// What is to be said of it once it is not written any more.
    pub(crate) fn as_broken(&self) -> Broken {
        let path = self.name.path.clone();
        Broken { path, first_leaf: self.name.first_leaf, good_bytes: self.offset }
    }

    /// Gives back the room that was not used, and makes the rest durable.
    pub(crate) fn finish(self) -> io::Result<()> {
        cut(&*self.file, self.offset)
    }
}

fn make(disk: &dyn Disk, unfinished: &Path, head: &[u8], capacity: u64) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(unfinished, capacity)?;
    file.write_all_at(head, 0)?;
    file.sync()?;
    Ok(file)
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Now,
    Later,
}

/// A segment to be cut back to what is known good, before another may begin.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) path: PathBuf,
    pub(crate) first_leaf: u64,
    pub(crate) good_bytes: u64,
}

impl Broken {
    pub(crate) fn repair(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.open(&self.path).map_err(|fault| named(&self.path, fault))?;
        cut(&*file, self.good_bytes)
    }
}

/// A file or directory of the journal that somebody took away.
fn gone(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{}` is gone", path.display()))
}

/// The same error; if nothing is there, it says where.
pub(crate) fn named(path: &Path, fault: io::Error) -> io::Error {
    if fault.kind() == io::ErrorKind::NotFound { gone(path) } else { fault }
}

fn cut(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    file.truncate(bytes)?;
    file.sync()
}
