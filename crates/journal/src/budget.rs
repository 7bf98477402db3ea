//! The budget of rows that have no subject: whoever shows no credential costs nothing to be, and a row costs disk.
//!
//! Not here: what becomes of rows beyond it (see `collapsed`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use access::Timestamp;
use access::limit::Rate;
use access::source::source_of;

/// How many rows without a subject one source may have in a second: beyond it they are only counted. What asks from
/// this machine has its bound in that of the lane.
pub(crate) const SOURCE_ROWS_MAX: u32 = 100;
/// How many it may have at once.
pub(crate) const SOURCE_ROWS_BURST_MAX: u32 = 1_000;
/// How many rows without a subject one core may write in a second: beyond it they are only counted.
pub(crate) const LANE_ROWS_MAX: u32 = 500;
/// How many it may write at once.
pub(crate) const LANE_ROWS_BURST_MAX: u32 = 5_000;
/// How many sources a core tells apart: beyond it those that have written nothing lately are forgotten, and the others
/// have their bound in that of the lane.
pub(crate) const SOURCES_MAX: usize = 4_096;

const OF_A_SOURCE: Rate = Rate::per_second(SOURCE_ROWS_MAX, SOURCE_ROWS_BURST_MAX);
const OF_THE_LANE: Rate = Rate::per_second(LANE_ROWS_MAX, LANE_ROWS_BURST_MAX);
/// How long any bucket takes to be full again.
const FULL_AFTER: Duration = Duration::from_secs(10);

/// Whether a row may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It may.
    One,
    /// It may not: it is counted instead.
    Nothing,
}

/// What rows without a subject may still take of one lane. Each bucket is the time, in nanoseconds since the epoch, at
/// which it is full again.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    lane: u64,
    sources: BTreeMap<IpAddr, u64>,
}

impl Budget {
    /// Takes one row of a client with this address.
    pub(crate) fn spend(&mut self, client_ip: &str, now: Timestamp) -> Spent {
        // INVARIANT: a source is entered only with a row that is written, so that the table costs what rows may cost.
        let Some(lane) = take(OF_THE_LANE, self.lane, now) else { return Spent::Nothing };
        let client = client_ip.parse::<IpAddr>().ok().filter(|ip| !ip.is_loopback());
        if client.is_some_and(|ip| self.spend_of(source_of(ip), now) == Spent::Nothing) {
            return Spent::Nothing;
        }
        self.lane = lane;
        Spent::One
    }

    fn spend_of(&mut self, source: IpAddr, now: Timestamp) -> Spent {
        let known = self.sources.get(&source).copied();
        let Some(bucket) = take(OF_A_SOURCE, known.unwrap_or(0), now) else { return Spent::Nothing };
        if known.is_none() && self.sources.len() >= SOURCES_MAX {
            let present = nanos(now);
            self.sources.retain(|_, full_at| *full_at > present);
        }
        if known.is_some() || self.sources.len() < SOURCES_MAX {
            self.sources.insert(source, bucket);
        }
        Spent::One
    }
}

/// A bucket with one row less; `None` if it has none. One that is far ahead of a clock that was set back begins anew.
fn take(rate: Rate, bucket: u64, now: Timestamp) -> Option<u64> {
    let sound = bucket <= nanos(now.plus(FULL_AFTER.saturating_mul(2)));
    rate.take(if sound { bucket } else { 0 }, now).ok()
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_795_316_400_000_000);

    /// How many of `times` rows of a client may be written.
    fn written(budget: &mut Budget, client_ip: &str, now: Timestamp, times: usize) -> usize {
        (0..times).filter(|_| budget.spend(client_ip, now) == Spent::One).count()
    }

    #[test]
    fn a_source_has_its_burst_then_its_rate_and_leaves_others_theirs() {
        let (mut budget, later) = (Budget::default(), START.plus(Duration::from_secs(1)));
        assert_eq!(written(&mut budget, "203.0.113.7", START, 3_000), 1_000);
        assert_eq!(written(&mut budget, "203.0.113.8", START, 10), 10);
        assert_eq!(written(&mut budget, "203.0.113.7", later, 3_000), 100);
        // One customer's addresses are one source.
        assert_eq!(written(&mut budget, "2001:db8::1", later, 600), 600);
        assert_eq!(written(&mut budget, "2001:db8::ffff:1", later, 600), 400);
    }

    #[test]
    fn all_sources_together_have_what_the_lane_has() {
        let mut budget = Budget::default();
        let all: usize = (0..10).map(|at| written(&mut budget, &format!("10.0.0.{at}"), START, 1_000)).sum();
        assert_eq!(all, 5_000);
        let later = START.plus(Duration::from_secs(1));
        assert_eq!(written(&mut budget, "127.0.0.1", later, 1_000), 500, "loopback has the lane's");
        assert_eq!(budget.sources.len(), 5, "who had no row takes no place");
    }

    #[test]
    fn the_table_of_sources_stays_small_and_forgets_who_has_all_again() {
        let mut budget = Budget::default();
        let client = |at: u32| std::net::Ipv4Addr::from(0x0a00_0000 + at).to_string();
        for at in 0..4_900 {
            assert_eq!(budget.spend(&client(at), START), Spent::One);
        }
        assert_eq!(budget.sources.len(), SOURCES_MAX);
        assert_eq!(budget.spend(&client(5_000), START.plus(Duration::from_secs(1))), Spent::One);
        assert_eq!(budget.sources.len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_takes_rows_away_for_no_longer_than_a_burst_takes() {
        for back in [1, 9, 11, 3_600] {
            let (mut budget, before) = (Budget::default(), START.minus(Duration::from_secs(back)));
            assert_eq!(written(&mut budget, "203.0.113.7", START, 1_000), 1_000);
            let later = before.plus(FULL_AFTER.saturating_mul(2));
            assert!(written(&mut budget, "203.0.113.7", later, 2_000) >= 900, "{back} s");
        }
    }
}
