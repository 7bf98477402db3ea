//! Requests as they end, as server-sent events.
//!
//! A stream starts at the present end of the journal. It lasts as long as the caller may read: their session is
//! judged again before each look at the journal, so a revoked session ends its stream within [`LOOK_EVERY`].
//! At most [`STREAMS_MAX`] streams are open at once, and each holds at most one look's rows.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use journal::{Event, Reader, RequestRow, Tail};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::audit::{broken, may_see, note};
use crate::console::{App, STREAMS_MAX};
use crate::problem::{Code, Problem};
use crate::serve::Stopping;
use crate::session::Caller;

/// How often the journal is looked at for new rows.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a comment shows that the stream is alive.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct From {
    leaf: u64,
}

/// One caller's stream.
struct Live {
    app: App,
    caller: Caller,
    stopping: Option<Stopping>,
    tail: Option<Tail>,
    rows: VecDeque<RequestRow>,
    _slot: OwnedSemaphorePermit,
}

pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    stopping: Option<Extension<Stopping>>,
) -> Result<Response, Problem> {
    let slot = app.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS_MAX} live streams are open, which is the most at once");
        Problem::new(Code::Overloaded, detail)
    })?;
    let leaf = app.handles.journal.health().size;
    note(&app, &caller, "follow_requests", &From { leaf }).await?;
    let reader = Reader::open(app.handles.journal.directory()).map_err(|fault| broken(&app, &fault))?;
    let live = Live {
        tail: Some(reader.follow(leaf)),
        stopping: stopping.map(|Extension(stopping)| stopping),
        rows: VecDeque::new(),
        _slot: slot,
        app,
        caller,
    };
    let rows = stream::unfold(live, |mut live| async { live.next().await.map(|sent| (sent, live)) });
    Ok(Sse::new(rows).keep_alive(KeepAlive::new().interval(HEARTBEAT_EVERY)).into_response())
}

impl Live {
    async fn next(&mut self) -> Option<Result<Sent, Infallible>> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                let json = serde_json::to_string(&row).unwrap_or_default();
                return Some(Ok(Sent::default().event("request").data(json)));
            }
            self.caller = self.caller.again(&self.app.view(), self.app.now())?;
            if !self.look().await? {
                self.pause().await?;
            }
        }
    }

    /// Takes what is new; whether anything was. `None`: the journal cannot be followed any more.
    async fn look(&mut self) -> Option<bool> {
        let mut tail = self.tail.take()?;
        let looked = tokio::task::spawn_blocking(move || {
            let events = tail.next_rows();
            (tail, events)
        });
        let (tail, events) = looked.await.ok()?;
        self.tail = Some(tail);
        let events = events.inspect_err(|fault| drop(broken(&self.app, fault))).ok()?;
        let any = !events.is_empty();
        let requests = events.into_iter().filter_map(|event| match event {
            Event::Request(row) => Some(*row),
            Event::Change(_) | Event::Note(_) => None,
        });
        self.rows.extend(requests.filter(|row| may_see(&self.caller, row)));
        Some(any)
    }

    /// Waits for a moment. `None`: the listener stops.
    async fn pause(&mut self) -> Option<()> {
        let Some(stopping) = &mut self.stopping else {
            tokio::time::sleep(LOOK_EVERY).await;
            return Some(());
        };
        tokio::select! {
            () = stopping.stopped() => None,
            () = tokio::time::sleep(LOOK_EVERY) => Some(()),
        }
    }
}
