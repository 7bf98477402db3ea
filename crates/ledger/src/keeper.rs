//! The keeper: the one way by which access changes on this node.
//!
//! One thread owns the ledger. It decides each command against the newest state, appends the events,
//! applies them, publishes the view, and only then answers: what is acknowledged is durable and in force.
//! A ledger that fails or is locked refuses commands, proves nothing and is tried again; while it is out,
//! whoever judges requests by the published view sees it grow old, and stops. On a full disk what takes
//! access away goes into room kept for it, and everything else is refused.
//! Not here: the thread's own work (see `writer`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use access::policy::PolicyError;
use access::view::View;
use access::{Clock, Revision, Timestamp};
use control::{Command, Denied, Event, State};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::writer::{Order, Part, Task, Writer};
use crate::{Ledger, ReadError, Recorded, StoreFault};

/// The most commands and reads that wait for the keeper; one more is answered `Busy`.
pub const QUEUE_MAX: usize = 1_024;

/// How long the ledger may go without being proven while it is idle.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a command or a read waits for its answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_millis(1_500);

/// The most events that one read returns.
pub const READ_MAX: usize = 1_000;

/// Where the keeper puts what it knows.
pub trait Publish: Send + Sync {
    /// This view is in force from now on. Called before the command that changed it is answered.
    fn publish(&self, view: Arc<View>);

    /// The newest published view showed all that had been decided at `at`.
    fn proven(&self, at: Timestamp);
}

/// A handle on the keeper. Clones are handles on the same one; it ends with the last, or by [`Keeper::stop`].
#[derive(Debug, Clone)]
pub struct Keeper {
    orders: SyncSender<Order>,
    /// How many orders were ever given.
    given: Arc<AtomicU64>,
    current: watch::Receiver<Current>,
    head: watch::Receiver<Revision>,
    write_fault: watch::Receiver<Option<StoreFault>>,
}

/// The newest state, and the view of it.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) state: Arc<State>,
    pub(crate) view: Arc<View>,
}

/// A command that was carried out. Its events are durable and in force.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The ledger's position after them.
    pub revision: Revision,
    /// What it became; none if nothing needed to change.
    pub events: Vec<Event>,
    /// The state after them.
    pub state: Arc<State>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The rules forbid it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Too many commands wait: try again.
    #[error("{QUEUE_MAX} commands wait for the ledger already")]
    Busy,
    /// The ledger cannot be written now. As a rule nothing was changed; when the store failed in the middle
    /// of a write it may turn out to have been, which the next read of the ledger tells.
    #[error("the ledger cannot be written now")]
    Unavailable(#[source] StoreFault),
    /// The keeper has ended.
    #[error("the ledger is closed")]
    Stopped,
}

