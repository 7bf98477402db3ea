//! The journal's handle: opening it, its lanes, statements, health, the end.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::future::Future;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::id::Name;
use access::{Clock, Revision};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;

use crate::disk::{Disk, RealDisk};
use crate::estate::Estate;
use crate::flow::Bounds;
use crate::frame::Frames;
use crate::health::{Gauges, Health, Writable};
use crate::lane::{Lane, Uplink};
use crate::leaf::Receipt;
use crate::open::Unavailable;
use crate::parcel::{COMMANDS_MAX, Command, Stated, Transfer};
use crate::read::ReadError;
use crate::record::Statement;
use crate::recover::{self, Found};
use crate::writer::{Settings, Writer};

pub use crate::parcel::NotHandedOver;
pub use crate::segment::Durability;

/// How long [`Journal::shutdown`] waits for the disk.
pub const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How a node keeps its journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the segments lie. Made if it is not there.
    pub directory: PathBuf,
    /// The node's name; a directory holds one node's log.
    pub node: Name,
    /// When a record counts as written.
    pub durability: Durability,
    /// The room of a segment, in bytes; what it must keep free when it begins comes on top.
    pub segment_bytes_max: u64,
    /// How long a request waits for its commit.
    pub commit_wait_max: Duration,
    /// How often a journal that cannot be written is tried again.
    pub retry_every: Duration,
    /// How many entries a lane may have open.
    pub open_entries_max: u32,
    /// How many refusals a lane holds while they cannot be written; others are counted by reason.
    pub refusals_held_max: u32,
    /// The disk.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// The usual settings: `fsync`, segments of 64 MiB, 2 s for a commit, a try each 500 ms, 16,384 open entries
    /// and 4,096 held refusals a lane, the machine's own disk.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, node: Name) -> Self {
        Self {
            directory: directory.into(),
            node,
            durability: Durability::Fsync,
            segment_bytes_max: 64 * 1024 * 1024,
            commit_wait_max: Duration::from_secs(2),
            retry_every: Duration::from_millis(500),
            open_entries_max: 16_384,
            refusals_held_max: 4_096,
            disk: Arc::new(RealDisk),
        }
    }
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not there and cannot be made, or cannot be opened.
    #[error("cannot open the journal directory `{}`", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        #[source]
        fault: io::Error,
    },
    /// Another process writes this journal.
    #[error("the journal in `{}` is in use by another process", directory.display())]
    Locked {
        /// Which.
        directory: PathBuf,
    },
    /// The directory holds another node's log.
    #[error("the journal belongs to node `{found}`, not `{expected}`")]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// The end of the log cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system has no thread for the writer.
    #[error("cannot start the journal's writer")]
    Thread(#[source] io::Error),
}

/// What was found when the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How many leaves the log had.
    pub leaves: u64,
    /// The highest ledger revision journaled: later changes are to be appended again.
    pub revision: Revision,
    /// How many intents had no outcome; each now has one that says `unknown`, or will when the log is writable.
    pub unknown: u64,
    /// How many bytes of an unfinished commit were found behind the last good record.
    pub torn_bytes: u64,
}

/// One node's journal. Clones are the same journal.
#[derive(Debug, Clone)]
pub struct Journal {
    uplink: Arc<Uplink>,
    node: Name,
    directory: Arc<Path>,
    /// Until the process before may record here.
    estate: Arc<Mutex<Option<(Estate, UnixStream)>>>,
}

impl Journal {
    /// Opens the log of a node, repairs its end, and starts its writer. Blocks while it reads one segment.
    ///
    /// A directory that is there but cannot be written gives a journal whose health says so and which becomes
    /// writable without a restart.
    ///
    /// # Errors
    /// See [`OpenError`]: among others, damage to acknowledged records of the last segment.
    pub fn open(options: Options, clock: Arc<dyn Clock>) -> Result<(Self, Recovered), OpenError> {
        Self::start(options, clock, None)
    }

