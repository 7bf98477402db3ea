//! The view: one consistent picture of access at one revision, from which every decision of a request is made.
//!
//! A view is immutable and shares its structure with the ones before and after it. What has ended is kept
//! for a while, so that a refusal can say why.
//! Not here: how it changes (`control`), or how old it may grow before a node refuses (`gateway`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::credential::{CredentialId, Digest};
use crate::id::{GrantId, IncidentId, KeyId, Name, Revision, RoleName, SessionId, TokenId};
use crate::policy::Compiled;
use crate::refused::Reason;
use crate::role::MethodPath;
use crate::subject::{SubjectId, SubjectKind};
use crate::time::{Deadline, Timestamp};

/// Whether something is in force, and if not, since when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In force until its deadline.
    Active,
    /// Ended before its deadline.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        cause: Ending,
    },
}

/// Why something ended before its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Somebody revoked it.
    Revoke {
        /// Who.
        by: SubjectId,
        /// Why, in their words.
        reason: Arc<str>,
    },
    /// A newer version took its place.
    Replace,
}

/// A subject's temporary hold of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who holds it.
    pub subject: SubjectId,
    /// What it lets them do.
    pub role: RoleName,
    /// When it was given.
    pub since: Timestamp,
    /// When it ends.
    pub until: Deadline,
    /// Who gave it.
    pub by: SubjectId,
    /// Why, in their words.
    pub reason: Arc<str>,
    /// The incident it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentId>,
    /// Whether it is in force.
    pub standing: Standing,
}

/// A credential minted from a grant; never in force when its grant is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The grant it was minted from.
    pub grant: GrantId,
    /// When it ends; never after its grant.
    pub until: Deadline,
    /// What it is narrowed to; empty for all of its grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<MethodPath>,
    /// Whether it is in force.
    pub standing: Standing,
}

/// A service's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The service it belongs to.
    pub service: Name,
    /// What it lets the service do.
    pub roles: Vec<RoleName>,
    /// When it was made.
    pub since: Timestamp,
    /// When it ends.
    pub until: Deadline,
    /// Whether it is in force.
    pub standing: Standing,
}

/// A person's session on the console listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub subject: SubjectId,
    /// When it ends.
    pub until: Deadline,
    /// Whether it is in force.
    pub standing: Standing,
}

/// What a digest stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A token.
    Token(Token),
    /// A service key.
    Key(Key),
    /// A session.
    Session(Session),
}

/// Grants by id.
pub type Grants = imbl::OrdMap<GrantId, Arc<Grant>>;
/// Grants by their holder.
pub type GrantsBySubject = imbl::OrdSet<(SubjectId, GrantId)>;
/// Credentials by the digest of their text.
pub type Credentials = imbl::OrdMap<Digest, Arc<Credential>>;

/// One picture of access at one revision.
#[derive(Debug, Clone)]
pub struct View {
    /// The ledger's position that it shows.
    pub revision: Revision,
    /// The policy in force.
    pub policy: Arc<Compiled>,
    /// Every grant that is, or recently was.
    pub grants: Grants,
    /// Every credential that is, or recently was.
    pub credentials: Credentials,
    /// The digest of every credential of `credentials`, by its id.
    pub digests: imbl::OrdMap<CredentialId, Digest>,
    /// Each of `grants`, by its holder.
    pub grants_by_subject: GrantsBySubject,
    /// The newest key of each service that is not removed.
    pub services: imbl::OrdMap<Name, KeyId>,
}

/// What an admitted request lives by: it is cut when a later view no longer holds this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A token or key that was shown, and what is behind it.
    Credential(Digest),
    /// The grant of a person who showed a certificate.
    Grant(GrantId),
    /// The key, whichever is the newest, of a service that showed a certificate.
    Service(Name),
}

impl Grant {
    /// Whether it lets its holder do anything at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.standing == Standing::Active && !self.until.has_passed(now)
    }
}

impl Credential {
    /// When it ends by itself.
    #[must_use]
    pub const fn until(&self) -> Deadline {
        match self {
            Self::Token(token) => token.until,
            Self::Key(key) => key.until,
            Self::Session(session) => session.until,
        }
    }

    /// Whether it was ended before that.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        match self {
            Self::Token(token) => &token.standing,
            Self::Key(key) => &key.standing,
            Self::Session(session) => &session.standing,
        }
    }

    /// Whether it is in force by itself at `now`; a token also needs its grant.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        *self.standing() == Standing::Active && !self.until().has_passed(now)
    }
}

