//! Roles: named sets of permissions on operations, and the rules they are written in.
//!
//! `API:METHOD TEMPLATE`, `API:operationId`, `API:tag:NAME`, `API:read|write|all`; `deny` wins over `allow`.
//! A role that was recorded is read back whatever rules a later build accepts: what it cannot read gives nothing
//! if it stood under `allow`, and refuses everything if it stood under `deny`.
//! Not here: who holds a role (see `view`), or the index that decisions use (see `policy`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ApiName, NotAnId};
use crate::limit::Rate;
use crate::operation::{Method, NotATemplate, Template};

/// A named set of permissions, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Role {
    /// What it allows.
    pub allow: Vec<Rule>,
    /// What it refuses, whatever else allows it.
    pub deny: Vec<Rule>,
    /// How fast one subject may use it.
    pub rate: Option<Rate>,
    /// What this build cannot read of a role that another one recorded.
    pub unread: Unread,
}

/// Texts that were rules when they were recorded, and are none to this build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// From `allow`: they give nothing.
    pub allow: Vec<String>,
    /// From `deny`: what they were about is not known, so the role refuses everything.
    pub deny: Vec<String>,
}

/// A role as it is recorded: its rules are texts.
#[derive(Serialize, Deserialize)]
struct Written {
    allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
}

impl From<Written> for Role {
    fn from(written: Written) -> Self {
        let Written { allow, deny, rate } = written;
        let ((allow, unread_allow), (deny, unread_deny)) = (read(allow), read(deny));
        Self { allow, deny, rate, unread: Unread { allow: unread_allow, deny: unread_deny } }
    }
}

impl From<Role> for Written {
    fn from(role: Role) -> Self {
        let Role { allow, deny, rate, unread } = role;
        let texts = |rules: Vec<Rule>, unread| {
            rules.iter().map(|rule| rule.text.as_ref().to_owned()).chain(unread).collect()
        };
        Self { allow: texts(allow, unread.allow), deny: texts(deny, unread.deny), rate }
    }
}

/// The texts that are rules, and those that are none.
fn read(texts: Vec<String>) -> (Vec<Rule>, Vec<String>) {
    let (mut rules, mut unread) = (Vec::new(), Vec::new());
    for text in texts {
        match text.parse() {
            Ok(rule) => rules.push(rule),
            Err(_) => unread.push(text),
        }
    }
    (rules, unread)
}

/// One line of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    text: Arc<str>,
    api: ApiName,
    scope: Scope,
}

/// Which operations of its API a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `read`, `write` or `all`.
    Preset(Preset),
    /// Operations with this tag.
    Tag(Box<str>),
    /// The operation of this name.
    Operation(Box<str>),
    /// Requests of these methods at these paths.
    Path(MethodPath),
}

/// Operations by what their method promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// GET, HEAD and OPTIONS.
    Read,
    /// Every other method.
    Write,
    /// Every method.
    All,
}

impl Preset {
    /// Whether it speaks of requests with this method.
    #[must_use]
    pub const fn covers(self, method: Method) -> bool {
        match self {
            Self::Read => method.is_read(),
            Self::Write => !method.is_read(),
            Self::All => true,
        }
    }
}

/// Why a text is not a rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotARule {
    /// No `API:` in front.
    #[error(
        "`{0}` does not say which API it is about: write `API:read`, `API:operationId` or `API:GET /path`"
    )]
    NoApi(String),
    /// The API's name is none.
    #[error(transparent)]
    Api(#[from] NotAnId),
    /// A method that is not forwarded.
    #[error(
        "`{0}` is not a method: use `GET`, `HEAD`, `OPTIONS`, `POST`, `PUT`, `PATCH`, `DELETE`, several with commas, or `*`"
    )]
    Method(String),
    /// A space beside a comma between methods.
    #[error(
        "`{0}` has a space in its list of methods: write it like `GET,POST /path`, no space after the comma"
    )]
    Space(String),
    /// A template that is none.
    #[error(transparent)]
    Template(#[from] NotATemplate),
    /// Nothing after `API:` or `tag:`.
    #[error("`{0}` names no operations")]
    Empty(String),
}

impl Rule {
    /// The rule as written.
    #[must_use]
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The API it is about.
    #[must_use]
    pub const fn api(&self) -> &ApiName {
        &self.api
    }

    /// The operations it speaks of.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl FromStr for Rule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let (api, rest) = text.split_once(':').ok_or_else(|| NotARule::NoApi(text.to_owned()))?;
        let scope = match (rest, rest.strip_prefix("tag:")) {
            ("", _) | (_, Some("")) => return Err(NotARule::Empty(text.to_owned())),
            (_, Some(tag)) => Scope::Tag(tag.into()),
            ("read", None) => Scope::Preset(Preset::Read),
            ("write", None) => Scope::Preset(Preset::Write),
            ("all", None) => Scope::Preset(Preset::All),
            (path, None) if is_path_form(path) => Scope::Path(path.parse()?),
            (operation, None) => Scope::Operation(operation.into()),
        };
        Ok(Self { text: text.into(), api: api.parse()?, scope })
    }
}

