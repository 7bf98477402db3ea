//! `cargo xtask test`: everything a change must pass, in order, none skipped because another failed.
//!
//! Ends with one line `N passed, N failed`: the tests of the runners, plus one for each check that
//! is not a runner. A runner that ends badly without naming a failed test counts as one failed.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::args::Args;
use crate::clock::Watch;
use crate::process::{present, tee};
use crate::tally::Tally;
use crate::workspace::cargo;
use crate::{churn, tidy, tools};

const HELP: &str = "\
cargo xtask test

Runs format, clippy, tidy, cargo-deny, unit, property, end-to-end and doc tests, and a short churn;
closes with one line `N passed, N failed`. Exit code 1 when anything failed.

Examples:
  cargo xtask test
  CARGO_TARGET_DIR=../target cargo xtask test";

/// One part of the whole: its heading, and what it runs.
struct Step {
    name: &'static str,
    run: fn() -> Result<Tally>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: format },
    Step { name: "clippy", run: clippy },
    Step { name: "tidy", run: || Ok(gate(tidy::check()?)) },
    Step { name: "deny", run: deny },
    Step { name: "tests", run: tests },
    Step { name: "doc tests", run: doc_tests },
    Step { name: "churn", run: || Ok(gate(churn::short()?)) },
];

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    args.finish()?;
    let watch = Watch::start();
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for step in STEPS {
        let (tally, line) = take(step);
        total += tally;
        lines.push(line);
    }
    println!("\n== summary ==\n{}", lines.join("\n"));
    println!("all of it in {:.1} s", watch.elapsed().as_secs_f64());
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take(step: &Step) -> (Tally, String) {
    println!("\n== {} ==", step.name);
    let watch = Watch::start();
    let tally = (step.run)().unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", step.name);
        Tally::FAILED
    });
    let word = if tally.failed == 0 { "ok" } else { "FAILED" };
    let line = format!("{:<10} {word:<7} {:>7.1} s  {tally}", step.name, watch.elapsed().as_secs_f64());
    println!("-- {line}");
    (tally, line)
}

fn format() -> Result<Tally> {
    check(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<Tally> {
    check(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn deny() -> Result<Tally> {
    check(tools::cargo_deny()?.args([
        "--workspace",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn tests() -> Result<Tally> {
    tools::require(&tools::OF_TESTS)?;
    if present("cargo-nextest", "--version") {
        return count(cargo().args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]));
    }
    eprintln!("cargo-nextest is not installed: running `cargo test`");
    count(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast", "--all-targets"]))
}

fn doc_tests() -> Result<Tally> {
    count(cargo().args(["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]))
}

/// A check that passes or fails as a whole.
fn check(command: &mut Command) -> Result<Tally> {
    Ok(gate(tee(command)?.0.success()))
}

fn gate(passed: bool) -> Tally {
    if passed { Tally::PASSED } else { Tally::FAILED }
}

/// A runner of tests, counted by what it prints.
fn count(command: &mut Command) -> Result<Tally> {
    let (status, mut tally) = tee(command)?;
    if !status.success() && tally.failed == 0 {
        tally += Tally::FAILED;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_that_dies_without_naming_a_test_still_counts_as_failed() {
        let tally = count(Command::new("sh").args(["-c", "echo nothing; exit 101"])).unwrap();
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn a_step_that_cannot_start_is_a_failure_and_not_the_end() {
        let step = Step { name: "absent", run: || check(&mut Command::new("/nowhere/at-all")) };
        let (tally, line) = take(&step);
        assert_eq!(tally, Tally::FAILED);
        assert!(line.contains("FAILED"), "{line}");
    }
}
