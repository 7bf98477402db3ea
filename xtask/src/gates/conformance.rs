//! The cases of RFC 9113, by httpwg.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Stage;
use crate::tally::Tally;
use crate::workspace::{cargo, target};

/// Cases in which the connection ends with another error code than the suite asks for, as the codec calls every fault of
/// a `SETTINGS` value and of a header block `PROTOCOL_ERROR`; and trailers of a request, which are read over whatever
/// they say, and go nowhere.
const KNOWN: [&str; 4] = [
    "sends settings initial window size with invalid value",
    "sends settings initial window size with exceeded max window size value",
    "invalid header block fragment",
    "sends headers frame with pseudo header in trailer",
];

/// How long the suite waits for a frame: a connection in the clear that begins with no preface is taken for HTTP/1.1,
/// and ends after its answer has been read.
const FRAME_WAIT_MS: &str = "5000";

pub(super) fn run(stage: &Stage) -> Result<Tally> {
    let address = format!("127.0.0.1:{}", stage.node.proxy);
    let done = Command::new(installed()?)
        .args(["-a", &address, "--frame-timeout", FRAME_WAIT_MS])
        .output()
        .context("cannot start httpwg")?;
    let said = plain(&[done.stdout, done.stderr].concat());
    let (passed, all) = counts(&said).context("httpwg told no counts")?;
    let mut tally = Tally { passed, failed: 0 };
    for case in said.lines().filter_map(|line| line.split_once("Test failed: ")).map(|(_, case)| case) {
        let known = KNOWN.iter().any(|known| case.ends_with(known));
        println!("{} {case}", if known { "known" } else { "FAIL " });
        if !known {
            tally.failed += 1;
        }
    }
    println!("{passed} of {all} passed");
    Ok(tally)
}

/// What was printed, without the colors.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

fn counts(said: &str) -> Option<(u64, u64)> {
    let (_, rest) = said.rsplit_once("Passed ")?;
    let (passed, all) = rest.split(' ').next()?.split_once('/')?;
    Some((passed.parse().ok()?, all.parse().ok()?))
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
    fn counts_are_read_whatever_their_color() {
        let said = plain(b"\x1b[1;32mPassed \x1b[1;33m104/107\x1b[0m tests in 0.4 seconds");
        assert_eq!((said.as_str(), counts(&said)), ("Passed 104/107 tests in 0.4 seconds", Some((104, 107))));
        assert_eq!(counts("nothing"), None);
    }
}
