//! Instants, deadlines and durations, as types that cannot be mixed up.
//!
//! Nothing here reads a clock; [`Clock`] is the handle through which the shells bring time in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant Daypass speaks of.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, 0 for instants before it.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    /// This instant moved forward; stops at the end of time rather than wrapping.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back; stops at the start of time rather than wrapping.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-22T03:00:00.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// Why a text is not an instant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a time: write RFC 3339, like `2026-11-22T03:00:00Z`")]
pub struct NotATime(String);

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let at: jiff::Timestamp = text.parse().map_err(|_| NotATime(text.to_owned()))?;
        Ok(Self(at.as_microsecond()))
    }
}

/// The instant access ends. A grant without one cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deadline(Timestamp);

impl Deadline {
    /// The deadline `lifetime` after `start`.
    #[must_use]
    pub fn after(start: Timestamp, lifetime: Lifetime) -> Self {
        Self(start.plus(lifetime.as_duration()))
    }

    /// The deadline at an instant that is already known.
    #[must_use]
    pub const fn at(instant: Timestamp) -> Self {
        Self(instant)
    }

    /// The instant itself. Access has ended *at* this instant, not after it.
    #[must_use]
    pub const fn instant(self) -> Timestamp {
        self.0
    }

    /// Whether access has ended at `now`.
    #[must_use]
    pub fn has_passed(self, now: Timestamp) -> bool {
        now >= self.0
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long something may last: more than nothing, at most [`Lifetime::MAX`].
///
/// Written `30s`, `10m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(Duration);

/// Why a text is not a lifetime.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotALifetime {
    /// Not a whole number followed by a unit.
    #[error("`{0}` is not a duration: write a whole number and a unit, like `30s`, `10m`, `2h` or `7d`")]
    Spelling(String),
    /// Zero.
    #[error("`{0}` is no time at all: give at least one second")]
    Zero(String),
    /// Above [`Lifetime::MAX`].
    #[error("`{0}` is longer than the longest lifetime, 3650d")]
    TooLong(String),
}

impl Lifetime {
    /// Ten years of 365 days.
    pub const MAX: Self = Self(Duration::from_secs(3_650 * 86_400));

    /// A lifetime of whole seconds, if it is within bounds.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Option<Self> {
        let lifetime = Self(Duration::from_secs(seconds));
        (seconds > 0 && lifetime <= Self::MAX).then_some(lifetime)
    }

    /// The same as a plain duration.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = NotALifetime;

    fn from_str(text: &str) -> Result<Self, NotALifetime> {
        let duration = parse_duration(text).ok_or_else(|| NotALifetime::Spelling(text.to_owned()))?;
        match duration {
            Duration::ZERO => Err(NotALifetime::Zero(text.to_owned())),
            longer if longer > Self::MAX.0 => Err(NotALifetime::TooLong(text.to_owned())),
            within => Ok(Self(within)),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = [(86_400, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(size, _)| seconds.is_multiple_of(*size))
            .map_or((seconds, "s"), |(size, unit)| (seconds / size, unit));
        write!(f, "{count}{unit}")
    }
}

/// A duration written as a whole number and one unit (`ms`, `s`, `m`, `h`, `d`); `0s` is one.
///
/// `None` for any other spelling, and for what does not fit 64 bits of seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(count)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// Where the present comes from.
///
/// Must never go backwards within one process, whatever is done to the wall clock: no grant outlives its
/// time because a clock was set back.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_whole_numbers_with_one_unit() {
        for (text, seconds) in
            [("30s", 30), ("10m", 600), ("2h", 7_200), ("7d", 604_800), ("3650d", 315_360_000)]
        {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!(lifetime.as_duration().as_secs(), seconds);
            assert_eq!(lifetime.to_string().parse::<Lifetime>().unwrap(), lifetime);
        }
        for text in
            ["", "s", "1", "-1h", "1.5h", "1 h", "1h30m", "0s", "3651d", "99999999999999999999d", "1w", "１h"]
        {
            assert!(text.parse::<Lifetime>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn times_survive_their_text() {
        let at = Timestamp::from_micros(1_795_316_400_000_001);
        assert_eq!(at.to_string(), "2026-11-22T03:00:00.000001Z");
        assert_eq!(at.to_string().parse(), Ok(at));
    }

    #[test]
    fn access_has_ended_at_its_deadline_and_not_a_microsecond_before() {
        let start = Timestamp::from_micros(5);
        let deadline = Deadline::after(start, "1s".parse().unwrap());
        assert!(!deadline.has_passed(Timestamp::from_micros(1_000_004)));
        assert!(deadline.has_passed(Timestamp::from_micros(1_000_005)));
    }
}
