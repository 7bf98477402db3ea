//! The keeper's thread: decide, append, apply, publish, answer; and a heartbeat in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use access::policy::{Compiled, Policy};
use access::{Clock, Revision, Timestamp};
use control::{Command, Event, State, decide, project};
use tokio::sync::{oneshot, watch};

use crate::keeper::{Current, ExecuteError, Executed, HEARTBEAT, Publish, READ_MAX, StartError};
use crate::{AppendError, Ledger, ReadError, Recorded, StoreFault};

/// How often one command is decided anew because another writer came first.
const DECIDE_TRIES_MAX: usize = 8;

/// The most pages of [`READ_MAX`] events that a ledger may have: a thousand million events.
const CATCH_UP_PAGES_MAX: usize = 1_000_000;

/// Something to do, numbered in the order of giving.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) task: Task,
}

#[derive(Debug)]
pub(crate) enum Task {
    Execute(Box<Command>, oneshot::Sender<Result<Executed, ExecuteError>>),
    Read(Revision, usize, oneshot::Sender<Result<Vec<Recorded>, ReadError>>),
    CatchUp(oneshot::Sender<Result<Revision, ReadError>>),
    TakePart(Part, oneshot::Sender<()>),
    /// The answer comes when the ledger is closed.
    Stop(oneshot::Sender<()>),
}

/// Whether commands are carried out here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Lead,
    /// Another process of this node does, and keeps the room for revocations.
    Follow,
}

pub(crate) struct Writer {
    ledger: Box<dyn Ledger>,
    clock: Arc<dyn Clock>,
    publish: Arc<dyn Publish>,
    /// INVARIANT: the fold of all events up to its revision, and what `current` shows.
    state: Arc<State>,
    /// The compiled form of the state's policy, or `nothing`.
    compiled: Arc<Compiled>,
    /// The policy that allows nothing.
    nothing: Arc<Compiled>,
    current: watch::Sender<Current>,
    head: watch::Sender<Revision>,
    reach: Reach,
    beat_due: Timestamp,
    failed: Option<Failed>,
    /// What the last write failed with.
    write_fault: watch::Sender<Option<StoreFault>>,
    room: Room,
    part: Part,
}

/// Whether the ledger answered last time: a change is logged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Proven,
    Lost,
}

/// Whether all the room for revocations is kept: a change is logged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Kept,
    Lacking,
}

/// A failure, and the orders that were waiting when it happened: each has waited once already.
struct Failed {
    given: u64,
    fault: StoreFault,
}

impl Writer {
    pub(crate) fn load(
        ledger: Box<dyn Ledger>,
        clock: Arc<dyn Clock>,
        publish: Arc<dyn Publish>,
    ) -> Result<Self, StartError> {
        let nothing = Arc::new(Compiled::new(Policy::default())?);
        let state = Arc::new(State::new());
        let view = Arc::new(project(&state, Arc::clone(&nothing)));
        let shown = Arc::clone(&state);
        let mut writer = Self {
            ledger,
            beat_due: clock.now(),
            clock,
            publish,
            state,
            compiled: Arc::clone(&nothing),
            nothing,
            current: watch::Sender::new(Current { state: shown, view }),
            head: watch::Sender::new(Revision::ZERO),
            reach: Reach::Proven,
            failed: None,
            write_fault: watch::Sender::new(None),
            room: Room::Kept,
            part: Part::Lead,
        };
        writer.catch_up()?;
        writer.show();
        writer.beat();
        Ok(writer)
    }

    pub(crate) fn watches(&self) -> (watch::Receiver<Current>, watch::Receiver<Revision>) {
        (self.current.subscribe(), self.head.subscribe())
    }

    pub(crate) fn watch_writes(&self) -> watch::Receiver<Option<StoreFault>> {
        self.write_fault.subscribe()
    }

