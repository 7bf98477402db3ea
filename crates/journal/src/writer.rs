//! The writer: the one thread that appends to a node's log.
//!
//! It takes what all lanes have waiting, writes it with one call, in `fsync` mode makes it durable with one more,
//! and answers everybody: *group commit*. Leaves are numbered here and nowhere else.
//!
//! When a write or a sync fails, nothing of that commit counts. The log is *down*: every intent fails at once,
//! refusals and statements are held. Each `retry_every` the writer cuts the segment to what was acknowledged and
//! begins a new one, since pages that failed to sync cannot be trusted; then it writes what was held.
//! The same happens when it is not known whether a next segment stands under its name: until one surely does,
//! no leaf is written anywhere, so that the only segment there may be holds none and begins where the log ends.
//!
//! A segment that is no longer where a reader looks for it counts as a failed write, and so does a directory that
//! is gone: neither is made anew, since that would hide what is lost. It is looked for after each sync, and
//! in `write` mode each [`LOOK_EVERY`].
//!
//! When no next segment can be made, the last one's reserve remains: 448 bytes for the
//! outcome of each open entry, and [`CONTROL_RESERVE_BYTES`] that only refusals and statements may use.

mod handover;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use access::{Clock, Timestamp};

use crate::active::{Active, Broken, NotMade, Sync, named};
use crate::disk::Disk;
use crate::frame::{self, Frames, MARK_BYTES};
use crate::group::{Admits, COMMANDS_PER_COMMIT_MAX, Group, answer, assemble};
use crate::head;
use crate::health::{Gauges, Writable};
use crate::leaf::{LeafHash, Receipt};
use crate::log::Log;
use crate::open::Unavailable;
use crate::parcel::{Command, End, Stated};
use crate::record::{Note, Outcome, Record};
use crate::segment::{Durability, unfinished};

use handover::Pen;

/// Room that intents leave to refusals and statements, in bytes; an eighth of a segment if that is less.
pub const CONTROL_RESERVE_BYTES: u64 = 1024 * 1024;
/// How many changes and notes are held while the log cannot be written.
pub const STATEMENTS_HELD_MAX: u64 = 4096;
/// How often a segment that is not synced is looked for under its name.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest note the writer itself makes, in bytes.
const NOTE_BYTES_MAX: usize = 512;
/// A commit buffer that grew beyond this is given back, in bytes.
const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the writer is told once.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) node: String,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes_max: u64,
    pub(crate) retry_every: Duration,
    pub(crate) disk: Arc<dyn Disk>,
}

#[derive(Debug)]
enum State {
    Up(Active),
    /// What to repair first, if there was a segment.
    Down(Option<Broken>),
}

/// Statements held, and outcomes that recovery owes.
#[derive(Debug, Default)]
struct Held {
    outcomes: Frames,
    statements: Frames,
    lost: u64,
}

/// The thread's inside.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: Settings,
    clock: Arc<dyn Clock>,
    gauges: Arc<Gauges>,
    log: Log,
    state: State,
    held: Held,
    /// What to say when the log is writable for the first time.
    hello: Option<String>,
    finished_bytes: u64,
    /// Since when not everything can be written.
    trouble_since: Option<Timestamp>,
    retry_at: Timestamp,
    look_at: Timestamp,
    buffer: Vec<u8>,
    /// Keeps other processes out for as long as this one writes.
    lock: Option<File>,
}

