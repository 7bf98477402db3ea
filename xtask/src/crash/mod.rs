//! `cargo xtask crash`: `kill -9` under load, and what the journal then says.
//!
//! A round: clients send requests, the process is killed at a random moment, started again, and its
//! journal is held against what the clients and the upstream saw. The rules are in `check`; that
//! they can fail is shown by `--self-test` and by the unit tests.

pub(crate) mod check;
pub(crate) mod client;
mod doctored;
mod round;
pub(crate) mod rows;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::args::{Args, usage};
use crate::clock::nanoseconds;
use crate::instance::Durability;
use crate::workspace::{Profile, build};

const HELP: &str = "\
cargo xtask crash [--rounds N] [--mode write|fsync] [--clients N] [--seed N] [--binary F] [--self-test]

  --rounds N     rounds of load, kill, restart and check, for each mode (20)
  --mode M       one durability; both, one after the other, when absent
  --clients N    clients that send at once (32)
  --seed N       moments of the kills; printed by every run
  --binary F     test this binary instead of building the quick profile
  --self-test    shows that the checker catches each kind of loss, with doctored evidence

Examples:
  cargo xtask crash
  cargo xtask crash --rounds 500 --mode fsync
  cargo xtask crash --self-test";

const ROUNDS_MAX: usize = 10_000;
const CLIENTS_MAX: usize = 256;

/// How often, how hard, and with what luck.
#[derive(Clone, Copy)]
struct Options {
    rounds: usize,
    clients: usize,
    seed: u64,
}

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    if args.flag("--self-test") {
        args.finish()?;
        return Ok(code(doctored::self_test()));
    }
    let options = Options {
        rounds: args.value("--rounds")?.unwrap_or(20),
        clients: args.value("--clients")?.unwrap_or(32),
        seed: args.value("--seed")?.unwrap_or_else(nanoseconds),
    };
    let mode = args.value::<String>("--mode")?;
    let binary = args.value::<PathBuf>("--binary")?;
    args.finish()?;
    ensure!((1..=ROUNDS_MAX).contains(&options.rounds), usage(format!("`--rounds` takes 1 to {ROUNDS_MAX}")));
    ensure!(
        (1..=CLIENTS_MAX).contains(&options.clients),
        usage(format!("`--clients` takes 1 to {CLIENTS_MAX}"))
    );
    let modes = modes(mode.as_deref())?;
    let binary = binary.map_or_else(|| build(Profile::Quick), Ok)?;
    println!("seed {}, {} clients", options.seed, options.clients);
    let mut sound = true;
    for mode in modes {
        sound &= round::all(&binary, mode, options)?;
    }
    Ok(code(sound))
}

fn modes(given: Option<&str>) -> Result<Vec<Durability>> {
    match given.map(str::parse) {
        None => Ok(vec![Durability::Fsync, Durability::Write]),
        Some(Ok(mode)) => Ok(vec![mode]),
        Some(Err(())) => Err(usage("`--mode` takes `write` or `fsync`")),
    }
}

fn code(sound: bool) -> ExitCode {
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
