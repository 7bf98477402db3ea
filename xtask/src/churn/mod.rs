//! `cargo xtask churn`: reloads, drains and upgrades under load, and every request that failed by them.
//!
//! Clients of all kinds keep asking while the server's configuration is replaced, the server is stopped behind a
//! balancer, or another binary takes over. A client tries again only as real ones do: where it was not connected, or
//! where a kept connection was closed without one byte of an answer. All else that is not the whole answer counts as
//! failed. In the end the journal is held against what clients and upstream saw.

mod client;
mod load;
mod multiplexed;
mod node;
mod rounds;
mod rows;
mod socket;
mod tally;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::args::{Args, usage};
use crate::workspace::{Profile, build};

const HELP: &str = "\
cargo xtask churn [--reloads N] [--drains N] [--upgrades N] [--websockets N] [--plain] [--binary F]

  --reloads N      reloads with other APIs, roles, upstreams and certificates (20)
  --drains N       stops, each with another node ready to take over (4)
  --upgrades N     takeovers by a new process on the same sockets (4)
  --websockets N   WebSockets that are open from the first reload to the last (20)
  --plain          without TLS
  --binary F       test this binary instead of building the quick profile

Examples:
  cargo xtask churn
  cargo xtask churn --reloads 1000 --drains 50 --upgrades 50 --websockets 1000";

const ROUNDS_MAX: usize = 10_000;
const WEBSOCKETS_MAX: usize = 4_000;

/// How often what is done.
pub(crate) struct Options {
    pub(crate) reloads: usize,
    pub(crate) drains: usize,
    pub(crate) upgrades: usize,
    pub(crate) websockets: usize,
    pub(crate) security: Security,
}

/// What is spoken to both listeners.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    Tls,
}

/// A run that is short enough to be part of the tests. Whether nothing was wrong.
pub(crate) fn short() -> Result<bool> {
    let options = Options { reloads: 20, drains: 2, upgrades: 2, websockets: 20, security: Security::Tls };
    rounds::all(&build(Profile::Dev)?, &options)
}

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options {
        reloads: args.value("--reloads")?.unwrap_or(20),
        drains: args.value("--drains")?.unwrap_or(4),
        upgrades: args.value("--upgrades")?.unwrap_or(4),
        websockets: args.value("--websockets")?.unwrap_or(20),
        security: if args.flag("--plain") { Security::Plain } else { Security::Tls },
    };
    let binary = args.value::<PathBuf>("--binary")?;
    args.finish()?;
    for (name, rounds) in
        [("--reloads", options.reloads), ("--drains", options.drains), ("--upgrades", options.upgrades)]
    {
        ensure!(rounds <= ROUNDS_MAX, usage(format!("`{name}` takes at most {ROUNDS_MAX}")));
    }
    let many = format!("`--websockets` takes at most {WEBSOCKETS_MAX}");
    ensure!(options.websockets <= WEBSOCKETS_MAX, usage(many));
    let binary = binary.map_or_else(|| build(Profile::Quick), |given| Ok(given.canonicalize()?))?;
    let sound = rounds::all(&binary, &options)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
