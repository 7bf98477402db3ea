//! `identity.users` and `console:`: who there is, and who runs Daypass.

use std::collections::{BTreeMap, BTreeSet};

use access::SubjectKind;
use access::id::Name;
use access::policy::Principal;

use super::super::file::User;
use super::super::place::{Named, Placed};
use super::super::text::{FileReference, PrincipalText};
use super::Resolver;

type Users = BTreeMap<Name, BTreeSet<Name>>;

impl Resolver<'_> {
    pub(super) fn users(&mut self, written: &Named<User>) -> Users {
        let mut users = Users::new();
        for (name, user) in written {
            if let Some(file) = &user.password {
                self.password_file(file);
            }
            let groups = user.groups.iter().filter_map(|group| self.name(group)).collect();
            if let Some(name) = self.name(name) {
                users.insert(name, groups);
            }
        }
        users
    }

    fn password_file(&mut self, written: &Placed<FileReference>) {
        let Some(path) = written.strip_prefix("file:").filter(|path| !path.is_empty()) else {
            self.errors.hide(written.place);
            let says = "a password's hash is given by reference only";
            self.refuse(written.place, says, "write `file:PATH`, and put the hash there");
            return;
        };
        if !self.directory.join(path).is_file() {
            let says = format!("there is no file `{path}`");
            self.refuse(written.place, says, "put the password's hash there, or remove `password:`");
        }
    }

    pub(super) fn principals(&mut self, written: &[Placed<PrincipalText>], users: &Users) -> Vec<Principal> {
        written.iter().filter_map(|written| self.principal(written, users)).collect()
    }

    fn principal(&mut self, written: &Placed<PrincipalText>, users: &Users) -> Option<Principal> {
        let principal = written.parse::<Principal>().ok();
        let principal = principal.filter(|principal| !is_local(principal));
        match &principal {
            None => {
                let says = format!("`{}` names nobody", written.value);
                self.refuse(written.place, says, "write `user:NAME`, `service:NAME` or `group:NAME`");
            }
            Some(Principal::Group(group)) if !users.values().any(|groups| groups.contains(group)) => {
                let says = format!("nobody is in the group `{group}`");
                let advice = format!("add `groups: [{group}]` to somebody under `identity.users`");
                self.warn(written.place, says, advice);
            }
            Some(Principal::Subject(subject))
                if subject.kind() == SubjectKind::User && !users.contains_key(subject.name()) =>
            {
                let says = format!("there is no user `{}`", subject.name());
                self.warn(written.place, says, "add them under `identity.users`");
            }
            Some(_) => {}
        }
        principal
    }
}

fn is_local(principal: &Principal) -> bool {
    matches!(principal, Principal::Subject(subject) if subject.kind() == SubjectKind::Local)
}
