//! The load: wrk for as much as goes through over HTTP/1.1, h2load for a fixed rate and for HTTP/2.
//!
//! Both send the same requests, credential included, to every proxy. wrk reports through its own
//! script, so that no table made for people is parsed; it counts an answer as failed from 400 on,
//! and that there is no 3xx is for whoever rehearsed. Not here: h2load (see `h2load`).

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::h2load;
use super::proxy::Front;
use crate::instance::pinned;
use crate::process::output;
use crate::scratch::Scratch;

/// The core of the backend and of the load generator.
pub(crate) const LOAD_CORE: usize = 1;

/// The requests of most scenarios, taken in turn; each is another operation of the contract.
pub(crate) const PATHS: [&str; 4] =
    ["/bench/v1/items", "/bench/v1/items/42", "/bench/v1/items/42/parts", "/bench/v1/reports/2026/11"];

/// Is answered with [`BLOB_BYTES`].
pub(crate) const BLOB: &str = "/bench/v1/blobs/1";

/// Takes a body, and answers once it has all of it.
const UPLOADS: &str = "/bench/v1/blobs";

/// Length of the backend's usual answer.
pub(crate) const BODY_BYTES: usize = 1024;

/// Length of its long one, and of the body of an upload.
pub(crate) const BLOB_BYTES: usize = 1024 * 1024;

/// What is sent, and how hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// As much as goes through, of one kind.
    Saturate(Kind),
    /// So many requests a second, over all connections.
    Rate(u32),
    /// As much as goes through, with so many streams on each HTTP/2 connection.
    Streams(u32),
}

/// What a request asks of its connection and its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A short answer, over a kept connection.
    Short,
    /// A short answer, and a connection of its own.
    Fresh,
    /// A long answer.
    Download,
    /// A long body.
    Upload,
}

/// What the generator saw.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Requests that were not answered, or not with a 2xx.
    pub(crate) failed: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One slice's worth of requests to make.
pub(crate) struct Shot<'a> {
    pub(crate) front: Front,
    pub(crate) port: u16,
    pub(crate) key: &'a str,
    pub(crate) connections: usize,
    pub(crate) length: Duration,
}

impl Shot<'_> {
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = match self.front {
            Front::Clear | Front::H2c => "http",
            Front::Tls => "https",
        };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }
}

/// Runs the load. Fails when a single request failed.
pub(crate) fn fire(scratch: &Scratch, load: Load, shot: &Shot<'_>) -> Result<Heard> {
    let heard = match load {
        Load::Saturate(kind) => wrk(scratch, kind, shot)?,
        Load::Rate(_) | Load::Streams(_) => h2load::timed(scratch, load, shot)?,
    };
    ensure!(heard.failed == 0, "{} of {} requests failed", heard.failed, heard.requests);
    ensure!(heard.requests > 0, "no request was answered");
    Ok(heard)
}

fn wrk(scratch: &Scratch, kind: Kind, shot: &Shot<'_>) -> Result<Heard> {
    let script = scratch.write("load.lua", &script(kind, shot.key))?;
    let mut command = pinned(LOAD_CORE, "wrk");
    command.args(["-t", "1", "-c", &shot.connections.to_string(), "--timeout", "5s"]);
    command.args(["-d", &format!("{}s", shot.length.as_secs())]).arg("-s").arg(script);
    let said = output(command.arg(shot.url("/")))?;
    heard_from_wrk(&said).with_context(|| format!("wrk said:\n{said}"))
}

fn script(kind: Kind, key: &str) -> String {
    let gets = |paths: &[&str]| {
        paths.iter().map(|path| format!("wrk.format(\"GET\", \"{path}\")")).collect::<Vec<_>>().join(", ")
    };
    let requests = match kind {
        Kind::Short | Kind::Fresh => gets(&PATHS),
        Kind::Download => gets(&[BLOB]),
        Kind::Upload => format!("wrk.format(\"POST\", \"{UPLOADS}\", nil, string.rep(\"x\", {BLOB_BYTES}))"),
    };
    let connection = if kind == Kind::Fresh { "wrk.headers[\"Connection\"] = \"close\"" } else { "" };
    format!(
        r#"local requests, at = {{}}, 0
function init()
  wrk.headers["Authorization"] = "Bearer {key}"
  {connection}
  requests = {{ {requests} }}
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
    fn each_kind_asks_what_it_says() {
        for (kind, wanted) in [
            (Kind::Short, "wrk.format(\"GET\", \"/bench/v1/items\"), "),
            (Kind::Fresh, "wrk.headers[\"Connection\"] = \"close\""),
            (Kind::Download, "requests = { wrk.format(\"GET\", \"/bench/v1/blobs/1\") }"),
            (Kind::Upload, "wrk.format(\"POST\", \"/bench/v1/blobs\", nil, string.rep(\"x\", 1048576))"),
        ] {
            let script = script(kind, "secret");
            assert!(script.contains(wanted) && script.contains("\"Bearer secret\""), "{kind:?}: {script}");
        }
    }
}
