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
use crate::handles::{
    AcmeHealth, CertificateHealth, Configuration, FailedReload, NodeHealth, UpstreamHealth,
};
use crate::session::Caller;

/// The process answers. Nothing else is claimed.
pub(crate) async fn livez() -> &'static str {
    "live\n"
}

/// 200 when the node would serve a request now, else 503 with a line for each thing in the way.
///
/// A ledger that cannot be written is in the way of commands and of no request, and a journal whose past is damaged
/// in the way of readers only: a line of its own after either.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let why = app.handles.vitals.health().why;
    let status = if why.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ready = why.is_empty().then(|| "ready".to_owned());
    let fault = app.handles.keeper.write_fault();
    let ledger = fault.map(|fault| format!("the ledger cannot be written: {fault}"));
    let damage = app.handles.journal.health().damage;
    let journal = damage.map(|damage| format!("the journal is damaged: {damage}"));
    let lines = why.into_iter().chain(ready).chain(ledger).chain(journal);
    (status, lines.map(|line| line + "\n").collect::<String>()).into_response()
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
    takeover: Option<FailedReload>,
    upstreams: Vec<UpstreamHealth>,
    certificates: Vec<CertificateHealth>,
    acme: Option<AcmeHealth>,
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
    /// What of the past a reader found damaged.
    damage: Option<String>,
}

#[derive(Serialize)]
struct LedgerStatus {
    revision: Revision,
    /// One at each revision.
    events: u64,
    /// Whether the last write succeeded, and the ledger answers.
    writable: bool,
    /// What the last write failed with.
    last_error: Option<String>,
}

/// How long the ledger may prove nothing before it counts as out: three of its beats. A ledger that is locked
/// proves nothing, whether or not anybody has tried to write.
const LEDGER_SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(3);

#[derive(Serialize)]
struct ViewStatus {
    revision: Revision,
    age_ms: u64,
}

pub(crate) async fn status(State(app): State<App>, caller: Caller) -> Response {
    let mut health = app.handles.vitals.health();
    if !caller.sees_all() {
        // What a file of the server's says is not for everybody, nor where APIs run.
        if let Some(failed) = &mut health.configuration.failed {
            failed.why.clear();
        }
        if let Some(failed) = &mut health.takeover {
            failed.why.clear();
        }
        health.upstreams.clear();
        for node in &mut health.nodes {
            (node.pid, node.program) = (None, None);
        }
    }
    Json(Status {
        ready: health.why.is_empty(),
        why: health.why,
        nodes: health.nodes,
        configuration: health.configuration,
        takeover: health.takeover,
        upstreams: health.upstreams,
        certificates: health.certificates,
        acme: health.acme,
        ledger: ledger_status(&app, health.view_age_ms),
        journal: journal_status(&app, health.spooled),
        view: ViewStatus { revision: app.view().revision, age_ms: health.view_age_ms },
        // Nothing fails open.
        fail_open_minutes: 0,
    })
    .into_response()
}

fn ledger_status(app: &Shared, silent_ms: u64) -> LedgerStatus {
    let head = *app.handles.keeper.head().borrow();
    let fault = app.handles.keeper.write_fault();
    LedgerStatus {
        revision: head,
        events: head.number(),
        writable: fault.is_none() && u128::from(silent_ms) <= LEDGER_SILENCE_MAX.as_millis(),
        last_error: fault.map(|fault| fault.to_string()),
    }
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
        damage: journal.damage,
    }
}
