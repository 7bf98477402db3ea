//! The figures as Markdown: with their command, their rounds and their spread.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::load::Load;
use super::stage::{Proxy, Stage};
use super::stats::{Slice, Spread};
use super::{Options, Round};
use crate::process::output;
use crate::tools::{H2LOAD, NGINX, WRK};

/// The first bar of the project: `write` against plain nginx.
const BAR: f64 = 1.25;

/// One line a round, on the error output, so that a long run shows life.
pub(crate) fn progress(number: usize, load: &Load, round: &Round) {
    let name = match load {
        Load::Saturate => "saturated",
        Load::Rate(_) => "fixed rate",
    };
    let figures = round.iter().map(|(proxy, slice)| format!("{proxy} {:.1}", slice.cpu_us()));
    eprintln!("{name}, round {number}: µs CPU/req {}", figures.collect::<Vec<_>>().join(", "));
}

pub(crate) fn print(
    command: &str,
    options: &Options,
    stage: &Stage,
    saturated: &[Round],
    steady: Option<&[Round]>,
) {
    let Options { rounds, slice, connections, seed, .. } = options;
    println!(
        "`cargo xtask {command}` (seed {seed}), {rounds} rounds of {} s, {connections} connections",
        slice.as_secs()
    );
    println!("{}\n", machine(stage.folder()));
    println!("Saturated, one core for the proxy:\n\n{}", table(saturated));
    if let (Some(rounds), Some(rate)) = (steady, options.rate) {
        println!("At {rate} requests a second:\n\n{}", table(rounds));
    }
    let ratio = ratios(saturated, Proxy::Write).median;
    println!("daypass-write costs {ratio:.2} × plain nginx (bar {:.2})", options.bar.unwrap_or(BAR));
}

/// Whether the bar that was asked for is met.
pub(crate) fn verdict(options: &Options, saturated: &[Round]) -> ExitCode {
    let ratio = ratios(saturated, Proxy::Write).median;
    if options.bar.is_some_and(|bar| ratio > bar) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A row a proxy: medians over the rounds, with min and max where it matters.
fn table(rounds: &[Round]) -> String {
    let rows = Proxy::ALL.map(|proxy| row(rounds, proxy)).concat();
    format!(
        "| proxy | µs CPU/req (min–max) | user | ratio to nginx (min–max) | req/s | p50 ms | p99 ms (max) |\n\
         |---|---|---|---|---|---|---|\n{rows}"
    )
}

fn row(rounds: &[Round], proxy: Proxy) -> String {
    let of = |figure: fn(&Slice) -> f64| Spread::of(slices(rounds, proxy).map(figure));
    let (cpu, ratio) = (of(Slice::cpu_us), ratios(rounds, proxy));
    let (user, rate) = (of(Slice::user_us).median, of(Slice::rate).median);
    let (p50, p99) = (of(|slice| slice.p50_us / 1e3).median, of(|slice| slice.p99_us / 1e3));
    format!(
        "| {proxy} | {:.1} ({:.1}–{:.1}) | {user:.1} | {:.2} ({:.2}–{:.2}) | {rate:.0} | {p50:.2} | {:.2} ({:.2}) |\n",
        cpu.median, cpu.min, cpu.max, ratio.median, ratio.min, ratio.max, p99.median, p99.max
    )
}

fn slices(rounds: &[Round], proxy: Proxy) -> impl Iterator<Item = &Slice> {
    rounds.iter().flatten().filter(move |(name, _)| *name == proxy).map(|(_, slice)| slice)
}

/// CPU per request over that of nginx in the same round.
fn ratios(rounds: &[Round], proxy: Proxy) -> Spread {
    let cost = |round: &Round, wanted: Proxy| {
        round.iter().find(|(name, _)| *name == wanted).map(|(_, slice)| slice.cpu_us())
    };
    Spread::of(rounds.iter().filter_map(|round| Some(cost(round, proxy)? / cost(round, Proxy::Nginx)?)))
}

fn machine(folder: &Path) -> String {
    let kernel = output(Command::new("uname").arg("-sr")).unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
    let disk = output(Command::new("df").arg("--output=fstype").arg(folder)).unwrap_or_default();
    let disk = disk.lines().last().unwrap_or("unknown");
    let versions = [NGINX, WRK, H2LOAD].map(|tool| tool.version()).join("; ");
    format!("{}; {} × {model}; journal on {}; {versions}", kernel.trim(), models.len(), disk)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cpu::Cpu;
    use super::*;

    fn slice(cpu_ms: u64) -> Slice {
        let cpu = Cpu { user: Duration::from_millis(cpu_ms / 2), system: Duration::from_millis(cpu_ms / 2) };
        Slice { requests: 50_000, seconds: 2.0, cpu, p50_us: 1500.0, p99_us: 2500.0 }
    }

    fn round(nginx: u64, write: u64, fsync: u64) -> Round {
        Proxy::ALL.into_iter().zip([nginx, write, fsync].map(slice)).collect()
    }

    #[test]
    fn the_ratio_is_taken_inside_each_round() {
        // The machine was twice as slow in the second round; the ratio does not care.
        let rounds = [round(1000, 1100, 1200), round(2000, 2200, 2400), round(1000, 1300, 1200)];
        assert_eq!(ratios(&rounds, Proxy::Write), Spread { median: 1.1, min: 1.1, max: 1.3 });
        assert_eq!(ratios(&rounds, Proxy::Nginx).median, 1.0);
    }

    #[test]
    fn the_table_has_a_row_for_each_proxy() {
        let expected = "\
| proxy | µs CPU/req (min–max) | user | ratio to nginx (min–max) | req/s | p50 ms | p99 ms (max) |
|---|---|---|---|---|---|---|
| nginx | 20.0 (20.0–20.0) | 10.0 | 1.00 (1.00–1.00) | 25000 | 1.50 | 2.50 (2.50) |
| daypass-write | 24.0 (22.0–26.0) | 12.0 | 1.20 (1.10–1.30) | 25000 | 1.50 | 2.50 (2.50) |
| daypass-fsync | 24.0 (24.0–24.0) | 12.0 | 1.20 (1.20–1.20) | 25000 | 1.50 | 2.50 (2.50) |
";
        assert_eq!(table(&[round(1000, 1100, 1200), round(1000, 1300, 1200)]), expected);
    }

    #[test]
    fn a_bar_that_is_not_met_fails_the_run() {
        let options = |bar| Options {
            rounds: 1,
            slice: Duration::from_secs(1),
            connections: 64,
            rate: None,
            bar,
            seed: 1,
            binary: None,
        };
        let rounds = [round(1000, 1300, 1200)];
        let code = |bar| format!("{:?}", verdict(&options(bar), &rounds));
        assert_eq!(code(Some(1.25)), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(code(Some(1.35)), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(None), format!("{:?}", ExitCode::SUCCESS));
    }
}
