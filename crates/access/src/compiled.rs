//! The index that decisions use, compiled from a policy whose every rule means something.
//!
//! A role compiles to one verdict per operation, so that the steady path is a look-up; only a rule that covers
//! some of an operation's paths is matched against the path itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{ApiName, RoleName};
use crate::limit::Rate;
use crate::operation::{Method, Operation, OperationIndex};
use crate::policy::{Api, Policy, PolicyError, Route, RuleList};
use crate::role::{MethodPath, Preset, Role, Rule, Scope};
use crate::router::Router;

/// The place of an API in the policy's list.
pub type ApiIndex = usize;

/// A policy whose every rule means something, with the index that decisions use.
#[derive(Debug)]
pub struct Compiled {
    policy: Policy,
    routers: Vec<Option<Router>>,
    prefixes: BTreeMap<Box<str>, ApiIndex>,
    hosts: BTreeMap<Box<str>, ApiIndex>,
    roles: BTreeMap<RoleName, CompiledRole>,
    /// Every role, those that allow the least first.
    narrowest: Vec<RoleName>,
}

#[derive(Debug)]
struct CompiledRole {
    rate: Option<Rate>,
    /// A `deny` rule that cannot be read: the role refuses everything.
    refuses: Option<Clause>,
    apis: BTreeMap<ApiIndex, RoleOnApi>,
}

/// One role's rules about one API.
#[derive(Debug, Default)]
struct RoleOnApi {
    deny: Vec<Clause>,
    allow: Vec<Clause>,
    /// One verdict per operation of the contract, for requests with the operation's own method.
    table: Vec<Verdict>,
}

/// One rule of a role, compiled.
#[derive(Debug)]
pub struct Clause {
    shown: Arc<str>,
    matcher: Matcher,
    names: [Arc<str>; Method::ALL.len()],
}

impl PartialEq for Clause {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

impl Eq for Clause {}

impl Clause {
    fn new(list: RuleList, rule: &str, matcher: Matcher) -> Self {
        let template = match &matcher {
            Matcher::Path(path) => path.template().as_str(),
            Matcher::Preset(_) | Matcher::Operations(_) => "/**",
        };
        let names = Method::ALL.map(|method| format!("{method} {template}").into());
        Self { shown: format!("{list} {rule}").into(), matcher, names }
    }

    /// `allow orders:read`: what the journal shows of it.
    #[must_use]
    pub const fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// `METHOD template`: what an operation is called that no contract names and this rule allows.
    #[must_use]
    pub fn name(&self, method: Method) -> Arc<str> {
        let place = Method::ALL.iter().position(|known| *known == method);
        place.and_then(|place| self.names.get(place)).unwrap_or(&self.shown).clone()
    }
}

#[derive(Debug)]
enum Matcher {
    Preset(Preset),
    /// Places of operations, ascending.
    Operations(Vec<OperationIndex>),
    Path(MethodPath),
}

/// What a role says about an operation, as far as the operation alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Denied(usize),
    Allowed(usize),
    Silent,
    /// The path decides.
    Depends,
}

/// A request as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: Method,
    /// Its canonical path, relative to the API.
    pub path: &'a str,
    /// Its operation, if the API has a contract that names it.
    pub operation: Option<OperationIndex>,
}

