//! `cargo xtask fuzz`: the fuzzers of `fuzz/`, one after the other, with cargo-fuzz and libFuzzer.
//!
//! They need a nightly toolchain, or a stable one that is told to be one. What they find new is kept in the target
//! folder; the corpora of the repository stay as they are.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::args::{Args, usage};
use crate::workspace::{cargo, root, target};

const HELP: &str = "\
cargo xtask fuzz [TARGET] [--seconds N]

  TARGET       one of requests, chunks, paths, headers, answers; all of them when absent
  --seconds N  how long each is fuzzed (60)

Examples:
  cargo xtask fuzz
  cargo xtask fuzz requests --seconds 600";

const TARGETS: [&str; 5] = ["requests", "chunks", "paths", "headers", "answers"];

/// The longest input, in bytes.
const INPUT_BYTES_MAX: u32 = 4_096;

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = args.value("--seconds")?.unwrap_or(60_u64);
    let wanted = args.word();
    args.finish()?;
    let known = |name: &String| TARGETS.contains(&name.as_str());
    ensure!(wanted.iter().all(known), usage(format!("the targets are {}", TARGETS.join(", "))));
    let tool = cargo_fuzz()?;
    let mut broken = Vec::new();
    for name in TARGETS.into_iter().filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name)) {
        println!("\n== {name}, {seconds} s ==");
        if !fuzz(&tool, name, seconds)? {
            broken.push(name);
        }
    }
    println!(
        "\nfuzz: {}",
        if broken.is_empty() { "nothing was broken".to_owned() } else { broken.join(", ") }
    );
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// cargo-fuzz, built into the target folder where it is missing.
fn cargo_fuzz() -> Result<PathBuf> {
    let kept = target().join("tools");
    let own = kept.join("bin/cargo-fuzz");
    if !own.exists() {
        let status = cargo().args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&kept).status()?;
        ensure!(status.success(), "cargo-fuzz could not be installed");
    }
    Ok(own)
}

fn fuzz(tool: &PathBuf, name: &str, seconds: u64) -> Result<bool> {
    let found = target().join("fuzz").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make `{}`", found.display()))?;
    let mut command = toolchain(tool);
    command.current_dir(root()).env("CARGO_TARGET_DIR", target().join("fuzz-build"));
    command.args(["fuzz", "run", "--fuzz-dir", "fuzz", name]).arg(&found).arg(format!("fuzz/corpus/{name}"));
    command.arg("--").args([format!("-max_total_time={seconds}"), format!("-max_len={INPUT_BYTES_MAX}")]);
    command
        .args(["-print_final_stats=1".to_owned(), format!("-artifact_prefix={}/broken-", found.display())]);
    Ok(command.status().context("cannot start cargo-fuzz")?.success())
}

/// Nightly where there is one; else the present toolchain, told that it may do the same.
fn toolchain(tool: &PathBuf) -> Command {
    let nightly = ["run", "nightly", "rustc", "--version"];
    let answers = Command::new("rustup").args(nightly).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if answers.is_ok_and(|status| status.success()) {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly"]).arg(tool);
        return command;
    }
    let mut command = Command::new(tool);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}
