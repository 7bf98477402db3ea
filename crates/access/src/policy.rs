//! The policy: APIs, roles and people as the configuration states them, and the index compiled from it.
//!
//! [`Policy`] is text that may be wrong; [`Compiled`] exists only if every rule means something. A role
//! compiles to one verdict per operation, so that the steady path is a look-up.
//! Not here: who holds what (see `view`), upstreams and secrets (the binary's configuration).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ApiName, Name, RoleName};
use crate::limit::Rate;
use crate::operation::{Method, Operation, OperationIndex, Router, SameRequests};
use crate::role::{MethodPath, Preset, Role, Rule, Scope};
use crate::subject::{SubjectId, SubjectKind};

/// The policy as written: what the ledger keeps of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Protected services, sorted by name.
    pub apis: Vec<Api>,
    /// Roles by name.
    pub roles: BTreeMap<RoleName, Role>,
    /// People with their groups.
    pub users: BTreeMap<Name, BTreeSet<Name>>,
    /// Who administers.
    pub administrators: Vec<Principal>,
    /// Who reads the journal.
    pub auditors: Vec<Principal>,
}

/// A protected service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// Its name.
    pub name: ApiName,
    /// How requests for it are told from others.
    pub route: Route,
    /// What its contract names; `None` without a contract.
    pub operations: Option<Vec<Operation>>,
    /// What becomes of requests outside the contract.
    pub unlisted: Unlisted,
    /// The longest request body, in bytes.
    pub request_body_bytes_max: u64,
    /// How many requests of all subjects together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// How requests for an API are told from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// By the first path segment, here without slashes.
    Prefix(Box<str>),
    /// By host, in lower case and without port.
    Host(Box<str>),
}

/// What becomes of requests outside an API's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// `operation_unknown`, for every role.
    Refuse,
    /// Path rules may name them.
    Allow,
}

/// A person, a group or a service, as lists of the configuration name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// `group:NAME`.
    Group(Name),
    /// `user:NAME` or `service:NAME`.
    Subject(SubjectId),
}

impl std::str::FromStr for Principal {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("group:") {
            Some(group) => Ok(Self::Group(group.parse()?)),
            None => Ok(Self::Subject(text.parse()?)),
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Subject(subject) => subject.fmt(f),
        }
    }
}

impl Serialize for Principal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Policy {
    /// Whether one of `principals` is this subject or a group of theirs.
    #[must_use]
    pub fn includes(&self, principals: &[Principal], subject: &SubjectId) -> bool {
        principals.iter().any(|principal| match principal {
            Principal::Subject(named) => named == subject,
            Principal::Group(group) => {
                subject.kind() == SubjectKind::User
                    && self
                        .users
                        .get(subject.name())
                        .is_some_and(|groups| groups.contains(group))
            }
        })
    }
}

/// Which list of a role a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleList {
    /// `allow:`.
    Allow,
    /// `deny:`.
    Deny,
}

/// Why a policy cannot be used, and which part of it is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A rule about an API, operation or tag that does not exist.
    #[error("{why}")]
    Rule {
        /// The role it stands in.
        role: RoleName,
        /// The list it stands in.
        list: RuleList,
        /// Its place in that list.
        place: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A role that allows nothing.
    #[error("the role `{0}` allows nothing: name at least one operation under `allow`")]
    EmptyRole(RoleName),
    /// Two APIs at one route.
    #[error("the APIs `{first}` and `{second}` have the same route")]
    SameRoute {
        /// The one that came first.
        first: ApiName,
        /// The one that came after it.
        second: ApiName,
    },
    /// Two APIs of one name.
    #[error("two APIs are named `{0}`")]
    SameName(ApiName),
    /// A contract whose operations cannot be told apart.
    #[error("{why} in the contract of `{api}`")]
    Contract {
        /// The API.
        api: ApiName,
        /// What is wrong.
        why: SameRequests,
    },
}

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
}

#[derive(Debug)]
struct CompiledRole {
    rate: Option<Rate>,
    apis: BTreeMap<ApiIndex, RoleOnApi>,
}

