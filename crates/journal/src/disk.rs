//! The disk behind a handle, so that tests can make it fail.
//!
//! One call per commit, none per record. Reading needs no handle: it uses the files as any program would.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Where segments are written. Calls block the thread they are made on.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a file of this size, zero-filled, in place of any that has this name; readable by its owner only.
    ///
    /// # Errors
    /// The file cannot be made, or there is no room for `bytes`.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to write in it.
    ///
    /// # Errors
    /// There is none, or it cannot be written.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name in the same directory, in place of any that has it, and makes that durable.
    ///
    /// # Errors
    /// The name was not changed, or it is not known whether the change is durable.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// One file being written.
pub trait DiskFile: Send + fmt::Debug {
    /// Writes all of `bytes` at this offset.
    ///
    /// # Errors
    /// Any part of `bytes` may be missing.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Nothing written since the last success may be taken for durable, whatever a later call says.
    fn sync(&self) -> io::Result<()>;

    /// Whether this is still the file of that name.
    ///
    /// # Errors
    /// It cannot be known.
    fn is_at(&self, path: &Path) -> io::Result<bool>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Its length did not change.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            // This file system cannot allocate ahead: a write may then find the disk full.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes)?,
            Err(fault) => return Err(fault.into()),
        }
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let own = self.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}
