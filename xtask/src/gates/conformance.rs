//! The cases of RFC 9113, by httpwg.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Stage, credited};
use crate::tally::Tally;
use crate::workspace::{cargo, target};

/// Cases that ask for 200, which nobody has without a credential, and the suite can show none.
const WITH_CREDENTIAL: [&str; 1] = ["sends headers frame with te trailers"];

/// Cases of which RFC 9113 leaves open what happens, so that they pass or do not.
///
/// A `GOAWAY` with an unknown error code "MAY be treated by an implementation as being equivalent to INTERNAL_ERROR"
/// (section 7): the connection of a client that goes, and has nothing open, is closed, whether or not it asked for an
/// answer to a `PING` by then. The suite asks for the answer.
const OPEN: [&str; 1] = ["sends goaway frame with unknown error code"];

/// How long the suite waits for a frame: a connection in the clear that begins with no preface is taken for HTTP/1.1,
/// and ends after its answer has been read.
const FRAME_WAIT_MS: &str = "5000";

pub(super) fn run(stage: &Stage) -> Result<Tally> {
    let program = installed()?;
    let mut suite = Suite::run(&program, stage.node.proxy, "")?;
    let token = fs::read_to_string(&stage.key).context("no key")?;
    let [upstream, ..] = stage.upstreams;
    credited::upstream(upstream)?;
    let relay = credited::relay(stage.node.proxy, token.trim())?;
    for case in WITH_CREDENTIAL {
        suite.passed.extend(Suite::run(&program, relay, case)?.passed);
    }
    for case in WITH_CREDENTIAL.iter().chain(&OPEN) {
        ensure!(suite.ran.iter().any(|ran| ran.ends_with(case)), "httpwg has no case `{case}`");
    }
    let mut tally = Tally::default();
    for case in &suite.ran {
        if suite.passed.contains(case) {
            tally.passed += 1;
        } else if OPEN.iter().any(|open| case.ends_with(open)) {
            println!("open  {case}");
        } else {
            println!("FAIL  {case}");
            tally.failed += 1;
        }
    }
    println!("{} of {} passed", tally.passed, suite.ran.len());
    Ok(tally)
}

/// What came of cases, by name. One that did not pass failed, or crashed without a word.
#[derive(Debug, Default, PartialEq, Eq)]
struct Suite {
    ran: BTreeSet<String>,
    passed: BTreeSet<String>,
}

impl Suite {
    /// Runs the cases that have this in their names.
    fn run(program: &Path, port: u16, filter: &str) -> Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let done = Command::new(program)
            .args(["--verbose", "-a", &address, "--frame-timeout", FRAME_WAIT_MS, "--filter", filter])
            .output()
            .context("cannot start httpwg")?;
        let suite = Self::read(&plain(&done.stderr));
        ensure!(!suite.ran.is_empty(), "httpwg ran no case");
        Ok(suite)
    }

    fn read(said: &str) -> Self {
        let named = |what: &str| {
            let cases =
                said.lines().filter_map(|line| line.split_once(what)).map(|(_, case)| case.to_owned());
            cases.collect()
        };
        Self { ran: named("Running test: "), passed: named("Test passed: ") }
    }
}

/// What was printed, without the colors.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

fn installed() -> Result<PathBuf> {
    let kept = target().join("tools");
    let program = kept.join("bin/httpwg");
    if !program.exists() {
        eprintln!("installing httpwg-cli");
        let status = cargo()
            .args(["install", "httpwg-cli", "--version", "0.2.5", "--locked", "--root"])
            .arg(&kept)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "cargo install failed");
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_crash_did_not_pass() {
        let said = plain(
            "🔷 Running test: a :: b\n🔷 Running test: c\n✅ \u{1b}[1;32mTest passed: c\u{1b}[0m\n"
                .as_bytes(),
        );
        let [b, c] = ["a :: b", "c"].map(str::to_owned);
        assert_eq!(Suite::read(&said), Suite { ran: [b, c.clone()].into(), passed: [c].into() });
        assert_eq!(Suite::read("nothing"), Suite::default());
    }
}
