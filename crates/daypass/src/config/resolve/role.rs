//! `roles:`: rules, and whether each of them means something.

use std::collections::BTreeMap;

use access::RoleName;
use access::policy::{Api, Compiled, Policy, PolicyError, Route, RuleList};
use access::role::{Role, Rule, Scope, Unread};
use admin::near::{listed, nearest};

use super::super::api::{self as written};
use super::super::finding::FINDINGS_MAX;
use super::super::place::{Named, Place, Placed};
use super::super::text::RuleText;
use super::Resolver;
use super::api::ApiMarks;

/// What became of `roles:`.
#[derive(Default)]
pub(super) struct Roles {
    pub(super) roles: BTreeMap<RoleName, Role>,
    pub(super) marks: RoleMarks,
}

/// Where the rules of each role stand.
pub(super) type RoleMarks = BTreeMap<RoleName, RuleMarks>;

/// Where the rules of one role stand, in the order of its lists.
#[derive(Default)]
pub(super) struct RuleMarks {
    pub(super) allow: Vec<Place>,
    pub(super) deny: Vec<Place>,
}

impl Resolver<'_> {
    pub(super) fn roles(&mut self, written: &Named<written::Role>) -> Roles {
        let mut roles = Roles::default();
        for (name, role) in written {
            if role.allow.is_empty() {
                let says = format!("the role `{}` allows nothing", name.value);
                self.refuse(role.allow.place, says, "name at least one rule, like `\"orders:read\"`");
            }
            let (allow, allow_marks) = self.rules(&role.allow);
            let (deny, deny_marks) = self.rules(&role.deny);
            let limits = role.limits.as_ref();
            let rate = limits.and_then(|limits| self.rate(limits.rate.as_ref(), limits.burst.as_ref()));
            if let Some(name) = self.name::<RoleName>(name) {
                roles.marks.insert(name.clone(), RuleMarks { allow: allow_marks, deny: deny_marks });
                roles.roles.insert(name, Role { allow, deny, rate, unread: Unread::default() });
            }
        }
        roles
    }

    fn rules(&mut self, written: &[Placed<RuleText>]) -> (Vec<Rule>, Vec<Place>) {
        let parsed = written.iter().filter_map(|written| {
            let rule = written.parse::<Rule>();
            if let Err(why) = &rule {
                let cause = std::error::Error::source(why).map(|cause| format!(": {cause}"));
                let says = format!("{why}{}", cause.unwrap_or_default());
                let advice =
                    "write `API:METHOD /path`, `API:operationId`, `API:tag:NAME` or `API:read|write|all`";
                self.refuse(written.place, says, advice);
            }
            Some((rule.ok()?, written.place))
        });
        parsed.unzip()
    }

    /// Compiles the policy, and again without what was wrong, until nothing is; then looks at what rules reach.
    pub(super) fn check_rules(&mut self, policy: &Policy, apis: &ApiMarks, mut roles: RoleMarks) {
        let mut left = policy.clone();
        forget_unread(&mut left, apis, &mut roles);
        for _ in 0..FINDINGS_MAX {
            match Compiled::new(left.clone()) {
                Ok(_) => return self.check_reach(&left, &roles),
                Err(error) => self.take_out(&error, &mut left, apis, &mut roles),
            }
        }
        self.refuse(Place::FILE, "more rules are wrong than are shown", "fix these first");
    }

    /// Reports what is wrong and takes it out of the policy.
    fn take_out(&mut self, error: &PolicyError, left: &mut Policy, apis: &ApiMarks, roles: &mut RoleMarks) {
        match error {
            PolicyError::Rule { role, list, place, why } => {
                let Some((rule, at)) = remove_rule(left, roles, role, *list, *place) else { return };
                self.refuse(at, why.as_str(), advise(&rule, &left.apis));
            }
            // Reported where it was read; or its rules were wrong.
            PolicyError::EmptyRole(role) => {
                left.roles.remove(role);
            }
            PolicyError::SameRoute { second, .. } => {
                let at = apis.routes.get(second).copied().unwrap_or_default();
                self.refuse(at, error.to_string(), "give one of them another prefix or host");
                let api = left.apis.iter_mut().find(|api| api.name == *second);
                if let Some(api) = api {
                    api.route = Route::Host(format!("{second} has no route").into());
                }
            }
            // Neither can come from a file whose keys and contracts have been read.
            PolicyError::SameName(_) | PolicyError::Contract { .. } => {
                self.refuse(
                    Place::FILE,
                    error.to_string(),
                    "give each API one name, and each request one operation",
                );
                left.apis.clear();
                left.roles.clear();
            }
        }
    }
}

/// Takes out the rules that need a contract which could not be read.
fn forget_unread(left: &mut Policy, apis: &ApiMarks, roles: &mut RoleMarks) {
    for (name, role) in &mut left.roles {
        let Some(marks) = roles.get_mut(name) else { continue };
        for (rules, marks) in [(&mut role.allow, &mut marks.allow), (&mut role.deny, &mut marks.deny)] {
            let known: Vec<_> = std::mem::take(rules)
                .into_iter()
                .zip(std::mem::take(marks))
                .filter(|(rule, _)| !apis.unread.contains(rule.api()))
                .collect();
            (*rules, *marks) = known.into_iter().unzip();
        }
    }
}

fn remove_rule(
    left: &mut Policy,
    marks: &mut RoleMarks,
    name: &RoleName,
    list: RuleList,
    place: usize,
) -> Option<(Rule, Place)> {
    let (role, marks) = (left.roles.get_mut(name)?, marks.get_mut(name)?);
    let (rules, marks) = match list {
        RuleList::Allow => (&mut role.allow, &mut marks.allow),
        RuleList::Deny => (&mut role.deny, &mut marks.deny),
    };
    let known = place < rules.len() && place < marks.len();
    known.then(|| (rules.remove(place), marks.remove(place)))
}

/// What could be written instead of a rule about something that does not exist.
fn advise(rule: &Rule, apis: &[Api]) -> String {
    let names = || apis.iter().map(|api| api.name.as_str());
    let Some(api) = apis.iter().find(|api| api.name == *rule.api()) else {
        return match nearest(rule.api().as_str(), names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use {}, or add it under `apis:`", listed(names())),
        };
    };
    let Some(operations) = &api.operations else {
        return format!("write `{}:GET /path`, or name a contract with `openapi:`", api.name);
    };
    match rule.scope() {
        Scope::Operation(wanted) => {
            let names = || operations.iter().map(|operation| &*operation.name);
            let near = nearest(wanted, names()).map(|near| format!("did you mean `{near}`?"));
            near.unwrap_or_else(|| format!("its operations are {}", listed(names())))
        }
        _ => {
            let tags: std::collections::BTreeSet<&str> =
                operations.iter().flat_map(|operation| operation.tags.iter().map(|tag| &**tag)).collect();
            format!("its tags are {}", listed(tags))
        }
    }
}
