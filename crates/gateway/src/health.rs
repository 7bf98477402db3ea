//! How an endpoint does: whether it can be connected to, whether it answers, whether it passes its checks.
//!
//! One that cannot be connected to is passed over until it can be again. One that fails several requests in a row is
//! passed over for a time that grows. Both are still tried when no other takes a request: being wrong about them costs
//! time, never an answer. One that fails its checks is sent nothing. Shared by all cores: a request reads numbers, and
//! only what changes them takes a lock.
//! Not here: finding out (see `upstream`, `watch`), choosing (see `balance`).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::Timestamp;
use http::StatusCode;

use crate::bounds::{
    UPSTREAM_FAILURES_MAX, UPSTREAM_PASSED_OVER_TIME, UPSTREAM_PASSED_OVER_TIME_MAX, UPSTREAM_TELL_TIME,
};

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Vital {
    /// Whose it is, in the log.
    name: String,
    /// Until when it is passed over, in microseconds since the epoch: [`WELL`], [`UNREACHABLE`], or an instant.
    until: AtomicI64,
    /// Since when it is back, for as long as that matters.
    back: AtomicI64,
    /// Whether there is something that a success takes back.
    marked: AtomicBool,
    failing: AtomicBool,
    history: Mutex<History>,
}

const WELL: i64 = 0;
/// Until it can be connected to.
const UNREACHABLE: i64 = i64::MAX;

#[derive(Debug, Default)]
struct History {
    /// Requests that failed in a row.
    failures: u32,
    /// How often it was passed over in a row.
    times: u32,
    trouble: Option<Told>,
    /// When it is tried again.
    trial: Option<Timestamp>,
    /// Checks in a row that do not fit how it stands.
    streak: u32,
    failed_check: Option<Told>,
    /// What the log says of it.
    logged: Logged,
}

/// What was logged of an endpoint last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Logged {
    #[default]
    Nothing,
    Unwell(Standing, Timestamp),
    /// It is back, and was unwell so at that time.
    Well(Standing, Timestamp),
}

/// What is wrong, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    why: Trouble,
    since: Timestamp,
}

/// What an endpoint did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    /// Its name has no address.
    Unresolved,
    NotHttp2,
    Unproven(&'static str),
    Closed,
    Malformed,
    Late,
    Status(StatusCode),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("it cannot be connected to"),
            Self::Unresolved => f.write_str("its name has no address"),
            Self::NotHttp2 => f.write_str("it did not show that it speaks HTTP/2"),
            Self::Unproven(why) => f.write_str(why),
            Self::Closed => f.write_str("it closed the connection before it answered"),
            Self::Malformed => f.write_str("its answer was not valid HTTP"),
            Self::Late => f.write_str("it did not answer within its time"),
            Self::Status(status) => write!(f, "it answered {}", status.as_u16()),
        }
    }
}

/// How an endpoint stands at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Well,
    /// It cannot be connected to.
    Unreachable,
    /// It failed requests.
    Ejected,
    /// It fails its checks.
    Failing,
}

impl Standing {
    /// In a word, for people and their tools.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Unreachable => "unreachable",
            Self::Ejected => "ejected",
            Self::Failing => "failing",
        }
    }
}

/// Whether its checks count: an API may have none, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    Count,
    Absent,
}

/// What a check needs to change how an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(crate) unhealthy_after: u32,
    pub(crate) healthy_after: u32,
}

/// The status of an answer that says that the upstream, or what is behind it, did not do its work.
pub(crate) const fn is_gateway_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

