//! Reading the journal: searches, as rows in NDJSON, and one request explained.
//!
//! Every reading is a note in the journal before the first row is read. While the journal cannot be written the
//! note is held by it, within its bounds; if it cannot even be held, nothing is read.
//! Auditors and administrators read everything, others what is their own.
//!
//! At most [`SEARCHES_MAX`] searches are under way at once. Not here: how rows get to the caller (see `rows`).

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use access::Timestamp;
use access::credential::masked;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use journal::{ChangeRow, Filter, Note, ReadError, Reader, RequestRow, Unavailable};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::console::{App, SEARCHES_MAX, Shared};
use crate::explain::{Explanation, explanation};
use crate::json::{Asked, Place, parse};
use crate::known;
use crate::problem::{Code, Problem, chain};
use crate::rows::answer;
use crate::session::Caller;

/// Which come first.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

impl From<Order> for journal::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Newest => Self::NewestFirst,
            Order::Oldest => Self::OldestFirst,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Allow,
    Refuse,
}

impl Decision {
    fn is_of(self, row: &RequestRow) -> bool {
        match self {
            Self::Allow => row.decision == journal::Decision::Allow,
            Self::Refuse => row.decision == journal::Decision::Refuse,
        }
    }
}

/// What a search asks for, and what its note says was asked.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requests {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<NonZeroUsize>,
    #[serde(default)]
    order: Order,
}

impl Requests {
    /// What is looked for. A reason or grant that could never stand in a row is refused.
    fn filter(&self, caller: &Caller) -> Result<Filter, Problem> {
        if let Some(user) = &self.user {
            known::check_subject(user)?;
        }
        if let Some(reason) = &self.reason {
            known::check_reason(reason)?;
        }
        let grant = self.grant.as_deref().map(known::check_grant).transpose()?;
        Ok(Filter {
            user: own(caller, self.user.as_deref())?,
            api: self.api.clone(),
            operation: self.operation.clone(),
            path: self.path.clone(),
            status: self.status,
            reason: self.reason.clone(),
            incident: self.incident.clone(),
            grant: grant.map(|grant| grant.to_string()),
            ..within(self.since.as_deref(), self.until.as_deref())?
        })
    }
}

pub(crate) async fn requests(
    State(app): State<App>,
    caller: Caller,
    Asked(asked): Asked<Requests>,
) -> Result<Response, Problem> {
    let filter = asked.filter(&caller)?;
    let stranger = known::stranger(&app.view(), filter.user.as_deref(), filter.api.as_deref());
    let slot = slot(&app)?;
    note(&app, &caller, "search_requests", &asked).await?;
    let Requests { decision, order, limit, .. } = asked;
    answer(&app, caller, slot, limit, stranger, move |reader, rows| {
        reader.search(&filter, order.into(), &mut |row| match decision {
            Some(decision) if !decision.is_of(&row) => ControlFlow::Continue(()),
            _ => rows.push(&row),
        })
    })
    .await
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<NonZeroUsize>,
    #[serde(default)]
    order: Order,
}

pub(crate) async fn changes(
    State(app): State<App>,
    caller: Caller,
    Asked(asked): Asked<Changes>,
) -> Result<Response, Problem> {
    let filter =
        Filter { user: own(&caller, None)?, ..within(asked.since.as_deref(), asked.until.as_deref())? };
    let slot = slot(&app)?;
    note(&app, &caller, "search_changes", &asked).await?;
    let Changes { order, limit, .. } = asked;
    answer(&app, caller, slot, limit, None, move |reader, rows| {
        reader.changes(&filter, order.into(), &mut |row: ChangeRow| rows.push(&row))
    })
    .await
}

#[derive(Serialize)]
struct Looked<'a> {
    id: &'a str,
}

