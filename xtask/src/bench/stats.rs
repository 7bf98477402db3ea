//! Slices, and the few statistics that a table needs.

use super::cpu::Cpu;

/// What one slice of load measured on one proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu: Cpu,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Slice {
    /// CPU time of the proxy per request, in µs.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.total().as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    /// Of that the part outside the kernel, in µs.
    pub(crate) fn user_us(&self) -> f64 {
        self.cpu.user.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of at least one figure; all zero of none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        Self { median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), min: at(0), max: at(last) }
    }
}

/// The `share` quantile (0 to 1) of sorted figures, by the nearest rank; 0 of none.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let figures: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (quantile(&figures, 0.5), quantile(&figures, 0.99), quantile(&figures, 1.0)),
            (50, 99, 100)
        );
        assert_eq!((quantile(&[5], 0.01), quantile(&[], 0.5)), (5, 0));
    }

    #[test]
    fn cpu_per_request_is_the_time_of_all_over_the_requests() {
        let cpu = Cpu { user: Duration::from_millis(500), system: Duration::from_millis(1500) };
        let slice = Slice { requests: 100_000, seconds: 2.0, cpu, p50_us: 0.0, p99_us: 0.0 };
        assert_eq!((slice.cpu_us(), slice.user_us(), slice.rate()), (20.0, 5.0, 50_000.0));
    }
}
