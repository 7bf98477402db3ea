//! Counters of what came of requests: per API, by reason, status class and time. Labels are bounded: no user,
//! no path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::Reason;

/// Upper bounds of the buckets of request durations, in microseconds.
const BUCKETS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// What came of the requests of one API.
#[derive(Debug, Default)]
pub struct ApiMeter {
    /// Answers of the upstream by status class; 0 holds what has no class.
    classes: [AtomicU64; 6],
    reasons: Reasons,
    abandoned: AtomicU64,
    durations: [AtomicU64; BUCKETS_US.len() + 1],
    duration_us: AtomicU64,
}

#[derive(Debug)]
struct Reasons(Box<[AtomicU64]>);

impl Default for Reasons {
    fn default() -> Self {
        Self(Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

/// What a meter shows at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Answers of the upstream: class of the status (1 to 5) and how many.
    pub answered: Vec<(usize, u64)>,
    /// Refusals and failures: reason and how many, those that happened.
    pub reasons: Vec<(Reason, u64)>,
    /// Requests whose client left before their end.
    pub abandoned: u64,
    /// Requests slower than the bucket before and not slower than so many seconds; the last has no bound.
    pub durations: Vec<(f64, u64)>,
    /// The sum of all durations, in seconds.
    pub duration_seconds: f64,
}

impl ApiMeter {
    /// Counts a request that the upstream answered.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        if let Some(class) = self.classes.get(usize::from(status / 100)).or_else(|| self.classes.first()) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.took(took);
    }

    /// Counts a request that was refused, or that failed.
    pub(crate) fn refused(&self, reason: Reason, took: Duration) {
        if let Some(counter) = self.reasons.0.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.took(took);
    }

    /// Counts a request whose client left before its end.
    pub(crate) fn abandoned(&self, took: Duration) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
        self.took(took);
    }

    fn took(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        if let Some(counter) = self.durations.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.duration_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it shows now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let classes = self.classes.iter().enumerate();
        let answered = classes.map(|(class, count)| (class, count.load(Ordering::Relaxed)));
        let reasons = Reason::ALL
            .iter()
            .zip(&self.reasons.0)
            .map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)));
        let bounds = BUCKETS_US.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let durations =
            bounds.zip(&self.durations).map(|(bound, count)| (bound, count.load(Ordering::Relaxed)));
        Reading {
            answered: answered.filter(|(_, count)| *count > 0).collect(),
            reasons: reasons.filter(|(_, count)| *count > 0).collect(),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            durations: durations.collect(),
            duration_seconds: self.duration_us.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_shows_what_happened() {
        let meter = ApiMeter::default();
        meter.answered(204, Duration::from_micros(100));
        meter.refused(Reason::ApiUnknown, Duration::from_secs(60));
        meter.abandoned(Duration::from_micros(1));
        let reading = meter.read();
        assert_eq!(reading.answered, [(2, 1)]);
        assert_eq!(reading.reasons, [(Reason::ApiUnknown, 1)]);
        assert_eq!(reading.abandoned, 1);
        assert_eq!(reading.durations.first(), Some(&(0.0001, 2)));
        assert_eq!(reading.durations.last(), Some(&(f64::INFINITY, 1)));
    }
}
