//! `differ`: differential tests against real servers and clients, round after round (see `cargo xtask differ`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]
#![expect(clippy::disallowed_methods, reason = "a tool that measures reads the real clock")]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use testkit::Random;
use testkit::differ::answers::answers;
use testkit::differ::backends::{self, Backend};
use testkit::differ::clients::{self, Client};
use testkit::differ::{Tally, grammar, minimize, replay, requests};
use testkit::targets::heads;

/// How many cases a round has: each round is a world of its own.
const ROUND: u64 = 10_000;
/// How many answers each client asks for in a round.
const ANSWERS: u64 = 500;

struct Options {
    cases: u64,
    seed: u64,
    without: Vec<String>,
    show: Option<u64>,
}

impl Options {
    fn read() -> Result<Self> {
        let mut options = Self { cases: 20_000, seed: nanoseconds(), without: Vec::new(), show: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
            match word.as_str() {
                "--cases" => options.cases = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                "--without" => options.without.extend(value.split(',').map(str::to_owned)),
                "--show" => options.show = Some(value.parse()?),
                other => bail!("unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

fn nanoseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let options = Options::read()?;
    let mut backends = Vec::new();
    for name in backends::NAMES.into_iter().filter(|name| !options.without.iter().any(|own| own == name)) {
        match Backend::start(name).await {
            Ok(backend) => backends.push(backend),
            Err(why) => eprintln!("left out: {name}: {why}"),
        }
    }
    ensure!(!backends.is_empty(), "no backend starts");
    if let Some(case) = options.show {
        let random = Random::seeded(options.seed);
        let mut sent = 0;
        while sent <= case {
            let name = random.pick(&backends).map_or("", |backend| backend.name);
            let batch = grammar::batch(&random, name, sent, "{token}");
            sent += batch.parts.len() as u64;
            if sent > case {
                batch.parts.iter().for_each(|part| println!("{:?}", String::from_utf8_lossy(part)));
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = clients::NAMES.into_iter().filter(|name| !options.without.iter().any(|own| own == name));
    let mut clients = wanted.map(Client::start).collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
    println!("seed {}, {} cases", options.seed, options.cases);
    let began = Instant::now();
    let (mut up, mut down, mut inside) = (Tally::default(), Tally::default(), 0);
    let mut seed = options.seed;
    while up.cases + down.cases < options.cases {
        let round = ROUND.min(options.cases);
        match requests(&mut backends, seed, round).await {
            Ok(tally) => up.add(tally),
            Err(wrong) => return failed("requests", seed, &wrong, &mut backends).await,
        }
        let reading = std::thread::spawn(move || in_process(seed, round / 2));
        match answers(&mut clients, seed % 1_000_000_000 * 1_000, ANSWERS.min(round / 4)).await {
            Ok(tally) => down.add(tally),
            Err(wrong) => return failed("answers", seed, &wrong, &mut []).await,
        }
        match reading.join() {
            Ok(Ok(cases)) => inside += cases,
            Ok(Err(bytes)) => {
                println!("seed {seed}, read otherwise by hyper: {:?}", String::from_utf8_lossy(&bytes));
                return Ok(ExitCode::FAILURE);
            }
            Err(_) => bail!("the reader died"),
        }
        seed = seed.wrapping_add(1);
        eprintln!("{} cases in {:.0} s", up.cases + down.cases + inside, began.elapsed().as_secs_f64());
    }
    report(&up, &down, inside, began.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn report(up: &Tally, down: &Tally, inside: u64, seconds: f64) {
    let total = up.cases + down.cases + inside;
    println!("requests: {} on {} connections", up.cases, up.connections);
    for (what, count) in up.seen.iter().chain(&up.rows) {
        println!("  {count:>9} {what}");
    }
    for (what, sample) in &up.samples {
        println!("            {what}: {sample}");
    }
    println!("answers: {}", down.cases);
    for (what, count) in down.seen.iter().chain(&down.rows) {
        println!("  {count:>9} {what}");
    }
    println!("in process: {inside}");
    println!("{total} cases in {seconds:.0} s ({:.0}/s): 0 differences", total as f64 / seconds);
}

/// The codec against hyper's, on the same bytes: how many cases, or the bytes that they read otherwise.
fn in_process(seed: u64, cases: u64) -> Result<u64, Vec<u8>> {
    let random = Random::seeded(seed ^ 0x5eed);
    let mut done = 0;
    while done < cases {
        let batch = grammar::batch(&random, "x", done, "token");
        done += batch.parts.len() as u64;
        let bytes = batch.bytes();
        if std::panic::catch_unwind(|| heads(&bytes)).is_err() {
            return Err(bytes);
        }
    }
    Ok(done)
}

/// Says what was wrong, and finds the smallest batch of the round that still goes wrong with one backend.
async fn failed(what: &str, seed: u64, wrong: &[String], backends: &mut [Backend]) -> Result<ExitCode> {
    println!("{what}, seed {seed}: {} differences", wrong.len());
    wrong.iter().take(20).for_each(|wrong| println!("  {wrong}"));
    let random = Random::seeded(seed);
    let mut sent = 0;
    while sent < ROUND && !backends.is_empty() {
        let Some(at) = (!backends.is_empty()).then(|| random.below(backends.len())) else { break };
        let Some(backend) = backends.get_mut(at) else { break };
        let batch = grammar::batch(&random, backend.name, sent, "{token}");
        sent += batch.parts.len() as u64;
        let concerns =
            |wrong: &String| (0..13).any(|at| wrong.contains(&format!("/c{}", sent.saturating_sub(at))));
        if !wrong.iter().any(concerns) {
            continue;
        }
        let mut fails = async |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            replay(backend, |token| testkit::hostile::replaced(&bytes, b"{token}", token.as_bytes()))
                .await
                .is_err()
        };
        let bytes = batch.bytes();
        if fails(&bytes).await {
            let smallest = minimize::smallest(&bytes, fails).await;
            println!("with {}: {:?}", backend.name, String::from_utf8_lossy(&smallest));
            break;
        }
    }
    Ok(ExitCode::FAILURE)
}
