//! A lane's records on their way: waiting, in flight, held.
//!
//! One parcel at most is in flight; what arrives meanwhile waits for the next. Nothing here awaits.
//!
//! INVARIANT: each open entry holds one *place* from its admission until its outcome is written, so that the
//! outcomes kept during an outage are never more than `open_entries_max`.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Poll, Waker};
use std::time::Duration;

use access::{RequestId, Timestamp};

use crate::budget::{Budget, Spent};
use crate::collapsed::Collapsed;
use crate::frame::Frames;
use crate::health::Writable;
use crate::leaf::LeafHash;
use crate::open::{Closing, Unavailable};
use crate::parcel::{Parcel, Shipped};
use crate::record::{Outcome, OutcomeKind, Record, Refusal, Request};
use crate::slots::{Slots, Waiter, Written};

/// How many bytes of intents may wait for a commit.
pub(crate) const INTENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// So many bytes of outcomes do not wait for intents to go with.
pub(crate) const PATIENT_BYTES_MAX: usize = 64 * 1024;
/// How many bytes of refusals are held.
pub(crate) const REFUSAL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a lane may hold at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) open_entries_max: u32,
    pub(crate) refusals_held_max: u32,
}

/// Whether a parcel is with the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tide {
    Idle,
    Flying,
    /// With the writer for longer than anybody waits.
    Stalled,
}

/// Whether refusals are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// The writer had no room; they are held until it can write more.
    Shut,
}

/// A late intent: failed for whoever waited, and perhaps written after all.
#[derive(Debug)]
struct Late {
    id: RequestId,
    asked_at: Timestamp,
    waiter: Waiter,
}

#[derive(Debug)]
pub(crate) struct Flow {
    bounds: Bounds,
    pending: Parcel,
    spare: Parcel,
    waiting_intents: Vec<u32>,
    waiting_refusals: Vec<(u32, u64)>,
    flying_intents: Vec<u32>,
    flying_refusals: Vec<(u32, u64)>,
    late: Vec<Late>,
    /// The refusals of late intents' requests, as they come: written only if the intents are not.
    withheld: BTreeMap<RequestId, Option<Frames>>,
    /// Requests whose late intent is in the log with its outcome, and whose refusal may still come: at most
    /// `open_entries_max`, the latest.
    told: BTreeSet<RequestId>,
    places: u64,
    tide: Tide,
    gate: Gate,
    budget: Budget,
    collapsed: Collapsed,
    slots: Slots,
    driver: Option<Waker>,
    flusher: Option<Waker>,
    pub(crate) wakers: Vec<Waker>,
}

