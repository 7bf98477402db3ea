//! `daypass serve`: a node from a configuration file, and what signals do to it.
//!
//! SIGHUP loads the file again, whole or not at all. SIGTERM or SIGINT drains; a second one quits at once. SIGUSR2
//! starts what lies at this program's path now, which takes over. What is asked for while a takeover is tried is not
//! forgotten: it is done afterwards, by whichever process goes on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use access::Revision;
use anyhow::Context as _;
use gateway::Plan;
use http::HeaderValue;
use rustix::process::{Pid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, ConfigError, Environment, Loaded, Report, Settings};
use crate::node::bridge::Plans;
use crate::node::clock::{SystemClock, SystemEntropy};
use crate::node::predecessor::{Inherited, Predecessor};
use crate::node::run::JournalParts;
use crate::node::successor::{Launch, Successor, TAKES_OVER};
use crate::node::{Node, Parts, Secured, StartError};
use crate::program;
use crate::supervisor::{self, Supervisor};

/// Runs a node until it is told to stop. Blocks.
///
/// # Errors
/// The configuration is wrong, or the node cannot start.
pub fn serve(path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(run(path.to_owned()));
    // A look-up that hangs is not waited for.
    runtime.shutdown_background();
    ended
}

async fn run(path: PathBuf) -> anyhow::Result<()> {
    let environment = Environment::process();
    // Before another binary lies at its path.
    let program = program::path(&environment).context("cannot tell where this program lies")?;
    let launch = Launch { program, arguments: std::env::args_os().skip(1).collect() };
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let supervisor = Supervisor::find(&environment);
    let mut serving = Serving::start(path, environment).await?;
    supervisor.ready();
    loop {
        match signals.next().await {
            Asked::Reload => {
                supervisor.reloading();
                serving.reload().await;
                supervisor.ready();
            }
            Asked::Upgrade => match serving.hand_over(&launch, &mut signals).await {
                Handed::Over(successor) => {
                    successor.pid().into_iter().for_each(|pid| supervisor.succeeded_by(pid));
                    return serving.leave(*successor, signals).await;
                }
                Handed::Not => {}
                Handed::Stopped => break,
            },
            Asked::Stop => break,
        }
    }
    supervisor.stopping();
    serving.stop(&mut signals).await
}

/// What became of a takeover.
enum Handed {
    Over(Box<Successor>),
    /// This process goes on.
    Not,
    /// It was told to stop instead.
    Stopped,
}

/// A node under way, and what it was configured with.
struct Serving {
    path: PathBuf,
    environment: Environment,
    fixed: Fixed,
    drain: Duration,
    node: Node,
}

impl Serving {
    /// Starts a node, or takes one over from the process that started this one.
    async fn start(path: PathBuf, environment: Environment) -> anyhow::Result<Self> {
        if environment.read(TAKES_OVER).is_none() {
            let loaded = Config::load(&path, &environment)?;
            let given = supervisor::sockets(&environment)?;
            let parts = |settings| Ok(Parts { inherited: given, ..parts(settings)? });
            return Self::begin(path, environment, loaded, parts).await;
        }
        let taken = Predecessor::at_standard_input().await;
        let (predecessor, inherited) =
            taken.with_context(|| format!("cannot take over, as `{TAKES_OVER}` says"))?;
        let told = predecessor.teller();
        let started = async {
            let loaded = Config::load(&path, &environment)?;
            Self::begin(path, environment, loaded, |settings| {
                let mut parts = parts(settings)?;
                parts.inherited = inherited.fit(parts.proxy, parts.console);
                parts.predecessor = Some(predecessor);
                Ok(parts)
            })
            .await
        };
        match started.await {
            Ok(serving) => Ok(serving),
            Err(error) => {
                told.fail(&format!("{error:#}")).await;
                Err(error)
            }
        }
    }

