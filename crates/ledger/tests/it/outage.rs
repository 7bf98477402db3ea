//! The keeper with a ledger that is locked, hangs, fails in the middle of a write, or goes back.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::Revision;
use control::Event;
use ledger::{
    AppendError, ExecuteError, FetchError, Ledger, Memory, ReadError, Recorded, Sqlite, StoreFault,
};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::world::{DAY, at, grant, house, revoke_all, start};

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

enum Mood {
    Well,
    /// Appends, and says that it could not.
    FailAfterwards,
    /// Says so with each append, and appends nothing.
    Fail,
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
            Mood::FailAfterwards => {
                self.ledger.append(expected, events)?;
                return Err(AppendError::Store(fault()));
            }
            Mood::GoBack => return Err(AppendError::Conflict { expected, found: at(0) }),
            Mood::Hang(released) => {
                let _ = released.recv();
            }
            Mood::Well => {}
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
    assert!(matches!(house.keeper.read(at(0), 1).await, Err(FetchError::Busy)));
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
