//! Operations tagged `payments`.

use axum::Json;
use axum::extract::State;

use super::App;
use super::model::{NewRefund, OrderId, Page, Payment, PaymentFilter, PaymentId, Refund};
use super::problem::{Body, Problem, Query, Segment};

pub(super) async fn list(State(app): State<App>, Query(filter): Query<PaymentFilter>) -> Json<Page<Payment>> {
    Json(app.book.open().payments(&filter))
}

pub(super) async fn show(
    State(app): State<App>,
    Segment(id): Segment<PaymentId>,
) -> Result<Json<Payment>, Problem> {
    Ok(Json(app.book.open().payment(id)?))
}

pub(super) async fn refund(
    State(app): State<App>,
    Segment(id): Segment<OrderId>,
    Body(refund): Body<NewRefund>,
) -> Result<Json<Refund>, Problem> {
    Ok(Json(app.book.open().refund(id, refund)?))
}
