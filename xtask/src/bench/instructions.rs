//! `cargo xtask bench --instructions`: instructions per request in user space, by callgrind.
//!
//! A proxy is started under the tool twice, for a few and for many requests over kept connections;
//! the difference of the two counts, divided, is what a request costs: start and end cancel out.
//! A count does not drift with the machine, so a change of a few percent can be told.
//! Not here: time in the kernel, and what waiting costs.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::h2load;
use super::load::Shot;
use super::proxy::{Front, Proxy};
use super::stage::Stage;
use crate::instance::Under;
use crate::stop;
use crate::tools::{self, H2LOAD, NGINX, TASKSET, VALGRIND};

/// `fsync` differs from `write` in the kernel only.
const PROXIES: [Proxy; 2] = [Proxy::Nginx, Proxy::Write];

/// Requests of the short and of the long run.
const REQUESTS: [u64; 2] = [4_000, 12_000];

const CONNECTIONS: usize = 64;

/// How much more than recorded fails, in percent.
const MORE_PERCENT_MAX: f64 = 5.0;

/// What was counted last: a line `name = instructions` each.
const RECORDED: &str = include_str!("instructions.toml");

/// Fails when Daypass needs more than was recorded, and something for the noise.
pub(crate) fn run(binary: &Path) -> Result<ExitCode> {
    tools::require(&[&NGINX, &H2LOAD, &TASKSET, &VALGRIND])?;
    let mut code = ExitCode::SUCCESS;
    println!("instructions per request, {CONNECTIONS} connections, HTTP/1.1 in the clear:");
    for proxy in PROXIES {
        let figure = per_request(binary, proxy)?;
        let recorded = recorded(RECORDED, proxy.name());
        println!("{} = {figure:.0} # {}", proxy.name(), compared(figure, recorded));
        if proxy != Proxy::Nginx && recorded.is_some_and(|old| more_percent(figure, old) > MORE_PERCENT_MAX) {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn per_request(binary: &Path, proxy: Proxy) -> Result<f64> {
    let mut counts = [0; 2];
    for (count, requests) in counts.iter_mut().zip(REQUESTS) {
        stop::check()?;
        *count = total(binary, proxy, requests).with_context(|| format!("{proxy} under callgrind"))?;
        eprintln!("{proxy}, {requests} requests: {count} instructions");
    }
    let [few, many] = counts;
    Ok(many.saturating_sub(few) as f64 / (REQUESTS[1] - REQUESTS[0]) as f64)
}

/// All instructions of a run from start to end.
fn total(binary: &Path, proxy: Proxy, requests: u64) -> Result<u64> {
    let folder = crate::scratch::Scratch::new("callgrind")?;
    let out = folder.path().join("out");
    let tool = ["valgrind", "--quiet", "--tool=callgrind"].map(str::to_owned).into_iter();
    let words = tool.chain([format!("--callgrind-out-file={}", out.display())]).collect();
    let stage = Stage::up(binary, Front::Clear, &[proxy], &Under::Tool(words))?;
    let place = stage.place(proxy)?;
    let shot = Shot {
        front: Front::Clear,
        port: place.port,
        key: &place.key,
        connections: CONNECTIONS,
        length: Duration::ZERO,
    };
    h2load::counted(&stage.scratch, &shot, requests)?;
    stage.down()?;
    let text = std::fs::read_to_string(&out).context("callgrind wrote nothing")?;
    totals(&text).context("callgrind wrote no totals")
}

/// The sum of all parts of a run, from a line `totals: N`.
fn totals(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
    line.split(' ').next()?.parse().ok()
}

fn recorded(text: &str, name: &str) -> Option<f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.filter_map(|line| line.split_once(" = ")).find(|(key, _)| *key == name);
    found.and_then(|(_, value)| value.parse().ok())
}

fn more_percent(figure: f64, recorded: f64) -> f64 {
    (figure / recorded - 1.0) * 100.0
}

fn compared(figure: f64, old: Option<f64>) -> String {
    old.map_or_else(
        || "nothing recorded".to_owned(),
        |old| format!("{:+.1} % of {old:.0}", more_percent(figure, old)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_a_run_are_read() {
        assert_eq!(totals("version: 1\nevents: Ir\nfn=(1)\n1 5\n\ntotals: 3070\n"), Some(3070));
        assert_eq!(totals("version: 1\n"), None);
    }

    #[test]
    fn a_record_is_found_by_name_and_compared() {
        let text = "# what\nnginx = 20000\ndaypass-write = 31000\n";
        assert_eq!((recorded(text, "daypass-write"), recorded(text, "daypass")), (Some(31_000.0), None));
        assert_eq!(compared(32_550.0, Some(31_000.0)), "+5.0 % of 31000");
        assert_eq!(compared(1.0, None), "nothing recorded");
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        for proxy in PROXIES {
            assert!(recorded(RECORDED, proxy.name()).is_some_and(|figure| figure > 1_000.0), "{proxy}");
        }
    }
}
