//! Upstream connections: kept by each core for itself, reused while they are fresh.
//!
//! A request is tried again, on another connection or another upstream, only while nothing of it has been sent.
//! Not here: which API has which upstreams (see `picture`), which of them are passed over (see `health`).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use access::operation::Method;
use access::{Clock, Timestamp};
use http::{HeaderMap, Request, StatusCode, Version};

use crate::arrival::{Field, Head};
use crate::body::{Inbound, Stopped, Upload};
use crate::bounds::{CONNECT_TRIES_MAX, UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIME_MAX};
use crate::connect::{Unconnected, connect, connect_http2};
use crate::fields::{FieldList, Sink as _};
use crate::h1::client::{NoAnswer, Sending, Sent, StatesLength, Switching, exchange};
use crate::h1::head::{Persistence, ResponseHead};
use crate::h1::wire::Wire;
use crate::headers::{self, Added};
use crate::health::Health;
use crate::picture::{Forward, Protocol, Upstream};
use crate::record::Admitted;
use crate::shared::{OpenStream, Sender, Shared};
use crate::tls::Unproven;
use crate::trace::TraceParent;
use crate::websocket::{self, Key};

/// Idle connections by place, each with the time since when it is idle; the last used is last.
type Idle = BTreeMap<Arc<str>, VecDeque<(Rc<Wire>, Timestamp)>>;

/// The upstream connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    clock: Arc<dyn Clock>,
    idle: RefCell<Idle>,
    shared: Shared,
    health: Health,
}

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFailure {
    /// No upstream could be connected to; nothing was sent.
    Unreachable,
    /// The last that could be connected to did not prove who it is; nothing was sent.
    Unproven(Unproven),
    /// The upstream closed before it answered.
    Closed,
    /// The upstream's answer could not be read.
    Malformed,
    /// The request's own body ended early.
    Upload,
    /// The upstream's protocol knows no switch to another.
    NoSwitch,
    /// The upstream answered a handshake as any other request, to a client that cannot tell.
    NotSwitched,
    /// The upstream did not answer in time.
    Late,
    /// The whole exchange took too long.
    Overdue,
}

/// What is lent for one exchange.
#[derive(Debug)]
pub(crate) enum Lease {
    /// A connection, given back when the exchange ended cleanly.
    Whole(WholeLease),
    /// A share of one, given back in any case.
    Stream { _open: OpenStream },
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub(crate) struct WholeLease {
    pool: Rc<Pool>,
    place: Arc<str>,
    wire: Rc<Wire>,
    persistence: Persistence,
}

impl Lease {
    pub(crate) fn wire(&self) -> Option<&Wire> {
        match self {
            Self::Whole(lease) => Some(&lease.wire),
            Self::Stream { .. } => None,
        }
    }

    /// Gives a connection back at `now` for the next request, if it can carry one.
    pub(crate) fn give_back(self, now: Timestamp) {
        let Self::Whole(WholeLease { pool, place, wire, persistence }) = self else { return };
        // What nobody asked for would be read as the next answer.
        if persistence == Persistence::Close || !wire.is_quiet() {
            return;
        }
        wire.shrink();
        let mut idle = pool.idle.borrow_mut();
        let line = idle.entry(place).or_default();
        if line.len() < UPSTREAM_IDLE_MAX {
            line.push_back((wire, now));
        }
    }
}

/// A request as it is sent, but for its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) fields: &'a FieldList,
    pub(crate) forward: &'a Forward,
    pub(crate) request_id: &'a str,
    pub(crate) traceparent: &'a TraceParent,
    /// The key of a handshake whose client sent none.
    pub(crate) own_key: Option<&'a Key>,
    /// Which upstream was tried last, for when nobody waits for the answer any more.
    pub(crate) tried: &'a RefCell<Option<Arc<str>>>,
}

