//! One running node: ledger, journal, gateway and console, wired together.
//!
//! Here the two towers meet: the keeper's views reach the gateway through [`bridge`], the ledger's events reach
//! the journal through [`follow`], and the console is given handles to all of it.
//! Not here: reading the configuration, signals and exit codes (see `serve`).

pub mod bridge;
pub mod clock;
pub mod configured;
mod console;
pub mod data;
pub mod doors;
pub mod enforce;
pub mod follow;
pub mod people;
pub mod run;
pub mod vitals;

pub use doors::Secured;
pub use run::{Node, Parts, StartError};
