//! Finding rows: which requests, which changes.
//!
//! Memory: one segment's matches at a time, 24 bytes each and 40 more with an outcome, beside one row. A segment
//! whose requests lie outside the asked times is not read: the next segment's header tells.
//!
//! An intent's outcome mostly stands in the same segment. For one that was still open at the segment's end, the
//! headers that follow tell in which segment it ended, and only that one is read.
//!
//! Damage ends no search: what can be read elsewhere is shown first, and then the search fails with the first
//! damage it met. A request whose end stands where it cannot be read is shown with an unknown outcome.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use access::{RequestId, Timestamp};

use crate::frame::Span;
use crate::read::{ReadError, Reader, next_in};
use crate::record::{Change, Record, Request};
use crate::row::{ChangeRow, RequestRow, RowOutcome};
use crate::scan::{Place, Scan};
use crate::segment::{SegmentName, list};

/// How far an id's own time may be from its request's arrival before a second look is needed.
const ID_SLACK_US: i64 = 60_000_000;

/// Which rows are wanted. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The subject, as `alice` or `user:alice`.
    pub user: Option<String>,
    /// The API.
    pub api: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// The path, or, when it ends in `*`, its beginning.
    pub path: Option<String>,
    /// The status answered.
    pub status: Option<u16>,
    /// The reason's code.
    pub reason: Option<String>,
    /// The incident.
    pub incident: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// Arrived at this instant or later.
    pub since: Option<Timestamp>,
    /// Arrived before this instant.
    pub until: Option<Timestamp>,
}

fn wants(wanted: Option<&String>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted.as_str()))
}

impl Filter {
    fn wants_time(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    fn wants_request(&self, request: &Request<'_>) -> bool {
        self.wants_time(request.time)
            && self.wants_subject(request.subject, request.subject_kind)
            && wants(self.api.as_ref(), request.api)
            && wants(self.operation.as_ref(), request.operation)
            && wants(self.incident.as_ref(), request.incident)
            && wants(self.grant.as_ref(), request.grant_id)
            && self.wants_path(request.path)
    }

    fn wants_subject(&self, subject: Option<&str>, kind: Option<&str>) -> bool {
        self.user.as_ref().is_none_or(|user| match user.split_once(':') {
            Some((wanted, name)) => kind == Some(wanted) && subject == Some(name),
            None => subject == Some(user.as_str()),
        })
    }

    fn wants_path(&self, path: &str) -> bool {
        self.path.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == wanted,
        })
    }

    fn wants_row(&self, row: &RequestRow) -> bool {
        self.status.is_none_or(|status| row.status == Some(status))
            && wants(self.reason.as_ref(), row.reason.as_deref())
    }

    /// A change concerns no API, operation, path, status or reason: asked for one of these, none is wanted.
    fn wants_change(&self, change: &Change<'_>) -> bool {
        let no_request = self.api.is_none() && self.operation.is_none() && self.path.is_none();
        let user = |found: &str| {
            self.user.as_ref().is_none_or(|user| found == user || found.strip_prefix("user:") == Some(user))
        };
        no_request
            && self.status.is_none()
            && self.reason.is_none()
            && self.wants_time(change.time)
            && (user(change.actor) || change.subject.is_some_and(user))
            && wants(self.incident.as_ref(), change.incident)
            && wants(self.grant.as_ref(), change.grant_id)
    }

    fn may_want(&self, times: Span) -> bool {
        times.0.is_some_and(|(from, until)| {
            self.since.is_none_or(|since| until >= since.as_micros())
                && self.until.is_none_or(|wanted| from < wanted.as_micros())
        })
    }
}

/// Which rows come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest leaf.
    #[default]
    NewestFirst,
    /// The earliest leaf.
    OldestFirst,
}

impl Reader {
    /// Shows each request that is wanted to `visit`, until it breaks.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged; every row that can be read has been shown before.
    pub fn search(
        &self,
        filter: &Filter,
        order: Order,
        visit: &mut dyn FnMut(RequestRow) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let segments = list(self.directory())?;
        let mut damage = Damage::default();
        let mut show = |row: RequestRow| match filter.wants_row(&row) {
            true => visit(row),
            false => ControlFlow::Continue(()),
        };
        for at in ordered(segments.len(), order) {
            let (Some(segment), following) = split(&segments, at) else {
                continue;
            };
            if times(following).is_some_and(|times| !filter.may_want(times)) {
                continue;
            }
            let wanted = |request: &Request<'_>| filter.wants_request(request);
            let Some(matches) = Matches::of(segment, following, &wanted, &mut damage) else {
                continue;
            };
            if matches.show(following, order, &mut show, &mut damage).is_break() {
                break;
            }
        }
        damage.told()
    }

