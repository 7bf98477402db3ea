//! The process before this one: what it hands down, and that it cuts what is revoked for as long as it ends what it
//! has open.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use access::Revision;
use admin::Cut;
use journal::Journal;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::node::channel::{Channel, Kind, Message, VERSION};

/// How long the process before may take to hand down what it has.
const HAND_DOWN_TIME_MAX: Duration = Duration::from_secs(30);
/// How long it may take to cut what is revoked.
const ENFORCE_TIME_MAX: Duration = Duration::from_secs(2);
/// The most sockets that are taken: beyond it the takeover fails.
const SOCKETS_MAX: usize = 1_024;

/// Sockets that a node listens on, and the lock on its directory, where it need not make them itself.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listening sockets of the proxy.
    pub proxy: Vec<TcpListener>,
    /// That of the console.
    pub console: Option<TcpListener>,
    /// That of the commands on this machine.
    pub socket: Option<UnixListener>,
    /// The lock of the data directory.
    pub lock: Option<File>,
}

impl Inherited {
    /// Only those sockets that listen where they are wanted now; others are made anew.
    #[must_use]
    pub fn fit(mut self, proxy: SocketAddr, console: SocketAddr) -> Self {
        let listens = |socket: &TcpListener, wanted: SocketAddr| {
            let found = socket.local_addr();
            found.is_ok_and(|found| found.ip() == wanted.ip() && (wanted.port() == 0 || found == wanted))
        };
        self.proxy.retain(|socket| listens(socket, proxy));
        self.console = self.console.filter(|socket| listens(socket, console));
        self
    }
}

/// The process that this one takes over from.
#[derive(Debug)]
pub struct Predecessor {
    channel: Arc<Mutex<Channel>>,
    journal: Mutex<Option<UnixStream>>,
}

/// Tells the process before that nobody takes over.
#[derive(Debug)]
pub struct Teller(Arc<Mutex<Channel>>);

impl Teller {
    /// Tells why; best effort.
    pub async fn fail(&self, why: &str) {
        let _ = self.0.lock().await.send(&Message::failed(why)).await;
    }
}

/// What the process before says to a revision.
pub(super) enum Obeyed {
    /// It has nothing open any more.
    Gone,
    /// It has cut.
    Cut(Cut),
    /// It does not answer.
    Silent,
}

impl Predecessor {
    /// The process at the other end of this one's standard input, and what it hands down. Must be called on a runtime.
    ///
    /// # Errors
    /// Standard input is nothing of the kind, or what comes is not understood.
    pub async fn at_standard_input() -> io::Result<(Self, Inherited)> {
        let channel = Channel::over(io::stdin().as_fd().try_clone_to_owned()?)?;
        let received = timeout(HAND_DOWN_TIME_MAX, receive(&channel)).await;
        let (inherited, journal) = received.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((Self { channel: Arc::new(Mutex::new(channel)), journal: Mutex::new(Some(journal)) }, inherited))
    }

    /// Asks for the node: once this returns, its journal may be opened, with what is recorded over there coming here.
    pub(super) async fn take(&self) -> io::Result<UnixStream> {
        let channel = self.channel.lock().await;
        channel.send(&Message::Ready {}).await?;
        match timeout(HAND_DOWN_TIME_MAX, channel.receive()).await.map_err(|_| io::ErrorKind::TimedOut)?? {
            Message::Yours {} => {}
            Message::Failed { why } => return Err(io::Error::other(why)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        self.journal.lock().await.take().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Tells that requests are served here, and appends what is recorded over there from now on.
    pub(super) async fn serving(&self, journal: &Journal) -> io::Result<()> {
        journal.keep_estate().map_err(io::Error::other)?;
        self.channel.lock().await.send(&Message::Serving {}).await
    }

    /// Who can tell that it will not come about.
    #[must_use]
    pub fn teller(&self) -> Teller {
        Teller(self.channel.clone())
    }

    /// Whether it has ended.
    pub(super) async fn is_gone(&self) -> bool {
        self.channel.lock().await.is_gone()
    }

    /// Has it cut what this revision no longer holds.
    pub(super) async fn enforce(&self, revision: Revision) -> Obeyed {
        match timeout(ENFORCE_TIME_MAX, self.ask(revision.number())).await {
            Ok(Ok(cut)) => Obeyed::Cut(cut),
            Ok(Err(why)) if why.kind() == io::ErrorKind::InvalidData => Obeyed::Silent,
            Ok(Err(_gone)) => Obeyed::Gone,
            Err(_elapsed) => Obeyed::Silent,
        }
    }

    async fn ask(&self, asked: u64) -> io::Result<Cut> {
        let channel = self.channel.lock().await;
        channel.send(&Message::Enforce { revision: asked }).await?;
        loop {
            match channel.receive().await? {
                Message::Enforced { revision, websocket, sse, grpc, transfer, slowest_us }
                    if revision == asked =>
                {
                    let slowest_ms = slowest_us / 1_000;
                    return Ok(Cut { nodes: Vec::new(), websocket, sse, grpc, transfer, slowest_ms });
                }
                // The answer to one that nobody waits for any more.
                Message::Enforced { .. } => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

async fn receive(channel: &Channel) -> io::Result<(Inherited, UnixStream)> {
    let (mut inherited, mut journal, mut taken) = (Inherited::default(), None, 0_usize);
    loop {
        match channel.receive_with().await? {
            (Message::Take { version: VERSION, kinds }, descriptors) if kinds.len() == descriptors.len() => {
                taken = taken.saturating_add(kinds.len());
                if taken > SOCKETS_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                for (kind, descriptor) in kinds.into_iter().zip(descriptors) {
                    keep(&mut inherited, &mut journal, kind, descriptor);
                }
            }
            (Message::Given { version: VERSION }, _) => {
                let journal: OwnedFd = journal.ok_or(io::ErrorKind::InvalidData)?;
                return Ok((inherited, journal.into()));
            }
            _ => {
                let why =
                    "the process before speaks another version of the takeover: stop it, and start anew";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
    }
}

fn keep(inherited: &mut Inherited, journal: &mut Option<OwnedFd>, kind: Kind, descriptor: OwnedFd) {
    match kind {
        Kind::Proxy => inherited.proxy.push(descriptor.into()),
        Kind::Console => inherited.console = Some(descriptor.into()),
        Kind::Socket => inherited.socket = Some(descriptor.into()),
        Kind::Lock => inherited.lock = Some(descriptor.into()),
        Kind::Journal => *journal = Some(descriptor),
    }
}
