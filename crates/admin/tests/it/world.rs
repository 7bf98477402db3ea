//! A console on port 0 and on a socket, with a SQLite ledger and a journal in a directory of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use access::operation::{Method, Operation};
use access::policy::{Api, Policy, Principal, Route, Unlisted};
use access::role::Role;
use access::view::View;
use access::{Clock, Revision, SubjectId, Timestamp};
use admin::{
    Configuration, Console, Cut, Enforce, Entropy, FailedReload, Handles, Health, Journaled, Listener,
    NodeCut, NodeHealth, UpstreamHealth, Vitals,
};
use control::{Act, Actor, Command, Via};
use futures_util::future::BoxFuture;
use journal::{Change, Journal, Receipt, Unavailable};
use ledger::{Keeper, Publish};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// 2026-11-22T03:00:00Z.
const START: i64 = 1_795_316_400_000_000;

/// A clock that moves only when a story says so.
#[derive(Debug)]
pub(crate) struct StoryClock(AtomicI64);

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// SplitMix64 from a fixed seed.
struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bits = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

struct Unpublished;

impl Publish for Unpublished {
    fn publish(&self, _: Arc<View>) {}
    fn proven(&self, _: Timestamp) {}
}

/// One node with one open event stream, which every order cuts.
struct OneStream;

impl Enforce for OneStream {
    fn enforce(&self, _: Revision) -> BoxFuture<'_, Cut> {
        let nodes = vec![NodeCut { node: "n1".to_owned(), acknowledged_ms: 1 }];
        Box::pin(async { Cut { nodes, sse: 1, slowest_ms: 1, ..Cut::default() } })
    }
}

struct Well;

impl Vitals for Well {
    fn health(&self) -> Health {
        let started = Timestamp::from_micros(START);
        let node = NodeHealth {
            node: "n1".to_owned(),
            revision: Revision::from_number(1),
            started,
            version: "1.2.3".to_owned(),
            pid: Some(7),
            program: Some("/usr/bin/daypass".to_owned()),
        };
        let why = vec!["daypass.yaml:3:1: unknown key `api`".to_owned()];
        Health {
            why: Vec::new(),
            nodes: vec![node],
            view_age_ms: 7,
            spooled: 0,
            certificates: Vec::new(),
            acme: None,
            configuration: Configuration {
                revision: Revision::from_number(1),
                loaded: started,
                warnings: 2,
                failed: Some(FailedReload { at: started, why }),
            },
            takeover: None,
            upstreams: vec![UpstreamHealth {
                api: "orders".to_owned(),
                upstream: "127.0.0.1:7001".to_owned(),
                state: "unreachable",
                why: "it cannot be connected to".to_owned(),
                since: started,
            }],
        }
    }

    fn metrics(&self, text: &mut String) {
        text.push_str("# EOF\n");
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<StoryClock>,
    pub(crate) keeper: Keeper,
    pub(crate) journal: Journal,
    pub(crate) console: Console,
    pub(crate) directory: TempDir,
    pub(crate) changes: watch::Receiver<Journaled>,
    pub(crate) tcp: String,
    listeners: JoinSet<()>,
    journaling: JoinSet<()>,
    stops: Vec<oneshot::Sender<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(StoryClock(AtomicI64::new(START)));
        let engine = ledger::Sqlite::open(&directory.path().join("ledger.db")).unwrap();
        let keeper = Keeper::start(engine, clock.clone(), Arc::new(Unpublished)).unwrap();
        let mut options = journal::Options::new(directory.path().join("journal"), "n1".parse().unwrap());
        // Small, so that searches cross segments.
        options.segment_bytes_max = 1024 * 1024;
        let (journal, _) = Journal::open(options, clock.clone()).unwrap();
        let (told, changes) = watch::channel(Journaled::default());
        let mut journaling = JoinSet::new();
        journaling.spawn(journal_changes(keeper.clone(), journal.clone(), told));
        let console = Console::new(Handles {
            keeper: keeper.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            entropy: Arc::new(Seeded(AtomicU64::new(1))),
            enforcer: Arc::new(OneStream),
            changes: changes.clone(),
            vitals: Arc::new(Well),
        });
        let by = Actor { subject: "local:daypass".parse().unwrap(), via: Via::System };
        keeper.execute(Command { by, act: Act::AdoptPolicy(Arc::new(policy())) }).await.unwrap();
        let mut world = Self {
            clock,
            keeper,
            journal,
            console,
            directory,
            changes,
            journaling,
            listeners: JoinSet::new(),
            tcp: String::new(),
            stops: Vec::new(),
        };
        world.listen().await;
        world.settle().await;
        world
    }

