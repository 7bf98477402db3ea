//! A group: what the writer commits with one write, from all lanes that are waiting.

use crate::frame::{Frames, MARK_BYTES, mark};
use crate::parcel::{Command, End, Ship, Shipped, Stated};

/// How many commands one commit takes together.
pub(crate) const COMMANDS_PER_COMMIT_MAX: usize = 256;

/// How much of a group there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Admits {
    Nothing,
    /// Outcomes, whose room is reserved.
    Outcomes,
    /// Also refusals and statements.
    Kept,
    /// Also intents.
    All,
}

/// What is committed together: outcomes, then refusals and statements, then intents.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) ships: Vec<Ship>,
    pub(crate) statements: Vec<Stated>,
}

impl Group {
    /// Takes a command in; gives back what it says if the writer is to end.
    pub(crate) fn join(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Ship(ship) => self.ships.push(*ship),
            Command::State(stated) => self.statements.push(stated),
            Command::Stop(done) => return Some(End::Stop(done)),
            Command::HandOver(transfer) => return Some(End::HandOver(transfer)),
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ships.is_empty() && self.statements.is_empty()
    }

    fn frames(&self, admits: Admits) -> impl Iterator<Item = &Frames> {
        let outcomes = self.ships.iter().map(|ship| &ship.parcel.outcomes);
        let refusals = self.ships.iter().map(|ship| &ship.parcel.refusals);
        let statements = self.statements.iter().map(|stated| &stated.frames);
        let intents = self.ships.iter().map(|ship| &ship.parcel.intents);
        outcomes
            .filter(move |_| admits >= Admits::Outcomes)
            .chain(refusals.chain(statements).filter(move |_| admits >= Admits::Kept))
            .chain(intents.filter(move |_| admits >= Admits::All))
            .filter(|frames| !frames.is_empty())
    }

    /// How many bytes of the segment these take.
    pub(crate) fn bytes(&self, admits: Admits) -> u64 {
        self.frames(admits).map(|frames| frames.bytes().len() as u64).sum::<u64>() + MARK_BYTES as u64
    }

    /// How many intents want to be opened.
    pub(crate) fn intents(&self) -> u64 {
        self.ships.iter().map(|ship| ship.parcel.intents.count()).sum()
    }

    /// Puts the bytes of one commit at this offset into `buffer`; nothing if there is nothing.
    pub(crate) fn assemble(&self, admits: Admits, at: u64, buffer: &mut Vec<u8>) {
        assemble(self.frames(admits), at, buffer);
    }
}

/// Puts the bytes of one commit at this offset into `buffer`; nothing if there is nothing.
pub(crate) fn assemble<'f>(frames: impl Iterator<Item = &'f Frames>, at: u64, buffer: &mut Vec<u8>) {
    buffer.clear();
    for frames in frames {
        buffer.extend_from_slice(frames.bytes());
    }
    if !buffer.is_empty() {
        buffer.extend_from_slice(&mark(at + buffer.len() as u64));
    }
}

/// Answers a ship. Nobody listens if its lane is gone; the records stand all the same.
pub(crate) fn answer(ship: Ship, [outcomes, refusals, intents]: [Option<u64>; 3]) {
    let Ship { parcel, ack } = ship;
    let _ = ack.send(Shipped { parcel, outcomes, refusals, intents });
}