    async fn begin(
        path: PathBuf,
        environment: Environment,
        loaded: Loaded,
        parts: impl FnOnce(Settings) -> anyhow::Result<Parts>,
    ) -> anyhow::Result<Self> {
        let warnings = tell(&loaded.warnings);
        let (fixed, drain) = (Fixed::of(&loaded.settings), loaded.settings.drain);
        let node = Node::start(parts(loaded.settings)?).await.map_err(|error| with_advice(error, &path))?;
        node.note_warnings(warnings);
        let program = program::path(&environment).unwrap_or_default();
        announce(&node, &program);
        Ok(Self { path, environment, fixed, drain, node })
    }

    /// Loads the file again and puts it in force; on any error all stays as it is.
    async fn reload(&mut self) {
        match self.replace().await {
            Ok((revision, warnings)) => {
                self.node.note_warnings(tell(&warnings));
                tracing::info!(%revision, "the configuration was reloaded");
            }
            Err(error) => {
                self.node.note_failed_reload(in_lines(&error));
                tracing::error!(
                    "the configuration was not reloaded, the one before stays in force:\n{}",
                    format!("{error:#}").trim_end()
                );
            }
        }
    }

    async fn replace(&mut self) -> anyhow::Result<(Revision, Report)> {
        let Loaded { settings, warnings, .. } = Config::load(&self.path, &self.environment)?;
        let changed = self.fixed.changed(&Fixed::of(&settings));
        if !changed.is_empty() {
            anyhow::bail!(
                "{} can only change with a restart: put it back, or restart the server{}",
                changed.join(", "),
                if changed.contains(&DATA) {
                    ""
                } else {
                    " (SIGUSR2 has a new process take over, without a pause)"
                }
            );
        }
        let secured = Secured { tls: settings.tls, callers: settings.callers };
        let plans = plans(settings.forwards)?;
        let revision = self.node.reload(settings.policy, plans, secured).await?;
        self.drain = settings.drain;
        Ok((revision, warnings))
    }

    async fn stop(self, signals: &mut Signals) -> anyhow::Result<()> {
        tracing::info!("draining; a second signal quits at once");
        tokio::select! {
            drained = self.node.stop(self.drain) => {
                tracing::info!(cut = drained.cut, "stopped");
                Ok(())
            }
            () = signals.stop_again() => anyhow::bail!("stopped without draining"),
        }
    }

    /// Starts a process that takes over.
    async fn hand_over(&mut self, launch: &Launch, signals: &mut Signals) -> Handed {
        tracing::info!(program = %launch.program.display(), "a new process is to take over");
        let started = tokio::select! {
            started = Successor::start(&self.node, launch) => started,
            () = signals.stop_again() => return Handed::Stopped,
        };
        let installed = match started {
            Ok(successor) => successor.install(&mut self.node).await,
            Err(error) => Err(error),
        };
        match installed {
            Ok(successor) => Handed::Over(Box::new(successor)),
            Err(error) => {
                let why = format!("{:#}", anyhow::Error::new(error));
                tracing::error!("no new process took over, this one goes on: {why}");
                self.node.note_failed_takeover(why.lines().map(ToOwned::to_owned).collect());
                Handed::Not
            }
        }
    }

    /// Ends what is open beside the process that took over.
    async fn leave(self, successor: Successor, mut signals: Signals) -> anyhow::Result<()> {
        let pid = successor.pid();
        tracing::info!(successor = pid, "handed over; draining; a signal to stop quits at once");
        let left = async {
            let drained = successor.drain(&self.node, self.drain).await;
            self.node.stop(Duration::ZERO).await;
            drained
        };
        let Signals { hangup, terminate, interrupt, upgrade: _ } = &mut signals;
        tokio::select! {
            drained = left => {
                tracing::info!(cut = drained.cut, "stopped");
                Ok(())
            }
            () = told_to_stop(terminate, interrupt) => anyhow::bail!("stopped without draining"),
            never = pass_on(hangup, pid) => match never {},
        }
    }
}

