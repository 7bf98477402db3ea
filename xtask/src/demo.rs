//! `cargo xtask demo`: builds what is needed and becomes `daypass demo`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::args::Args;
use crate::workspace::{Profile, build, root};

const HELP: &str = "\
cargo xtask demo [OPTIONS]

Builds the product and runs `daypass demo`: a sample API, Daypass in front of it, and a guided
tour. Options are passed on. Ctrl-C leaves nothing behind.

Examples:
  cargo xtask demo
  cargo xtask demo --tour     run the tour and check each answer";

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let binary = build(Profile::Quick)?;
    let mut command = Command::new(&binary);
    command.current_dir(root()).arg("demo").args(args.rest());
    // Replaces this process, so that signals reach the demo and nothing stands between.
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", binary.display()))
}
