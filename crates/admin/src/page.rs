//! What a browser finds: a plain page without scripts, and the description of the API.

use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

/// The description of every route, kept by hand and checked against the table by a test.
pub const OPENAPI: &str = include_str!("openapi.json");

const INDEX: &str = include_str!("index.html");

pub(crate) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

pub(crate) async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], OPENAPI).into_response()
}
