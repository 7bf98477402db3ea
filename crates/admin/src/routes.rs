//! Every route of the console and who may use it, in one table.
//!
//! A route stands here or does not exist; its permission is checked before its handler runs, and handlers that
//! act for somebody take a [`Caller`], which only that check provides. What an allowed caller may do in detail
//! (their own grants, not others') is decided by `control` and by each handler.
//! Tests keep a snapshot of this table × callers, and of this table against the published OpenAPI description.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};

use crate::console::App;
use crate::json::BODY_BYTES_MAX;
use crate::problem::{Code, Problem};
use crate::session::{Caller, Door, Shown, identify};
use crate::{audit, catalog, grants, health, live, page, revoke, services, session};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Whoever reaches the listener.
    Open,
    /// Everybody with a session, and callers through the socket.
    Anyone,
    /// Auditors and administrators.
    Auditor,
    /// Administrators.
    Administrator,
    /// Callers through the server's own socket.
    Socket,
}

impl Permission {
    fn check(self, caller: &Caller) -> Result<(), Problem> {
        let ask = "ask one of them: `console:` in the configuration names them; on the server's own machine \
                   its user is one, with `--local`";
        let (holds, who, next) = match self {
            Self::Open | Self::Anyone => (true, "everybody", ask),
            Self::Auditor => (caller.sees_all(), "auditors and administrators", ask),
            Self::Administrator => (caller.administrator, "administrators", ask),
            Self::Socket => (
                matches!(caller.shown, Shown::Socket),
                "callers on the server's own machine, through its socket",
                "run it there with `--local`, as the server's user",
            ),
        };
        if holds {
            return Ok(());
        }
        Err(Problem::new(Code::NotAllowed, format!("this is for {who}")).next(next))
    }
}

/// One row of the table.
pub struct Route {
    /// The method, in capitals.
    pub method: &'static str,
    /// The path, with places in braces.
    pub path: &'static str,
    /// Who may use it.
    pub permission: Permission,
    handler: fn() -> MethodRouter<App>,
}

const fn row(
    method: &'static str,
    path: &'static str,
    permission: Permission,
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route { method, path, permission, handler }
}

use Permission::{Administrator, Anyone, Auditor, Open, Socket};

/// Every route there is.
pub const ROUTES: &[Route] = &[
    row("GET", "/", Open, || get(page::index)),
    row("GET", "/livez", Open, || get(health::livez)),
    row("GET", "/readyz", Open, || get(health::readyz)),
    row("GET", "/metrics", Open, || get(health::metrics)),
    row("GET", "/api/openapi.json", Open, || get(page::openapi)),
    row("GET", "/api/v1/whoami", Anyone, || get(session::whoami)),
    row("GET", "/api/v1/status", Anyone, || get(health::status)),
    row("GET", "/api/v1/apis", Anyone, || get(catalog::apis)),
    row("GET", "/api/v1/apis/{api}", Anyone, || get(catalog::api)),
    row("GET", "/api/v1/roles", Anyone, || get(catalog::roles)),
    row("GET", "/api/v1/grants", Anyone, || get(grants::list)),
    row("POST", "/api/v1/grants", Administrator, || post(grants::give)),
    row("POST", "/api/v1/tokens", Anyone, || post(grants::mint)),
    row("GET", "/api/v1/services", Auditor, || get(services::list)),
    row("POST", "/api/v1/services", Administrator, || post(services::add)),
    row("POST", "/api/v1/services/{name}/rotate", Administrator, || post(services::rotate)),
    row("DELETE", "/api/v1/services/{name}", Administrator, || delete(services::remove)),
    row("POST", "/api/v1/sessions", Socket, || post(session::open)),
    row("DELETE", "/api/v1/sessions/current", Anyone, || delete(session::close)),
    row("POST", "/api/v1/revocations", Anyone, || post(revoke::revoke)),
    row("GET", "/api/v1/audit/requests", Anyone, || get(audit::requests)),
    row("GET", "/api/v1/audit/changes", Anyone, || get(audit::changes)),
    row("GET", "/api/v1/explain/{id}", Anyone, || get(audit::explain)),
    row("GET", "/api/v1/journal/stream", Anyone, || get(live::stream)),
];

/// What stands between a request and a handler.
#[derive(Clone)]
struct Gate {
    app: App,
    door: Door,
    permission: Permission,
}

/// The routes, for requests that come by `door`.
pub(crate) fn router(app: &App, door: &Door) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |router, route| {
        let gate = Gate { app: app.clone(), door: door.clone(), permission: route.permission };
        let guarded = (route.handler)().route_layer(middleware::from_fn_with_state(gate, guard));
        router.route(route.path, guarded)
    });
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(harden))
        .with_state(app.clone())
}

async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.permission != Permission::Open {
        match gate.admit(&request) {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(problem) => return problem.into_response(),
        };
    }
    next.run(request).await
}

impl Gate {
    fn admit(&self, request: &Request) -> Result<Caller, Problem> {
        let caller = identify(&self.app.view(), &self.door, request.headers(), self.app.now())?;
        self.permission.check(&caller)?;
        Ok(caller)
    }
}

async fn no_route() -> Problem {
    Problem::new(Code::NotFound, "there is no such path").next("`/api/openapi.json` describes every path")
}

async fn no_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path takes other methods")
        .next("`/api/openapi.json` describes every path")
}

/// A header that every answer of a console has and no other server's: `daypass` believes no answer without it.
pub const CONSOLE_HEADER: HeaderName = HeaderName::from_static("daypass-console");

/// Headers that every answer has: what answers is named, and nothing is cached, sniffed, framed or run.
async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (CONSOLE_HEADER, "1"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
