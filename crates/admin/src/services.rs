//! Services and their keys.
//!
//! A key's text is in the answer that made it and nowhere else.

use std::collections::BTreeSet;

use access::credential::CredentialKind;
use access::id::Name;
use access::view::Key;
use access::{KeyId, Lifetime, RoleName, Secret, Timestamp};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::{Act, command};
use http::StatusCode;
use ledger::Executed;
use serde::{Deserialize, Serialize};

use crate::console::{App, vanished};
use crate::grants::{ROWS_MAX, state_of};
use crate::json::{self, Body, Place, parse};
use crate::problem::Problem;
use crate::session::Caller;

#[derive(Serialize)]
struct ServiceRow<'a> {
    name: &'a Name,
    id: KeyId,
    roles: &'a [RoleName],
    since: String,
    expires: String,
    state: &'static str,
}

impl<'a> ServiceRow<'a> {
    fn of(key: &'a Key, now: Timestamp) -> Self {
        Self {
            name: &key.service,
            id: key.id,
            roles: &key.roles,
            since: key.since.to_string(),
            expires: key.until.to_string(),
            state: state_of(&key.standing, key.until, now),
        }
    }
}

/// Each service that is not removed, with its newest key.
pub(crate) async fn list(State(app): State<App>) -> Response {
    let (state, now) = (app.handles.keeper.state(), app.now());
    let rows: Vec<ServiceRow<'_>> =
        state.services().take(ROWS_MAX).map(|key| ServiceRow::of(key, now)).collect();
    Json(rows).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddService {
    name: Name,
    roles: Vec<RoleName>,
    #[serde(rename = "for", deserialize_with = "json::lifetime")]
    lifetime: Lifetime,
}

#[derive(Serialize)]
struct KeyMade<'a> {
    name: &'a Name,
    id: KeyId,
    key: &'a str,
    expires: String,
}

pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<AddService>,
) -> Result<Response, Problem> {
    let id = KeyId::new(app.now(), app.random());
    let (secret, digest) = app.mint(CredentialKind::Key);
    let AddService { name, mut roles, lifetime } = asked;
    // A role that is named twice is held once.
    let mut named = BTreeSet::new();
    roles.retain(|role| named.insert(role.clone()));
    let act = Act::AddService(command::AddService { id, digest, name, roles, lifetime });
    let done = app.execute(&caller, act).await?;
    show_once(&done, id, &secret)
}

fn show_once(done: &Executed, id: KeyId, secret: &Secret) -> Result<Response, Problem> {
    let key = done.state.key(id).ok_or_else(vanished)?;
    let made = KeyMade {
        name: &key.service,
        id: key.id,
        key: secret.expose_str().unwrap_or_default(),
        expires: key.until.to_string(),
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateService {
    #[serde(default, rename = "for", deserialize_with = "json::optional_lifetime")]
    lifetime: Option<Lifetime>,
}

pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Place(name): Place,
    Body(asked): Body<RotateService>,
) -> Result<Response, Problem> {
    let id = KeyId::new(app.now(), app.random());
    let (secret, digest) = app.mint(CredentialKind::Key);
    let (name, lifetime) = (parse(&name)?, asked.lifetime);
    let act = Act::RotateService(command::RotateService { id, digest, name, lifetime });
    let done = app.execute(&caller, act).await?;
    crate::revoke::cut(&app, done.revision).await;
    show_once(&done, id, &secret)
}

#[derive(Serialize)]
struct ServiceRemoved {
    name: Name,
    revision: access::Revision,
}

pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Place(name): Place,
) -> Result<Response, Problem> {
    let name: Name = parse(&name)?;
    let done = app.execute(&caller, Act::RemoveService { name: name.clone() }).await?;
    crate::revoke::cut(&app, done.revision).await;
    Ok(Json(ServiceRemoved { name, revision: done.revision }).into_response())
}
