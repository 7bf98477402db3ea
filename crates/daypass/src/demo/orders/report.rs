//! Operations tagged `reports`: one that is slow and one that is large, as asked.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;

use super::App;
use super::bounded::Number;
use super::model::Sales;
use super::problem::Query;

/// How long the report takes unless asked otherwise.
const DELAY_MS: u64 = 1_500;

/// The size of an export unless asked otherwise: 1 MiB.
const EXPORT_BYTES: u64 = 1 << 20;

/// The largest export: 1 GiB.
const EXPORT_BYTES_MAX: u64 = 1 << 30;

/// What follows a row's place, to make it 64 bytes long.
const ROW_END: &[u8; 52] = b",a row of the export is sixty-four bytes of its own\n";

/// Rows written at once.
const CHUNK_ROWS: u64 = 1_024;

/// Their length: 64 KiB.
const CHUNK_BYTES: usize = 64 * 1_024;

#[derive(Deserialize)]
pub(super) struct Slowness {
    delay_ms: Option<Number<0, 60_000>>,
}

#[derive(Deserialize)]
pub(super) struct Size {
    bytes: Option<Number<0, EXPORT_BYTES_MAX>>,
}

pub(super) async fn sales(State(app): State<App>, Query(slowness): Query<Slowness>) -> Json<Sales> {
    let delay_ms = slowness.delay_ms.map_or(DELAY_MS, Number::value);
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    Json(app.book.open().sales())
}

/// Rows are made while they are sent, so that an export needs 64 KiB whatever its size.
pub(super) async fn export(Query(size): Query<Size>) -> impl IntoResponse {
    let bytes = size.bytes.map_or(EXPORT_BYTES, Number::value);
    let chunks = stream::unfold((0, bytes), |(row, left)| async move {
        let chunk = rows(row, usize::try_from(left).ok().filter(|&left| left > 0)?);
        let left = left.saturating_sub(chunk.len() as u64);
        Some((Ok::<_, std::convert::Infallible>(chunk), (row.saturating_add(CHUNK_ROWS), left)))
    });
    let headers = [(CONTENT_TYPE, "text/csv".to_owned()), (CONTENT_LENGTH, bytes.to_string())];
    (headers, Body::from_stream(chunks))
}

/// Up to [`CHUNK_ROWS`] rows from `first` on, cut to `bytes_max`. Every row tells its place, so that a
/// lost, doubled or moved piece shows.
fn rows(first: u64, bytes_max: usize) -> Bytes {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for row in first..first.saturating_add(CHUNK_ROWS) {
        chunk.extend_from_slice(&place(row));
        chunk.extend_from_slice(ROW_END);
    }
    chunk.truncate(bytes_max);
    Bytes::from(chunk)
}

/// `row` in twelve digits.
fn place(row: u64) -> [u8; 12] {
    let (mut digits, mut rest) = ([b'0'; 12], row);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | (rest % 10) as u8;
        rest /= 10;
    }
    digits
}
