//! The policy: APIs, roles and people as the configuration states them.
//!
//! [`Policy`] is text that may be wrong; [`Compiled`] exists only if every rule that can be read means something.
//! Not here: who holds what (see `view`), upstreams and secrets (the binary's configuration).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{ApiName, Name, RoleName};
use crate::limit::Rate;
use crate::operation::{Operation, SameRequests};
use crate::quirk::Quirks;
use crate::role::Role;
use crate::subject::{SubjectId, SubjectKind};

pub use crate::compiled::{ApiIndex, Asked, Clause, Compiled, Ruling};

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
    /// What its paths may have that readers differ about.
    #[serde(default, skip_serializing_if = "Quirks::is_none")]
    pub quirks: Quirks,
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
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Policy {
    /// The rules of a recorded policy that this build cannot read, with their roles.
    pub fn unread(&self) -> impl Iterator<Item = (&RoleName, RuleList, &str)> {
        self.roles.iter().flat_map(|(name, role)| {
            let allow = role.unread.allow.iter().map(move |text| (name, RuleList::Allow, text.as_str()));
            allow.chain(role.unread.deny.iter().map(move |text| (name, RuleList::Deny, text.as_str())))
        })
    }

    /// Whether one of `principals` is this subject or a group of theirs.
    #[must_use]
    pub fn includes(&self, principals: &[Principal], subject: &SubjectId) -> bool {
        principals.iter().any(|principal| match principal {
            Principal::Subject(named) => named == subject,
            Principal::Group(group) => {
                subject.kind() == SubjectKind::User
                    && self.users.get(subject.name()).is_some_and(|groups| groups.contains(group))
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

impl std::fmt::Display for RuleList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Method;

    const POLICY: &str = r#"{
        "apis": [{"name": "x", "route": {"prefix": "x"}, "operations": null, "unlisted": "allow",
                  "request_body_bytes_max": 0}],
        "roles": {
            "less": {"allow": ["x:read", "x:FETCH /a"]},
            "nothing": {"allow": ["x:FETCH /a"]},
            "shut": {"allow": ["x:read"], "deny": ["y"]},
            "whole": {"allow": ["x:read"]}
        },
        "users": {}, "administrators": [], "auditors": []
    }"#;

    #[test]
    fn an_unread_allow_gives_nothing_and_an_unread_deny_refuses_everything_of_its_role() {
        let compiled = Compiled::new(serde_json::from_str(POLICY).unwrap()).unwrap();
        let ruling = |role: &str, method| {
            let asked = Asked { method, path: "/a", operation: None };
            match compiled.ruling(&role.parse().unwrap(), 0, asked) {
                Ruling::Denied(clause) => clause.shown().to_string(),
                Ruling::Allowed(_) => "allowed".to_owned(),
                Ruling::Silent => "silent".to_owned(),
            }
        };
        let said = ["less", "nothing", "shut", "whole"].map(|role| ruling(role, Method::Get));
        assert_eq!(said, ["allowed", "silent", "deny y", "allowed"]);
        assert_eq!([ruling("less", Method::Post), ruling("shut", Method::Post)], ["silent", "deny y"]);
        let unread = compiled.policy().unread().map(|(role, list, text)| format!("{role} {list} {text}"));
        let unread: Vec<_> = unread.collect();
        assert_eq!(unread, ["less allow x:FETCH /a", "nothing allow x:FETCH /a", "shut deny y"]);
    }
}
