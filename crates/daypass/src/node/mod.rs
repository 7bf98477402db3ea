//! One running node: ledger, journal, gateway and console, wired together.
//!
//! Here the two towers meet: the keeper's views reach the gateway through [`bridge`], the ledger's events reach
//! the journal through [`follow`], and the console is given handles to all of it.
//! A node can hand all of it over to a new process of its own kind (see [`successor`] and [`predecessor`]).
//! Not here: reading the configuration, signals and exit codes (see `serve`).

mod acme;
pub mod bridge;
mod channel;
pub mod clock;
pub mod configured;
mod console;
pub mod data;
pub mod doors;
pub mod enforce;
mod failed;
pub mod follow;
mod handover;
pub mod people;
pub mod predecessor;
pub mod run;
pub mod successor;
pub mod vitals;

pub use doors::Secured;
pub use failed::{ReloadError, StartError};
pub use predecessor::{Inherited, Predecessor};
pub use run::{Node, Parts};
