//! Room kept aside on the ledger's disk, for taking access away while the disk is full.
//!
//! The room is a file beside the ledger, really written. Giving it up empties the file; keeping it again takes
//! what room there is, so that on a disk that stays full the rest of it serves the next revocation.
//! Not here: who may use it (see `writer`). A disk that fails, or is read-only, has no use for room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How much room is kept: hundreds of revocations of a user, or one of a hundred thousand grants at once.
pub const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

/// How much is written at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the file is made of: a file system that stores no zeros would keep no room.
const FILLING: u8 = 0xa5;

/// The room that one ledger keeps. Nothing is open between calls.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// That of the ledger at `path`, in the same directory: `NAME.reserve`.
    pub(crate) fn beside(path: &Path) -> Self {
        Self { path: path.with_extension("reserve") }
    }

    /// Takes what is missing of the room. One look at the file when nothing is.
    ///
    /// # Errors
    /// What the system says; as much as there was room for is taken even so.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let missing = RESERVE_BYTES.saturating_sub(self.held()?);
        if missing == 0 {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let filled = fill(&mut file, missing);
        file.sync_all()?;
        filled
    }

    /// Gives up the room, for good once this returns. Whether there was any.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn give_up(&self) -> io::Result<bool> {
        if self.held()? == 0 {
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(0)?;
        // Some file systems give blocks away again only when the truncation is durable.
        file.sync_all()?;
        Ok(true)
    }

    fn held(&self) -> io::Result<u64> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(found.len()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(why) => Err(why),
        }
    }
}

/// Writes until it is done or nothing more fits: what fits is not given back.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let chunk = [FILLING; CHUNK_BYTES];
    let mut missing = usize::try_from(bytes).unwrap_or(usize::MAX);
    while missing > 0 {
        let part = chunk.get(..missing.min(CHUNK_BYTES)).unwrap_or(&chunk);
        match file.write(part)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => missing = missing.saturating_sub(written),
        }
    }
    Ok(())
}
