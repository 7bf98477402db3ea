//! HTTP/2 connections to upstreams: each carries many requests at once, and there are as many as that needs.
//!
//! Not here: what an upstream allows on one connection, which its codec waits for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http2;

use crate::body::Upload;
use crate::bounds::{UPSTREAM_SHARED_MAX, UPSTREAM_STREAMS_MAX};

pub(crate) type Sender = http2::SendRequest<Upload>;

/// The shared connections of one core, by place.
#[derive(Debug, Default)]
pub(crate) struct Shared(RefCell<BTreeMap<Arc<str>, Vec<Connection>>>);

#[derive(Debug)]
struct Connection {
    sender: Sender,
    open: Rc<Cell<usize>>,
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
    fn open(&self) -> (Sender, OpenStream) {
        self.open.set(self.open.get().saturating_add(1));
        (self.sender.clone(), OpenStream(self.open.clone()))
    }
}

impl Shared {
    /// The connection with the most room, if it has any or there may be no other.
    pub(crate) fn take(&self, place: &str) -> Option<(Sender, OpenStream)> {
        let mut places = self.0.borrow_mut();
        let line = places.get_mut(place)?;
        line.retain(|connection| !connection.sender.is_closed());
        let full = line.len() >= UPSTREAM_SHARED_MAX;
        let emptiest = line.iter().min_by_key(|connection| connection.open.get())?;
        (full || emptiest.open.get() < UPSTREAM_STREAMS_MAX).then(|| emptiest.open())
    }

    /// Keeps a new connection, and opens its first stream.
    pub(crate) fn add(&self, place: Arc<str>, sender: Sender) -> (Sender, OpenStream) {
        let connection = Connection { sender, open: Rc::default() };
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

    /// Forgets what was closed.
    pub(crate) fn prune(&self) {
        self.0.borrow_mut().retain(|_, line| {
            line.retain(|connection| !connection.sender.is_closed());
            !line.is_empty()
        });
    }
}
