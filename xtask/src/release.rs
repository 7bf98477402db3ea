//! `cargo xtask release`: the binary that is released, laid out by what it does most.
//!
//! A build that counts, a run of the bench's load on it, and a build that uses the counts (profile-guided
//! optimization, as `rustc` has it); then the same once more with the binary instead of the source (BOLT), by which
//! what runs together lies together. What is left from an earlier run is used again while nothing changed.
//! Not here: packages, signatures and where a release goes.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::process::output;
use crate::workspace::{cargo, target};
use crate::{bench, stop, tools};

const HELP: &str = "\
cargo xtask release

Builds `daypass` as it is released, and prints where it is. Takes two builds of the release profile and two
minutes of load on cores 0 and 1; the first time it fetches `llvm-tools` for the toolchain and installs BOLT.

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
    let kept = target().join("guided");
    laid_out(&guided(&kept)?, &kept)
}

/// Builds with the counts of a build that counts. Code that the load did not reach has no counts, and needs none.
fn guided(kept: &Path) -> Result<PathBuf> {
    let merge = profdata()?;
    let (counts, profile) = (kept.join("counts"), kept.join("daypass.profdata"));
    let counting = build(&kept.join("counting"), &format!("-Cprofile-generate={}", counts.display()))?;
    if is_older(&profile, &counting) {
        count(&counting, &counts)?;
        output(Command::new(merge).args(["merge", "--output"]).arg(&profile).arg(&counts))?;
    }
    let profile = format!("-Cprofile-use={} -Cllvm-args=-pgo-warn-missing-function=0", profile.display());
    build(&kept.join("guided"), &format!("{profile} -Clink-arg=-Wl,--emit-relocs"))
}

/// Lays a binary's functions and their blocks out anew, by what they do under load.
fn laid_out(binary: &Path, kept: &Path) -> Result<PathBuf> {
    let (done, profile) = (kept.join("daypass"), kept.join("daypass.fdata"));
    // This program says how, so that a change of it counts as well.
    if !is_older(&done, binary) && !is_older(&done, &env::current_exe()?) {
        return Ok(done);
    }
    tools::require(&[&tools::BOLT])?;
    let (counting, counts) = (kept.join("daypass-counting"), kept.join("layout"));
    eprintln!("laying out daypass");
    let mut instrument = bolt("llvm-bolt");
    instrument.arg(binary).arg("-o").arg(&counting).args(["-instrument", "-instrumentation-file-append-pid"]);
    output(instrument.arg(format!("-instrumentation-file={}/of", counts.display())))?;
    count(&counting, &counts)?;
    let found = fs::read_dir(&counts)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    ensure!(!found.is_empty(), "`{}` counted nothing", counting.display());
    fs::write(&profile, output(bolt("merge-fdata").args(&found))?).context("cannot keep the counts")?;
    let half = kept.join("daypass-unfinished");
    let mut lay = bolt("llvm-bolt");
    lay.arg(binary).arg("-o").arg(&half).arg(format!("-data={}", profile.display())).args(LAYOUT);
    output(&mut lay)?;
    fs::rename(half, &done).context("cannot name what was built")?;
    Ok(done)
}

/// What BOLT does: blocks in the order of their runs, what never ran apart, functions beside their callers.
const LAYOUT: [&str; 5] =
    ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold", "-icf=1"];

fn bolt(program: &str) -> Command {
    Command::new(Path::new(tools::BOLT_PROGRAMS).join(program))
}

/// The bench's load on a binary that leaves its counts in this folder, and nothing else there.
fn count(binary: &Path, counts: &Path) -> Result<()> {
    if counts.exists() {
        fs::remove_dir_all(counts).context("cannot remove the counts of an earlier run")?;
    }
    fs::create_dir_all(counts).with_context(|| format!("cannot make `{}`", counts.display()))?;
    eprintln!("counting what it does under load");
    bench::train(binary)
}

/// Whether the first file has to be made again of the second.
fn is_older(product: &Path, source: &Path) -> bool {
    let made = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    made(product).is_none_or(|product| made(source).is_none_or(|source| product < source))
}

/// The release profile with these flags; they are not for what runs while building, hence `--target`. With the
/// symbols, by which the layout is done, and without lines of the source, which the profile strips anyway.
fn build(folder: &Path, flags: &str) -> Result<PathBuf> {
    let host = rustc("host: ", &["-vV"])?;
    eprintln!("building daypass, profile `release`, {flags}");
    let status = cargo()
        .args(["build", "--locked", "--package", "daypass", "--bin", "daypass", "--release"])
        .args(["--target", &host, "--target-dir"])
        .arg(folder)
        .envs([("CARGO_PROFILE_RELEASE_DEBUG", "0"), ("CARGO_PROFILE_RELEASE_STRIP", "none")])
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
