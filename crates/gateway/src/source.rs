//! Sources: where connections come from, whose word about that is taken, and how many of one source may be open.
//!
//! A proxy in front is believed only if the configuration lists its address; an empty list believes nobody. What a
//! believed proxy says replaces its own address everywhere: in decisions, records, limits and what upstreams are
//! told.
//! Not here: what a request may do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use access::source::source_of;
use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::connections::Connections;

/// What the configuration says of those who connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    /// Proxies that are believed about who is behind them.
    pub proxies: Vec<IpNet>,
    /// How they say it.
    pub speak: Speak,
    /// How many connections of one source may be open; half of all by default, but for loopback.
    pub connections_per_source_max: Option<usize>,
}

/// How a believed proxy says whom it speaks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speak {
    /// With each request, in `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    Forwarded,
    /// With each connection, in a header of the PROXY protocol, version 1 or 2.
    ProxyProtocol,
}

/// Whether the other end of a connection speaks for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// For itself alone.
    Caller,
    /// For whom each of its requests names.
    Forwards,
    /// For whom its connection names at its start.
    Announces,
}

impl Callers {
    pub(crate) fn standing(&self, ip: IpAddr) -> Standing {
        match self.speak {
            _ if !self.believes(ip) => Standing::Caller,
            Speak::Forwarded => Standing::Forwards,
            Speak::ProxyProtocol => Standing::Announces,
        }
    }

    /// Whether a proxy at this address is believed.
    pub(crate) fn believes(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&ip))
    }

    /// The last address in `X-Forwarded-For` that is no believed proxy's: it was written by one that is. `None`: none of
    /// them names anybody else.
    ///
    /// # Errors
    /// What stands in its place is no address.
    pub(crate) fn client_in<'v>(
        &self,
        values: impl DoubleEndedIterator<Item = &'v [u8]>,
    ) -> Result<Option<IpAddr>, NotAnAddress> {
        for element in values.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
            let text = std::str::from_utf8(element.trim_ascii()).map_err(|_| NotAnAddress)?;
            let ip = text.parse::<IpAddr>().map_err(|_| NotAnAddress)?.to_canonical();
            if !self.believes(ip) {
                return Ok(Some(ip));
            }
        }
        Ok(None)
    }
}

/// Something else stands where an address must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnAddress;

/// The present rules about callers, and the connections that are open, by source. Touched when a connection opens or
/// ends, never by a request.
#[derive(Debug)]
pub struct Sources {
    callers: ArcSwap<Callers>,
    connections_max: usize,
    /// No larger than the connections that are open.
    open: Mutex<BTreeMap<IpAddr, usize>>,
    /// All connections, whatever their source.
    pub connections: Arc<Connections>,
}

/// An open connection's place among those of its source; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    /// Of a node that takes `connections_max` connections in all.
    #[must_use]
    pub fn new(callers: Callers, connections_max: usize) -> Self {
        let (callers, connections) = (ArcSwap::from_pointee(callers), Arc::default());
        Self { callers, connections_max, open: Mutex::default(), connections }
    }

    /// For connections from now on.
    pub fn replace(&self, callers: Callers) {
        self.callers.store(Arc::new(callers));
    }

    pub(crate) fn callers(&self) -> Arc<Callers> {
        self.callers.load_full()
    }

    /// Counts one more connection from `ip`, unless its source has as many as one may.
    pub(crate) fn count(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let source = source_of(ip);
        // What asks from this machine has its bound in the connections of all.
        let usual = if ip.is_loopback() { usize::MAX } else { self.connections_max.div_ceil(2) };
        let most = self.callers.load().connections_per_source_max.unwrap_or(usual);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { sources: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(proxies: &[&str]) -> Callers {
        let proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        Callers { proxies, ..Callers::default() }
    }

    fn client(callers: &Callers, values: &[&str]) -> Result<Option<String>, NotAnAddress> {
        let found = callers.client_in(values.iter().map(|value| value.as_bytes()));
        found.map(|ip| ip.map(|ip| ip.to_string()))
    }

    #[test]
    fn the_client_is_whom_the_outermost_believed_proxy_names() {
        let callers = callers(&["10.0.0.0/8", "fd00::/8"]);
        let said = |values: &[&str]| client(&callers, values).unwrap();
        assert_eq!(said(&["203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(said(&["1.1.1.1, 203.0.113.7, 10.1.2.3", "fd00::1"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(said(&["::ffff:203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(said(&["10.0.0.1"]), None);
        assert_eq!(said(&[]), None);
        for wrong in ["", "unknown", "203.0.113.7:80", "203.0.113.7,", "1.1.1.1, x", "\u{e9}"] {
            assert_eq!(client(&callers, &[wrong]), Err(NotAnAddress), "{wrong}");
        }
        assert_eq!(said(&["x, 203.0.113.7"]).as_deref(), Some("203.0.113.7"), "what the client wrote itself");
    }

    #[test]
    fn nobody_is_believed_who_is_not_listed() {
        assert_eq!(Callers::default().standing([10, 0, 0, 1].into()), Standing::Caller);
        let listed = callers(&["10.0.0.1/32"]);
        assert_eq!(listed.standing([10, 0, 0, 1].into()), Standing::Forwards);
        assert_eq!(listed.standing([10, 0, 0, 2].into()), Standing::Caller);
        let announcing = Callers { speak: Speak::ProxyProtocol, ..listed };
        assert_eq!(announcing.standing([10, 0, 0, 1].into()), Standing::Announces);
    }

    #[test]
    fn a_source_has_half_of_all_connections_unless_the_configuration_says_otherwise() {
        let sources = Arc::new(Sources::new(Callers::default(), 4));
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let held = [sources.count(one), sources.count(one)];
        assert!(held.iter().all(Option::is_some) && sources.count(one).is_none());
        assert!(sources.count(other).is_some());
        let local = [(); 5].map(|()| sources.count([127, 0, 0, 1].into()));
        assert!(local.iter().all(Option::is_some));
        drop(local);
        sources.replace(Callers { connections_per_source_max: Some(3), ..Callers::default() });
        assert!(sources.count(one).is_some());
        drop(held);
        assert!(sources.open.lock().unwrap().is_empty());
        let neighbors = ["2001:db8::1", "2001:db8::ffff:1"].map(|text| source_of(text.parse().unwrap()));
        assert_eq!(neighbors[0], neighbors[1]);
    }
}
