//! Slices, and the few statistics that a table needs.

use super::proxy::Proxy;
use super::scenario::Scenario;
use super::usage::Cpu;

/// One round: a slice for each proxy, in their order.
pub(crate) type Round = Vec<(Proxy, Slice)>;

/// All rounds of a scenario.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rounds: Vec<Round>,
}

impl Measured {
    /// The figure of a proxy, over the rounds.
    pub(crate) fn spread(&self, proxy: Proxy, figure: impl Fn(&Slice) -> f64) -> Spread {
        Spread::of(self.rounds.iter().filter_map(|round| slice(round, proxy)).map(figure))
    }

    /// The figure of `of` over that of `over`, divided inside each round; nothing when either was not measured.
    pub(crate) fn ratio(&self, of: Proxy, over: Proxy, figure: impl Fn(&Slice) -> f64) -> Option<Spread> {
        let divided = |round: &Round| Some(figure(slice(round, of)?) / figure(slice(round, over)?));
        let ratios: Option<Vec<f64>> = self.rounds.iter().map(divided).collect();
        ratios.filter(|ratios| !ratios.is_empty()).map(Spread::of)
    }
}

fn slice(round: &Round, proxy: Proxy) -> Option<&Slice> {
    round.iter().find(|(name, _)| *name == proxy).map(|(_, slice)| slice)
}

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

    pub(crate) fn p50_ms(&self) -> f64 {
        self.p50_us / 1e3
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.p99_us / 1e3
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

    use super::super::scenario::SCENARIOS;
    use super::*;

    fn round(nginx: u64, write: u64) -> Round {
        let slice = |ms| Slice {
            requests: 50_000,
            seconds: 2.0,
            cpu: Cpu { user: Duration::from_millis(ms), system: Duration::ZERO },
            p50_us: 1500.0,
            p99_us: 2500.0,
        };
        vec![(Proxy::Nginx, slice(nginx)), (Proxy::Write, slice(write))]
    }

    #[test]
    fn the_ratio_is_taken_inside_each_round() {
        // The machine was twice as slow in the second round; the ratio does not care.
        let rounds = vec![round(1000, 1100), round(2000, 2200), round(1000, 1300)];
        let measured = Measured { scenario: &SCENARIOS[0], rounds };
        let ratio = |of, over| measured.ratio(of, over, Slice::cpu_us);
        assert_eq!(ratio(Proxy::Write, Proxy::Nginx), Some(Spread { median: 1.1, min: 1.1, max: 1.3 }));
        assert_eq!(ratio(Proxy::Nginx, Proxy::Nginx).unwrap().median, 1.0);
        assert_eq!(ratio(Proxy::Write, Proxy::Envoy), None);
        assert_eq!(measured.spread(Proxy::Write, Slice::cpu_us).median, 26.0);
    }

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
