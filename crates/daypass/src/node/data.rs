//! The data directory: one process's at a time, and nobody's to write but the server's own user's.
//!
//! Who can write there can put another ledger, another journal or another socket in their place; no check of
//! what lies in it could tell. A directory made here is its owner's alone.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use crate::node::failed::StartError;
use crate::node::run::data_error;

/// The bits that let a file's group and others write.
const OTHERS_WRITE: u32 = 0o022;

/// How a directory is open to others than the server's user, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exposed {
    /// Its group, or everybody, can write to it.
    #[error(
        "can be written to by others than its owner (its mode is {mode:03o}): see that nothing in it is theirs, then take that away with `chmod go-w`, or name another directory with `data:`"
    )]
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's.
    #[error(
        "belongs to another user (uid {owner}; the server runs as uid {own}): start the server as that user, give it the directory with `chown`, or name another directory with `data:`"
    )]
    Foreign {
        /// Whose it is.
        owner: u32,
        /// Who the server runs as.
        own: u32,
    },
}

/// Makes the directory, for its owner alone, and takes it for this process, which may have its lock already.
pub(super) fn claim(data: &Path, inherited: Option<File>) -> Result<File, StartError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(data).map_err(data_error(data))?;
    let found = std::fs::metadata(data).map_err(data_error(data))?;
    let own = rustix::process::geteuid().as_raw();
    refuse_exposed(found.uid(), found.mode(), own)
        .map_err(|exposed| StartError::Exposed { path: data.to_owned(), exposed })?;
    let path = data.join("lock");
    let place = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
    let lock =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(data_error(&path))?;
    if let Some(inherited) = inherited {
        let same = place(&lock).and_then(|own| Ok(own == place(&inherited)?)).map_err(data_error(&path))?;
        return if same { Ok(inherited) } else { Err(StartError::OtherData(data.to_owned())) };
    }
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Taken(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(data_error(&path)(error)),
    }
}

const fn refuse_exposed(owner: u32, mode: u32, own: u32) -> Result<(), Exposed> {
    if owner != own {
        return Err(Exposed::Foreign { owner, own });
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(Exposed::Writable { mode: mode & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        drop(claim(&data, None).unwrap());
        for (mode, fits) in [(0o700, true), (0o755, true), (0o770, false), (0o757, false), (0o1777, false)] {
            std::fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
            match claim(&data, None) {
                Ok(_) => assert!(fits, "{mode:o} was accepted"),
                Err(error) => {
                    assert!(!fits, "{mode:o} was refused");
                    let said = error.to_string();
                    assert!(said.contains("chmod go-w") && said.contains("/data`"), "{said}");
                }
            }
        }
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        assert_eq!(refuse_exposed(1000, 0o700, 1000), Ok(()));
        assert_eq!(refuse_exposed(1000, 0o700, 0), Err(Exposed::Foreign { owner: 1000, own: 0 }));
        assert_eq!(refuse_exposed(0, 0o777, 1000), Err(Exposed::Foreign { owner: 0, own: 1000 }));
    }
}