    async fn listen(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.tcp = format!("http://{}", listener.local_addr().unwrap());
        self.serve(Listener::Tcp { listener, secure: Arc::new(InTheClear) });
        let listener = UnixListener::bind(self.socket()).unwrap();
        let own_uid = self.own_uid();
        self.serve(Listener::Socket { listener, own_uid, name_of: Arc::new(|_| "root".parse().ok()) });
    }

    /// Whom the kernel says owns what this process makes.
    fn own_uid(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.directory.path()).unwrap().uid()
    }

    pub(crate) fn serve(&mut self, listener: Listener) {
        let (stop, stopped) = oneshot::channel();
        let console = self.console.clone();
        self.listeners.spawn(async move {
            admin::serve(listener, &console, async { drop(stopped.await) }).await;
        });
        self.stops.push(stop);
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("admin.sock")
    }

    pub(crate) fn over_socket(&self) -> reqwest::Client {
        reqwest::Client::builder().unix_socket(self.socket()).build().unwrap()
    }

    /// Waits until the journal has every control event.
    pub(crate) async fn settle(&mut self) {
        let head = self.keeper.state().revision();
        self.changes.wait_for(|last| last.revision() >= head).await.unwrap();
    }

    pub(crate) fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.clock.0.fetch_add(micros, Ordering::SeqCst);
    }

    pub(crate) fn stop_listening(&mut self) {
        self.stops.clear();
    }

    /// Waits for the listeners after they were stopped.
    pub(crate) async fn listened(&mut self) {
        self.listeners.join_next().await.unwrap().unwrap();
        self.listeners.join_next().await.unwrap().unwrap();
    }

    async fn stop(mut self) {
        self.stop_listening();
        while self.listeners.join_next().await.is_some() {}
        self.journaling.shutdown().await;
        self.journal.shutdown().unwrap();
        self.keeper.stop().await;
    }
}

/// What the binary does: every control event becomes a leaf, in order.
async fn journal_changes(keeper: Keeper, journal: Journal, told: watch::Sender<Journaled>) {
    let mut head = keeper.head();
    let mut done = Revision::ZERO;
    loop {
        let Ok(events) = keeper.read(done, 100).await else { return };
        for recorded in events {
            done = recorded.revision;
            let Ok(receipt) = append(&journal, &recorded).await else { return };
            told.send_modify(|told| told.add(done, receipt.leaf));
        }
        if *head.borrow_and_update() <= done && head.changed().await.is_err() {
            return;
        }
    }
}

async fn append(journal: &Journal, recorded: &ledger::Recorded) -> Result<Receipt, Unavailable> {
    let event = &recorded.event;
    let (actor, detail) = (event.by.to_string(), event.change.detail());
    let subject = event.change.subject().map(|subject| subject.to_string());
    let grant = event.change.grant().map(|grant| grant.to_string());
    let change = Change {
        revision: recorded.revision,
        time: event.at,
        actor: &actor,
        kind: event.change.kind(),
        subject: subject.as_deref(),
        grant_id: grant.as_deref(),
        incident: event.change.incident().map(access::IncidentId::as_str),
        detail: &detail,
    };
    journal.append(change.into()).await
}

fn policy() -> Policy {
    let operation = |name: &str, method, template: &str| Operation {
        name: name.into(),
        method,
        template: template.parse().unwrap(),
        tags: vec!["orders".into()],
    };
    let operations = vec![
        operation("getOrder", Method::Get, "/v1/orders/{id}"),
        operation("refund", Method::Post, "/v1/orders/{id}/refund"),
    ];
    let api = Api {
        name: "orders".parse().unwrap(),
        route: Route::Prefix("orders".into()),
        operations: Some(operations),
        unlisted: Unlisted::Refuse,
        request_body_bytes_max: 1024,
        quirks: access::quirk::Quirks::NONE,
        rate: None,
    };
    let role = |rule: &str| Role {
        allow: vec![rule.parse().unwrap()],
        deny: Vec::new(),
        rate: "60/m".parse().ok(),
        unread: access::role::Unread::default(),
    };
    let users = ["alice", "bob", "carol", "dora"].map(|user| (user.parse().unwrap(), BTreeSet::new()));
    let named = |user: &str| Principal::Subject(user.parse::<SubjectId>().unwrap());
    Policy {
        apis: vec![api],
        roles: BTreeMap::from([
            ("orders-viewer".parse().unwrap(), role("orders:read")),
            ("orders-refunder".parse().unwrap(), role("orders:refund")),
        ]),
        users: BTreeMap::from(users),
        administrators: vec![named("dora")],
        auditors: vec![named("carol")],
    }
}

/// Runs a test with a world, and takes the world down after it.
pub(crate) fn within<F: Future<Output = World>>(story: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        story(world).await.stop().await;
    });
}

struct InTheClear;

impl admin::Secure for InTheClear {
    fn open(&self, stream: tokio::net::TcpStream) -> admin::Opening {
        Box::pin(async { Ok(Box::new(stream) as _) })
    }
}
