//! Reading a journal from its files alone: from any process, while the writer writes.
//!
//! Memory: one block of a segment at a time, whatever the journal's size.
//!
//! An unfinished commit at the end of the last segment is the end. Damage is an error that names the file, the
//! offset and the leaf. What is read here may be a commit whose sync has not come back yet. In the last segment,
//! 64 KiB of zeros are taken for the end: whether acknowledged records are missing there is judged at the next start.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use crate::leaf::LeafHash;
use crate::record::Record;
use crate::scan::{Place, Scan, Verdict};
use crate::segment::{SegmentName, list};
use crate::tail::Tail;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file or directory cannot be read.
    #[error("cannot read `{}`", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        fault: io::Error,
    },
    /// The file does not begin as a segment of its name does, or is of a later version.
    #[error("`{}` is damaged: its header is not that of a journal segment", file.display())]
    Header {
        /// Which.
        file: PathBuf,
    },
    /// A whole segment is missing.
    #[error("`{}` is missing, which held leaf `{leaf}` and later ones", file.display())]
    Missing {
        /// Which.
        file: PathBuf,
        /// Its first leaf.
        leaf: u64,
    },
    /// A record is damaged or missing.
    #[error("`{}` is damaged at offset `{offset}`, leaf `{leaf}`", file.display())]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Which leaf should be there.
        leaf: u64,
    },
    /// A whole record says something unknown here.
    #[error("leaf `{leaf}` in `{}` at offset `{offset}` is no record known to this version", file.display())]
    Record {
        /// Which file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Which leaf.
        leaf: u64,
        /// What the decoder met.
        #[source]
        fault: minicbor::decode::Error,
    },
}

impl ReadError {
    /// Whether what was recorded is damaged or missing, and not only unread this time.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// What is wrong in one sentence that names the file without its directory, for those who cannot see that.
    #[must_use]
    pub fn brief(&self) -> String {
        let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Io { file, fault } => format!("`{}` cannot be read: {fault}", name(file)),
            Self::Header { file } => {
                format!("`{}` is damaged: its header is not that of a journal segment", name(file))
            }
            Self::Missing { file, leaf } => {
                format!("`{}` is missing, which held leaf {leaf} and later ones", name(file))
            }
            Self::Corrupt { file, offset, leaf } => {
                format!("`{}` is damaged at offset {offset}, leaf {leaf}", name(file))
            }
            Self::Record { file, offset, leaf, .. } => {
                format!(
                    "leaf {leaf} in `{}` at offset {offset} is no record known to this version",
                    name(file)
                )
            }
        }
    }
}

/// One leaf of the log, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Its index, from 0.
    pub index: u64,
    /// Its bytes: the record in CBOR.
    pub payload: Cow<'a, [u8]>,
}

impl Leaf<'_> {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> LeafHash {
        LeafHash::of(&self.payload)
    }

    /// What it says.
    ///
    /// # Errors
    /// It is no record known here.
    pub fn record(&self) -> Result<Record<'_>, minicbor::decode::Error> {
        Record::decode(&self.payload)
    }
}

/// A journal's files.
#[derive(Debug, Clone)]
pub struct Reader {
    directory: PathBuf,
}

impl Reader {
    /// A reader of the journal in this directory.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, ReadError> {
        let directory = directory.into();
        list(&directory)?;
        Ok(Self { directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many leaves the log has now.
    ///
    /// # Errors
    /// The last segment cannot be read or is damaged.
    pub fn size(&self) -> Result<u64, ReadError> {
        let Some(last) = list(&self.directory)?.pop() else {
            return Ok(0);
        };
        let mut scan = Scan::open(&last)?;
        while next_in(&mut scan, None)?.is_some() {}
        Ok(scan.leaf())
    }

    /// The leaves from this index on, or from the oldest kept if that is later.
    #[must_use]
    pub fn leaves(&self, from: u64) -> Leaves {
        Leaves { cursor: Cursor::new(self.directory.clone(), from) }
    }

    /// One leaf. `None`: the log is not that long, or no longer holds it.
    ///
    /// # Errors
    /// Its segment cannot be read or is damaged.
    pub fn leaf(&self, index: u64) -> Result<Option<Leaf<'static>>, ReadError> {
        let mut leaves = self.leaves(index);
        let found = leaves.next()?.filter(|leaf| leaf.index == index);
        Ok(found.map(|leaf| Leaf { index, payload: Cow::Owned(leaf.payload.into_owned()) }))
    }

    /// Follows the log from this leaf on.
    #[must_use]
    pub fn follow(&self, from: u64) -> Tail {
        Tail::new(self.clone(), from)
    }
}

/// Leaves in order.
#[derive(Debug)]
pub struct Leaves {
    cursor: Cursor,
}

impl Leaves {
    /// The next leaf. `None`: there is none yet; ask again later.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    #[expect(clippy::should_implement_trait, reason = "a leaf borrows the block it stands in")]
    pub fn next(&mut self) -> Result<Option<Leaf<'_>>, ReadError> {
        let Some((scan, place)) = self.cursor.next()? else {
            return Ok(None);
        };
        Ok(Some(Leaf { index: place.leaf, payload: Cow::Borrowed(scan.payload(place)?) }))
    }
}

