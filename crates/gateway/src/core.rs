//! One core: a thread with its own runtime, listener, connections and upstream pool.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use access::{Clock, Refused, RequestId, Revision};
use tokio::sync::{mpsc, oneshot, watch};

use crate::alarm::{Alarms, Rest};
use crate::arrival::Head;
use crate::cors;
use crate::descriptors::Descriptors;
use crate::forward::{Brought, forward};
use crate::gateway::Acknowledgements;
use crate::pipeline::Pipeline;
use crate::respond::{Names, Reply, preflight, problem};
use crate::upstream::{Left, Pool};

/// What one core holds; touched by its thread alone.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pipeline: Pipeline,
    pub(crate) pool: Rc<Pool>,
    pub(crate) alarms: Rc<Alarms>,
    pub(crate) clock: Arc<dyn Clock>,
    node: Arc<str>,
    random: RefCell<fastrand::Rng>,
    pub(crate) descriptors: Rc<Descriptors>,
    phase: Cell<Phase>,
    /// Listeners that may still bring connections.
    listeners: Cell<usize>,
}

/// What a core is told by the node.
pub(crate) enum Order {
    /// A newer picture, of this revision or a later one, is in place: cut what it no longer holds, and say so.
    Enforce(Revision),
    /// Other doors are in place: cut what came with a certificate that they do not prove.
    ProveAgain,
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
    /// Listeners: connections may wait to be accepted.
    pub(crate) listeners: usize,
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
    pub(crate) fn new(pipeline: Pipeline, node: Arc<str>, seed: u64, descriptors: Descriptors) -> Self {
        let (clock, descriptors) = (pipeline.clock.clone(), Rc::new(descriptors));
        Self {
            // Not the numbers that ids are made of.
            pool: Rc::new(Pool::new(clock.clone(), seed.rotate_left(32), descriptors.clone())),
            alarms: Rc::default(),
            clock,
            pipeline,
            node,
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            descriptors,
            phase: Cell::new(Phase::Serving),
            listeners: Cell::new(0),
        }
    }

    /// Takes what a listener brings, until it brings nothing more.
    pub(crate) fn listen(self: &Rc<Self>, serving: impl Future<Output = ()> + 'static) {
        self.listeners.set(self.listeners.get().saturating_add(1));
        let core = self.clone();
        tokio::task::spawn_local(async move {
            serving.await;
            core.listeners.set(core.listeners.get().saturating_sub(1));
        });
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
    pub(crate) async fn answer(self: &Rc<Self>, head: &Head<'_>, brought: Brought<'_>) -> Reply {
        // What most requests are not is boxed, and so makes the state of each no larger.
        if cors::is_preflight(head)
            && let Some(reply) = Box::pin(self.preflight(head)).await
        {
            return reply;
        }
        let admitted = match self.pipeline.admit(head).await {
            Ok(admitted) => admitted,
            Err(refused) => return Box::pin(self.refuse(head, &refused)).await,
        };
        let (picture, api) = (admitted.picture.clone(), admitted.api);
        let mut reply = forward(self, head, admitted, &picture, brought).await;
        let cors = picture.forward(api).and_then(|forward| forward.cors.as_ref());
        if let Some((cors, fields)) = cors.zip(reply.fields()) {
            cors.dress(head.fields.origin, fields);
        }
        reply
    }

    /// Answers what a browser asks before a request of a page that the configuration lists.
    async fn preflight(&self, head: &Head<'_>) -> Option<Reply> {
        match self.pipeline.preflight(head).await {
            Ok(Some((fields, receipt))) => {
                let names = Names::new(head.id, &self.node, receipt);
                Some(preflight(fields, &names, self.clock.now()))
            }
            Ok(None) => None,
            Err(refused) => Some(self.refuse(head, &refused).await),
        }
    }

    async fn refuse(&self, head: &Head<'_>, refused: &Refused) -> Reply {
        let receipt = self.pipeline.refuse(head, refused).await;
        let names = Names::new(head.id, &self.node, receipt);
        let mut reply = problem(refused, head.id, &names, self.clock.now(), head.fields.dialect);
        if let Some(fields) = reply.fields() {
            self.pipeline.dress(head, refused, fields);
        }
        reply
    }

    /// A number for the next hop's part of a trace; never 0.
    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(1..)
    }

    /// Whether the core still takes requests.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Lets alarms go off and idle connections end, for as long as it is polled.
    pub(crate) async fn tick(&self) {
        let rest = || match self.pool.prune() {
            Left::Some => Rest::No,
            Left::Nothing => Rest::Yes,
        };
        self.alarms.ring(rest).await;
    }

    /// Waits until the node drains, then lets every connection know.
    pub(crate) async fn watch_phase(&self, mut phase: watch::Receiver<Phase>) {
        draining(&mut phase).await;
        self.phase.set(Phase::Draining);
        self.alarms.wake_all();
    }

    /// Carries out the node's orders for as long as it is polled.
    pub(crate) async fn obey(&self, mut orders: mpsc::Receiver<Order>, acknowledgements: &Acknowledgements) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Enforce(revision) => {
                    // The latest, whatever was ordered: an older picture does not know what is admitted by now.
                    let picture = self.pipeline.views.latest();
                    let counts = self.pipeline.streams.cut_ended(&picture.view, self.clock.now());
                    acknowledgements.acknowledge(revision, counts, self.clock.now());
                }
                Order::ProveAgain => {
                    self.pipeline.streams.cut_void(&self.pipeline.doors, self.clock.now());
                }
                Order::CutAll => {
                    self.pipeline.streams.cut_all();
                }
                Order::Count(reply) => {
                    let _ = reply.send(Open {
                        exchanges: self.pipeline.streams.len(),
                        connections: self.descriptors.clients(),
                        listeners: self.listeners.get(),
                    });
                }
            }
        }
    }
}

/// Waits until the node drains.
pub(crate) async fn draining(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
}
