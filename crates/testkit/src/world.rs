//! A whole world: upstreams, a node with its console, a directory, and time, all on port 0.
//!
//! Every world ends with [`World::finish`], which holds the oracle against all that was seen; one that is dropped
//! before fails its test.
//! Not here: what people ask of the console (see `console`), what the oracle says (see `oracle`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access::{Clock as _, Revision};
use daypass::config::{Config, Environment, Loaded, Source};
use daypass::node::run::JournalParts;
use daypass::node::{Inherited, Node, Parts, Secured};
use journal::{Filter, Order, Reader, RequestRow, Writable};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::client::{Answer, Ask, Book, Conn, tcp};
use crate::disk::{Fault, FaultyDisk};
use crate::files::{copy, files};
use crate::frames::Frames;
use crate::h2c::H2;
use crate::oracle::{Company, Evidence, Holding};
use crate::setup::{Pace, Places, Setup, UPSTREAM_KEY};
use crate::time::{Random, TestClock, eventually};
use crate::upstream::{Seen, Shared, Upstream};
use crate::{logs, oracle, tls};

/// How far time moves while the journal is waited for: half of what it waits between two tries.
const RETRY: Duration = Duration::from_millis(250);
/// How long open exchanges may go on when a node is stopped.
const DRAIN: Duration = Duration::from_secs(2);

/// How many worlds there are in this process.
static WORLDS: AtomicUsize = AtomicUsize::new(0);

/// A running Daypass with everything around it.
pub struct World {
    root: TempDir,
    data: PathBuf,
    setup: Setup,
    clock: Arc<TestClock>,
    entropy: Arc<Random>,
    disk: FaultyDisk,
    pub(crate) book: Book,
    upstream: Upstream,
    h2c: Upstream,
    others: RefCell<Vec<Shared>>,
    nobody: TcpSocket,
    node: Option<Node>,
    crashes: u64,
    policies: Vec<(u64, crate::reference::Policy)>,
    pub(crate) issued: RefCell<Issued>,
    /// What upstreams saw that are not the world's own.
    witnessed: RefCell<Vec<Seen>>,
    finished: Cell<Finished>,
}

/// The ledger's write lock; released when dropped.
#[derive(Debug)]
pub struct LedgerLock(#[expect(dead_code, reason = "it is held, not used")] Connection);

/// Whether the oracle was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    Yes,
    No,
}

/// What the console gave out and said.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    pub(crate) secrets: Vec<String>,
    pub(crate) holdings: BTreeMap<String, Holding>,
    pub(crate) sessions: BTreeMap<String, String>,
    pub(crate) texts: Vec<(String, Vec<u8>)>,
}

