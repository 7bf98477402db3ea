//! Is it alive, is it ready, how is it: for orchestrators, for metrics, for people.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use access::Revision;
use ledger::keeper::HEARTBEAT;

use crate::console::{App, Shared};
use crate::handles::{Configuration, NodeHealth};
use crate::session::Caller;

/// The process answers. Nothing else is claimed.
pub(crate) async fn livez() -> &'static str {
    "live\n"
}

/// 200 when the node would serve a request now, else 503 with a line for each thing in the way.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let why = app.handles.vitals.health().why;
    if why.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = why.iter().map(|line| format!("{line}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let mut text = String::new();
    app.handles.vitals.metrics(&mut text);
    let open_metrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, open_metrics)], text).into_response()
}

#[derive(Serialize)]
struct Status {
    ready: bool,
    why: Vec<String>,
    nodes: Vec<NodeHealth>,
    configuration: Configuration,
    ledger: LedgerStatus,
    journal: JournalStatus,
    view: ViewStatus,
    fail_open_minutes: u64,
}

#[derive(Serialize)]
struct JournalStatus {
    size: u64,
    lag_ms: u64,
    /// There are no checkpoints yet.
    checkpoint_age_ms: Option<u64>,
    spooled: u64,
    writable: bool,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct LedgerStatus {
    revision: Revision,
    /// One at each revision.
    events: u64,
    writable: bool,
}

/// How long the ledger may prove nothing before it counts as out: three of its beats. A ledger that is locked or
/// cannot be written proves nothing.
const LEDGER_SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(3);

#[derive(Serialize)]
struct ViewStatus {
    revision: Revision,
    age_ms: u64,
}

pub(crate) async fn status(State(app): State<App>, caller: Caller) -> Response {
    let mut health = app.handles.vitals.health();
    if let Some(failed) = health.configuration.failed.as_mut().filter(|_| !caller.sees_all()) {
        // What a file of the server's says is not for everybody.
        failed.why.clear();
    }
    let head = *app.handles.keeper.head().borrow();
    Json(Status {
        ready: health.why.is_empty(),
        why: health.why,
        nodes: health.nodes,
        configuration: health.configuration,
        ledger: LedgerStatus {
            revision: head,
            events: head.number(),
            writable: u128::from(health.view_age_ms) <= LEDGER_SILENCE_MAX.as_millis(),
        },
        journal: journal_status(&app, health.spooled),
        view: ViewStatus { revision: app.view().revision, age_ms: health.view_age_ms },
        // Nothing fails open.
        fail_open_minutes: 0,
    })
    .into_response()
}

fn journal_status(app: &Shared, spooled: u64) -> JournalStatus {
    let journal = app.handles.journal.health();
    JournalStatus {
        size: journal.size,
        lag_ms: journal.lag_ms,
        checkpoint_age_ms: None,
        spooled,
        writable: journal.writable == journal::Writable::Yes,
        last_error: journal.last_error,
    }
}
