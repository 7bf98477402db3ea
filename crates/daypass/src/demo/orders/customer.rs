//! Operations tagged `customers`: personal data, made up.

use axum::Json;
use axum::extract::State;

use super::App;
use super::model::{Customer, CustomerChange, CustomerId, Page, Window};
use super::problem::{Body, Problem, Query, Segment};

pub(super) async fn list(State(app): State<App>, Query(window): Query<Window>) -> Json<Page<Customer>> {
    Json(app.book.open().customers(window))
}

pub(super) async fn show(
    State(app): State<App>,
    Segment(id): Segment<CustomerId>,
) -> Result<Json<Customer>, Problem> {
    Ok(Json(app.book.open().customer(id)?.clone()))
}

pub(super) async fn update(
    State(app): State<App>,
    Segment(id): Segment<CustomerId>,
    Body(change): Body<CustomerChange>,
) -> Result<Json<Customer>, Problem> {
    Ok(Json(app.book.open().change_customer(id, change)?))
}
