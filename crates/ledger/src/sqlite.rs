//! A ledger in one SQLite file: the embedded default.
//!
//! Write-ahead log with `synchronous=FULL`: what was appended survives a power cut. The file is readable by
//! its owner only. Other processes may read it and even write to it: each append takes the write lock and
//! compares the revision first. Beside it lies a reserve of room (see `reserve`).
//! Not here: any other table. Only this file holds SQL.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use access::Revision;
use control::Event;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, ffi,
};

use crate::chain::{Broken, Hash, Link};
use crate::reserve::Reserve;
use crate::{AppendError, Ledger, ReadError, Recorded, StoreFault, codec};

/// How long another writer is waited for. Twice this, a heartbeat and an append, stays under the 1.5 s
/// within which a command is answered.
const BUSY_WAIT: Duration = Duration::from_millis(600);

/// The layout of the file, kept in its `user_version`.
const LAYOUT: i64 = 1;

const CREATE: &str =
    "CREATE TABLE events(revision INTEGER PRIMARY KEY, payload BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
     PRAGMA user_version = 1;";
const HEAD: &str = "SELECT revision, hash FROM events ORDER BY revision DESC LIMIT 1";
const INSERT: &str = "INSERT INTO events(revision, payload, hash) VALUES (?1, ?2, ?3)";
const READ: &str =
    "SELECT revision, hash, payload FROM events WHERE revision >= ?1 ORDER BY revision LIMIT ?2";

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    reserve: Reserve,
}

/// Why a file cannot be used as a ledger.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or looked at.
    #[error("cannot open the ledger `{path}`")]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// SQLite cannot use it.
    #[error("cannot use `{path}` as a ledger")]
    Store {
        /// Its path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: StoreFault,
    },
    /// Another build wrote it in a layout that this one does not know.
    #[error("the ledger `{path}` has layout `{found}`; this build knows `1`")]
    Layout {
        /// Its path.
        path: PathBuf,
        /// The layout it has.
        found: i64,
    },
}

/// What SQLite says, in words for whoever has to act on it.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the ledger is locked by another process")]
    Locked(#[source] rusqlite::Error),
    #[error("the disk is full")]
    Full(#[source] rusqlite::Error),
    #[error("the ledger's file is read-only")]
    ReadOnly(#[source] rusqlite::Error),
    #[error(transparent)]
    Other(rusqlite::Error),
}

fn fault(cause: rusqlite::Error) -> StoreFault {
    StoreFault::new(match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Locked(cause),
        Some(ErrorCode::DiskFull) => Fault::Full(cause),
        Some(ErrorCode::ReadOnly) => Fault::ReadOnly(cause),
        _ => Fault::Other(cause),
    })
}

/// Whether room is what it lacks. A quota that is used up is a write that failed, to SQLite.
fn lacks_room(cause: &rusqlite::Error) -> bool {
    let extended = cause.sqlite_error().map(|error| error.extended_code);
    cause.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || matches!(extended, Some(ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE))
}

fn not_appended(cause: rusqlite::Error) -> AppendError {
    if lacks_room(&cause) { AppendError::Full(fault(cause)) } else { AppendError::Store(fault(cause)) }
}

/// Which file it is, whatever its path says later: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Sqlite {
    /// Opens the ledger in the file at `path`, or makes one there.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file. What it holds is checked when it is read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = |cause| OpenError::File { path: path.to_owned(), cause };
        let store = |cause: rusqlite::Error| OpenError::Store { path: path.to_owned(), cause: fault(cause) };
        make_private(path).map_err(file)?;
        let reserve = Reserve::beside(path);
        let opened = match open_laid_out(path) {
            // A write-ahead log and its index take room too.
            Err(cause) if lacks_room(&cause) && reserve.give_up().unwrap_or(false) => open_laid_out(path),
            opened => opened,
        };
        let (connection, found) = opened.map_err(store)?;
        if found != LAYOUT {
            let path = path.to_owned();
            return Err(OpenError::Layout { path, found });
        }
        let identity = identify(path).map_err(file)?;
        Ok(Self { connection, path: path.to_owned(), identity, reserve })
    }

    /// A file that was moved away or replaced would take writes that nobody finds again.
    fn refuse_stranger(&self) -> Result<(), StoreFault> {
        match identify(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => Err(StoreFault::new("another file stands in its place")),
            Err(cause) => Err(StoreFault::new(cause)),
        }
    }

    /// A transaction that holds the write lock.
    fn lock(&mut self) -> Result<Transaction<'_>, StoreFault> {
        self.refuse_stranger()?;
        self.begin().map_err(fault)
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Events from `since` on, itself included, with their payloads.
    fn stored(&self, since: Revision, most: usize) -> rusqlite::Result<Vec<(Link, Vec<u8>)>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare(READ)?;
        let rows = statement.query_map((number(since), limit), |row| Ok((link(row)?, row.get(2)?)))?;
        rows.collect()
    }
}

impl Ledger for Sqlite {
    fn append(&mut self, expected: Revision, events: &[Event]) -> Result<Revision, AppendError> {
        let payloads = events.iter().map(codec::encode).collect::<Result<Vec<_>, _>>();
        let payloads = payloads.map_err(AppendError::Store)?;
        self.refuse_stranger().map_err(AppendError::Store)?;
        let transaction = self.begin().map_err(not_appended)?;
        let head = head(&transaction).map_err(not_appended)?;
        if head.revision != expected {
            let found = head.revision;
            return Err(AppendError::Conflict { expected, found });
        }
        let link = insert(&transaction, head, &payloads).map_err(not_appended)?;
        transaction.commit().map_err(not_appended)?;
        Ok(link.revision)
    }