/// One role's rules about one API.
#[derive(Debug, Default)]
struct RoleOnApi {
    deny: Vec<CompiledRule>,
    allow: Vec<CompiledRule>,
    /// One verdict per operation of the contract, for requests with the operation's own method.
    table: Vec<Verdict>,
}

#[derive(Debug)]
struct CompiledRule {
    /// `allow orders:read`: what the journal shows.
    shown: Arc<str>,
    matcher: Matcher,
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
    Denied(&'p Arc<str>),
    /// An `allow` rule covers it.
    Allowed(&'p Arc<str>),
    /// No rule covers it.
    Silent,
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
            policy: Policy::default(),
        };
        for (index, api) in policy.apis.iter().enumerate() {
            compiled.add_api(&policy, index, api)?;
        }
        for (name, role) in &policy.roles {
            if role.allow.is_empty() {
                return Err(PolicyError::EmptyRole(name.clone()));
            }
            let compiled_role = compile_role(&policy.apis, name, role)?;
            compiled.roles.insert(name.clone(), compiled_role);
        }
        compiled.policy = policy;
        Ok(compiled)
    }

    fn add_api(&mut self, policy: &Policy, index: ApiIndex, api: &Api) -> Result<(), PolicyError> {
        let (routes, key) = match &api.route {
            Route::Prefix(prefix) => (&mut self.prefixes, prefix),
            Route::Host(host) => (&mut self.hosts, host),
        };
        let taken = routes
            .insert(key.clone(), index)
            .and_then(|first| policy.apis.get(first));
        if let Some(first) = taken {
            return Err(PolicyError::SameRoute {
                first: first.name.clone(),
                second: api.name.clone(),
            });
        }
        if policy.apis.iter().take(index).any(|other| other.name == api.name) {
            return Err(PolicyError::SameName(api.name.clone()));
        }
        let router = api.operations.as_deref().map(Router::new).transpose();
        self.routers.push(router.map_err(|why| PolicyError::Contract {
            api: api.name.clone(),
            why,
        })?);
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
        let (first, rest) = inner
            .find('/')
            .map_or((inner, "/"), |slash| inner.split_at(slash));
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
        let rules = self.roles.get(role).and_then(|role| role.apis.get(&api));
        let Some(rules) = rules else { return Ruling::Silent };
        let listed = asked
            .operation
            .and_then(|index| self.api(api)?.operations.as_ref()?.get(index));
        match listed
            .filter(|operation| operation.method == asked.method)
            .zip(asked.operation)
        {
            Some((_, index)) => rules.look_up(index, asked),
            // HEAD on a GET operation, or no contract that names the request.
            None => rules.search(asked, self.presets_apply(api, asked)),
        }
    }

    /// Outside a contract that allows unlisted requests, only path rules speak.
    fn presets_apply(&self, api: ApiIndex, asked: Asked<'_>) -> PresetsApply {
        let contracted = self.api(api).is_some_and(|api| api.operations.is_some());
        if contracted && asked.operation.is_none() {
            PresetsApply::No
        } else {
            PresetsApply::Yes
        }
    }

    /// The roles whose rules would allow a request, at most `most` of them, by name.
    #[must_use]
    pub fn roles_allowing(&self, api: ApiIndex, asked: Asked<'_>, most: usize) -> Vec<&RoleName> {
        let allows = |role: &&RoleName| matches!(self.ruling(role, api, asked), Ruling::Allowed(_));
        self.roles.keys().filter(allows).take(most).collect()
    }

