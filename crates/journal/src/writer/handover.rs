//! The process that is replaced: its writer lets go of the log, and has another process write for it.
//!
//! When that process ends first, this one takes the log back, so that what it still has open gets its outcomes.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender};

use super::{State, Writer, gather};
use crate::frame::Frames;
use crate::group::{Group, answer};
use crate::journal::lock;
use crate::parcel::{Command, End, NotHandedOver, Ship, Stated, Transfer};
use crate::record::{Note, Outcome, Record};
use crate::recover;
use crate::relay::{Peer, Sender};

/// Whether this process writes.
pub(super) enum Pen {
    /// It does: the log was not handed over, or the other process is gone.
    Here,
    /// It does, to end in order.
    Stop(SyncSender<()>),
    /// Never again: it was told to end.
    Down,
}

impl Writer {
    /// Lets go of the log, and sends on what comes until the other process is gone or this one ends.
    pub(super) fn lend(&mut self, Transfer { link, done }: Transfer, commands: &Receiver<Command>) -> Pen {
        if !self.let_go() {
            // Nobody may be waiting any more.
            let _ = done.try_send(Err(NotHandedOver::Unwritable));
            return Pen::Here;
        }
        let _ = done.try_send(Ok(()));
        let (mut sender, mut group) = (Sender::new(link), Group::default());
        while let Ok(first) = commands.recv() {
            let end = gather(&mut group, first, commands);
            self.gauges.wait_from(self.clock.now());
            let sent = self.send(&mut group, &mut sender);
            self.gauges.rest();
            if sent.is_none() {
                let peer = sender.peer();
                drop(sender);
                return match (self.take_back(group, peer), end) {
                    (Pen::Here, Some(End::Stop(done))) => Pen::Stop(done),
                    (pen, _) => pen,
                };
            }
            match end {
                Some(End::Stop(done)) => {
                    self.gauges.end();
                    drop(sender);
                    let _ = done.try_send(());
                    return Pen::Down;
                }
                Some(End::HandOver(transfer)) => {
                    let _ = transfer.done.try_send(Err(NotHandedOver::Silent));
                }
                None => {}
            }
        }
        Pen::Down
    }

    /// Has a group written elsewhere. `None`: the other process is gone; what it did not answer stays in the group.
    fn send(&mut self, group: &mut Group, sender: &mut Sender) -> Option<()> {
        let none = Frames::default();
        while let Some(Ship { parcel, .. }) = group.ships.last() {
            let places = sender.ship([&parcel.outcomes, &parcel.refusals, &parcel.intents]).ok()?;
            let [outcomes, _, intents] = places;
            if outcomes.is_some() {
                parcel.outcomes.closes().iter().for_each(|leaf| {
                    self.log.open.remove(leaf);
                });
            }
            if let Some(first) = intents {
                self.log.open.extend(first..first.saturating_add(parcel.intents.count()));
            }
            answer(group.ships.pop()?, places);
        }
        while let Some(Stated { frames, .. }) = group.statements.first() {
            let [_, place, _] = sender.ship([&none, frames, &none]).ok()?;
            group.statements.remove(0).answer(place);
        }
        Some(())
    }

    /// Finishes the segment and lets go of the lock. Whether it did.
    fn let_go(&mut self) -> bool {
        if self.trouble_since.is_some() {
            return false;
        }
        let detail = format!(r#"{{"leaves":{},"open":{}}}"#, self.log.next_leaf, self.log.open.len());
        let note = Note { time: self.clock.now(), kind: "node_handed_over", actor: None, detail: &detail };
        if self.write_held(&note).is_err() {
            return false;
        }
        let State::Up(active) = std::mem::replace(&mut self.state, State::Down(None)) else { return false };
        let broken = active.as_broken();
        self.finished_bytes += active.offset();
        let finished = active.finish();
        self.state = State::Down(Some(broken));
        if let Err(fault) = finished {
            self.fail(&fault);
            return false;
        }
        self.lock = None;
        true
    }

    /// The other process is gone: the log is read again, and written from here. What that process had open is
    /// `unknown`. What it had not answered is written now, if it had not begun to write; else lanes offer it again,
    /// without the outcomes that are in the log, and its intents fail.
    fn take_back(&mut self, mut group: Group, peer: Peer) -> Pen {
        tracing::warn!("the process that took over is gone: this one writes the journal again");
        if let Err(fault) = self.open_again() {
            tracing::error!(fault, "the journal is not to be had: nothing more is recorded here");
            self.gauges.end();
            return Pen::Down;
        }
        if peer == Peer::Silent {
            self.commit(&mut group);
            return Pen::Here;
        }
        for mut ship in group.ships {
            ship.parcel.outcomes.retain_closing(&self.log.open);
            answer(ship, [None; 3]);
        }
        for stated in group.statements {
            stated.answer(None);
        }
        Pen::Here
    }

    fn open_again(&mut self) -> Result<(), String> {
        let directory = &self.settings.directory;
        let lock = lock(directory).map_err(|fault| fault.to_string())?;
        let found = recover::find(directory).map_err(|fault| fault.to_string())?;
        let own: HashSet<u64> = std::mem::take(&mut self.log.open);
        for leaf in found.log.open.difference(&own) {
            self.held.outcomes.push(Record::Outcome(Outcome::unknown(*leaf)));
        }
        self.lock = Some(lock);
        self.finished_bytes = found.bytes;
        self.log = found.log;
        self.state = State::Down(found.last);
        let now = self.clock.now();
        (self.trouble_since, self.retry_at) = (Some(now), now);
        self.retry();
        Ok(())
    }
}
