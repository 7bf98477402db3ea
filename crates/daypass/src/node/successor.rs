//! Handing a node over to a new process, without a request that fails.
//!
//! The new process is started on this one's sockets, reads its configuration, and asks for the node. Until it serves,
//! this one can go on as if nothing had happened, and does when the new one fails or is silent. Then this one takes
//! no more connections, records what it still has open through the new one's journal, follows the ledger, and ends.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use access::Revision;
use gateway::{Drained, Gateway};
use ledger::Keeper;
use tokio::time::timeout;

use crate::node::Node;
use crate::node::channel::{Channel, DESCRIPTORS_MAX, Kind, Message, VERSION};

/// Set for a process that takes over from the one at the other end of its standard input.
pub const TAKES_OVER: &str = "DAYPASS_TAKES_OVER";
/// How long a new process may take to ask for the node, reading its configuration and the whole ledger.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long it may take to serve once journal and ledger are free: requests here wait meanwhile.
const SERVE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a process that let go of its end of the channel may take to end, and how often it is looked for.
const END_TIME_MAX: Duration = Duration::from_secs(1);
/// See [`END_TIME_MAX`].
const END_LOOK_TIME: Duration = Duration::from_millis(10);

/// How this process was started, and the next one will be.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The binary's path as it was started, at which another one may lie by then.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Why a node was not handed over; it goes on.
#[derive(Debug, thiserror::Error)]
pub enum NotHandedOver {
    /// One at a time.
    #[error("the process before this one still ends what it has open: try again when it is gone")]
    TooSoon,
    /// There is no new process.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The binary.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended.
    #[error("it ended with {0}; its own log says why")]
    Ended(ExitStatus),
    /// It was not understood.
    #[error("it was not understood")]
    Lost(#[source] io::Error),
    /// It says why not.
    #[error("{0}")]
    Refused(String),
    /// It said nothing.
    #[error("the new process said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// What it would take over cannot be let go of.
    #[error(transparent)]
    Journal(journal::NotHandedOver),
}

impl From<io::Error> for NotHandedOver {
    fn from(source: io::Error) -> Self {
        Self::Lost(source)
    }
}

/// The new process; ended if it is dropped before it serves.
#[derive(Debug)]
pub struct Successor {
    channel: Channel,
    journal: Option<UnixStream>,
    child: Option<Child>,
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Successor {
    /// Starts a process, and waits until it asks for the node.
    ///
    /// # Errors
    /// [`NotHandedOver`]; the process is gone.
    pub async fn start(node: &Node, launch: &Launch) -> Result<Self, NotHandedOver> {
        if !node.is_alone().await {
            return Err(NotHandedOver::TooSoon);
        }
        let (channel, far) = Channel::pair()?;
        let child = Command::new(&launch.program)
            .args(&launch.arguments)
            .env(TAKES_OVER, "1")
            .env_remove("WATCHDOG_PID")
            .stdin(far)
            .spawn();
        let failed = |source| NotHandedOver::Start { program: launch.program.clone(), source };
        let mut new = Self { channel, journal: None, child: Some(child.map_err(failed)?) };
        let (journal, journal_far) = UnixStream::pair()?;
        new.journal = Some(journal);
        let mut estate = node.estate()?;
        estate.push((Kind::Journal, journal_far.into()));
        let given = new.give(&estate).await;
        drop(estate);
        if let Err(error) = given {
            return Err(new.why_lost(error).await);
        }
        match new.hear(READY_TIME_MAX).await? {
            Message::Ready {} => Ok(new),
            other => Err(refused(other)),
        }
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    async fn give(&self, estate: &[(Kind, OwnedFd)]) -> io::Result<()> {
        for part in estate.chunks(DESCRIPTORS_MAX) {
            let kinds = part.iter().map(|(kind, _)| *kind).collect();
            let descriptors: Vec<BorrowedFd<'_>> =
                part.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
            self.channel.send_with(&Message::Take { version: VERSION, kinds }, &descriptors).await?;
        }
        self.channel.send(&Message::Given { version: VERSION }).await
    }

    async fn hear(&mut self, patience: Duration) -> Result<Message, NotHandedOver> {
        match timeout(patience, self.channel.receive()).await {
            Ok(Ok(heard)) => Ok(heard),
            Ok(Err(error)) => Err(self.why_lost(error).await),
            Err(_elapsed) => Err(NotHandedOver::Silent(patience)),
        }
    }

    /// A channel that broke means that the process ends, which the system tells a moment later.
    async fn why_lost(&mut self, error: io::Error) -> NotHandedOver {
        let Some(child) = &mut self.child else { return error.into() };
        let ends = async {
            loop {
                if let Ok(Some(status)) = child.try_wait() {
                    return status;
                }
                tokio::time::sleep(END_LOOK_TIME).await;
            }
        };
        timeout(END_TIME_MAX, ends).await.map_or_else(|_elapsed| error.into(), NotHandedOver::Ended)
    }

    /// Lets go of what can only be held once, and waits until the new process serves.
    ///
    /// # Errors
    /// [`NotHandedOver`]; the new process is gone, and the node serves as before.
    pub async fn install(mut self, node: &mut Node) -> Result<Self, NotHandedOver> {
        match self.try_install(node).await {
            Ok(()) => Ok(self),
            Err(error) => {
                let _ = self.channel.send(&Message::failed(&error.to_string())).await;
                // It has to be gone before the journal is taken back.
                drop(self);
                node.resume().await;
                Err(error)
            }
        }
    }

    async fn try_install(&mut self, node: &mut Node) -> Result<(), NotHandedOver> {
        let Some(link) = self.journal.take() else {
            return Err(NotHandedOver::Lost(io::ErrorKind::NotFound.into()));
        };
        node.quiesce(link).await.map_err(NotHandedOver::Journal)?;
        self.channel.send(&Message::Yours {}).await?;
        match self.hear(SERVE_TIME_MAX).await? {
            Message::Serving {} => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Lets what is open here end within `patience`, obeying the new process's ledger, then cuts the rest.
    pub async fn drain(mut self, node: &Node, patience: Duration) -> Drained {
        // It is on its own from now on.
        self.child = None;
        let obeying = async {
            while let Ok(message) = self.channel.receive().await {
                if let Message::Enforce { revision } = message
                    && let Some(answer) = obey(node.keeper(), node.gateway(), revision).await
                    && self.channel.send(&answer).await.is_err()
                {
                    break;
                }
            }
            tracing::error!("the process that took over is gone: this one ends what it has open, and ends");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            drained = node.gateway().drain(patience) => drained,
            () = obeying => Drained { cut: 0 },
        }
    }
}

fn refused(message: Message) -> NotHandedOver {
    match message {
        Message::Failed { why } => NotHandedOver::Refused(why),
        _ => NotHandedOver::Lost(io::ErrorKind::InvalidData.into()),
    }
}

/// Follows the ledger to this revision, and cuts what it no longer holds. `None`: that cannot be said.
async fn obey(keeper: &Keeper, gateway: &Gateway, asked: u64) -> Option<Message> {
    let shown =
        keeper.catch_up().await.inspect_err(|error| tracing::warn!(%error, "cannot follow the ledger"));
    let shown = shown.ok().filter(|shown| *shown >= Revision::from_number(asked))?;
    let cut = gateway.enforced(shown).await?;
    Some(Message::Enforced {
        revision: asked,
        websocket: cut.streams.websocket,
        sse: cut.streams.sse,
        grpc: cut.streams.grpc,
        transfer: cut.streams.transfer,
        slowest_us: u64::try_from(cut.slowest.as_micros()).unwrap_or(u64::MAX),
    })
}
