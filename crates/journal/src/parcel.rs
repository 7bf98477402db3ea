//! What travels between lanes and the writer.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

use crate::frame::Frames;
use crate::leaf::{LeafHash, Receipt};
use crate::open::Unavailable;

/// How many commands may wait for the writer. A lane has at most one among them.
pub(crate) const COMMANDS_MAX: usize = 1024;

/// Records of one lane, by what may become of them when not everything can be written.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// Always have room, and are sent again until written.
    pub(crate) outcomes: Frames,
    /// Sent again until written.
    pub(crate) refusals: Frames,
    /// Written now or not at all.
    pub(crate) intents: Frames,
}

impl Parcel {
    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.refusals.is_empty() && self.intents.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.outcomes.clear();
        self.refusals.clear();
        self.intents.clear();
    }
}

/// A parcel that came back: for each kind the first leaf's index, or `None` if it was not written.
#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) parcel: Parcel,
    pub(crate) outcomes: Option<u64>,
    pub(crate) refusals: Option<u64>,
    pub(crate) intents: Option<u64>,
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write a lane's records.
    Ship(Box<Ship>),
    /// Write a statement.
    State(Stated),
    /// Write what is waiting, cut the segment to its length, and end.
    Stop(SyncSender<()>),
    /// Write what is waiting, and let another process write from then on.
    HandOver(Transfer),
}

/// How another process is reached, and who is to be told that the log is free.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) link: UnixStream,
    pub(crate) done: SyncSender<Result<(), NotHandedOver>>,
}

/// Why a log was not handed over: it goes on as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHandedOver {
    /// It cannot be written, and the other process could not write it either.
    #[error("the journal cannot be written now")]
    Unwritable,
    /// Its writer has ended, is busy, or has handed it over already.
    #[error("the journal does not answer")]
    Silent,
}

/// Why the writer stops writing.
#[derive(Debug)]
pub(crate) enum End {
    Stop(SyncSender<()>),
    HandOver(Transfer),
}

#[derive(Debug)]
pub(crate) struct Ship {
    pub(crate) parcel: Parcel,
    pub(crate) ack: oneshot::Sender<Shipped>,
}

#[derive(Debug)]
pub(crate) struct Stated {
    pub(crate) frames: Frames,
    pub(crate) ack: oneshot::Sender<Result<Receipt, Unavailable>>,
}

impl Stated {
    /// Answers a statement that was written at this place, or will not be. Nobody may be waiting any more.
    pub(crate) fn answer(self, leaf: Option<u64>) {
        let receipt = leaf.map(|leaf| Receipt { leaf, hash: LeafHash::of(self.frames.last()) });
        let _ = self.ack.send(receipt.ok_or(Unavailable::Full));
    }
}
