//! Places where those who wait for a commit find its result: reused, so that waiting allocates nothing.

use std::task::Waker;

use access::{RequestId, Timestamp};

use crate::leaf::{LeafHash, Receipt};
use crate::open::Unavailable;

/// One record that somebody waits for.
#[derive(Debug)]
struct Slot {
    phase: Phase,
    id: RequestId,
    hash: LeafHash,
    asked_at: Timestamp,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    Waiting,
    /// The waiter has gone; the record has not.
    Left,
    Written(u64),
    Failed(Unavailable),
}

/// A record that is in the log, and when its request arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) receipt: Receipt,
    pub(crate) asked_at: Timestamp,
}

/// Whether anybody still waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    Here,
    Gone { asked_at: Timestamp },
}

/// All places of a lane. Bounded by its open entries and held refusals.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    pub(crate) fn take(&mut self, id: RequestId, hash: LeafHash, asked_at: Timestamp) -> u32 {
        let taken = Slot { phase: Phase::Waiting, id, hash, asked_at, waker: None };
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.all.get_mut(index as usize)
        {
            *slot = taken;
            return index;
        }
        self.all.push(taken);
        u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
    }

    /// The result, once: after it the place is free.
    pub(crate) fn poll(&mut self, index: u32, waker: &Waker) -> Option<Result<Written, Unavailable>> {
        let slot = self.all.get_mut(index as usize)?;
        let result = match slot.phase {
            Phase::Written(leaf) => {
                Ok(Written { receipt: Receipt { leaf, hash: slot.hash }, asked_at: slot.asked_at })
            }
            Phase::Failed(why) => Err(why),
            Phase::Waiting | Phase::Left | Phase::Free => {
                match &mut slot.waker {
                    Some(known) => known.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                return None;
            }
        };
        self.release(index);
        Some(result)
    }

    /// The waiter goes. Returns what had been written for it already.
    pub(crate) fn leave(&mut self, index: u32) -> Option<Written> {
        let slot = self.all.get_mut(index as usize)?;
        slot.waker = None;
        match slot.phase {
            Phase::Waiting => {
                slot.phase = Phase::Left;
                None
            }
            Phase::Written(leaf) => {
                let written = Written { receipt: Receipt { leaf, hash: slot.hash }, asked_at: slot.asked_at };
                self.release(index);
                Some(written)
            }
            Phase::Failed(_) => {
                self.release(index);
                None
            }
            Phase::Left | Phase::Free => None,
        }
    }

    /// The record is this leaf of the log.
    pub(crate) fn written(&mut self, index: u32, leaf: u64, wakers: &mut Vec<Waker>) -> Waiter {
        self.resolve(index, Phase::Written(leaf), wakers)
    }

    /// The record will not be waited for any longer.
    pub(crate) fn failed(&mut self, index: u32, why: Unavailable, wakers: &mut Vec<Waker>) -> Waiter {
        self.resolve(index, Phase::Failed(why), wakers)
    }

    fn resolve(&mut self, index: u32, phase: Phase, wakers: &mut Vec<Waker>) -> Waiter {
        let Some(slot) = self.all.get_mut(index as usize) else {
            return Waiter::Here;
        };
        if slot.phase == Phase::Left {
            let asked_at = slot.asked_at;
            self.release(index);
            return Waiter::Gone { asked_at };
        }
        slot.phase = phase;
        wakers.extend(slot.waker.take());
        Waiter::Here
    }

    /// Which request this record is about, and when it arrived.
    pub(crate) fn asked(&self, index: u32) -> Option<(RequestId, Timestamp)> {
        self.all.get(index as usize).map(|slot| (slot.id, slot.asked_at))
    }

    fn release(&mut self, index: u32) {
        if let Some(slot) = self.all.get_mut(index as usize)
            && slot.phase != Phase::Free
        {
            slot.phase = Phase::Free;
            slot.waker = None;
            self.free.push(index);
        }
    }
}
