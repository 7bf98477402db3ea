//! What there is: APIs with their operations, and roles with their rules. Everybody with a session may read it.

use access::operation::{Method, Operation};
use access::policy::{Api, Route};
use access::role::Rule;
use access::{ApiName, RoleName};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::console::App;
use crate::json::Place;
use crate::known;
use crate::problem::{Code, Problem};

#[derive(Serialize)]
struct ApiRow<'a> {
    api: &'a ApiName,
    route: String,
    contract: bool,
    operations: usize,
}

impl<'a> From<&'a Api> for ApiRow<'a> {
    fn from(api: &'a Api) -> Self {
        Self {
            api: &api.name,
            route: shown_route(&api.route),
            contract: api.operations.is_some(),
            operations: api.operations.as_ref().map_or(0, Vec::len),
        }
    }
}

fn shown_route(route: &Route) -> String {
    match route {
        Route::Prefix(prefix) => format!("/{prefix}"),
        Route::Host(host) => host.to_string(),
    }
}

pub(crate) async fn apis(State(app): State<App>) -> Response {
    let view = app.view();
    let rows: Vec<ApiRow<'_>> = view.policy.policy().apis.iter().map(Into::into).collect();
    Json(rows).into_response()
}

#[derive(Serialize)]
struct ApiPage<'a> {
    api: &'a ApiName,
    route: String,
    contract: bool,
    operations: Vec<OperationRow<'a>>,
}

#[derive(Serialize)]
struct OperationRow<'a> {
    operation: &'a str,
    method: Method,
    path: &'a str,
    tags: &'a [Box<str>],
}

impl<'a> From<&'a Operation> for OperationRow<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self {
            operation: &operation.name,
            method: operation.method,
            path: operation.template.as_str(),
            tags: &operation.tags,
        }
    }
}

pub(crate) async fn api(State(app): State<App>, Place(name): Place) -> Result<Response, Problem> {
    let view = app.view();
    let found = view.policy.policy().apis.iter().find(|api| api.name.as_str() == name);
    let api = found.ok_or_else(|| {
        Problem::new(Code::NotFound, "there is no API of this name").next(known::advice_on_api(&view, &name))
    })?;
    let page = ApiPage {
        api: &api.name,
        route: shown_route(&api.route),
        contract: api.operations.is_some(),
        operations: api.operations.iter().flatten().map(Into::into).collect(),
    };
    Ok(Json(page).into_response())
}

#[derive(Serialize)]
struct RoleRow<'a> {
    role: &'a RoleName,
    allow: &'a [Rule],
    deny: &'a [Rule],
    rate: Option<String>,
}

pub(crate) async fn roles(State(app): State<App>) -> Response {
    let view = app.view();
    let roles = view.policy.policy().roles.iter();
    let rows: Vec<RoleRow<'_>> = roles
        .map(|(role, rules)| RoleRow {
            role,
            allow: &rules.allow,
            deny: &rules.deny,
            rate: rules.rate.map(|rate| rate.to_string()),
        })
        .collect();
    Json(rows).into_response()
}
