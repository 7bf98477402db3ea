//! The gateway as the binary sees it: started, handed pictures, asked to enforce, drained.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use access::{Clock, Revision, Timestamp};
use journal::Journal;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::bounds::CORE_BLOCKING_THREADS_MAX;
use crate::core::{Core, Open, Order, Phase};
use crate::descriptors::Descriptors;
use crate::limits::Limits;
use crate::listen;
use crate::picture::{Picture, Views};
use crate::pipeline::Pipeline;
use crate::source::Sources;
use crate::streams::{CutCounts, Streams};
use crate::tls::Doors;
use crate::watch::Watch;

/// The most orders that wait for one core. Beyond it an order is dropped, and its receipt names no node.
const ORDERS_MAX: usize = 1_024;
/// The most revisions whose acknowledgement is remembered.
const ACKNOWLEDGEMENTS_MAX: usize = 1_024;
/// How long an acknowledgement is waited for.
const ACKNOWLEDGE_TIME_MAX: Duration = Duration::from_secs(2);
/// How often draining looks whether all is done.
const DRAIN_LOOK_TIME: Duration = Duration::from_millis(20);

/// How a gateway is started.
#[derive(Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Sockets that listen already, instead of the address: of the process before, or of who started this one.
    pub sockets: Vec<TcpListener>,
    /// How many threads it has; at least one.
    pub cores: usize,
    /// The name of the node in receipts.
    pub node: Arc<str>,
    /// A number that differs from start to start, for the ids of requests.
    pub seed: u64,
    /// The TLS of its listener; without any it listens in the clear.
    pub doors: Arc<Doors>,
    /// Whom it believes, and how many connections a source may have.
    pub sources: Arc<Sources>,
    /// How many connections each thread may have open: [`clients_max`](crate::clients_max) of them toward clients, the rest and what those
    /// leave toward upstreams.
    pub descriptors_per_core: usize,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread of the proxy")]
    Thread(#[source] std::io::Error),
}

/// What enforcing a revision cut, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// How many exchanges, by kind.
    pub streams: CutCounts,
    /// From the picture's publication until the slowest core had cut.
    pub slowest: Duration,
}

/// What draining left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Exchanges that were still open at the deadline, and were cut.
    pub cut: usize,
}

/// A running data plane. Dropped, its threads end, and their connections with them.
#[derive(Debug)]
pub struct Gateway {
    views: Arc<Views>,
    clock: Arc<dyn Clock>,
    address: SocketAddr,
    orders: Vec<mpsc::Sender<Order>>,
    acknowledgements: Arc<Acknowledgements>,
    phase: watch::Sender<Phase>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What its cores listen on, until it drains.
    sockets: Mutex<Vec<TcpListener>>,
    _upstreams: Watch,
}

