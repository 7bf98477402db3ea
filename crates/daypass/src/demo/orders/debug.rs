//! Operations tagged `debug`, and `getHealth`: for seeing what arrives and what a failure looks like.

use std::collections::BTreeMap;
use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::App;
use super::bounded::Number;
use super::problem::{Problem, Query};

#[derive(Deserialize)]
pub(super) struct Failure {
    status: Option<Number<400, 599>>,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Status,
    Reset,
    Hang,
}

#[derive(Serialize)]
pub(super) struct Received {
    headers: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    orders: usize,
}

pub(super) async fn fail(Query(failure): Query<Failure>) -> Response {
    match failure.mode {
        Mode::Status => answer(failure.status.map_or(500, Number::value)),
        Mode::Reset => broken_off(),
        Mode::Hang => std::future::pending().await,
    }
}

/// Shows what arrived, but the value of this API's own key: who calls through a proxy is not to learn it.
pub(super) async fn headers(State(app): State<App>, headers: HeaderMap) -> Json<Received> {
    let own = format!("Bearer {}", app.upstream_key);
    let mut received = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let shown = if value == own { "(this API's own key)".to_owned() } else { value };
        received.entry(name.to_string()).or_default().push(shown);
    }
    Json(Received { headers: received })
}

pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health { status: "ok", orders: app.book.open().size() })
}

fn answer(status: u64) -> Response {
    let status = u16::try_from(status).ok().and_then(|number| StatusCode::from_u16(number).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(status, "asked_to_fail", "this answer was asked for").into_response()
}

/// Promises 1024 bytes, sends 64 and closes the connection.
fn broken_off() -> Response {
    let pieces = stream::unfold(0, |piece| async move {
        if piece == 0 {
            return Some((Ok(Bytes::from_static(&[b'.'; 64])), 1));
        }
        // The first piece leaves for the client while this waits its turn.
        tokio::task::yield_now().await;
        Some((Err(io::Error::other("asked to break off")), piece))
    });
    ([(CONTENT_LENGTH, "1024")], Body::from_stream(pieces)).into_response()
}
