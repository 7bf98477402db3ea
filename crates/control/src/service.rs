//! Services and their keys: made, rotated and removed by administrators.
//!
//! A service exists from its first key until it is removed, or until its last key is forgotten. It has one
//! key at a time; a new one ends the one before in the same decision.

use std::time::Duration;

use access::credential::CredentialId;
use access::id::Name;
use access::view::Key;
use access::{Deadline, Lifetime};

use crate::command::{AddService, RotateService};
use crate::decide::{Case, Denied, check_lifetime, check_open, exists, invalid, not_found, within};
use crate::event::{Change, EndKeys};

/// The longest life of a service key: 365 days.
pub const KEY_LIFETIME_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The most roles of one key.
pub const KEY_ROLES_MAX: usize = 32;

/// The most services there may be.
pub const SERVICES_MAX: usize = 10_000;

impl Case<'_> {
    pub(crate) fn add_service(&self, add: &AddService) -> Result<Vec<Change>, Denied> {
        self.administrators_only()?;
        check_lifetime("a service key", add.lifetime, KEY_LIFETIME_MAX)?;
        if add.roles.is_empty() || add.roles.len() > KEY_ROLES_MAX {
            return Err(invalid(format!("a service has 1 to {KEY_ROLES_MAX} roles")));
        }
        check_open("name of the service", add.name.as_str())?;
        add.roles.iter().try_for_each(|role| self.known_role(role))?;
        if self.state.service(&add.name).is_some() {
            return Err(exists("service", &add.name));
        }
        within(self.state.services().count(), SERVICES_MAX, "services")?;
        self.room_for_credential(CredentialId::Key(add.id), &add.digest)?;
        Ok(vec![Change::AddKey {
            key: add.id,
            digest: add.digest,
            service: add.name.clone(),
            roles: add.roles.clone(),
            until: Deadline::after(self.now, add.lifetime),
        }])
    }

    pub(crate) fn rotate_service(&self, rotate: &RotateService) -> Result<Vec<Change>, Denied> {
        self.administrators_only()?;
        let old = self.known_service(&rotate.name)?;
        let until = match rotate.lifetime {
            Some(lifetime) => self.key_deadline(lifetime)?,
            None => Deadline::at(self.now.plus(old.until.instant().since(old.since))),
        };
        self.room_for_credential(CredentialId::Key(rotate.id), &rotate.digest)?;
        let end =
            Change::EndKeys { service: rotate.name.clone(), keys: vec![old.id], cause: EndKeys::Replace };
        let add = Change::AddKey {
            key: rotate.id,
            digest: rotate.digest,
            service: rotate.name.clone(),
            roles: old.roles.clone(),
            until,
        };
        Ok(vec![end, add])
    }

    pub(crate) fn remove_service(&self, name: &Name) -> Result<Vec<Change>, Denied> {
        self.administrators_only()?;
        let key = self.known_service(name)?;
        Ok(vec![Change::EndKeys { service: name.clone(), keys: vec![key.id], cause: EndKeys::Remove }])
    }

    fn known_service(&self, name: &Name) -> Result<&Key, Denied> {
        self.state.service(name).ok_or_else(|| not_found("service", name))
    }

    fn key_deadline(&self, lifetime: Lifetime) -> Result<Deadline, Denied> {
        check_lifetime("a service key", lifetime, KEY_LIFETIME_MAX)?;
        Ok(Deadline::after(self.now, lifetime))
    }
}
