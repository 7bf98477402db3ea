//! Upstream connections: kept by each core for itself, reused while they are fresh.
//!
//! A request is tried again, on another connection or another upstream, only while nothing of it has been sent.
//! Not here: which API has which upstreams (see `picture`), health checks.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use access::{Clock, Timestamp};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::body::Upload;
use crate::bounds::{
    CONNECT_TIME_MAX, CONNECT_TRIES_MAX, UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIME_MAX,
};
use crate::core::LocalExecutor;
use crate::picture::{Forward, Scheme, Upstream};

type Http2 = http2::SendRequest<Upload>;
/// One HTTP/1.1 connection. Dropped, it is gone at once, whatever it had still to send: an upstream that takes
/// nothing must not hold on to the client's body.
#[derive(Debug)]
struct Http1 {
    sender: http1::SendRequest<Upload>,
    driver: AbortHandle,
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Idle connections by authority, each with the time since when it is idle; the last used is last.
type Idle = HashMap<Box<str>, VecDeque<(Http1, Timestamp)>>;

/// The upstream connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    clock: Arc<dyn Clock>,
    idle: RefCell<Idle>,
    shared: RefCell<HashMap<Box<str>, Http2>>,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// No upstream could be connected to; nothing was sent.
    Unreachable,
    /// The upstream closed before it answered.
    Closed,
    /// The upstream's answer could not be read.
    Malformed,
    /// The request's own body ended early.
    Upload,
}

/// An HTTP/1.1 connection lent for one exchange; given back when the exchange ended cleanly.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    authority: Box<str>,
    connection: Option<Http1>,
}

impl Lease {
    /// Gives the connection back for the next request.
    pub(crate) fn give_back(mut self) {
        let Some(connection) = self.connection.take().filter(|connection| !connection.sender.is_closed())
        else {
            return;
        };
        let mut idle = self.pool.idle.borrow_mut();
        let line = match idle.get_mut(&*self.authority) {
            Some(line) => line,
            None => idle.entry(self.authority.clone()).or_default(),
        };
        let now = self.pool.clock.now();
        // The longest idle is in front: those that a lower load no longer reaches go one by one.
        if line.front().is_some_and(|(_, since)| now.since(*since) > UPSTREAM_IDLE_TIME_MAX) {
            line.pop_front();
        }
        if line.len() < UPSTREAM_IDLE_MAX {
            line.push_back((connection, now));
        }
    }
}

