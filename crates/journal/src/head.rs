//! The head file: which segment was the last to begin, kept beside the journal's directory.
//!
//! `<directory>.head` holds the first leaf of that segment in 20 decimal digits. It is no evidence and nothing is
//! read from it but this: without it, a directory that was lost, or whose last segments were, would look like a
//! shorter log. It is written after the segment is durable, so it never names one that was not there. Where it
//! is missing nothing is compared.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::read::ReadError;

/// What the file may hold at most, in bytes.
const HEAD_BYTES_MAX: usize = 21;

/// The segment that began last, as the head file of this directory has it.
pub(crate) fn read(directory: &Path) -> Result<Option<u64>, ReadError> {
    let Some(file) = path(directory) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&file) {
        Ok(text) if text.len() <= HEAD_BYTES_MAX => Ok(text.trim_end().parse().ok()),
        Ok(_) => Ok(None),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) if fault.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(fault) => Err(ReadError::Io { file, fault }),
    }
}

/// Notes that this segment has begun, durably.
pub(crate) fn write(disk: &dyn Disk, directory: &Path, first_leaf: u64) -> io::Result<()> {
    let Some(file) = path(directory) else {
        return Ok(());
    };
    let text = format!("{first_leaf:020}\n");
    let unfinished = file.with_added_extension("new");
    let made = disk.create(&unfinished, text.len() as u64)?;
    made.write_all_at(text.as_bytes(), 0)?;
    made.sync()?;
    disk.rename(&unfinished, &file)
}

fn path(directory: &Path) -> Option<PathBuf> {
    let mut name = directory.file_name()?.to_owned();
    name.push(".head");
    Some(directory.with_file_name(name))
}