impl World {
    /// The world that [`Setup::default`] describes.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn start() -> Self {
        Self::of(Setup::default()).await
    }

    /// A world as described.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn of(setup: Setup) -> Self {
        logs::keep();
        WORLDS.fetch_add(1, Ordering::SeqCst);
        let nobody = TcpSocket::new_v4().unwrap();
        // Bound and not listening: connections are refused, and nobody else takes the port.
        nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let root = tempfile::tempdir().unwrap();
        tls::write(root.path());
        let clock = match setup.pace {
            Pace::Held => TestClock::held(),
            Pace::Running => TestClock::running(),
        };
        let disk = FaultyDisk::default();
        disk.set(setup.fault);
        let mut world = Self {
            data: root.path().join("data"),
            root,
            clock: Arc::new(clock),
            entropy: Arc::new(Random::seeded(setup.seed)),
            setup,
            disk,
            book: Book::default(),
            upstream: Upstream::start().await,
            h2c: Upstream::start_h2c().await,
            others: RefCell::default(),
            nobody,
            node: None,
            crashes: 0,
            policies: Vec::new(),
            issued: RefCell::default(),
            witnessed: RefCell::default(),
            finished: Cell::new(Finished::No),
        };
        world.boot().await;
        world
    }

    fn places(&self) -> Places {
        Places {
            recorder: self.upstream.address(),
            h2c: self.h2c.address(),
            nobody: self.nobody.local_addr().unwrap(),
        }
    }

    /// The configuration of a setup, as the binary reads it.
    fn load(&self, setup: &Setup) -> Result<Loaded, String> {
        let (text, contracts) = setup.files(self.places());
        for (name, contract) in contracts {
            std::fs::write(self.root.path().join(name), contract).unwrap();
        }
        let source = Source { path: "daypass.yaml".into(), text: text.into() };
        let environment = Environment::of([("UPSTREAM_KEY", UPSTREAM_KEY)]);
        Config::resolve(source, self.root.path(), &environment).map_err(|error| error.to_string())
    }

    async fn boot(&mut self) {
        let settings = self.load(&self.setup).unwrap_or_else(|error| panic!("{error}")).settings;
        let parts = Parts {
            data: self.data.clone(),
            proxy: settings.proxy,
            console: settings.console,
            inherited: Inherited::default(),
            predecessor: None,
            secured: Secured { tls: settings.tls, callers: settings.callers },
            cores: self.setup.cores,
            descriptors_per_core: self.setup.descriptors,
            journal: JournalParts {
                durability: self.setup.durability,
                disk: Some(Arc::new(self.disk.clone())),
            },
            plans: daypass::serve::plans(settings.forwards).unwrap(),
            policy: settings.policy,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        };
        let node = Node::start(parts).await.unwrap();
        let revision = node.keeper().head().borrow().number();
        self.policies.push((revision, self.setup.policy()));
        self.node = Some(node);
    }

    /// The running node.
    ///
    /// # Panics
    /// It was stopped.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("a running node")
    }

    /// The recording upstream.
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The recording upstream for HTTP/2.
    #[must_use]
    pub const fn h2c(&self) -> &Upstream {
        &self.h2c
    }

    /// Adds what an upstream saw that is not the world's own.
    pub fn witness(&self, seen: Vec<Seen>) {
        self.witnessed.borrow_mut().extend(seen);
    }

    /// Where the answers are kept that clients got.
    #[must_use]
    pub fn book(&self) -> Book {
        self.book.clone()
    }

    /// Has the oracle judge what another upstream saw, too.
    pub fn adopt(&self, upstream: &Upstream) {
        self.others.borrow_mut().push(upstream.shared());
    }

    /// The journal's disk.
    #[must_use]
    pub const fn disk(&self) -> &FaultyDisk {
        &self.disk
    }

    /// The world's time.
    #[must_use]
    pub const fn clock(&self) -> &Arc<TestClock> {
        &self.clock
    }

    /// The world's random numbers.
    #[must_use]
    pub const fn random(&self) -> &Arc<Random> {
        &self.entropy
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Moves time ahead, and waits until the node has proven its view anew.
    ///
    /// # Panics
    /// The ledger does not answer.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        // The keeper proves the view after an order when a proof is due; the second order comes after that.
        for _ in 0..2 {
            self.node().keeper().read(Revision::ZERO, 1).await.unwrap();
        }
    }

    /// A connection to the proxy.
    pub async fn connect(&self) -> Conn {
        let address = self.node().proxy_address();
        match self.node().scheme() {
            "https" => self.connect_tls(tls::PROXY_NAMES[0]).await,
            _ => Conn::over(tcp(address).await, self.book.clone()),
        }
    }

    /// An HTTP/2 connection to the proxy.
    pub async fn connect_h2(&self) -> H2 {
        let address = self.node().proxy_address();
        match self.node().scheme() {
            "https" => {
                let name = tls::PROXY_NAMES[0];
                let stream = tls::connect(address, name, &["h2"]).await.unwrap();
                H2::over(stream, name.to_owned(), self.book.clone()).await
            }
            _ => H2::over(tcp(address).await, address.to_string(), self.book.clone()).await,
        }
    }

    /// An HTTP/2 connection to the proxy, frame by frame. Its answers are not kept.
    pub async fn connect_frames(&self) -> Frames {
        Frames::over(tcp(self.node().proxy_address()).await).await
    }

    /// A connection over TLS to the proxy, in this name.
    ///
    /// # Panics
    /// The proxy does not shake hands.
    pub async fn connect_tls(&self, name: &str) -> Conn {
        let stream = tls::connect(self.node().proxy_address(), name, &["http/1.1"]).await.unwrap();
        Conn::over(stream, self.book.clone())
    }

    /// Where configurations, contracts and certificates are.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// One request on a connection of its own.
    pub async fn send(&self, ask: &Ask) -> Answer {
        self.connect().await.ask(ask).await
    }

    /// One `GET` with a credential.
    pub async fn get(&self, credential: &str, target: &str) -> Answer {
        self.send(&Ask::get(target).bearer(credential)).await
    }

    /// Every answer to these bytes, until the connection ends.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut connection = self.connect().await;
        connection.send(bytes).await;
        connection.answers().await
    }

    /// Takes the ledger's write lock, as another program could, until the lock is dropped.
    ///
    /// # Panics
    /// Somebody else has it.
    #[must_use]
    pub fn lock_ledger(&self) -> LedgerLock {
        let connection = Connection::open(self.data.join("ledger.sqlite")).unwrap();
        connection.busy_timeout(crate::PATIENCE).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        LedgerLock(connection)
    }

    /// Every row of the journal, oldest first.
    ///
    /// # Panics
    /// The journal cannot be read.
    #[must_use]
    pub fn rows(&self) -> Vec<RequestRow> {
        let reader = Reader::open(self.data.join("journal")).unwrap();
        reader.rows(&Filter::default(), Order::OldestFirst, None).unwrap()
    }

    /// The row of an answer, once its outcome is known.
    ///
    /// # Panics
    /// There is none in time.
    pub async fn row(&self, answer: &Answer) -> RequestRow {
        let id = answer.id().to_owned();
        self.row_where(&format!("a row for the answer {answer:?}"), |row| row.id.to_string() == id).await
    }

    /// The first row with an outcome that fits.
    ///
    /// # Panics
    /// There is none in time.
    pub async fn row_where(&self, what: &str, fits: impl Fn(&RequestRow) -> bool) -> RequestRow {
        let find = async || self.rows().into_iter().find(|row| row.outcome.is_some() && fits(row));
        eventually(what, find).await
    }

    /// Waits until everything can be recorded, moving time ahead for the journal to try again.
    ///
    /// # Panics
    /// The disk still fails after [`crate::PATIENCE`].
    pub async fn journal_recovers(&self) {
        let journal = self.node().journal();
        eventually("a journal that can be written", async || {
            if journal.health().writable == Writable::Yes {
                return Some(());
            }
            self.clock.advance(RETRY);
            self.node().keeper().read(Revision::ZERO, 1).await.ok();
            None
        })
        .await;
    }

    /// Puts another setup in force without a restart.
    ///
    /// # Errors
    /// What is wrong with it; all stays as it was.
    ///
    /// # Panics
    /// The ledger does not take it.
    pub async fn reload(&mut self, setup: Setup) -> Result<Revision, String> {
        let settings = self.load(&setup)?.settings;
        let plans = daypass::serve::plans(settings.forwards).unwrap();
        let secured = Secured { tls: settings.tls, callers: settings.callers };
        let revision = self.node().reload(settings.policy, plans, secured).await.unwrap();
        self.policies.push((revision.number(), setup.policy()));
        self.setup = setup;
        Ok(revision)
    }

    /// Stops the node in order, and starts it again on the same directory.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.boot().await;
    }

    /// Stops the node in order.
    pub async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop(DRAIN).await;
        }
    }

    /// Goes on from the files as they are at this instant, as after `kill -9`: whatever the node would still have
    /// written is lost.
    ///
    /// # Panics
    /// The files cannot be copied.
    pub async fn crash(&mut self) {
        self.crashes += 1;
        let found = self.root.path().join(format!("data-{}", self.crashes));
        copy(&self.data, &found);
        if let Some(node) = self.node.take() {
            node.stop(Duration::ZERO).await;
        }
        self.data = found;
        self.boot().await;
    }

    /// Ends the world and holds the oracle against all that was seen.
    ///
    /// # Panics
    /// The oracle found something.
    pub async fn finish(mut self) {
        let violations = oracle::judge(&self.gather().await);
        self.finished.set(Finished::Yes);
        assert!(violations.is_empty(), "the oracle says no:\n{}", violations.join("\n"));
    }

    /// Ends the node, and collects what the oracle judges.
    pub(crate) async fn gather(&mut self) -> Evidence {
        let mut leaks = Vec::new();
        if self.node.is_some() {
            self.disk.set(Fault::None);
            self.journal_recovers().await;
            self.send(&Ask::get("/orders/v1/health")).await;
            leaks = oracle::leaks(self.node()).await;
            let metrics = self.metrics().await;
            self.issued.get_mut().texts.push(("metrics".to_owned(), metrics.into_bytes()));
            let port = self.node().proxy_address().port();
            self.stop().await;
            let company = if WORLDS.load(Ordering::SeqCst) == 1 { Company::Alone } else { Company::Others };
            leaks.extend(oracle::remains(port, &self.data, company).await);
        }
        let issued = self.issued.get_mut();
        let mut texts = std::mem::take(&mut issued.texts);
        texts.push(("logs".to_owned(), logs::kept()));
        texts.extend(files(&self.data));
        self.finished.set(Finished::Yes);
        Evidence {
            scheme: self.setup.scheme(),
            policies: self.policies.clone(),
            holdings: self.issued.get_mut().holdings.clone(),
            seen: self.seen(),
            unread: BTreeSet::new(),
            rows: self.rows(),
            answers: self.book.answers(),
            secrets: self.issued.get_mut().secrets.clone(),
            texts,
            leaks,
            crashes: self.crashes,
            counted: oracle::counted::counted(&self.data),
        }
    }

    /// What all upstreams saw of clients; checks are Daypass's own.
    fn seen(&self) -> Vec<Seen> {
        let others = self.others.borrow().iter().flat_map(Shared::seen).collect();
        oracle::asked([self.upstream.seen(), self.h2c.seen(), self.witnessed.take(), others].concat())
    }

    /// The numbers that the console shows to monitoring.
    pub async fn metrics(&self) -> String {
        let answer = self.console().await.ask(&Ask::get("/metrics")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// A connection to the console's port.
    pub(crate) async fn console(&self) -> Conn {
        let address = self.node().console_address();
        if self.node().scheme() == "https" {
            return Conn::unkept(tls::connect(address, "localhost", &[]).await.unwrap());
        }
        Conn::unkept(tcp(address).await)
    }

    /// Microseconds since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.now().since(crate::time::START)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        WORLDS.fetch_sub(1, Ordering::SeqCst);
        // A fault that holds the journal's thread would outlive the test.
        self.disk.set(Fault::None);
        if self.finished.get() == Finished::No && !std::thread::panicking() {
            panic!("the world was dropped without `finish`: the oracle was not asked");
        }
    }
}
