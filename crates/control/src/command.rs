//! Commands: what somebody wants changed, with the ids, digests and texts it takes.
//!
//! Ids and digests are made outside, from fresh random bytes, so that deciding stays a pure function. No
//! command holds a credential itself.

use std::sync::Arc;

use access::credential::Digest;
use access::id::Name;
use access::policy::Policy;
use access::role::MethodPath;
use access::{GrantId, IncidentId, KeyId, Lifetime, RoleName, SessionId, SubjectId, TokenId};

use crate::event::RevokeScope;

/// What somebody wants changed.
#[derive(Debug, Clone)]
pub struct Command {
    /// Who wants it.
    pub by: Actor,
    /// What.
    pub act: Act,
}

/// Who gives a command, and how we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub subject: SubjectId,
    /// The way the command came.
    pub via: Via,
}

/// The way a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// From the server's own machine, by its own user: counts as an administrator.
    Socket,
    /// From a session on the console listener, already checked.
    Session,
    /// From the binary itself, at start and reload.
    System,
}

/// What is to change.
#[derive(Debug, Clone)]
pub enum Act {
    /// Put a policy in force; nothing happens if it is in force already.
    AdoptPolicy(Arc<Policy>),
    /// Give a user a role for a time.
    GiveGrant(GiveGrant),
    /// Mint a token from a grant.
    MintToken(MintToken),
    /// Make a service known, with its first key.
    AddService(AddService),
    /// Give a service a new key in place of its present one.
    RotateService(RotateService),
    /// End a service and its key.
    RemoveService {
        /// Its name.
        name: Name,
    },
    /// Open a session for a user.
    OpenSession(OpenSession),
    /// End a session.
    CloseSession {
        /// Which.
        id: SessionId,
    },
    /// Take access away.
    Revoke {
        /// Whose, or which.
        scope: RevokeScope,
        /// Why; see [`REASON_CHARS_MAX`](crate::decide::REASON_CHARS_MAX).
        reason: Arc<str>,
    },
}

/// Give a user a role for a time.
#[derive(Debug, Clone)]
pub struct GiveGrant {
    /// A fresh id.
    pub id: GrantId,
    /// The user; never the giver.
    pub to: Name,
    /// The role.
    pub role: RoleName,
    /// For how long; at most 30 days.
    pub lifetime: Lifetime,
    /// Why; see [`REASON_CHARS_MAX`](crate::decide::REASON_CHARS_MAX).
    pub reason: Arc<str>,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
}

/// Mint a token from a grant.
#[derive(Debug, Clone)]
pub struct MintToken {
    /// A fresh id.
    pub id: TokenId,
    /// The digest of its text.
    pub digest: Digest,
    /// The grant; without one, the only grant in force that the actor holds.
    pub grant: Option<GrantId>,
    /// For how long; never past the grant's end, which is also the default.
    pub lifetime: Option<Lifetime>,
    /// What to narrow it to; empty for all of the grant.
    pub only: Vec<MethodPath>,
}

/// Make a service known, with its first key.
#[derive(Debug, Clone)]
pub struct AddService {
    /// A fresh id for its key.
    pub id: KeyId,
    /// The digest of the key's text.
    pub digest: Digest,
    /// The service's name, not in use yet.
    pub name: Name,
    /// What it may do; at least one role.
    pub roles: Vec<RoleName>,
    /// How long the key lasts; at most 365 days.
    pub lifetime: Lifetime,
}

/// Give a service a new key in place of its present one.
#[derive(Debug, Clone)]
pub struct RotateService {
    /// A fresh id for the new key.
    pub id: KeyId,
    /// The digest of the new key's text.
    pub digest: Digest,
    /// The service.
    pub name: Name,
    /// How long the new key lasts, at most 365 days; as long as the one before by default.
    pub lifetime: Option<Lifetime>,
}

/// Open a session for a user.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// A fresh id.
    pub id: SessionId,
    /// The digest of its text.
    pub digest: Digest,
    /// The user.
    pub subject: Name,
    /// How long it lasts; at most 12 hours, which is also the default.
    pub lifetime: Option<Lifetime>,
}