    /// Works until it is stopped or nobody can give orders any more. `given` counts the orders.
    pub(crate) fn run(mut self, orders: &Receiver<Order>, given: &AtomicU64) {
        loop {
            match orders.recv_timeout(HEARTBEAT) {
                Ok(Order { task: Task::Stop(done), .. }) => {
                    drop(self);
                    // Whoever asked may have gone.
                    let _ = done.send(());
                    return;
                }
                Ok(order) => self.follow(order, given),
                Err(RecvTimeoutError::Timeout) => self.beat(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.clock.now() >= self.beat_due {
                self.beat();
            }
        }
    }

    fn follow(&mut self, order: Order, given: &AtomicU64) {
        match order.task {
            Task::Execute(_, answer) if answer.is_closed() => {}
            Task::Execute(_, answer) if self.part == Part::Follow => {
                let _ = answer.send(Err(ExecuteError::Stopped));
            }
            Task::Execute(command, answer) => {
                let done = self.execute_unless_failed(order.number, &command, given);
                let _ = answer.send(done);
                // After the answer: who takes access away does not wait for the next one's room.
                self.keep_room();
            }
            Task::Read(since, most, answer) => {
                let _ = answer.send(self.ledger.read(since, most));
            }
            Task::CatchUp(answer) => {
                let shown = self.prove_fresh();
                let _ = answer.send(shown.map(|()| self.state.revision()));
            }
            Task::TakePart(part, answer) => {
                self.part = part;
                let _ = answer.send(());
            }
            // INVARIANT: `run` takes this one itself.
            Task::Stop(_) => {}
        }
    }

    /// Commands that waited behind a failing one share its answer instead of waiting in turn.
    fn execute_unless_failed(
        &mut self,
        number: u64,
        command: &Command,
        given: &AtomicU64,
    ) -> Result<Executed, ExecuteError> {
        if let Some(failed) = self.failed.as_ref().filter(|failed| number < failed.given) {
            return Err(ExecuteError::Unavailable(failed.fault.clone()));
        }
        let done = self.execute(command);
        if let Err(ExecuteError::Unavailable(fault)) = &done {
            let (given, fault) = (given.load(Ordering::Relaxed), fault.clone());
            self.write_fault.send_replace(Some(fault.clone()));
            self.failed = Some(Failed { given, fault });
        }
        done
    }

    fn execute(&mut self, command: &Command) -> Result<Executed, ExecuteError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let now = self.clock.now();
            let events = decide(&self.state, command, now)?;
            if events.is_empty() {
                return Ok(self.executed(events));
            }
            match self.append(&events) {
                Ok(_) => {
                    self.take_in(&events);
                    self.show();
                    self.prove(now);
                    return Ok(self.executed(events));
                }
                Err(AppendError::Conflict { found, .. }) => self.follow_others(found)?,
                Err(AppendError::Full(fault) | AppendError::Store(fault)) => {
                    return Err(ExecuteError::Unavailable(fault));
                }
            }
        }
        let why = "other writers came first every time";
        Err(ExecuteError::Unavailable(StoreFault::new(why)))
    }

    /// What takes access away may use the room kept for it; the ledger counts as full even so.
    fn append(&mut self, events: &[Event]) -> Result<Revision, AppendError> {
        let expected = self.state.revision();
        let fault = match self.ledger.append(expected, events) {
            Err(AppendError::Full(fault)) => fault,
            Ok(head) => {
                self.write_fault.send_replace(None);
                return Ok(head);
            }
            failed => return failed,
        };
        self.write_fault.send_replace(Some(fault.clone()));
        let takes_away = events.iter().all(|event| event.change.takes_away());
        if !takes_away || !self.ledger.give_up_room() {
            return Err(AppendError::Full(fault));
        }
        tracing::warn!(%fault, "access is taken away in the room kept for it");
        self.ledger.append(expected, events)
    }

    fn keep_room(&mut self) {
        let room = match self.ledger.keep_room() {
            Ok(()) => Room::Kept,
            Err(why) if self.room == Room::Kept => {
                tracing::error!(%why, "not all the room for revocations on a full disk can be kept");
                Room::Lacking
            }
            Err(_) => Room::Lacking,
        };
        self.room = room;
    }

    fn executed(&self, events: Vec<Event>) -> Executed {
        Executed { revision: self.state.revision(), events, state: Arc::clone(&self.state) }
    }