/// The grants of one subject, oldest first, found through the index by their holder.
pub fn grants_of<'g>(
    grants: &'g Grants,
    by_subject: &'g GrantsBySubject,
    subject: &SubjectId,
) -> impl Iterator<Item = &'g Arc<Grant>> {
    let first = (subject.clone(), GrantId::new(Timestamp::EPOCH, [0; 10]));
    let theirs = subject.clone();
    let pairs = by_subject.range(first..);
    pairs.take_while(move |(holder, _)| *holder == theirs).filter_map(|(_, id)| grants.get(id))
}

impl View {
    /// The picture before anything was ever allowed: no API, no role, no credential.
    ///
    /// # Errors
    /// Never: an empty policy compiles.
    pub fn empty() -> Result<Self, crate::policy::PolicyError> {
        Ok(Self {
            revision: Revision::ZERO,
            policy: Arc::new(Compiled::new(crate::policy::Policy::default())?),
            grants: Grants::new(),
            credentials: Credentials::new(),
            digests: imbl::OrdMap::new(),
            grants_by_subject: GrantsBySubject::new(),
            services: imbl::OrdMap::new(),
        })
    }

    /// The grants of one subject, oldest first; in force or not.
    pub fn grants_of(&self, subject: &SubjectId) -> impl Iterator<Item = &Arc<Grant>> {
        grants_of(&self.grants, &self.grants_by_subject, subject)
    }

    /// The newest key of a service, with its digest.
    #[must_use]
    pub fn key_of(&self, service: &Name) -> Option<(Digest, &Key)> {
        let digest = self.digests.get(&CredentialId::Key(*self.services.get(service)?))?;
        match &**self.credentials.get(digest)? {
            Credential::Key(key) => Some((*digest, key)),
            Credential::Token(_) | Credential::Session(_) => None,
        }
    }

    /// Why something no longer lets its holder do anything at `now`, or `None` while it does: what a stream that
    /// is already open is measured by.
    #[must_use]
    pub fn why_not_held(&self, held: &Held, now: Timestamp) -> Option<Reason> {
        match held {
            Held::Credential(digest) => self.why_not_in_force(digest, now),
            Held::Grant(id) => self.why_not_granted(self.grants.get(id), now),
            Held::Service(name) => match self.key_of(name) {
                Some((digest, _)) => self.why_not_in_force(&digest, now),
                None => Some(Reason::CredentialRevoked),
            },
        }
    }

    fn why_not_granted(&self, grant: Option<&Arc<Grant>>, now: Timestamp) -> Option<Reason> {
        let Some(grant) = grant.filter(|grant| grant.is_in_force(now)) else {
            return Some(Reason::GrantEnded);
        };
        if !self.policy.policy().roles.contains_key(&grant.role) {
            return Some(Reason::OperationNotAllowed);
        }
        (!self.knows(&grant.subject)).then_some(Reason::SubjectSuspended)
    }

    fn why_not_in_force(&self, digest: &Digest, now: Timestamp) -> Option<Reason> {
        let Some(credential) = self.credentials.get(digest) else { return Some(Reason::CredentialInvalid) };
        if *credential.standing() != Standing::Active {
            return Some(Reason::CredentialRevoked);
        }
        if !self.gives_a_role(credential) {
            return Some(Reason::OperationNotAllowed);
        }
        let (grant, subject) = match &**credential {
            Credential::Token(token) => {
                let Some(grant) = self.grants.get(&token.grant) else { return Some(Reason::GrantEnded) };
                (Some(grant), Some(&grant.subject))
            }
            Credential::Key(_) => (None, None),
            Credential::Session(session) => (None, Some(&session.subject)),
        };
        if grant.is_some_and(|grant| !grant.is_in_force(now)) {
            return Some(Reason::GrantEnded);
        }
        if credential.until().has_passed(now) {
            return Some(Reason::CredentialExpired);
        }
        subject.is_some_and(|subject| !self.knows(subject)).then_some(Reason::SubjectSuspended)
    }

    /// Whether the policy still has a role that the credential gives. A session gives none and needs none.
    fn gives_a_role(&self, credential: &Credential) -> bool {
        let exists = |role: &RoleName| self.policy.policy().roles.contains_key(role);
        match credential {
            Credential::Token(token) => self.grants.get(&token.grant).is_none_or(|grant| exists(&grant.role)),
            Credential::Key(key) => key.roles.iter().any(exists),
            Credential::Session(_) => true,
        }
    }

    /// Whether the policy names this person; services are known by their keys.
    #[must_use]
    pub fn knows(&self, subject: &SubjectId) -> bool {
        subject.kind() != SubjectKind::User || self.policy.policy().users.contains_key(subject.name())
    }
}
