//! Rounds of one durability: load, kill, restart, check.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Options;
use super::check::{Evidence, Finding, counts, examine};
use super::client::Crowd;
use super::rows::Row;
use super::upstream::Upstream;
use crate::clock::{Watch, pause};
use crate::dice::Dice;
use crate::instance::{Durability, Instance, Plan, ROLE_READ, Under};
use crate::process::lines;
use crate::scratch::Scratch;

/// The kill comes this many milliseconds after the first request.
const KILL_AFTER_MS: std::ops::Range<u64> = 100..900;

/// The most a restart may take until `/readyz` says yes.
const RESTART_MAX: Duration = Duration::from_secs(2);

/// Findings printed of a round; the rest is only counted.
const FINDINGS_SHOWN_MAX: usize = 10;

/// Rounds on one journal; then a fresh one, so that memory and the last check stay bounded.
const ROUNDS_A_JOURNAL: usize = 50;

/// The sum over the rounds so far.
#[derive(Default)]
struct Total {
    rounds: usize,
    answered: usize,
    findings: BTreeSet<Finding>,
    slowest: Duration,
}

/// All rounds of one durability. Whether nothing was wrong.
pub(crate) fn all(binary: &Path, durability: Durability, options: Options) -> Result<bool> {
    let mut series = Series {
        durability,
        clients: options.clients,
        upstream: Upstream::start()?,
        dice: Dice::new(options.seed),
        total: Total::default(),
    };
    while series.total.rounds < options.rounds {
        let last = options.rounds.min(series.total.rounds + ROUNDS_A_JOURNAL);
        series.journal(binary, last)?;
    }
    println!("{}", series.total.line(durability));
    Ok(series.total.sound())
}

/// Rounds of one durability, under way.
struct Series {
    durability: Durability,
    clients: usize,
    upstream: Upstream,
    dice: Dice,
    total: Total,
}

impl Series {
    /// Rounds up to `last` on one instance, whose journal lives through every crash. When something
    /// was wrong its folder is kept and named.
    fn journal(&mut self, binary: &Path, last: usize) -> Result<()> {
        let mut scratch = Scratch::new("crash")?;
        let found = self.total.findings.len();
        let plan = Plan {
            binary,
            durability: self.durability,
            upstream: self.upstream.port,
            under: Under::Nothing,
            tls: None,
        };
        let mut instance = Instance::prepare(&scratch, &plan)?;
        let outcome = self.rounds(&mut instance, last);
        if outcome.is_err() || self.total.findings.len() > found {
            scratch.keep();
            eprintln!("kept for a look: {}", scratch.path().display());
        }
        outcome.with_context(|| format!("{}, after {} rounds", self.durability, self.total.rounds))
    }

    fn rounds(&mut self, instance: &mut Instance, last: usize) -> Result<()> {
        instance.start()?;
        let key = instance.key(ROLE_READ)?;
        let mut everything = Evidence::default();
        while self.total.rounds < last {
            let round = self.round(instance, &key)?;
            self.total.add(&round);
            println!("{} round {:>3}: {}", self.durability, self.total.rounds, round.line());
            show(&round.findings);
            everything.answered.extend(round.evidence.answered);
            everything.forwarded.extend(round.evidence.forwarded);
        }
        // Once more over all of them: a later crash must not lose what an earlier one left.
        self.total.findings.extend(examine(&everything, &search(instance, None)?));
        instance.stop()
    }

    fn round(&mut self, instance: &mut Instance, key: &str) -> Result<Round> {
        let watch = Watch::start();
        let crowd = Crowd::start(self.clients, instance.proxy, key);
        pause(Duration::from_millis(self.dice.between(KILL_AFTER_MS.start, KILL_AFTER_MS.end)));
        crowd.expect_the_end();
        instance.kill()?;
        let killed_after = watch.elapsed();
        let evidence = Evidence { answered: crowd.join()?, forwarded: self.upstream.drain()? };
        ensure!(!evidence.answered.is_empty(), "nothing was answered: the round shows nothing");
        let restart = instance.start()?;
        let rows = search(instance, Some(watch.elapsed()))?;
        let findings = examine(&evidence, &rows);
        Ok(Round { evidence, rows, findings, killed_after, restart })
    }
}

/// What one crash did.
struct Round {
    evidence: Evidence,
    rows: Vec<Row>,
    findings: Vec<Finding>,
    killed_after: Duration,
    restart: Duration,
}

/// The rows of the last `since`, or all of them. Rounded up, so that a row too many may come and
/// none too few.
fn search(instance: &Instance, since: Option<Duration>) -> Result<Vec<Row>> {
    let since = since.map(|since| format!("{}s", since.as_secs() + 1));
    let mut args = vec!["audit", "search", "-o", "jsonl"];
    if let Some(since) = &since {
        args.extend(["--since", since]);
    }
    let mut rows = Vec::new();
    lines(&mut instance.command(&args), |line| {
        rows.push(Row::parse(line)?);
        Ok(())
    })?;
    Ok(rows)
}

fn show(findings: &[Finding]) {
    for Finding { fault, id } in findings.iter().take(FINDINGS_SHOWN_MAX) {
        println!("  {fault}: {id}");
    }
    let more = findings.len().saturating_sub(FINDINGS_SHOWN_MAX);
    if more > 0 {
        println!("  and {more} more");
    }
}

impl Round {
    fn line(&self) -> String {
        let refused = self.evidence.answered.iter().filter(|answered| answered.status >= 400).count();
        let unknown = self.rows.iter().filter(|row| row.outcome.as_deref() == Some("unknown")).count();
        format!(
            "killed after {} ms, answered {} ({refused} refused), forwarded {}, rows {}, unknown {unknown}, ready in {} ms; {}",
            self.killed_after.as_millis(),
            self.evidence.answered.len(),
            self.evidence.forwarded.len(),
            self.rows.len(),
            self.restart.as_millis(),
            counts(&self.findings),
        )
    }
}

impl Total {
    fn add(&mut self, round: &Round) {
        self.rounds += 1;
        self.answered += round.evidence.answered.len();
        self.findings.extend(round.findings.iter().cloned());
        self.slowest = self.slowest.max(round.restart);
    }

    fn sound(&self) -> bool {
        self.findings.is_empty() && self.slowest <= RESTART_MAX
    }

    fn line(&self, durability: Durability) -> String {
        let slow = if self.slowest > RESTART_MAX { " (too slow)" } else { "" };
        format!(
            "{} rounds: answered {}, {}, slowest restart {} ms{slow} ({durability})",
            self.rounds,
            self.answered,
            counts(&self.findings),
            self.slowest.as_millis(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Fault;
    use super::*;

    #[test]
    fn the_total_names_every_fault_and_the_slowest_restart() {
        let mut total =
            Total { rounds: 20, answered: 1234, slowest: Duration::from_millis(41), ..Total::default() };
        assert!(total.sound());
        assert_eq!(
            total.line(Durability::Write),
            "20 rounds: answered 1234, missing 0, forwarded without intent 0, duplicates 0, \
             other leaf than receipt 0, without outcome 0, contradictions 0, slowest restart 41 ms (write)"
        );
        total.findings.insert(Finding { fault: Fault::Duplicate, id: "a".to_owned() });
        assert!(!total.sound() && total.line(Durability::Write).contains("duplicates 1"));
    }

    #[test]
    fn a_restart_that_is_too_slow_fails_the_run() {
        let total = Total { slowest: Duration::from_millis(2001), ..Total::default() };
        assert!(!total.sound());
    }
}
