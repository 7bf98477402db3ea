//! `cargo xtask bench`: what a request costs, against plain nginx.
//!
//! Everything is up at once; each proxy, with all its threads and processes, runs on core 0, the
//! backend and the load generator on core 1. A round gives every proxy one short slice in random
//! order, so that drift of the machine falls on all alike. The figure to trust is the ratio to
//! nginx inside a round. A slice with a single failed request ends the run.

mod cpu;
mod load;
mod report;
mod stage;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::clock::nanoseconds;
use crate::dice::Dice;
use crate::tools::{self, H2LOAD, NGINX, TASKSET, WRK};
use crate::workspace::{Profile, build};
use load::Load;
use stage::{Proxy, Stage};
use stats::Slice;

const HELP: &str = "\
cargo xtask bench [--quick] [--rounds N] [--connections N] [--rate N] [--bar R] [--seed N] [--binary F]

  --quick          4 rounds of 1 s at saturation, no fixed rate: for every day
  --rounds N       rounds (8; quick 4)
  --connections N  kept connections of the load generator (64)
  --rate N         requests a second of the fixed-rate part (12000)
  --bar R          fail when `write` costs more than R times nginx (median of rounds)
  --seed N         order of the slices; printed by every run
  --binary F       measure this binary instead of building the release profile

Examples:
  cargo xtask bench --quick
  cargo xtask bench --rounds 12 --connections 256 --bar 1.25";

const ROUNDS_MAX: usize = 1_000;

/// How the figures are taken.
struct Options {
    rounds: usize,
    slice: Duration,
    connections: usize,
    /// Requests a second of the fixed-rate part, if there is one.
    rate: Option<u32>,
    bar: Option<f64>,
    seed: u64,
    binary: Option<PathBuf>,
}

impl Options {
    fn read(mut args: Args) -> Result<Self> {
        let quick = args.flag("--quick");
        let rate = args.value("--rate")?;
        let options = Self {
            rounds: args.value("--rounds")?.unwrap_or(if quick { 4 } else { 8 }),
            slice: Duration::from_secs(if quick { 1 } else { 2 }),
            connections: args.value("--connections")?.unwrap_or(64),
            rate: if quick { rate } else { Some(rate.unwrap_or(12_000)) },
            bar: args.value("--bar")?,
            seed: args.value("--seed")?.unwrap_or_else(nanoseconds),
            binary: args.value("--binary")?,
        };
        args.finish()?;
        ensure!((1..=ROUNDS_MAX).contains(&options.rounds), "`--rounds` takes 1 to {ROUNDS_MAX}");
        ensure!((1..=4_096).contains(&options.connections), "`--connections` takes 1 to 4096");
        Ok(options)
    }
}

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let options = Options::read(args)?;
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    ensure!(cores.get() >= 2, "the proxies and their load need a core each");
    tools::require(&[&NGINX, &WRK, &H2LOAD, &TASKSET])?;
    let binary = options.binary.clone().map_or_else(|| build(Profile::Release), Ok)?;
    let mut stage = Stage::up(&binary)?;
    let saturated = rounds(&mut stage, &options, &Load::Saturate)?;
    let steady = options.rate.map(|rate| rounds(&mut stage, &options, &Load::Rate(rate))).transpose()?;
    report::print(&command, &options, &stage, &saturated, steady.as_deref());
    Ok(report::verdict(&options, &saturated))
}

/// One round: a slice for each proxy, in the order of [`Proxy::ALL`].
type Round = Vec<(Proxy, Slice)>;

fn rounds(stage: &mut Stage, options: &Options, load: &Load) -> Result<Vec<Round>> {
    let mut dice = Dice::new(options.seed);
    let mut rounds = Vec::with_capacity(options.rounds);
    for number in 1..=options.rounds {
        let mut order = Proxy::ALL;
        dice.shuffle(&mut order);
        let mut round: Round = Vec::with_capacity(order.len());
        for proxy in order {
            let slice =
                stage.slice(proxy, options, load).with_context(|| format!("round {number}, {proxy}"))?;
            round.push((proxy, slice));
        }
        round.sort_by_key(|(proxy, _)| *proxy);
        report::progress(number, load, &round);
        rounds.push(round);
    }
    Ok(rounds)
}