impl Outgoing<'_> {
    fn added(&self) -> Added<'_> {
        Added {
            head: self.head,
            admitted: self.admitted,
            request_id: self.request_id,
            traceparent: self.traceparent,
        }
    }

    fn switching(&self) -> Switching {
        if self.head.asks_for_websocket() { Switching::Asked } else { Switching::NotAsked }
    }

    fn is_agreed(&self, answer: &ResponseHead) -> bool {
        let key = self.own_key.map_or(self.head.fields.websocket_key, |key| Field::Once(key.as_bytes()));
        websocket::agrees(&answer.fields, key)
    }

    /// Writes the head but for the fields of framing.
    fn write(&self, upstream: &Upstream, out: &mut Vec<u8>) {
        out.extend_from_slice(self.admitted.method.as_str().as_bytes());
        out.push(b' ');
        headers::write_target(upstream, self.admitted.path(), self.admitted.target.query(), out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        headers::for_upstream(self.fields, self.added(), self.forward, upstream, out);
        if self.switching() == Switching::Asked {
            out.add(b"connection", b"Upgrade");
            out.add(b"upgrade", b"websocket");
        }
        if let Some(key) = self.own_key {
            out.add(b"sec-websocket-key", key.as_bytes());
        }
    }

    /// Whether the request says that it has no body: methods that give one a meaning do.
    const fn states_length(&self) -> StatesLength {
        match self.admitted.method {
            Method::Post | Method::Put | Method::Patch => StatesLength::Always,
            Method::Get | Method::Head | Method::Options | Method::Delete => StatesLength::OfBodies,
        }
    }

    /// The same for an upstream that speaks HTTP/2; `None` if it cannot be written down.
    fn to_http2(self, upstream: &Upstream, upload: Upload) -> Result<Request<Upload>, Upload> {
        let mut target = Vec::new();
        headers::write_target(upstream, self.admitted.path(), self.admitted.target.query(), &mut target);
        let mut fields = HeaderMap::new();
        headers::for_upstream(self.fields, self.added(), self.forward, upstream, &mut fields);
        // What HTTP/1.1 says in `Host` is the authority here (RFC 9113, section 8.3.1).
        let Some(host) = fields.remove(http::header::HOST) else { return Err(upload) };
        if self.head.fields.te == Field::Once(b"trailers") {
            // Of one hop, and true of the next: trailers are passed on. Servers of gRPC insist on it.
            fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        }
        let scheme = if upstream.tls.is_some() { "https" } else { "http" };
        let uri =
            http::Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(target).build();
        let method = http::Method::from_bytes(self.admitted.method.as_str().as_bytes());
        let (Ok(uri), Ok(method)) = (uri, method) else { return Err(upload) };
        let mut request = Request::new(upload);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        *request.version_mut() = Version::HTTP_2;
        Ok(request)
    }
}

/// An upstream's answer, with the connection it came over.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldList,
    /// What the head says of a body's length, whether or not there is one.
    pub(crate) stated_length: Option<u64>,
    pub(crate) inbound: Inbound,
    pub(crate) sending: Option<Sending>,
    pub(crate) lease: Option<Lease>,
}

/// What became of one attempt.
enum Attempt {
    Answered(Answered),
    /// Nothing of the request was sent.
    Unsent(Upload, Unconnected),
    /// It may have been sent, and must not be sent again.
    Failed(SendFailure),
}

