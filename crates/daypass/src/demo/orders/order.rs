//! Operations tagged `orders`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::LOCATION;

use super::App;
use super::model::{NewOrder, Order, OrderChange, OrderFilter, OrderId, Page};
use super::problem::{Body, Problem, Query, Segment};

pub(super) async fn list(State(app): State<App>, Query(filter): Query<OrderFilter>) -> Json<Page<Order>> {
    Json(app.book.open().orders(&filter))
}

/// Says where the order is relative to the request, so that it holds behind a path prefix too.
pub(super) async fn create(
    State(app): State<App>,
    Body(new): Body<NewOrder>,
) -> Result<impl IntoResponse, Problem> {
    let order = app.book.open().create(new)?;
    let location = [(LOCATION, format!("orders/{}", order.id))];
    Ok((StatusCode::CREATED, location, Json(order)))
}

pub(super) async fn show(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
) -> Result<Json<Order>, Problem> {
    Ok(Json(app.book.open().order(id)?))
}

pub(super) async fn update(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
    Body(change): Body<OrderChange>,
) -> Result<Json<Order>, Problem> {
    if change.note.is_none() && change.priority.is_none() {
        let detail = "expected `note`, `priority` or both";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "body_invalid", detail));
    }
    Ok(Json(app.book.open().change(id, change)?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
) -> Result<Json<Order>, Problem> {
    Ok(Json(app.book.open().cancel(id)?))
}
