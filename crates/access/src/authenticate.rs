//! Who asks? From the credential shown to the subject, or the reason why not.
//!
//! [`Identified`] is the proof; only [`authenticate`] makes one.

use std::sync::Arc;

use crate::arrival::{Arrival, Shown};
use crate::credential::{self, CredentialId, CredentialKind, Digest};
use crate::id::RoleName;
use crate::policy::ApiIndex;
use crate::quirk::Quirks;
use crate::refused::{Known, Reason, Refused};
use crate::role::MethodPath;
use crate::subject::{SubjectId, SubjectKind};
use crate::time::{Deadline, Timestamp};
use crate::view::{Credential, Grant, Key, Standing, Token, View};

/// A request of a known subject, with what they hold. Proof that the credential is in force.
#[derive(Debug)]
pub struct Identified<'v, 'a> {
    pub(crate) view: &'v View,
    pub(crate) arrival: &'v Arrival<'a>,
    pub(crate) route: Option<(ApiIndex, usize)>,
    pub(crate) holder: Holder<'v>,
}

/// What a credential stands for, while it is in force.
#[derive(Debug, Clone)]
pub struct Holder<'v> {
    /// Who holds it.
    pub subject: SubjectId,
    /// The credential's id.
    pub credential: CredentialId,
    /// The credential's digest, by which a later view tells whether it still holds.
    pub digest: Digest,
    /// The grant behind a token.
    pub grant: Option<&'v Arc<Grant>>,
    /// The roles it gives.
    pub roles: &'v [RoleName],
    /// What a token is narrowed to; empty for no narrowing.
    pub only: &'v [MethodPath],
    /// When access ends by itself.
    pub until: Deadline,
}

/// Finds out who asks.
///
/// # Errors
/// `request_malformed` for a path that the API does not take; `credential_missing`, `_invalid`, `_expired`,
/// `_revoked` or `grant_ended`, knowing as much as the credential told.
pub fn authenticate<'v, 'a>(view: &'v View, arrival: &'v Arrival<'a>) -> Result<Identified<'v, 'a>, Refused> {
    let path = arrival.target.path();
    let route =
        view.policy.route(arrival.host, path).map(|(api, rest)| (api, path.len().saturating_sub(rest.len())));
    let routed = route.and_then(|(index, _)| view.policy.api(index));
    let api = routed.map(|api| api.name.clone());
    if let Err(why) = arrival.target.require(routed.map_or(Quirks::NONE, |api| api.quirks)) {
        let known = Known { api, ..Known::default() };
        return Err(Refused::because(Reason::RequestMalformed, why.to_string()).knowing(known));
    }
    let holder = identify(view, arrival.shown, arrival.at).map_err(|mut refused| {
        refused.known.api = api;
        refused
    })?;
    Ok(Identified { view, arrival, route, holder })
}

fn identify<'v>(view: &'v View, shown: Shown<'_>, now: Timestamp) -> Result<Holder<'v>, Refused> {
    let shown = match shown {
        Shown::Bearer(shown) => shown,
        Shown::Nothing => return Err(missing()),
        Shown::OtherScheme => {
            return Err(invalid("the `Authorization` header does not use the `Bearer` scheme"));
        }
    };
    let (kind, digest) = credential::parse(shown).map_err(|why| invalid(why.to_string()))?;
    if kind == CredentialKind::Session {
        return Err(invalid(
            "a session is for the console listener; this listener takes tokens and service keys",
        ));
    }
    match view.credentials.get(&digest).map(|credential| &**credential) {
        Some(Credential::Token(token)) => hold_token(view, token, digest, now),
        Some(Credential::Key(key)) => hold_key(key, digest, now),
        Some(Credential::Session(_)) | None => Err(invalid("no such credential is known")),
    }
}

fn missing() -> Refused {
    Refused::because(Reason::CredentialMissing, "the request has no `Authorization: Bearer` header")
        .next("mint a token with `daypass token` and send it as `Authorization: Bearer <token>`")
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    Refused::because(Reason::CredentialInvalid, detail)
        .next("mint a token with `daypass token` and send it as `Authorization: Bearer <token>`")
}

