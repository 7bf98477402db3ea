//! Reading the journal: searches, as rows in NDJSON, and one request explained.
//!
//! Every reading is a note in the journal before the first row is read. While the journal cannot be written the
//! note is held by it, within its bounds; if it cannot even be held, nothing is read.
//! Auditors and administrators read everything, others what is their own.
//!
//! Rows are read from the segments on a blocking thread, at most [`SEARCHES_MAX`] at once, and handed over in
//! pieces of [`PIECE_BYTES`], [`PIECES_MAX`] of them at most: a slow reader slows the search, and memory does not
//! grow. An answer that breaks off (damage, a session that ended) breaks the connection, so that it is never
//! taken for a whole one.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use access::{RequestId, Timestamp};
use axum::Json;
use axum::body::Body as AnswerBody;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use journal::{ChangeRow, Filter, Note, ReadError, Reader, RequestRow, Unavailable};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::console::{App, SEARCHES_MAX, Shared};
use crate::explain::{Explanation, explanation};
use crate::json::{Asked, Place, parse};
use crate::problem::{Code, Problem, chain};
use crate::session::Caller;

/// The size of one piece of an answer, in bytes; a row more at most.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Pieces read ahead of the one who takes them.
pub const PIECES_MAX: usize = 4;

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

pub(crate) async fn requests(
    State(app): State<App>,
    caller: Caller,
    Asked(asked): Asked<Requests>,
) -> Result<Response, Problem> {
    let filter = Filter {
        user: own(&caller, asked.user.as_deref())?,
        since: instant(asked.since.as_deref())?,
        until: instant(asked.until.as_deref())?,
        api: asked.api.clone(),
        operation: asked.operation.clone(),
        path: asked.path.clone(),
        status: asked.status,
        reason: asked.reason.clone(),
        incident: asked.incident.clone(),
        grant: asked.grant.clone(),
    };
    let slot = slot(&app)?;
    note(&app, &caller, "search_requests", &asked).await?;
    let Requests { decision, order, limit, .. } = asked;
    answer(&app, caller, slot, limit, move |reader, rows| {
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
    let filter = Filter {
        user: own(&caller, None)?,
        since: instant(asked.since.as_deref())?,
        until: instant(asked.until.as_deref())?,
        ..Filter::default()
    };
    let slot = slot(&app)?;
    note(&app, &caller, "search_changes", &asked).await?;
    let Changes { order, limit, .. } = asked;
    answer(&app, caller, slot, limit, move |reader, rows| {
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
    let wanted: RequestId = parse(&id)?;
    let slot = slot(&app)?;
    note(&app, &caller, "explain_request", &Looked { id: &id }).await?;
    let directory = app.handles.journal.directory().to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        Reader::open(directory)?.find(wanted)
    });
    let found = looked.await.map_err(|_| unreadable())?.map_err(|fault| broken(&fault))?;
    let row = found.filter(|row| may_see(&caller, row)).ok_or_else(|| {
        Problem::new(Code::NotFound, "the journal has no request of this id that you may see")
            .next("`daypass audit search` lists requests with their ids")
    })?;
    Ok(Json(explanation(row, &app.view())))
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

fn instant(asked: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    asked.map(parse).transpose()
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

fn unreadable() -> Problem {
    Problem::new(Code::JournalUnavailable, "the journal cannot be read now")
}

/// Files and offsets are for the operator's log; the caller learns that it failed.
pub(crate) fn broken(fault: &ReadError) -> Problem {
    tracing::error!(error = %chain(fault), "the journal cannot be read");
    unreadable()
}

/// A part of an answer on its way from the thread that reads.
enum Piece {
    Rows(Bytes),
    /// The search is through; there was nothing more.
    End,
    Fault(Problem),
}

/// Rows as lines, handed over in pieces.
struct Rows {
    app: App,
    caller: Caller,
    pieces: mpsc::Sender<Piece>,
    waiting: Vec<u8>,
    left: usize,
}

impl Rows {
    fn push(&mut self, row: &impl Serialize) -> ControlFlow<()> {
        if serde_json::to_writer(&mut self.waiting, row).is_err() {
            return ControlFlow::Break(());
        }
        self.waiting.push(b'\n');
        self.left = self.left.saturating_sub(1);
        if self.waiting.len() >= PIECE_BYTES {
            self.hand_over()?;
        }
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Waits until there is room. Breaks when nobody takes the rows any more, or nobody may.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let rows = Bytes::from(std::mem::take(&mut self.waiting));
        let entitled = self.caller.again(&self.app.view(), self.app.now());
        let piece = match entitled.filter(|now| now.sees_all() >= self.caller.sees_all()) {
            Some(_) => Piece::Rows(rows),
            None => Piece::Fault(Problem::new(Code::Unauthenticated, "the session ended during the search")),
        };
        let last = matches!(piece, Piece::Fault(_));
        match self.pieces.blocking_send(piece) {
            Ok(()) if !last => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    fn finish(mut self, end: Result<(), ReadError>) {
        let more = self.waiting.is_empty() || self.hand_over().is_continue();
        let end = match end {
            Ok(()) => Piece::End,
            Err(fault) => Piece::Fault(broken(&fault)),
        };
        if more {
            // Nobody waits for the end if this fails.
            let _ = self.pieces.blocking_send(end);
        }
    }
}

/// Runs a search beside the runtime and answers with what it finds.
async fn answer<S>(
    app: &App,
    caller: Caller,
    slot: OwnedSemaphorePermit,
    limit: Option<NonZeroUsize>,
    search: S,
) -> Result<Response, Problem>
where
    S: FnOnce(&Reader, &mut Rows) -> Result<(), ReadError> + Send + 'static,
{
    let (pieces, mut taken) = mpsc::channel(PIECES_MAX);
    let left = limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut rows = Rows { app: app.clone(), caller, pieces, waiting: Vec::new(), left };
    let directory = app.handles.journal.directory().to_owned();
    tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let end = Reader::open(directory).and_then(|reader| search(&reader, &mut rows));
        rows.finish(end);
    });
    // A search that fails before its first row is answered as a problem, and not as a broken answer.
    let first = match taken.recv().await {
        Some(Piece::Fault(problem)) => return Err(problem),
        None => return Err(unreadable()),
        Some(piece) => piece,
    };
    Ok(ndjson(first, taken))
}

fn ndjson(first: Piece, taken: mpsc::Receiver<Piece>) -> Response {
    let pieces = stream::unfold((Some(first), taken), |(first, mut taken)| async {
        let piece = match first {
            Some(first) => Some(first),
            None => taken.recv().await,
        };
        match piece {
            Some(Piece::Rows(rows)) => Some((Ok(rows), (None, taken))),
            Some(Piece::End) => None,
            Some(Piece::Fault(_)) | None => {
                Some((Err(io::Error::other("the search broke off")), (Some(Piece::End), taken)))
            }
        }
    });
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    ([(CONTENT_TYPE, ndjson)], AnswerBody::from_stream(pieces)).into_response()
}