    /// Takes in what others appended up to `head`, and shows it.
    fn follow_others(&mut self, head: Revision) -> Result<(), ExecuteError> {
        self.follow_to(head).map_err(|why| ExecuteError::Unavailable(StoreFault::new(why)))
    }

    fn follow_to(&mut self, head: Revision) -> Result<(), ReadError> {
        let known = self.state.revision();
        if head < known {
            let why = format!("the ledger went back from `{known}` to `{head}`");
            return Err(ReadError::Store(StoreFault::new(why)));
        }
        if head == known {
            return Ok(());
        }
        let caught_up = self.catch_up();
        // INVARIANT: what was taken in is shown, even if more could not be read.
        self.show();
        caught_up?;
        if self.state.revision() < head {
            let why = format!("the ledger was at `{head}` and ends before it");
            return Err(ReadError::Store(StoreFault::new(why)));
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<(), ReadError> {
        for _ in 0..CATCH_UP_PAGES_MAX {
            let page = self.ledger.read(self.state.revision(), READ_MAX)?;
            if page.is_empty() {
                return Ok(());
            }
            let events: Vec<Event> = page.into_iter().map(|recorded| recorded.event).collect();
            self.take_in(&events);
        }
        Err(ReadError::Store(StoreFault::new("the ledger has no end")))
    }

    fn take_in(&mut self, events: &[Event]) {
        let state = Arc::make_mut(&mut self.state);
        let before = Arc::clone(state.policy());
        events.iter().for_each(|event| state.apply(event));
        if !Arc::ptr_eq(&before, state.policy()) {
            self.compile();
        }
    }

    fn compile(&mut self) {
        let policy = Policy::clone(self.state.policy());
        for (role, list, rule) in policy.unread() {
            tracing::error!(
                %role, %list, rule,
                "a rule of the policy in the ledger cannot be read: an `allow` gives nothing, a `deny` refuses everything"
            );
        }
        self.compiled = match Compiled::new(policy) {
            Ok(compiled) => Arc::new(compiled),
            Err(why) => {
                tracing::error!(
                    %why,
                    "the policy in the ledger does not compile: refusing everything until another is adopted"
                );
                Arc::clone(&self.nothing)
            }
        };
    }

    /// Publishes the state's view; whoever watches learns of it after it is in force.
    fn show(&self) {
        let view = Arc::new(project(&self.state, Arc::clone(&self.compiled)));
        self.publish.publish(Arc::clone(&view));
        let state = Arc::clone(&self.state);
        self.current.send_replace(Current { state, view });
        self.head.send_replace(self.state.revision());
    }

    fn beat(&mut self) {
        if let Err(why) = self.prove_fresh() {
            self.lose(&why);
        }
        if self.part == Part::Lead {
            self.try_again();
            self.keep_room();
        }
        self.beat_due = self.clock.now().plus(HEARTBEAT);
    }

    fn prove_fresh(&mut self) -> Result<(), ReadError> {
        // Taken before the probe: what is proven is that nothing else had been decided *then*.
        let at = self.clock.now();
        self.ledger.prove().and_then(|head| self.follow_to(head))?;
        self.prove(at);
        Ok(())
    }

    /// After a write that failed: whether one would succeed now.
    fn try_again(&mut self) {
        let failed = self.write_fault.borrow().is_some();
        if failed && self.reach == Reach::Proven && self.ledger.try_write().is_ok() {
            self.write_fault.send_replace(None);
            tracing::info!("the ledger can be written again");
        }
    }

    fn prove(&mut self, at: Timestamp) {
        self.publish.proven(at);
        self.failed = None;
        self.beat_due = self.clock.now().plus(HEARTBEAT);
        if self.reach == Reach::Lost {
            tracing::info!("the ledger answers again");
        }
        self.reach = Reach::Proven;
    }

    fn lose(&mut self, why: &ReadError) {
        if self.reach == Reach::Proven {
            let cause = std::error::Error::source(why).map(ToString::to_string);
            tracing::error!(%why, cause, "the ledger does not answer: nothing proves that the view is fresh");
        }
        self.reach = Reach::Lost;
    }
}
