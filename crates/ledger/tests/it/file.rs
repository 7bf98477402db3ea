//! The SQLite file: who may read it, and what happens when somebody changes, moves or kills it.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ledger::{AppendError, Broken, Ledger, OpenError, RESERVE_BYTES, ReadError, Sqlite, StartError};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::world::{at, events, start};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    (directory, path)
}

fn filled(path: &Path) -> Sqlite {
    let mut ledger = Sqlite::open(path).unwrap();
    ledger.append(at(0), &events(5)).unwrap();
    ledger
}

#[test]
fn only_its_owner_reads_the_file() {
    let (directory, path) = place();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _open = filled(&path);
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(files.len() >= 2, "the file and its write-ahead log");
    for file in files {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Starts a keeper on a ledger of five events that was changed in this way.
fn broken_by(change: &str) -> Broken {
    let (_directory, path) = place();
    drop(filled(&path));
    Connection::open(&path).unwrap().execute_batch(change).unwrap();
    match start(Sqlite::open(&path).unwrap()).map(|_| ()) {
        Err(StartError::Read(ReadError::Broken(broken))) => broken,
        other => panic!("`{change}` led to {other:?}"),
    }
}

#[test]
fn whoever_changes_the_file_is_found_out_at_the_next_start() {
    let hash = |number| Broken::Hash { revision: at(number) };
    let missing = |number| Broken::Missing { revision: at(number) };
    let cases = [
        ("UPDATE events SET payload = CAST(replace(payload, 'alice', 'mallo') AS BLOB) WHERE revision = 3", hash(3)),
        ("UPDATE events SET payload = CAST(payload || ' ' AS BLOB) WHERE revision = 1", hash(1)),
        ("UPDATE events SET hash = zeroblob(32) WHERE revision = 5", hash(5)),
        ("UPDATE events SET hash = x'00' WHERE revision = 5", hash(5)),
        ("DELETE FROM events WHERE revision = 1", missing(1)),
        ("DELETE FROM events WHERE revision = 4", missing(4)),
        ("UPDATE events SET revision = 7 WHERE revision = 5", missing(5)),
        ("UPDATE events SET revision = -1 WHERE revision = 2", missing(2)),
        ("UPDATE events SET revision = 0 WHERE revision = 1", missing(1)),
        (
            "UPDATE events SET revision = 9 WHERE revision = 2; UPDATE events SET revision = 2 WHERE revision = 3;
             UPDATE events SET revision = 3 WHERE revision = 9",
            hash(2),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(broken_by(change), expected, "{change}");
    }
}

#[test]
fn the_error_names_the_event() {
    let (_directory, path) = place();
    drop(filled(&path));
    let change = "UPDATE events SET payload = x'7b7d' WHERE revision = 3";
    Connection::open(&path).unwrap().execute_batch(change).unwrap();
    let error = start(Sqlite::open(&path).unwrap()).map(|_| ()).unwrap_err();
    let read = error.source().unwrap();
    let broken = read.source().unwrap();
    assert_eq!(broken.to_string(), "event `3` does not have the hash that it was stored with");
}

#[test]
fn an_event_of_a_later_build_is_named_and_not_skipped() {
    let (_directory, path) = place();
    let payload = br#"{"v":2}"#;
    let link = ledger::chain::Link::START.next(payload);
    drop(Sqlite::open(&path).unwrap());
    let insert = "INSERT INTO events(revision, payload, hash) VALUES (1, ?1, ?2)";
    let other = Connection::open(&path).unwrap();
    other.execute(insert, (payload.as_slice(), link.hash.as_bytes())).unwrap();
    let read = Sqlite::open(&path).unwrap().read(at(0), 10);
    let Err(ReadError::Broken(Broken::Payload { revision, .. })) = read else { panic!("{read:?}") };
    assert_eq!(revision, at(1));
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let (_directory, path) = place();
    let (_other, copy) = place();
    let mut ledger = Sqlite::open(&path).unwrap();
    for (number, event) in events(50).iter().enumerate() {
        ledger.append(at(number as u64), std::slice::from_ref(event)).unwrap();
        // What a kill at this moment leaves: the files as they are, the log not folded in.
        if number % 7 == 0 {
            for suffix in ["", "-wal"] {
                let name = |path: &Path| format!("{}{suffix}", path.display());
                fs::copy(name(&path), name(&copy)).unwrap();
            }
            let read = Sqlite::open(&copy).unwrap().read(at(0), 100).unwrap();
            assert_eq!(read.len(), number + 1);
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{suffix}", copy.display()));
            }
        }
    }
}

#[test]
fn a_file_that_was_moved_away_takes_no_more_writes() {
    let (directory, path) = place();
    let mut ledger = filled(&path);
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    assert!(matches!(ledger.append(at(5), &events(1)), Err(AppendError::Store(_))));
    assert!(matches!(ledger.prove(), Err(ReadError::Store(_))));
    fs::write(&path, "").unwrap();
    assert!(matches!(ledger.prove(), Err(ReadError::Store(_))), "another file");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(ledger.append(at(5), &events(1)).unwrap(), at(6));
}

#[test]
fn what_is_no_ledger_is_refused() {
    let (directory, path) = place();
    fs::write(&path, "this is not a database, and long enough to be taken for one".repeat(100)).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Store { .. })));
    let nowhere = directory.path().join("nowhere").join("ledger.sqlite");
    assert!(matches!(Sqlite::open(&nowhere), Err(OpenError::File { .. })));
    let (_directory, path) = place();
    drop(filled(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Layout { found: 2, .. })));
}

#[test]
fn room_is_really_kept_beside_the_file_and_given_up_and_kept_again() {
    let (directory, path) = place();
    let mut ledger = filled(&path);
    let reserve = directory.path().join("ledger.reserve");
    ledger.keep_room().unwrap();
    let kept = || fs::metadata(&reserve).unwrap();
    assert_eq!((kept().len(), kept().permissions().mode() & 0o777), (RESERVE_BYTES, 0o600));
    assert!(kept().blocks() * 512 >= RESERVE_BYTES, "a file with holes keeps no room");
    assert!(ledger.give_up_room());
    assert_eq!(kept().blocks(), 0);
    assert!(!ledger.give_up_room(), "there is nothing left to give up");
    fs::write(&reserve, "what fitted of it").unwrap();
    ledger.keep_room().unwrap();
    assert_eq!(kept().len(), RESERVE_BYTES);
}

#[test]
fn a_write_that_adds_nothing_leaves_the_ledger_as_it_was() {
    let (_directory, path) = place();
    let mut ledger = filled(&path);
    ledger.try_write().unwrap();
    assert_eq!(ledger.prove().unwrap(), at(5));
    drop(ledger);
    let mut ledger = Sqlite::open(&path).unwrap();
    assert_eq!(ledger.read(at(0), 10).unwrap().len(), 5);
}
