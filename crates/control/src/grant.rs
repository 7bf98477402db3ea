//! Grants and their tokens: who may give and mint them, for how long, and out of what.
//!
//! Administrators give grants to others. A token is minted from a grant in force, lasts no longer than it,
//! and can only be narrower: what it is narrowed to is intersected with the role at every request.

use std::sync::Arc;
use std::time::Duration;

use access::credential::CredentialId;
use access::id::Name;
use access::role::MethodPath;
use access::view::{Grant, Standing, Token};
use access::{Deadline, GrantId, RoleName, SubjectId, SubjectKind};

use crate::command::{GiveGrant, MintToken, Via};
use crate::decide::{
    Case, Denied, check_lifetime, check_open, check_reason, exists, invalid, not_allowed, not_found, within,
};
use crate::event::Change;

/// The longest grant: 30 days.
pub const GRANT_LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The most grants one subject holds at a time.
pub const GRANTS_IN_FORCE_MAX: usize = 100;

/// The most tokens of one grant in force at once.
pub(crate) const TOKENS_PER_GRANT_MAX: usize = 1_000;

/// The most grants there may be, those recently ended included.
pub const GRANTS_MAX: usize = 1_000_000;

/// The most lines one token is narrowed to.
pub const ONLY_MAX: usize = 32;

/// The longest of these lines, in bytes.
pub const ONLY_BYTES_MAX: usize = 256;

impl Case<'_> {
    pub(crate) fn give_grant(&self, give: &GiveGrant) -> Result<Vec<Change>, Denied> {
        self.administrators_only()?;
        self.refuse_self(&give.to)?;
        check_reason(&give.reason)?;
        give.incident.as_ref().map_or(Ok(()), |incident| check_open("incident", incident.as_str()))?;
        check_lifetime("a grant", give.lifetime, GRANT_LIFETIME_MAX)?;
        let subject = self.known_user(&give.to)?;
        self.known_role(&give.role)?;
        self.room_for_grant(give.id, &subject)?;
        Ok(vec![Change::GiveGrant {
            grant: give.id,
            subject,
            role: give.role.clone(),
            until: Deadline::after(self.now, give.lifetime),
            reason: Arc::clone(&give.reason),
            incident: give.incident.clone(),
        }])
    }

    /// `local:alice` and `user:alice` may be one person, so the names alone are compared.
    fn refuse_self(&self, to: &Name) -> Result<(), Denied> {
        if self.by.subject.name() != to {
            return Ok(());
        }
        Err(not_allowed("nobody gives a grant to themselves: ask another administrator"))
    }

    fn room_for_grant(&self, id: GrantId, subject: &SubjectId) -> Result<(), Denied> {
        if self.state.grants().contains_key(&id) {
            return Err(exists("grant", &id));
        }
        within(self.state.grants().len(), GRANTS_MAX, "grants")?;
        let held = self.in_force(subject).count();
        within(held, GRANTS_IN_FORCE_MAX, "grants in force for this user")
    }

    pub(crate) fn known_user(&self, name: &Name) -> Result<SubjectId, Denied> {
        if !self.policy().users.contains_key(name) {
            return Err(not_found("user", name));
        }
        Ok(SubjectId::new(SubjectKind::User, name.clone()))
    }

    pub(crate) fn known_role(&self, role: &RoleName) -> Result<(), Denied> {
        if self.policy().roles.contains_key(role) {
            return Ok(());
        }
        Err(not_found("role", role))
    }

    pub(crate) fn known_grant(&self, id: GrantId) -> Result<&Arc<Grant>, Denied> {
        self.state.grants().get(&id).ok_or_else(|| not_found("grant", &id))
    }

    pub(crate) fn in_force(&self, subject: &SubjectId) -> impl Iterator<Item = &Arc<Grant>> {
        self.state.grants_of(subject).filter(|grant| grant.is_in_force(self.now))
    }

    pub(crate) fn mint_token(&self, mint: &MintToken) -> Result<Vec<Change>, Denied> {
        check_only(&mint.only)?;
        let grant = match mint.grant {
            Some(id) => self.named_grant(id)?,
            None => self.only_grant()?,
        };
        self.refuse_vain(grant, &mint.only)?;
        self.room_for_credential(CredentialId::Token(mint.id), &mint.digest)?;
        self.room_for_token(grant)?;
        let own_end = mint.lifetime.map_or(grant.until, |lifetime| Deadline::after(self.now, lifetime));
        Ok(vec![Change::MintToken {
            token: mint.id,
            digest: mint.digest,
            grant: grant.id,
            subject: grant.subject.clone(),
            until: own_end.min(grant.until),
            only: mint.only.clone(),
        }])
    }

    /// One holder cannot use up the room of all.
    fn room_for_token(&self, grant: &Grant) -> Result<(), Denied> {
        let in_force =
            |token: &&Token| token.standing == Standing::Active && !token.until.has_passed(self.now);
        let held = self.state.tokens_of(grant.id).filter(in_force).count();
        within(held, TOKENS_PER_GRANT_MAX, "tokens of this grant in force")
    }

    /// People mint from their own grants, the server's own machine from any.
    fn named_grant(&self, id: GrantId) -> Result<&Grant, Denied> {
        let grant = self.known_grant(id)?;
        if self.by.via != Via::Socket && grant.subject != self.by.subject {
            return Err(not_allowed(format!("the grant `{id}` is not yours")));
        }
        if !grant.is_in_force(self.now) {
            return Err(not_allowed(format!("the grant `{id}` has ended")));
        }
        Ok(grant)
    }

    fn only_grant(&self) -> Result<&Grant, Denied> {
        let subject = SubjectId::new(SubjectKind::User, self.by.subject.name().clone());
        let mut held = self.in_force(&subject);
        match (held.next(), held.next()) {
            (None, _) => Err(not_allowed("you hold no grant in force")),
            (Some(grant), None) => Ok(grant),
            (Some(_), Some(_)) => {
                Err(Denied::Ambiguous { grants: self.in_force(&subject).map(|grant| grant.id).collect() })
            }
        }
    }
}

fn check_only(only: &[MethodPath]) -> Result<(), Denied> {
    if only.len() > ONLY_MAX {
        return Err(invalid(format!("a token is narrowed to at most {ONLY_MAX} lines")));
    }
    match only.iter().find(|line| line.to_string().len() > ONLY_BYTES_MAX) {
        Some(line) => Err(invalid(format!("`{line}` is longer than {ONLY_BYTES_MAX} bytes"))),
        None => Ok(()),
    }
}