/// Has the process that took over load its configuration again, whenever this one is told to.
async fn pass_on(hangup: &mut Signal, successor: Option<u32>) -> Infallible {
    let successor = successor.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    loop {
        hangup.recv().await;
        let told = successor.map(|pid| kill_process(pid, rustix::process::Signal::HUP));
        tracing::info!(?told, "the process that took over is told to reload");
    }
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Where an address cannot be listened on, the setting to change; who has it cannot be known from here. Of a journal of
/// which something is lost, what to do.
fn with_advice(error: StartError, path: &Path) -> anyhow::Error {
    if let StartError::Journal(journal::OpenError::Read(journal::ReadError::Missing { .. })) = &error {
        let says = anyhow::Error::new(error);
        return anyhow::anyhow!(
            "{says:#}\nnext: put the journal's directory back, whole; without it nobody can tell any more who did what. To begin a new one all the same, move what is left of it away, and `journal.head` beside it"
        );
    }
    let (key, kind) = match &error {
        StartError::Gateway(gateway::StartError::Bind { source, .. }) => ("listen.proxy", source.kind()),
        // The place may also be the socket's.
        StartError::Console { place, source } if place.parse::<SocketAddr>().is_ok() => {
            ("listen.console", source.kind())
        }
        _ => return error.into(),
    };
    let (cause, free) = match kind {
        std::io::ErrorKind::AddrInUse => ("another process listens there", "stop it, or "),
        std::io::ErrorKind::AddrNotAvailable => ("this machine does not have the address", ""),
        std::io::ErrorKind::PermissionDenied => ("this user may not listen there", ""),
        _ => return error.into(),
    };
    let says = anyhow::Error::new(error);
    anyhow::anyhow!("{says:#}\nnext: {cause}: {free}change `{key}` in `{}`", path.display())
}

fn announce(node: &Node, program: &Path) {
    let recovered = node.recovered();
    if recovered.unknown > 0 || recovered.torn_bytes > 0 {
        tracing::warn!(
            unknown = recovered.unknown,
            torn_bytes = recovered.torn_bytes,
            "the journal was recovered: requests that were open are marked `unknown`"
        );
    }
    if node.took_over() {
        tracing::info!("took over from the process before, which ends what it has open");
    }
    tracing::info!(
        node = node.name(),
        proxy = %format_args!("{}://{}", node.scheme(), node.proxy_address()),
        console = %format_args!("{}://{}", node.scheme(), node.console_address()),
        socket = %node.socket().display(),
        version = program::VERSION,
        pid = std::process::id(),
        program = %program.display(),
        "serving"
    );
}

/// What is asked of a running node.
enum Asked {
    Reload,
    Stop,
    Upgrade,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }

    /// Waits until it is told to stop; whatever else is asked stays asked.
    async fn stop_again(&mut self) {
        told_to_stop(&mut self.terminate, &mut self.interrupt).await;
    }
}

/// The one setting that a process which takes over cannot change, either.
const DATA: &str = "`data`";

/// The settings that a running node cannot change.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    proxy: SocketAddr,
    console: SocketAddr,
    data: PathBuf,
    durability: config::Durability,
}

impl Fixed {
    fn of(settings: &Settings) -> Self {
        // Named one by one, so that a new setting cannot be forgotten here.
        let Settings {
            proxy,
            console,
            tls: _,
            drain: _,
            callers: _,
            public_url: _,
            data,
            durability,
            policy: _,
            forwards: _,
        } = settings;
        Self { proxy: *proxy, console: *console, data: data.clone(), durability: *durability }
    }

