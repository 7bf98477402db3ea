//! The state: all that the events so far add up to.
//!
//! Two states that saw the same events are equal. What has ended or expired is remembered for
//! [`REMEMBERED`], so that a refusal can say why, and then forgotten. Clones share their structure.
//! Not here: how an event changes it (see `apply`), what may become an event (see `decide`).

use std::sync::Arc;
use std::time::Duration;

use access::credential::{CredentialId, Digest};
use access::id::Name;
use access::policy::Policy;
use access::view::{Credential, Credentials, Grant, Grants, GrantsBySubject, Key, Session, Token};
use access::{
    ApiName, Deadline, GrantId, KeyId, Revision, RoleName, SessionId, SubjectId, Timestamp, TokenId,
};
use imbl::{OrdMap, OrdSet};

/// How long what has ended is remembered, by the times of events: 7 days.
pub const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

/// All that the events so far add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) revision: Revision,
    pub(crate) policy: Arc<Policy>,
    /// Which roles have had rules about which APIs: those of the policy in force, and what earlier ones said of
    /// roles that were held when another took their place.
    pub(crate) ruled: OrdSet<(RoleName, ApiName)>,
    pub(crate) grants: Grants,
    pub(crate) credentials: Credentials,
    /// INVARIANT: as many as `credentials`, each the digest under which its id is found there.
    pub(crate) digests: OrdMap<CredentialId, Digest>,
    /// INVARIANT: one for each of `grants`.
    pub(crate) grants_by_subject: GrantsBySubject,
    /// INVARIANT: one for each token of `credentials`. Pairs, because a set for each grant would take a
    /// kilobyte for a single token.
    pub(crate) tokens_by_grant: OrdSet<(GrantId, TokenId)>,
    /// INVARIANT: one for each session of `credentials`.
    pub(crate) sessions_by_subject: OrdSet<(SubjectId, SessionId)>,
    /// The newest key of each service that is not removed.
    pub(crate) services: OrdMap<Name, KeyId>,
    /// INVARIANT: one for each of `grants` and `credentials`, at the time it ends or ended.
    pub(crate) ends: OrdSet<(Timestamp, Remembered)>,
}

/// What is forgotten some time after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remembered {
    Grant(GrantId),
    Credential(Digest),
}

impl State {
    /// The state before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events it has seen.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The policy in force, as written.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Every grant that is, or recently was.
    #[must_use]
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Every credential that is, or recently was, by digest.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The grants of one subject, oldest first.
    pub fn grants_of(&self, subject: &SubjectId) -> impl Iterator<Item = &Arc<Grant>> {
        access::view::grants_of(&self.grants, &self.grants_by_subject, subject)
    }

    /// The tokens minted from one grant, oldest first.
    pub fn tokens_of(&self, grant: GrantId) -> impl Iterator<Item = &Token> {
        let first = (grant, TokenId::new(Timestamp::EPOCH, [0; 10]));
        let pairs = self.tokens_by_grant.range(first..);
        pairs.take_while(move |(parent, _)| *parent == grant).filter_map(|(_, id)| self.token(*id))
    }

    /// The sessions of one subject, oldest first.
    pub fn sessions_of(&self, subject: &SubjectId) -> impl Iterator<Item = &Session> {
        let first = (subject.clone(), SessionId::new(Timestamp::EPOCH, [0; 10]));
        let theirs = subject.clone();
        let pairs = self.sessions_by_subject.range(first..);
        pairs.take_while(move |(holder, _)| *holder == theirs).filter_map(|(_, id)| self.session(*id))
    }

    /// The newest key of every service that is not removed, by the service's name.
    pub fn services(&self) -> impl Iterator<Item = &Key> {
        self.services.values().filter_map(|id| self.key(*id))
    }

    /// The newest key of one service.
    #[must_use]
    pub fn service(&self, name: &Name) -> Option<&Key> {
        self.services.get(name).and_then(|id| self.key(*id))
    }

    /// A credential by its id.
    #[must_use]
    pub fn credential(&self, id: CredentialId) -> Option<&Credential> {
        let digest = self.digests.get(&id)?;
        self.credentials.get(digest).map(|credential| &**credential)
    }

    /// A token by its id.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        match self.credential(CredentialId::Token(id))? {
            Credential::Token(token) => Some(token),
            Credential::Key(_) | Credential::Session(_) => None,
        }
    }

    /// A service key by its id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&Key> {
        match self.credential(CredentialId::Key(id))? {
            Credential::Key(key) => Some(key),
            Credential::Token(_) | Credential::Session(_) => None,
        }
    }

    /// A session by its id.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        match self.credential(CredentialId::Session(id))? {
            Credential::Session(session) => Some(session),
            Credential::Token(_) | Credential::Key(_) => None,
        }
    }
}

/// When something ends, or ended.
pub(crate) fn end_of(standing: &access::view::Standing, until: Deadline) -> Timestamp {
    match standing {
        access::view::Standing::Active => until.instant(),
        access::view::Standing::Ended { at, .. } => until.instant().min(*at),
    }
}
