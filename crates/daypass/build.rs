//! The version that this program says: with the commit that it was built from, where that is known.
//!
//! Only the release profile says it: in the others each commit would build the crate anew.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    let commit = if release { commit() } else { None };
    let shown = commit.map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo:rustc-env=DAYPASS_VERSION={shown}");
}

/// The commit of the clone that this file is kept in; `None` without git, or in a copy of the source.
fn commit() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // It is written to with each commit.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists());
    log.into_iter().for_each(|log| println!("cargo:rerun-if-changed={log}"));
    git(&["rev-parse", "--short", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