    /// The settings that are not the same in the other.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let Self { proxy, console, data, durability } = self;
        let settings = [
            ("`listen.proxy`", *proxy != other.proxy),
            ("`listen.console`", *console != other.console),
            (DATA, *data != other.data),
            ("`journal.durability`", *durability != other.durability),
        ];
        settings.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

/// Says what in the configuration is not in force, and tells how much that is.
fn tell(warnings: &Report) -> usize {
    let count = warnings.findings().len();
    if count > 0 {
        tracing::warn!("{}", warnings.to_string().trim_end());
    }
    count
}

/// An error, a line a reason: of a wrong file each finding, without the text around it.
fn in_lines(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<ConfigError>() {
        Some(ConfigError::Wrong(report)) => report.lines().map(|line| line.to_string()).collect(),
        _ => vec![format!("{error:#}")],
    }
}

/// The threads of the proxy: `DAYPASS_CORES`, else as many as this process may run on.
fn cores(environment: &Environment) -> anyhow::Result<usize> {
    match environment.read("DAYPASS_CORES") {
        Some(text) => match text.parse() {
            Ok(cores @ 1..=1024) => Ok(cores),
            _ => anyhow::bail!("`DAYPASS_CORES` is `{text}`: write a number from 1 to 1024"),
        },
        None => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    }
}

/// Descriptors that are never given to clients of the proxy: console, socket, ledger, journal, the rest.
const DESCRIPTORS_RESERVED: u64 = 512;

/// How many connections each core may have open: what the system allows this process, less a reserve. Raises the soft
/// limit to the hard one first.
fn descriptors_per_core(cores: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let free = allowed.saturating_sub(DESCRIPTORS_RESERVED).max(allowed / 2);
    let each = free / u64::try_from(cores).unwrap_or(u64::MAX).max(1);
    usize::try_from(each).unwrap_or(usize::MAX).max(1)
}

/// What a node is started with, from settings and the system's own clock and randomness.
///
/// # Errors
/// A credential for an upstream cannot be sent, or the system gives no random bytes.
pub fn parts(settings: Settings) -> anyhow::Result<Parts> {
    SystemEntropy::probe().map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let durability = match settings.durability {
        config::Durability::Fsync => journal::Durability::Fsync,
        config::Durability::Write => journal::Durability::Write,
    };
    let cores = cores(&Environment::process())?;
    let clock: Arc<dyn access::Clock> = Arc::new(SystemClock::start());
    Ok(Parts {
        data: settings.data,
        proxy: settings.proxy,
        console: settings.console,
        inherited: Inherited::default(),
        predecessor: None,
        secured: Secured { tls: settings.tls, callers: settings.callers },
        cores,
        descriptors_per_core: descriptors_per_core(cores),
        journal: JournalParts { durability, disk: None },
        plans: plans(settings.forwards)?,
        policy: settings.policy,
        clock,
        entropy: Arc::new(SystemEntropy),
    })
}

/// How APIs are reached, from the configuration's forwards.
///
/// # Errors
/// A credential that no header can carry.
pub fn plans(forwards: Vec<config::Forward>) -> anyhow::Result<Plans> {
    forwards.into_iter().map(|forward| Ok((forward.api.clone(), plan(forward)?))).collect()
}

fn plan(forward: config::Forward) -> anyhow::Result<Plan> {
    let headers = forward.headers.into_iter().map(|(name, secret)| {
        let mut value = HeaderValue::from_bytes(secret.expose()).map_err(|_| {
            anyhow::anyhow!("the credential for `{name}` of `{}` is not a header value", forward.api)
        })?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    Ok(Plan {
        upstreams: forward.upstreams,
        headers: headers.collect::<anyhow::Result<_>>()?,
        patience: forward.patience,
        concurrency: forward.concurrency,
        check: forward.check,
        cors: forward.cors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_needs_a_restart_names_the_settings() {
        let fixed = |port, data: &str| Fixed {
            proxy: SocketAddr::from(([127, 0, 0, 1], port)),
            console: SocketAddr::from(([127, 0, 0, 1], 1)),
            data: data.into(),
            durability: config::Durability::Fsync,
        };
        assert_eq!(fixed(2, "a").changed(&fixed(2, "a")), [""; 0]);
        assert_eq!(fixed(2, "a").changed(&fixed(3, "b")), ["`listen.proxy`", "`data`"]);
    }
}
