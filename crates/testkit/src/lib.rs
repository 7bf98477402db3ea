//! A whole world on port 0, for tests: upstreams that keep what they saw, a node with its console, a disk that
//! fails on demand, and time that moves when it is told to.
//!
//! READ `world` FIRST. Each world ends with `finish`, which holds the [`oracle`] against all that was seen:
//! what the upstream saw, what clients were answered, and the journal must tell the same story.
//!
//! What is promised: nothing here shares code with what it judges — requests and answers are read by [`wire`],
//! decisions are checked by [`reference`], which reads the configuration's own words.
//! Not here: the tests (see `crates/daypass/tests`), load and crash drivers (see `xtask`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a world that cannot be built, or is not as its test says, fails that test here"
)]

pub mod client;
pub mod clients;
pub mod console;
pub mod differ;
pub mod disk;
mod files;
pub mod frames;
pub mod h2c;
pub mod hostile;
mod logs;
pub mod oracle;
pub mod pebble;
pub mod reference;
pub mod setup;
pub mod story;
pub mod stuck;
#[path = "../../../fuzz/src/lib.rs"]
pub mod targets;
pub mod time;
pub mod tls;
pub mod upstream;
pub mod vitals;
pub mod wire;
pub mod world;

pub use client::{Answer, Ask, Conn};
pub use console::{Granted, Issue, post};
pub use disk::Fault;
pub use frames::{Frame, Frames};
pub use logs::log;
pub use setup::{ApiSetup, Behind, Setup, UPSTREAM_KEY};
pub use stuck::Stuck;
pub use time::{PATIENCE, Random, START, eventually};
pub use upstream::{Behavior, Seen, Upstream};
pub use world::World;
