//! A lane: one core's way into the log.
//!
//! A lane belongs to one thread and shares nothing with others while a request passes: the record is encoded and
//! hashed at once into the lane's own buffer. Its driver, [`Lane::run`], ships the buffer at the end of the tick,
//! one parcel at a time; what arrives while a parcel is in flight is shipped when its answer is back. So many
//! requests share one commit exactly when there are many.
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

use crate::flow::{Bounds, Flow};
use crate::health::{Gauges, Writable};
use crate::open::{Opening, Refusing, Unavailable};
use crate::parcel::{Command, Parcel, Ship, Shipped};
use crate::record::{Refusal, Request};

/// How long a lane waits before it offers a parcel again to a writer that has too much to do.
const OFFER_AGAIN: Duration = Duration::from_millis(1);

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
    /// [`Unavailable::Late`] it is written only if the intent was not.
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
        // Every request of this tick joins.
        tokio::task::yield_now().await;
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
    tokio::select! {
        biased;
        () = poll_fn(|context| core.with(|flow| flow.poll_cargo(context.waker()))) => true,
        _ = changes.changed() => {
            core.with(Flow::unblock);
            false
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
