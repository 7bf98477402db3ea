//! The process that takes over: what the one before still records, and what it leaves unsettled.
//!
//! Intents that are open in the log belong to the process before. They are left to it for as long as it is there;
//! what it has not closed when it is gone becomes `unknown`.

use std::collections::HashSet;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::frame::Frames;
use crate::parcel::{Command, Parcel, Ship, Shipped};
use crate::record::{Outcome, Record};
use crate::relay::Receiver;

/// How long to wait before the last outcomes are tried again on a log that cannot be written.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What is open in the process before.
#[derive(Debug)]
pub(crate) struct Estate {
    commands: SyncSender<Command>,
    /// Its intents without an outcome. Bounded by what its lanes may have open.
    open: HashSet<u64>,
}

/// The writer has ended.
struct Ended;

impl Estate {
    pub(crate) const fn new(commands: SyncSender<Command>, open: HashSet<u64>) -> Self {
        Self { commands, open }
    }

    /// Appends what comes over the link until its other end is gone, then settles what is left.
    pub(crate) fn keep(mut self, link: UnixStream) {
        let mut link = Receiver::new(link);
        // A link that is broken shows in the next line.
        let _ = link.begin();
        while let Ok(parcel) = link.next() {
            let Ok(shipped) = self.ship(parcel) else { return };
            if link.answer(&shipped).is_err() {
                break;
            }
        }
        drop(link);
        // Nothing else is to be done when the writer ends: the next start settles it.
        let _ = self.settle();
    }

    fn ship(&mut self, parcel: Parcel) -> Result<Shipped, Ended> {
        let (ack, answer) = oneshot::channel();
        self.commands.send(Command::Ship(Box::new(Ship { parcel, ack }))).map_err(|_| Ended)?;
        let shipped = answer.blocking_recv().map_err(|_| Ended)?;
        if shipped.outcomes.is_some() {
            for leaf in shipped.parcel.outcomes.closes() {
                self.open.remove(leaf);
            }
        }
        if let Some(first) = shipped.intents {
            self.open.extend(first..first.saturating_add(shipped.parcel.intents.count()));
        }
        Ok(shipped)
    }

    fn settle(&mut self) -> Result<(), Ended> {
        let mut left: Vec<u64> = self.open.iter().copied().collect();
        if left.is_empty() {
            return Ok(());
        }
        left.sort_unstable();
        tracing::warn!(
            unknown = left.len(),
            "the process before left requests open: they are marked `unknown`"
        );
        let mut outcomes = Frames::default();
        for leaf in left {
            outcomes.push(Record::Outcome(Outcome::unknown(leaf)));
        }
        let mut parcel = Parcel { outcomes, ..Parcel::default() };
        loop {
            let shipped = self.ship(parcel)?;
            if shipped.outcomes.is_some() {
                return Ok(());
            }
            parcel = shipped.parcel;
            std::thread::sleep(TRY_AGAIN);
        }
    }
}
