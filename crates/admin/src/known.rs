//! The names that callers give, against those that there are; what a wrong one gets as advice.
//!
//! People come and go with the configuration, but what they did stays on record: somebody is known while the
//! configuration names them, or the ledger still remembers a grant or a key of theirs.

use access::id::Name;
use access::view::{Credential, View};
use access::{RoleName, SubjectId, SubjectKind};

use crate::near::{listed, nearest};
use crate::problem::{Code, Problem};

/// Whether somebody of this name is, or recently was; `kind` narrows it.
pub(crate) fn knows_subject(view: &View, name: &str, kind: Option<SubjectKind>) -> bool {
    let is = |wanted| kind.is_none_or(|kind| kind == wanted);
    let user = || {
        let users = &view.policy.policy().users;
        users.keys().any(|user| user.as_str() == name)
            || view.grants.values().any(|grant| grant.subject.name().as_str() == name)
    };
    let service = || {
        view.credentials.values().any(|credential| match &**credential {
            Credential::Key(key) => key.service.as_str() == name,
            Credential::Token(_) | Credential::Session(_) => false,
        })
    };
    (is(SubjectKind::User) && user()) || (is(SubjectKind::Service) && service())
}

/// There is nobody of this name whose grants could be listed.
pub(crate) fn no_user(view: &View, subject: &SubjectId) -> Problem {
    Problem::new(Code::NotFound, format!("there is no user `{}`", subject.name()))
        .next(advice_on_user(view, subject.name().as_str()))
}

/// What to do about a user who does not exist.
pub(crate) fn advice_on_user(view: &View, name: &str) -> String {
    let users = &view.policy.policy().users;
    if let Some(near) = nearest(name, users.keys().map(Name::as_str)) {
        return format!("did you mean `{near}`?");
    }
    let add =
        format!("added under `identity: users:` in the configuration, as `{name}: {{}}`, and by a reload");
    if users.is_empty() {
        return format!("the configuration names no users yet: they are {add}");
    }
    format!("name {}; others are {add}", listed(users.keys().map(Name::as_str)))
}

/// The command that gives somebody a grant, to be copied; `ROLE` stands for one that is still to be chosen.
pub(crate) fn grant_command(role: Option<&RoleName>, subject: &SubjectId) -> String {
    let role = role.map_or("ROLE", RoleName::as_str);
    format!("daypass grant {role} --to {} --for 1h --reason 'WHY'", subject.name())
}

/// What to do about a role that does not exist.
pub(crate) fn advice_on_role(view: &View, name: &str) -> String {
    let roles = &view.policy.policy().roles;
    match nearest(name, roles.keys().map(RoleName::as_str)) {
        Some(near) => format!("did you mean `{near}`? `daypass roles` lists them"),
        None => "`daypass roles` lists them".to_owned(),
    }
}

/// What to do about an API that does not exist.
pub(crate) fn advice_on_api(view: &View, name: &str) -> String {
    match nearest(name, view.policy.policy().apis.iter().map(|api| api.name.as_str())) {
        Some(near) => format!("did you mean `{near}`? `daypass apis` lists them"),
        None => "`daypass apis` lists them".to_owned(),
    }
}
