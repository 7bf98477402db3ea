//! Taking access away: what a scope reaches at this moment, and who may name it.
//!
//! Administrators revoke anything, everybody their own. What has ended already is not listed again, so a
//! revocation that finds nothing in force is recorded with empty lists; one that names nothing known is an
//! error, because in an emergency a typo must not look like success.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::credential::{CredentialId, masked};
use access::view::{Credential, Grant, Key};
use access::{ApiName, GrantId, IncidentId, KeyId, RoleName, SessionId, SubjectId, SubjectKind, TokenId};

use crate::decide::{Case, Denied, check_reason, not_allowed, not_found};
use crate::event::{Change, RevokeScope};

/// What a revocation ends, each list in order of making.
#[derive(Default)]
struct Reach {
    /// Whose access it is, where that is one subject.
    subject: Option<SubjectId>,
    grants: Vec<GrantId>,
    tokens: Vec<TokenId>,
    keys: Vec<KeyId>,
    sessions: Vec<SessionId>,
}

impl Case<'_> {
    pub(crate) fn revoke(&self, scope: &RevokeScope, reason: &Arc<str>) -> Result<Vec<Change>, Denied> {
        // In an emergency the leaked credential is what is at hand to paste: it is taken out, and access ends.
        let reason: Arc<str> = masked(reason).into();
        check_reason(&reason)?;
        self.refuse_others(scope)?;
        let reach = self.reach(scope)?;
        Ok(vec![Change::Revoke {
            scope: scope.clone(),
            reason,
            subject: reach.subject,
            grants: reach.grants,
            tokens: reach.tokens,
            keys: reach.keys,
            sessions: reach.sessions,
        }])
    }

    fn refuse_others(&self, scope: &RevokeScope) -> Result<(), Denied> {
        if self.is_administrator() {
            return Ok(());
        }
        let holder = match scope {
            RevokeScope::Grant(id) => Some(&self.known_grant(*id)?.subject),
            RevokeScope::Token(id) => self.token_holder(*id)?,
            RevokeScope::User(subject) => Some(subject),
            RevokeScope::Key(_)
            | RevokeScope::Role(_)
            | RevokeScope::Api(_)
            | RevokeScope::Incident(_)
            | RevokeScope::All => None,
        };
        if holder == Some(&self.by.subject) {
            return Ok(());
        }
        Err(not_allowed("only administrators revoke what is not their own"))
    }

    fn reach(&self, scope: &RevokeScope) -> Result<Reach, Denied> {
        match scope {
            RevokeScope::Grant(id) => self.reach_grant(*id),
            RevokeScope::Token(id) => self.reach_token(*id),
            RevokeScope::Key(id) => self.reach_key(*id),
            RevokeScope::User(subject) => self.reach_subject(subject),
            RevokeScope::Role(role) => self.reach_role(role),
            RevokeScope::Api(api) => self.reach_api(api),
            RevokeScope::Incident(incident) => self.reach_incident(incident),
            RevokeScope::All => Ok(self.reach_all()),
        }
    }

    fn reach_grant(&self, id: GrantId) -> Result<Reach, Denied> {
        let grant = self.known_grant(id)?;
        Ok(Reach {
            subject: Some(grant.subject.clone()),
            grants: self.those_in_force(std::iter::once(grant)),
            ..Reach::default()
        })
    }

    fn reach_token(&self, id: TokenId) -> Result<Reach, Denied> {
        let subject = self.token_holder(id)?.cloned();
        let tokens = if self.holds(CredentialId::Token(id)) { vec![id] } else { Vec::new() };
        Ok(Reach { subject, tokens, ..Reach::default() })
    }

    fn reach_key(&self, id: KeyId) -> Result<Reach, Denied> {
        let key = self.state.key(id).ok_or_else(|| not_found("key", &id))?;
        Ok(Reach {
            subject: Some(SubjectId::new(SubjectKind::Service, key.service.clone())),
            keys: self.keys_in_force(std::iter::once(key)),
            ..Reach::default()
        })
    }

    fn reach_subject(&self, subject: &SubjectId) -> Result<Reach, Denied> {
        let key = match subject.kind() {
            SubjectKind::Service => self.state.service(subject.name()),
            SubjectKind::User | SubjectKind::Local => None,
        };
        self.refuse_unknown_subject(subject, key)?;
        let tokens = self.in_force(subject).flat_map(|grant| self.tokens_in_force(grant));
        let sessions = self.state.sessions_of(subject).map(|session| session.id);
        Ok(Reach {
            subject: Some(subject.clone()),
            grants: self.those_in_force(self.state.grants_of(subject)),
            tokens: tokens.collect(),
            keys: self.keys_in_force(key.into_iter()),
            sessions: sessions.filter(|id| self.holds(CredentialId::Session(*id))).collect(),
        })
    }

    /// Somebody whom the configuration dropped may still hold something, and then is known.
    fn refuse_unknown_subject(&self, subject: &SubjectId, key: Option<&Key>) -> Result<(), Denied> {
        let named = subject.kind() == SubjectKind::User && self.policy().users.contains_key(subject.name());
        let mut held = self.state.grants_of(subject);
        let mut open = self.state.sessions_of(subject);
        if named || key.is_some() || held.next().is_some() || open.next().is_some() {
            return Ok(());
        }
        Err(not_found(subject.kind().as_str(), subject.name()))
    }

    fn reach_role(&self, role: &RoleName) -> Result<Reach, Denied> {
        let grants = self.state.grants().values();
        let mut grants = grants.filter(|grant| grant.role == *role).peekable();
        let keys = self.state.services();
        let mut keys = keys.filter(|key| key.roles.contains(role)).peekable();
        // A role that the configuration dropped may still be held, and come back with the next reload.
        if grants.peek().is_none() && keys.peek().is_none() {
            self.known_role(role)?;
        }
        Ok(Reach { grants: self.those_in_force(grants), keys: self.keys_in_force(keys), ..Reach::default() })
    }

    fn reach_api(&self, api: &ApiName) -> Result<Reach, Denied> {
        let ruled = self.state.ruled.iter().filter(|(_, of)| of == api);
        let roles: BTreeSet<&RoleName> = ruled.map(|(role, _)| role).collect();
        // An API or a rule that the configuration dropped may come back with the next reload.
        if roles.is_empty() && !self.policy().apis.iter().any(|known| known.name == *api) {
            return Err(not_found("API", api));
        }
        let about = |role: &RoleName| roles.contains(role);
        let grants = self.state.grants().values().filter(|grant| about(&grant.role));
        let keys = self.state.services().filter(|key| key.roles.iter().any(about));
        Ok(Reach { grants: self.those_in_force(grants), keys: self.keys_in_force(keys), ..Reach::default() })
    }

    fn reach_incident(&self, incident: &IncidentId) -> Result<Reach, Denied> {
        let grants = self.state.grants().values();
        let mut of_it = grants.filter(|grant| grant.incident.as_ref() == Some(incident)).peekable();
        if of_it.peek().is_none() {
            return Err(not_found("grant of the incident", incident));
        }
        Ok(Reach { grants: self.those_in_force(of_it), ..Reach::default() })
    }

    /// Tokens are left to end with their grants: a million of them would keep this from being instant.
    fn reach_all(&self) -> Reach {
        let mut reach =
            Reach { grants: self.those_in_force(self.state.grants().values()), ..Reach::default() };
        let held = self.state.credentials().values();
        for credential in held.filter(|credential| credential.is_in_force(self.now)) {
            match &**credential {
                Credential::Token(_) => {}
                Credential::Key(key) => reach.keys.push(key.id),
                Credential::Session(session) => reach.sessions.push(session.id),
            }
        }
        // The order of digests is the order of nothing.
        reach.keys.sort_unstable();
        reach.sessions.sort_unstable();
        reach
    }

    fn those_in_force<'g>(&self, grants: impl Iterator<Item = &'g Arc<Grant>>) -> Vec<GrantId> {
        let in_force = grants.filter(|grant| grant.is_in_force(self.now));
        in_force.map(|grant| grant.id).collect()
    }

    fn tokens_in_force(&self, grant: &Grant) -> impl Iterator<Item = TokenId> {
        let tokens = self.state.tokens_of(grant.id).map(|token| token.id);
        tokens.filter(|id| self.holds(CredentialId::Token(*id)))
    }

    fn keys_in_force<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<KeyId> {
        let ids = keys.map(|key| key.id);
        ids.filter(|id| self.holds(CredentialId::Key(*id))).collect()
    }

    /// Whether a credential is in force by itself.
    pub(crate) fn holds(&self, id: CredentialId) -> bool {
        self.state.credential(id).is_some_and(|credential| credential.is_in_force(self.now))
    }

    fn token_holder(&self, id: TokenId) -> Result<Option<&SubjectId>, Denied> {
        let token = self.state.token(id).ok_or_else(|| not_found("token", &id))?;
        Ok(self.state.grants().get(&token.grant).map(|grant| &grant.subject))
    }
}
