//! What a request is judged and forwarded by: a view of access, the matching upstreams, and the handle through
//! which they are swapped as one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use access::policy::ApiIndex;
use access::view::View;
use access::{ApiName, Reason, Refused, Timestamp};
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use crate::balance::most_ejected;
use crate::bounds::{ANSWER_IDLE_TIME, ANSWER_TIME, CONNECT_TIME, UPSTREAM_TRIAL_TIME};
use crate::budget::RetryBudget;
use crate::check::Check;
use crate::cors::Cors;
use crate::endpoint::Endpoints;
use crate::health::{Checks, Standing};
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

    /// What is wrong with upstreams at `now`.
    #[must_use]
    pub fn unwell(&self, now: Timestamp) -> Vec<Unwell> {
        let apis = self.view.policy.policy().apis.iter().zip(&*self.forwards);
        let of = |(api, forward): (&access::policy::Api, &Forward)| {
            let endpoints = forward.endpoints.now();
            let mut ejectable = most_ejected(&endpoints);
            let unwell = endpoints.iter().filter_map(|endpoint| {
                let (standing, why, since) = endpoint.vital.trouble(forward.checks(), now)?;
                if standing == Standing::Ejected {
                    ejectable = ejectable.checked_sub(1)?;
                }
                let (name, address) = (endpoint.name(), endpoint.address());
                let upstream = address.map_or_else(|| name.to_owned(), |at| format!("{name} ({at})"));
                let (api, state, why) = (api.name.clone(), standing.word(), why.to_string());
                Some(Unwell { api, upstream, state, why, since })
            });
            unwell.collect::<Vec<_>>()
        };
        apis.flat_map(of).collect()
    }

    /// How the API of this name is reached.
    pub(crate) fn forward_of(&self, name: &ApiName) -> Option<&Forward> {
        let place = self.view.policy.policy().apis.iter().position(|api| api.name == *name)?;
        self.forward(place)
    }
}

/// An upstream, or one address of it, that is passed over or sent nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwell {
    /// Whose it is.
    pub api: ApiName,
    /// As the journal names it, and its address where that does not say it.
    pub upstream: String,
    /// `unreachable`, `ejected` or `failing`.
    pub state: &'static str,
    /// What it did, in words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// How one API is to be reached, as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Where it runs; requests are spread over them.
    pub upstreams: Vec<Upstream>,
    /// What is added to each request, never seen by the caller. Values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long what may take.
    pub patience: Patience,
    /// How many requests may be under way at once.
    pub concurrency: Option<u32>,
    /// How its upstreams are asked whether they do well.
    pub check: Option<Check>,
    /// Which pages of other origins may call it; `None` leaves that to the upstream.
    pub cors: Option<Cors>,
}

/// How one API is reached.
#[derive(Debug)]
pub struct Forward {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) patience: Patience,
    pub(crate) concurrency: Option<u32>,
    pub(crate) check: Option<Check>,
    pub(crate) cors: Option<Cors>,
    /// What outlives a reload.
    pub(crate) kept: Arc<Kept>,
}

impl Forward {
    /// How an API is reached that was reached as `before`: what is known of upstreams that stay is kept.
    #[must_use]
    pub fn new(plan: Plan, kept: Arc<Kept>, before: Option<&Self>) -> Self {
        let Plan { upstreams, headers, patience, concurrency, check, cors } = plan;
        let endpoints = Endpoints::new(upstreams, before.map(|before| &*before.endpoints));
        Self { endpoints: Arc::new(endpoints), headers, patience, concurrency, check, cors, kept }
    }

    pub(crate) const fn checks(&self) -> Checks {
        match self.check {
            Some(_) => Checks::Count,
            None => Checks::Absent,
        }
    }
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
    /// What it has left for sending requests again.
    pub(crate) retries: RetryBudget,
    /// When an upstream that fails its checks may be tried next, in microseconds since the epoch.
    trial: AtomicI64,
}

impl Kept {
    /// Whether a request is to be tried at `now` although every upstream fails its checks: one every
    /// [`UPSTREAM_TRIAL_TIME`] is.
    pub(crate) fn is_trial(&self, now: Timestamp) -> bool {
        let due = self.trial.load(Ordering::Relaxed);
        let next = now.plus(UPSTREAM_TRIAL_TIME).as_micros();
        due <= now.as_micros()
            && self.trial.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Where an API runs.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) protocol: Protocol,
    /// As the journal names it.
    pub(crate) name: Arc<str>,
    /// As in the `Host` header: the port is missing where the scheme implies it.
    pub(crate) authority: Arc<str>,
    pub(crate) reach: Reach,
    /// What stands in front of every path, without a trailing slash.
    pub(crate) base_path: String,
    pub(crate) tls: Option<ClientTls>,
}

/// How an upstream is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By name: `host:port`.
    Name(Arc<str>),
    /// By address.
    Address(SocketAddr),
    /// By the path of its Unix socket.
    Path(Arc<Path>),
}

/// Two that are alike are reached alike: what is known of one is true of the other.
impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.authority == other.authority
            && self.reach == other.reach
            && self.base_path == other.base_path
            && self.secured() == other.secured()
    }
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
    /// Where an API runs: what is spoken there, its authority as the `Host` header says it, how it is found, what
    /// stands in front of every path without a trailing slash, and its TLS.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        authority: &str,
        reach: Reach,
        base_path: String,
        tls: Option<ClientTls>,
    ) -> Self {
        let name = match &reach {
            Reach::Path(path) => path.to_string_lossy().into(),
            Reach::Name(_) | Reach::Address(_) => authority.into(),
        };
        Self { protocol, name, authority: authority.into(), reach, base_path, tls }
    }

    /// Everything about its TLS that makes a connection another one.
    pub(crate) fn secured(&self) -> &str {
        self.tls.as_ref().map(ClientTls::place).unwrap_or_default()
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
