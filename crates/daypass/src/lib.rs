//! The binary's parts: configuration, wiring, command line, demo.
//!
//! Read [`node::run`] for how the parts of a running Daypass are wired together, and [`config`] for what may be
//! written in its file. Not here: any decision about a request or about access.

pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod demo;
pub mod node;
pub mod output;
pub mod program;
pub mod serve;
pub mod supervisor;
