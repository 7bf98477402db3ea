//! How an event changes the state: without rules, without failing, and always in the same way.
//!
//! An id that is not known is passed over, and so is one that is known already. What has ended stays ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::credential::{CredentialId, Digest};
use access::id::Name;
use access::policy::Policy;
use access::view::{Credential, Ending, Grant, Key, Session, Standing, Token};
use access::{ApiName, GrantId, KeyId, RoleName, Timestamp};
use imbl::OrdSet;

use crate::event::{Change, EndKeys, Event};
use crate::state::{REMEMBERED, Remembered, State, end_of};

/// The most things one event makes the state forget; the next events go on with the rest.
pub(crate) const FORGOTTEN_PER_EVENT_MAX: usize = 4_096;

impl State {
    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        self.revision = self.revision.next();
        self.forget(event.at.minus(REMEMBERED));
        match &event.change {
            Change::AdoptPolicy { policy } => self.adopt_policy(policy, event.at),
            Change::GiveGrant { .. } => self.give_grant(event),
            Change::MintToken { .. } | Change::AddKey { .. } | Change::OpenSession { .. } => {
                self.add_credential(event);
            }
            Change::EndKeys { service, keys, cause } => self.end_keys(service, keys, *cause, event),
            Change::CloseSession { session, .. } => {
                let cause = revoke(event, &"closed by its holder".into());
                self.end_credential(CredentialId::Session(*session), event.at, &cause);
            }
            Change::Revoke { .. } => self.revoke(event),
        }
    }

    /// A rule that is gone today comes back with another reload, for whoever holds its role still. A key that
    /// has ended counts: it can be rotated until it is forgotten.
    fn adopt_policy(&mut self, policy: &Arc<Policy>, at: Timestamp) {
        let granted = self.grants.values().filter(|grant| grant.is_in_force(at)).map(|grant| &grant.role);
        let held: BTreeSet<&RoleName> = granted.chain(self.services().flat_map(|key| &key.roles)).collect();
        let mut ruled: OrdSet<(RoleName, ApiName)> =
            self.ruled.iter().filter(|(role, _)| held.contains(role)).cloned().collect();
        for (name, role) in &policy.roles {
            let rules = role.allow.iter().chain(&role.deny);
            ruled.extend(rules.map(|rule| (name.clone(), rule.api().clone())));
        }
        self.ruled = ruled;
        self.policy = Arc::clone(policy);
    }

    fn give_grant(&mut self, event: &Event) {
        let Some(grant) = grant_of(event) else { return };
        if self.grants.contains_key(&grant.id) {
            return;
        }
        let end = end_of(&grant.standing, grant.until);
        self.ends.insert((end, Remembered::Grant(grant.id)));
        self.grants_by_subject.insert((grant.subject.clone(), grant.id));
        self.grants.insert(grant.id, Arc::new(grant));
    }

    fn add_credential(&mut self, event: &Event) {
        let Some((digest, credential)) = credential_of(event) else {
            return;
        };
        let id = id_of(&credential);
        if self.digests.contains_key(&id) || self.credentials.contains_key(&digest) {
            return;
        }
        match &credential {
            // A token without its grant opens nothing.
            Credential::Token(token) if !self.grants.contains_key(&token.grant) => return,
            Credential::Token(token) => {
                self.tokens_by_grant.insert((token.grant, token.id));
            }
            Credential::Key(key) => {
                self.services.insert(key.service.clone(), key.id);
            }
            Credential::Session(session) => {
                self.sessions_by_subject.insert((session.subject.clone(), session.id));
            }
        }
        let end = end_of(credential.standing(), credential.until());
        self.ends.insert((end, Remembered::Credential(digest)));
        self.digests.insert(id, digest);
        self.credentials.insert(digest, Arc::new(credential));
    }

    fn end_keys(&mut self, service: &Name, keys: &[KeyId], cause: EndKeys, event: &Event) {
        let ending = match cause {
            EndKeys::Replace => Ending::Replace,
            EndKeys::Remove => revoke(event, &"its service was removed".into()),
        };
        for key in keys {
            self.end_credential(CredentialId::Key(*key), event.at, &ending);
            if cause == EndKeys::Remove && self.services.get(service) == Some(key) {
                self.services.remove(service);
            }
        }
    }

    fn revoke(&mut self, event: &Event) {
        let Change::Revoke { reason, grants, tokens, keys, sessions, .. } = &event.change else {
            return;
        };
        let cause = revoke(event, reason);
        for grant in grants {
            self.end_grant(*grant, event.at, &cause);
        }
        let tokens = tokens.iter().copied().map(CredentialId::Token);
        let keys = keys.iter().copied().map(CredentialId::Key);
        let sessions = sessions.iter().copied().map(CredentialId::Session);
        for credential in tokens.chain(keys).chain(sessions) {
            self.end_credential(credential, event.at, &cause);
        }
    }

    fn end_grant(&mut self, id: GrantId, at: Timestamp, cause: &Ending) {
        let Some(grant) = self.grants.get_mut(&id).filter(|grant| grant.standing == Standing::Active) else {
            return;
        };
        self.ends.remove(&(end_of(&grant.standing, grant.until), Remembered::Grant(id)));
        let grant = Arc::make_mut(grant);
        grant.standing = Standing::Ended { at, cause: cause.clone() };
        self.ends.insert((end_of(&grant.standing, grant.until), Remembered::Grant(id)));
    }

    fn end_credential(&mut self, id: CredentialId, at: Timestamp, cause: &Ending) {
        let Some(digest) = self.digests.get(&id).copied() else {
            return;
        };
        let Some(credential) =
            self.credentials.get_mut(&digest).filter(|credential| *credential.standing() == Standing::Active)
        else {
            return;
        };
        let remembered = Remembered::Credential(digest);
        self.ends.remove(&(end_of(credential.standing(), credential.until()), remembered));
        let credential = Arc::make_mut(credential);
        *standing_of(credential) = Standing::Ended { at, cause: cause.clone() };
        self.ends.insert((end_of(credential.standing(), credential.until()), remembered));
    }

    /// Forgets what ended before `horizon`, the longest ended first.
    fn forget(&mut self, horizon: Timestamp) {
        for _ in 0..FORGOTTEN_PER_EVENT_MAX {
            let Some((end, remembered)) = self.ends.get_min().copied() else {
                return;
            };
            if end >= horizon {
                return;
            }
            self.ends.remove_min();
            match remembered {
                Remembered::Grant(id) => self.forget_grant(id),
                Remembered::Credential(digest) => self.forget_credential(digest),
            }
        }
    }

    fn forget_grant(&mut self, id: GrantId) {
        if let Some(grant) = self.grants.remove(&id) {
            self.grants_by_subject.remove(&(grant.subject.clone(), id));
        }
    }

    fn forget_credential(&mut self, digest: Digest) {
        let Some(credential) = self.credentials.remove(&digest) else {
            return;
        };
        self.digests.remove(&id_of(&credential));
        match &*credential {
            Credential::Token(token) => {
                self.tokens_by_grant.remove(&(token.grant, token.id));
            }
            Credential::Key(key) if self.services.get(&key.service) == Some(&key.id) => {
                self.services.remove(&key.service);
            }
            Credential::Key(_) => {}
            Credential::Session(session) => {
                self.sessions_by_subject.remove(&(session.subject.clone(), session.id));
            }
        }
    }
}