    /// The wanted requests, at most `limit` of them.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn rows(
        &self,
        filter: &Filter,
        order: Order,
        limit: Option<usize>,
    ) -> Result<Vec<RequestRow>, ReadError> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.search(filter, order, &mut |row| {
            rows.push(row);
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }

    /// The row of one request, if it is in the journal.
    ///
    /// # Errors
    /// It is in no segment that can be read, and one cannot be read or is damaged.
    pub fn find(&self, id: RequestId) -> Result<Option<RequestRow>, ReadError> {
        let segments = list(self.directory())?;
        let near = near(id);
        let far = |at: &usize| times(split(&segments, *at).1).is_some_and(|times| !near.may_want(times));
        let (later, first): (Vec<_>, Vec<_>) = ordered(segments.len(), Order::NewestFirst).partition(far);
        let mut damage = Damage::default();
        for at in first.into_iter().chain(later) {
            if let Some(row) = find_in(&segments, at, id, &mut damage) {
                return Ok(Some(row));
            }
        }
        damage.told().map(|()| None)
    }

    /// Shows each control event that is wanted to `visit`, until it breaks. Memory: the wanted ones of a segment.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged; every row that can be read has been shown before.
    pub fn changes(
        &self,
        filter: &Filter,
        order: Order,
        visit: &mut dyn FnMut(ChangeRow) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let segments = list(self.directory())?;
        let mut damage = Damage::default();
        for at in ordered(segments.len(), order) {
            let (Some(segment), following) = split(&segments, at) else {
                continue;
            };
            let mut rows = Vec::new();
            damage.pass(changes_in(segment, following, filter, &mut rows));
            if order == Order::NewestFirst {
                rows.reverse();
            }
            if rows.into_iter().try_for_each(&mut *visit).is_break() {
                break;
            }
        }
        damage.told()
    }
}

/// The first damage that a search has met.
#[derive(Default)]
struct Damage(Option<ReadError>);

impl Damage {
    fn pass<T>(&mut self, read: Result<T, ReadError>) -> Option<T> {
        match read {
            Ok(found) => Some(found),
            Err(fault) => {
                self.0.get_or_insert(fault);
                None
            }
        }
    }

    fn told(self) -> Result<(), ReadError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The times of a segment's requests, which the header of the one after it tells; `None` where none does.
fn times(following: &[SegmentName]) -> Option<Span> {
    following.first().and_then(|next| next.header().ok()).map(|header| header.previous_times())
}

/// The times around an id's own.
fn near(id: RequestId) -> Filter {
    let [a, b, c, d, e, f, ..] = *id.as_bytes();
    let micros = i64::from_be_bytes([0, 0, a, b, c, d, e, f]).saturating_mul(1_000);
    Filter {
        since: Some(Timestamp::from_micros(micros.saturating_sub(ID_SLACK_US))),
        until: Some(Timestamp::from_micros(micros.saturating_add(ID_SLACK_US))),
        ..Filter::default()
    }
}

fn ordered(count: usize, order: Order) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| match order {
        Order::NewestFirst => count - 1 - at,
        Order::OldestFirst => at,
    })
}

fn split(segments: &[SegmentName], at: usize) -> (Option<&SegmentName>, &[SegmentName]) {
    (segments.get(at), segments.get(at + 1..).unwrap_or_default())
}

fn find_in(segments: &[SegmentName], at: usize, id: RequestId, damage: &mut Damage) -> Option<RequestRow> {
    let (Some(segment), following) = split(segments, at) else {
        return None;
    };
    let mut found = None;
    let mut keep = |row| {
        found = Some(row);
        ControlFlow::Break(())
    };
    let matches = Matches::of(segment, following, &|request| request.id == id, damage)?;
    let _ = matches.show(following, Order::NewestFirst, &mut keep, damage);
    found
}

fn changes_in(
    segment: &SegmentName,
    following: &[SegmentName],
    filter: &Filter,
    rows: &mut Vec<ChangeRow>,
) -> Result<(), ReadError> {
    let mut scan = Scan::open(segment)?;
    while let Some(place) = next_in(&mut scan, following.first())? {
        if let Record::Change(change) = scan.record(place)?
            && filter.wants_change(&change)
        {
            rows.push(ChangeRow::from(&change));
        }
    }
    Ok(())
}

/// The wanted requests of one segment, and where their outcomes stand in it.
struct Matches {
    requests: Vec<Place>,
    outcomes: HashMap<u64, Option<Place>>,
    scan: Scan,
    beside: Scan,
    /// Whether a part of the segment could not be read.
    torn: bool,
}

