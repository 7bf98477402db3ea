//! Endpoints: the addresses at which an API's upstreams are reached. Each has its own connections, load and health.
//!
//! An upstream with a literal address or a path has one endpoint for ever. A name has as many as it has addresses;
//! until these are known it has one that waits for them, or knows that there are none.
//! Not here: finding addresses out (see `watch`), choosing among endpoints (see `balance`).

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::Timestamp;
use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::bounds::UPSTREAMS_MAX;
use crate::health::{Trouble, Vital};
use crate::picture::{Reach, Upstream};

/// Where a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dial {
    /// `host:port`, of which no address is known yet.
    Name(Arc<str>),
    Address(SocketAddr),
    Path(Arc<Path>),
}

/// What is known of a name's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Found {
    /// They were not asked for yet, or are being asked for.
    #[default]
    Asking,
    Nothing,
    At(Arc<[SocketAddr]>),
}

/// One address of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// No other has it in this process.
    pub(crate) id: u64,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) dial: Dial,
    /// What a connection must have been made for to carry its requests.
    pub(crate) place: Arc<str>,
    pub(crate) vital: Vital,
    /// Of a name.
    found: watch::Sender<Found>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Endpoint {
    fn new(upstream: &Arc<Upstream>, dial: Dial) -> Arc<Self> {
        let secured = upstream.secured();
        let place = match &dial {
            Dial::Name(name) => format!("{name} {secured}"),
            Dial::Address(address) => format!("{address} {secured}"),
            Dial::Path(path) => format!("unix:{}", path.display()),
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let vital = Vital::of(match (&upstream.reach, &dial) {
            (Reach::Name(_), Dial::Address(address)) => format!("{} ({address})", upstream.name),
            _ => upstream.name.to_string(),
        });
        let (upstream, found) = (upstream.clone(), watch::Sender::default());
        Arc::new(Self { id, upstream, dial, place: place.into(), vital, found })
    }

    /// The addresses of a name, once the look-up that is under way has ended; `None` if it has none.
    pub(crate) async fn addresses(&self) -> Option<Arc<[SocketAddr]>> {
        let mut found = self.found.subscribe();
        match &*found.wait_for(|found| *found != Found::Asking).await.ok()? {
            Found::At(addresses) => Some(addresses.clone()),
            Found::Asking | Found::Nothing => None,
        }
    }

    /// The first of an upstream.
    fn first(upstream: &Arc<Upstream>) -> Arc<Self> {
        let dial = match &upstream.reach {
            Reach::Name(name) => Dial::Name(name.clone()),
            Reach::Address(address) => Dial::Address(*address),
            Reach::Path(path) => Dial::Path(path.clone()),
        };
        Self::new(upstream, dial)
    }

    /// The upstream, as the journal and `status` name it.
    pub(crate) fn name(&self) -> &str {
        &self.upstream.name
    }

    /// Where it is, where its upstream's name does not say it.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match (&self.upstream.reach, &self.dial) {
            (Reach::Name(_), Dial::Address(address)) => Some(*address),
            _ => None,
        }
    }
}

/// All endpoints of an API, and what of them is still to be found out.
pub(crate) struct Endpoints {
    /// No others have it in this process.
    pub(crate) id: u64,
    upstreams: Vec<Arc<Upstream>>,
    present: Present,
}

/// Literal addresses cost no look at what may have changed.
enum Present {
    Fixed(Box<[Arc<Endpoint>]>),
    Named(ArcSwap<Box<[Arc<Endpoint>]>>),
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.now().iter().map(|endpoint| &endpoint.place)).finish()
    }
}

/// The endpoints at one time.
pub(crate) enum Now<'a> {
    Fixed(&'a [Arc<Endpoint>]),
    Named(Guard<Arc<Box<[Arc<Endpoint>]>>>),
}

