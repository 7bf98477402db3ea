//! What travels between lanes and the writer.

use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

use crate::frame::Frames;
use crate::leaf::Receipt;
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
