//! HTTP/2 connections to upstreams: each carries many requests at once, and there are as many as that needs; and
//! what their errors mean.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use access::Timestamp;
use hyper::client::conn::http2;

use crate::body::Upload;
use crate::bounds::{UPSTREAM_SHARED_IDLE_TIME_MAX, UPSTREAM_SHARED_MAX, UPSTREAM_STREAMS_MAX};
use crate::connect::Room;
use crate::upstream::SendFailure;

pub(crate) type Sender = http2::SendRequest<Upload>;

/// The shared connections of one core, by place.
#[derive(Debug, Default)]
pub(crate) struct Shared(RefCell<BTreeMap<Arc<str>, Vec<Connection>>>);

#[derive(Debug)]
struct Connection {
    sender: Sender,
    open: Rc<Cell<usize>>,
    room: Rc<Room>,
    /// When it was first seen without a request.
    idle: Option<Timestamp>,
}

/// A request's share of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(Rc<Cell<usize>>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Connection {
    fn open(&mut self) -> (Sender, OpenStream) {
        self.idle = None;
        self.open.set(self.open.get().saturating_add(1));
        (self.sender.clone(), OpenStream(self.open.clone()))
    }

    /// How many more requests it takes at once.
    fn free(&self) -> usize {
        self.room.streams().min(UPSTREAM_STREAMS_MAX).saturating_sub(self.open.get())
    }

    /// Whether it has carried nothing for too long: its place may be one that is not used any more.
    fn is_forsaken(&mut self, now: Timestamp) -> bool {
        if self.open.get() > 0 {
            self.idle = None;
            return false;
        }
        now.since(*self.idle.get_or_insert(now)) > UPSTREAM_SHARED_IDLE_TIME_MAX
    }
}

impl Shared {
    /// The connection with the most room, if it has any or there may be no other: then its upstream makes the request
    /// wait.
    pub(crate) fn take(&self, place: &str) -> Option<(Sender, OpenStream)> {
        let mut places = self.0.borrow_mut();
        let line = places.get_mut(place)?;
        line.retain(|connection| !connection.sender.is_closed());
        let full = line.len() >= UPSTREAM_SHARED_MAX;
        let roomiest = line.iter_mut().max_by_key(|connection| connection.free())?;
        if roomiest.free() > 0 {
            return Some(roomiest.open());
        }
        let emptiest = line.iter_mut().min_by_key(|connection| connection.open.get());
        emptiest.filter(|_| full).map(Connection::open)
    }

    /// Keeps a new connection, and opens its first stream.
    pub(crate) fn add(&self, place: Arc<str>, (sender, room): (Sender, Rc<Room>)) -> (Sender, OpenStream) {
        let mut connection = Connection { sender, open: Rc::default(), room, idle: None };
        let first = connection.open();
        self.0.borrow_mut().entry(place).or_default().push(connection);
        first
    }

    /// Forgets a connection that takes no more requests; those under way on it go on.
    pub(crate) fn forget(&self, place: &str, stream: &OpenStream) {
        if let Some(line) = self.0.borrow_mut().get_mut(place) {
            line.retain(|connection| !Rc::ptr_eq(&connection.open, &stream.0));
        }
    }

    /// Forgets what was closed or has long been idle; whether anything is left.
    pub(crate) fn prune(&self, now: impl FnOnce() -> Timestamp) -> bool {
        let mut places = self.0.borrow_mut();
        if places.is_empty() {
            return false;
        }
        let now = now();
        places.retain(|_, line| {
            line.retain_mut(|connection| !connection.sender.is_closed() && !connection.is_forsaken(now));
            !line.is_empty()
        });
        !places.is_empty()
    }
}

/// What an error says became of a request.
pub(crate) fn failure(error: &hyper::Error) -> SendFailure {
    match error {
        error if error.is_user() => SendFailure::Upload,
        error if error.is_parse() || breaks_rules(error) => SendFailure::Malformed,
        _ => SendFailure::Closed,
    }
}

/// Whether the connection ended, rather than the upstream this one stream.
pub(crate) fn is_connections_end(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause
        .map_or_else(|| error.is_closed() || error.is_canceled(), |cause| cause.is_io() || cause.is_go_away())
}

/// Whether an upstream sent what HTTP/2 does not allow.
fn breaks_rules(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    let broken = [
        h2::Reason::PROTOCOL_ERROR,
        h2::Reason::COMPRESSION_ERROR,
        h2::Reason::FLOW_CONTROL_ERROR,
        h2::Reason::FRAME_SIZE_ERROR,
    ];
    // What the other side calls so is our mistake, not its own.
    cause
        .filter(|cause| !cause.is_remote())
        .and_then(h2::Error::reason)
        .is_some_and(|why| broken.contains(&why))
}
