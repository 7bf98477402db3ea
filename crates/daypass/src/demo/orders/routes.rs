//! Every operation, in one table, and what happens before one is reached.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, patch, post, put};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use super::problem::Problem;
use super::recorder::{Recorder, Seen};
use super::{App, customer, debug, feed, fulfilment, order, payment, report};

/// The longest request body read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Who reaches an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Entry {
    /// Whoever brings the upstream key.
    Keyed,
    /// Anybody.
    Open,
}

/// One operation of the API, for tests that try them all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Operation {
    /// The method, in upper case.
    pub method: &'static str,
    /// The path template, as `/v1/orders/{id}`.
    pub template: &'static str,
    /// The contract's `operationId`.
    pub id: &'static str,
}

/// Every operation of the API, in the order of its contract.
pub fn operations() -> Vec<Operation> {
    routes().into_iter().map(|route| route.operation).collect()
}

/// An operation, who reaches it, and what answers.
struct Route {
    operation: Operation,
    entry: Entry,
    handler: MethodRouter<App>,
}

fn routes() -> Vec<Route> {
    vec![
        keyed("GET", "/v1/orders", "listOrders", get(order::list)),
        keyed("POST", "/v1/orders", "createOrder", post(order::create)),
        keyed("GET", "/v1/orders/{id}", "getOrder", get(order::show)),
        keyed("PATCH", "/v1/orders/{id}", "updateOrder", patch(order::update)),
        keyed("POST", "/v1/orders/{id}/cancel", "cancelOrder", post(order::cancel)),
        keyed("POST", "/v1/orders/{id}/refund", "refundOrder", post(payment::refund)),
        keyed("GET", "/v1/customers", "listCustomers", get(customer::list)),
        keyed("GET", "/v1/customers/{id}", "getCustomer", get(customer::show)),
        keyed("PUT", "/v1/customers/{id}", "updateCustomer", put(customer::update)),
        keyed("GET", "/v1/payments", "listPayments", get(payment::list)),
        keyed("GET", "/v1/payments/{id}", "getPayment", get(payment::show)),
        keyed("GET", "/v1/fulfilment", "listFulfilment", get(fulfilment::list)),
        keyed("GET", "/v1/fulfilment/{id}", "getFulfilment", get(fulfilment::show)),
        keyed("POST", "/v1/fulfilment/{id}/restart", "restartFulfilment", post(fulfilment::restart)),
        keyed("GET", "/v1/reports/sales", "salesReport", get(report::sales)),
        keyed("GET", "/v1/exports/orders", "exportOrders", get(report::export)),
        keyed("GET", "/v1/feed/ws", "orderFeed", get(feed::websocket)),
        keyed("GET", "/v1/feed/events", "orderEvents", get(feed::events)),
        keyed("GET", "/v1/debug/fail", "failOnDemand", get(debug::fail)),
        keyed("GET", "/v1/debug/headers", "showHeaders", get(debug::headers)),
        Route { entry: Entry::Open, ..keyed("GET", "/v1/health", "getHealth", get(debug::health)) },
    ]
}

/// The service: `recorder` sees every request, then the key is asked for, then the operation answers.
pub(super) fn router(app: App, recorder: Option<Recorder>) -> Router {
    let (open, closed): (Vec<_>, Vec<_>) = routes().into_iter().partition(|route| route.entry == Entry::Open);
    let closed = mount(closed)
        .method_not_allowed_fallback(method_unsupported)
        .fallback(operation_unknown)
        .layer(from_fn_with_state(app.clone(), require_key));
    let router = closed.merge(mount(open)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(app);
    match recorder {
        Some(recorder) => router.layer(from_fn_with_state(recorder, record)),
        None => router,
    }
}

fn keyed(
    method: &'static str,
    template: &'static str,
    id: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    Route { operation: Operation { method, template, id }, entry: Entry::Keyed, handler }
}

fn mount(routes: Vec<Route>) -> Router<App> {
    let empty = Router::new();
    routes.into_iter().fold(empty, |router, route| router.route(route.operation.template, route.handler))
}

async fn record(State(recorder): State<Recorder>, request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query();
    recorder.record(Seen {
        method: request.method().clone(),
        path_and_query: target.map_or_else(String::new, ToString::to_string),
        headers: request.headers().clone(),
    });
    next.run(request).await
}

async fn require_key(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    if !carries_key(request.headers(), &app.upstream_key) {
        let detail = "this API wants its own key in `Authorization: Bearer …`";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "key_missing_or_wrong", detail));
    }
    Ok(next.run(request).await)
}

/// Exactly one `Authorization`, with the key and nothing else.
fn carries_key(headers: &HeaderMap, key: &str) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer ")) == Some(key)
}

async fn operation_unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "operation_unknown", "no operation has this path")
}

async fn method_unsupported() -> Problem {
    let detail = "the path has other operations, but none of this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_unsupported", detail)
}
