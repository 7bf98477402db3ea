//! CPU time of a process, its threads and its children, from `/proc` (proc_pid_stat(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// CPU time used since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// Time used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// What a line of `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// The CPU time of `pid` and of its direct children, all threads included. Children are looked up
/// anew each time; one that ended in between is missed, so the caller measures processes that stay.
pub(crate) fn used(pid: u32, ticks_per_second: u64) -> Result<Cpu> {
    let own = stat(pid).with_context(|| format!("process {pid} is gone"))?;
    let mut ticks = (own.user_ticks, own.system_ticks);
    for child in children(pid)? {
        ticks.0 += child.user_ticks;
        ticks.1 += child.system_ticks;
    }
    let time = |ticks: u64| Duration::from_micros(ticks * 1_000_000 / ticks_per_second.max(1));
    Ok(Cpu { user: time(ticks.0), system: time(ticks.1) })
}

fn children(pid: u32) -> Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list `/proc`")? {
        let name = entry.context("cannot list `/proc`")?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while we look.
        found.extend(stat(other).ok().filter(|stat| stat.parent == pid));
    }
    Ok(found)
}

fn stat(pid: u32) -> Result<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

/// The command's name may hold blanks and parentheses; the fields begin behind the last one.
fn parse(line: &str) -> Result<Stat> {
    let Some((_, rest)) = line.rsplit_once(") ") else { bail!("not a stat line: `{line}`") };
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| -> Result<u64> {
        let field = fields.get(at).with_context(|| format!("no field {at}: `{line}`"))?;
        field.parse().with_context(|| format!("not a number: `{field}`"))
    };
    Ok(Stat { parent: u32::try_from(number(1)?)?, user_ticks: number(11)?, system_ticks: number(12)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 9 0 100 1 1 1\n";
        assert_eq!(parse(line).unwrap(), Stat { parent: 7, user_ticks: 250, system_ticks: 50 });
        assert!(parse("42 (x) S 7").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn our_own_time_is_found_and_grows() {
        let before = used(std::process::id(), 100).unwrap();
        let mut sum = 0_u64;
        let grown = || used(std::process::id(), 100).unwrap().since(before).total() > Duration::ZERO;
        while !grown() {
            sum = (0..1_000_000).fold(sum, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(grown(), "{sum}");
    }
}