impl Vital {
    /// Of an endpoint with this name, of which nothing is known yet.
    pub(crate) fn of(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// How it stands at `now`.
    pub(crate) fn standing(&self, checks: Checks, now: Timestamp) -> Standing {
        if checks == Checks::Count && self.failing.load(Ordering::Relaxed) {
            return Standing::Failing;
        }
        match self.until.load(Ordering::Relaxed) {
            WELL => Standing::Well,
            UNREACHABLE => Standing::Unreachable,
            until if now.as_micros() < until => Standing::Ejected,
            _ => Standing::Well,
        }
    }

    /// Since when it is back, if it ever was away.
    pub(crate) fn back_since(&self) -> Option<Timestamp> {
        let until = Some(self.until.load(Ordering::Relaxed)).filter(|until| *until != UNREACHABLE);
        let back = self.back.load(Ordering::Relaxed).max(until.unwrap_or(WELL));
        (back != WELL).then(|| Timestamp::from_micros(back))
    }

    /// It could not be connected to at `now`: it is passed over from now on.
    pub(crate) fn miss(&self, why: Trouble, now: Timestamp) {
        let mut history = self.history();
        history.forgive(self.back_since(), now);
        if self.until.load(Ordering::Relaxed) != UNREACHABLE {
            history.trouble = Some(Told { why, since: now });
            self.log_trouble(&mut history, Standing::Unreachable, why, now);
        }
        history.trial = Some(now.plus(history.next_time()));
        self.until.store(UNREACHABLE, Ordering::Relaxed);
        self.marked.store(true, Ordering::Relaxed);
    }

    /// It took a request and did not answer it as it should: after [`UPSTREAM_FAILURES_MAX`] in a row it is passed over.
    pub(crate) fn fail(&self, why: Trouble, now: Timestamp) {
        let mut history = self.history();
        self.marked.store(true, Ordering::Relaxed);
        history.failures = history.failures.saturating_add(1);
        let until = self.until.load(Ordering::Relaxed);
        if history.failures < UPSTREAM_FAILURES_MAX || now.as_micros() < until {
            return;
        }
        history.forgive(self.back_since(), now);
        history.failures = 0;
        history.trouble = Some(Told { why, since: now });
        self.log_trouble(&mut history, Standing::Ejected, why, now);
        let until = now.plus(history.next_time());
        self.until.store(until.as_micros(), Ordering::Relaxed);
    }

    /// It did what it should, at what is `now`.
    pub(crate) fn well(&self, now: impl FnOnce() -> Timestamp) {
        if !self.marked.load(Ordering::Relaxed) {
            return;
        }
        let now = now();
        let mut history = self.history();
        history.failures = 0;
        match self.until.load(Ordering::Relaxed) {
            // What failed many requests does not come back for one.
            until if until != UNREACHABLE && now.as_micros() < until => return,
            UNREACHABLE => self.back.store(now.as_micros(), Ordering::Relaxed),
            WELL => {}
            until => self.back.store(until, Ordering::Relaxed),
        }
        (history.trouble, history.trial) = (None, None);
        self.until.store(WELL, Ordering::Relaxed);
        self.marked.store(false, Ordering::Relaxed);
        if !self.failing.load(Ordering::Relaxed) {
            self.log_well(&mut history);
        }
    }

    /// One line when it leaves what is well; one that goes and comes all the time is told of once in a while.
    fn log_trouble(&self, history: &mut History, standing: Standing, why: Trouble, now: Timestamp) {
        if let Logged::Unwell(same, at) | Logged::Well(same, at) = history.logged
            && same == standing
            && now.since(at) < UPSTREAM_TELL_TIME
        {
            return;
        }
        history.logged = Logged::Unwell(standing, now);
        tracing::warn!(upstream = self.name, %why, "an upstream is {}", standing.word());
    }

    /// One line when it is back, if it was told that it was away.
    fn log_well(&self, history: &mut History) {
        if let Logged::Unwell(standing, at) = history.logged {
            history.logged = Logged::Well(standing, at);
            tracing::info!(upstream = self.name, was = standing.word(), "an upstream is well again");
        }
    }

    /// Whether it is to be connected to at `now`, to see whether it can be again.
    pub(crate) fn is_trial_due(&self, now: Timestamp) -> bool {
        self.until.load(Ordering::Relaxed) == UNREACHABLE
            && self.history().trial.is_some_and(|trial| trial <= now)
    }

    /// What came of a check. Only so many of one kind in a row change how it stands.
    pub(crate) fn checked(&self, outcome: Result<(), Trouble>, rounds: Rounds, now: Timestamp) {
        let mut history = self.history();
        let (failing, passed) = (self.failing.load(Ordering::Relaxed), outcome.is_ok());
        history.streak = if passed == failing { history.streak.saturating_add(1) } else { 0 };
        match outcome {
            Err(why) if !failing && history.streak >= rounds.unhealthy_after => {
                (history.streak, history.failed_check) = (0, Some(Told { why, since: now }));
                self.failing.store(true, Ordering::Relaxed);
                self.log_trouble(&mut history, Standing::Failing, why, now);
            }
            Ok(()) if failing && history.streak >= rounds.healthy_after => {
                (history.streak, history.failed_check) = (0, None);
                self.back.store(now.as_micros(), Ordering::Relaxed);
                self.failing.store(false, Ordering::Relaxed);
                self.log_well(&mut history);
            }
            Ok(()) | Err(_) => {}
        }
        drop(history);
        if passed && self.until.load(Ordering::Relaxed) == UNREACHABLE {
            self.well(|| now);
        }
    }

    /// What is wrong with it at `now`, and since when.
    pub(crate) fn trouble(&self, checks: Checks, now: Timestamp) -> Option<(Standing, Trouble, Timestamp)> {
        let standing = self.standing(checks, now);
        let history = self.history();
        let told = match standing {
            Standing::Well => None,
            Standing::Failing => history.failed_check,
            Standing::Unreachable | Standing::Ejected => history.trouble,
        };
        told.map(|told| (standing, told.why, told.since))
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// Who has been well for long enough begins anew.
    fn forgive(&mut self, back: Option<Timestamp>, now: Timestamp) {
        if back.is_some_and(|back| now.since(back) > UPSTREAM_PASSED_OVER_TIME_MAX) {
            self.times = 0;
        }
    }

    /// How long it is left alone this time: twice as long each time, up to [`UPSTREAM_PASSED_OVER_TIME_MAX`].
    fn next_time(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.times);
        self.times = self.times.saturating_add(1);
        UPSTREAM_PASSED_OVER_TIME.saturating_mul(factor).min(UPSTREAM_PASSED_OVER_TIME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn fail(vital: &Vital, times: u32, now: Timestamp) {
        (0..times).for_each(|_| vital.fail(Trouble::Late, now));
    }

    #[test]
    fn what_cannot_be_connected_to_is_passed_over_until_it_can_be() {
        let vital = Vital::default();
        vital.miss(Trouble::Unreachable, at(0));
        assert_eq!(vital.standing(Checks::Absent, at(1_000)), Standing::Unreachable);
        assert!(!vital.is_trial_due(at(4)) && vital.is_trial_due(at(5)));
        vital.miss(Trouble::Unreachable, at(5));
        assert!(!vital.is_trial_due(at(14)) && vital.is_trial_due(at(15)), "the time grows");
        assert_eq!(vital.trouble(Checks::Absent, at(16)).unwrap().2, at(0), "since the first of them");
        vital.well(|| at(16));
        assert_eq!(vital.standing(Checks::Absent, at(16)), Standing::Well);
        assert_eq!((vital.back_since(), vital.is_trial_due(at(99))), (Some(at(16)), false));
    }

    #[test]
    fn only_failures_in_a_row_count_and_each_time_is_longer() {
        let vital = Vital::default();
        fail(&vital, UPSTREAM_FAILURES_MAX - 1, at(0));
        vital.well(|| at(0));
        fail(&vital, UPSTREAM_FAILURES_MAX - 1, at(0));
        assert_eq!(vital.standing(Checks::Absent, at(0)), Standing::Well);
        fail(&vital, 1, at(0));
        assert_eq!(vital.standing(Checks::Absent, at(4)), Standing::Ejected);
        vital.well(|| at(4));
        assert_eq!(vital.standing(Checks::Absent, at(4)), Standing::Ejected, "one success is not enough");
        assert_eq!(vital.standing(Checks::Absent, at(5)), Standing::Well);
        assert_eq!(vital.back_since(), Some(at(5)));
        fail(&vital, UPSTREAM_FAILURES_MAX, at(6));
        assert_eq!(vital.standing(Checks::Absent, at(15)), Standing::Ejected);
        assert_eq!(vital.standing(Checks::Absent, at(16)), Standing::Well);
        // Long enough ago not to matter any more.
        fail(&vital, UPSTREAM_FAILURES_MAX, at(1_000));
        assert_eq!(vital.standing(Checks::Absent, at(1_006)), Standing::Well);
    }

    #[test]
    fn the_time_of_being_passed_over_has_a_maximum() {
        let vital = Vital::default();
        for _ in 0..100 {
            vital.miss(Trouble::Unreachable, at(0));
        }
        assert!(vital.is_trial_due(START.plus(UPSTREAM_PASSED_OVER_TIME_MAX)));
    }

    #[test]
    fn an_upstream_that_goes_and_comes_is_logged_once_in_a_while() {
        let vital = Vital::default();
        let logged = |vital: &Vital| vital.history().logged;
        vital.miss(Trouble::Unreachable, at(0));
        vital.miss(Trouble::Unreachable, at(1));
        assert_eq!(logged(&vital), Logged::Unwell(Standing::Unreachable, at(0)));
        vital.well(|| at(2));
        assert_eq!(logged(&vital), Logged::Well(Standing::Unreachable, at(0)));
        vital.miss(Trouble::Unreachable, at(3));
        vital.well(|| at(4));
        assert_eq!(logged(&vital), Logged::Well(Standing::Unreachable, at(0)), "just told");
        fail(&vital, UPSTREAM_FAILURES_MAX, at(5));
        assert_eq!(logged(&vital), Logged::Unwell(Standing::Ejected, at(5)), "something else");
        let later = (UPSTREAM_TELL_TIME + UPSTREAM_PASSED_OVER_TIME_MAX).as_secs() + 9;
        vital.well(|| at(later));
        fail(&vital, UPSTREAM_FAILURES_MAX, at(later));
        assert_eq!(logged(&vital), Logged::Unwell(Standing::Ejected, at(later)));
    }

    #[test]
    fn checks_change_how_it_stands_after_so_many_in_a_row() {
        let (vital, rounds) = (Vital::default(), Rounds { unhealthy_after: 3, healthy_after: 2 });
        let bad = Err(Trouble::Status(StatusCode::INTERNAL_SERVER_ERROR));
        let failing = || vital.standing(Checks::Count, at(9)) == Standing::Failing;
        for (outcome, expected) in [
            (bad, false),
            (bad, false),
            (Ok(()), false),
            (bad, false),
            (bad, false),
            (bad, true),
            (Ok(()), true),
            (bad, true),
            (Ok(()), true),
            (Ok(()), false),
        ] {
            vital.checked(outcome, rounds, at(9));
            assert_eq!(failing(), expected);
        }
        for _ in 0..3 {
            vital.checked(bad, rounds, at(9));
        }
        assert_eq!(vital.standing(Checks::Absent, at(9)), Standing::Well, "an API without checks has none");
    }
}