/// What a role says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling<'p> {
    /// A `deny` rule covers it; nothing can allow it.
    Denied(&'p Clause),
    /// An `allow` rule covers it.
    Allowed(&'p Clause),
    /// No rule covers it.
    Silent,
}

fn slash_in(path: &str) -> Option<usize> {
    path.bytes().position(|byte| byte == b'/')
}

impl Compiled {
    /// Checks and compiles a policy.
    ///
    /// # Errors
    /// [`PolicyError`] names the first part that is wrong.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        let mut compiled = Self {
            routers: Vec::with_capacity(policy.apis.len()),
            prefixes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            roles: BTreeMap::new(),
            narrowest: Vec::new(),
            policy: Policy::default(),
        };
        for (index, api) in policy.apis.iter().enumerate() {
            compiled.add_api(&policy, index, api)?;
        }
        for (name, role) in &policy.roles {
            if role.allow.is_empty() && role.unread.allow.is_empty() {
                return Err(PolicyError::EmptyRole(name.clone()));
            }
            let compiled_role = compile_role(&policy.apis, name, role)?;
            compiled.roles.insert(name.clone(), compiled_role);
        }
        compiled.narrowest = compiled.roles.keys().cloned().collect();
        let roles = &compiled.roles;
        compiled.narrowest.sort_by_cached_key(|name| roles.get(name).map(CompiledRole::breadth));
        compiled.policy = policy;
        Ok(compiled)
    }

    fn add_api(&mut self, policy: &Policy, index: ApiIndex, api: &Api) -> Result<(), PolicyError> {
        let (routes, key) = match &api.route {
            Route::Prefix(prefix) => (&mut self.prefixes, prefix),
            Route::Host(host) => (&mut self.hosts, host),
        };
        let taken = routes.insert(key.clone(), index).and_then(|first| policy.apis.get(first));
        if let Some(first) = taken {
            return Err(PolicyError::SameRoute { first: first.name.clone(), second: api.name.clone() });
        }
        if policy.apis.iter().take(index).any(|other| other.name == api.name) {
            return Err(PolicyError::SameName(api.name.clone()));
        }
        let router = api.operations.as_deref().map(Router::new).transpose();
        self.routers.push(router.map_err(|why| PolicyError::Contract { api: api.name.clone(), why })?);
        Ok(())
    }

    /// The policy as written.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The API at this place.
    #[must_use]
    pub fn api(&self, index: ApiIndex) -> Option<&Api> {
        self.policy.apis.get(index)
    }

    /// The API that a request is for, and its path within the API; an empty rest stands for `/`.
    ///
    /// `host` may carry a port and any case; a host route goes before a prefix route.
    #[must_use]
    pub fn route<'p>(&self, host: &str, path: &'p str) -> Option<(ApiIndex, &'p str)> {
        if let Some(index) = self.by_host(host) {
            return Some((index, path));
        }
        let inner = path.strip_prefix('/')?;
        let (first, rest) = slash_in(inner).map_or((inner, ""), |slash| inner.split_at(slash));
        self.prefixes.get(first).map(|index| (*index, rest))
    }

    fn by_host(&self, host: &str) -> Option<ApiIndex> {
        if self.hosts.is_empty() {
            return None;
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        self.hosts.get(name.to_ascii_lowercase().as_str()).copied()
    }

    /// The operation that a request asks for.
    #[must_use]
    pub fn operation(
        &self,
        api: ApiIndex,
        method: Method,
        path: &str,
    ) -> Option<(OperationIndex, &Operation)> {
        let index = self.routers.get(api)?.as_ref()?.find(method, path)?;
        Some((index, self.api(api)?.operations.as_ref()?.get(index)?))
    }

    /// How fast one subject may use a role; `None` if the role states no rate or does not exist.
    #[must_use]
    pub fn role_rate(&self, role: &RoleName) -> Option<Rate> {
        self.roles.get(role)?.rate
    }

    /// What a role says about a request to an API. A role that does not exist says nothing.
    #[must_use]
    pub fn ruling(&self, role: &RoleName, api: ApiIndex, asked: Asked<'_>) -> Ruling<'_> {
        let Some(role) = self.roles.get(role) else { return Ruling::Silent };
        if let Some(unread) = &role.refuses {
            return Ruling::Denied(unread);
        }
        let Some(rules) = role.apis.get(&api) else { return Ruling::Silent };
        let listed = asked.operation.and_then(|index| self.api(api)?.operations.as_ref()?.get(index));
        match listed.filter(|operation| operation.method == asked.method).zip(asked.operation) {
            Some((_, index)) => rules.look_up(index, asked),
            // HEAD on a GET operation, or no contract that names the request.
            None => rules.search(asked, self.presets_apply(api, asked)),
        }
    }

    /// Outside a contract that allows unlisted requests, only path rules speak.
    fn presets_apply(&self, api: ApiIndex, asked: Asked<'_>) -> PresetsApply {
        let contracted = self.api(api).is_some_and(|api| api.operations.is_some());
        if contracted && asked.operation.is_none() { PresetsApply::No } else { PresetsApply::Yes }
    }

    /// The roles whose rules would allow a request, at most `most` of them: those that allow the least first.
    #[must_use]
    pub fn roles_allowing(&self, api: ApiIndex, asked: Asked<'_>, most: usize) -> Vec<&RoleName> {
        let allows = |role: &&RoleName| matches!(self.ruling(role, api, asked), Ruling::Allowed(_));
        self.narrowest.iter().filter(allows).take(most).collect()
    }

    /// The APIs that a role's rules are about.
    #[must_use]
    pub fn apis_of(&self, role: &RoleName) -> Vec<&ApiName> {
        let apis = self.roles.get(role).into_iter().flat_map(|role| role.apis.keys());
        apis.filter_map(|index| self.api(*index)).map(|api| &api.name).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PresetsApply {
    Yes,
    No,
}

impl CompiledRole {
    /// How much it allows: operations of contracts, then the reach of its rules on every API.
    fn breadth(&self) -> (usize, usize) {
        let on_apis = self.apis.values().map(RoleOnApi::breadth);
        on_apis.fold((0, 0), |(operations, reach), (more, further)| (operations + more, reach + further))
    }
}

impl RoleOnApi {
    /// The operations that it may allow, and the methods of its widest rule.
    fn breadth(&self) -> (usize, usize) {
        let allowed =
            self.table.iter().filter(|verdict| matches!(verdict, Verdict::Allowed(_) | Verdict::Depends));
        let widest = self.allow.iter().map(|rule| rule.matcher.breadth()).max();
        (allowed.count(), widest.unwrap_or(0))
    }

    fn look_up(&self, operation: OperationIndex, asked: Asked<'_>) -> Ruling<'_> {
        match self.table.get(operation) {
            Some(Verdict::Denied(rule)) => self.deny.get(*rule).map_or(Ruling::Silent, Ruling::Denied),
            Some(Verdict::Allowed(rule)) => self.allow.get(*rule).map_or(Ruling::Silent, Ruling::Allowed),
            Some(Verdict::Depends) => self.search(asked, PresetsApply::Yes),
            Some(Verdict::Silent) | None => Ruling::Silent,
        }
    }

    fn search(&self, asked: Asked<'_>, presets: PresetsApply) -> Ruling<'_> {
        let covers = |rule: &&Clause| rule.matcher.covers(asked, presets);
        if let Some(rule) = self.deny.iter().find(covers) {
            return Ruling::Denied(rule);
        }
        self.allow.iter().find(covers).map_or(Ruling::Silent, Ruling::Allowed)
    }

    fn fill_table(&mut self, operations: &[Operation]) {
        let verdict = |(index, operation): (usize, &Operation)| {
            let (deny, allow) = (reach(&self.deny, index, operation), reach(&self.allow, index, operation));
            match (deny, allow) {
                (Reach::Always(rule), _) => Verdict::Denied(rule),
                (Reach::Never, Reach::Always(rule)) => Verdict::Allowed(rule),
                (Reach::Never, Reach::Never) => Verdict::Silent,
                _ => Verdict::Depends,
            }
        };
        self.table = operations.iter().enumerate().map(verdict).collect();
    }
}

/// Whether rules cover an operation for all of its paths, some or none.
#[derive(Clone, Copy)]
enum Reach {
    Always(usize),
    Sometimes,
    Never,
}

/// The first rule that reaches an operation settles it, unless it reaches only some of its paths.
fn reach(rules: &[Clause], index: OperationIndex, operation: &Operation) -> Reach {
    let reaches = rules.iter().enumerate().map(|(place, rule)| match &rule.matcher {
        Matcher::Preset(preset) if preset.covers(operation.method) => Reach::Always(place),
        Matcher::Operations(operations) if operations.binary_search(&index).is_ok() => Reach::Always(place),
        Matcher::Path(path) if !path.has(operation.method) => Reach::Never,
        Matcher::Path(path) if path.template().covers(&operation.template) => Reach::Always(place),
        Matcher::Path(path) if path.template().overlaps(&operation.template) => Reach::Sometimes,
        _ => Reach::Never,
    });
    reaches.into_iter().find(|reach| !matches!(reach, Reach::Never)).unwrap_or(Reach::Never)
}

impl Matcher {
    /// How many methods it covers on every path; none for a rule about some paths.
    fn breadth(&self) -> usize {
        let covered =
            |covers: &dyn Fn(Method) -> bool| Method::ALL.iter().filter(|method| covers(**method)).count();
        match self {
            Self::Preset(preset) => covered(&|method| preset.covers(method)),
            Self::Path(path) if path.template().as_str() == "/**" => covered(&|method| path.has(method)),
            Self::Operations(_) | Self::Path(_) => 0,
        }
    }

    fn covers(&self, asked: Asked<'_>, presets: PresetsApply) -> bool {
        match self {
            Self::Preset(preset) => presets == PresetsApply::Yes && preset.covers(asked.method),
            Self::Operations(places) => {
                asked.operation.is_some_and(|index| places.binary_search(&index).is_ok())
            }
            Self::Path(path) => path.matches(asked.method, asked.path),
        }
    }
}

fn compile_role(apis: &[Api], name: &RoleName, role: &Role) -> Result<CompiledRole, PolicyError> {
    let mut on: BTreeMap<ApiIndex, RoleOnApi> = BTreeMap::new();
    for (list, rules) in [(RuleList::Deny, &role.deny), (RuleList::Allow, &role.allow)] {
        for (place, rule) in rules.iter().enumerate() {
            let error = |why| PolicyError::Rule { role: name.clone(), list, place, why };
            let (index, compiled) = compile_rule(apis, list, rule).map_err(error)?;
            let on_api = on.entry(index).or_default();
            match list {
                RuleList::Allow => on_api.allow.push(compiled),
                RuleList::Deny => on_api.deny.push(compiled),
            }
        }
    }
    for (index, on_api) in &mut on {
        let operations = apis.get(*index).and_then(|api| api.operations.as_deref());
        on_api.fill_table(operations.unwrap_or_default());
    }
    let unread = role.unread.deny.first();
    let refuses = unread.map(|text| Clause::new(RuleList::Deny, text, Matcher::Preset(Preset::All)));
    Ok(CompiledRole { rate: role.rate, refuses, apis: on })
}

fn compile_rule(apis: &[Api], list: RuleList, rule: &Rule) -> Result<(ApiIndex, Clause), String> {
    let found = apis.iter().enumerate().find(|(_, api)| api.name == *rule.api());
    let (index, api) = found.ok_or_else(|| format!("there is no API named `{}`", rule.api()))?;
    let matcher = match rule.scope() {
        Scope::Preset(preset) => Matcher::Preset(*preset),
        Scope::Path(path) => Matcher::Path(path.clone()),
        Scope::Operation(name) => {
            Matcher::Operations(places(api, &format!("an operation named `{name}`"), |op| {
                *op.name == **name
            })?)
        }
        Scope::Tag(tag) => Matcher::Operations(places(api, &format!("an operation tagged `{tag}`"), |op| {
            op.tags.contains(tag)
        })?),
    };
    Ok((index, Clause::new(list, rule.text(), matcher)))
}

fn places(api: &Api, what: &str, wanted: impl Fn(&Operation) -> bool) -> Result<Vec<OperationIndex>, String> {
    let Some(operations) = &api.operations else {
        return Err(format!(
            "the API `{}` has no contract, so it cannot have {what}: use a path rule",
            api.name
        ));
    };
    let places: Vec<_> =
        operations.iter().enumerate().filter(|(_, op)| wanted(op)).map(|(place, _)| place).collect();
    if places.is_empty() {
        return Err(format!("the contract of `{}` does not have {what}", api.name));
    }
    Ok(places)
}

#[cfg(test)]
mod tests;