fn hold_token<'v>(
    view: &'v View,
    token: &'v Token,
    digest: Digest,
    now: Timestamp,
) -> Result<Holder<'v>, Refused> {
    let grant = view.grants.get(&token.grant);
    let known = || Known {
        subject: grant.map(|grant| grant.subject.clone()),
        credential: Some(CredentialId::Token(token.id)),
        grant: Some(token.grant),
        role: grant.map(|grant| grant.role.clone()),
        incident: grant.and_then(|grant| grant.incident.clone()),
        ..Known::default()
    };
    let refuse = |reason, detail: &'static str| Err(Refused::because(reason, detail).knowing(known()));
    if token.standing != Standing::Active {
        return refuse(Reason::CredentialRevoked, "this token was revoked")
            .map_err(|refused| with_next(refused, after_token(view, grant, now)));
    }
    let Some(grant) = grant.filter(|grant| grant.is_in_force(now)) else {
        return Err(grant_ended(view, grant, known()));
    };
    if token.until.has_passed(now) {
        return refuse(Reason::CredentialExpired, "this token is past its end").map_err(|refused| {
            refused.next(format!("its grant is in force: `daypass token {}` mints another", grant.id))
        });
    }
    if !view.knows(&grant.subject) {
        return refuse(Reason::SubjectSuspended, "the configuration does not name this subject any more");
    }
    Ok(Holder {
        subject: grant.subject.clone(),
        credential: CredentialId::Token(token.id),
        digest,
        grant: Some(grant),
        roles: std::slice::from_ref(&grant.role),
        only: &token.only,
        until: grant.until.min(token.until),
    })
}

fn grant_ended(view: &View, grant: Option<&Arc<Grant>>, known: Known) -> Refused {
    let detail = match grant.map(|grant| &grant.standing) {
        Some(Standing::Active) => "the grant behind this token is past its end",
        Some(Standing::Ended { .. }) => "the grant behind this token was ended",
        None => "the grant behind this token is not known any more",
    };
    let refused = Refused::because(Reason::GrantEnded, detail).knowing(known);
    with_next(refused, grant.map(|grant| after_grant(view, grant)))
}

fn with_next(refused: Refused, next: Option<String>) -> Refused {
    match next {
        Some(next) => refused.next(next),
        None => refused,
    }
}

/// What to do about a token that was ended: its grant may be in force, or may have ended with it.
fn after_token(view: &View, grant: Option<&Arc<Grant>>, now: Timestamp) -> Option<String> {
    let grant = grant?;
    if grant.is_in_force(now) {
        return Some(format!("its grant is in force: `daypass token {}` mints another", grant.id));
    }
    Some(format!("its grant has ended too: {}", after_grant(view, grant)))
}

/// What to do about a grant that has ended; its role may be gone from the configuration.
fn after_grant(view: &View, grant: &Grant) -> String {
    if view.policy.policy().roles.contains_key(&grant.role) {
        return format!("ask an administrator to run `{}`", grant_command(&grant.role, &grant.subject));
    }
    format!(
        "ask an administrator for another role: there is no role `{}` any more, and `daypass roles` lists \
         those that there are",
        grant.role
    )
}

fn hold_key(key: &Key, digest: Digest, now: Timestamp) -> Result<Holder<'_>, Refused> {
    let subject = SubjectId::new(SubjectKind::Service, key.service.clone());
    let refuse = |reason, detail: &'static str| {
        let known = Known {
            subject: Some(subject.clone()),
            credential: Some(CredentialId::Key(key.id)),
            ..Known::default()
        };
        let next = format!(
            "ask an administrator to run `daypass service rotate {}`, which prints another",
            key.service
        );
        Refused::because(reason, detail).knowing(known).next(next)
    };
    if key.standing != Standing::Active {
        return Err(refuse(Reason::CredentialRevoked, "this service key was revoked"));
    }
    if key.until.has_passed(now) {
        return Err(refuse(Reason::CredentialExpired, "this service key is past its end"));
    }
    Ok(Holder {
        credential: CredentialId::Key(key.id),
        digest,
        grant: None,
        roles: &key.roles,
        only: &[],
        until: key.until,
        subject,
    })
}

/// The exact command by which a role is given to a subject.
#[must_use]
pub(crate) fn grant_command(role: &RoleName, subject: &SubjectId) -> String {
    format!("daypass grant {role} --to {} --for 1h --reason 'WHY'", subject.name())
}

impl Holder<'_> {
    /// What a refusal, or a record, says of the holder.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            subject: Some(self.subject.clone()),
            credential: Some(self.credential),
            grant: self.grant.map(|grant| grant.id),
            incident: self.grant.and_then(|grant| grant.incident.clone()),
            role: self.grant.map(|grant| grant.role.clone()),
            ..Known::default()
        }
    }
}
