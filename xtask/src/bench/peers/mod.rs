//! The proxies that Daypass is measured against: their configurations, each at its best.
//!
//! One worker, connections kept on both sides, no log unless it is part of what is compared. The
//! ones *with checks* look a token up, limit its rate, match its role with method and path, and
//! write a line of JSON for each request. Not here: starting them (see `stage`).

mod envoy;
mod haproxy;
mod nginx;

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::proxy::{Front, Proxy};
use crate::instance::{KeyFiles, Under};
use crate::scratch::Scratch;
use crate::tools;

/// Connections that each of them is set up for.
const CONNECTIONS_MAX: usize = 16_384;

/// Whether a peer looks up, limits, matches and logs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    Off,
    On,
}

/// Where a peer listens, what is behind it, and what it shows and knows.
pub(crate) struct Site<'a> {
    pub(crate) name: &'static str,
    pub(crate) front: Front,
    pub(crate) port: u16,
    pub(crate) backend: u16,
    pub(crate) tls: &'a KeyFiles,
    /// The one key that passes the checks.
    pub(crate) key: &'a str,
    pub(crate) scratch: &'a Scratch,
    pub(crate) under: &'a Under,
}

impl Site<'_> {
    fn folder(&self) -> PathBuf {
        self.scratch.path().join(self.name)
    }

    /// Writes a file of this peer's own folder.
    fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        self.scratch.write(&format!("{}/{file}", self.name), text)
    }

    /// Where a peer says what is wrong, or what was asked.
    fn log(&self, file: &str) -> Result<File> {
        File::create(self.folder().join(file))
            .with_context(|| format!("cannot open `{file}` of {}", self.name))
    }
}

/// A command that runs the backend of this name in the foreground.
pub(crate) fn backend(scratch: &Scratch, name: &str, port: u16) -> Result<Command> {
    nginx::backend(scratch, name, port)
}

/// A command that runs `proxy` in the foreground. Fails for Daypass, which is no peer of itself.
pub(crate) fn command(proxy: Proxy, site: &Site<'_>) -> Result<Command> {
    match proxy {
        Proxy::Nginx => nginx::command(site, Checks::Off),
        Proxy::NginxChecks => nginx::command(site, Checks::On),
        Proxy::Haproxy => haproxy::command(site, Checks::Off),
        Proxy::HaproxyChecks => haproxy::command(site, Checks::On),
        Proxy::Envoy => envoy::command(site, &tools::envoy()?),
        Proxy::Write | Proxy::Fsync => bail!("{proxy} is no peer"),
    }
}
