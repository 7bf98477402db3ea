//! What a directory holds when a node starts.
//!
//! Only the last segment is read whole: its header says what was open, and what the ledger's revision was, before
//! it. The headers of all segments, and the head file, tell whether one is missing.
//! Nothing is changed here; the writer cuts the torn tail and closes what was left open when it begins to write.

use std::path::Path;

use crate::active::Broken;
use crate::head;
use crate::log::Log;
use crate::read::ReadError;
use crate::scan::{Place, Scan, Verdict};
use crate::segment::{SegmentName, list};

/// A log as found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) log: Log,
    /// The last segment, if there is one, and how much of it is good.
    pub(crate) last: Option<Broken>,
    /// Whose log it is.
    pub(crate) node: Option<String>,
    /// Bytes of an unfinished commit behind the last good record.
    pub(crate) torn_bytes: u64,
    /// Bytes of the whole journal, without room allocated ahead.
    pub(crate) bytes: u64,
}

/// Reads the end of the log in this directory.
pub(crate) fn find(directory: &Path) -> Result<Found, ReadError> {
    let segments = list(directory)?;
    complete(directory, &segments)?;
    let Some((last, older)) = segments.split_last() else {
        return Ok(Found { log: Log::empty(), last: None, node: None, torn_bytes: 0, bytes: 0 });
    };
    let mut found = find_last(last)?;
    for segment in older {
        let read = std::fs::metadata(&segment.path);
        found.bytes += read.map_err(|fault| ReadError::Io { file: segment.path.clone(), fault })?.len();
    }
    Ok(found)
}

/// Whether a directory that is not there may be made: not if it is one that was lost.
pub(crate) fn refuse_lost(directory: &Path) -> Result<(), ReadError> {
    if directory.exists() { Ok(()) } else { complete(directory, &[]) }
}

/// Whether no segment is missing: the first of all, one in between, or those after the last.
fn complete(directory: &Path, segments: &[SegmentName]) -> Result<(), ReadError> {
    let missing = |leaf| ReadError::Missing { file: SegmentName::new(directory, leaf).path, leaf };
    let mut before = None;
    for segment in segments {
        // Headers of the first builds do not name the segment before.
        let named = match segment.first_leaf {
            0 => None,
            _ => segment.header()?.previous_first.or(before),
        };
        if named != before {
            return Err(missing(named.unwrap_or(0)));
        }
        if before.is_none() && segment.first_leaf > 0 {
            return Err(missing(0));
        }
        before = Some(segment.first_leaf);
    }
    let begun = head::read(directory)?;
    let known = |leaf: &u64| segments.binary_search_by_key(leaf, |segment| segment.first_leaf).is_ok();
    match begun.filter(|leaf| !known(leaf)) {
        Some(leaf) => Err(missing(leaf)),
        None => Ok(()),
    }
}

fn find_last(name: &SegmentName) -> Result<Found, ReadError> {
    let mut scan = Scan::open(name)?;
    let mut log = Log::at_start_of(&scan.header);
    let mut last = None;
    loop {
        if let Some(place) = scan.step()? {
            log.replay(&scan.record(place)?);
            last = Some(place);
            continue;
        }
        match scan.judge()? {
            Verdict::Continues => {}
            Verdict::Ends => break found(scan, log, last, 0),
            Verdict::Torn { bytes } => break found(scan, log, last, bytes),
            Verdict::Corrupt => break Err(scan.corrupt()),
        }
    }
}

fn found(mut scan: Scan, mut log: Log, last: Option<Place>, torn_bytes: u64) -> Result<Found, ReadError> {
    if let Some(place) = last {
        log.ends_with(scan.payload(place)?);
    }
    let good_bytes = scan.at();
    Ok(Found {
        log,
        node: Some(scan.header.node),
        last: Some(Broken { path: scan.path, first_leaf: scan.header.first_leaf, good_bytes }),
        torn_bytes,
        bytes: good_bytes,
    })
}
