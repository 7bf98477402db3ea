//! Who asks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Name, NotAnId};

/// What kind of subject it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A person.
    User,
    /// A program with a key of its own.
    Service,
    /// Somebody at the server's own machine, through its socket.
    Local,
}

impl SubjectKind {
    /// The word used in ids and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Local => "local",
        }
    }
}

/// A subject: `user:alice`, `service:ci`, `local:root`. A bare name is a user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId {
    kind: SubjectKind,
    name: Name,
}

impl SubjectId {
    /// The subject of this kind and name.
    #[must_use]
    pub const fn new(kind: SubjectKind, name: Name) -> Self {
        Self { kind, name }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// Its name without the kind, the journal's `subject`.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)
    }
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SubjectId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (kind, name) = match text.split_once(':') {
            None => (SubjectKind::User, text),
            Some(("user", name)) => (SubjectKind::User, name),
            Some(("service", name)) => (SubjectKind::Service, name),
            Some(("local", name)) => (SubjectKind::Local, name),
            Some(_) => return Err(NotAnId::Name(text.to_owned())),
        };
        Ok(Self { kind, name: name.parse()? })
    }
}

impl Serialize for SubjectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
