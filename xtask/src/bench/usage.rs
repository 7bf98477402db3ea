//! CPU time and memory of a process, its threads and its children, from `/proc` (proc_pid_stat(5)).
//!
//! Children are looked up anew each time; one that ended in between is missed, so the caller
//! measures processes that stay.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::output;

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
    resident_pages: u64,
}

/// The units in which the kernel counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    ticks_per_second: u64,
    page_bytes: u64,
}

impl Units {
    /// Fails when `getconf` does not know.
    pub(crate) fn of_this_machine() -> Result<Self> {
        Ok(Self { ticks_per_second: getconf("CLK_TCK")?, page_bytes: getconf("PAGESIZE")? })
    }
}

fn getconf(name: &str) -> Result<u64> {
    let said = output(Command::new("getconf").arg(name))?;
    said.trim().parse().with_context(|| format!("`getconf {name}` gave no number"))
}

/// The CPU time of `pid` and of its direct children, all threads included.
pub(crate) fn used(pid: u32, units: Units) -> Result<Cpu> {
    let family = family(pid)?;
    let time = |ticks: u64| Duration::from_micros(ticks * 1_000_000 / units.ticks_per_second.max(1));
    Ok(Cpu {
        user: time(family.iter().map(|stat| stat.user_ticks).sum()),
        system: time(family.iter().map(|stat| stat.system_ticks).sum()),
    })
}

/// The resident memory of `pid` and of its direct children, in bytes. Pages that they share count for each.
pub(crate) fn resident(pid: u32, units: Units) -> Result<u64> {
    let pages: u64 = family(pid)?.iter().map(|stat| stat.resident_pages).sum();
    Ok(pages * units.page_bytes)
}

fn family(pid: u32) -> Result<Vec<Stat>> {
    let own = stat(pid).with_context(|| format!("process {pid} is gone"))?;
    let mut family = children(pid)?;
    family.push(own);
    Ok(family)
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
    Ok(Stat {
        parent: u32::try_from(number(1)?)?,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        resident_pages: number(21)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 9 0 100 1 77 1\n";
        let expected = Stat { parent: 7, user_ticks: 250, system_ticks: 50, resident_pages: 77 };
        assert_eq!(parse(line).unwrap(), expected);
        assert!(parse("42 (x) S 7").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn our_own_time_and_memory_are_found_and_time_grows() {
        let units = Units::of_this_machine().unwrap();
        assert!(resident(std::process::id(), units).unwrap() > 1024 * 1024);
        let before = used(std::process::id(), units).unwrap();
        let mut sum = 0_u64;
        let grown = || used(std::process::id(), units).unwrap().since(before).total() > Duration::ZERO;
        while !grown() {
            sum = (0..1_000_000).fold(sum, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(grown(), "{sum}");
    }
}
