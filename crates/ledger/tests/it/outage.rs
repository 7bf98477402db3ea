//! The keeper with a ledger that is locked, hangs, fails in the middle of a write, or goes back.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::Revision;
use access::credential::Digest;
use control::command::RotateService;
use control::{Act, Event};
use ledger::{
    AppendError, ExecuteError, FetchError, Ledger, Memory, ReadError, Recorded, Sqlite, StoreFault,
};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::world::{DAY, Told, at, bob, grant, house, revoke_all, service, start};

/// The bound of an answer, 1.5 s, and a second for a machine that has other things to do.
const SOON: Duration = Duration::from_millis(2_500);

/// Holds the write lock until it is dropped.
fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, ExecuteError>) -> bool {
    matches!(answer, Err(ExecuteError::Unavailable(_)))
}

#[tokio::test]
async fn a_locked_ledger_takes_no_command_proves_nothing_and_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let house = house(Sqlite::open(&path).unwrap()).await;
    let other = lock(&path);
    house.clock.advance(Duration::from_secs(60));
    let began = Instant::now();
    let refused = house.keeper.execute(grant(1)).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let told = house.audience.told();
    assert_eq!((told.newest(), told.proven.last()), (at(1), Some(&DAY)), "not proven since");
    assert_eq!(house.keeper.read(at(0), 10).await.unwrap().len(), 1, "reading goes on");
    drop(other);
    house.audience.wait_for(|told| told.proven.last() > Some(&DAY));
    house.keeper.execute(grant(1)).await.unwrap();
    assert_eq!(house.audience.told().newest(), at(2));
}

#[tokio::test]
async fn commands_that_wait_behind_a_failing_one_do_not_wait_in_turn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let house = house(Sqlite::open(&path).unwrap()).await;
    let other = lock(&path);
    let began = Instant::now();
    let waiting = (1..=50).map(|number| {
        let keeper = house.keeper.clone();
        async move { keeper.execute(grant(number)).await }
    });
    for answer in all(waiting).await {
        let source = std::error::Error::source(&answer.unwrap_err()).unwrap().to_string();
        assert_eq!(source, "the ledger is locked by another process", "not given up waiting for");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(other);
    house.keeper.execute(revoke_all()).await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_is_locked_at_the_start_is_read_and_not_proven() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    house(Sqlite::open(&path).unwrap()).await.keeper.stop().await;
    let ledger = Sqlite::open(&path).unwrap();
    let other = lock(&path);
    let house = start(ledger).unwrap();
    let told = house.audience.told();
    assert_eq!((told.newest(), told.proven.len()), (at(1), 0));
    drop(other);
    house.audience.wait_for(|told| !told.proven.is_empty());
}

