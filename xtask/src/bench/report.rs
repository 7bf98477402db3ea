//! The figures as Markdown: with their command, their rounds, their spread and their goals.

use std::fs;
use std::process::{Command, ExitCode};

use super::Options;
use super::goals::{Bound, Figure, GOALS, Goal, IDLE_MIB, IDLE_TLS_MIB, START_MIB};
use super::memory::Held;
use super::proxy::{Front, Proxy};
use super::stats::{Measured, Round, Slice, Spread};
use crate::process::output;
use crate::tools::{ENVOY, H2LOAD, HAPROXY, NGINX, WRK};

/// What `--bar` is held against.
const BAR_SCENARIO: &str = "h1-64";

/// One line a round, on the error output, so that a long run shows life.
pub(crate) fn progress(name: &str, [number, of]: [usize; 2], round: &Round) {
    let figures = round.iter().map(|(proxy, slice)| format!("{proxy} {:.1}", slice.cpu_us()));
    eprintln!("{name}, round {number} of {of}: µs CPU/req {}", figures.collect::<Vec<_>>().join(", "));
}

pub(crate) fn print(
    command: &str,
    options: &Options,
    measured: &[Measured],
    memory: &[Held],
    absent: &[Proxy],
) {
    let Options { rounds, slice, seed, .. } = options;
    println!("`cargo xtask {command}` (seed {seed}), {rounds} rounds of {} s\n", slice.as_secs());
    println!("{}\n", machine());
    for proxy in absent {
        println!("{proxy} could not be had here and is missing.\n");
    }
    for part in measured {
        println!("### `{}`: {}\n\n{}", part.scenario.name, part.scenario.title, table(part));
        println!("{}", goals(part));
    }
    if !memory.is_empty() {
        println!("### `memory`\n\n{}\n{}", memory_table(memory), memory_goals(memory));
    }
}

