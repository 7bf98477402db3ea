//! May they? From an identified request to the rule that allows it, or the reason why not.
//!
//! [`Authorized`] is the proof; only [`authorize`] makes one. Nothing is allowed by default: without a
//! matching `allow` rule of a role that the credential gives, the answer is no.

use std::sync::Arc;

use crate::arrival::Arrival;
use crate::authenticate::{Holder, Identified, grant_command};
use crate::id::RoleName;

use crate::policy::{Api, ApiIndex, Asked, Clause, Ruling, Unlisted};
use crate::refused::{Known, Reason, Refused};
use crate::subject::SubjectKind;
use crate::view::View;

/// The most roles that `next` of a refusal names.
const SUGGESTIONS_MAX: usize = 3;

/// A request that a rule allows. Proof that its credential is in force and a role of it covers the operation.
#[derive(Debug)]
pub struct Authorized<'v, 'a> {
    view: &'v View,
    arrival: &'v Arrival<'a>,
    holder: Holder<'v>,
    api: ApiIndex,
    path_at: PathAt,
    operation: Arc<str>,
    role: &'v RoleName,
    rule: &'v Arc<str>,
}

/// Where the path within an API begins in a canonical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathAt(usize);

impl PathAt {
    /// The path within the API; never empty.
    #[must_use]
    pub fn within(self, path: &str) -> &str {
        path.get(self.0..).filter(|path| !path.is_empty()).unwrap_or("/")
    }
}

/// Decides whether an identified request may pass.
///
/// # Errors
/// `api_unknown`, `operation_unknown` or `operation_not_allowed`, with the command that asks for access.
pub fn authorize<'v, 'a>(identified: Identified<'v, 'a>) -> Result<Authorized<'v, 'a>, Refused> {
    let Identified { view, arrival, route, holder } = identified;
    let found = route.and_then(|(index, path_at)| Some((index, path_at, view.policy.api(index)?)));
    let Some((index, path_at, api)) = found else {
        return Err(Refused::because(Reason::ApiUnknown, "no API answers at this host or path")
            .next("`daypass apis` lists the APIs and their routes")
            .knowing(holder.known()));
    };
    let path_at = PathAt(path_at);
    let path = path_at.within(arrival.target.path());
    let listed = view.policy.operation(index, arrival.method, path);
    let asked = Asked { method: arrival.method, path, operation: listed.map(|(place, _)| place) };
    let operation = listed.map(|(_, operation)| operation.name.clone());
    let known = || Known { api: Some(api.name.clone()), operation: operation.clone(), ..holder.known() };
    if api.operations.is_some() && listed.is_none() && api.unlisted == Unlisted::Refuse {
        return Err(unknown_operation(api, asked, known()));
    }
    let (role, rule) = decide(view, index, asked, &holder)
        .map_err(|denied| not_allowed(view, index, asked, &holder, denied, known()))?;
    let operation = operation.unwrap_or_else(|| rule.name(asked.method));
    let holder = holder.settle(role);
    Ok(Authorized { view, api: index, path_at, operation, role, rule: rule.shown(), holder, arrival })
}

/// A `deny` of any role that the credential gives wins; then the first `allow`; then no.
fn decide<'v>(
    view: &'v View,
    api: ApiIndex,
    asked: Asked<'_>,
    holder: &Holder<'v>,
) -> Result<(&'v RoleName, &'v Clause), Option<&'v Clause>> {
    if !holder.only.is_empty() && !holder.only.iter().any(|only| only.matches(asked.method, asked.path)) {
        return Err(None);
    }
    let mut allowed = None;
    for role in holder.roles() {
        match view.policy.ruling(role, api, asked) {
            Ruling::Denied(rule) => return Err(Some(rule)),
            Ruling::Allowed(rule) => allowed = allowed.or(Some((role, rule))),
            Ruling::Silent => {}
        }
    }
    allowed.ok_or(None)
}

fn unknown_operation(api: &Api, asked: Asked<'_>, known: Known) -> Refused {
    let detail = format!("the contract of `{}` has no {} at this path", api.name, asked.method);
    Refused::because(Reason::OperationUnknown, detail)
        .next(format!("`daypass apis {}` lists its operations", api.name))
        .knowing(known)
}