/// A ledger in memory that does what it is told to.
#[derive(Clone)]
struct Moody {
    ledger: Memory,
    mood: Arc<Mutex<Mood>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Aside {
    Kept,
    Used,
}

enum Mood {
    Well,
    /// Appends, and says that it could not.
    FailAfterwards,
    /// Says so with each append, and appends nothing.
    Fail,
    /// Has no room for anything, and keeps room aside or does not.
    Full(Aside),
    /// Has forgotten everything.
    GoBack,
    /// Appends only once something is sent.
    Hang(Receiver<()>),
}

impl Moody {
    fn new() -> Self {
        let mood = Arc::new(Mutex::new(Mood::Well));
        Self { ledger: Memory::new(), mood }
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn fault() -> StoreFault {
    StoreFault::new("disk on fire")
}

impl Ledger for Moody {
    fn append(&mut self, expected: Revision, events: &[Event]) -> Result<Revision, AppendError> {
        match &*self.mood.lock().unwrap() {
            Mood::Fail => return Err(AppendError::Store(fault())),
            Mood::Full(Aside::Kept) => return Err(AppendError::Full(fault())),
            Mood::FailAfterwards => {
                self.ledger.append(expected, events)?;
                return Err(AppendError::Store(fault()));
            }
            Mood::GoBack => return Err(AppendError::Conflict { expected, found: at(0) }),
            Mood::Hang(released) => {
                let _ = released.recv();
            }
            Mood::Well | Mood::Full(Aside::Used) => {}
        }
        self.ledger.append(expected, events)
    }

    fn read(&mut self, since: Revision, most: usize) -> Result<Vec<Recorded>, ReadError> {
        self.ledger.read(since, most)
    }

    fn prove(&mut self) -> Result<Revision, ReadError> {
        match &*self.mood.lock().unwrap() {
            Mood::Fail => Err(ReadError::Store(fault())),
            Mood::GoBack => Ok(at(0)),
            _ => self.ledger.prove(),
        }
    }

    fn try_write(&mut self) -> Result<(), StoreFault> {
        match &*self.mood.lock().unwrap() {
            Mood::Well => Ok(()),
            _ => Err(fault()),
        }
    }

    fn give_up_room(&mut self) -> bool {
        let mood = &mut *self.mood.lock().unwrap();
        let kept = matches!(mood, Mood::Full(Aside::Kept));
        if kept {
            *mood = Mood::Full(Aside::Used);
        }
        kept
    }

    fn keep_room(&mut self) -> Result<(), StoreFault> {
        if let Mood::Full(aside) = &mut *self.mood.lock().unwrap() {
            *aside = Aside::Kept;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_full_ledger_takes_revocations_into_the_room_kept_for_them_and_nothing_else() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    house.keeper.execute(service("ci", 1)).await.unwrap();
    house.keeper.execute(grant(1)).await.unwrap();
    ledger.be(Mood::Full(Aside::Kept));
    assert!(is_unavailable(&house.keeper.execute(grant(2)).await));
    let rotated = RotateService {
        id: access::KeyId::new(DAY, [9; 10]),
        digest: Digest::of(b"9"),
        name: "ci".parse().unwrap(),
        lifetime: None,
    };
    assert!(
        is_unavailable(&house.keeper.execute(bob(Act::RotateService(rotated))).await),
        "a key that is new"
    );
    let removed = bob(Act::RemoveService { name: "ci".parse().unwrap() });
    for (number, command) in (4..).zip([revoke_all(), removed, revoke_all(), revoke_all()]) {
        assert_eq!(house.keeper.execute(command).await.unwrap().revision, at(number));
        assert!(is_unavailable(&house.keeper.execute(grant(2)).await));
    }
    let state = house.keeper.state();
    assert!(state.grants().values().all(|grant| !grant.is_in_force(DAY)));
}

#[tokio::test]
async fn what_a_write_failed_with_is_told_until_one_succeeds() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    let told = || house.keeper.write_fault().map(|fault| fault.to_string());
    assert_eq!(told(), None);
    ledger.be(Mood::Full(Aside::Kept));
    assert!(is_unavailable(&house.keeper.execute(grant(1)).await));
    assert_eq!(told().as_deref(), Some("disk on fire"));
    house.keeper.execute(revoke_all()).await.unwrap();
    assert_eq!(told().as_deref(), Some("disk on fire"), "a revocation in the room kept for it");
    ledger.be(Mood::Well);
    house.keeper.execute(grant(1)).await.unwrap();
    assert_eq!(told(), None);
}

#[tokio::test]
async fn a_ledger_that_can_be_written_again_says_so_without_a_command() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    ledger.be(Mood::Fail);
    assert!(is_unavailable(&house.keeper.execute(grant(1)).await));
    ledger.be(Mood::Well);
    let proven = |count| move |told: &Told| told.proven.len() >= count;
    let before = house.audience.told().proven.len();
    // The beat after the one that is told of has ended what that one began.
    house.audience.wait_for(proven(before + 2));
    assert!(house.keeper.write_fault().is_none());
    assert_eq!(house.keeper.state().revision(), at(1), "nothing was added");
}

#[tokio::test]
async fn a_write_that_failed_and_was_written_after_all_is_found_again() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    ledger.be(Mood::FailAfterwards);
    assert!(is_unavailable(&house.keeper.execute(grant(1)).await));
    ledger.be(Mood::Well);
    let told = house.audience.wait_for(|told| told.newest() == at(2));
    assert_eq!(told.views.last().unwrap().grants.len(), 1);
    let revoked = house.keeper.execute(revoke_all()).await.unwrap();
    assert_eq!(revoked.revision, at(3));
}

#[tokio::test]
async fn a_command_right_after_such_a_write_is_decided_with_it() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    ledger.be(Mood::FailAfterwards);
    assert!(is_unavailable(&house.keeper.execute(grant(1)).await));
    ledger.be(Mood::Well);
    let revoked = house.keeper.execute(revoke_all()).await.unwrap();
    assert_eq!(revoked.revision, at(3));
    assert!(revoked.state.grants().values().all(|grant| !grant.is_in_force(DAY)));
}

#[tokio::test]
async fn a_ledger_that_went_back_is_never_proven_and_takes_nothing() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    ledger.be(Mood::GoBack);
    house.clock.advance(Duration::from_secs(60));
    let refused = house.keeper.execute(grant(1)).await;
    assert!(is_unavailable(&refused));
    let source = std::error::Error::source(&refused.unwrap_err()).unwrap().to_string();
    assert_eq!(source, "cannot read the ledger");
    assert_eq!(house.audience.told().proven.last(), Some(&DAY));
    ledger.be(Mood::Well);
    house.audience.wait_for(|told| told.proven.last() > Some(&DAY));
}

#[tokio::test]
async fn a_hung_ledger_is_given_up_waiting_for_and_its_queue_is_bounded() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    let (release, released): (Sender<()>, _) = channel();
    ledger.be(Mood::Hang(released));
    let began = Instant::now();
    let keeper = house.keeper.clone();
    let queue = ledger::keeper::QUEUE_MAX;
    let waiting = (0..queue + 2).map(|_| {
        let keeper = keeper.clone();
        async move { keeper.execute(revoke_all()).await }
    });
    let answers = all(waiting).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let busy = answers.iter().filter(|answer| matches!(answer, Err(ExecuteError::Busy)));
    let busy = busy.count();
    assert!((1..=2).contains(&busy), "{busy} busy");
    assert_eq!(answers.iter().filter(|answer| is_unavailable(answer)).count(), queue + 2 - busy);
    // The keeper may have taken its first order after all were given: that left room for one more.
    let reads = all((0..2).map(|_| {
        let keeper = keeper.clone();
        async move { keeper.read(at(0), 1).await }
    }));
    assert!(reads.await.iter().any(|read| matches!(read, Err(FetchError::Busy))));
    drop(release);
    ledger.be(Mood::Well);
    house.keeper.stop().await;
    let revision = house.keeper.state().revision();
    assert_eq!(revision, at(2), "whoever gave up waiting gave up the command");
}

#[tokio::test]
async fn while_it_fails_each_new_command_is_tried_and_none_is_remembered() {
    let ledger = Moody::new();
    let house = house(ledger.clone()).await;
    ledger.be(Mood::Fail);
    for number in 1..5 {
        assert!(is_unavailable(&house.keeper.execute(grant(number)).await));
    }
    ledger.be(Mood::Well);
    let given = house.keeper.execute(grant(9)).await.unwrap();
    assert_eq!((given.revision, given.state.grants().len()), (at(2), 1));
}

/// Runs futures side by side on this thread's runtime.
async fn all<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = futures.map(|future| local.spawn_local(future)).collect();
    local.await;
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}