/// Whether the bar that was asked for is met; it is when nothing was measured.
pub(crate) fn verdict(bar: Option<f64>, measured: &[Measured]) -> ExitCode {
    let part = measured.iter().find(|part| part.scenario.name == BAR_SCENARIO);
    let ratio = part.and_then(|part| part.ratio(Proxy::Write, Proxy::Nginx, Slice::cpu_us));
    let missed = bar.zip(ratio).is_some_and(|(bar, ratio)| ratio.median > bar);
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A row a proxy: medians over the rounds, with min and max where it matters.
fn table(part: &Measured) -> String {
    let rows: String = Proxy::ALL.iter().filter_map(|proxy| row(part, *proxy)).collect();
    format!(
        "| proxy | µs CPU/req (min–max) | user | ratio to nginx (min–max) | req/s | p50 ms | p99 ms (max) |\n\
         |---|---|---|---|---|---|---|\n{rows}"
    )
}

fn row(part: &Measured, proxy: Proxy) -> Option<String> {
    let ratio = part.ratio(proxy, Proxy::Nginx, Slice::cpu_us)?;
    let of = |figure: fn(&Slice) -> f64| part.spread(proxy, figure);
    let (cpu, user, rate) = (of(Slice::cpu_us), of(Slice::user_us).median, of(Slice::rate).median);
    let (p50, p99) = (of(Slice::p50_ms).median, of(Slice::p99_ms));
    Some(format!(
        "| {proxy} | {} | {user:.1} | {} | {rate:.0} | {p50:.2} | {:.2} ({:.2}) |\n",
        spread(cpu, 1),
        spread(ratio, 2),
        p99.median,
        p99.max
    ))
}

fn spread(Spread { median, min, max }: Spread, digits: usize) -> String {
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

const GOALS_HEAD: &str = "| goal | must | goal | measured (min–max) | |\n|---|---|---|---|---|\n";

/// A row a goal of this scenario that could be measured.
fn goals(part: &Measured) -> String {
    let own = GOALS.iter().filter(|goal| goal.scenario == part.scenario.name);
    let rows: String = own.filter_map(|goal| goal_row(goal, part)).collect();
    if rows.is_empty() { String::new() } else { format!("{GOALS_HEAD}{rows}") }
}

fn goal_row(goal: &Goal, part: &Measured) -> Option<String> {
    let (what, figure): (&str, fn(&Slice) -> f64) = match goal.figure {
        Figure::Cpu => ("CPU", Slice::cpu_us),
        Figure::P50 => ("p50", Slice::p50_ms),
        Figure::P99 => ("p99", Slice::p99_ms),
    };
    let ratio = part.ratio(goal.of, goal.over, figure)?;
    let name = format!("{what}, {} / {}", goal.of, goal.over);
    Some(bound_row(&name, goal.bound, &spread(ratio, 2), ratio.median))
}

fn bound_row(name: &str, bound: Bound, measured: &str, figure: f64) -> String {
    let must = bound.must.map_or_else(|| "–".to_owned(), |must| format!("≤ {must:.2}"));
    format!("| {name} | {must} | ≤ {:.2} | {measured} | {} |\n", bound.goal, bound.verdict(figure))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn memory_table(memory: &[Held]) -> String {
    let row = |held: &Held| {
        let each = held.idle.saturating_sub(held.start) as f64 / 1024.0 / held.connections.max(1) as f64;
        let front = match held.front {
            Front::Clear => "clear",
            Front::H2c => "h2c",
            Front::Tls => "TLS",
        };
        format!(
            "| {} | {front} | {:.1} | {} | {:.1} | {each:.1} |\n",
            held.proxy,
            mib(held.start),
            held.connections,
            mib(held.idle)
        )
    };
    let rows: String = memory.iter().map(row).collect();
    format!(
        "| proxy | | at start MiB | idle connections | with them MiB | KiB each |\n|---|---|---|---|---|---|\n{rows}"
    )
}

fn memory_goals(memory: &[Held]) -> String {
    let own = memory.iter().filter(|held| held.proxy == Proxy::Fsync);
    let rows: String = own
        .map(|held| {
            let (start, idle) = (mib(held.start), mib(held.idle));
            let name = format!("{}, {} idle connections", held.proxy, held.connections);
            let idle = |name: String, bound| bound_row(&name, bound, &format!("{idle:.1} MiB"), idle);
            match held.front {
                Front::Tls => idle(name + " over TLS", IDLE_TLS_MIB),
                Front::Clear | Front::H2c => {
                    let start_name = format!("{}, at start", held.proxy);
                    bound_row(&start_name, START_MIB, &format!("{start:.1} MiB"), start)
                        + &idle(name, IDLE_MIB)
                }
            }
        })
        .collect();
    format!("{GOALS_HEAD}{rows}")
}

fn machine() -> String {
    let kernel = output(Command::new("uname").arg("-sr")).unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
    let disk = output(Command::new("df").arg("--output=fstype").arg(std::env::temp_dir()));
    let disk = disk.unwrap_or_default();
    let disk = disk.lines().last().unwrap_or("unknown");
    let versions = [NGINX, HAPROXY, WRK, H2LOAD].map(|tool| tool.version()).join("; ");
    format!("{}; {} × {model}; journal on {disk}; {versions}; {ENVOY}", kernel.trim(), models.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::scenario::SCENARIOS;
    use super::super::usage::Cpu;
    use super::*;

    fn measured(costs: &[[u64; 3]]) -> Measured {
        let slice = |cpu_ms: u64| {
            let half = Duration::from_millis(cpu_ms / 2);
            let cpu = Cpu { user: half, system: half };
            Slice { requests: 50_000, seconds: 2.0, cpu, p50_us: 1500.0, p99_us: 2500.0 }
        };
        let round = |costs: &[u64; 3]| Proxy::DAILY.into_iter().zip(costs.map(slice)).collect();
        Measured { scenario: &SCENARIOS[0], rounds: costs.iter().map(round).collect() }
    }

    #[test]
    fn the_table_has_a_row_for_each_proxy_that_was_measured() {
        let expected = "\
| proxy | µs CPU/req (min–max) | user | ratio to nginx (min–max) | req/s | p50 ms | p99 ms (max) |
|---|---|---|---|---|---|---|
| nginx | 20.0 (20.0–20.0) | 10.0 | 1.00 (1.00–1.00) | 25000 | 1.50 | 2.50 (2.50) |
| daypass-write | 24.0 (22.0–26.0) | 12.0 | 1.20 (1.10–1.30) | 25000 | 1.50 | 2.50 (2.50) |
| daypass-fsync | 24.0 (24.0–24.0) | 12.0 | 1.20 (1.20–1.20) | 25000 | 1.50 | 2.50 (2.50) |
";
        assert_eq!(table(&measured(&[[1000, 1100, 1200], [1000, 1300, 1200]])), expected);
    }

    #[test]
    fn goals_stand_beside_what_was_measured_and_nothing_else() {
        let expected = "\
| goal | must | goal | measured (min–max) | |
|---|---|---|---|---|
| CPU, daypass-write / nginx | ≤ 1.00 | ≤ 0.85 | 1.20 (1.10–1.30) | **missed** |
| CPU, daypass-fsync / nginx | ≤ 1.25 | ≤ 1.10 | 1.20 (1.20–1.20) | met |
";
        assert_eq!(goals(&measured(&[[1000, 1100, 1200], [1000, 1300, 1200]])), expected);
    }

    #[test]
    fn memory_is_told_by_connection_and_held_against_its_goals() {
        let mib = 1024 * 1024;
        let held =
            |front| Held { proxy: Proxy::Fsync, front, connections: 1024, start: 20 * mib, idle: 30 * mib };
        let memory = [held(Front::Clear), held(Front::Tls)];
        let table = memory_table(&memory);
        assert!(table.contains("| daypass-fsync | clear | 20.0 | 1024 | 30.0 | 10.0 |\n"), "{table}");
        let goals = memory_goals(&memory);
        assert!(goals.contains("at start | ≤ 30.00 | ≤ 15.00 | 20.0 MiB | met |"), "{goals}");
        assert!(goals.contains("over TLS | ≤ 450.00 | ≤ 240.00 | 30.0 MiB | met"), "{goals}");
        assert_eq!(goals.lines().count(), 5);
    }

    #[test]
    fn a_bar_that_is_not_met_fails_the_run() {
        let measured = [measured(&[[1000, 1300, 1200]])];
        let code = |bar| format!("{:?}", verdict(bar, &measured));
        assert_eq!(code(Some(1.25)), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(code(Some(1.35)), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(None), format!("{:?}", ExitCode::SUCCESS));
    }
}