impl Gateway {
    /// Binds and starts a thread per core.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(
        options: Options,
        views: Arc<Views>,
        journal: &Journal,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let cores = options.cores.max(1);
        let sockets = listen::sockets(options.sockets, options.address, cores)?;
        let failed = |source| StartError::Bind { address: options.address, source };
        let address = sockets.first().map_or(Ok(options.address), TcpListener::local_addr).map_err(failed)?;
        let hands = listen::deal(&sockets, cores).map_err(failed)?;
        let acknowledgements = Arc::new(Acknowledgements::new(cores));
        let phase = watch::Sender::new(Phase::Serving);
        let limits = Arc::new(Limits::default());
        let (mut orders, mut threads) = (Vec::with_capacity(cores), Vec::with_capacity(cores));
        for (place, listeners) in hands.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel(ORDERS_MAX);
            let seed = Seed {
                views: views.clone(),
                limits: limits.clone(),
                journal: journal.clone(),
                clock: clock.clone(),
                node: options.node.clone(),
                random: options.seed.wrapping_add(place as u64),
                listeners,
                doors: options.doors.clone(),
                sources: options.sources.clone(),
                descriptors: options.descriptors_per_core,
                orders: receiver,
                acknowledgements: acknowledgements.clone(),
                phase: phase.subscribe(),
            };
            let thread = std::thread::Builder::new().name(format!("proxy-{place}"));
            let (told, grown) = std::sync::mpsc::sync_channel(1);
            threads.push(thread.spawn(move || seed.grow(&told)).map_err(StartError::Thread)?);
            orders.push(sender);
            let silent = |_| Err(std::io::ErrorKind::BrokenPipe.into());
            grown.recv().unwrap_or_else(silent).map_err(StartError::Thread)?;
        }
        let upstreams = Watch::start(views.clone(), clock.clone()).map_err(StartError::Thread)?;
        let (threads, sockets) = (Mutex::new(threads), Mutex::new(sockets));
        Ok(Self {
            views,
            clock,
            address,
            orders,
            acknowledgements,
            phase,
            threads,
            sockets,
            _upstreams: upstreams,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it listens on, for a process that takes over; nothing once it drains.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn sockets(&self) -> std::io::Result<Vec<TcpListener>> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(TcpListener::try_clone).collect()
    }

    /// Puts a new picture in place and has every core cut what it no longer holds.
    ///
    /// When this returns, the next request is judged by it.
    pub fn publish(&self, picture: Picture) {
        let revision = picture.view.revision;
        self.acknowledgements.expect(revision, self.clock.now());
        self.views.publish(&Arc::new(picture));
        for core in &self.orders {
            // A full queue means that a thousand pictures wait for the core: the orders before will have it cut by the
            // latest, and the receipt will say that it did not answer in time.
            let _ = core.try_send(Order::Enforce(revision));
        }
    }

    /// Waits until every core has enforced `revision`, or a newer one, and tells what that cut.
    ///
    /// `None` after two seconds: some core does not answer.
    pub async fn enforced(&self, revision: Revision) -> Option<Cut> {
        tokio::time::timeout(ACKNOWLEDGE_TIME_MAX, self.acknowledgements.wait(revision)).await.ok()
    }

    /// Whether it takes no more connections.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() == Phase::Draining
    }

    /// How many exchanges are open.
    pub async fn open_exchanges(&self) -> usize {
        self.open().await.exchanges
    }

    /// Has every core cut what came with a client certificate that the doors prove no more: they were exchanged.
    pub fn prove_again(&self) {
        for core in &self.orders {
            // A full queue: open streams are measured by the clock as well, within half a second.
            let _ = core.try_send(Order::ProveAgain);
        }
    }

    async fn open(&self) -> Open {
        let mut all = Open::default();
        for core in &self.orders {
            let (reply, count) = oneshot::channel();
            if core.send(Order::Count(reply)).await.is_ok() {
                let open = count.await.unwrap_or_default();
                all.exchanges = all.exchanges.saturating_add(open.exchanges);
                all.connections = all.connections.saturating_add(open.connections);
                all.listeners = all.listeners.saturating_add(open.listeners);
            }
        }
        all
    }

    /// Takes no more connections, lets what is open end within `patience`, then cuts the rest.
    pub async fn drain(&self, patience: Duration) -> Drained {
        // The system closes a socket with the last of its descriptors: that is to be the cores', which look what waits.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.phase.send_replace(Phase::Draining);
        let finished = async {
            // A WebSocket is no connection of the codec's any more, and an answer whose last byte was handed over is
            // no exchange: both are waited for, and what waits to be accepted.
            while self.open().await != Open::default() {
                tokio::time::sleep(DRAIN_LOOK_TIME).await;
            }
        };
        let cut = match tokio::time::timeout(patience, finished).await {
            Ok(()) => 0,
            Err(_elapsed) => self.cut_all().await,
        };
        Drained { cut }
    }

    async fn cut_all(&self) -> usize {
        let open = self.open_exchanges().await;
        for core in &self.orders {
            let _ = core.send(Order::CutAll).await;
        }
        open
    }

    /// Ends the threads and waits for them, once drained. Blocks; not for a runtime's thread.
    pub fn stop(mut self) {
        self.phase.send_replace(Phase::Draining);
        self.orders.clear();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// What a core's thread is started with.
struct Seed {
    views: Arc<Views>,
    limits: Arc<Limits>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    node: Arc<str>,
    random: u64,
    listeners: Vec<TcpListener>,
    doors: Arc<Doors>,
    sources: Arc<Sources>,
    descriptors: usize,
    orders: mpsc::Receiver<Order>,
    acknowledgements: Arc<Acknowledgements>,
    phase: watch::Receiver<Phase>,
}

impl Seed {
    /// Runs the core until its orders end, once it has told whether it can.
    fn grow(mut self, told: &SyncSender<std::io::Result<()>>) {
        let (runtime, listeners) = match self.soil() {
            Ok(soil) => soil,
            Err(error) => return told.send(Err(error)).unwrap_or_default(),
        };
        // Nobody hears it where another core could not start: then there are no orders, either.
        let _ = told.send(Ok(()));
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.live(listeners));
        drop(local);
        runtime.shutdown_background();
    }

    /// All that the system may refuse to give.
    fn soil(&mut self) -> std::io::Result<(Runtime, Vec<tokio::net::TcpListener>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(CORE_BLOCKING_THREADS_MAX)
            .build()?;
        let entered = runtime.enter();
        let listeners =
            std::mem::take(&mut self.listeners).into_iter().map(tokio::net::TcpListener::from_std);
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        drop(entered);
        Ok((runtime, listeners))
    }

    async fn live(self, listeners: Vec<tokio::net::TcpListener>) {
        let lane = self.journal.lane();
        let recording = tokio::task::spawn_local(lane.run());
        let pipeline = Pipeline {
            views: self.views,
            limits: self.limits,
            streams: Rc::new(Streams::default()),
            doors: self.doors.clone(),
            lane,
            clock: self.clock.clone(),
        };
        let descriptors = Descriptors::new(self.descriptors);
        let core = Rc::new(Core::new(pipeline, self.node, self.random, descriptors));
        let (watching, clock) = (core.clone(), self.clock);
        let deadlines = tokio::task::spawn_local(async move {
            let Pipeline { views, doors, streams, .. } = &watching.pipeline;
            streams.watch_deadlines(&*clock, views, doors).await;
        });
        let (ticking, watching, phase) = (core.clone(), core.clone(), self.phase.clone());
        let ticks = tokio::task::spawn_local(async move { ticking.tick().await });
        let phases = tokio::task::spawn_local(async move { watching.watch_phase(phase).await });
        for listener in listeners {
            let (doors, sources) = (self.doors.clone(), self.sources.clone());
            core.listen(listen::serve(core.clone(), listener, doors, sources, self.phase.clone()));
        }
        core.obey(self.orders, &self.acknowledgements).await;
        for task in [deadlines, ticks, phases] {
            task.abort();
        }
        // What was cut or abandoned last is still to be written.
        tokio::task::yield_now().await;
        core.pipeline.lane.flush().await;
        recording.abort();
    }
}

