//! A disk that does wrong on demand, for the journal.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use journal::{Disk, DiskFile, RealDisk};

/// What the disk does wrong now. By default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// No room, neither for a new file nor in one.
    Full,
    /// Nothing can be made or written: a read-only mount.
    ReadOnly,
    /// Writes succeed, syncs fail.
    SyncFails,
    /// Syncs do not come back until the fault is another.
    Hangs,
}

/// The machine's disk behind a switch. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<(Mutex<Fault>, Condvar)>);

impl FaultyDisk {
    /// Makes it do wrong, or right again, from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault() = fault;
        self.0.1.notify_all();
    }

    fn fault(&self) -> MutexGuard<'_, Fault> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> io::Result<()> {
        match *self.fault() {
            Fault::Full => Err(io::ErrorKind::StorageFull.into()),
            Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Fault::None | Fault::SyncFails | Fault::Hangs => Ok(()),
        }
    }

    fn syncs(&self) -> io::Result<()> {
        let mut fault = self.fault();
        while *fault == Fault::Hangs {
            fault = self.0.1.wait(fault).unwrap_or_else(PoisonError::into_inner);
        }
        match *fault {
            Fault::SyncFails => Err(io::Error::other("the sync failed")),
            _ => Ok(()),
        }
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { file, disk: self.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.writes()?;
        Ok(self.file(RealDisk.create(path, bytes)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.writes()?;
        Ok(self.file(RealDisk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.writes()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.writes()?;
        RealDisk.remove(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: FaultyDisk,
}

impl DiskFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.writes()?;
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.syncs()?;
        self.file.sync()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.writes()?;
        self.file.truncate(bytes)
    }
}
