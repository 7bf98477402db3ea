//! `cargo xtask bench`: what a request costs, against nginx, HAProxy and Envoy.
//!
//! Each proxy, with all its threads and processes, runs on core 0, the backend and the load
//! generator on core 1; all proxies of a scenario are up at once. A round gives each of them one
//! short slice in random order, so that drift of the machine falls on all alike. The figure to
//! trust is the ratio to nginx inside a round. A slice with a single failed request ends the run.
//! Not here: what two cores give, as the load needs the other one.

mod goals;
mod h2load;
mod instructions;
mod load;
mod memory;
mod peers;
mod proxy;
mod report;
mod scenario;
mod stage;
mod stats;
mod tls;
mod usage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::args::{Args, usage as wrong};
use crate::clock::nanoseconds;
use crate::dice::Dice;
use crate::instance::Under;
use crate::tools::{self, H2LOAD, HAPROXY, NGINX, TASKSET, WRK};
use crate::workspace::{Profile, build};
use crate::{release, stop};
use proxy::{Front, Proxy};
use scenario::{DAILY, MEMORY, SCENARIOS, Scenario, named};
use stage::{PROXY_CORE, Stage};
use stats::{Measured, Round};

const HELP: &str = "\
cargo xtask bench [--quick | --full] [--only NAMES] [--rounds N] [--bar R] [--seed N] [--binary F]
cargo xtask bench --instructions [--binary F]

Without an option: `h1-64` and `rate` on nginx and Daypass, 8 rounds of 2 s.

  --quick          4 rounds of 1 s: for every day
  --full           every scenario on every proxy, and memory: for the record
  --only NAMES     these parts, on every proxy; names with commas between
  --rounds N       rounds (8; quick 4)
  --bar R          fail when `write` costs more than R times nginx in `h1-64` (median of rounds)
  --seed N         order of the slices; printed by every run
  --binary F       measure this binary instead of building one: what is released (see `release`), or, for
                   --instructions, the release profile without counts
  --instructions   instructions per request by callgrind; fails when 5 % above what is recorded

Parts: h1-64, h1-256 (h1: both), rate, download, upload, connect, h2, tls, tls-connect, memory.
The proxies: nginx, HAProxy and Envoy, plain; nginx and HAProxy with look-up, limit, rule and log
(in h1-64 and h1-256); Daypass with the journal at `write` and at `fsync`.

Examples:
  cargo xtask bench --quick
  cargo xtask bench --quick --only h2,tls
  cargo xtask bench --full --rounds 12";

const ROUNDS_MAX: usize = 1_000;

/// How long each scenario runs on a binary that counts.
const TRAINING_TIME: Duration = Duration::from_secs(3);

/// How the figures are taken.
struct Options {
    rounds: usize,
    slice: Duration,
    choice: Choice,
    bar: Option<f64>,
    seed: u64,
    binary: Option<PathBuf>,
}

/// What is run.
enum Choice {
    /// The scenarios of every day, on the proxies of every day.
    Daily,
    Full,
    /// The parts that these words name.
    Only(String),
}

impl Options {
    fn read(mut args: Args) -> Result<Self> {
        let (quick, full) = (args.flag("--quick"), args.flag("--full"));
        let only: Option<String> = args.value("--only")?;
        let options = Self {
            rounds: args.value("--rounds")?.unwrap_or(if quick { 4 } else { 8 }),
            slice: Duration::from_secs(if quick { 1 } else { 2 }),
            choice: match only {
                Some(words) => Choice::Only(words),
                None if full => Choice::Full,
                None => Choice::Daily,
            },
            bar: args.value("--bar")?,
            seed: args.value("--seed")?.unwrap_or_else(nanoseconds),
            binary: args.value("--binary")?,
        };
        args.finish()?;
        if quick && full {
            return Err(wrong("`--quick` and `--full` exclude each other"));
        }
        if let Choice::Only(words) = &options.choice
            && let Some(word) = scenario::unknown(words)
        {
            return Err(wrong(format!("no part `{word}`\n\n{HELP}")));
        }
        ensure!((1..=ROUNDS_MAX).contains(&options.rounds), "`--rounds` takes 1 to {ROUNDS_MAX}");
        Ok(options)
    }

    /// Instructions are counted in one way only: what changes how time is measured is refused.
    fn of_count(mut args: Args) -> Result<Self> {
        let (choice, slice) = (Choice::Daily, Duration::ZERO);
        let options = Self { rounds: 1, slice, choice, bar: None, seed: 0, binary: args.value("--binary")? };
        args.finish()?;
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        match &self.choice {
            Choice::Daily => DAILY.contains(&name),
            Choice::Full => true,
            Choice::Only(words) => named(words, name),
        }
    }

    /// The proxies of a scenario that are measured.
    fn proxies(&self, scenario: &Scenario, absent: &[Proxy]) -> Vec<Proxy> {
        let daily = matches!(self.choice, Choice::Daily);
        let wanted = |proxy: &Proxy| !absent.contains(proxy) && (!daily || Proxy::DAILY.contains(proxy));
        scenario.proxies.iter().copied().filter(wanted).collect()
    }
}

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let instructions = args.flag("--instructions");
    let options = if instructions { Options::of_count(args)? } else { Options::read(args)? };
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    ensure!(cores.get() >= 2, "the proxies and their load need a core each");
    stop::on_signal()?;
    // Counts are compared with those of another day: they are of a build that no run of a load changes.
    let built = || if instructions { build(Profile::Release) } else { release::binary() };
    let binary = options.binary.clone().map_or_else(built, Ok)?;
    let binary = binary.canonicalize().with_context(|| format!("no `{}`", binary.display()))?;
    if instructions { instructions::run(&binary) } else { measure(&command, &options, &binary) }
}

