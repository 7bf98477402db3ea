//! How does access change? Commands, the rules that may refuse them, the events they become, and the state
//! those events add up to.
//!
//! [`decide`](decide::decide) may say no and changes nothing; [`State::apply`] cannot fail and knows no
//! rules; [`project`](project::project) makes the view that requests are judged by. Everything here is a
//! pure function of its arguments: time and fresh ids arrive from outside.
//! Not here: keeping the events (`ledger`), judging a request (`access`).

pub mod command;
pub mod decide;
pub mod event;
pub mod project;
pub mod state;

mod apply;
mod detail;
mod grant;
mod policy;
mod revoke;
mod service;
mod session;
mod vain;

pub use command::{Act, Actor, Command, Via};
pub use decide::{Denied, decide};
pub use event::{Change, Event, RevokeScope};
pub use project::project;
pub use state::State;
