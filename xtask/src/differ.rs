//! `cargo xtask differ`: generated requests and answers through the proxy, to real servers and real clients.
//!
//! The work is done by the testkit's `differ`, which is built here with optimization; what it says about itself holds.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::args::Args;
use crate::tools;
use crate::workspace::cargo;

const HELP: &str = "\
cargo xtask differ [--cases N] [--seed N] [--without NAME,...] [--show CASE]

Generated requests go through Daypass to nginx, HAProxy, Node, Python, the JDK (where there is one),
hyper and the recording upstream; generated answers come back to hyper, Python and Node. What any
of them saw must be what the journal says. The codec is also held against hyper's in one process.

  --cases N        requests and answers, all rounds together (20000)
  --seed N         of the first round; printed by every run
  --without NAMES  servers and clients to leave out
  --show CASE      prints the connection on which this case of a round with --seed is sent

A failing case is made smaller and printed as bytes. Exit code 1 when anything differed.

Examples:
  cargo xtask differ
  cargo xtask differ --cases 1000000 --seed 1";

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    tools::require(&[&tools::NGINX, &tools::HAPROXY, &tools::NODE, &tools::PYTHON])?;
    let mut command = cargo();
    command.args([
        "run",
        "--locked",
        "--quiet",
        "--profile",
        "quick",
        "--package",
        "testkit",
        "--bin",
        "differ",
        "--",
    ]);
    let status = command.args(args.rest()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
