//! Starting, reloading and stopping a node.
//!
//! The order of starting: data directory, ledger, journal, gateway, console. The order of stopping: no more
//! requests, what is open ends, the ledger's last events reach the journal, the journal closes.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::id::Name;
use access::policy::Policy;
use access::view::View;
use access::{Clock, Revision, SubjectId, SubjectKind};
use admin::{Console, Entropy, Handles, Journaled, Vitals};
use control::{Act, Actor, Command, Via};
use gateway::{Gateway, Picture, Views};
use journal::{Durability, Journal};
use ledger::{ExecuteError, Keeper};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::node::bridge::{Bridge, Plans};
use crate::node::configured::Configured;
use crate::node::console::ConsoleDoors;
use crate::node::data;
use crate::node::doors::{BothDoors, Secured};
use crate::node::enforce::Enforcer;
use crate::node::failed::{ReloadError, StartError};
use crate::node::follow::follow;
use crate::node::predecessor::{Inherited, Predecessor};
use crate::node::vitals::{NodeVitals, VIEW_AGE_MAX};

/// How long stopping waits for the last control events to reach the journal.
pub(super) const FOLLOW_TIME_MAX: Duration = Duration::from_secs(2);

/// What a node is started with.
pub struct Parts {
    /// The directory of ledger, journal and socket. Made if it is not there.
    pub data: PathBuf,
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// Where the console listens.
    pub console: SocketAddr,
    /// Sockets that listen there already, and the directory's lock, if it is had already.
    pub inherited: Inherited,
    /// The process to take over from, if there is one.
    pub predecessor: Option<Predecessor>,
    /// How both are secured.
    pub secured: Secured,
    /// How many threads the proxy has.
    pub cores: usize,
    /// How many connections each of them may have open, toward clients and upstreams.
    pub descriptors_per_core: usize,
    /// When a record counts as written, and on which disk.
    pub journal: JournalParts,
    /// What is allowed.
    pub policy: Policy,
    /// How APIs are reached.
    pub plans: Plans,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// How the journal is kept.
pub struct JournalParts {
    /// When a record counts as written.
    pub durability: Durability,
    /// The disk, if not the machine's own.
    pub disk: Option<Arc<dyn journal::Disk>>,
}

/// A running node.
pub struct Node {
    pub(super) name: Arc<str>,
    data: PathBuf,
    console_address: SocketAddr,
    recovered: journal::Recovered,
    clock: Arc<dyn Clock>,
    pub(super) keeper: Keeper,
    pub(super) journal: Journal,
    pub(super) gateway: Arc<Gateway>,
    pub(super) doors: BothDoors,
    pub(super) bridge: Arc<Bridge>,
    configured: Arc<Configured>,
    pub(super) journaled: watch::Sender<Journaled>,
    pub(super) following: Option<JoinHandle<()>>,
    pub(super) console: Option<ConsoleDoors>,
    pub(super) predecessor: Option<Arc<Predecessor>>,
    /// What was in force here when another process was about to take over.
    pub(super) policy_before: Option<Arc<Policy>>,
    /// Held for as long as the node has the directory.
    pub(super) lock: File,
}

impl Node {
    /// Starts everything. Must be called on a runtime, on which the console then runs.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(mut parts: Parts) -> Result<Self, StartError> {
        let mut inherited = std::mem::take(&mut parts.inherited);
        let predecessor = parts.predecessor.take().map(Arc::new);
        let lock = data::claim(&parts.data, inherited.lock.take())?;
        let name = node_name(&parts.data, &*parts.entropy)?;
        let empty = Picture {
            view: Arc::new(View::empty().map_err(StartError::Empty)?),
            forwards: Arc::from([]),
            unrouted: Arc::default(),
        };
        let views = Arc::new(Views::new(empty, VIEW_AGE_MAX));
        let bridge = Arc::new(Bridge::new(views.clone()));
        let keeper = start_keeper(&parts, &bridge)?;
        // From here on the process before waits: what can be done without its journal is done.
        let link = match &predecessor {
            Some(predecessor) => Some(predecessor.take().await.map_err(StartError::Predecessor)?),
            None => None,
        };
        let (journal, recovered) = open_journal(&parts, &name, link)?;
        refuse_lost_events(&keeper, &recovered)?;
        let adopted = adopt(&keeper, &bridge, parts.policy, parts.plans).await;
        let revision = adopted.map_err(StartError::Policy)?;
        let configured = Arc::new(Configured::new(revision, parts.clock.now()));
        let connections_max = parts.cores.saturating_mul(gateway::clients_max(parts.descriptors_per_core));
        let doors = BothDoors::new(parts.secured, connections_max, &parts.data, parts.clock.clone())?;
        let options = gateway::Options {
            address: parts.proxy,
            sockets: inherited.proxy,
            doors: doors.proxy.clone(),
            sources: doors.sources.clone(),
            cores: parts.cores,
            node: name.clone(),
            seed: seed(&*parts.entropy),
            descriptors_per_core: parts.descriptors_per_core,
        };
        let gateway = Arc::new(Gateway::start(options, views.clone(), &journal, parts.clock.clone())?);
        bridge.connect(gateway.clone());
        let mut known = Journaled::default();
        known.pass(recovered.revision);
        let journaled = watch::Sender::new(known);
        let from = recovered.revision;
        let following = spawn(follow(keeper.clone(), journal.clone(), from, journaled.clone()));
        let vitals = NodeVitals::new(
            name.clone(),
            parts.clock.clone(),
            views,
            journal.clone(),
            bridge.clone(),
            configured.clone(),
            &doors,
        );
        let console = Console::new(Handles {
            keeper: keeper.clone(),
            journal: journal.clone(),
            clock: parts.clock.clone(),
            entropy: parts.entropy,
            enforcer: Arc::new(Enforcer::new(name.clone(), gateway.clone(), predecessor.clone())),
            changes: journaled.subscribe(),
            vitals: Arc::new(vitals) as Arc<dyn Vitals>,
        });
        let node = Self {
            name,
            data: parts.data,
            console_address: parts.console,
            recovered,
            clock: parts.clock,
            keeper,
            journal,
            gateway,
            doors,
            bridge,
            configured,
            journaled,
            following: Some(following),
            console: None,
            predecessor,
            policy_before: None,
            lock,
        };
        node.open(console, (inherited.console, inherited.socket)).await
    }