/// Why no events were read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Too many orders wait: try again.
    #[error("{QUEUE_MAX} orders wait for the ledger already")]
    Busy,
    /// No answer came within [`ANSWER_WAIT_MAX`].
    #[error("the ledger does not answer")]
    TimedOut,
    /// The keeper has ended.
    #[error("the ledger is closed")]
    Stopped,
}

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger cannot be read, or is not what was appended.
    #[error("cannot load the ledger")]
    Read(#[from] ReadError),
    /// The empty policy does not compile, which never happens.
    #[error("cannot compile the empty policy")]
    Policy(#[from] PolicyError),
    /// The system gives no thread.
    #[error("cannot start the ledger's thread")]
    Thread(#[source] io::Error),
}

impl Keeper {
    /// Reads and checks the whole ledger, publishes the view, and starts the thread. Blocks meanwhile.
    ///
    /// A ledger that can be read and not written at this moment is no error: its view is published and not
    /// proven. A policy in it that does not compile any more is none either: the view then refuses
    /// everything until another policy is adopted.
    ///
    /// # Errors
    /// [`StartError`]; a broken chain is named in its source.
    pub fn start(
        ledger: impl Ledger,
        clock: Arc<dyn Clock>,
        publish: Arc<dyn Publish>,
    ) -> Result<Self, StartError> {
        let writer = Writer::load(Box::new(ledger), clock, publish)?;
        let (current, head) = writer.watches();
        let write_fault = writer.watch_writes();
        let (orders, taken) = sync_channel(QUEUE_MAX);
        let given = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&given);
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&taken, &counter))
            .map_err(StartError::Thread)?;
        Ok(Self { orders, given, current, head, write_fault })
    }

    /// Carries out a command, within about [`ANSWER_WAIT_MAX`].
    ///
    /// If the future is dropped before its turn comes, nothing happens.
    ///
    /// # Errors
    /// [`ExecuteError`] says why it was not carried out.
    pub async fn execute(&self, command: Command) -> Result<Executed, ExecuteError> {
        let (answer, answered) = oneshot::channel();
        self.give(Task::Execute(Box::new(command), answer))?;
        match timeout(ANSWER_WAIT_MAX, answered).await {
            Ok(answer) => answer.unwrap_or(Err(ExecuteError::Stopped)),
            Err(_) => Err(ExecuteError::Unavailable(StoreFault::new("it does not answer"))),
        }
    }

    /// The events after `since`, at most `most` of them and at most [`READ_MAX`].
    ///
    /// # Errors
    /// [`FetchError`] says why there are none.
    pub async fn read(&self, since: Revision, most: usize) -> Result<Vec<Recorded>, FetchError> {
        let (answer, answered) = oneshot::channel();
        self.give(Task::Read(since, most.min(READ_MAX), answer))?;
        match timeout(ANSWER_WAIT_MAX, answered).await {
            Ok(Ok(read)) => Ok(read?),
            Ok(Err(_)) => Err(FetchError::Stopped),
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    /// Leaves the ledger to another process of this node: from now on commands are answered `Stopped`, and nothing
    /// is written. Events of others are followed, and the view is proven, as before.
    pub async fn follow(&self) {
        self.take_part(Part::Follow).await;
    }

    /// Carries out commands again, after [`Keeper::follow`].
    pub async fn lead(&self) {
        self.take_part(Part::Lead).await;
    }

    async fn take_part(&self, part: Part) {
        let (answer, answered) = oneshot::channel();
        if self.give(Task::TakePart(part, answer)).is_ok() {
            // An error means that the keeper has ended.
            let _ = answered.await;
        }
    }

    /// Takes in at once what others have appended, and shows it; the revision that is shown then.
    ///
    /// # Errors
    /// [`FetchError`] if the ledger cannot be read now.
    pub async fn catch_up(&self) -> Result<Revision, FetchError> {
        let (answer, answered) = oneshot::channel();
        self.give(Task::CatchUp(answer))?;
        match timeout(ANSWER_WAIT_MAX, answered).await {
            Ok(Ok(shown)) => Ok(shown?),
            Ok(Err(_)) => Err(FetchError::Stopped),
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    /// Ends the keeper after the orders given before, and returns when the ledger is closed.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        let order = self.number(Task::Stop(done));
        let orders = self.orders.clone();
        // A full queue is waited for here, off the caller's thread.
        let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
        if matches!(sent, Ok(Ok(()))) {
            // An error means that it had ended already.
            let _ = ended.await;
        }
    }

    /// The newest state.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.current.borrow().state)
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.current.borrow().view)
    }

    /// The ledger's position, as it moves.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Revision> {
        self.head.clone()
    }

    /// What the last write failed with; none once one succeeded, which is tried at each heartbeat.
    ///
    /// A ledger that takes a revocation only into the room kept for it is full, and says so here.
    #[must_use]
    pub fn write_fault(&self) -> Option<StoreFault> {
        self.write_fault.borrow().clone()
    }

    fn give(&self, task: Task) -> Result<(), NotGiven> {
        let order = self.number(task);
        self.orders.try_send(order).map_err(|why| match why {
            TrySendError::Full(_) => NotGiven::Busy,
            TrySendError::Disconnected(_) => NotGiven::Stopped,
        })
    }

    fn number(&self, task: Task) -> Order {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        Order { number, task }
    }
}

/// Why an order did not reach the keeper.
enum NotGiven {
    Busy,
    Stopped,
}

impl From<NotGiven> for ExecuteError {
    fn from(why: NotGiven) -> Self {
        match why {
            NotGiven::Busy => Self::Busy,
            NotGiven::Stopped => Self::Stopped,
        }
    }
}

impl From<NotGiven> for FetchError {
    fn from(why: NotGiven) -> Self {
        match why {
            NotGiven::Busy => Self::Busy,
            NotGiven::Stopped => Self::Stopped,
        }
    }
}
