//! `cargo xtask release`: the binary that is released, laid out by what it does most.
//!
//! A build that counts, a run of the bench's load on it, and a build that uses the counts (profile-guided
//! optimization, as `rustc` has it). What is left from an earlier run is used again while nothing changed.
//! Not here: packages, signatures and where a release goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::process::output;
use crate::workspace::{cargo, target};
use crate::{bench, stop};

const HELP: &str = "\
cargo xtask release

Builds `daypass` as it is released, and prints where it is. Takes two builds of the release profile and a
minute of load on cores 0 and 1; the first time it fetches `llvm-tools` for the toolchain.

Example:
  cargo xtask release";

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    args.finish()?;
    stop::on_signal()?;
    println!("{}", binary()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the binary that is released, and says where it is.
pub(crate) fn binary() -> Result<PathBuf> {
    let merge = profdata()?;
    let (kept, host) = (target().join("guided"), rustc("host: ", &["-vV"])?);
    let (counts, profile) = (kept.join("counts"), kept.join("daypass.profdata"));
    let counting = build(&kept.join("counting"), &host, &format!("-Cprofile-generate={}", counts.display()))?;
    if is_older(&profile, &counting) {
        if counts.exists() {
            fs::remove_dir_all(&counts).context("cannot remove the counts of an earlier run")?;
        }
        eprintln!("counting what it does under load");
        bench::train(&counting)?;
        output(Command::new(merge).args(["merge", "--output"]).arg(&profile).arg(&counts))?;
    }
    // Code that the load did not reach has no counts, and needs none.
    let flags = format!("-Cprofile-use={} -Cllvm-args=-pgo-warn-missing-function=0", profile.display());
    build(&kept.join("guided"), &host, &flags)
}

fn is_older(profile: &Path, binary: &Path) -> bool {
    let made = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    made(profile).is_none_or(|profile| made(binary).is_none_or(|binary| profile < binary))
}

/// The release profile with these flags; they are not for what runs while building, hence `--target`.
fn build(folder: &Path, host: &str, flags: &str) -> Result<PathBuf> {
    eprintln!("building daypass, profile `release`, {flags}");
    let status = cargo()
        .args(["build", "--locked", "--package", "daypass", "--bin", "daypass", "--release"])
        .args(["--target", host, "--target-dir"])
        .arg(folder)
        .env("RUSTFLAGS", flags)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "daypass does not build");
    Ok(folder.join(host).join("release/daypass"))
}

/// The program of the toolchain that merges counts.
fn profdata() -> Result<PathBuf> {
    let (root, host) = (rustc("", &["--print", "sysroot"])?, rustc("host: ", &["-vV"])?);
    let program = Path::new(&root).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !program.exists() {
        eprintln!("fetching llvm-tools");
        output(Command::new("rustup").args(["component", "add", "llvm-tools"]))?;
    }
    ensure!(program.exists(), "no `{}`: run `rustup component add llvm-tools`", program.display());
    Ok(program)
}

/// What `rustc` says behind `label`.
fn rustc(label: &str, args: &[&str]) -> Result<String> {
    let said = output(Command::new("rustc").args(args))?;
    let line = said.lines().find_map(|line| line.strip_prefix(label));
    line.map(str::to_owned).with_context(|| format!("`rustc {}` does not say `{label}`", args.join(" ")))
}