    fn read(&mut self, since: Revision, most: usize) -> Result<Vec<Recorded>, ReadError> {
        let stored = self.stored(since, most.saturating_add(1));
        let stored = stored.map_err(|cause| ReadError::Store(fault(cause)))?;
        let mut rows = stored.iter();
        let mut place = match since {
            Revision::ZERO => Link::START,
            since => match rows.next() {
                None => return Ok(Vec::new()),
                Some((link, _)) if link.revision == since => *link,
                Some(_) => return Err(ReadError::Broken(Broken::Missing { revision: since })),
            },
        };
        let continued = rows.take(most).map(|(stored, payload)| {
            place = place.check(*stored, payload)?;
            codec::decode(place, payload)
        });
        continued.collect::<Result<_, _>>().map_err(ReadError::Broken)
    }

    fn prove(&mut self) -> Result<Revision, ReadError> {
        let transaction = self.lock().map_err(ReadError::Store)?;
        let failed = |cause| ReadError::Store(fault(cause));
        let head = head(&transaction).map_err(failed)?;
        transaction.rollback().map_err(failed)?;
        Ok(head.revision)
    }

    fn try_write(&mut self) -> Result<(), StoreFault> {
        let transaction = self.lock()?;
        transaction.pragma_update(None, "user_version", LAYOUT).map_err(fault)?;
        transaction.commit().map_err(fault)
    }

    fn give_up_room(&mut self) -> bool {
        self.reserve.give_up().unwrap_or_else(|why| {
            tracing::error!(%why, "the room kept for revocations cannot be given up");
            false
        })
    }

    fn keep_room(&mut self) -> Result<(), StoreFault> {
        self.reserve.keep().map_err(StoreFault::new)
    }
}

/// Makes the file if it is not there, for its owner's eyes only. An existing one is never opened here:
/// closing it would drop the locks that SQLite holds on it elsewhere in this process.
fn make_private(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.sync_all()?;
            sync_directory_of(path)
        }
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        Err(why) => Err(why),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn identify(path: &Path) -> io::Result<Identity> {
    let found = fs::metadata(path)?;
    Ok(Identity(found.dev(), found.ino()))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// A connection, and the layout of its file.
fn open_laid_out(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let mut connection = connect(path)?;
    let found = lay_out(&mut connection)?;
    Ok((connection, found))
}

/// Lays out an empty file, and returns the layout that the file has then.
fn lay_out(connection: &mut Connection) -> rusqlite::Result<i64> {
    let found = layout(connection)?;
    if found != 0 {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if layout(&transaction)? == 0 {
        transaction.execute_batch(CREATE)?;
    }
    transaction.commit()?;
    layout(connection)
}

fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn head(connection: &Connection) -> rusqlite::Result<Link> {
    let found = connection.query_row(HEAD, (), link).optional()?;
    Ok(found.unwrap_or(Link::START))
}

/// A row that starts with a revision and a hash. A hash of another length than 32 is one that never fits.
fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let (revision, hash): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
    Ok(Link {
        revision: Revision::from_number(u64::try_from(revision).unwrap_or(0)),
        hash: Hash::from_bytes(hash.try_into().unwrap_or([0; 32])),
    })
}

/// A revision as SQLite counts: positions beyond 63 bits are never reached.
fn number(revision: Revision) -> i64 {
    i64::try_from(revision.number()).unwrap_or(i64::MAX)
}

fn insert(transaction: &Transaction<'_>, head: Link, payloads: &[Vec<u8>]) -> rusqlite::Result<Link> {
    let mut statement = transaction.prepare(INSERT)?;
    payloads.iter().try_fold(head, |link, payload| {
        let next = link.next(payload);
        statement.execute((number(next.revision), payload, next.hash.as_bytes()))?;
        Ok(next)
    })
}

#[cfg(test)]
mod tests {
    use access::{SessionId, Timestamp};
    use control::Change;

    use super::*;

    fn events(count: usize) -> Vec<Event> {
        let subject: access::SubjectId = "user:alice".parse().unwrap();
        let session = SessionId::new(Timestamp::EPOCH, [0; 10]);
        let change = Change::CloseSession { session, subject: subject.clone() };
        vec![Event { at: Timestamp::EPOCH, by: subject, change }; count]
    }

    #[test]
    fn what_finds_no_room_is_full_and_adds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Sqlite::open(&directory.path().join("ledger.sqlite")).unwrap();
        let limit = "PRAGMA max_page_count = 1";
        let limit = ledger.connection.query_row(limit, (), |row| row.get::<_, i64>(0)).unwrap();
        let appended = ledger.append(Revision::ZERO, &events(1_000));
        let Err(AppendError::Full(fault)) = appended else { panic!("{limit} pages: {appended:?}") };
        assert_eq!(fault.to_string(), "the disk is full");
        ledger.append(Revision::ZERO, &events(1)).unwrap();
        assert_eq!(ledger.prove().unwrap(), Revision::from_number(1));
    }
}
