//! Who asks? From the credential shown to the subject, or the reason why not.
//!
//! [`Identified`] is the proof; only [`authenticate`] makes one.

use std::sync::Arc;

use crate::arrival::{Arrival, Certificate, Shown};
use crate::credential::{CredentialId, CredentialKind, Digest};
use crate::id::{GrantId, RoleName};
use crate::policy::ApiIndex;
use crate::quirk::Quirks;
use crate::refused::{Known, Reason, Refused};
use crate::role::MethodPath;
use crate::subject::{SubjectId, SubjectKind};
use crate::time::{Deadline, Timestamp};
use crate::view::{Credential, Grant, Held, Key, Standing, Token, View};

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
    /// By what a later view tells whether it still holds.
    pub held: Held,
    /// The grant behind a token, or the one that let a certificate's request pass.
    pub grant: Option<&'v Arc<Grant>>,
    /// The roles that a token or a service gives.
    pub(crate) own_roles: &'v [RoleName],
    /// The grants in force of a person who showed nothing but a certificate: one of them decides.
    pub(crate) grants: Vec<&'v Arc<Grant>>,
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
    let holder = identify(view, arrival).map_err(|mut refused| {
        refused.known.api = api;
        refused
    })?;
    Ok(Identified { view, arrival, route, holder })
}

fn identify<'v>(view: &'v View, arrival: &Arrival<'_>) -> Result<Holder<'v>, Refused> {
    let now = arrival.at;
    match (arrival.certificate, arrival.shown) {
        (None, shown) => hold_shown(view, shown, now),
        (Some(certificate), Shown::Nothing) => hold_certificate(view, certificate, now),
        (Some(certificate), shown) => beside(certificate, hold_shown(view, shown, now)?),
    }
}

fn hold_shown(view: &View, shown: Shown, now: Timestamp) -> Result<Holder<'_>, Refused> {
    let read = match shown {
        Shown::Bearer(read) => read,
        Shown::Nothing => return Err(missing()),
        Shown::OtherScheme => {
            return Err(invalid("the `Authorization` header does not use the `Bearer` scheme"));
        }
    };
    let (kind, digest) = read.map_err(|why| invalid(why.to_string()))?;
    if kind == CredentialKind::Session {
        return Err(invalid(
            "a session is for the console listener; this listener takes tokens and service keys",
        ));
    }
    match view.credentials.get(&digest).map(|credential| &**credential) {
        Some(Credential::Token(token)) => hold_token(view, token, digest, now),
        Some(Credential::Key(key)) => hold_key(key, CredentialId::Key(key.id), Held::Credential(digest), now),
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
        held: Held::Credential(digest),
        grant: Some(grant),
        own_roles: std::slice::from_ref(&grant.role),
        grants: Vec::new(),
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

/// What a service may do, whether it shows its key or a certificate.
fn hold_key(key: &Key, shown: CredentialId, held: Held, now: Timestamp) -> Result<Holder<'_>, Refused> {
    let subject = SubjectId::new(SubjectKind::Service, key.service.clone());
    let refuse = |reason, detail: &'static str| {
        let known = Known { subject: Some(subject.clone()), credential: Some(shown), ..Known::default() };
        let next = format!(
            "ask an administrator to run `daypass service rotate {}`, which prints another",
            key.service
        );
        Refused::because(reason, detail).knowing(known).next(next)
    };
    if key.standing != Standing::Active {
        return Err(refuse(Reason::CredentialRevoked, "this service's key was revoked"));
    }
    if key.until.has_passed(now) {
        return Err(refuse(Reason::CredentialExpired, "this service's key is past its end"));
    }
    Ok(Holder {
        credential: shown,
        held,
        grant: None,
        own_roles: &key.roles,
        grants: Vec::new(),
        only: &[],
        until: key.until,
        subject,
    })
}

/// What the subject of a certificate may do. The certificate itself gives nothing.
fn hold_certificate<'v>(
    view: &'v View,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<Holder<'v>, Refused> {
    let (subject, shown) = (named(certificate)?, CredentialId::Certificate(certificate.id));
    let stranger = || {
        let known = Known { credential: Some(shown), ..Known::default() };
        let detail = format!("the client certificate is for `{subject}`, and nobody of that name is known");
        invalid(detail)
            .next(
                "name the person under `identity.users`, or add the service with `daypass service add`; a \
             certificate for a service says `service:NAME`",
            )
            .knowing(known)
    };
    let holder = match subject.kind() {
        SubjectKind::Service => {
            let (_, key) = view.key_of(subject.name()).ok_or_else(stranger)?;
            hold_key(key, shown, Held::Service(key.service.clone()), now)?
        }
        SubjectKind::User if view.knows(subject) => hold_grants(view, subject, certificate, now),
        SubjectKind::User | SubjectKind::Local => return Err(stranger()),
    };
    Ok(Holder { until: holder.until.min(certificate.until), ..holder })
}

/// All that a person holds at `now`, which may be nothing.
fn hold_grants<'v>(
    view: &'v View,
    subject: &SubjectId,
    certificate: &Certificate,
    now: Timestamp,
) -> Holder<'v> {
    let grants: Vec<_> = view.grants_of(subject).filter(|grant| grant.is_in_force(now)).collect();
    Holder {
        subject: subject.clone(),
        credential: CredentialId::Certificate(certificate.id),
        // A placeholder that no view holds: nothing passes before `settle` has put the deciding grant here.
        held: Held::Grant(GrantId::new(Timestamp::EPOCH, [0; 10])),
        grant: None,
        own_roles: &[],
        grants,
        only: &[],
        until: certificate.until,
    }
}

/// A token or key that came over a connection with a certificate: it counts, and both must be of one subject.
fn beside<'v>(certificate: &Certificate, holder: Holder<'v>) -> Result<Holder<'v>, Refused> {
    if *named(certificate)? != holder.subject {
        let detail = "the client certificate and the `Authorization` header are of two subjects";
        return Err(Refused::because(Reason::RequestMalformed, detail).knowing(holder.known()));
    }
    Ok(Holder { until: holder.until.min(certificate.until), ..holder })
}

fn named(certificate: &Certificate) -> Result<&SubjectId, Refused> {
    certificate.subject.as_ref().map_err(|why| {
        let credential = Some(CredentialId::Certificate(certificate.id));
        invalid(why.to_string())
            .next(
                "have it issued with one URI `daypass://user/NAME` or `daypass://service/NAME`, or with one \
                 common name `NAME` or `service:NAME`",
            )
            .knowing(Known { credential, ..Known::default() })
    })
}

/// The exact command by which a role is given to a subject.
#[must_use]
pub(crate) fn grant_command(role: &RoleName, subject: &SubjectId) -> String {
    format!("daypass grant {role} --to {} --for 1h --reason 'WHY'", subject.name())
}

impl<'v> Holder<'v> {
    /// The roles that it gives.
    pub fn roles(&self) -> impl Iterator<Item = &'v RoleName> {
        self.own_roles.iter().chain(self.grants.iter().map(|grant| &grant.role))
    }

    /// Binds what only a certificate was shown for to the grant that decides: of `role`, the one that lasts longest.
    pub(crate) fn settle(mut self, role: &RoleName) -> Self {
        let giving = self.grants.iter().filter(|grant| grant.role == *role);
        if let Some(grant) = giving.max_by_key(|grant| grant.until).copied() {
            self.held = Held::Grant(grant.id);
            self.until = self.until.min(grant.until);
            self.grant = Some(grant);
        }
        self
    }

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
