//! Sessions on the console listener: opened from the server's own machine, closed by their holder.

use std::time::Duration;

use access::credential::CredentialId;
use access::{Deadline, SessionId};

use crate::command::{OpenSession, Via};
use crate::decide::{Case, Denied, check_lifetime, not_allowed, not_found};
use crate::event::Change;

/// The longest session, and how long one lasts by default: 12 hours.
pub const SESSION_LIFETIME_MAX: Duration = Duration::from_secs(12 * 3_600);

impl Case<'_> {
    pub(crate) fn open_session(&self, open: &OpenSession) -> Result<Vec<Change>, Denied> {
        if self.by.via != Via::Socket {
            return Err(not_allowed(
                "sessions are opened on the server's own machine: `daypass admin session`",
            ));
        }
        let subject = self.known_user(&open.subject)?;
        let until = match open.lifetime {
            Some(lifetime) => {
                check_lifetime("a session", lifetime, SESSION_LIFETIME_MAX)?;
                Deadline::after(self.now, lifetime)
            }
            None => Deadline::at(self.now.plus(SESSION_LIFETIME_MAX)),
        };
        self.room_for_credential(CredentialId::Session(open.id), &open.digest)?;
        Ok(vec![Change::OpenSession { session: open.id, digest: open.digest, subject, until }])
    }

    /// Closing a session that has ended changes nothing.
    pub(crate) fn close_session(&self, id: SessionId) -> Result<Vec<Change>, Denied> {
        let session = self.state.session(id).ok_or_else(|| not_found("session", &id))?;
        if session.subject != self.by.subject && !self.is_administrator() {
            return Err(not_allowed("this session is not yours"));
        }
        if !self.holds(CredentialId::Session(id)) {
            return Ok(Vec::new());
        }
        let subject = session.subject.clone();
        Ok(vec![Change::CloseSession { session: id, subject }])
    }
}
