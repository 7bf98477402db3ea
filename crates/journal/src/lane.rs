//! A lane: one core's way into the log.
//!
//! A lane belongs to one thread and shares nothing with others while a request passes: the record is encoded and
//! hashed at once into the lane's own buffer. Its driver, [`Lane::run`], ships the buffer when a turn of the thread's
//! other work brings no more, one parcel at a time; what arrives while a parcel is in flight is shipped when its answer
//! is back. So many requests share one commit exactly when there are many. Outcomes, for which nobody waits, go with the
//! next intents, or after [`OUTCOME_WAIT_MAX`].
//!
//! If a commit takes longer than `commit_wait_max`, everybody who waits is told so, and new intents fail at once
//! until the answer is there. If it turns out that intents were written after all, their outcomes say `failed`,
//! `503`, `journal_unavailable`, and that is the request's one row: its refusal is then not written. If they were
//! not written, the refusal is.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use access::{Clock, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::budget::Spent;
use crate::flow::{Bounds, Flow};
use crate::health::{Gauges, Writable};
use crate::open::{Opening, Refusing, Unavailable};
use crate::parcel::{Command, Parcel, Ship, Shipped};
use crate::record::{Refusal, Request};

/// How long a lane waits before it offers a parcel again to a writer that has too much to do.
const OFFER_AGAIN: Duration = Duration::from_millis(1);

/// For how long requests are gathered while each turn of the thread's other work brings more.
const GATHER_TIME_MAX: Duration = Duration::from_millis(2);
/// How long outcomes wait for intents to go with: what a crash leaves `unknown` beyond what was under way.
const OUTCOME_WAIT_MAX: Duration = Duration::from_millis(5);

/// What every lane of a node shares.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) commands: SyncSender<Command>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) commit_wait_max: Duration,
    pub(crate) bounds: Bounds,
}

/// A lane's inside.
#[derive(Debug)]
pub(crate) struct Core {
    flow: RefCell<Flow>,
    uplink: Arc<Uplink>,
}

impl Core {
    /// Does something with the flow, then wakes whom it concerns: a waker may run code of its own.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Flow) -> T) -> T {
        let (result, mut wakers) = {
            let mut flow = self.flow.borrow_mut();
            let result = act(&mut flow);
            if flow.wakers.is_empty() {
                return result;
            }
            (result, std::mem::take(&mut flow.wakers))
        };
        for waker in wakers.drain(..) {
            waker.wake();
        }
        let mut flow = self.flow.borrow_mut();
        if flow.wakers.is_empty() {
            flow.wakers = wakers;
        }
        result
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.uplink.clock.now()
    }
}

/// One thread's way into the log. A clone is the same lane.
#[derive(Debug, Clone)]
pub struct Lane {
    core: Rc<Core>,
}

impl Lane {
    pub(crate) fn new(uplink: Arc<Uplink>) -> Self {
        let flow = RefCell::new(Flow::new(uplink.bounds));
        Self { core: Rc::new(Core { flow, uplink }) }
    }

    /// Records that a request may pass. Its entry exists when the intent is durable.
    ///
    /// The record is taken at once, before the first poll. Fails with [`Unavailable::Down`] or
    /// [`Unavailable::Late`] at once while the log cannot be written, with [`Unavailable::Full`] at a bound.
    pub fn open(&self, request: &Request<'_>) -> Opening {
        let ticket = match self.core.uplink.gauges.writable() {
            Writable::Yes => self.core.with(|flow| flow.open(request)),
            Writable::OutcomesOnly | Writable::No => Err(Unavailable::Down),
        };
        Opening::new(Rc::clone(&self.core), ticket)
    }

    /// Records that a request may not pass, as answered `at` this instant.
    ///
    /// Resolves when the refusal is durable; at once, without a receipt, while the log cannot be written: then the
    /// refusal is held (`refusals_held_max` of them) or counted in a note. Of a request whose intent was
    /// [`Unavailable::Late`] it is written only if the intent was not. One without a subject is counted at once, too,
    /// if its source or the lane has had as many rows as it may.
    pub fn refuse(&self, request: &Request<'_>, reason: &str, status: u16, at: Timestamp) -> Refusing {
        let duration_us = u64::try_from(at.since(request.time).as_micros()).unwrap_or(u64::MAX);
        let refusal = Refusal { request: *request, reason, status, duration_us };
        let ticket = match self.core.uplink.gauges.writable() {
            Writable::Yes | Writable::OutcomesOnly => self.core.with(|flow| flow.refuse(&refusal)),
            Writable::No => {
                self.core.with(|flow| flow.hold(&refusal));
                None
            }
        };
        Refusing::new(Rc::clone(&self.core), ticket)
    }

