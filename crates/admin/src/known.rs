//! The names that callers give, against those that there are; what a wrong one gets as advice.
//!
//! People come and go with the configuration, but what they did stays on record: somebody is known while the
//! configuration names them, or the ledger still remembers a grant or a key of theirs.

use access::id::Name;
use access::view::{Credential, View};
use access::{GrantId, Reason, RequestId, RoleName, SubjectId, SubjectKind};

use crate::json::parse;
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
    let service = || services(view).any(|service| service.as_str() == name);
    (is(SubjectKind::User) && user()) || (is(SubjectKind::Service) && service())
}

/// The services that have a key, or recently had one.
fn services(view: &View) -> impl Iterator<Item = &Name> {
    view.credentials.values().filter_map(|credential| match &**credential {
        Credential::Key(key) => Some(&key.service),
        Credential::Token(_) | Credential::Session(_) => None,
    })
}

/// Whether a text can name somebody: `alice`, `user:alice`, `service:ci`.
pub(crate) fn check_subject(text: &str) -> Result<SubjectId, Problem> {
    parse(text).map_err(|problem: Problem| {
        problem.next("write a name, like `alice`, or one with its kind, like `service:ci`")
    })
}

/// Whether somebody says why they act.
pub(crate) fn check_stated(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("a reason is required").next("say why, with `--reason TEXT`"));
    }
    Ok(())
}

/// Whether a text is a reason code.
pub(crate) fn check_reason(text: &str) -> Result<(), Problem> {
    let codes = || Reason::ALL.iter().map(|reason| reason.code());
    if codes().any(|code| code == text) {
        return Ok(());
    }
    Err(Problem::invalid(format!("`{text}` is not a reason code")).next(match nearest(text, codes()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the codes are {}", listed(codes())),
    }))
}

/// Whether a text is the id of a grant.
pub(crate) fn check_grant(text: &str) -> Result<GrantId, Problem> {
    parse(text).map_err(|problem: Problem| problem.next("`daypass grants` lists grants with their ids"))
}

/// Whether a text is the id of a request.
pub(crate) fn check_request(text: &str) -> Result<RequestId, Problem> {
    text.parse().map_err(|_| {
        Problem::invalid(format!("`{text}` is no request's id, which is a UUID"))
            .next("it is the `X-Request-Id` of its answer; `daypass audit search` lists them")
    })
}

/// What a search is answered that asks for somebody or an API nothing is known of, and finds nothing: a slip
/// must not look like a clean record. Rows of whom the configuration has forgotten are found as ever.
pub(crate) fn stranger(view: &View, user: Option<&str>, api: Option<&str>) -> Option<Problem> {
    let known_api = |api: &str| view.policy.policy().apis.iter().any(|known| known.name.as_str() == api);
    if let Some(api) = api.filter(|api| !known_api(api)) {
        let detail = format!("no request matches, and no API named `{api}` is known");
        return Some(Problem::new(Code::NotFound, detail).next(advice_on_api(view, api)));
    }
    let user = user?;
    let (kind, name) = match check_subject(user) {
        Ok(subject) if user.contains(':') => (Some(subject.kind()), subject.name().to_string()),
        _ => (None, user.to_owned()),
    };
    if knows_subject(view, &name, kind) {
        return None;
    }
    let detail = format!("no request matches, and nobody named `{user}` is known");
    Some(Problem::new(Code::NotFound, detail).next(advice_on_subject(view, &name)))
}

/// What to do about somebody who is neither a user nor a service.
fn advice_on_subject(view: &View, name: &str) -> String {
    let users = || view.policy.policy().users.keys().map(Name::as_str);
    match nearest(name, users().chain(services(view).map(Name::as_str))) {
        Some(near) => format!("did you mean `{near}`?"),
        None if users().next().is_none() => "`daypass service list` lists the services".to_owned(),
        None => format!("the users are {}; `daypass service list` lists the services", listed(users())),
    }
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
