//! Rates, and the arithmetic that holds requests to them.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): one number per bucket, the time at which the
//! bucket would be empty again. Not here: where the numbers are kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// So many requests in a unit of time, with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    count: u32,
    unit: Unit,
    burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
        }
    }

    const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// Why a text is not a rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a rate: write a number from 1 to 1000000, `/` and `s`, `m`, `h` or `d`, like `500/s` or `60/m`"
)]
pub struct NotARate(String);

impl Rate {
    const COUNT_MAX: u32 = 1_000_000;

    /// So many in a second, and so many at once; none of either is one.
    #[must_use]
    pub const fn per_second(count: u32, burst: u32) -> Self {
        let (count, burst) = (if count == 0 { 1 } else { count }, if burst == 0 { 1 } else { burst });
        Self { count, unit: Unit::Second, burst }
    }

    /// The same rate with another burst; a burst of zero stays one.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst: burst.clamp(1, Self::COUNT_MAX), ..self }
    }

    /// How many requests are allowed in the unit.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The unit, in seconds.
    #[must_use]
    pub const fn window_seconds(self) -> u32 {
        self.unit.seconds()
    }

    /// How many requests may come at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Time between two requests at exactly this rate, in nanoseconds.
    fn interval_ns(self) -> u64 {
        u64::from(self.unit.seconds()) * 1_000_000_000 / u64::from(self.count)
    }

    /// Takes one request from a bucket.
    ///
    /// `bucket` is the bucket's state, in nanoseconds since the epoch: when it would be empty; 0 for a new one.
    ///
    /// # Errors
    /// How long to wait, when the bucket is full; its state then stays as it was.
    pub fn take(self, bucket: u64, now: Timestamp) -> Result<u64, Duration> {
        let now = u64::try_from(now.as_micros()).unwrap_or(0).saturating_mul(1_000);
        let interval = self.interval_ns();
        let tolerance = interval.saturating_mul(u64::from(self.burst.saturating_sub(1)));
        let earliest = bucket.saturating_sub(tolerance);
        if earliest > now {
            return Err(Duration::from_nanos(earliest.saturating_sub(now)));
        }
        Ok(bucket.max(now).saturating_add(interval))
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let parse = || {
            let (count, unit) = text.split_once('/')?;
            let unit = match unit {
                "s" => Unit::Second,
                "m" => Unit::Minute,
                "h" => Unit::Hour,
                "d" => Unit::Day,
                _ => return None,
            };
            let digits = count.bytes().all(|byte| byte.is_ascii_digit());
            let count = count.parse().ok().filter(|count| digits && (1..=Self::COUNT_MAX).contains(count))?;
            Some(Self { count, unit, burst: (count / unit.seconds()).max(1) })
        };
        parse().ok_or_else(|| NotARate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.letter())
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    rate: String,
    burst: u32,
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { rate: self.to_string(), burst: self.burst }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let rate: Self = written.rate.parse().map_err(serde::de::Error::custom)?;
        Ok(rate.with_burst(written.burst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_allows_a_burst_of_one_seconds_worth() {
        assert_eq!("500/s".parse::<Rate>().unwrap().burst(), 500);
        assert_eq!("60/m".parse::<Rate>().unwrap().burst(), 1);
        assert_eq!("600/m".parse::<Rate>().unwrap().burst(), 10);
        for text in ["", "5", "5/", "0/s", "-1/s", "+1/s", "5/w", "5 / s", "1000001/s", "1.5/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text} was accepted");
        }
    }

    proptest! {
        /// Over any window, no more pass than the burst and the rate together allow, in whole numbers: beyond
        /// the burst each takes its share of a second, less the nanosecond that the share is rounded by.
        #[test]
        fn no_window_lets_more_through_than_burst_and_rate(
            count in 1_u32..2_000, burst in 1_u32..50, steps in proptest::collection::vec(0_u64..5_000, 1..300)
        ) {
            let rate: Rate = format!("{count}/s").parse::<Rate>().unwrap().with_burst(burst);
            let (mut bucket, mut now, mut passed) = (0, 1_000_000_u64, Vec::new());
            for step in steps {
                now += step;
                if let Ok(next) = rate.take(bucket, Timestamp::from_micros(now as i64)) {
                    bucket = next;
                    passed.push(now);
                }
            }
            let (count, burst) = (u64::from(count), burst as usize);
            for (first, from) in passed.iter().enumerate() {
                for (beyond, until) in (1_u64..).zip(passed.iter().skip(first + burst)) {
                    let earned = (until - from) * 1_000 * count;
                    prop_assert!(beyond * (1_000_000_000 - count) <= earned, "{beyond} too many in {}", until - from);
                }
            }
        }

        /// A new bucket lets exactly its burst through at one instant.
        #[test]
        fn a_burst_is_let_through_whole_and_no_more(count in 1_u32..=1_000_000, burst in 1_u32..500) {
            let rate: Rate = format!("{count}/s").parse::<Rate>().unwrap().with_burst(burst);
            let now = Timestamp::from_micros(1_000_000);
            let mut bucket = 0;
            for _ in 0..burst {
                bucket = rate.take(bucket, now).unwrap();
            }
            prop_assert!(rate.take(bucket, now).is_err());
        }

        /// Who waits as long as told is let through.
        #[test]
        fn waiting_as_long_as_told_is_enough(count in 1_u32..2_000, burst in 1_u32..5) {
            let rate: Rate = format!("{count}/s").parse::<Rate>().unwrap().with_burst(burst);
            let now = Timestamp::from_micros(1_000_000);
            let mut bucket = 0;
            let wait = loop {
                match rate.take(bucket, now) {
                    Ok(next) => bucket = next,
                    Err(wait) => break wait,
                }
            };
            prop_assert!(rate.take(bucket, now.plus(wait + Duration::from_micros(1))).is_ok());
        }
    }
}