impl Writer {
    /// A writer that continues this log; `hello` is the detail of its first note, and `inherited` are open intents
    /// that another process will close.
    pub(crate) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        gauges: Arc<Gauges>,
        found: crate::recover::Found,
        hello: String,
        inherited: &HashSet<u64>,
        lock: File,
    ) -> Self {
        let now = clock.now();
        let mut open: Vec<u64> = found.log.open.difference(inherited).copied().collect();
        open.sort_unstable();
        let mut held = Held::default();
        for leaf in open {
            held.outcomes.push(Record::Outcome(Outcome::unknown(leaf)));
        }
        gauges.place(found.log.next_leaf, found.bytes);
        Self {
            settings,
            clock,
            gauges,
            log: found.log,
            state: State::Down(found.last),
            held,
            hello: Some(hello),
            finished_bytes: found.bytes,
            trouble_since: Some(now),
            retry_at: now,
            look_at: now,
            buffer: Vec::new(),
            lock: Some(lock),
        }
    }

    /// Commits until told to stop, or until nobody is left to commit for.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut group = Group::default();
        let done = loop {
            let end = match self.next(commands) {
                Ok(command) => gather(&mut group, command, commands),
                Err(RecvTimeoutError::Timeout) => {
                    self.retry();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break None,
            };
            if !group.is_empty() {
                self.commit(&mut group);
            }
            match end {
                None => {}
                Some(End::Stop(done)) => break Some(done),
                Some(End::HandOver(transfer)) => match self.lend(transfer, commands) {
                    Pen::Here => {}
                    Pen::Stop(done) => break Some(done),
                    Pen::Down => return,
                },
            }
            if self.trouble_since.is_some() && self.clock.now() >= self.retry_at {
                self.retry();
            }
        };
        self.stop(done);
    }

    fn next(&self, commands: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        match self.trouble_since {
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => commands.recv_timeout(self.settings.retry_every),
        }
    }

    // One commit.

    fn commit(&mut self, group: &mut Group) {
        self.gauges.wait_from(self.trouble_since.unwrap_or_else(|| self.clock.now()));
        let mut admits = self.admit(group);
        if let Err(fault) = self.write(group, admits) {
            self.fail(&fault);
            admits = Admits::Nothing;
        }
        self.settle(group, admits);
    }

    /// How much of the group may be written, after making room if it can be made.
    fn admit(&mut self, group: &Group) -> Admits {
        let State::Up(active) = &self.state else {
            return Admits::Nothing;
        };
        let (room, reserve) = (active.room(), self.reserve(group.intents()));
        if group.bytes(Admits::All) + reserve <= room {
            return Admits::All;
        }
        if self.trouble_since.is_none() {
            match self.rotate(group.bytes(Admits::All) + reserve) {
                Ok(()) => return Admits::All,
                Err(fault) if matches!(self.state, State::Up(_)) => self.crowd(&fault),
                Err(fault) => {
                    self.fail(&fault);
                    return Admits::Nothing;
                }
            }
        }
        let kept = group.bytes(Admits::Kept) + self.reserve(0) - self.control_reserve();
        if kept <= room { Admits::Kept } else { Admits::Outcomes }
    }

    /// Room that must stay free when this many more entries are open.
    fn reserve(&self, intents: u64) -> u64 {
        (self.log.open.len() as u64 + intents) * frame::OUTCOME_BYTES_MAX as u64 + self.control_reserve()
    }

    fn control_reserve(&self) -> u64 {
        CONTROL_RESERVE_BYTES.min(self.settings.segment_bytes_max / 8)
    }

    fn write(&mut self, group: &Group, admits: Admits) -> io::Result<()> {
        let State::Up(active) = &mut self.state else {
            return Ok(());
        };
        group.assemble(admits, active.offset(), &mut self.buffer);
        if self.settings.durability == Durability::Write {
            let now = self.clock.now();
            if now >= self.look_at {
                active.look()?;
                self.look_at = now.plus(LOOK_EVERY);
            }
        }
        commit(active, &mut self.buffer, self.settings.durability)
    }

    /// Numbers what was written, and answers everybody.
    fn settle(&mut self, group: &mut Group, admits: Admits) {
        let mut leaves: Vec<[Option<u64>; 3]> = vec![[None; 3]; group.ships.len()];
        for (ship, [outcomes, _, _]) in group.ships.iter().zip(&mut leaves) {
            *outcomes = (admits >= Admits::Outcomes).then(|| self.log.wrote(&ship.parcel.outcomes));
        }
        for (ship, [_, refusals, _]) in group.ships.iter().zip(&mut leaves) {
            *refusals = (admits >= Admits::Kept).then(|| self.log.wrote(&ship.parcel.refusals));
        }
        let mut stated = Vec::with_capacity(group.statements.len());
        for statement in &group.statements {
            stated.push((admits >= Admits::Kept).then(|| self.log.wrote(&statement.frames)));
        }
        for (ship, [_, _, intents]) in group.ships.iter().zip(&mut leaves) {
            *intents = (admits >= Admits::All).then(|| self.log.opened(&ship.parcel.intents));
        }
        if admits > Admits::Nothing {
            self.show_commit();
        }
        for (ship, leaves) in group.ships.drain(..).zip(leaves) {
            answer(ship, leaves);
        }
        for (statement, leaf) in group.statements.drain(..).zip(stated) {
            self.answer_statement(statement, leaf);
        }
    }

    fn answer_statement(&mut self, Stated { mut frames, ack }: Stated, leaf: Option<u64>) {
        let result = match leaf {
            Some(leaf) => Ok(Receipt { leaf, hash: LeafHash::of(frames.last()) }),
            None if self.held.statements.count() < STATEMENTS_HELD_MAX => {
                self.held.statements.append(&mut frames);
                Err(Unavailable::Held)
            }
            None => {
                self.held.lost += 1;
                Err(Unavailable::Full)
            }
        };
        // Whoever asked may have stopped waiting; the record stands all the same.
        let _ = ack.send(result);
    }

    fn show_commit(&self) {
        let active = match &self.state {
            State::Up(active) => active.offset(),
            State::Down(_) => 0,
        };
        self.gauges.commit(self.log.next_leaf, self.finished_bytes + active, self.clock.now());
    }

    // Segments.

    /// Begins the next segment with room for `needed` bytes, and finishes this one.
    fn rotate(&mut self, needed: u64) -> io::Result<()> {
        let State::Up(active) = &mut self.state else {
            return Ok(());
        };
        if self.settings.durability == Durability::Write {
            active.sync()?;
        }
        let first_leaf = active.name.first_leaf;
        let next = self.begin(Some(first_leaf), needed)?;
        let State::Up(full) = std::mem::replace(&mut self.state, State::Up(next)) else {
            return Ok(());
        };
        self.finished_bytes += full.offset();
        if let Err(fault) = full.finish() {
            // Its records are safe; only room allocated ahead is not given back.
            tracing::warn!(%fault, first_leaf, "a full journal segment was not cut to its length");
        }
        Ok(())
    }

    /// Begins a segment at the log's end; `last` is the first leaf of the last one.
    fn begin(&mut self, last: Option<u64>, needed: u64) -> io::Result<Active> {
        let Settings { directory, node, durability, segment_bytes_max, disk, .. } = &self.settings;
        let header = self.log.header(node, *durability, self.clock.now(), last);
        match Active::create(&**disk, directory, &header, *segment_bytes_max, needed) {
            Ok(active) => {
                self.log.begin(&header);
                if let Err(fault) = head::write(&**disk, directory, header.first_leaf) {
                    // It names an older segment then, and no start takes that for a loss.
                    tracing::warn!(%fault, "the journal's head file was not written");
                }
                Ok(active)
            }
            Err(NotMade::Nothing(fault)) => Err(fault),
            Err(NotMade::Unsure(fault)) => {
                self.fail(&fault);
                if let State::Down(last) = &mut self.state {
                    // An empty segment of the same name may have been replaced: nothing of it is left to repair.
                    *last = last.take().filter(|last| last.first_leaf < header.first_leaf);
                }
                Err(fault)
            }
        }
    }

    /// Only the reserve is left.
    fn crowd(&mut self, fault: &io::Error) {
        if self.trouble_since.is_none() {
            tracing::error!(%fault, "no next journal segment can be made: requests are refused");
        }
        self.trouble(Writable::OutcomesOnly, fault);
    }

    /// The last commit does not count, and nothing more goes into its segment.
    fn fail(&mut self, fault: &io::Error) {
        if let State::Up(active) = &self.state {
            let broken = active.as_broken();
            tracing::error!(%fault, segment = %broken.path.display(), "the journal cannot be written: requests are refused");
            self.finished_bytes += active.offset();
            self.state = State::Down(Some(broken));
        }
        self.trouble(Writable::No, fault);
    }

    fn trouble(&mut self, writable: Writable, fault: &io::Error) {
        let now = self.clock.now();
        self.retry_at = now.plus(self.settings.retry_every);
        self.gauges.wait_from(*self.trouble_since.get_or_insert(now));
        self.gauges.turn(writable, Some(fault.to_string()));
    }

    // Becoming writable.

    /// Tries to write again, if something is in the way.
    pub(crate) fn retry(&mut self) {
        if self.trouble_since.is_none() {
            return;
        }
        match self.resume() {
            Ok(()) => {
                self.hello = None;
                if let Some(since) = self.trouble_since.take().filter(|_| self.gauges.is_failing()) {
                    let out_ms = self.clock.now().since(since).as_millis();
                    tracing::info!(out_ms, "the journal is written again");
                }
                self.gauges.turn(Writable::Yes, None);
            }
            Err(fault) if matches!(self.state, State::Up(_)) => self.crowd(&fault),
            Err(fault) => self.fail(&fault),
        }
    }

    fn resume(&mut self) -> io::Result<()> {
        let (now, needed) = (self.clock.now(), self.needed());
        if let State::Down(last) = &self.state {
            let directory = &self.settings.directory;
            for path in unfinished(directory).map_err(|fault| named(directory, fault))? {
                self.settings.disk.remove(&path)?;
            }
            if let Some(broken) = last {
                broken.repair(&*self.settings.disk)?;
            }
            let first_leaf = last.as_ref().map(|broken| broken.first_leaf);
            self.state = State::Up(self.begin(first_leaf, needed)?);
        } else {
            self.rotate(needed)?;
        }
        let (kind, detail) = match &self.hello {
            Some(hello) => ("node_started", hello.clone()),
            None => ("journal_resumed", self.resumed(now)),
        };
        self.write_held(&Note { time: now, kind, actor: None, detail: &detail })
    }

    fn resumed(&self, now: Timestamp) -> String {
        let down = now.since(self.trouble_since.unwrap_or(now));
        format!(r#"{{"down_ms":{},"statements_lost":{}}}"#, down.as_millis(), self.held.lost)
    }

    /// Room for what is held, a note, and what must stay free.
    fn needed(&self) -> u64 {
        let held = self.held.outcomes.bytes().len() + self.held.statements.bytes().len();
        (held + NOTE_BYTES_MAX + MARK_BYTES) as u64 + self.reserve(0)
    }

    /// Writes what was held, and a note. An error is dealt with already.
    fn write_held(&mut self, note: &Note<'_>) -> io::Result<()> {
        let mut noted = Frames::default();
        noted.push(Record::Note(*note));
        let State::Up(active) = &mut self.state else {
            return Ok(());
        };
        let held = [&self.held.outcomes, &self.held.statements, &noted];
        assemble(held.into_iter(), active.offset(), &mut self.buffer);
        commit(active, &mut self.buffer, self.settings.durability).inspect_err(|fault| self.fail(fault))?;
        for frames in [&self.held.outcomes, &self.held.statements, &noted] {
            self.log.wrote(frames);
        }
        self.held = Held::default();
        self.show_commit();
        Ok(())
    }

    fn stop(mut self, done: Option<SyncSender<()>>) {
        self.retry();
        let detail = format!(r#"{{"leaves":{},"open":{}}}"#, self.log.next_leaf, self.log.open.len());
        let note = Note { time: self.clock.now(), kind: "node_stopped", actor: None, detail: &detail };
        let written = self.write_held(&note).is_ok();
        let statements = self.held.statements.count() + self.held.lost;
        if !written || statements > 0 {
            tracing::error!(statements, "the journal ends without statements it could not write");
        }
        if let State::Up(active) = self.state
            && let Err(fault) = active.finish()
        {
            tracing::error!(%fault, "the last journal segment was not finished");
        }
        self.gauges.end();
        drop(self.lock);
        // Nobody may be waiting.
        let _ = done.map(|done| done.try_send(()));
    }
}

/// Takes whatever else is waiting into the same commit. Returns what is to be done when all is written, if told to end.
fn gather(group: &mut Group, first: Command, commands: &Receiver<Command>) -> Option<End> {
    let mut next = Some(first);
    for _ in 0..COMMANDS_PER_COMMIT_MAX {
        let Some(end) = next.take().map(|command| group.join(command)) else {
            break;
        };
        if end.is_some() {
            return end;
        }
        next = commands.try_recv().ok();
    }
    next.and_then(|command| group.join(command))
}

fn commit(active: &mut Active, buffer: &mut Vec<u8>, durability: Durability) -> io::Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    let sync = match durability {
        Durability::Fsync => Sync::Now,
        Durability::Write => Sync::Later,
    };
    let result = active.commit(buffer, sync);
    if buffer.capacity() > BUFFER_BYTES_MAX {
        *buffer = Vec::new();
    }
    result
}
