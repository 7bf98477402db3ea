//! h2load: for a time at a fixed rate or over HTTP/2, and for a number of requests.
//!
//! Its log has a line for each request, which is what is read; of its report only the length of bodies.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::load::{Heard, LOAD_CORE, Load, PATHS, Shot};
use super::proxy::Front;
use super::stats::quantile;
use crate::instance::pinned;
use crate::process::output;
use crate::scratch::Scratch;

/// Runs for the length of the shot. What is under way at its end is not counted.
pub(crate) fn timed(scratch: &Scratch, load: Load, shot: &Shot<'_>) -> Result<Heard> {
    let mut command = command(shot);
    command.args(["-D", &shot.length.as_secs().to_string()]);
    match load {
        Load::Rate(rate) => {
            let each = f64::from(rate) / shot.connections as f64;
            command.args(["--rps", &format!("{each:.4}")]);
        }
        Load::Streams(streams) => drop(command.args(["-m", &streams.to_string()])),
        Load::Saturate(_) => {}
    }
    let (heard, _) = listen(scratch, shot, &mut command, &PATHS)?;
    Ok(heard)
}

/// Makes so many requests over the connections of the shot. Fails when one fails.
pub(crate) fn counted(scratch: &Scratch, shot: &Shot<'_>, requests: u64) -> Result<()> {
    let mut command = command(shot);
    command.args(["-n", &requests.to_string()]);
    let (heard, _) = listen(scratch, shot, &mut command, &PATHS)?;
    let answered = heard.requests - heard.failed;
    ensure!(answered == requests, "{answered} of {requests} requests were answered with a 2xx");
    Ok(())
}

/// One request: whether it was answered with a 2xx, and how many bytes of body that had.
pub(crate) fn once(scratch: &Scratch, shot: &Shot<'_>, path: &str) -> Result<(bool, usize)> {
    let mut command = command(shot);
    let (heard, said) = listen(scratch, shot, command.args(["-n", "1"]), &[path])?;
    let length = body_bytes(&said).with_context(|| format!("h2load said:\n{said}"))?;
    Ok((heard.failed == 0, length))
}

fn command(shot: &Shot<'_>) -> Command {
    let mut command = pinned(LOAD_CORE, "h2load");
    if shot.front != Front::H2c {
        command.arg("--h1");
    }
    command.args(["-t", "1", "-c", &shot.connections.to_string()]);
    if !shot.key.is_empty() {
        command.args(["-H", &format!("Authorization: Bearer {}", shot.key)]);
    }
    command
}

fn listen(
    scratch: &Scratch,
    shot: &Shot<'_>,
    command: &mut Command,
    paths: &[&str],
) -> Result<(Heard, String)> {
    let log = scratch.write("h2load.log", "")?;
    command.arg(format!("--log-file={}", log.display())).args(paths.iter().map(|path| shot.url(path)));
    let said = output(command)?;
    Ok((heard(&fs::read_to_string(&log).context("h2load wrote no log")?)?, said))
}

/// Of lines `start in µs`, `status` (-1 when it failed), `µs until the end`, separated by tabs.
fn heard(log: &str) -> Result<Heard> {
    let (mut first, mut last, mut failed) = (u64::MAX, 0, 0);
    let mut latencies = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t');
        let mut number = || fields.next().and_then(|field| field.parse::<i64>().ok());
        let (start, status, took) = (number(), number(), number());
        let line = || format!("not a line of h2load: `{line}`");
        let start = start.and_then(|start| u64::try_from(start).ok()).with_context(line)?;
        let took = took.and_then(|took| u64::try_from(took).ok()).with_context(line)?;
        failed += u64::from(!(200..300).contains(&status.with_context(line)?));
        (first, last) = (first.min(start), last.max(start + took));
        latencies.push(took);
    }
    latencies.sort_unstable();
    Ok(Heard {
        requests: latencies.len() as u64,
        seconds: last.saturating_sub(first) as f64 / 1e6,
        failed,
        p50_us: quantile(&latencies, 0.50) as f64,
        p99_us: quantile(&latencies, 0.99) as f64,
    })
}

/// The last figure of `traffic: … total, … headers …, 1.00KB (1024) data`.
fn body_bytes(said: &str) -> Option<usize> {
    let line = said.lines().find(|line| line.starts_with("traffic: "))?;
    let (_, data) = line.strip_suffix(") data")?.rsplit_once('(')?;
    data.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_h2load_is_summed() {
        let sum = heard("1000\t200\t400\n1500\t503\t100\n2000\t-1\t1000\n").unwrap();
        let expected = Heard { requests: 3, seconds: 0.002, failed: 2, p50_us: 400.0, p99_us: 1000.0 };
        assert_eq!(sum, expected);
        assert!(heard("1000\t200\n").is_err());
        assert_eq!(heard("").unwrap().requests, 0);
    }

    #[test]
    fn the_length_of_bodies_is_read() {
        let line =
            "traffic: 1.2KB (1234) total, 150B (150) headers (space savings 7.00%), 1.00KB (1024) data";
        assert_eq!(body_bytes(&format!("status codes: 1 2xx\n{line}\ntime")), Some(1024));
        assert_eq!(body_bytes("traffic: nothing"), None);
    }
}