/// A place in a log that may grow.
#[derive(Debug)]
pub(crate) struct Cursor {
    directory: PathBuf,
    scan: Option<Scan>,
    next: u64,
}

impl Cursor {
    pub(crate) const fn new(directory: PathBuf, next: u64) -> Self {
        Self { directory, scan: None, next }
    }

    /// The next record and the segment it is in. `None`: there is none yet.
    pub(crate) fn next(&mut self) -> Result<Option<(&mut Scan, Place)>, ReadError> {
        loop {
            let Some(mut scan) = self.scan.take().map_or_else(|| self.enter(), |scan| Ok(Some(scan)))? else {
                return Ok(None);
            };
            match scan.step()? {
                Some(place) if place.leaf < self.next => self.scan = Some(scan),
                Some(place) => {
                    self.next = place.leaf + 1;
                    return Ok(Some((self.scan.insert(scan), place)));
                }
                None if self.leave(&mut scan)? => {}
                None => {
                    // An empty segment may be replaced by another of its name: it is opened anew next time.
                    self.scan = (scan.leaf() > scan.header.first_leaf).then_some(scan);
                    return Ok(None);
                }
            }
        }
    }

    /// Opens the segment that holds the next leaf, or the oldest.
    fn enter(&self) -> Result<Option<Scan>, ReadError> {
        let segments = list(&self.directory)?;
        let at = segments.partition_point(|segment| segment.first_leaf <= self.next).saturating_sub(1);
        segments.get(at).map(Scan::open).transpose()
    }

    /// Whether this segment is done with, and another is to be entered or this one read on.
    fn leave(&mut self, scan: &mut Scan) -> Result<bool, ReadError> {
        let here = scan.header.first_leaf;
        let later = list(&self.directory)?.into_iter().find(|segment| segment.first_leaf > here);
        scan.refresh();
        match later {
            Some(later) if later.first_leaf == scan.leaf() => {
                self.next = self.next.max(scan.leaf());
                Ok(true)
            }
            // Leaves read before their commit failed: they were never acknowledged, and these stand in their place.
            Some(later) if later.first_leaf < scan.leaf() => {
                self.next = later.first_leaf;
                Ok(true)
            }
            // More was written before the other segment began, or is missing.
            Some(_) => self.read_on(scan),
            None if scan.looks_blank()? => Ok(false),
            None => match scan.judge()? {
                Verdict::Continues => self.read_on(scan),
                Verdict::Ends | Verdict::Torn { .. } => Ok(false),
                Verdict::Corrupt => Err(scan.corrupt()),
            },
        }
    }

    /// Comes back to this segment at the leaf after those read.
    fn read_on(&mut self, scan: &mut Scan) -> Result<bool, ReadError> {
        match scan.judge()? {
            Verdict::Continues => {
                self.next = self.next.max(scan.leaf());
                Ok(true)
            }
            _ => Err(scan.corrupt()),
        }
    }
}

/// The next record of a segment that is read whole; `next` is the segment after it, if there was one.
pub(crate) fn next_in(scan: &mut Scan, next: Option<&SegmentName>) -> Result<Option<Place>, ReadError> {
    loop {
        if let Some(place) = scan.step()? {
            return Ok(Some(place));
        }
        if next.is_none() && scan.looks_blank()? {
            return Ok(None);
        }
        let complete = next.is_some_and(|next| next.first_leaf == scan.leaf());
        match (scan.judge()?, next) {
            (Verdict::Continues, _) => {}
            (Verdict::Corrupt, _) => return Err(scan.corrupt()),
            (_, Some(_)) if !complete => return Err(scan.corrupt()),
            _ => return Ok(None),
        }
    }
}
