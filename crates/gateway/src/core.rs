//! One core: a thread with its own runtime, listener, connections and upstream pool.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use access::arrival::BodyLength;
use access::{Clock, RequestId};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{mpsc, oneshot, watch};

use crate::arrival::{Fields, Head};
use crate::forward::{Passed, forward};
use crate::gateway::Acknowledgements;
use crate::peer::Peer;
use crate::picture::Picture;
use crate::pipeline::Pipeline;
use crate::respond::{Answer, Names, problem};
use crate::streams::Streams;
use crate::trace::{trace_id, traceparent};
use crate::upgrade::upgrade;
use crate::upstream::Pool;

/// What one core holds; touched by its thread alone.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pipeline: Pipeline,
    pub(crate) pool: Rc<Pool>,
    pub(crate) clock: Arc<dyn Clock>,
    node: Arc<str>,
    random: RefCell<fastrand::Rng>,
    /// How many client connections are open.
    connections: Cell<usize>,
}

/// One client connection, counted while it is open.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Core>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}

/// What a core is told by the node.
pub(crate) enum Order {
    /// A newer picture is in place: cut what it no longer holds, and say so.
    Enforce(Arc<Picture>),
    /// Cut everything.
    CutAll,
    /// Tell what is open.
    Count(oneshot::Sender<Open>),
}

/// What is open on a core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Open {
    /// Requests that were admitted and not yet answered to the last byte.
    pub(crate) exchanges: usize,
    /// Client connections, those included that only write out what they were given.
    pub(crate) connections: usize,
}

/// Whether the node still takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Draining,
}

/// Spawns onto the core's own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Core {
    pub(crate) fn new(pipeline: Pipeline, node: Arc<str>, seed: u64) -> Self {
        let clock = pipeline.clock.clone();
        Self {
            pool: Rc::new(Pool::new(clock.clone())),
            clock,
            pipeline,
            node,
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            connections: Cell::new(0),
        }
    }

    /// Counts one more connection, unless there are `most` already.
    pub(crate) fn count_connection(self: &Rc<Self>, most: usize) -> Option<Counted> {
        let open = self.connections.get();
        (open < most).then(|| {
            self.connections.set(open.saturating_add(1));
            Counted(self.clone())
        })
    }

    /// The name of the node in receipts.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// An id for a request that arrives now.
    pub(crate) fn fresh_id(&self) -> (RequestId, access::Timestamp) {
        let at = self.clock.now();
        let mut entropy = [0; 10];
        self.random.borrow_mut().fill(&mut entropy);
        (RequestId::new(at, entropy), at)
    }

    /// Answers one request. Never fails: a refusal is an answer too.
    pub(crate) async fn answer(
        self: Rc<Self>,
        peer: Rc<Peer>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let (id, at) = self.fresh_id();
        let (mut parts, incoming) = request.into_parts();
        let switch = parts.extensions.remove::<OnUpgrade>();
        let head = head_of(&parts, &incoming, id, at, &peer);
        match self.pipeline.admit(&head).await {
            Err(refused) => {
                let receipt = self.pipeline.refuse(&head, &refused).await;
                let names = Names { id, node: &self.node, receipt };
                Ok(problem(&refused, names, parts.version))
            }
            Ok(admitted) => {
                let (websocket, traceparent) = (head.asks_for_websocket(), self.traceparent(&head));
                let passed = pass_on(parts, incoming, id, peer.clone(), traceparent);
                match websocket {
                    true => Ok(upgrade(&self, admitted, passed, switch).await),
                    false => Ok(forward(&self, admitted, passed).await),
                }
            }
        }
    }

    /// The trace of the request, with this hop as the parent.
    fn traceparent(&self, head: &Head<'_>) -> HeaderValue {
        let parent = self.random.borrow_mut().u64(1..);
        let value = HeaderValue::from_str(&traceparent(&head.trace, parent));
        value.unwrap_or(HeaderValue::from_static(""))
    }

    /// Carries out the node's orders for as long as it is polled.
    pub(crate) async fn obey(&self, mut orders: mpsc::Receiver<Order>, acknowledgements: &Acknowledgements) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Enforce(picture) => {
                    let revision = picture.view.revision;
                    let counts = self.pipeline.streams.cut_ended(&picture.view, self.clock.now());
                    acknowledgements.acknowledge(revision, counts, self.clock.now());
                }
                Order::CutAll => {
                    self.pipeline.streams.cut_all();
                }
                Order::Count(reply) => {
                    let (exchanges, connections) = (self.pipeline.streams.len(), self.connections.get());
                    let _ = reply.send(Open { exchanges, connections });
                }
            }
        }
    }

    /// The exchanges that are open.
    pub(crate) fn streams(&self) -> &Rc<Streams> {
        &self.pipeline.streams
    }
}

/// Waits until the node drains.
pub(crate) async fn draining(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
}

fn head_of<'p>(
    parts: &'p Parts,
    incoming: &Incoming,
    id: RequestId,
    at: access::Timestamp,
    peer: &'p Peer,
) -> Head<'p> {
    let body = match (incoming.is_end_stream(), incoming.size_hint().exact()) {
        (true, _) | (_, Some(0)) => BodyLength::None,
        (false, Some(bytes)) => BodyLength::Known(bytes),
        (false, None) => BodyLength::Unknown,
    };
    let fields = Fields::read(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    Head {
        id,
        at,
        peer,
        trace: trace_id(fields.traceparent.text(), id),
        method: parts.method.as_str(),
        authority: parts.uri.authority().map(http::uri::Authority::as_str),
        path: parts.uri.path(),
        query: parts.uri.query(),
        body,
        fields,
    }
}

fn pass_on(
    parts: Parts,
    incoming: Incoming,
    id: RequestId,
    peer: Rc<Peer>,
    traceparent: HeaderValue,
) -> Passed {
    Passed {
        id,
        version: parts.version,
        method: parts.method,
        fields: parts.headers,
        traceparent,
        peer,
        incoming,
    }
}