/// Which revisions every core has enforced. Touched when access changes, never by a request.
#[derive(Debug)]
pub(crate) struct Acknowledgements {
    cores: usize,
    seen: Mutex<BTreeMap<Revision, Seen>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Seen {
    published: Timestamp,
    cores: usize,
    cut: Cut,
}

impl Acknowledgements {
    fn new(cores: usize) -> Self {
        Self { cores, seen: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn expect(&self, revision: Revision, published: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The same revision is published again after a reload that changed no policy.
        seen.insert(revision, Seen { published, cores: 0, cut: Cut::default() });
        while seen.len() > ACKNOWLEDGEMENTS_MAX {
            seen.pop_first();
        }
    }

    pub(crate) fn acknowledge(&self, revision: Revision, counts: CutCounts, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.get_mut(&revision) {
            seen.cores = seen.cores.saturating_add(1);
            seen.cut.streams = seen.cut.streams.plus(counts);
            seen.cut.slowest = seen.cut.slowest.max(now.since(seen.published));
        }
        drop(seen);
        self.changed.send_replace(());
    }

    async fn wait(&self, revision: Revision) -> Cut {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(cut) = self.enforced(revision) {
                return cut;
            }
            if changed.changed().await.is_err() {
                return Cut::default();
            }
        }
    }

    /// What enforcing `revision` cut, once every core has enforced it or a newer one.
    fn enforced(&self, revision: Revision) -> Option<Cut> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let done = |seen: &Seen| seen.cores >= self.cores;
        match seen.get(&revision) {
            Some(own) if done(own) => Some(own.cut),
            own => {
                let newer = seen.range(revision..).any(|(_, newer)| done(newer));
                newer.then(|| own.map_or_else(Cut::default, |own| own.cut))
            }
        }
    }
}