fn not_allowed(
    view: &View,
    api: ApiIndex,
    asked: Asked<'_>,
    holder: &Holder<'_>,
    denied: Option<&Clause>,
    mut known: Known,
) -> Refused {
    known.rule = denied.map(|clause| clause.shown().clone());
    let detail = match denied {
        Some(clause) => format!("the rule `{}` forbids it", clause.shown()),
        None if !holder.only.is_empty() => {
            "the token is narrowed to other operations, or its role does not allow this one".to_owned()
        }
        None => "no role of this credential allows the operation".to_owned(),
    };
    let next = how_to_ask(view, api, asked, holder);
    Refused::because(Reason::OperationNotAllowed, detail).next(next).knowing(known)
}

fn how_to_ask(view: &View, api: ApiIndex, asked: Asked<'_>, holder: &Holder<'_>) -> String {
    let held = |role: &RoleName| matches!(view.policy.ruling(role, api, asked), Ruling::Allowed(_));
    if let Some(grant) = holder.grant.filter(|grant| held(&grant.role)) {
        return format!(
            "its grant allows it: mint a token that is not narrowed with `daypass token {}`",
            grant.id
        );
    }
    if let Some(grant) = holder.grants.iter().find(|grant| held(&grant.role)) {
        return format!(
            "a certificate brings every role its holder has, and another of them forbids it: mint a token of the one \
             that allows it with `daypass token {}`, and send it as `Authorization: Bearer <token>`",
            grant.id
        );
    }
    let allowing = view.policy.roles_allowing(api, asked, SUGGESTIONS_MAX);
    let Some((first, others)) = allowing.split_first() else {
        return "no role allows this operation; one must name it in the configuration first".to_owned();
    };
    let roles = &view.policy.policy().roles;
    let silent = |role: &&RoleName| {
        roles.contains_key(*role) && !matches!(view.policy.ruling(role, api, asked), Ruling::Denied(_))
    };
    let kept: Vec<_> = holder.roles().filter(silent).collect();
    let others: Vec<_> = others.iter().map(|role| format!("`{role}`")).collect();
    match others.as_slice() {
        [] => command_for(first, holder, &kept),
        others => {
            let others = others.join(" or ");
            format!("{}; instead of `{first}` it may be {others}", command_for(first, holder, &kept))
        }
    }
}

/// What gives `role` to the holder; a service keeps `kept` of what it has, under another name.
fn command_for(role: &RoleName, holder: &Holder<'_>, kept: &[&RoleName]) -> String {
    match holder.subject.kind() {
        SubjectKind::Service => {
            let name = holder.subject.name();
            let roles = kept.iter().filter(|kept| **kept != role).chain([&role]);
            let roles = roles.fold(String::new(), |roles, role| format!("{roles} --role {role}"));
            format!(
                "a service's roles are fixed with its key: ask an administrator to run \
                 `daypass service add {name}-2{roles} --for 90d` (any name that is free will do), \
                 and to remove `{name}` once nothing uses its key any more"
            )
        }
        SubjectKind::User | SubjectKind::Local => {
            format!("ask an administrator to run `{}`", grant_command(role, &holder.subject))
        }
    }
}

impl<'v, 'a> Authorized<'v, 'a> {
    /// The picture the decision was made from.
    #[must_use]
    pub const fn view(&self) -> &'v View {
        self.view
    }

    /// The request.
    #[must_use]
    pub const fn arrival(&self) -> &'v Arrival<'a> {
        self.arrival
    }

    /// Who asks, and what they hold.
    #[must_use]
    pub const fn holder(&self) -> &Holder<'v> {
        &self.holder
    }

    /// The API's place in the policy.
    #[must_use]
    pub const fn api_index(&self) -> ApiIndex {
        self.api
    }

    /// The API.
    #[must_use]
    pub fn api(&self) -> Option<&'v Api> {
        self.view.policy.api(self.api)
    }

    /// The canonical path within the API: what was judged, and what is sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path_at.within(self.arrival.target.path())
    }

    /// Where the path within the API begins.
    #[must_use]
    pub const fn path_at(&self) -> PathAt {
        self.path_at
    }

    /// The operation's name.
    #[must_use]
    pub const fn operation(&self) -> &Arc<str> {
        &self.operation
    }

    /// The role that allows it.
    #[must_use]
    pub const fn role(&self) -> &'v RoleName {
        self.role
    }

    /// The rule that allows it.
    #[must_use]
    pub const fn rule(&self) -> &'v Arc<str> {
        self.rule
    }

    /// What a refusal further on says of it.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            api: self.api().map(|api| api.name.clone()),
            operation: Some(self.operation.clone()),
            role: Some(self.role.clone()),
            rule: Some(self.rule.clone()),
            ..self.holder.known()
        }
    }
}