pub(crate) async fn explain(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place,
) -> Result<Json<Explanation>, Problem> {
    let wanted = known::check_request(&id)?;
    let slot = slot(&app)?;
    note(&app, &caller, "explain_request", &Looked { id: &id }).await?;
    let directory = app.handles.journal.directory().to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        Reader::open(directory)?.find(wanted)
    });
    let found = looked.await.map_err(|_| unreadable())?.map_err(|fault| broken(&app, &fault))?;
    let row = found.filter(|row| may_see(&caller, row)).ok_or_else(|| {
        Problem::new(Code::NotFound, "the journal has no request of this id that you may see")
            .next("`daypass audit search` lists requests with their ids")
    })?;
    Ok(Json(explanation(row, &app.handles.keeper.state())))
}

/// Whether a row is the caller's own, or theirs to read.
pub(crate) fn may_see(caller: &Caller, row: &RequestRow) -> bool {
    let own = row.subject.as_deref() == Some(caller.subject.name().as_str())
        && row.subject_kind.as_deref() == Some(caller.subject.kind().as_str());
    own || caller.sees_all()
}

/// Whose rows a caller gets: those asked for, if they may; `None` is everybody's.
fn own(caller: &Caller, asked: Option<&str>) -> Result<Option<String>, Problem> {
    if caller.sees_all() {
        return Ok(asked.map(str::to_owned));
    }
    let own = caller.subject.to_string();
    match asked {
        Some(user) if user != own && user != caller.subject.name().as_str() => {
            let detail = "the requests of others are for auditors and administrators";
            Err(Problem::new(Code::NotAllowed, detail).next("leave out `user` to see your own"))
        }
        _ => Ok(Some(own)),
    }
}

/// Everything from `since` and before `until`.
fn within(since: Option<&str>, until: Option<&str>) -> Result<Filter, Problem> {
    let instant = |asked: Option<&str>| asked.map(parse::<Timestamp>).transpose();
    Ok(Filter { since: instant(since)?, until: instant(until)?, ..Filter::default() })
}

fn slot(app: &Shared) -> Result<OwnedSemaphorePermit, Problem> {
    app.searches.clone().try_acquire_owned().map_err(|_| {
        let detail =
            format!("{SEARCHES_MAX} searches of the journal are under way, which is the most at once");
        Problem::new(Code::Overloaded, detail)
    })
}

/// Records who reads what, before they do.
pub(crate) async fn note(
    app: &Shared,
    caller: &Caller,
    kind: &str,
    asked: &impl Serialize,
) -> Result<(), Problem> {
    let detail = serde_json::to_string(asked).unwrap_or_default();
    // What was looked for is any text, and the note outlives it.
    let detail = masked(&detail);
    let actor = caller.subject.to_string();
    let note = Note { time: app.now(), kind, actor: Some(&actor), detail: &detail };
    match app.handles.journal.append(note.into()).await {
        Ok(_) | Err(Unavailable::Held | Unavailable::Late) => Ok(()),
        Err(Unavailable::Down | Unavailable::Full) => Err(Problem::new(
            Code::JournalUnavailable,
            "the journal cannot record this reading, so nothing is read",
        )),
    }
}

pub(crate) fn unreadable() -> Problem {
    Problem::new(Code::JournalUnavailable, "the journal cannot be read now")
}

/// Where the journal lies is for the operator's log; the caller learns the file's name and the leaf.
pub(crate) fn broken(app: &Shared, fault: &ReadError) -> Problem {
    tracing::error!(error = %chain(fault), "the journal cannot be read");
    app.handles.journal.meet(fault);
    let (code, found) = match fault.is_damage() {
        true => (Code::JournalDamaged, "the journal is damaged, and what can be read of it is not all"),
        false => (Code::JournalUnavailable, "a part of the journal cannot be read now"),
    };
    let problem = Problem::new(code, format!("{found}: {}", fault.brief()));
    match fault.is_damage() {
        true => problem.next(
            "copy the journal's directory before anything else, for every byte in it is evidence; then put that file back from a backup",
        ),
        false => problem,
    }
}