/// Whether it is meant as `METHOD TEMPLATE`. An operation's name may have spaces, too.
fn is_path_form(text: &str) -> bool {
    let Some((methods, template)) = text.split_once(' ') else {
        return text.starts_with('/');
    };
    let names_method = || methods.split(',').any(|name| name == "*" || Method::parse(name).is_some());
    text.starts_with('/') || template.starts_with('/') || names_method()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `METHOD TEMPLATE`: METHOD is one name, several with commas, or `*`; `GET` includes `HEAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodPath {
    text: Arc<str>,
    methods: Methods,
    template: Template,
}

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Methods(u8);

impl Methods {
    const ALL: Self = Self(u8::MAX);
    const NONE: Self = Self(0);

    const fn one(method: Method) -> Self {
        let bits = match method {
            // GET includes HEAD.
            Method::Get => 0b11,
            Method::Head => 0b10,
            Method::Options => 1 << 2,
            Method::Post => 1 << 3,
            Method::Put => 1 << 4,
            Method::Patch => 1 << 5,
            Method::Delete => 1 << 6,
        };
        Self(bits)
    }

    const fn contains(self, method: Method) -> bool {
        let own = match method {
            Method::Get => 1,
            other => Self::one(other).0,
        };
        self.0 & own != 0
    }

    fn parse(text: &str) -> Result<Self, NotARule> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        text.split(',').try_fold(Self(0), |methods, name| {
            let method = Method::parse(name).ok_or_else(|| NotARule::Method(name.to_owned()))?;
            Ok(Self(methods.0 | Self::one(method).0))
        })
    }
}

impl MethodPath {
    /// Whether it speaks of this method at all.
    #[must_use]
    pub const fn has(&self, method: Method) -> bool {
        self.methods.contains(method)
    }

    /// Whether it covers a request with this method at a canonical path.
    #[must_use]
    pub fn matches(&self, method: Method, path: &str) -> bool {
        self.methods.contains(method) && self.template.matches(path)
    }

    /// What was recorded as one of these: a text that is none to this build covers nothing.
    #[must_use]
    pub fn recorded(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self {
            text: text.into(),
            methods: Methods::NONE,
            template: Template::root(),
        })
    }

    /// Its template.
    #[must_use]
    pub const fn template(&self) -> &Template {
        &self.template
    }
}

impl FromStr for MethodPath {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let (methods, template) = text.split_once(' ').ok_or_else(|| NotARule::Method(text.to_owned()))?;
        if methods.ends_with(',') || template.starts_with(',') {
            return Err(NotARule::Space(text.to_owned()));
        }
        Ok(Self { text: text.into(), methods: Methods::parse(methods)?, template: template.parse()? })
    }
}

impl fmt::Display for MethodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Rule);
as_text!(MethodPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_an_api_and_some_of_its_operations() {
        let scope = |text: &str| text.parse::<Rule>().unwrap().scope;
        assert_eq!(scope("orders:read"), Scope::Preset(Preset::Read));
        assert_eq!(scope("orders:getOrder"), Scope::Operation("getOrder".into()));
        assert_eq!(scope("orders:tag:incident"), Scope::Tag("incident".into()));
        assert!(matches!(scope("orders:GET,POST /v1/**"), Scope::Path(_)));
        for text in [
            "orders",
            ":read",
            "orders:",
            "orders:tag:",
            "orders:/v1",
            "orders:get /v1",
            "orders:GET",
            "or ders:read",
        ] {
            let accepted = text.parse::<Rule>().is_ok();
            assert_eq!(accepted, text == "orders:GET", "{text}: a word alone is an operation's name");
        }
    }

    #[test]
    fn an_operation_with_a_space_in_its_name_can_be_named() {
        let parse = |text: &str| text.parse::<Rule>().map(|rule| rule.scope);
        for name in ["list things", "get order", "a GET /x"] {
            let named = Scope::Operation(name.into());
            assert_eq!(parse(&format!("orders:{name}")), Ok(named), "{name}");
        }
        for path in ["GET /x", "get /x", "GET x", "GET,POST x", "* x", "/x y"] {
            let named = matches!(parse(&format!("orders:{path}")), Ok(Scope::Operation(_)));
            assert!(!named, "{path} is meant as a method and a path");
        }
        for text in ["GET, POST /x", "GET ,POST /x"] {
            let error = parse(&format!("orders:{text}")).unwrap_err().to_string();
            assert!(error.ends_with("no space after the comma"), "{error}");
        }
    }

    #[test]
    fn a_recorded_role_is_read_back_whatever_became_of_its_rules() {
        let recorded = r#"{"allow":["orders:read","orders:FETCH /v1"],"deny":["no api"]}"#;
        let role: Role = serde_json::from_str(recorded).unwrap();
        assert_eq!(role.allow, ["orders:read".parse().unwrap()]);
        assert_eq!(role.deny, []);
        let unread = Unread { allow: vec!["orders:FETCH /v1".into()], deny: vec!["no api".into()] };
        assert_eq!(role.unread, unread);
        assert_eq!(serde_json::to_string(&role).unwrap(), recorded);
    }

    #[test]
    fn a_recorded_narrowing_that_cannot_be_read_covers_nothing() {
        let narrowed = MethodPath::recorded("FETCH /");
        assert!(Method::ALL.into_iter().all(|method| !narrowed.matches(method, "/")));
        assert_eq!(narrowed.to_string(), "FETCH /");
        assert_eq!(MethodPath::recorded("GET /a"), "GET /a".parse().unwrap());
    }

    #[test]
    fn get_includes_head_and_nothing_else() {
        let rule: MethodPath = "GET /a".parse().unwrap();
        let covered: Vec<_> = Method::ALL.into_iter().filter(|method| rule.matches(*method, "/a")).collect();
        assert_eq!(covered, [Method::Get, Method::Head]);
        let rule: MethodPath = "HEAD /a".parse().unwrap();
        assert!(!rule.matches(Method::Get, "/a"));
        let rule: MethodPath = "* /a".parse().unwrap();
        assert!(Method::ALL.into_iter().all(|method| rule.matches(method, "/a")));
    }
}