/// An upstream's answer, with the connection it came over.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Option<Lease>,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, idle: RefCell::default(), shared: RefCell::default() }
    }

    /// Sends a request to one of the API's upstreams, in turn.
    ///
    /// `build` makes the request for the upstream that is tried; it is called again only with the body of a
    /// request of which nothing was sent.
    pub(crate) async fn send(
        self: &Rc<Self>,
        forward: &Forward,
        body: Upload,
        mut build: impl FnMut(&Upstream, Upload) -> Option<Request<Upload>>,
    ) -> Result<Answered, SendFailure> {
        let turn = forward.kept.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let mut body = Some(body);
        for attempt in 0..CONNECT_TRIES_MAX {
            let place = turn.wrapping_add(attempt).checked_rem(forward.upstreams.len());
            let Some(upstream) = place.and_then(|place| forward.upstreams.get(place)) else {
                break;
            };
            let Some(unsent) = body.take() else { break };
            let request = build(upstream, unsent).ok_or(SendFailure::Malformed)?;
            match self.send_to(upstream, request).await {
                Ok(answered) => return Ok(answered),
                Err(Unsent::Gone(failure)) => return Err(failure),
                Err(Unsent::Kept(request)) => body = Some(request.into_body()),
            }
        }
        Err(SendFailure::Unreachable)
    }

    async fn send_to(
        self: &Rc<Self>,
        upstream: &Upstream,
        request: Request<Upload>,
    ) -> Result<Answered, Unsent> {
        match upstream.scheme {
            Scheme::Http => self.send_http1(upstream, request).await,
            Scheme::H2c => self.send_http2(upstream, request).await,
        }
    }

    async fn send_http1(
        self: &Rc<Self>,
        upstream: &Upstream,
        request: Request<Upload>,
    ) -> Result<Answered, Unsent> {
        let mut request = request;
        while let Some(mut connection) = self.take_idle(&upstream.authority) {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(self.lend(upstream, connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Unsent::Gone(failure(error.error()))),
                },
            }
        }
        let Some(mut connection) = connect_http1(upstream).await else {
            return Err(Unsent::Kept(Box::new(request)));
        };
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(self.lend(upstream, connection, response)),
            Err(mut error) => Err(match error.take_message() {
                Some(unsent) => Unsent::Kept(Box::new(unsent)),
                None => Unsent::Gone(failure(error.error())),
            }),
        }
    }

    fn lend(
        self: &Rc<Self>,
        upstream: &Upstream,
        connection: Http1,
        response: Response<Incoming>,
    ) -> Answered {
        let lease = Lease {
            pool: self.clone(),
            authority: upstream.authority.as_str().into(),
            connection: Some(connection),
        };
        Answered { response, lease: Some(lease) }
    }

    fn take_idle(&self, authority: &str) -> Option<Http1> {
        let now = self.clock.now();
        let mut idle = self.idle.borrow_mut();
        let line = idle.get_mut(authority)?;
        while let Some((connection, since)) = line.pop_back() {
            if now.since(since) > UPSTREAM_IDLE_TIME_MAX {
                // The last used is on top: all below are older.
                line.clear();
                return None;
            }
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    async fn send_http2(
        self: &Rc<Self>,
        upstream: &Upstream,
        request: Request<Upload>,
    ) -> Result<Answered, Unsent> {
        let known = self
            .shared
            .borrow()
            .get(upstream.authority.as_str())
            .filter(|sender| !sender.is_closed())
            .cloned();
        let mut sender = match known {
            Some(sender) => sender,
            None => {
                let Some(sender) = connect_http2(upstream).await else {
                    return Err(Unsent::Kept(Box::new(request)));
                };
                self.shared.borrow_mut().insert(upstream.authority.as_str().into(), sender.clone());
                sender
            }
        };
        match sender.try_send_request(request).await {
            Ok(response) => Ok(Answered { response, lease: None }),
            Err(mut error) => Err(match error.take_message() {
                Some(unsent) => Unsent::Kept(Box::new(unsent)),
                None => Unsent::Gone(failure(error.error())),
            }),
        }
    }
}

/// What became of a request that got no answer.
enum Unsent {
    /// Nothing of it was sent.
    Kept(Box<Request<Upload>>),
    /// It may have been sent, and must not be sent again.
    Gone(SendFailure),
}

fn failure(error: &hyper::Error) -> SendFailure {
    match error {
        error if error.is_user() => SendFailure::Upload,
        error if error.is_parse() => SendFailure::Malformed,
        _ => SendFailure::Closed,
    }
}

/// A connection to an upstream, within [`CONNECT_TIME_MAX`].
pub(crate) async fn connect(upstream: &Upstream) -> Option<TcpStream> {
    let connecting = tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect(upstream.authority.as_str()));
    let stream = connecting.await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// The codec's settings toward an upstream.
pub(crate) fn http1_settings() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(UPSTREAM_HEAD_BYTES_MAX);
    builder
}

async fn connect_http1(upstream: &Upstream) -> Option<Http1> {
    let stream = connect(upstream).await?;
    let (sender, connection) = http1_settings().handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Some(Http1 { sender, driver: driver.abort_handle() })
}

async fn connect_http2(upstream: &Upstream) -> Option<Http2> {
    let stream = connect(upstream).await?;
    let mut builder = http2::Builder::new(LocalExecutor);
    builder.max_header_list_size(UPSTREAM_HEAD_BYTES_MAX as u32);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Some(sender)
}