    /// Asks for a row of a request that is answered without a subject, before it is opened. [`Spent::Nothing`]: it is
    /// counted under `reason` among what has no rows, and is not to be opened.
    pub fn spend(&self, request: &Request<'_>, reason: &str) -> Spent {
        self.core.with(|flow| flow.spend(request, reason, self.core.now()))
    }

    /// Carries the lane's records to the writer and the answers back, until the journal is shut down.
    ///
    /// Spawn it once on the lane's own thread; nothing is written without it.
    pub fn run(&self) -> impl Future<Output = ()> + use<> {
        drive(Rc::clone(&self.core))
    }

    /// Waits until everything taken so far is written, or the log cannot be written: before a shutdown.
    pub async fn flush(&self) {
        poll_fn(|context| {
            let writable = self.core.uplink.gauges.writable();
            self.core.with(|flow| flow.poll_flushed(writable, context.waker()))
        })
        .await;
    }
}

async fn drive(core: Rc<Core>) {
    let mut changes = core.uplink.gauges.changes();
    loop {
        if core.uplink.gauges.writable() == Writable::No {
            core.with(Flow::block);
            if core.uplink.gauges.has_ended() || changes.changed().await.is_err() {
                return;
            }
            core.with(Flow::unblock);
            continue;
        }
        if !have_cargo(&core, &mut changes).await {
            continue;
        }
        gather(&core).await;
        if ship(&core).await.is_none() {
            core.uplink.gauges.end();
            core.with(Flow::lose);
            return;
        }
    }
}

/// Whether there is something to ship; otherwise something has changed.
async fn have_cargo(core: &Core, changes: &mut watch::Receiver<Writable>) -> bool {
    if changes.has_changed().unwrap_or(false) {
        changes.mark_unchanged();
        core.with(Flow::unblock);
    }
    let cargo = async {
        poll_fn(|context| core.with(|flow| flow.poll_cargo(core.now(), context.waker()))).await;
        let urgent = poll_fn(|context| core.with(|flow| flow.poll_urgent(context.waker())));
        // Late or not: there is something.
        let _ = tokio::time::timeout(OUTCOME_WAIT_MAX, urgent).await;
    };
    let rest = core.with(|flow| flow.rest(core.now()));
    tokio::select! {
        biased;
        () = cargo => true,
        _ = changes.changed() => {
            core.with(Flow::unblock);
            false
        }
        () = tokio::time::sleep(rest), if !rest.is_zero() => false,
    }
}

/// Lets every request of this turn join, and of those behind it for as long as each brings more: a thread that has
/// other work to do loses nothing by it.
async fn gather(core: &Core) {
    let begun = core.now();
    loop {
        let waiting = core.with(|flow| flow.waiting());
        tokio::task::yield_now().await;
        let came = core.with(|flow| flow.waiting()) > waiting;
        if !came || core.now().since(begun) >= GATHER_TIME_MAX {
            return;
        }
    }
}

/// One parcel there and back. `None`: the writer has ended.
async fn ship(core: &Core) -> Option<()> {
    let parcel = core.with(|flow| flow.load(core.now()));
    let mut exchange = pin!(exchange(core, parcel));
    let shipped = match tokio::time::timeout(core.uplink.commit_wait_max, &mut exchange).await {
        Ok(shipped) => shipped,
        Err(_) => {
            core.with(Flow::stall);
            exchange.await
        }
    }?;
    core.with(|flow| flow.settle(shipped, core.now()));
    Some(())
}

async fn exchange(core: &Core, parcel: Parcel) -> Option<Shipped> {
    let (ack, answer) = oneshot::channel();
    let mut offer = Command::Ship(Box::new(Ship { parcel, ack }));
    loop {
        match core.uplink.commands.try_send(offer) {
            Ok(()) => return answer.await.ok(),
            Err(TrySendError::Full(again)) => offer = again,
            Err(TrySendError::Disconnected(_)) => return None,
        }
        tokio::time::sleep(OFFER_AGAIN).await;
    }
}
