//! May this request pass? The vocabulary of Daypass, and the decisions.
//!
//! Everything here is a pure function of its arguments: no clock, no randomness, no file, socket or
//! environment, nothing awaited. Time arrives as [`Timestamp`], fresh ids as arguments.
//!
//! Read [`view`] for what a decision is made from, then [`authenticate`] and [`authorize`] for how.
//! Not here: how access changes (`control`), or what happens to a request once it may pass (`gateway`).

pub mod arrival;
pub mod authenticate;
pub mod authorize;
pub mod canonical;
pub mod contract;
pub mod credential;
pub mod hash;
pub mod id;
pub mod limit;
pub mod operation;
pub mod policy;
pub mod quirk;
pub mod refused;
pub mod role;
pub mod secret;
pub mod source;
pub mod subject;
pub mod time;
pub mod view;

mod compiled;
mod router;
mod template;

pub use id::{ApiName, GrantId, IncidentId, KeyId, RequestId, Revision, RoleName, SessionId, TokenId};
pub use refused::{Reason, Refused};
pub use secret::Secret;
pub use subject::{SubjectId, SubjectKind};
pub use time::{Clock, Deadline, Lifetime, Timestamp};
