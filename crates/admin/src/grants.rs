//! Grants and the tokens minted from them.
//!
//! A token's text is in the answer that made it and nowhere else.
//! Not here: who may give what to whom (`control` decides), and asking for a grant (there is no approval yet).

use std::sync::Arc;

use access::credential::CredentialKind;
use access::id::Name;
use access::role::MethodPath;
use access::view::{Grant, Standing, View};
use access::{GrantId, IncidentId, Lifetime, RoleName, SubjectId, SubjectKind, Timestamp, TokenId};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::{Act, command};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::console::{App, vanished};
use crate::json::{self, Asked, Body};
use crate::known;
use crate::problem::{Code, Problem};
use crate::session::{Caller, Shown};

/// The most rows one listing answers with: the newest.
pub const ROWS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Only this person's; auditors and administrators see everybody's, others their own.
    #[serde(default)]
    user: Option<SubjectId>,
}

impl Which {
    /// Whose grants the caller gets; `None` is everybody's.
    fn subject(self, caller: &Caller, view: &View) -> Result<Option<SubjectId>, Problem> {
        match self.user {
            Some(user) if user == caller.subject => Ok(Some(user)),
            Some(_) if !caller.sees_all() => {
                let detail = "the grants of others are for auditors and administrators";
                Err(Problem::new(Code::NotAllowed, detail).next("leave out `user` to see your own"))
            }
            Some(user) if known::knows_subject(view, user.name().as_str(), Some(user.kind())) => {
                Ok(Some(user))
            }
            Some(user) => Err(known::no_user(view, &user)),
            None if caller.sees_all() => Ok(None),
            None => Ok(Some(caller.subject.clone())),
        }
    }
}

#[derive(Serialize)]
struct GrantRow<'a> {
    grant: GrantId,
    role: &'a RoleName,
    subject: &'a SubjectId,
    since: String,
    until: String,
    by: &'a SubjectId,
    reason: &'a str,
    incident: Option<&'a IncidentId>,
    state: &'static str,
}

impl<'a> GrantRow<'a> {
    fn of(grant: &'a Grant, now: Timestamp) -> Self {
        Self {
            grant: grant.id,
            role: &grant.role,
            subject: &grant.subject,
            since: grant.since.to_string(),
            until: grant.until.to_string(),
            by: &grant.by,
            reason: &grant.reason,
            incident: grant.incident.as_ref(),
            state: state_of(&grant.standing, grant.until, now),
        }
    }
}

/// `active`, `expired` or `revoked`.
pub(crate) fn state_of(standing: &Standing, until: access::Deadline, now: Timestamp) -> &'static str {
    match standing {
        Standing::Ended { .. } => "revoked",
        Standing::Active if until.has_passed(now) => "expired",
        Standing::Active => "active",
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(which): Asked<Which>,
) -> Result<Response, Problem> {
    let (view, now) = (app.view(), app.now());
    let subject = which.subject(&caller, &view)?;
    let visible = |grant: &&Arc<Grant>| subject.as_ref().is_none_or(|subject| grant.subject == *subject);
    let mut rows: Vec<GrantRow<'_>> = view
        .grants
        .values()
        .rev()
        .filter(visible)
        .take(ROWS_MAX)
        .map(|grant| GrantRow::of(grant, now))
        .collect();
    rows.reverse();
    Ok(Json(rows).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GiveGrant {
    role: RoleName,
    to: SubjectId,
    #[serde(rename = "for", deserialize_with = "json::lifetime")]
    lifetime: Lifetime,
    reason: String,
    #[serde(default)]
    incident: Option<IncidentId>,
}

#[derive(Serialize)]
struct GrantGiven<'a> {
    grant: GrantId,
    role: &'a RoleName,
    subject: &'a SubjectId,
    until: String,
}

/// The name of a person; services and callers through the socket hold neither grants nor sessions.
pub(crate) fn user(subject: &SubjectId) -> Result<Name, Problem> {
    if subject.kind() == SubjectKind::User {
        return Ok(subject.name().clone());
    }
    Err(Problem::invalid(format!("`{subject}` is no user: name a person, like `alice`")))
}

/// Whom a grant is for. A service is told the way to a role that it has.
fn holder(to: &SubjectId, role: &RoleName) -> Result<Name, Problem> {
    user(to).map_err(|problem| match to.kind() {
        SubjectKind::Service => {
            let name = to.name();
            problem.next(format!(
                "a service has its roles with its key: `daypass service add {name} --role {role} --for 90d`"
            ))
        }
        SubjectKind::User | SubjectKind::Local => problem,
    })
}

pub(crate) async fn give(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<GiveGrant>,
) -> Result<Response, Problem> {
    let id = GrantId::new(app.now(), app.random());
    let GiveGrant { role, to, lifetime, reason, incident } = asked;
    known::check_stated(&reason)?;
    let (to, reason) = (holder(&to, &role)?, reason.into());
    let act = Act::GiveGrant(command::GiveGrant { id, to, role, lifetime, reason, incident });
    let done = app.execute(&caller, act).await?;
    let grant = done.state.grants().get(&id).ok_or_else(vanished)?;
    let given =
        GrantGiven { grant: id, role: &grant.role, subject: &grant.subject, until: grant.until.to_string() };
    Ok((StatusCode::CREATED, Json(given)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MintToken {
    #[serde(default)]
    grant: Option<GrantId>,
    #[serde(default, rename = "for", deserialize_with = "json::optional_lifetime")]
    lifetime: Option<Lifetime>,
    #[serde(default)]
    only: Vec<MethodPath>,
}

#[derive(Serialize)]
struct TokenMinted<'a> {
    token: &'a str,
    id: TokenId,
    grant: GrantId,
    until: String,
}

pub(crate) async fn mint(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<MintToken>,
) -> Result<Response, Problem> {
    let id = TokenId::new(app.now(), app.random());
    let (secret, digest) = app.mint(CredentialKind::Token);
    let MintToken { grant, lifetime, only } = asked;
    let act = Act::MintToken(command::MintToken { id, digest, grant, lifetime, only });
    let done = app.execute(&caller, act).await.map_err(|problem| unminted(problem, &app, &caller, grant))?;
    let token = done.state.token(id).ok_or_else(vanished)?;
    let minted = TokenMinted {
        token: secret.expose_str().unwrap_or_default(),
        id,
        grant: token.grant,
        until: token.until.to_string(),
    };
    Ok((StatusCode::CREATED, Json(minted)).into_response())
}

/// What somebody can do who has no grant to mint from, or not this one.
fn unminted(problem: Problem, app: &App, caller: &Caller, named: Option<GrantId>) -> Problem {
    if problem.code != Code::NotAllowed {
        return problem;
    }
    let view = app.view();
    let Some(grant) = named.map(|id| view.grants.get(&id)) else {
        return problem.next(match caller.shown {
            Shown::Socket => "name one: `daypass token GRANT`; `daypass grants` lists them".to_owned(),
            Shown::Session { .. } => format!(
                "ask an administrator to run `{}`; `daypass roles` lists the roles",
                known::grant_command(None, &caller.subject)
            ),
        });
    };
    match grant.filter(|grant| caller.sees_all() || grant.subject == caller.subject) {
        Some(grant) if !grant.is_in_force(app.now()) => problem.next(format!(
            "ask an administrator to run `{}`",
            known::grant_command(Some(&grant.role), &grant.subject)
        )),
        _ => problem.next("`daypass grants` lists those that you hold"),
    }
}
