//! Finding rows: which requests, which changes.
//!
//! Memory: one segment's matches at a time, 24 bytes each and 40 more with an outcome, beside one row. A segment
//! whose requests lie outside the asked times is not read: the next segment's header tells.
//!
//! An intent's outcome mostly stands in the same segment. For one that was still open at the segment's end, the
//! headers that follow tell in which segment it ended, and only that one is read.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use access::{RequestId, Timestamp};

use crate::frame::Span;
use crate::read::{ReadError, Reader, next_in};
use crate::record::{Change, Record, Request};
use crate::row::{ChangeRow, RequestRow};
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
    /// A segment cannot be read or is damaged.
    pub fn search(
        &self,
        filter: &Filter,
        order: Order,
        visit: &mut dyn FnMut(RequestRow) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let segments = list(self.directory())?;
        let mut show = |row: RequestRow| match filter.wants_row(&row) {
            true => visit(row),
            false => ControlFlow::Continue(()),
        };
        for at in ordered(segments.len(), order) {
            let (segment, following) = split(&segments, at);
            if let Some(next) = following.first()
                && !filter.may_want(next.header()?.previous_times())
            {
                continue;
            }
            let wanted = |request: &Request<'_>| filter.wants_request(request);
            let Some(segment) = segment else { continue };
            if Matches::of(segment, following, &wanted)?.show(following, order, &mut show)?.is_break() {
                break;
            }
        }
        Ok(())
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
    /// A segment cannot be read or is damaged.
    pub fn find(&self, id: RequestId) -> Result<Option<RequestRow>, ReadError> {
        let segments = list(self.directory())?;
        let near = near(id);
        let mut later = Vec::new();
        for at in ordered(segments.len(), Order::NewestFirst) {
            let (_, following) = split(&segments, at);
            let times =
                following.first().map(SegmentName::header).transpose()?.map(|header| header.previous_times());
            match times {
                Some(times) if !near.may_want(times) => later.push(at),
                _ => {
                    if let Some(row) = find_in(&segments, at, id)? {
                        return Ok(Some(row));
                    }
                }
            }
        }
        for at in later {
            if let Some(row) = find_in(&segments, at, id)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Shows each control event that is wanted to `visit`, until it breaks. Memory: the wanted ones of a segment.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn changes(
        &self,
        filter: &Filter,
        order: Order,
        visit: &mut dyn FnMut(ChangeRow) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let segments = list(self.directory())?;
        for at in ordered(segments.len(), order) {
            let (Some(segment), following) = split(&segments, at) else {
                continue;
            };
            let mut rows = changes_in(segment, following, filter)?;
            if order == Order::NewestFirst {
                rows.reverse();
            }
            if rows.into_iter().try_for_each(&mut *visit).is_break() {
                break;
            }
        }
        Ok(())
    }
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

fn find_in(segments: &[SegmentName], at: usize, id: RequestId) -> Result<Option<RequestRow>, ReadError> {
    let (Some(segment), following) = split(segments, at) else {
        return Ok(None);
    };
    let mut found = None;
    let mut keep = |row| {
        found = Some(row);
        ControlFlow::Break(())
    };
    let matches = Matches::of(segment, following, &|request| request.id == id)?;
    let _ = matches.show(following, Order::NewestFirst, &mut keep)?;
    Ok(found)
}

fn changes_in(
    segment: &SegmentName,
    following: &[SegmentName],
    filter: &Filter,
) -> Result<Vec<ChangeRow>, ReadError> {
    let mut scan = Scan::open(segment)?;
    let mut rows = Vec::new();
    while let Some(place) = next_in(&mut scan, following.first())? {
        if let Record::Change(change) = scan.record(place)?
            && filter.wants_change(&change)
        {
            rows.push(ChangeRow::from(&change));
        }
    }
    Ok(rows)
}

/// The wanted requests of one segment, and where their outcomes stand in it.
struct Matches {
    requests: Vec<Place>,
    outcomes: HashMap<u64, Option<Place>>,
    scan: Scan,
    beside: Scan,
}

impl Matches {
    fn of(
        segment: &SegmentName,
        following: &[SegmentName],
        wanted: &dyn Fn(&Request<'_>) -> bool,
    ) -> Result<Self, ReadError> {
        let mut scan = Scan::open(segment)?;
        let beside = Scan::open(segment)?;
        let (mut requests, mut outcomes) = (Vec::new(), HashMap::new());
        while let Some(place) = next_in(&mut scan, following.first())? {
            match scan.record(place)? {
                Record::Intent(request) if wanted(&request) => {
                    requests.push(place);
                    outcomes.insert(place.leaf, None);
                }
                Record::Refusal(refusal) if wanted(&refusal.request) => requests.push(place),
                Record::Outcome(outcome) => {
                    outcomes.entry(outcome.leaf).and_modify(|found| *found = Some(place));
                }
                _ => {}
            }
        }
        Ok(Self { requests, outcomes, scan, beside })
    }

    fn show(
        mut self,
        following: &[SegmentName],
        order: Order,
        visit: &mut dyn FnMut(RequestRow) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let open = self.outcomes.iter().filter(|(_, place)| place.is_none()).map(|(leaf, _)| *leaf);
        let elsewhere = look_ahead(following, open.collect())?;
        if order == Order::NewestFirst {
            self.requests.reverse();
        }
        for place in std::mem::take(&mut self.requests) {
            let row = self.row(place, &elsewhere)?;
            if row.map_or(ControlFlow::Continue(()), &mut *visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn row(
        &mut self,
        place: Place,
        elsewhere: &HashMap<u64, Vec<u8>>,
    ) -> Result<Option<RequestRow>, ReadError> {
        let node = self.scan.header.node.clone();
        let ended = match self.outcomes.get(&place.leaf) {
            Some(Some(ended)) => Some(self.beside.record(*ended)?),
            _ => elsewhere.get(&place.leaf).and_then(|payload| Record::decode(payload).ok()),
        };
        let outcome = match &ended {
            Some(Record::Outcome(outcome)) => Some(outcome),
            _ => None,
        };
        Ok(RequestRow::joined(&node, place.leaf, &self.scan.record(place)?, outcome))
    }
}

/// Outcomes, as bytes, of these intents in the segments that follow theirs.
fn look_ahead(
    following: &[SegmentName],
    mut wanted: HashSet<u64>,
) -> Result<HashMap<u64, Vec<u8>>, ReadError> {
    let mut found = HashMap::new();
    for (at, segment) in following.iter().enumerate() {
        if wanted.is_empty() {
            break;
        }
        let next = following.get(at + 1);
        if let Some(next) = next {
            let still_open = next.header()?.open;
            if wanted.iter().all(|leaf| still_open.binary_search(leaf).is_ok()) {
                continue;
            }
        }
        collect(segment, next, &mut wanted, &mut found)?;
    }
    Ok(found)
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
