//! The control plane's HTTP interface: who holds what, giving and taking it, and reading the journal.
//!
//! Read [`routes`] first: every route and who may use it stand there, and nowhere else. Callers are known
//! before any handler runs ([`session`]); what they ask for becomes a command to the ledger, which decides;
//! a credential that is made is in one answer and nowhere else.
//!
//! What is promised:
//! - A revocation is in force when it is answered, whatever state the journal is in (see [`revoke`]).
//! - Nobody reads the journal unrecorded: every search is a note in it, or held by it, first (see [`audit`]).
//! - Connections, bodies, searches, streams and waits are bounded, each by a named constant.
//!
//! Not here: proxied requests (`gateway`), the rules of access (`control`), logging in, a page.

pub mod audit;
pub mod console;
pub mod grants;
pub mod handles;
pub mod json;
pub mod live;
pub mod near;
pub mod page;
pub mod problem;
pub mod revoke;
pub mod routes;
pub mod rows;
pub mod serve;
pub mod session;
pub mod stall;

mod catalog;
mod explain;
mod health;
mod known;
mod services;

pub use console::Console;
pub use handles::{
    AcmeHealth, CertificateHealth, Configuration, Cut, Enforce, Entropy, FailedOrder, FailedReload, Handles,
    Health, Journaled, NodeCut, NodeHealth, UpstreamHealth, Vitals,
};
pub use serve::{Listener, NameOf, Opening, Secure, Stream, serve};
pub use session::Door;