    /// Opens the console, and says so to the process before; what was started before is stopped if that fails.
    async fn open(
        mut self,
        console: Console,
        inherited: (Option<TcpListener>, Option<UnixListener>),
    ) -> Result<Self, StartError> {
        let (doors, path) = (self.doors.console.clone(), socket_path(&self.data));
        let place = self.console_address;
        let opened = ConsoleDoors::open(console, doors, place, &path, inherited).and_then(|open| {
            let failed = |source| StartError::Console { place: place.to_string(), source };
            Ok((open.address().map_err(failed)?, open))
        });
        let opened = match (&self.predecessor, opened) {
            (Some(predecessor), Ok(opened)) => {
                predecessor.serving(&self.journal).await.map(|()| opened).map_err(StartError::Predecessor)
            }
            (_, opened) => opened,
        };
        match opened {
            Ok((address, open)) => {
                (self.console_address, self.console) = (address, Some(open));
                self.doors.order();
                Ok(self)
            }
            Err(error) => {
                self.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }

    /// Whether it took over from another process.
    #[must_use]
    pub const fn took_over(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Its name in receipts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What both listeners speak at present: `https`, or `http` in the clear.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.doors.scheme()
    }

    /// The present.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn proxy_address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Where the console listens.
    #[must_use]
    pub const fn console_address(&self) -> SocketAddr {
        self.console_address
    }

    /// The socket for commands on this machine.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.data)
    }

    /// What the journal looked like when it was opened.
    #[must_use]
    pub const fn recovered(&self) -> &journal::Recovered {
        &self.recovered
    }

    /// The single writer of the ledger.
    #[must_use]
    pub const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The journal.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The data plane.
    #[must_use]
    pub const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Puts another configuration in force, whole or not at all.
    ///
    /// # Errors
    /// [`ReloadError`]; the one before stays in force.
    pub async fn reload(
        &self,
        policy: Policy,
        plans: Plans,
        secured: Secured,
    ) -> Result<Revision, ReloadError> {
        let ready = self.doors.ready(secured)?;
        let revision = adopt(&self.keeper, &self.bridge, policy, plans).await?;
        let before = self.doors.scheme();
        self.doors.replace(ready);
        if (before, self.doors.scheme()) == ("https", "http") {
            tracing::warn!(
                "`listen.tls` is gone: from now on both listeners speak in the clear, credentials included"
            );
        }
        self.gateway.prove_again();
        self.configured.replace(revision, self.clock.now());
        Ok(revision)
    }

    /// Notes, for `status`, of how many things the configuration warns.
    pub fn note_warnings(&self, warnings: usize) {
        self.configured.warn(warnings);
    }

    /// Notes, for `status`, that a reload did not come about, a line a reason.
    pub fn note_failed_reload(&self, why: Vec<String>) {
        self.configured.fail(self.clock.now(), why);
    }

    /// Notes, for `status`, that no other process took over, a line a reason.
    pub fn note_failed_takeover(&self, why: Vec<String>) {
        self.configured.stay(self.clock.now(), why);
    }

    /// Drains the proxy within `patience`, closes the console, and leaves ledger and journal complete.
    pub async fn stop(mut self, patience: Duration) -> gateway::Drained {
        // Nobody is let in to look any more.
        self.doors.order_nothing().await;
        let drained = self.gateway.drain(patience).await;
        if let Some(mut console) = self.console.take() {
            console.pause().await;
        }
        self.stop_following().await;
        self.keeper.stop().await;
        let (gateway, journal, clock) = (self.gateway, self.journal, self.clock);
        drop(self.bridge);
        let _ = tokio::task::spawn_blocking(move || {
            if let Ok(gateway) = Arc::try_unwrap(gateway) {
                gateway.stop();
            }
            let now = clock.now();
            if let Err(error) = journal.shutdown() {
                tracing::error!(%error, at = %now, "the journal could not be closed; the next start recovers it");
            }
        })
        .await;
        drained
    }
}

/// The socket for commands on the server's own machine.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Stages the upstreams, has the ledger adopt the policy, and lets both come into force together.
pub(super) async fn adopt(
    keeper: &Keeper,
    bridge: &Arc<Bridge>,
    policy: Policy,
    plans: Plans,
) -> Result<Revision, ExecuteError> {
    bridge.stage(policy.clone(), plans);
    let by = Actor { subject: system()?, via: Via::System };
    match keeper.execute(Command { by, act: Act::AdoptPolicy(policy.into()) }).await {
        Ok(done) if done.events.is_empty() => {
            // The policy is the one in force; only the way to its APIs may have changed.
            ledger::Publish::publish(&**bridge, keeper.view());
            Ok(done.revision)
        }
        Ok(done) => Ok(done.revision),
        Err(error @ (ExecuteError::Denied(_) | ExecuteError::Busy | ExecuteError::Stopped)) => {
            bridge.unstage();
            Err(error)
        }
        // The ledger may yet turn out to have taken it: then policy and upstreams come into force together.
        Err(error @ ExecuteError::Unavailable(_)) => Err(error),
    }
}

fn system() -> Result<SubjectId, ExecuteError> {
    let name = "daypass".parse::<Name>().map_err(|_| ExecuteError::Stopped)?;
    Ok(SubjectId::new(SubjectKind::Local, name))
}

pub(super) fn data_error(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Data { path, source }
}

/// The node's name: made once, then kept beside its journal.
fn node_name(data: &Path, entropy: &dyn Entropy) -> Result<Arc<str>, StartError> {
    let path = data.join("node");
    match std::fs::read_to_string(&path) {
        Ok(kept) => match kept.trim().parse::<Name>() {
            Ok(name) => Ok(name.as_str().into()),
            Err(error) => Err(StartError::Name { path, error }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = format!("node-{:08x}", seed(entropy) & 0xffff_ffff);
            std::fs::write(&path, format!("{name}\n")).map_err(data_error(&path))?;
            Ok(name.into())
        }
        Err(error) => Err(data_error(&path)(error)),
    }
}

fn seed(entropy: &dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn open_journal(
    parts: &Parts,
    node: &str,
    link: Option<UnixStream>,
) -> Result<(Journal, journal::Recovered), StartError> {
    let directory = parts.data.join("journal");
    let invalid = |error| data_error(&directory)(io::Error::new(io::ErrorKind::InvalidData, error));
    let node: Name = node.parse().map_err(invalid)?;
    let mut options = journal::Options::new(&directory, node);
    options.durability = parts.journal.durability;
    if let Some(disk) = &parts.journal.disk {
        options.disk = disk.clone();
    }
    Ok(match link {
        Some(link) => Journal::take_over(options, parts.clock.clone(), link)?,
        None => Journal::open(options, parts.clock.clone())?,
    })
}

fn start_keeper(parts: &Parts, bridge: &Arc<Bridge>) -> Result<Keeper, StartError> {
    let path = parts.data.join("ledger.sqlite");
    let ledger = ledger::Sqlite::open(&path).map_err(|source| StartError::Ledger { path, source })?;
    Ok(Keeper::start(ledger, parts.clock.clone(), bridge.clone())?)
}

fn refuse_lost_events(keeper: &Keeper, recovered: &journal::Recovered) -> Result<(), StartError> {
    let ledger = *keeper.head().borrow();
    if ledger < recovered.revision {
        return Err(StartError::LedgerBehind { ledger, journal: recovered.revision });
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the node stops what it spawns")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}
