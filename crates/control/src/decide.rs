//! Which events a command becomes, or why it becomes none. Deciding changes nothing.
//!
//! Nobody may do anything by default: each act says who may. Nobody gives access to themselves, whatever
//! they are. The rules of each act stand in the module of its noun; what they share is here.

use std::time::Duration;

use access::credential::{CredentialId, Digest, masked, occurs_in};
use access::policy::Policy;
use access::{GrantId, Lifetime, SubjectId, SubjectKind, Timestamp};

use crate::command::{Act, Actor, Command, Via};
use crate::event::{Change, Event};
use crate::state::State;

pub use crate::grant::{GRANT_LIFETIME_MAX, GRANTS_IN_FORCE_MAX, GRANTS_MAX, ONLY_BYTES_MAX, ONLY_MAX};
pub use crate::service::{KEY_LIFETIME_MAX, KEY_ROLES_MAX, SERVICES_MAX};
pub use crate::session::SESSION_LIFETIME_MAX;

/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// The most credentials there may be, those recently ended included.
pub const CREDENTIALS_MAX: usize = 1_000_000;

/// Why a command becomes no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The actor may not do this, whatever they write.
    #[error("{why}")]
    NotAllowed {
        /// What forbids it.
        why: String,
    },
    /// Something is named that does not exist.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// The name given.
        name: String,
    },
    /// Something is to be made that exists.
    #[error("the {what} `{name}` exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A credential stands where it would be recorded for ever and shown to whoever reads the journal.
    #[error("the {what} contains a Daypass credential, and would be shown to all who read the journal")]
    Secret {
        /// What it stands in.
        what: &'static str,
    },
    /// What was written cannot be done as written.
    #[error("{why}")]
    Invalid {
        /// What is wrong with it.
        why: String,
    },
    /// It could be made and would give nothing, as the configuration is.
    #[error("{why}")]
    Vain {
        /// What stands against it.
        why: String,
        /// What to do about it.
        next: String,
    },
    /// Several grants are meant; one must be named.
    #[error("you hold several grants in force, name one of them: {}", listed(grants))]
    Ambiguous {
        /// Which they are, at most [`GRANTS_IN_FORCE_MAX`].
        grants: Vec<GrantId>,
    },
    /// A bound is reached.
    #[error("there are {most} {what} already, which is the most there may be")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: usize,
    },
}

fn listed(grants: &[GrantId]) -> String {
    let names: Vec<_> = grants.iter().map(|grant| format!("`{grant}`")).collect();
    names.join(", ")
}

/// Decides what a command changes at `now`.
///
/// The events are to be appended together or not at
/// all; none means that nothing needs to change.
///
/// # Errors
/// [`Denied`] says what stands against it.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Denied> {
    let case = Case { state, by: &command.by, now };
    case.refuse_strangers(&command.act)?;
    let changes = match &command.act {
        Act::AdoptPolicy(policy) => case.adopt_policy(policy)?,
        Act::GiveGrant(give) => case.give_grant(give)?,
        Act::MintToken(mint) => case.mint_token(mint)?,
        Act::AddService(add) => case.add_service(add)?,
        Act::RotateService(rotate) => case.rotate_service(rotate)?,
        Act::RemoveService { name } => case.remove_service(name)?,
        Act::OpenSession(open) => case.open_session(open)?,
        Act::CloseSession { id } => case.close_session(*id)?,
        Act::Revoke { scope, reason } => case.revoke(scope, reason)?,
    };
    Ok(changes.into_iter().map(|change| case.event(change)).collect())
}

/// One command before its judge.
pub(crate) struct Case<'a> {
    pub(crate) state: &'a State,
    pub(crate) by: &'a Actor,
    pub(crate) now: Timestamp,
}

impl Case<'_> {
    fn event(&self, change: Change) -> Event {
        Event { at: self.now, by: self.by.subject.clone(), change }
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.state.policy()
    }

    /// The binary adopts policies and does nothing else; people act while the configuration names them.
    fn refuse_strangers(&self, act: &Act) -> Result<(), Denied> {
        let adopts = matches!(act, Act::AdoptPolicy(_));
        match self.by.via {
            Via::System if adopts => Ok(()),
            Via::System => Err(not_allowed("the binary itself only adopts policies")),
            _ if adopts => Err(not_allowed("a policy comes from the configuration: edit it and reload")),
            Via::Socket => Ok(()),
            Via::Session if self.is_user(&self.by.subject) => Ok(()),
            Via::Session => {
                Err(not_allowed(format!("the configuration does not name `{}`", self.by.subject)))
            }
        }
    }

    pub(crate) fn is_user(&self, subject: &SubjectId) -> bool {
        subject.kind() == SubjectKind::User && self.policy().users.contains_key(subject.name())
    }

    pub(crate) fn is_administrator(&self) -> bool {
        let policy = self.policy();
        match self.by.via {
            Via::Socket => true,
            Via::Session => policy.includes(&policy.administrators, &self.by.subject),
            Via::System => false,
        }
    }

    pub(crate) fn administrators_only(&self) -> Result<(), Denied> {
        if self.is_administrator() {
            return Ok(());
        }
        Err(not_allowed("only administrators may do this"))
    }

    /// Whether a credential of this id and digest is new, and fits.
    pub(crate) fn room_for_credential(&self, id: CredentialId, digest: &Digest) -> Result<(), Denied> {
        if self.state.credential(id).is_some() || self.state.credentials().contains_key(digest) {
            return Err(exists("credential", &id));
        }
        let count = self.state.credentials().len();
        within(count, CREDENTIALS_MAX, "credentials")
    }
}

pub(crate) fn not_allowed(why: impl Into<String>) -> Denied {
    Denied::NotAllowed { why: why.into() }
}

pub(crate) fn invalid(why: impl Into<String>) -> Denied {
    Denied::Invalid { why: why.into() }
}

pub(crate) fn not_found(what: &'static str, name: &impl ToString) -> Denied {
    // A credential pasted where a name belongs is not said back.
    let name = masked(&name.to_string()).into_owned();
    Denied::NotFound { what, name }
}

pub(crate) fn exists(what: &'static str, name: &impl ToString) -> Denied {
    let name = name.to_string();
    Denied::Exists { what, name }
}

/// Whether one more fits.
pub(crate) const fn within(count: usize, most: usize, what: &'static str) -> Result<(), Denied> {
    if count < most {
        return Ok(());
    }
    Err(Denied::TooMany { what, most })
}

/// Whether a text that is to be recorded is free of credentials.
pub(crate) fn check_open(what: &'static str, text: &str) -> Result<(), Denied> {
    if occurs_in(text.as_bytes()) { Err(Denied::Secret { what }) } else { Ok(()) }
}

/// A reason is 1 to [`REASON_CHARS_MAX`] characters, not all blank, without control characters or credentials.
pub(crate) fn check_reason(reason: &str) -> Result<(), Denied> {
    if reason.trim().is_empty() {
        return Err(invalid("a reason is required"));
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(invalid(format!("a reason has at most {REASON_CHARS_MAX} characters")));
    }
    if reason.chars().any(char::is_control) {
        return Err(invalid("a reason is one line, without control characters"));
    }
    check_open("reason", reason)
}

pub(crate) fn check_lifetime(what: &str, lifetime: Lifetime, most: Duration) -> Result<(), Denied> {
    if lifetime.as_duration() <= most {
        return Ok(());
    }
    let hours = most.as_secs() / 3_600;
    let most = if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") };
    Err(invalid(format!("{what} lasts at most `{most}`, not `{lifetime}`")))
}
