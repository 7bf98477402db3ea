//! Whoever started this process as a service, systemd above all: its listening sockets (`sd_listen_fds(3)`), and what
//! it is told (`sd_notify(3)`).
//!
//! Without a supervisor nothing is said and nothing is given. What cannot be told is logged, and holds up nothing.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;
use tokio::task::JoinHandle;

use crate::config::Environment;
use crate::node::Inherited;
use crate::node::run::spawn;

/// The most sockets that are taken.
const SOCKETS_MAX: usize = 1_024;

/// Why the sockets given are not listened on.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    /// It has no use here.
    #[error("a socket was given under the name `{0}`: `FileDescriptorName=` is `proxy` or `console`")]
    Name(String),
    /// It is not what it is said to be.
    #[error("the socket given under the name `{name}` is no listening TCP socket")]
    Kind {
        /// Its name.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More than anybody needs.
    #[error("more than {SOCKETS_MAX} sockets were given")]
    Many,
}

/// The sockets that this process was started with.
///
/// # Errors
/// [`NotGiven`]: one that is not understood is not left unused.
pub fn sockets(environment: &Environment) -> Result<Inherited, NotGiven> {
    let mut given = Inherited::default();
    // They are meant for one process, and the environment outlives it.
    if environment.read("LISTEN_PID") != Some(std::process::id().to_string()) {
        return Ok(given);
    }
    let names = environment.read("LISTEN_FDNAMES").unwrap_or_default();
    let mut sockets = ListenFd::from_env();
    if sockets.len() > SOCKETS_MAX {
        return Err(NotGiven::Many);
    }
    let mut names = names.split(':');
    for place in 0..sockets.len() {
        let name = names.next().unwrap_or_default().to_owned();
        let taken = sockets.take_tcp_listener(place);
        let socket = taken.and_then(|socket| socket.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let socket = socket.map_err(|source| NotGiven::Kind { name: name.clone(), source })?;
        match name.as_str() {
            "proxy" => given.proxy.push(socket),
            "console" if given.console.is_none() => given.console = Some(socket),
            _ => return Err(NotGiven::Name(name)),
        }
    }
    Ok(given)
}

/// How long a supervisor that does not listen is waited for, with each thing that it is told.
const TELL_TIME_MAX: Duration = Duration::from_secs(1);

fn speaking() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TELL_TIME_MAX))?;
    Ok(socket)
}

/// Who is told how this process is.
#[derive(Debug)]
pub struct Supervisor {
    told: Option<(UnixDatagram, SocketAddr)>,
    _watched: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// The one that the environment names, if any; it hears from now on as often as it wants to that this process
    /// lives. Must be called on a runtime.
    #[must_use]
    pub fn find(environment: &Environment) -> Self {
        let told = environment.read("NOTIFY_SOCKET").and_then(|place| {
            let address = match place.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&place),
            };
            let told = address.and_then(|address| Ok((speaking()?, address)));
            told.inspect_err(|error| tracing::warn!(%error, place, "the supervisor cannot be told anything"))
                .ok()
        });
        let watched = watch_interval(environment).zip(told.as_ref()).and_then(|(interval, (_, address))| {
            // One of its own: a supervisor that does not listen misses a sign of life, and nobody waits for it.
            let (socket, address) = (UnixDatagram::unbound().ok()?, address.clone());
            socket.set_nonblocking(true).ok()?;
            Some(spawn(async move {
                loop {
                    let _ = socket.send_to_addr(b"WATCHDOG=1", &address);
                    tokio::time::sleep(interval).await;
                }
            }))
        });
        Self { told, _watched: watched }
    }

    /// Requests are served.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Another configuration is being loaded; [`Supervisor::ready`] says that it was.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// No more requests are served.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// This process is the service's from now on.
    pub fn succeeded_by(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.told
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!(%error, "the supervisor was not told `{}`", state.replace('\n', " "));
        }
    }
}

/// How often the supervisor is to hear of this process: twice as often as it wants to.
fn watch_interval(environment: &Environment) -> Option<Duration> {
    let meant = environment.read("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros: u64 = environment.read("WATCHDOG_USEC")?.parse().ok()?;
    (meant && micros > 0).then(|| Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}
