//! The load: wrk for as much as goes through, h2load for a fixed rate.
//!
//! Both send the same requests, credential included, to every proxy. wrk reports through its own
//! script, so that no table made for people is parsed; h2load writes a line a request.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::stats::quantile;
use crate::instance::pinned;
use crate::process::output;
use crate::scratch::Scratch;

/// The core of the backend and of the load generator.
pub(crate) const LOAD_CORE: usize = 1;

/// The requests, taken in turn; each is another operation of the contract.
pub(crate) const PATHS: [&str; 4] =
    ["/bench/v1/items", "/bench/v1/items/42", "/bench/v1/items/42/parts", "/bench/v1/reports/2026/11"];

/// How hard to push.
pub(crate) enum Load {
    /// As much as goes through.
    Saturate,
    /// So many requests a second, over all connections.
    Rate(u32),
}

/// What the generator saw.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Requests that were not answered, or not with a 2xx.
    failed: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One slice's worth of requests to make.
pub(crate) struct Shot<'a> {
    pub(crate) port: u16,
    pub(crate) key: &'a str,
    pub(crate) connections: usize,
    pub(crate) length: Duration,
}

/// Runs the load. Fails when a single request failed.
pub(crate) fn fire(scratch: &Scratch, load: &Load, shot: &Shot<'_>) -> Result<Heard> {
    let heard = match load {
        Load::Saturate => wrk(scratch, shot)?,
        Load::Rate(rate) => h2load(scratch, shot, *rate)?,
    };
    ensure!(heard.failed == 0, "{} of {} requests failed", heard.failed, heard.requests);
    ensure!(heard.requests > 0, "no request was answered");
    Ok(heard)
}

fn wrk(scratch: &Scratch, shot: &Shot<'_>) -> Result<Heard> {
    let script = scratch.write("load.lua", &script(shot.key))?;
    let mut command = pinned(LOAD_CORE, "wrk");
    command.args(["-t", "1", "-c", &shot.connections.to_string(), "--timeout", "5s"]);
    command.args(["-d", &format!("{}s", shot.length.as_secs())]).arg("-s").arg(script);
    command.arg(format!("http://127.0.0.1:{}/", shot.port));
    let said = output(&mut command)?;
    heard_from_wrk(&said).with_context(|| format!("wrk said:\n{said}"))
}

fn script(key: &str) -> String {
    let paths = PATHS.map(|path| format!("\"{path}\"")).join(", ");
    format!(
        r#"local paths, requests, at = {{ {paths} }}, {{}}, 0
function init()
  wrk.headers["Authorization"] = "Bearer {key}"
  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(sum, latency)
  local e = sum.errors
  io.write(string.format("slice %d %d %d %.1f %.1f\n", sum.requests, sum.duration,
    e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(99)))
end
"#
    )
}

fn heard_from_wrk(said: &str) -> Result<Heard> {
    let line = said.lines().find_map(|line| line.strip_prefix("slice ")).context("no line of the script")?;
    let figures = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>().context("no figures")?;
    let [requests, duration_us, failed, p50_us, p99_us] = figures.as_slice() else {
        anyhow::bail!("not five figures")
    };
    Ok(Heard {
        requests: *requests as u64,
        seconds: duration_us / 1e6,
        failed: *failed as u64,
        p50_us: *p50_us,
        p99_us: *p99_us,
    })
}

fn h2load(scratch: &Scratch, shot: &Shot<'_>, rate: u32) -> Result<Heard> {
    let log = scratch.write("h2load.log", "")?;
    let each = f64::from(rate) / shot.connections as f64;
    let mut command = pinned(LOAD_CORE, "h2load");
    command.args(["--h1", "-t", "1", "-c", &shot.connections.to_string(), "--rps", &format!("{each:.4}")]);
    command.args(["-D", &shot.length.as_secs().to_string()]).arg(format!("--log-file={}", log.display()));
    command.args(["-H", &format!("Authorization: Bearer {}", shot.key)]);
    command.args(PATHS.map(|path| format!("http://127.0.0.1:{}{path}", shot.port)));
    output(&mut command)?;
    heard_from_h2load(&fs::read_to_string(&log).context("h2load wrote no log")?)
}

/// Of lines `start in µs`, `status` (-1 when it failed), `µs until the end`, separated by tabs.
fn heard_from_h2load(log: &str) -> Result<Heard> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_read() {
        let heard = heard_from_wrk("Running 1s test\nslice 40000 1000000 3 1500.0 2500.5\n").unwrap();
        let expected = Heard { requests: 40_000, seconds: 1.0, failed: 3, p50_us: 1500.0, p99_us: 2500.5 };
        assert_eq!(heard, expected);
        assert!(heard_from_wrk("unable to connect").is_err());
        assert!(heard_from_wrk("slice 1 2 3").is_err());
    }

    #[test]
    fn the_log_of_h2load_is_summed() {
        let heard = heard_from_h2load("1000\t200\t400\n1500\t503\t100\n2000\t-1\t1000\n").unwrap();
        let expected = Heard { requests: 3, seconds: 0.002, failed: 2, p50_us: 400.0, p99_us: 1000.0 };
        assert_eq!(heard, expected);
        assert!(heard_from_h2load("1000\t200\n").is_err());
        assert_eq!(heard_from_h2load("").unwrap().requests, 0);
    }
}