impl Deref for Now<'_> {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &[Arc<Endpoint>] {
        match self {
            Self::Fixed(endpoints) => endpoints,
            Self::Named(endpoints) => endpoints,
        }
    }
}

impl Endpoints {
    /// Of these upstreams, the first [`UPSTREAMS_MAX`] of them. What is known of those that were there `before` stays
    /// known.
    pub(crate) fn new(upstreams: Vec<Upstream>, before: Option<&Self>) -> Self {
        let upstreams: Vec<_> = upstreams.into_iter().take(UPSTREAMS_MAX).map(Arc::new).collect();
        let kept = |upstream: &Arc<Upstream>| -> Vec<_> {
            let now = before.map(Self::now);
            let same = now.iter().flat_map(|now| now.iter());
            same.filter(|endpoint| *endpoint.upstream == **upstream).cloned().collect()
        };
        let all = upstreams.iter().flat_map(|upstream| match kept(upstream) {
            none if none.is_empty() => vec![Endpoint::first(upstream)],
            kept => kept,
        });
        let all: Box<[_]> = all.take(UPSTREAMS_MAX).collect();
        let is_named = |upstream: &Arc<Upstream>| matches!(upstream.reach, Reach::Name(_));
        let named = upstreams.iter().any(is_named);
        let present = if named { Present::Named(ArcSwap::from_pointee(all)) } else { Present::Fixed(all) };
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), upstreams, present }
    }

    /// Those there are now: at most [`UPSTREAMS_MAX`].
    pub(crate) fn now(&self) -> Now<'_> {
        match &self.present {
            Present::Fixed(endpoints) => Now::Fixed(endpoints),
            Present::Named(endpoints) => Now::Named(endpoints.load()),
        }
    }

    /// The upstreams that have a name, by their place among all, and `host:port` of each.
    pub(crate) fn names(&self) -> impl Iterator<Item = (usize, &Arc<Upstream>, &Arc<str>)> {
        self.upstreams.iter().enumerate().filter_map(|(at, upstream)| match &upstream.reach {
            Reach::Name(name) => Some((at, upstream, name)),
            Reach::Address(_) | Reach::Path(_) => None,
        })
    }

    /// What is not known yet of a name that has no address at `now`. One that had some keeps them.
    pub(crate) fn unresolved(&self, upstream: &Upstream, now: Timestamp) {
        for endpoint in self.now().iter().filter(|endpoint| *endpoint.upstream == *upstream) {
            if let Dial::Name(_) = endpoint.dial {
                endpoint.vital.miss(Trouble::Unresolved, now);
                endpoint.found.send_replace(Found::Nothing);
            }
        }
    }

    /// A name has these addresses now: those that are new get no more than the others, those that are gone get no more
    /// requests. One without any keeps those it had. For one caller at a time.
    pub(crate) fn resolved(&self, upstream: &Upstream, addresses: &[SocketAddr]) {
        let Present::Named(present) = &self.present else { return };
        // Each upstream has its share of the room.
        let room = UPSTREAMS_MAX.checked_div(self.upstreams.len()).unwrap_or(1).max(1);
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(room);
        let before = present.load_full();
        let all = self.upstreams.iter().flat_map(|each| {
            let own = before.iter().filter(|endpoint| endpoint.upstream == *each);
            if **each != *upstream || addresses.is_empty() {
                return own.cloned().collect();
            }
            let of = |address| {
                let dial = Dial::Address(address);
                let known = own.clone().find(|endpoint| endpoint.dial == dial);
                known.cloned().unwrap_or_else(|| Endpoint::new(each, dial))
            };
            addresses.iter().copied().map(of).collect::<Vec<_>>()
        });
        let all: Box<[_]> = all.take(UPSTREAMS_MAX).collect();
        let same = all.len() == before.len() && all.iter().zip(before.iter()).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            present.store(Arc::new(all));
        }
        // Those who wait for the name go where it leads.
        for endpoint in before.iter().filter(|endpoint| *endpoint.upstream == *upstream) {
            if let (Dial::Name(_), false) = (&endpoint.dial, addresses.is_empty()) {
                endpoint.found.send_replace(Found::At(addresses.as_slice().into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::picture::Protocol;

    fn named(name: &str) -> Upstream {
        let reach = Reach::Name(format!("{name}:80").into());
        Upstream::new(Protocol::Http1, name, reach, String::new(), None)
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn places(endpoints: &Endpoints) -> Vec<String> {
        endpoints.now().iter().map(|endpoint| endpoint.place.trim().to_owned()).collect()
    }

    #[test]
    fn a_name_has_an_endpoint_for_each_address_and_keeps_what_is_known_of_those_that_stay() {
        let endpoints = Endpoints::new(vec![named("a"), named("b")], None);
        assert_eq!(places(&endpoints), ["a:80", "b:80"]);
        endpoints.resolved(&named("a"), &[address(2), address(1), address(2)]);
        assert_eq!(places(&endpoints), ["192.0.2.1:80", "192.0.2.2:80", "b:80"]);
        let second = endpoints.now()[1].id;
        endpoints.resolved(&named("a"), &[address(3), address(2)]);
        assert_eq!(places(&endpoints), ["192.0.2.2:80", "192.0.2.3:80", "b:80"]);
        assert_eq!(endpoints.now()[0].id, second);
    }

    #[tokio::test]
    async fn whoever_needs_a_name_waits_for_its_first_look_up_only() {
        let (found, missing) =
            (Endpoints::new(vec![named("a")], None), Endpoints::new(vec![named("a")], None));
        let (first, second) = (found.now()[0].clone(), missing.now()[0].clone());
        assert!(
            std::future::poll_fn(|cx| { Poll::Ready(pin!(first.addresses()).poll(cx).is_pending()) }).await
        );
        found.resolved(&named("a"), &[address(1)]);
        assert_eq!(first.addresses().await.as_deref(), Some(&[address(1)][..]));
        let now = Timestamp::from_micros(1);
        missing.unresolved(&named("a"), now);
        assert_eq!(second.addresses().await, None);
        let told = second.vital.trouble(crate::health::Checks::Absent, now).unwrap();
        assert_eq!(told.1, Trouble::Unresolved);
        missing.resolved(&named("a"), &[address(1)]);
        missing.unresolved(&named("a"), now);
        assert_eq!(places(&missing), ["192.0.2.1:80"]);
    }

    #[test]
    fn a_name_that_stops_resolving_keeps_its_last_addresses() {
        let endpoints = Endpoints::new(vec![named("a")], None);
        endpoints.resolved(&named("a"), &[address(1)]);
        endpoints.resolved(&named("a"), &[]);
        assert_eq!(places(&endpoints), ["192.0.2.1:80"]);
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_upstreams_that_stay() {
        let before = Endpoints::new(vec![named("a"), named("b")], None);
        before.resolved(&named("b"), &[address(1), address(2)]);
        let after = Endpoints::new(vec![named("b"), named("c")], Some(&before));
        assert_eq!(places(&after), ["192.0.2.1:80", "192.0.2.2:80", "c:80"]);
        assert!(Arc::ptr_eq(&before.now()[1], &after.now()[0]));
    }

    #[test]
    fn there_are_never_more_endpoints_than_upstreams_may_be() {
        let upstreams: Vec<_> = (0..40).map(|at| named(&format!("a{at}"))).collect();
        let endpoints = Endpoints::new(upstreams.clone(), None);
        let many: Vec<_> = (0..100).map(address).collect();
        for upstream in &upstreams {
            endpoints.resolved(upstream, &many);
        }
        assert_eq!(endpoints.now().len(), 40, "each has its share");
        let alone = Endpoints::new(vec![named("a")], None);
        alone.resolved(&named("a"), &many);
        assert_eq!(alone.now().len(), UPSTREAMS_MAX);
    }
}
