//! Who calls the console: a `dpc_` session's holder, or somebody at the server's own machine.
//!
//! A session is judged against the present view at every request, so a revoked one is refused at once; streams
//! ask again while they are open. Nothing but the `Authorization` header is read: no cookie, no query string.
//! A foreign `Host` header therefore gains nothing, since a browser holds no credential that it would add.
//! Not here: logging in (there are only sessions that an administrator made at the socket), and how old the view
//! may be (the console answers while the ledger is out, so that somebody can look).

use access::credential::{self, CredentialKind, Digest};
use access::id::Name;
use access::view::{Credential, Session, View};
use access::{Lifetime, SessionId, SubjectId, SubjectKind, Timestamp};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use control::{Act, Actor, Via, command};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::console::{App, vanished};
use crate::json::{self, Body};
use crate::problem::{Code, Problem};

/// By which listener a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// The console listener: callers show a session.
    Tcp,
    /// The server's own socket, by this user of its operating system: an administrator and auditor.
    Socket(Name),
}

/// Who calls, and what they may do. Proof that they are known at present.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub subject: SubjectId,
    /// Whether they administer.
    pub administrator: bool,
    /// Whether they read the whole journal.
    pub auditor: bool,
    /// What they showed.
    pub shown: Shown,
}

/// What a caller showed to say who they are.
#[derive(Debug, Clone)]
pub enum Shown {
    /// That they reach the server's own socket.
    Socket,
    /// A session.
    Session {
        /// Its id.
        id: SessionId,
        /// The digest it is found by.
        digest: Digest,
        /// When it ends.
        until: Timestamp,
    },
}

impl Caller {
    /// Whether they may read what is not their own.
    #[must_use]
    pub const fn sees_all(&self) -> bool {
        self.administrator || self.auditor
    }

    /// The same, for the ledger.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let via = match self.shown {
            Shown::Socket => Via::Socket,
            Shown::Session { .. } => Via::Session,
        };
        Actor { subject: self.subject.clone(), via }
    }

    fn local(name: Name) -> Self {
        let subject = SubjectId::new(SubjectKind::Local, name);
        Self { subject, administrator: true, auditor: true, shown: Shown::Socket }
    }

    fn of_session(view: &View, digest: Digest, session: &Session) -> Self {
        let policy = view.policy.policy();
        Self {
            administrator: policy.includes(&policy.administrators, &session.subject),
            auditor: policy.includes(&policy.auditors, &session.subject),
            subject: session.subject.clone(),
            shown: Shown::Session { id: session.id, digest, until: session.until.instant() },
        }
    }

    /// The same caller by the present view; `None` once their session is not in force any more.
    #[must_use]
    pub fn again(&self, view: &View, now: Timestamp) -> Option<Self> {
        match &self.shown {
            Shown::Socket => Some(self.clone()),
            Shown::Session { digest, .. } => hold_session(view, *digest, now).ok(),
        }
    }
}

/// A handler that takes a caller cannot run without one.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthenticated("nobody was identified"))
    }
}

/// Finds out who calls.
///
/// # Errors
/// `unauthenticated`, saying what is wrong with what was shown, and never repeating it.
pub fn identify(view: &View, door: &Door, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Problem> {
    match door {
        Door::Socket(name) => Ok(Caller::local(name.clone())),
        Door::Tcp => hold_session(view, shown_digest(headers)?, now),
    }
}

fn shown_digest(headers: &HeaderMap) -> Result<Digest, Problem> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let first = shown.next().ok_or_else(|| unauthenticated("the request shows no session"))?;
    if shown.next().is_some() {
        return Err(unauthenticated("the request has two `Authorization` headers"));
    }
    let bearer =
        first.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let (_, text) = bearer.ok_or_else(|| unauthenticated("the `Authorization` header is no `Bearer`"))?;
    match credential::parse(text) {
        Ok((CredentialKind::Session, digest)) => Ok(digest),
        Ok(_) => Err(unauthenticated("tokens and service keys are for the proxy listener; show a session")),
        Err(why) => Err(unauthenticated(why.to_string())),
    }
}

fn hold_session(view: &View, digest: Digest, now: Timestamp) -> Result<Caller, Problem> {
    let Some(Credential::Session(session)) = view.credentials.get(&digest).map(|found| &**found) else {
        return Err(unauthenticated("no such session is known"));
    };
    if !view.credentials.get(&digest).is_some_and(|found| found.is_in_force(now)) {
        return Err(unauthenticated("this session has ended"));
    }
    let users = &view.policy.policy().users;
    if session.subject.kind() != SubjectKind::User || !users.contains_key(session.subject.name()) {
        return Err(unauthenticated("the configuration does not name this subject any more"));
    }
    Ok(Caller::of_session(view, digest, session))
}

fn unauthenticated(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::Unauthenticated, detail).next(
        "an administrator makes a session on the server's machine: `daypass admin session USER`; \
         set it as DAYPASS_SESSION",
    )
}

#[derive(Serialize)]
struct WhoAmI {
    subject: SubjectId,
    administrator: bool,
    auditor: bool,
    until: Option<String>,
}

pub(crate) async fn whoami(caller: Caller) -> Response {
    let until = match &caller.shown {
        Shown::Socket => None,
        Shown::Session { until, .. } => Some(until.to_string()),
    };
    let Caller { subject, administrator, auditor, .. } = caller;
    Json(WhoAmI { subject, administrator, auditor, until }).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenSession {
    user: SubjectId,
    #[serde(default, rename = "for", deserialize_with = "json::optional_lifetime")]
    lifetime: Option<Lifetime>,
}

#[derive(Serialize)]
struct SessionOpened<'a> {
    session: &'a str,
    id: SessionId,
    subject: &'a SubjectId,
    until: String,
}

pub(crate) async fn open(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<OpenSession>,
) -> Result<Response, Problem> {
    let subject = crate::grants::user(&asked.user)?;
    let id = SessionId::new(app.now(), app.random());
    let (secret, digest) = app.mint(CredentialKind::Session);
    let act = command::OpenSession { id, digest, subject, lifetime: asked.lifetime };
    let done = app.execute(&caller, Act::OpenSession(act)).await?;
    let session = done.state.session(id).ok_or_else(vanished)?;
    let opened = SessionOpened {
        session: secret.expose_str().unwrap_or_default(),
        id,
        subject: &session.subject,
        until: session.until.to_string(),
    };
    Ok((StatusCode::CREATED, Json(opened)).into_response())
}

#[derive(Serialize)]
struct SessionClosed {
    id: SessionId,
    revision: access::Revision,
}

pub(crate) async fn close(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let Shown::Session { id, .. } = caller.shown else {
        return Err(Problem::invalid("calls through the socket have no session to close"));
    };
    let done = app.execute(&caller, Act::CloseSession { id }).await?;
    Ok(Json(SessionClosed { id, revision: done.revision }).into_response())
}
