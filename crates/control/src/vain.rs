//! Tokens that could never pass: what is refused instead of minted.
//!
//! A refusal is never wrong: a token that is minted may still reach nothing, one that is refused would have.
//! Only the policy in force is asked; a grant whose role comes back with a reload works again.

use access::operation::{Method, Operation};
use access::policy::Api;
use access::role::{MethodPath, Role, Rule, Scope};
use access::view::Grant;

use crate::decide::{Case, Denied};

impl Case<'_> {
    pub(crate) fn refuse_vain(&self, grant: &Grant, only: &[MethodPath]) -> Result<(), Denied> {
        if !self.is_user(&grant.subject) {
            return Err(vain(
                format!(
                    "the configuration does not name `{}`, who holds the grant `{}`",
                    grant.subject, grant.id
                ),
                format!(
                    "name them under `identity.users` and reload, or end it: `daypass revoke --grant {} --reason …`",
                    grant.id
                ),
            ));
        }
        let Some(role) = self.policy().roles.get(&grant.role) else {
            return Err(vain(
                format!("the role `{}` of the grant `{}` is not in the configuration", grant.role, grant.id),
                "put it back and reload, or have a role granted that `daypass roles` lists".to_owned(),
            ));
        };
        if only.is_empty() || only.iter().any(|line| self.may_reach(role, line)) {
            return Ok(());
        }
        Err(vain(
            format!("the role `{}` allows nothing of what the token is narrowed to", grant.role),
            "`daypass roles` shows what it allows; a path starts after the part of the URL that names the API"
                .to_owned(),
        ))
    }

    fn may_reach(&self, role: &Role, line: &MethodPath) -> bool {
        role.allow.iter().any(|rule| {
            let api = self.policy().apis.iter().find(|api| api.name == *rule.api());
            api.is_some_and(|api| meet(rule, api, line))
        })
    }
}

fn vain(why: String, next: String) -> Denied {
    Denied::Vain { why, next }
}

/// Whether some request may be covered by a rule and by a line both. Never wrongly no.
fn meet(rule: &Rule, api: &Api, line: &MethodPath) -> bool {
    let listed = |wanted: &dyn Fn(&Operation) -> bool| {
        let mut operations = api.operations.iter().flatten().filter(|operation| wanted(operation));
        operations.any(|operation| is_reached(operation, line))
    };
    match rule.scope() {
        Scope::Path(path) => {
            let mut methods = Method::ALL.into_iter();
            methods.any(|method| path.has(method) && line.has(method))
                && path.template().overlaps(line.template())
        }
        Scope::Preset(preset) if api.operations.is_none() => {
            Method::ALL.into_iter().any(|method| preset.covers(method) && line.has(method))
        }
        Scope::Preset(preset) => listed(&|operation| preset.covers(operation.method)),
        Scope::Operation(name) => listed(&|operation| *operation.name == **name),
        Scope::Tag(tag) => listed(&|operation| operation.tags.contains(tag)),
    }
}

/// Whether a line covers some request that reaches an operation: HEAD reaches those of GET.
fn is_reached(operation: &Operation, line: &MethodPath) -> bool {
    let method = operation.method;
    let head = method == Method::Get && line.has(Method::Head);
    (head || line.has(method)) && operation.template.overlaps(line.template())
}
