//! Control events: what changed, when and by whom. The ledger is a list of these and of nothing else.
//!
//! Events are facts: whoever reads one need not know the rules of its day. A kind once written is read for
//! ever, so kinds and fields are only ever added; a rule or a narrowing that this build cannot read any more is
//! kept as text, and refuses. No event holds a credential; digests stay in the ledger
//! and out of [`Change::detail`].
//! Not here: which events a command becomes (see `decide`).

use std::sync::Arc;

use access::credential::Digest;
use access::id::Name;
use access::policy::Policy;
use access::role::MethodPath;
use access::{
    ApiName, Deadline, GrantId, IncidentId, KeyId, RoleName, SessionId, SubjectId, SubjectKind, Timestamp,
    TokenId,
};
use serde::{Deserialize, Serialize};

/// The version of the written form.
const VERSION: u8 = 1;

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Event {
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub by: SubjectId,
    /// What changed.
    pub change: Change,
}

/// What changed. Ids are enough to read it alone: personal data stays out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// The policy is this one from now on.
    AdoptPolicy {
        /// All of it.
        policy: Arc<Policy>,
    },
    /// A subject holds a role for a time.
    GiveGrant {
        /// The grant.
        grant: GrantId,
        /// Who holds it.
        subject: SubjectId,
        /// What it lets them do.
        role: RoleName,
        /// When it ends.
        until: Deadline,
        /// Why, in the giver's words.
        reason: Arc<str>,
        /// The incident it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<IncidentId>,
    },
    /// A token stands for a grant, or for a part of it.
    MintToken {
        /// The token.
        token: TokenId,
        /// The digest of its text.
        digest: Digest,
        /// The grant it was minted from.
        grant: GrantId,
        /// Who holds that grant.
        subject: SubjectId,
        /// When it ends.
        until: Deadline,
        /// What it is narrowed to; empty for all of its grant.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "recorded")]
        only: Vec<MethodPath>,
    },
    /// A service has this key from now on.
    AddKey {
        /// The key.
        key: KeyId,
        /// The digest of its text.
        digest: Digest,
        /// Whose it is.
        service: Name,
        /// What it lets the service do.
        roles: Vec<RoleName>,
        /// When it ends.
        until: Deadline,
    },
    /// Keys of a service end in the course of its life.
    EndKeys {
        /// Whose they are.
        service: Name,
        /// Which.
        keys: Vec<KeyId>,
        /// What becomes of the service.
        cause: EndKeys,
    },
    /// A person has a session on the console listener.
    OpenSession {
        /// The session.
        session: SessionId,
        /// The digest of its text.
        digest: Digest,
        /// Whose it is.
        subject: SubjectId,
        /// When it ends.
        until: Deadline,
    },
    /// A session ends by its holder's wish.
    CloseSession {
        /// The session.
        session: SessionId,
        /// Whose it is.
        subject: SubjectId,
    },
    /// Somebody took access away.
    Revoke {
        /// What they named.
        scope: RevokeScope,
        /// Why, in their words.
        reason: Arc<str>,
        /// Whose access it was, where that is one subject.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<SubjectId>,
        /// The grants that were in force, and end.
        grants: Vec<GrantId>,
        /// The tokens that end: the one named, or those of the user named. Others end with their grants and
        /// are not listed, so that revoking everything stays one short event.
        tokens: Vec<TokenId>,
        /// The keys that end.
        keys: Vec<KeyId>,
        /// The sessions that end.
        sessions: Vec<SessionId>,
    },
}

/// Narrowings as they were recorded: one that this build cannot read still narrows, to nothing.
fn recorded<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<MethodPath>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.iter().map(|text| MethodPath::recorded(text)).collect())
}

/// Why keys of a service end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKeys {
    /// A new key takes their place.
    Replace,
    /// The service is no more.
    Remove,
}

/// What somebody names when they take access away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeScope {
    /// One grant, and with it its tokens.
    Grant(GrantId),
    /// One token.
    Token(TokenId),
    /// One service key.
    Key(KeyId),
    /// All that a user or service holds.
    User(SubjectId),
    /// Every grant and key that gives this role.
    Role(RoleName),
    /// Every grant and key that gives a role with rules about this API.
    Api(ApiName),
    /// Every grant that belongs to this incident.
    Incident(IncidentId),
    /// Everything, sessions included.
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u8,
    at: Timestamp,
    by: SubjectId,
    change: Change,
}

#[derive(Serialize)]
struct Writing<'a> {
    v: u8,
    at: Timestamp,
    by: &'a SubjectId,
    change: &'a Change,
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at, by, change } = self;
        Writing { v: VERSION, at: *at, by, change }.serialize(serializer)
    }
}

impl TryFrom<Written> for Event {
    type Error = UnknownVersion;

    fn try_from(written: Written) -> Result<Self, UnknownVersion> {
        let Written { v, at, by, change } = written;
        match v {
            VERSION => Ok(Self { at, by, change }),
            other => Err(UnknownVersion(other)),
        }
    }
}

/// A written form that this build does not know.
#[derive(Debug, thiserror::Error)]
#[error("the event has version `{0}`; this build reads version 1")]
struct UnknownVersion(u8);

impl Change {
    /// What kind of change it is: the journal's `kind`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AdoptPolicy { .. } => "adopt_policy",
            Self::GiveGrant { .. } => "give_grant",
            Self::MintToken { .. } => "mint_token",
            Self::AddKey { .. } => "add_key",
            Self::EndKeys { .. } => "end_keys",
            Self::OpenSession { .. } => "open_session",
            Self::CloseSession { .. } => "close_session",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// Whether it ends access and gives none.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        match self {
            Self::EndKeys { .. } | Self::CloseSession { .. } | Self::Revoke { .. } => true,
            Self::AdoptPolicy { .. }
            | Self::GiveGrant { .. }
            | Self::MintToken { .. }
            | Self::AddKey { .. }
            | Self::OpenSession { .. } => false,
        }
    }

    /// Whose access it concerns, where that is one subject.
    #[must_use]
    pub fn subject(&self) -> Option<SubjectId> {
        match self {
            Self::AdoptPolicy { .. } => None,
            Self::GiveGrant { subject, .. }
            | Self::MintToken { subject, .. }
            | Self::OpenSession { subject, .. }
            | Self::CloseSession { subject, .. } => Some(subject.clone()),
            Self::AddKey { service, .. } | Self::EndKeys { service, .. } => {
                Some(SubjectId::new(SubjectKind::Service, service.clone()))
            }
            Self::Revoke { subject, .. } => subject.clone(),
        }
    }

    /// The grant it concerns, where that is one.
    #[must_use]
    pub const fn grant(&self) -> Option<GrantId> {
        match self {
            Self::GiveGrant { grant, .. }
            | Self::MintToken { grant, .. }
            | Self::Revoke { scope: RevokeScope::Grant(grant), .. } => Some(*grant),
            _ => None,
        }
    }

    /// The incident it concerns.
    #[must_use]
    pub const fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::GiveGrant { incident, .. } => incident.as_ref(),
            Self::Revoke { scope: RevokeScope::Incident(incident), .. } => Some(incident),
            _ => None,
        }
    }
}
