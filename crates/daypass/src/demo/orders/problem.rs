//! Refusals as RFC 9457 problems, and parts of a request parsed or refused as such.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::state::Fault;

/// An answer that says no, and why.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: String,
    code: &'static str,
}

/// A JSON body of at most 64 KiB.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Body<T>(pub(super) T);

/// The query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// The one variable segment of a path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Segment<T>(pub(super) T);

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self { r#type: "about:blank", title, status, detail: detail.into(), code }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (status, code) = match fault {
            Fault::OrderUnknown(_) => (StatusCode::NOT_FOUND, "order_unknown"),
            Fault::CustomerUnknown(_) => (StatusCode::NOT_FOUND, "customer_unknown"),
            Fault::PaymentUnknown(_) => (StatusCode::NOT_FOUND, "payment_unknown"),
            Fault::SkuUnknown(_) => (StatusCode::BAD_REQUEST, "sku_unknown"),
            Fault::OrderClosed(_) => (StatusCode::CONFLICT, "order_closed"),
            Fault::RefundTooHigh { .. } => (StatusCode::CONFLICT, "refund_too_high"),
            Fault::BookFull => (StatusCode::INSUFFICIENT_STORAGE, "book_full"),
        };
        Self::new(status, code, fault.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, "body_invalid", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "query_invalid", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "path_invalid", rejection.body_text())
    }
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
