//! Upstream connections: kept by each core for itself, reused while they are fresh.
//!
//! A request is tried again, on another connection or another upstream, only while nothing of it has been sent.
//! Not here: which API has which upstreams (see `picture`), health checks.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use access::operation::Method;
use access::{Clock, Timestamp};
use http::{HeaderMap, Request, StatusCode, Version};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::arrival::Head;
use crate::body::{Inbound, Stopped, Upload};
use crate::bounds::{
    CONNECT_TIME_MAX, CONNECT_TRIES_MAX, UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIME_MAX,
    UPSTREAM_PING_TIME,
};
use crate::core::LocalExecutor;
use crate::fields::{FieldList, Sink as _};
use crate::h1::client::{NoAnswer, Sending, Sent, StatesLength, Switching, exchange};
use crate::h1::head::{Persistence, ResponseHead};
use crate::h1::wire::Wire;
use crate::headers::{self, Added};
use crate::listen::keep_alive;
use crate::picture::{Forward, Protocol, Upstream};
use crate::record::Admitted;
use crate::tls::Unproven;
use crate::trace::TraceParent;
use crate::transport::Transport;

type Http2 = http2::SendRequest<Upload>;

/// Idle connections by place, each with the time since when it is idle; the last used is last.
type Idle = BTreeMap<Arc<str>, VecDeque<(Rc<Wire>, Timestamp)>>;

/// The upstream connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    clock: Arc<dyn Clock>,
    idle: RefCell<Idle>,
    shared: RefCell<BTreeMap<Arc<str>, Http2>>,
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
    /// The upstream did not answer in time.
    Late,
}

/// An HTTP/1.1 connection lent for one exchange; given back when the exchange ended cleanly.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    place: Arc<str>,
    wire: Rc<Wire>,
    persistence: Persistence,
}

impl Lease {
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Gives the connection back at `now` for the next request, if it can carry one.
    pub(crate) fn give_back(self, now: Timestamp) {
        let Self { pool, place, wire, persistence } = self;
        if persistence == Persistence::Close || !wire.is_body_read() {
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
    Unsent(Upload, Unsent),
    /// It may have been sent, and must not be sent again.
    Failed(SendFailure),
}

/// Why nothing of a request was sent to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    /// It cannot be connected to, or closed what was connected.
    Unreachable,
    Unproven(Unproven),
}

impl From<Unsent> for SendFailure {
    fn from(why: Unsent) -> Self {
        match why {
            Unsent::Unreachable => Self::Unreachable,
            Unsent::Unproven(why) => Self::Unproven(why),
        }
    }
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, idle: RefCell::default(), shared: RefCell::default() }
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
        for attempt in 0..CONNECT_TRIES_MAX.min(upstreams.len()) {
            let place = turn.wrapping_add(attempt).checked_rem(upstreams.len());
            let Some(upstream) = place.and_then(|place| upstreams.get(place)) else {
                break;
            };
            outgoing.tried.replace(Some(upstream.authority.clone()));
            match self.send_to(upstream, outgoing, upload).await {
                Attempt::Answered(answered) => return Ok(answered),
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Unsent(unsent, why) => (upload, failure) = (unsent, why.into()),
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
        match connect(upstream).await {
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
            Ok(answer) => Attempt::Answered(self.lend(upstream, wire, sending, answer)),
            Err(NoAnswer::Unsent(upload)) => Attempt::Unsent(upload, Unsent::Unreachable),
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
        let inbound = if wire.is_body_read() { Inbound::None } else { Inbound::Http1(wire.clone()) };
        Answered {
            status: answer.status,
            fields: answer.fields,
            stated_length,
            inbound,
            sending: Some(sending).filter(|sending| sending.state() == Sent::Partly),
            lease: Some(Lease {
                pool: self.clone(),
                place: upstream.place.clone(),
                wire,
                persistence: answer.persistence,
            }),
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
        self.shared.borrow_mut().retain(|_, sender| !sender.is_closed());
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
        let known = self.shared.borrow().get(&*upstream.place).filter(|sender| !sender.is_closed()).cloned();
        let mut sender = match known {
            Some(sender) => sender,
            None => {
                let sender = match connect_http2(upstream).await {
                    Ok(sender) => sender,
                    Err(why) => return Attempt::Unsent(upload, why),
                };
                self.shared.borrow_mut().insert(upstream.place.clone(), sender.clone());
                sender
            }
        };
        let Ok(request) = outgoing.to_http2(upstream, upload) else {
            return Attempt::Failed(SendFailure::Malformed);
        };
        match sender.try_send_request(request).await {
            Ok(response) => Attempt::Answered(answered_http2(response)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Attempt::Unsent(unsent.into_body(), Unsent::Unreachable),
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

fn answered_http2(response: http::Response<hyper::body::Incoming>) -> Answered {
    let (parts, incoming) = response.into_parts();
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    Answered {
        status: parts.status,
        stated_length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        fields: FieldList::from(&parts.headers),
        inbound: Inbound::Http2(incoming),
        sending: None,
        lease: None,
    }
}

fn failure(error: &hyper::Error) -> SendFailure {
    match error {
        error if error.is_user() => SendFailure::Upload,
        error if error.is_parse() => SendFailure::Malformed,
        _ => SendFailure::Closed,
    }
}

/// A connection to an upstream, its TLS included, within [`CONNECT_TIME_MAX`].
async fn connect(upstream: &Upstream) -> Result<Transport, Unsent> {
    let connecting = tokio::time::timeout(CONNECT_TIME_MAX, secured(upstream));
    connecting.await.unwrap_or(Err(Unsent::Unreachable))
}

async fn secured(upstream: &Upstream) -> Result<Transport, Unsent> {
    let tcp = connected(upstream).await.map_err(|_| Unsent::Unreachable)?;
    match &upstream.tls {
        None => Ok(Transport::Tcp(tcp)),
        Some(tls) => tls.connect(tcp).await.map_err(Unsent::Unproven),
    }
}

async fn connected(upstream: &Upstream) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(&*upstream.address).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

async fn connect_http2(upstream: &Upstream) -> Result<Http2, Unsent> {
    let stream = connect(upstream).await?;
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(UPSTREAM_HEAD_BYTES_MAX as u32)
        .keep_alive_while_idle(true)
        .keep_alive_interval(UPSTREAM_PING_TIME)
        .keep_alive_timeout(UPSTREAM_PING_TIME);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|_| Unsent::Unreachable)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(sender)
}
