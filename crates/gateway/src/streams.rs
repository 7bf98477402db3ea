//! Who is open: every admitted request of a core, and the switch that cuts it when its access ends.
//!
//! A request is registered before it is forwarded. It is cut when a newer view no longer holds its credential,
//! or when its deadline passes, whichever comes first. One table per core, touched by that core alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use access::view::{Held, View};
use access::{Clock, Deadline, Reason, Timestamp};
use slab::Slab;
use tokio::sync::Notify;

use crate::bounds::DEADLINE_CHECK_TIME_MAX;
use crate::clients::{Shown, Void};
use crate::peer::Peer;
use crate::picture::Views;
use crate::tls::Doors;

/// What kind of exchange it is, as receipts count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Websocket,
    Sse,
    Grpc,
    Transfer,
}

/// How many exchanges were cut, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutCounts {
    /// WebSocket connections.
    pub websocket: u64,
    /// Server-sent event streams.
    pub sse: u64,
    /// gRPC calls.
    pub grpc: u64,
    /// Every other request or answer under way.
    pub transfer: u64,
}

impl CutCounts {
    fn count(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Websocket => &mut self.websocket,
            Kind::Sse => &mut self.sse,
            Kind::Grpc => &mut self.grpc,
            Kind::Transfer => &mut self.transfer,
        };
        *counter = counter.saturating_add(1);
    }

    /// The sum of two counts.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            websocket: self.websocket.saturating_add(other.websocket),
            sse: self.sse.saturating_add(other.sse),
            grpc: self.grpc.saturating_add(other.grpc),
            transfer: self.transfer.saturating_add(other.transfer),
        }
    }
}

#[derive(Debug)]
struct Open {
    held: Held,
    until: Deadline,
    /// The certificate of its connection.
    shown: Option<Rc<Shown>>,
    kind: Cell<Kind>,
    /// Why it was cut, once it was.
    cut: Cell<Option<Reason>>,
    waker: RefCell<Option<Waker>>,
}

impl Open {
    fn cut(&self, why: Reason) {
        if self.cut.replace(Some(why)).is_some() {
            return;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The open exchanges of one core.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: RefCell<Slab<Rc<Open>>>,
    /// The earliest deadline that the watch waits for.
    armed: Cell<Option<Timestamp>>,
    earlier: Notify,
}

/// One open exchange; leaves the table when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    streams: Rc<Streams>,
    key: usize,
    open: Rc<Open>,
}

impl Streams {
    /// Registers an exchange that must end when its credential does.
    pub(crate) fn register(self: &Rc<Self>, held: Held, until: Deadline, peer: &Peer) -> Ticket {
        let open = Rc::new(Open {
            held,
            until,
            shown: peer.shown.clone(),
            kind: Cell::new(Kind::Transfer),
            cut: Cell::new(None),
            waker: RefCell::new(None),
        });
        let key = self.open.borrow_mut().insert(open.clone());
        if self.armed.get().is_none_or(|armed| until.instant() < armed) {
            self.armed.set(Some(until.instant()));
            self.earlier.notify_one();
        }
        Ticket { streams: self.clone(), key, open }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Cuts every exchange that `view` no longer holds at `now`.
    pub(crate) fn cut_ended(&self, view: &View, now: Timestamp) -> CutCounts {
        self.cut_where(|open| why_ended(open, view, now))
    }

    /// Cuts every exchange whose connection's certificate is good no more.
    pub(crate) fn cut_void(&self, doors: &Doors, now: Timestamp) -> CutCounts {
        self.cut_where(|open| why_void(open, doors, now))
    }

    /// Cuts every exchange: the node stops.
    pub(crate) fn cut_all(&self) -> CutCounts {
        self.cut_where(|_| Some(Reason::Draining))
    }

    fn cut_where(&self, why: impl Fn(&Open) -> Option<Reason>) -> CutCounts {
        let mut counts = CutCounts::default();
        for (_, open) in self.open.borrow().iter().filter(|(_, open)| open.cut.get().is_none()) {
            if let Some(why) = why(open) {
                open.cut(why);
                counts.count(open.kind.get());
            }
        }
        counts
    }

    /// Cuts exchanges at their deadlines, for as long as it is polled.
    ///
    /// Looks again at least every [`DEADLINE_CHECK_TIME_MAX`], so that a clock that jumps ahead is noticed.
    pub(crate) async fn watch_deadlines(&self, clock: &dyn Clock, views: &Views, doors: &Doors) {
        loop {
            let now = clock.now();
            let view = &views.latest().view;
            self.cut_void(doors, now);
            self.cut_where(|open| open.until.has_passed(now).then(|| why_ended(open, view, now)).flatten());
            let next = self
                .open
                .borrow()
                .iter()
                .filter(|(_, open)| open.cut.get().is_none())
                .map(|(_, open)| open.until.instant())
                .min();
            self.armed.set(next);
            match next {
                None => self.earlier.notified().await,
                Some(at) => {
                    let wait = at.since(now).min(DEADLINE_CHECK_TIME_MAX);
                    let _ = tokio::time::timeout(wait, self.earlier.notified()).await;
                }
            }
        }
    }
}

/// Why the certificate of an exchange's connection is good no more, if it has one.
fn why_void(open: &Open, doors: &Doors, now: Timestamp) -> Option<Reason> {
    open.shown.as_ref()?.why_void(doors, now).map(Void::reason)
}

/// Why an exchange may not go on.
fn why_ended(open: &Open, view: &View, now: Timestamp) -> Option<Reason> {
    let late = || open.until.has_passed(now).then_some(Reason::GrantEnded);
    view.why_not_held(&open.held, now).or_else(late)
}

impl Ticket {
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.open.kind.set(kind);
    }

    /// Cuts this exchange.
    pub(crate) fn cut_now(&self, why: Reason) {
        self.open.cut(why);
    }

    /// Why it was cut, if it was.
    pub(crate) fn why_cut(&self) -> Option<Reason> {
        self.open.cut.get()
    }

    /// Ready, with the reason, once the exchange is cut. Remembers the last waker only: one task at a time may
    /// wait.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(why) = self.open.cut.get() {
            return Poll::Ready(why);
        }
        let mut waker = self.open.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.streams.open.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use access::credential::Digest;

    use super::*;
    use crate::peer::Security;

    #[test]
    fn an_exchange_is_cut_when_no_view_holds_it_and_leaves_when_dropped() {
        let streams = Rc::new(Streams::default());
        let late = Deadline::at(Timestamp::from_micros(1_000));
        let peer = Peer::new([127, 0, 0, 1].into(), Security::None, None);
        let ticket = streams.register(Held::Credential(Digest::of(b"x")), late, &peer);
        ticket.set_kind(Kind::Sse);
        let view = View::empty().unwrap();
        let counts = streams.cut_ended(&view, Timestamp::EPOCH);
        assert_eq!(counts, CutCounts { sse: 1, ..CutCounts::default() });
        assert_eq!(ticket.why_cut(), Some(Reason::CredentialInvalid));
        assert_eq!(streams.cut_ended(&view, Timestamp::EPOCH), CutCounts::default(), "cut once");
        drop(ticket);
        assert_eq!(streams.len(), 0);
    }
}