    /// Opens the log that another process of the same node has handed over with [`Journal::hand_over`]: what it has
    /// open is left to it, and what it records comes over the link once [`Journal::keep_estate`] is called. When this
    /// process ends before that, nothing of it is lost there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn take_over(
        options: Options,
        clock: Arc<dyn Clock>,
        link: UnixStream,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::start(options, clock, Some(link))
    }

    fn start(
        options: Options,
        clock: Arc<dyn Clock>,
        link: Option<UnixStream>,
    ) -> Result<(Self, Recovered), OpenError> {
        recover::refuse_lost(&options.directory)?;
        let lock = lock(&options.directory)?;
        let found = recover::find(&options.directory)?;
        check_node(&found, &options.node)?;
        let inherited = if link.is_some() { found.log.open.clone() } else { HashSet::new() };
        let recovered = Recovered {
            leaves: found.log.next_leaf,
            revision: found.log.revision,
            unknown: found.log.open.len().saturating_sub(inherited.len()) as u64,
            torn_bytes: found.torn_bytes,
        };
        let bounds = Bounds {
            open_entries_max: options.open_entries_max,
            refusals_held_max: options.refusals_held_max,
        };
        let (commands, inbox) = sync_channel(COMMANDS_MAX);
        let gauges = Arc::new(Gauges::new());
        let uplink = Uplink {
            commands: commands.clone(),
            gauges: Arc::clone(&gauges),
            clock: Arc::clone(&clock),
            commit_wait_max: options.commit_wait_max,
            bounds,
        };
        let journal = Self {
            uplink: Arc::new(uplink),
            node: options.node.clone(),
            directory: options.directory.as_path().into(),
            estate: Arc::default(),
        };
        let hello = hello(recovered);
        let mut writer = Writer::new(settings(options), clock, gauges, found, hello, &inherited, lock);
        writer.retry();
        if let Some(fault) = journal.health().last_error {
            tracing::error!(%fault, "the journal cannot be written: requests are refused");
        }
        let thread = std::thread::Builder::new().name("journal".to_owned());
        thread.spawn(move || writer.run(&inbox)).map_err(OpenError::Thread)?;
        if let Some(link) = link {
            *journal.estate.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Estate::new(commands, inherited), link));
        }
        Ok((journal, recovered))
    }

    /// A lane for the calling thread. See [`Lane::run`].
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::new(Arc::clone(&self.uplink))
    }

    /// Appends a change or a note, which is taken at once, before the first poll.
    ///
    /// # Errors
    /// [`Unavailable::Held`] and [`Unavailable::Late`]: it will be written when the log can be.
    /// [`Unavailable::Full`] and [`Unavailable::Down`]: it will not.
    pub fn append(
        &self,
        statement: Statement<'_>,
    ) -> impl Future<Output = Result<Receipt, Unavailable>> + Send + use<> {
        let mut frames = Frames::default();
        let taken = frames.push(statement.into()).ok_or(Unavailable::Full);
        let (ack, answer) = oneshot::channel();
        let sent = taken.and_then(|_| {
            let sent = self.uplink.commands.try_send(Command::State(Stated { frames, ack }));
            sent.map_err(|refused| match refused {
                std::sync::mpsc::TrySendError::Full(_) => Unavailable::Full,
                std::sync::mpsc::TrySendError::Disconnected(_) => Unavailable::Down,
            })
        });
        let wait_max = self.uplink.commit_wait_max;
        async move {
            sent?;
            match tokio::time::timeout(wait_max, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Unavailable::Down),
                Err(_) => Err(Unavailable::Late),
            }
        }
    }

    /// How the journal is doing. Waits for nothing.
    #[must_use]
    pub fn health(&self) -> Health {
        self.uplink.gauges.health(&*self.uplink.clock, self.uplink.commit_wait_max)
    }

    /// Remembers, for [`Health::damage`], that a reader met this. A file that could not be read this
    /// time is no damage.
    pub fn meet(&self, fault: &ReadError) {
        if fault.is_damage() {
            self.uplink.gauges.meet_damage(fault.brief());
        }
    }

    /// Waits until the writer can write this much; for ever, if it never can.
    pub async fn becomes(&self, writable: Writable) {
        let mut changes = self.uplink.gauges.changes();
        // INVARIANT: the sender lives in the gauges, so waiting ends only with a change.
        let _ = changes.wait_for(|now| *now == writable).await;
    }

    /// The node whose log this is.
    #[must_use]
    pub const fn node(&self) -> &Name {
        &self.node
    }

    /// Where the segments lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets another process of this node write the log: it may open it once this returns. What is recorded here from
    /// then on goes over the link, and is durable as before when it is answered. When the other end of the link is
    /// gone, this process takes the log back. Blocks for at most [`SHUTDOWN_WAIT_MAX`].
    ///
    /// # Errors
    /// [`NotHandedOver`]: the log is written here as before.
    pub fn hand_over(&self, link: UnixStream) -> Result<(), NotHandedOver> {
        let (done, finished) = sync_channel(1);
        let told = self.uplink.commands.try_send(Command::HandOver(Transfer { link, done }));
        told.map_err(|_| NotHandedOver::Silent)?;
        finished.recv_timeout(SHUTDOWN_WAIT_MAX).unwrap_or(Err(NotHandedOver::Silent))
    }

    /// Appends from now on what the process before records, and settles what it leaves open when it is gone. Nothing
    /// to do if there is none.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn keep_estate(&self) -> Result<(), OpenError> {
        let estate = self.estate.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((estate, link)) = estate else { return Ok(()) };
        let thread = std::thread::Builder::new().name("journal-estate".to_owned());
        thread.spawn(move || estate.keep(link)).map(drop).map_err(OpenError::Thread)
    }

    /// Writes what the writer has, says so in a last note, cuts the last segment to its length, and ends the
    /// writer; afterwards nothing is written. Flush the lanes first. Blocks for at most [`SHUTDOWN_WAIT_MAX`].
    ///
    /// # Errors
    /// The disk did not answer in time: what was not acknowledged may be missing, nothing else.
    pub fn shutdown(&self) -> Result<(), Unavailable> {
        let (done, finished) = sync_channel(1);
        match self.uplink.commands.try_send(Command::Stop(done)) {
            Ok(()) => {}
            Err(std::sync::mpsc::TrySendError::Full(_)) => return Err(Unavailable::Late),
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return Ok(()),
        }
        match finished.recv_timeout(SHUTDOWN_WAIT_MAX) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(Unavailable::Late),
            Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Ok(()),
        }
    }
}

pub(crate) fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |fault| OpenError::Directory { directory: directory.to_owned(), fault };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let opened = File::open(directory).map_err(failed)?;
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(opened),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { directory: directory.to_owned() }),
        Err(fault) => Err(failed(fault.into())),
    }
}

fn check_node(found: &Found, expected: &Name) -> Result<(), OpenError> {
    match &found.node {
        Some(node) if node != expected.as_str() => {
            Err(OpenError::OtherNode { found: node.clone(), expected: expected.to_string() })
        }
        _ => Ok(()),
    }
}

fn settings(options: Options) -> Settings {
    Settings {
        directory: options.directory,
        node: options.node.to_string(),
        durability: options.durability,
        segment_bytes_max: options.segment_bytes_max,
        retry_every: options.retry_every,
        disk: options.disk,
    }
}

fn hello(recovered: Recovered) -> String {
    let Recovered { leaves, revision, unknown, torn_bytes } = recovered;
    format!(r#"{{"leaves":{leaves},"revision":{revision},"unknown":{unknown},"torn_bytes":{torn_bytes}}}"#)
}
