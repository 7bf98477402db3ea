//! Operations tagged `feed`: the orders in turn, one a second, over a WebSocket or as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::StatusCode;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::bounded::Number;
use super::problem::{Problem, Query};

/// From one message to the next unless asked otherwise.
const INTERVAL_MS: u64 = 1_000;

/// The longest message taken from a client of the WebSocket.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// How many messages, and how fast. Without a count a feed ends only with its connection.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Pace {
    count: Option<Number<1, 1_000_000>>,
    interval_ms: Option<Number<1, 60_000>>,
}

impl Pace {
    fn count(self) -> u64 {
        self.count.map_or(u64::MAX, Number::value)
    }

    fn ticks(self) -> Interval {
        let interval_ms = self.interval_ms.map_or(INTERVAL_MS, Number::value);
        let mut ticks = interval(Duration::from_millis(interval_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

pub(super) async fn events(
    State(app): State<App>,
    Query(pace): Query<Pace>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let start = (pace.ticks(), 1, app);
    Sse::new(stream::unfold(start, move |(mut ticks, sequence, app)| async move {
        if sequence > pace.count() {
            return None;
        }
        ticks.tick().await;
        let event = Event::default().event("order").id(sequence.to_string()).data(message(&app, sequence));
        Some((Ok(event), (ticks, sequence.saturating_add(1), app)))
    }))
}

/// Sends the feed, and answers each text with `{"echo": …}`.
pub(super) async fn websocket(
    State(app): State<App>,
    Query(pace): Query<Pace>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade
        .map_err(|rejection| Problem::new(rejection.status(), "upgrade_expected", rejection.body_text()))?;
    let place =
        app.feeds.clone().try_acquire_owned().map_err(|_| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "feeds_full", "every feed is taken")
        })?;
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| until_closing(socket, app, pace, place)).into_response())
}

/// Holds its place among the feeds for as long as the socket is open.
async fn until_closing(socket: WebSocket, app: App, pace: Pace, place: OwnedSemaphorePermit) {
    tokio::select! {
        () = app.closing.cancelled() => {}
        _ended = converse(socket, &app, pace) => {}
    }
    drop(place);
}

async fn converse(mut socket: WebSocket, app: &App, pace: Pace) -> Result<(), axum::Error> {
    let mut ticks = pace.ticks();
    let mut sequence = 0;
    while sequence < pace.count() {
        tokio::select! {
            _tick = ticks.tick() => {
                sequence = sequence.saturating_add(1);
                socket.send(Message::text(message(app, sequence))).await?;
            }
            received = socket.recv() => match received.transpose()? {
                Some(Message::Text(text)) => socket.send(echo(text.as_str())).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => {}
            },
        }
    }
    socket.send(Message::Close(None)).await
}

fn echo(text: &str) -> Message {
    Message::text(serde_json::json!({ "echo": text }).to_string())
}

fn message(app: &App, sequence: u64) -> String {
    let event = app.book.open().event(sequence);
    serde_json::to_string(&event).unwrap_or_default()
}
