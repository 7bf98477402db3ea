//! Operations tagged `fulfilment`; restarting one is also tagged `incident`.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::App;
use super::model::{Fulfilment, FulfilmentFilter, OrderId, Page};
use super::problem::{Problem, Query, Segment};

pub(super) async fn list(
    State(app): State<App>,
    Query(filter): Query<FulfilmentFilter>,
) -> Json<Page<Fulfilment>> {
    Json(app.book.open().fulfilments(&filter))
}

pub(super) async fn show(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
) -> Result<Json<Fulfilment>, Problem> {
    Ok(Json(app.book.open().fulfilment(id)?))
}

pub(super) async fn restart(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
) -> Result<(StatusCode, Json<Fulfilment>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(app.book.open().restart(id)?)))
}
