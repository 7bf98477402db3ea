//! Whether path rules match anything that their API's contract names.
//!
//! A `deny` that matches nothing protects nothing, so it is an error; an `allow` gives nothing, so it is a
//! warning. Where requests outside the contract may pass, or there is none, a path rule may mean any path.

use access::RoleName;
use access::operation::{Method, Operation};
use access::policy::{Api, Policy, RuleList, Unlisted};
use access::role::{MethodPath, Role, Rule, Scope};
use admin::near::{listed, nearest};

use super::super::place::Place;
use super::Resolver;
use super::role::{RoleMarks, RuleMarks};

impl Resolver<'_> {
    /// Reports each path rule that matches no operation.
    pub(super) fn check_reach(&mut self, policy: &Policy, roles: &RoleMarks) {
        let marked = |(name, role)| Some((role, roles.get::<RoleName>(name)?));
        for (role, marks) in policy.roles.iter().filter_map(marked) {
            for (list, rule, place) in rules(role, marks) {
                let Scope::Path(path) = rule.scope() else { continue };
                self.check_quirks(policy, rule, path, place);
                let Some((api, operations)) = contract(policy, rule) else { continue };
                if !operations.iter().any(|operation| matches(path, operation)) {
                    self.report(list, place, api, &advise(path, operations));
                }
            }
        }
    }

    /// Refuses a rule for paths that its API does not take at all.
    fn check_quirks(&mut self, policy: &Policy, rule: &Rule, path: &MethodPath, place: Place) {
        let Some(api) = policy.apis.iter().find(|api| api.name == *rule.api()) else { return };
        if let Some(quirk) = path.template().quirks().first_beyond(api.quirks) {
            let (name, quirk) = (&api.name, quirk.as_str());
            let says = format!("no path that `{name}` takes is covered by this rule");
            self.refuse(place, says, format!("write `allow_in_paths: [{quirk}]` under `{name}`, if its upstream takes such paths for what the rules do"));
        }
    }

    fn report(&mut self, list: RuleList, place: Place, api: &Api, advice: &str) {
        let contract = format!("no operation in the contract of `{}` matches it", api.name);
        match list {
            RuleList::Deny => self.refuse(place, format!("this rule denies nothing: {contract}"), advice),
            RuleList::Allow => self.warn(place, format!("this rule allows nothing: {contract}"), advice),
        }
    }
}

fn rules<'r>(role: &'r Role, marks: &'r RuleMarks) -> impl Iterator<Item = (RuleList, &'r Rule, Place)> {
    let allow = role.allow.iter().zip(&marks.allow).map(|(rule, place)| (RuleList::Allow, rule, *place));
    let deny = role.deny.iter().zip(&marks.deny).map(|(rule, place)| (RuleList::Deny, rule, *place));
    allow.chain(deny)
}

/// The rule's API and its operations, where only these can be asked for.
fn contract<'p>(policy: &'p Policy, rule: &Rule) -> Option<(&'p Api, &'p [Operation])> {
    let api = policy.apis.iter().find(|api| api.name == *rule.api())?;
    let operations = api.operations.as_deref().filter(|_| api.unlisted == Unlisted::Refuse)?;
    Some((api, operations))
}

/// Whether some request to the operation is matched; HEAD goes to a GET operation.
fn matches(rule: &MethodPath, operation: &Operation) -> bool {
    let head = operation.method == Method::Get && rule.has(Method::Head);
    (head || rule.has(operation.method)) && rule.template().overlaps(&operation.template)
}

/// What may have been meant: another method at this path, the path behind its base, or a name that is near.
fn advise(rule: &MethodPath, operations: &[Operation]) -> String {
    let written = rule.template().as_str();
    let here = operations.iter().filter(|operation| rule.template().overlaps(&operation.template));
    let here: Vec<_> = here.map(shown).collect();
    if !here.is_empty() {
        return format!("the operations at this path are {}", listed(here.iter().map(String::as_str)));
    }
    let paths = || operations.iter().map(|operation| operation.template.as_str());
    match paths().find(|path| path.ends_with(written)).or_else(|| nearest(written, paths())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let all: Vec<_> = operations.iter().map(shown).collect();
            format!("its operations are {}", listed(all.iter().map(String::as_str)))
        }
    }
}

fn shown(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.template)
}
