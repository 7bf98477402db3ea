//! The three parts of a run, each with its load, its figures and its verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::Shared;
use super::load::Load;
use super::node::{Authority, Held, Node};
use super::rows::judge;
use super::upstream::Upstream;
use super::{Options, Security};
use crate::clock::{Watch, pause};
use crate::scratch::Scratch;

/// Between two of anything, so that requests are under way at each.
const PAUSE: Duration = Duration::from_millis(100);
/// What may be held more at the end of the reloads than after the first of them.
const MORE_THREADS_MAX: u64 = 2;
const MORE_DESCRIPTORS_MAX: u64 = 64;
const MORE_KIB_MAX: u64 = 96 * 1024;

struct Stage<'a> {
    binary: &'a Path,
    scratch: Scratch,
    authority: Authority,
    upstream: Upstream,
    options: &'a Options,
}

/// All that was asked for. Whether nothing was wrong.
pub(crate) fn all(binary: &Path, options: &Options) -> Result<bool> {
    let stage = Stage {
        binary,
        scratch: Scratch::new("churn")?,
        authority: Authority::new()?,
        upstream: Upstream::start()?,
        options,
    };
    let mut sound = true;
    if options.reloads > 0 {
        sound &= stage.reloads()?;
    }
    if options.drains > 0 {
        sound &= stage.drains()?;
    }
    if options.upgrades > 0 {
        sound &= stage.upgrades()?;
    }
    println!("{}", if sound { "sound" } else { "NOT SOUND" });
    Ok(sound)
}

impl<'a> Stage<'a> {
    fn node(&'a self, name: &'static str) -> Result<Node<'a>> {
        let Options { security, .. } = self.options;
        let mut node =
            Node::prepare(&self.scratch, name, self.binary, &self.authority, *security, self.upstream.ports)?;
        node.instance.start()?;
        Ok(node)
    }

    fn shared(&self, node: &mut Node<'_>) -> Result<Arc<Shared>> {
        let tls = match self.options.security {
            Security::Plain => None,
            Security::Tls => Some(self.authority.connector()?),
        };
        Ok(Shared::new(node.target()?, tls))
    }

    fn reloads(&self) -> Result<bool> {
        let Options { reloads, websockets, .. } = *self.options;
        let mut node = self.node("reloads")?;
        let shared = self.shared(&mut node)?;
        let load = Load::start(shared.clone(), websockets)?;
        ensure!(load.echo()? == websockets, "not every WebSocket was opened");
        let (watch, mut early) = (Watch::start(), None);
        for number in 1..=reloads {
            pause(PAUSE / 2);
            node.reload(number)?;
            if number == (reloads / 5).max(1) {
                early = Some(node.held()?);
            }
        }
        let took = watch.elapsed() / u32::try_from(reloads).unwrap_or(u32::MAX);
        let (early, late, alive) = (early.context("no reload")?, node.held()?, load.echo());
        load.end()?;
        let failed = shared.tally.show();
        let alive = alive.unwrap_or_else(|error| {
            println!("  {error:#}");
            0
        });
        println!("{reloads} reloads, {} ms each: {}", took.as_millis(), shared.tally.line());
        println!("  WebSockets alive {alive} of {websockets}; {}", growth(early, late));
        let sound = self.verdict(&[&node], &shared)?;
        node.instance.stop()?;
        Ok(sound && failed == 0 && alive == websockets && !leaks(early, late))
    }

    fn drains(&self) -> Result<bool> {
        let mut nodes = [self.node("drains-a")?, self.node("drains-b")?];
        let [first, second] = &mut nodes;
        let shared = self.shared(first)?;
        second.target()?;
        let load = Load::start(shared.clone(), 0)?;
        let (mut slowest, mut cut) = (Duration::ZERO, 0);
        for number in 0..self.options.drains {
            let [stopping, other] = if number.is_multiple_of(2) {
                [&mut *first, &mut *second]
            } else {
                [&mut *second, &mut *first]
            };
            if other.instance.pid().is_none() {
                other.instance.start()?;
            }
            pause(PAUSE * 5);
            let watch = Watch::start();
            shared.turn(other.target()?);
            stopping.instance.stop()?;
            slowest = slowest.max(watch.elapsed());
            cut += usize::from(!stopping.instance.whole_log().trim_end().ends_with("cut=0"));
            stopping.instance.start()?;
        }
        load.end()?;
        let failed = shared.tally.show();
        println!(
            "{} drains, slowest {} ms, with something cut {cut}: {}",
            self.options.drains,
            slowest.as_millis(),
            shared.tally.line()
        );
        let sound = self.verdict(&[first, second], &shared)?;
        first.instance.stop()?;
        second.instance.stop()?;
        Ok(sound && failed == 0 && cut == 0)
    }

    fn upgrades(&self) -> Result<bool> {
        let mut node = self.node("upgrades")?;
        let shared = self.shared(&mut node)?;
        let load = Load::start(shared.clone(), 0)?;
        let (mut slowest, mut longest) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..self.options.upgrades {
            pause(PAUSE * 5);
            let watch = Watch::start();
            slowest = slowest.max(node.upgrade()?);
            longest = longest.max(watch.elapsed());
        }
        load.end()?;
        let failed = shared.tally.show();
        println!(
            "{} upgrades, slowest takeover {} ms, longest until the old process ended {} ms: {}",
            self.options.upgrades,
            slowest.as_millis(),
            longest.as_millis(),
            shared.tally.line()
        );
        let sound = self.verdict(&[&node], &shared)?;
        node.instance.stop()?;
        Ok(sound && failed == 0)
    }

    fn verdict(&self, nodes: &[&Node<'_>], shared: &Shared) -> Result<bool> {
        let mut rows = Vec::new();
        for node in nodes {
            node.search(|line| {
                rows.push(line.to_owned());
                Ok(())
            })?;
        }
        let verdict = judge(&rows, shared.tally.take_evidence(), &self.upstream.take())?;
        verdict.show();
        Ok(verdict.is_sound())
    }
}

fn leaks(early: Held, late: Held) -> bool {
    late.threads > early.threads + MORE_THREADS_MAX
        || late.descriptors > early.descriptors + MORE_DESCRIPTORS_MAX
        || late.kib > early.kib + MORE_KIB_MAX
}

fn growth(early: Held, late: Held) -> String {
    format!(
        "held after a fifth and at the end: threads {} and {}, descriptors {} and {}, memory {} and {} MiB",
        early.threads,
        late.threads,
        early.descriptors,
        late.descriptors,
        early.kib / 1024,
        late.kib / 1024
    )
}