impl Flow {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            pending: Parcel::default(),
            spare: Parcel::default(),
            waiting_intents: Vec::new(),
            waiting_refusals: Vec::new(),
            flying_intents: Vec::new(),
            flying_refusals: Vec::new(),
            late: Vec::new(),
            withheld: BTreeMap::new(),
            told: BTreeSet::new(),
            places: 0,
            tide: Tide::Idle,
            gate: Gate::Open,
            budget: Budget::default(),
            collapsed: Collapsed::default(),
            slots: Slots::default(),
            driver: None,
            flusher: None,
            wakers: Vec::new(),
        }
    }

    // Requests in.

    /// Takes an intent in, unless a bound is reached or a commit hangs.
    pub(crate) fn open(&mut self, request: &Request<'_>) -> Result<u32, Unavailable> {
        if self.tide == Tide::Stalled {
            return Err(Unavailable::Late);
        }
        let full = self.places >= u64::from(self.bounds.open_entries_max);
        if full || self.pending.intents.bytes().len() >= INTENT_BYTES_MAX {
            return Err(Unavailable::Full);
        }
        let hash = self.pending.intents.push_hashed(Record::Intent(*request)).ok_or(Unavailable::Full)?;
        let slot = self.slots.take(request.id, hash, request.time);
        self.waiting_intents.push(slot);
        self.places += 1;
        self.rouse();
        Ok(slot)
    }

    /// Takes a refusal in, or counts it. `None`: nobody need wait for it.
    pub(crate) fn refuse(&mut self, refusal: &Refusal<'_>) -> Option<u32> {
        let hash = self.hold(refusal)?;
        if self.tide == Tide::Stalled || self.gate == Gate::Shut {
            return None;
        }
        let slot = self.slots.take(refusal.request.id, hash, refusal.request.time);
        self.waiting_refusals.push((slot, self.pending.refusals.count() - 1));
        self.rouse();
        Some(slot)
    }

    /// Keeps a refusal that nobody waits for, or counts it.
    pub(crate) fn hold(&mut self, refusal: &Refusal<'_>) -> Option<LeafHash> {
        if self.has_a_row(refusal) {
            return None;
        }
        let answered_at = refusal.request.time.plus(Duration::from_micros(refusal.duration_us));
        if self.spend(&refusal.request, refusal.reason, answered_at) == Spent::Nothing {
            return None;
        }
        let held = &mut self.pending.refusals;
        let room =
            held.count() < u64::from(self.bounds.refusals_held_max) && held.bytes().len() < REFUSAL_BYTES_MAX;
        let hash = room.then(|| held.push_hashed(Record::Refusal(*refusal))).flatten();
        if hash.is_none() {
            self.collapsed.count(refusal.reason);
        }
        self.rouse();
        hash
    }

    /// Whether the request has its row in a late intent, or may yet turn out to.
    fn has_a_row(&mut self, refusal: &Refusal<'_>) -> bool {
        let id = refusal.request.id;
        if self.told.remove(&id) {
            return true;
        }
        let Some(place) = self.withheld.get_mut(&id) else {
            return false;
        };
        let mut kept = Frames::default();
        kept.push(Record::Refusal(*refusal));
        *place = Some(kept);
        true
    }

    /// Takes a row from the budget of those without a subject, or counts it under `reason`. Others have no bound here.
    pub(crate) fn spend(&mut self, request: &Request<'_>, reason: &str, now: Timestamp) -> Spent {
        if request.subject.is_some() || self.budget.spend(request.client_ip, now) == Spent::One {
            return Spent::One;
        }
        self.collapsed.count(reason);
        self.rouse();
        Spent::Nothing
    }

    /// Closes an entry.
    pub(crate) fn close(&mut self, leaf: u64, asked_at: Timestamp, closing: &Closing<'_>) {
        self.outcome(&Outcome {
            leaf,
            status: closing.status,
            upstream: closing.upstream,
            upstream_status: closing.upstream_status,
            duration_us: Some(micros(asked_at, closing.at)),
            upstream_us: closing.upstream_us,
            request_bytes: Some(closing.request_bytes),
            response_bytes: Some(closing.response_bytes),
            outcome: closing.outcome.into(),
            reason: closing.reason,
        });
    }

    /// Closes an entry whose holder has gone.
    pub(crate) fn abandon(&mut self, leaf: u64, asked_at: Timestamp, now: Timestamp) {
        let duration_us = Some(micros(asked_at, now));
        self.outcome(&Outcome { duration_us, outcome: OutcomeKind::Abandoned, ..Outcome::unknown(leaf) });
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) {
        if self.pending.outcomes.push(Record::Outcome(*outcome)).is_none() {
            self.places = self.places.saturating_sub(1);
        }
        self.rouse();
    }

    // Waiting.

    pub(crate) fn poll(&mut self, slot: u32, waker: &Waker) -> Option<Result<Written, Unavailable>> {
        self.slots.poll(slot, waker)
    }

    /// Nobody waits for this intent any longer: if it is in the log, it is closed.
    pub(crate) fn leave_intent(&mut self, slot: u32, now: Timestamp) {
        if let Some(written) = self.slots.leave(slot) {
            self.abandon(written.receipt.leaf, written.asked_at, now);
        }
    }

    pub(crate) fn leave_refusal(&mut self, slot: u32) {
        self.slots.leave(slot);
    }

    fn rouse(&mut self) {
        self.wakers.extend(self.driver.take());
    }

    // The driver's side.

    /// Whether there is something the writer would take.
    pub(crate) fn poll_cargo(&mut self, now: Timestamp, waker: &Waker) -> Poll<()> {
        let refusals = self.gate == Gate::Open && (!self.pending.refusals.is_empty() || self.tells(now));
        if refusals || !self.pending.outcomes.is_empty() || !self.pending.intents.is_empty() {
            return Poll::Ready(());
        }
        self.driver = Some(waker.clone());
        Poll::Pending
    }

    /// Whether what was counted is to be told: not too often, but before a shutdown.
    fn tells(&self, now: Timestamp) -> bool {
        !self.collapsed.is_empty() && (self.flusher.is_some() || self.collapsed.rest(now).is_zero())
    }

    /// How long until what is counted may be told.
    pub(crate) fn rest(&self, now: Timestamp) -> Duration {
        self.collapsed.rest(now)
    }

    /// Whether somebody waits for what is on its way, or there is much of it.
    pub(crate) fn poll_urgent(&mut self, waker: &Waker) -> Poll<()> {
        let refusals = self.gate == Gate::Open && !self.pending.refusals.is_empty();
        let crowded = self.places >= u64::from(self.bounds.open_entries_max) / 2
            || self.pending.outcomes.bytes().len() >= PATIENT_BYTES_MAX;
        if refusals || crowded || !self.pending.intents.is_empty() || self.flusher.is_some() {
            return Poll::Ready(());
        }
        self.driver = Some(waker.clone());
        Poll::Pending
    }

    /// How many requests wait for the next parcel.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_intents.len()
    }

    /// Whether all is written, or cannot be for now.
    pub(crate) fn poll_flushed(&mut self, writable: Writable, waker: &Waker) -> Poll<()> {
        let empty = self.pending.is_empty() && self.collapsed.is_empty();
        let held = writable != Writable::Yes && self.gate == Gate::Shut && self.pending.outcomes.is_empty();
        let stuck = self.tide == Tide::Stalled || writable == Writable::No || held;
        if stuck || (empty && self.tide == Tide::Idle) {
            return Poll::Ready(());
        }
        self.flusher = Some(waker.clone());
        self.rouse();
        Poll::Pending
    }

    /// More can be written than before.
    pub(crate) fn unblock(&mut self) {
        self.gate = Gate::Open;
        self.rouse();
    }

    /// Nothing can be written: no intent waits, and whoever waits for a refusal's receipt goes without.
    pub(crate) fn block(&mut self) {
        self.gate = Gate::Shut;
        self.pending.intents.clear();
        let intents = std::mem::take(&mut self.waiting_intents);
        self.fail_intents(&intents, Unavailable::Down);
        self.release_refusals();
        self.wakers.extend(self.flusher.take());
    }

    /// Everything that waits, on its way.
    pub(crate) fn load(&mut self, now: Timestamp) -> Parcel {
        let mut spare = std::mem::take(&mut self.spare);
        if self.gate == Gate::Open {
            if self.tells(now) {
                self.collapsed.tell(now, &mut self.pending.refusals);
            }
            std::mem::swap(&mut self.waiting_refusals, &mut self.flying_refusals);
            std::mem::swap(&mut self.pending, &mut spare);
        } else {
            std::mem::swap(&mut self.pending.outcomes, &mut spare.outcomes);
            std::mem::swap(&mut self.pending.intents, &mut spare.intents);
        }
        std::mem::swap(&mut self.waiting_intents, &mut self.flying_intents);
        self.tide = Tide::Flying;
        spare
    }

    /// The commit takes longer than anybody may wait.
    pub(crate) fn stall(&mut self) {
        self.tide = Tide::Stalled;
        for slot in self.flying_intents.drain(..) {
            let Some((id, asked_at)) = self.slots.asked(slot) else {
                continue;
            };
            let waiter = self.slots.failed(slot, Unavailable::Late, &mut self.wakers);
            self.late.push(Late { id, asked_at, waiter });
            self.withheld.insert(id, None);
        }
        let waiting = std::mem::take(&mut self.waiting_intents);
        self.pending.intents.clear();
        self.fail_intents(&waiting, Unavailable::Late);
        self.release_refusals();
        self.wakers.extend(self.flusher.take());
    }

    /// The parcel is back.
    pub(crate) fn settle(&mut self, mut shipped: Shipped, now: Timestamp) {
        self.tide = Tide::Idle;
        self.settle_outcomes(&mut shipped);
        self.settle_refusals(&mut shipped);
        match shipped.intents {
            Some(first) => self.settle_intents(first, now),
            None => self.lose_intents(),
        }
        shipped.parcel.clear();
        self.spare = shipped.parcel;
        self.wakers.extend(self.flusher.take());
    }

    /// The writer has ended: nothing comes back.
    pub(crate) fn lose(&mut self) {
        self.tide = Tide::Idle;
        self.lose_intents();
        self.block();
    }

    fn settle_outcomes(&mut self, shipped: &mut Shipped) {
        if shipped.outcomes.is_some() {
            self.places = self.places.saturating_sub(shipped.parcel.outcomes.count());
            return;
        }
        shipped.parcel.outcomes.append(&mut self.pending.outcomes);
        std::mem::swap(&mut shipped.parcel.outcomes, &mut self.pending.outcomes);
    }

    fn settle_refusals(&mut self, shipped: &mut Shipped) {
        if shipped.parcel.refusals.is_empty() {
            return;
        }
        let Some(first) = shipped.refusals else {
            self.gate = Gate::Shut;
            self.release_refusals();
            shipped.parcel.refusals.append(&mut self.pending.refusals);
            std::mem::swap(&mut shipped.parcel.refusals, &mut self.pending.refusals);
            return;
        };
        for (slot, nth) in self.flying_refusals.drain(..) {
            self.slots.written(slot, first + nth, &mut self.wakers);
        }
    }

    fn settle_intents(&mut self, first: u64, now: Timestamp) {
        let mut leaf = first;
        let mut flying = std::mem::take(&mut self.flying_intents);
        for slot in flying.drain(..) {
            if let Waiter::Gone { asked_at } = self.slots.written(slot, leaf, &mut self.wakers) {
                self.abandon(leaf, asked_at, now);
            }
            leaf += 1;
        }
        self.flying_intents = flying;
        for late in std::mem::take(&mut self.late) {
            self.close_late(leaf, &late, now);
            leaf += 1;
        }
    }

    /// The log has an intent whose request was refused meanwhile: its outcome says so, and is its only row.
    fn close_late(&mut self, leaf: u64, late: &Late, now: Timestamp) {
        let refusal = self.withheld.remove(&late.id).flatten();
        if let Waiter::Gone { asked_at } = late.waiter {
            self.abandon(leaf, asked_at, now);
            return;
        }
        if refusal.is_none() {
            self.told.insert(late.id);
            if self.told.len() > self.bounds.open_entries_max as usize {
                self.told.pop_first();
            }
        }
        self.outcome(&Outcome {
            status: Some(503),
            duration_us: Some(micros(late.asked_at, now)),
            outcome: OutcomeKind::Failed,
            reason: Some("journal_unavailable"),
            ..Outcome::unknown(leaf)
        });
    }

    fn lose_intents(&mut self) {
        self.places = self.places.saturating_sub(self.late.drain(..).count() as u64);
        for kept in std::mem::take(&mut self.withheld).into_values().flatten() {
            if let Ok(Record::Refusal(refusal)) = Record::decode(kept.last()) {
                self.hold(&refusal);
            }
        }
        let flying = std::mem::take(&mut self.flying_intents);
        self.fail_intents(&flying, Unavailable::Down);
    }

    fn fail_intents(&mut self, slots: &[u32], why: Unavailable) {
        for slot in slots {
            self.slots.failed(*slot, why, &mut self.wakers);
        }
        self.places = self.places.saturating_sub(slots.len() as u64);
    }

    fn release_refusals(&mut self) {
        for (slot, _) in self.flying_refusals.drain(..).chain(self.waiting_refusals.drain(..)) {
            self.slots.failed(slot, Unavailable::Down, &mut self.wakers);
        }
    }
}

fn micros(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.since(from).as_micros()).unwrap_or(u64::MAX)
}