impl Matches {
    /// What can be read of them; `None` where nothing can.
    fn of(
        segment: &SegmentName,
        following: &[SegmentName],
        wanted: &dyn Fn(&Request<'_>) -> bool,
        damage: &mut Damage,
    ) -> Option<Self> {
        let scan = damage.pass(Scan::open(segment))?;
        let beside = damage.pass(Scan::open(segment))?;
        let mut matches = Self { requests: Vec::new(), outcomes: HashMap::new(), scan, beside, torn: false };
        matches.torn = damage.pass(matches.read(following, wanted)).is_none();
        Some(matches)
    }

    fn read(
        &mut self,
        following: &[SegmentName],
        wanted: &dyn Fn(&Request<'_>) -> bool,
    ) -> Result<(), ReadError> {
        while let Some(place) = next_in(&mut self.scan, following.first())? {
            match self.scan.record(place)? {
                Record::Intent(request) if wanted(&request) => {
                    self.requests.push(place);
                    self.outcomes.insert(place.leaf, None);
                }
                Record::Refusal(refusal) if wanted(&refusal.request) => self.requests.push(place),
                Record::Outcome(outcome) => {
                    self.outcomes.entry(outcome.leaf).and_modify(|found| *found = Some(place));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn show(
        mut self,
        following: &[SegmentName],
        order: Order,
        visit: &mut dyn FnMut(RequestRow) -> ControlFlow<()>,
        damage: &mut Damage,
    ) -> ControlFlow<()> {
        let open = self.outcomes.iter().filter(|(_, place)| place.is_none()).map(|(leaf, _)| *leaf);
        let elsewhere = Elsewhere::look(following, open.collect(), self.torn, damage);
        if order == Order::NewestFirst {
            self.requests.reverse();
        }
        for place in std::mem::take(&mut self.requests) {
            let row = damage.pass(self.row(place, &elsewhere)).flatten();
            row.map_or(ControlFlow::Continue(()), &mut *visit)?;
        }
        ControlFlow::Continue(())
    }

    fn row(&mut self, place: Place, elsewhere: &Elsewhere) -> Result<Option<RequestRow>, ReadError> {
        let node = self.scan.header.node.clone();
        let ended = match self.outcomes.get(&place.leaf) {
            Some(Some(ended)) => Some(self.beside.record(*ended)?),
            _ => elsewhere.found.get(&place.leaf).and_then(|payload| Record::decode(payload).ok()),
        };
        let outcome = match &ended {
            Some(Record::Outcome(outcome)) => Some(outcome),
            _ => None,
        };
        let mut row = RequestRow::joined(&node, place.leaf, &self.scan.record(place)?, outcome);
        if let Some(row) = row.as_mut().filter(|_| elsewhere.lost.contains(&place.leaf)) {
            row.outcome = Some(RowOutcome::Unknown);
        }
        Ok(row)
    }
}

/// What became of the intents that were open at the end of their segment.
#[derive(Default)]
struct Elsewhere {
    /// Their outcomes, as bytes.
    found: HashMap<u64, Vec<u8>>,
    /// Those whose outcomes may stand where nothing can be read.
    lost: HashSet<u64>,
}

impl Elsewhere {
    /// Looks in the segments that follow theirs, which is `torn` where a part of it could not be read.
    fn look(
        following: &[SegmentName],
        mut wanted: HashSet<u64>,
        mut torn: bool,
        damage: &mut Damage,
    ) -> Self {
        let mut elsewhere = Self::default();
        for (at, segment) in following.iter().enumerate() {
            if wanted.is_empty() {
                break;
            }
            // What was still open when this segment began did not end where nothing can be read.
            if torn && let Ok(header) = segment.header() {
                let ended = |leaf: &u64| header.open.binary_search(leaf).is_err();
                elsewhere.lost.extend(wanted.extract_if(ended));
                torn = false;
            }
            let next = following.get(at + 1);
            if let Some(Ok(header)) = next.map(SegmentName::header)
                && wanted.iter().all(|leaf| header.open.binary_search(leaf).is_ok())
            {
                continue;
            }
            torn |= damage.pass(collect(segment, next, &mut wanted, &mut elsewhere.found)).is_none();
        }
        if torn {
            elsewhere.lost.extend(wanted);
        }
        elsewhere
    }
}

fn collect(
    segment: &SegmentName,
    next: Option<&SegmentName>,
    wanted: &mut HashSet<u64>,
    found: &mut HashMap<u64, Vec<u8>>,
) -> Result<(), ReadError> {
    let mut scan = Scan::open(segment)?;
    while let Some(place) = next_in(&mut scan, next)? {
        let leaf = match scan.record(place)? {
            Record::Outcome(outcome) if wanted.remove(&outcome.leaf) => outcome.leaf,
            _ => continue,
        };
        found.insert(leaf, scan.payload(place)?.to_vec());
        if wanted.is_empty() {
            break;
        }
    }
    Ok(())
}