fn measure(command: &str, options: &Options, binary: &Path) -> Result<ExitCode> {
    tools::require(&[&NGINX, &HAPROXY, &WRK, &H2LOAD, &TASKSET])?;
    let absent = absent(options);
    let mut measured = Vec::new();
    for front in [Front::Clear, Front::H2c, Front::Tls] {
        measured.extend(part(options, binary, front, &absent)?);
    }
    let memory = if options.wants(MEMORY) { memory::measure(binary, &absent)? } else { Vec::new() };
    report::print(command, options, &measured, &memory, &absent);
    Ok(report::verdict(options.bar, &measured))
}

/// What cannot be had here; the reason is told at once.
fn absent(options: &Options) -> Vec<Proxy> {
    if matches!(options.choice, Choice::Daily) {
        return Vec::new();
    }
    match tools::envoy() {
        Ok(_) => Vec::new(),
        Err(error) => {
            eprintln!("envoy is left out: {error:#}");
            vec![Proxy::Envoy]
        }
    }
}

/// All scenarios that speak alike to the proxies, which are up together.
fn part(options: &Options, binary: &Path, front: Front, absent: &[Proxy]) -> Result<Vec<Measured>> {
    let chosen = |scenario: &&Scenario| scenario.front == front && options.wants(scenario.name);
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(chosen).collect();
    let mut proxies: Vec<Proxy> =
        scenarios.iter().flat_map(|scenario| options.proxies(scenario, absent)).collect();
    proxies.sort_unstable();
    proxies.dedup();
    if proxies.is_empty() {
        return Ok(Vec::new());
    }
    let stage = Stage::up(binary, front, &proxies, &Under::Core(PROXY_CORE))?;
    stage.rehearse()?;
    let measure = |scenario: &&'static Scenario| {
        let rounds = rounds(&stage, options, scenario, &options.proxies(scenario, absent));
        Ok(Measured { scenario, rounds: rounds.with_context(|| format!("scenario `{}`", scenario.name))? })
    };
    scenarios.iter().map(measure).collect()
}

/// The load of every scenario on a Daypass that counts what it does; the counts are whole when it has ended.
pub(crate) fn train(binary: &Path) -> Result<()> {
    tools::require(&[&NGINX, &WRK, &H2LOAD, &TASKSET])?;
    for front in [Front::Clear, Front::H2c, Front::Tls] {
        let stage = Stage::up(binary, front, &Proxy::OURS, &Under::Core(PROXY_CORE))?;
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.front == front) {
            for proxy in Proxy::OURS {
                stop::check()?;
                let slice = stage.slice(proxy, scenario.load, scenario.connections, TRAINING_TIME);
                slice.with_context(|| format!("scenario `{}`, {proxy}", scenario.name))?;
            }
        }
        stage.down()?;
    }
    Ok(())
}

fn rounds(stage: &Stage, options: &Options, scenario: &Scenario, proxies: &[Proxy]) -> Result<Vec<Round>> {
    let mut dice = Dice::new(options.seed);
    let mut rounds = Vec::with_capacity(options.rounds);
    for number in 1..=options.rounds {
        let mut order = proxies.to_vec();
        dice.shuffle(&mut order);
        let mut round: Round = Vec::with_capacity(order.len());
        for proxy in order {
            stop::check()?;
            let slice = stage.slice(proxy, scenario.load, scenario.connections, options.slice);
            round.push((proxy, slice.with_context(|| format!("round {number}, {proxy}"))?));
        }
        round.sort_by_key(|(proxy, _)| *proxy);
        report::progress(scenario.name, [number, options.rounds], &round);
        rounds.push(round);
    }
    Ok(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        Options::read(Args::new(line.split_whitespace().map(str::to_owned)))
    }

    #[test]
    fn every_day_measures_little_and_the_record_everything() {
        let chosen = |line: &str| {
            let options = options(line).unwrap();
            let scenarios = SCENARIOS.iter().filter(|scenario| options.wants(scenario.name));
            let slices = scenarios.map(|scenario| options.proxies(scenario, &[]).len()).sum::<usize>();
            (slices * options.rounds, options.wants(MEMORY))
        };
        assert_eq!(chosen("--quick"), (2 * 3 * 4, false));
        assert_eq!(chosen(""), (2 * 3 * 8, false));
        assert_eq!(chosen("--full"), ((2 * 7 + 7 * 5) * 8, true));
        assert_eq!(chosen("--quick --only h2,memory"), (5 * 4, true));
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let options = options("--full").unwrap();
        assert!(
            SCENARIOS
                .iter()
                .all(|scenario| { !options.proxies(scenario, &[Proxy::Envoy]).contains(&Proxy::Envoy) })
        );
    }

    #[test]
    fn choices_that_make_no_sense_are_refused() {
        for line in ["--quick --full", "--only h3", "--only=", "--rounds 0", "--rounds 1001", "--fast"] {
            assert!(options(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_says_how_time_is_measured_is_refused_where_instructions_are_counted() {
        let of_count = |line: &str| Options::of_count(Args::new(line.split_whitespace().map(str::to_owned)));
        assert!(of_count("--binary target/release/daypass").is_ok());
        for line in ["--rounds 3", "--quick", "--full", "--only h2", "--bar 1.5", "--seed 1"] {
            assert!(of_count(line).is_err(), "{line}");
        }
    }
}