fn revoke(event: &Event, reason: &Arc<str>) -> Ending {
    Ending::Revoke { by: event.by.clone(), reason: Arc::clone(reason) }
}

fn grant_of(event: &Event) -> Option<Grant> {
    let Change::GiveGrant { grant, subject, role, until, reason, incident } = &event.change else {
        return None;
    };
    Some(Grant {
        id: *grant,
        subject: subject.clone(),
        role: role.clone(),
        since: event.at,
        until: *until,
        by: event.by.clone(),
        reason: Arc::clone(reason),
        incident: incident.clone(),
        standing: Standing::Active,
    })
}

fn credential_of(event: &Event) -> Option<(Digest, Credential)> {
    let standing = Standing::Active;
    let made = match event.change.clone() {
        Change::MintToken { token: id, digest, grant, until, only, .. } => {
            let token = Token { id, grant, until, only, standing };
            (digest, Credential::Token(token))
        }
        Change::AddKey { key: id, digest, service, roles, until } => {
            let key = Key { id, service, roles, since: event.at, until, standing };
            (digest, Credential::Key(key))
        }
        Change::OpenSession { session: id, digest, subject, until } => {
            let session = Session { id, subject, until, standing };
            (digest, Credential::Session(session))
        }
        _ => return None,
    };
    Some(made)
}

const fn id_of(credential: &Credential) -> CredentialId {
    match credential {
        Credential::Token(token) => CredentialId::Token(token.id),
        Credential::Key(key) => CredentialId::Key(key.id),
        Credential::Session(session) => CredentialId::Session(session.id),
    }
}

const fn standing_of(credential: &mut Credential) -> &mut Standing {
    match credential {
        Credential::Token(token) => &mut token.standing,
        Credential::Key(key) => &mut key.standing,
        Credential::Session(session) => &mut session.standing,
    }
}
