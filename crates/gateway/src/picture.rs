//! What a request is judged and forwarded by: a view of access, the matching upstreams, and the handle through
//! which they are swapped as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use access::policy::ApiIndex;
use access::view::View;
use access::{ApiName, Reason, Refused, Timestamp};
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use crate::bounds::{ANSWER_IDLE_TIME, ANSWER_TIME, CONNECT_TIME};
use crate::cors::Cors;
use crate::meter::ApiMeter;
use crate::tls::ClientTls;

/// One policy picture: a request sees exactly one from arrival to answer.
#[derive(Debug)]
pub struct Picture {
    /// The view of access.
    pub view: Arc<View>,
    /// How each API of the view's policy is reached, in the policy's order.
    pub forwards: Arc<[Forward]>,
    /// What is counted for requests that reach no API.
    pub unrouted: Arc<Kept>,
}

impl Picture {
    /// How the API at this place of the policy is reached.
    pub(crate) fn forward(&self, api: ApiIndex) -> Option<&Forward> {
        self.forwards.get(api)
    }

    /// How the API of this name is reached.
    pub(crate) fn forward_of(&self, name: &ApiName) -> Option<&Forward> {
        let place = self.view.policy.policy().apis.iter().position(|api| api.name == *name)?;
        self.forward(place)
    }
}

/// How one API is reached.
#[derive(Debug)]
pub struct Forward {
    /// Where it runs; tried in turn while nothing has been sent.
    pub upstreams: Vec<Upstream>,
    /// What is added to each request, never seen by the caller. Values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long what may take.
    pub patience: Patience,
    /// How many requests may be under way at once.
    pub concurrency: Option<u32>,
    /// Which pages of other origins may call it; `None` leaves that to the upstream.
    pub cors: Option<Cors>,
    /// What outlives a reload.
    pub kept: Arc<Kept>,
}

/// How long the parts of an exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection to an upstream, its TLS included.
    pub connect: Duration,
    /// Until an answer begins, counted anew while the request's body makes progress.
    pub answer: Duration,
    /// How long nothing may move once the answer has begun.
    pub idle: Duration,
    /// The whole exchange, once it is forwarded; `None` without a limit. Not of WebSockets.
    pub total: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: CONNECT_TIME, answer: ANSWER_TIME, idle: ANSWER_IDLE_TIME, total: None }
    }
}

/// What an API keeps over reloads: counters and the state of its limits.
#[derive(Debug, Default)]
pub struct Kept {
    /// What came of its requests.
    pub meter: ApiMeter,
    /// Its rate bucket (see `access::limit`).
    pub(crate) bucket: AtomicU64,
    /// Requests under way.
    pub(crate) under_way: AtomicU32,
    /// Which upstream comes next.
    pub(crate) turn: AtomicU32,
}

/// Where an API runs.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) protocol: Protocol,
    /// As in the `Host` header: the port is missing where the scheme implies it.
    pub(crate) authority: Arc<str>,
    /// `host:port`, to connect to.
    pub(crate) address: Arc<str>,
    /// What stands in front of every path, without a trailing slash.
    pub(crate) base_path: String,
    pub(crate) tls: Option<ClientTls>,
    /// What a connection must have been made for to carry its requests.
    pub(crate) place: Arc<str>,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: agreed on in the TLS handshake, or else by prior knowledge.
    Http2,
}

impl Upstream {
    /// Where an API runs: what is spoken there, its authority as the `Host` header says it, the `host:port` to connect
    /// to, what stands in front of every path without a trailing slash, and its TLS.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        authority: &str,
        address: &str,
        base_path: String,
        tls: Option<ClientTls>,
    ) -> Self {
        let secured = tls.as_ref().map(ClientTls::place).unwrap_or_default();
        let place = format!("{address} {secured}").into();
        Self { protocol, authority: authority.into(), address: address.into(), base_path, tls, place }
    }
}

/// The present picture, and since when it is known to be fresh. Read without locks.
#[derive(Debug)]
pub struct Views {
    picture: ArcSwap<Picture>,
    proven: AtomicI64,
    age_max: Duration,
}

impl Views {
    /// A handle that refuses everything until something is published and proven.
    #[must_use]
    pub fn new(picture: Picture, age_max: Duration) -> Self {
        Self {
            picture: ArcSwap::from_pointee(picture),
            proven: AtomicI64::new(Timestamp::EPOCH.as_micros()),
            age_max,
        }
    }

    /// Puts a new picture in place, unless a newer one is: what was revoked in between stays revoked. The next
    /// request sees it.
    pub fn publish(&self, picture: &Arc<Picture>) {
        self.picture.rcu(|present| {
            let newer = if present.view.revision > picture.view.revision { present } else { picture };
            newer.clone()
        });
    }

    /// States that the present picture was fresh at `at`.
    pub fn prove(&self, at: Timestamp) {
        self.proven.fetch_max(at.as_micros(), Ordering::AcqRel);
    }

    /// How old the proof of freshness is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_micros(self.proven.load(Ordering::Acquire)))
    }

    /// The present picture, fresh or not: for measuring what is already under way.
    #[must_use]
    pub fn latest(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// Whether the picture is fresh enough to admit a request.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now) <= self.age_max
    }

    /// The present picture, if it is fresh enough to admit a request.
    ///
    /// # Errors
    /// `view_stale`.
    pub fn current(&self, now: Timestamp) -> Result<Arc<Picture>, Refused> {
        if self.is_fresh(now) {
            return Ok(self.picture.load_full());
        }
        Err(Refused::because(Reason::ViewStale, "this node cannot prove that its view of access is fresh")
            .next("try again in a moment; an operator finds the cause with `daypass status`")
            .retry_after(Duration::from_secs(1), None))
    }
}