impl From<Unconnected> for SendFailure {
    fn from(why: Unconnected) -> Self {
        match why {
            Unconnected::Unreachable => Self::Unreachable,
            Unconnected::Unproven(why) => Self::Unproven(why),
        }
    }
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, idle: RefCell::default(), shared: Shared::default(), health: Health::default() }
    }

    /// Sends a request to one of the API's upstreams, in turn.
    pub(crate) async fn send(
        self: &Rc<Self>,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Result<Answered, SendFailure> {
        let upstreams = &outgoing.forward.upstreams;
        let turn = outgoing.forward.kept.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let (mut upload, mut failure) = (upload, SendFailure::Unreachable);
        let order = self.health.order(upstreams, turn, outgoing.head.at);
        for upstream in order.take(CONNECT_TRIES_MAX).filter_map(|at| upstreams.get(at)) {
            outgoing.tried.replace(Some(upstream.authority.clone()));
            match self.send_to(upstream, outgoing, upload).await {
                Attempt::Answered(answered) => {
                    self.health.hit(&upstream.place);
                    return Ok(answered);
                }
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Unsent(unsent, why) => {
                    self.health.miss(&upstream.place, self.clock.now());
                    (upload, failure) = (unsent, why.into());
                }
            }
        }
        Err(failure)
    }

    async fn send_to(
        self: &Rc<Self>,
        upstream: &Upstream,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        match (upstream.protocol, outgoing.switching()) {
            (Protocol::Http1, _) => self.send_http1(upstream, outgoing, upload).await,
            (Protocol::Http2, Switching::NotAsked) => self.send_http2(upstream, outgoing, upload).await,
            (Protocol::Http2, Switching::Asked) => Attempt::Failed(SendFailure::NoSwitch),
        }
    }

    async fn send_http1(
        self: &Rc<Self>,
        upstream: &Upstream,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        let mut upload = upload;
        // Bounded by the number of idle connections: each turn takes one.
        while let Some(wire) = self.take_idle(&upstream.place) {
            match self.send_over(wire, upstream, outgoing, upload).await {
                Attempt::Unsent(unsent, _) => upload = unsent,
                other => return other,
            }
        }
        match connect(upstream, outgoing.forward.patience.connect).await {
            Ok(stream) => self.send_over(Rc::new(Wire::new(stream)), upstream, outgoing, upload).await,
            Err(why) => Attempt::Unsent(upload, why),
        }
    }

    async fn send_over(
        self: &Rc<Self>,
        wire: Rc<Wire>,
        upstream: &Upstream,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        outgoing.write(upstream, &mut wire.outbox());
        let mut sending = Sending::begin(wire.clone(), upload, outgoing.states_length());
        let answer = exchange(&mut sending, outgoing.head.asked(), outgoing.switching()).await;
        match answer {
            Ok(answer)
                if answer.status == StatusCode::SWITCHING_PROTOCOLS && !outgoing.is_agreed(&answer) =>
            {
                Attempt::Failed(SendFailure::Malformed)
            }
            Ok(answer) => Attempt::Answered(self.lend(upstream, wire, sending, answer)),
            Err(NoAnswer::Unsent(upload)) => Attempt::Unsent(upload, Unconnected::Unreachable),
            Err(NoAnswer::Stopped(Stopped::Answered) | NoAnswer::Closed) => {
                Attempt::Failed(SendFailure::Closed)
            }
            Err(NoAnswer::Malformed) => Attempt::Failed(SendFailure::Malformed),
            Err(NoAnswer::Stopped(_)) => Attempt::Failed(SendFailure::Upload),
        }
    }

    fn lend(
        self: &Rc<Self>,
        upstream: &Upstream,
        wire: Rc<Wire>,
        sending: Sending,
        answer: ResponseHead,
    ) -> Answered {
        let stated_length = answer.stated_length();
        // A server that sends a body nonetheless sends it late: it would be read as another client's answer.
        let promises =
            wire.is_body_read() && (answer.is_chunked() || stated_length.is_some_and(|bytes| bytes > 0));
        let persistence = if promises { Persistence::Close } else { answer.persistence };
        let inbound = if wire.is_body_read() { Inbound::None } else { Inbound::Http1(wire.clone()) };
        Answered {
            status: answer.status,
            fields: answer.fields,
            stated_length,
            inbound,
            sending: Some(sending).filter(|sending| sending.state() == Sent::Partly),
            lease: Some(Lease::Whole(WholeLease {
                pool: self.clone(),
                place: upstream.place.clone(),
                wire,
                persistence,
            })),
        }
    }

    fn take_idle(&self, place: &str) -> Option<Rc<Wire>> {
        let mut idle = self.idle.borrow_mut();
        let line = idle.get_mut(place)?;
        // Bounded by the line, which gets shorter.
        while let Some((wire, _)) = line.pop_back() {
            if wire.is_quiet() {
                return Some(wire);
            }
        }
        None
    }

    /// Closes what has been idle for too long; whether anything is left.
    pub(crate) fn prune(&self) -> Left {
        self.shared.prune();
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return Left::Nothing;
        }
        let now = self.clock.now();
        idle.retain(|_, line| {
            // The longest idle is in front.
            while line.front().is_some_and(|(_, since)| now.since(*since) > UPSTREAM_IDLE_TIME_MAX) {
                line.pop_front();
            }
            !line.is_empty()
        });
        if idle.is_empty() { Left::Nothing } else { Left::Some }
    }

    async fn send_http2(
        self: &Rc<Self>,
        upstream: &Upstream,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        let mut upload = upload;
        if let Some(kept) = self.shared.take(&upstream.place) {
            match self.send_stream(kept, upstream, outgoing, upload).await {
                // It went away while it was kept, as servers do that restart.
                Attempt::Unsent(unsent, _) => upload = unsent,
                other => return other,
            }
        }
        match connect_http2(upstream, outgoing.forward.patience.connect).await {
            Ok(sender) => {
                let fresh = self.shared.add(upstream.place.clone(), sender);
                self.send_stream(fresh, upstream, outgoing, upload).await
            }
            Err(why) => Attempt::Unsent(upload, why),
        }
    }

    async fn send_stream(
        &self,
        (mut sender, open): (Sender, OpenStream),
        upstream: &Upstream,
        outgoing: Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        let Ok(request) = outgoing.to_http2(upstream, upload) else {
            return Attempt::Failed(SendFailure::Malformed);
        };
        match sender.try_send_request(request).await {
            Ok(response) => Attempt::Answered(answered_http2(response, open)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    self.shared.forget(&upstream.place, &open);
                    Attempt::Unsent(unsent.into_body(), Unconnected::Unreachable)
                }
                None => Attempt::Failed(failure(error.error())),
            },
        }
    }
}

/// Whether idle connections are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    Nothing,
}

fn answered_http2(response: http::Response<hyper::body::Incoming>, open: OpenStream) -> Answered {
    let (parts, incoming) = response.into_parts();
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    Answered {
        status: parts.status,
        stated_length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        fields: FieldList::from(&parts.headers),
        inbound: Inbound::Upstream(incoming),
        sending: None,
        lease: Some(Lease::Stream { _open: open }),
    }
}

fn failure(error: &hyper::Error) -> SendFailure {
    match error {
        error if error.is_user() => SendFailure::Upload,
        error if error.is_parse() || breaks_rules(error) => SendFailure::Malformed,
        _ => SendFailure::Closed,
    }
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