    /// The APIs that a role's rules are about.
    #[must_use]
    pub fn apis_of(&self, role: &RoleName) -> Vec<&ApiName> {
        let apis = self.roles.get(role).into_iter().flat_map(|role| role.apis.keys());
        apis.filter_map(|index| self.api(*index))
            .map(|api| &api.name)
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PresetsApply {
    Yes,
    No,
}

impl RoleOnApi {
    fn look_up(&self, operation: OperationIndex, asked: Asked<'_>) -> Ruling<'_> {
        match self.table.get(operation) {
            Some(Verdict::Denied(rule)) => self.deny.get(*rule).map_or(Ruling::Silent, CompiledRule::denied),
            Some(Verdict::Allowed(rule)) => self
                .allow
                .get(*rule)
                .map_or(Ruling::Silent, CompiledRule::allowed),
            Some(Verdict::Depends) => self.search(asked, PresetsApply::Yes),
            Some(Verdict::Silent) | None => Ruling::Silent,
        }
    }

    fn search(&self, asked: Asked<'_>, presets: PresetsApply) -> Ruling<'_> {
        let covers = |rule: &&CompiledRule| rule.matcher.covers(asked, presets);
        if let Some(rule) = self.deny.iter().find(covers) {
            return rule.denied();
        }
        self.allow
            .iter()
            .find(covers)
            .map_or(Ruling::Silent, CompiledRule::allowed)
    }

    fn fill_table(&mut self, operations: &[Operation]) {
        let verdict = |(index, operation): (usize, &Operation)| {
            let (deny, allow) = (
                reach(&self.deny, index, operation),
                reach(&self.allow, index, operation),
            );
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
fn reach(rules: &[CompiledRule], index: OperationIndex, operation: &Operation) -> Reach {
    let reaches = rules.iter().enumerate().map(|(place, rule)| match &rule.matcher {
        Matcher::Preset(preset) if preset.covers(operation.method) => Reach::Always(place),
        Matcher::Operations(operations) if operations.binary_search(&index).is_ok() => Reach::Always(place),
        Matcher::Path(path) if !path.has(operation.method) => Reach::Never,
        Matcher::Path(path) if path.template().covers(&operation.template) => Reach::Always(place),
        Matcher::Path(path) if path.template().overlaps(&operation.template) => Reach::Sometimes,
        _ => Reach::Never,
    });
    reaches
        .into_iter()
        .find(|reach| !matches!(reach, Reach::Never))
        .unwrap_or(Reach::Never)
}

impl CompiledRule {
    fn denied(&self) -> Ruling<'_> {
        Ruling::Denied(&self.shown)
    }

    fn allowed(&self) -> Ruling<'_> {
        Ruling::Allowed(&self.shown)
    }
}

impl Matcher {
    fn covers(&self, asked: Asked<'_>, presets: PresetsApply) -> bool {
        match self {
            Self::Preset(preset) => presets == PresetsApply::Yes && preset.covers(asked.method),
            Self::Operations(places) => asked
                .operation
                .is_some_and(|index| places.binary_search(&index).is_ok()),
            Self::Path(path) => path.matches(asked.method, asked.path),
        }
    }
}

fn compile_role(apis: &[Api], name: &RoleName, role: &Role) -> Result<CompiledRole, PolicyError> {
    let mut on: BTreeMap<ApiIndex, RoleOnApi> = BTreeMap::new();
    for (list, rules) in [(RuleList::Deny, &role.deny), (RuleList::Allow, &role.allow)] {
        for (place, rule) in rules.iter().enumerate() {
            let error = |why| PolicyError::Rule {
                role: name.clone(),
                list,
                place,
                why,
            };
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
    Ok(CompiledRole {
        rate: role.rate,
        apis: on,
    })
}

fn compile_rule(apis: &[Api], list: RuleList, rule: &Rule) -> Result<(ApiIndex, CompiledRule), String> {
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
    let verb = if list == RuleList::Allow { "allow" } else { "deny" };
    Ok((
        index,
        CompiledRule {
            shown: format!("{verb} {rule}").into(),
            matcher,
        },
    ))
}

fn places(api: &Api, what: &str, wanted: impl Fn(&Operation) -> bool) -> Result<Vec<OperationIndex>, String> {
    let Some(operations) = &api.operations else {
        return Err(format!(
            "the API `{}` has no contract, so it cannot have {what}: use a path rule",
            api.name
        ));
    };
    let places: Vec<_> = operations
        .iter()
        .enumerate()
        .filter(|(_, op)| wanted(op))
        .map(|(place, _)| place)
        .collect();
    if places.is_empty() {
        return Err(format!("the contract of `{}` does not have {what}", api.name));
    }
    Ok(places)
}
