//! Descriptors: what a core may have open at once, toward clients and upstreams together.
//!
//! A quarter is kept from clients, so that those that are there can be served. An idle client takes one, an exchange
//! over HTTP/1.1 two. Not here: how many a process may have (the node says), and those of checks and of the console.

use std::cell::Cell;
use std::rc::Rc;

use crate::bounds::CONNECTIONS_PER_CORE_MAX;

/// How many clients a core takes that may have `most` connections open.
#[must_use]
pub fn clients_max(most: usize) -> usize {
    most.saturating_sub(most / 4).min(CONNECTIONS_PER_CORE_MAX)
}

/// The account of one core.
#[derive(Debug)]
pub(crate) struct Descriptors {
    most: usize,
    clients_max: usize,
    clients: Cell<usize>,
    upstreams: Cell<usize>,
}

/// Toward whom a descriptor is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toward {
    Client,
    Upstream,
}

/// One descriptor, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Descriptor {
    account: Rc<Descriptors>,
    toward: Toward,
}

impl Descriptors {
    /// At most `most` in all.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, clients_max: clients_max(most), clients: Cell::new(0), upstreams: Cell::new(0) }
    }

    /// One more, if there is room for it.
    pub(crate) fn take(self: &Rc<Self>, toward: Toward) -> Option<Descriptor> {
        let full = toward == Toward::Client && self.clients.get() >= self.clients_max;
        if full || self.clients.get().saturating_add(self.upstreams.get()) >= self.most {
            return None;
        }
        let count = self.count(toward);
        count.set(count.get().saturating_add(1));
        Some(Descriptor { account: self.clone(), toward })
    }

    /// How many clients are connected.
    pub(crate) fn clients(&self) -> usize {
        self.clients.get()
    }

    const fn count(&self, toward: Toward) -> &Cell<usize> {
        match toward {
            Toward::Client => &self.clients,
            Toward::Upstream => &self.upstreams,
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let count = self.account.count(self.toward);
        count.set(count.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_a_quarter_to_upstreams_and_upstreams_take_what_is_left() {
        let account = Rc::new(Descriptors::new(8));
        let clients: Vec<_> = std::iter::from_fn(|| account.take(Toward::Client)).collect();
        assert_eq!((clients.len(), account.clients()), (6, 6));
        let upstreams: Vec<_> = std::iter::from_fn(|| account.take(Toward::Upstream)).collect();
        assert_eq!(upstreams.len(), 2);
        drop(clients);
        let more: Vec<_> = std::iter::from_fn(|| account.take(Toward::Upstream)).collect();
        assert_eq!(more.len(), 6);
        assert!(account.take(Toward::Client).is_none(), "everything is taken");
        drop(upstreams);
        assert!(account.take(Toward::Client).is_some());
    }

    #[test]
    fn clients_are_bounded_by_their_own_number_too() {
        assert_eq!(clients_max(usize::MAX), CONNECTIONS_PER_CORE_MAX);
        assert_eq!((clients_max(1), clients_max(0)), (1, 0));
    }
}
