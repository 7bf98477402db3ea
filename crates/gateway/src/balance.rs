//! Which endpoint a request goes to: of two that are drawn, the one that would have it sooner.
//!
//! How soon is judged by how long answers took to begin lately (a peak-sensitive moving average) times the requests in
//! flight, as this core alone sees it: nothing here is shared or locked. An endpoint that is back gets its share little
//! by little. An API with one endpoint pays for none of this.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::Timestamp;

use crate::bounds::{LOADS_MAX, UPSTREAM_LATENCY_DECAY_TIME, UPSTREAM_SLOW_START_TIME, UPSTREAMS_MAX};
use crate::endpoint::Endpoint;
use crate::health::{Checks, Standing};

/// The least share of an endpoint that is just back.
const SHARE_MIN: f64 = 0.1;

/// What one core has under way, by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Loads(RefCell<BTreeMap<u64, Rc<Load>>>);

#[derive(Debug, Default)]
struct Load {
    in_flight: Cell<u32>,
    /// How long answers took to begin, in microseconds, when one last did; `None` before the first.
    took: Cell<Option<(f64, Timestamp)>>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Load>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

impl InFlight {
    /// Its answer began at `now`, after it was sent at `sent`. Slower than before counts at once, faster little by
    /// little.
    pub(crate) fn answered(&self, sent: Timestamp, now: Timestamp) {
        let sample = now.since(sent).as_micros() as f64;
        let next = match self.0.took.get() {
            Some((before, at)) if sample < before => {
                let kept = decay(now.since(at));
                before * kept + sample * (1.0 - kept)
            }
            _ => sample,
        };
        self.0.took.set(Some((next, now)));
    }
}

/// How much of an average is left after so long.
fn decay(after: Duration) -> f64 {
    (-after.as_secs_f64() / UPSTREAM_LATENCY_DECAY_TIME.as_secs_f64()).exp()
}

impl Loads {
    /// One more request is on its way there.
    pub(crate) fn begin(&self, endpoint: &Endpoint) -> InFlight {
        let mut loads = self.0.borrow_mut();
        if loads.len() >= LOADS_MAX && !loads.contains_key(&endpoint.id) {
            loads.retain(|_, load| load.in_flight.get() > 0);
        }
        let load = loads.entry(endpoint.id).or_default();
        load.in_flight.set(load.in_flight.get().saturating_add(1));
        InFlight(load.clone())
    }

    fn of(&self, endpoint: &Endpoint) -> Option<Rc<Load>> {
        self.0.borrow().get(&endpoint.id).cloned()
    }

    /// Whether a request is better off with `one` than with the `other`.
    fn is_better(&self, one: &Endpoint, other: &Endpoint, now: Timestamp) -> bool {
        let (one_load, other_load) = (self.of(one), self.of(other));
        let (mut one_cost, mut other_cost) =
            (queue(one_load.as_deref()) / share(one, now), queue(other_load.as_deref()) / share(other, now));
        // Of whom nothing is known yet is taken to be as fast as the other.
        if let (Some(one), Some(other)) = (took(one_load.as_deref(), now), took(other_load.as_deref(), now)) {
            one_cost *= one;
            other_cost *= other;
        }
        one_cost < other_cost
    }
}

fn queue(load: Option<&Load>) -> f64 {
    f64::from(load.map_or(0, |load| load.in_flight.get())) + 1.0
}

/// One that was slow is tried again some day: what is known of it fades.
fn took(load: Option<&Load>, now: Timestamp) -> Option<f64> {
    let (took, at) = load?.took.get()?;
    Some(took * decay(now.since(at)))
}

/// How much of its share an endpoint gets: one that is back, more and more over [`UPSTREAM_SLOW_START_TIME`].
fn share(endpoint: &Endpoint, now: Timestamp) -> f64 {
    let Some(back) = endpoint.vital.back_since() else { return 1.0 };
    let grown = now.since(back).as_secs_f64() / UPSTREAM_SLOW_START_TIME.as_secs_f64();
    grown.clamp(SHARE_MIN, 1.0)
}

/// Endpoints that are still to be tried for one request, a bit for each: each once, those passed over last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidates {
    well: u64,
    passed_over: u64,
    failing: u64,
}

/// How many of these may be passed over for their answers.
pub(crate) const fn most_ejected(endpoints: &[Arc<Endpoint>]) -> usize {
    endpoints.len() / 2
}

const _: () = assert!(UPSTREAMS_MAX <= u64::BITS as usize, "each endpoint has a bit");

impl Candidates {
    /// Of these endpoints, as they stand at `now`. Of those that failed requests no more than half of all are passed
    /// over: when most fail, it is not the one that is asked.
    pub(crate) fn of(endpoints: &[Arc<Endpoint>], checks: Checks, now: Timestamp) -> Self {
        let mut candidates = Self { well: 0, passed_over: 0, failing: 0 };
        if let ([_], Checks::Absent) = (endpoints, checks) {
            return Self { well: 1, ..candidates };
        }
        let mut ejectable = most_ejected(endpoints);
        for (at, endpoint) in endpoints.iter().take(UPSTREAMS_MAX).enumerate() {
            let set = match endpoint.vital.standing(checks, now) {
                Standing::Well => &mut candidates.well,
                Standing::Unreachable => &mut candidates.passed_over,
                Standing::Failing => &mut candidates.failing,
                Standing::Ejected if ejectable == 0 => &mut candidates.well,
                Standing::Ejected => {
                    ejectable = ejectable.saturating_sub(1);
                    &mut candidates.passed_over
                }
            };
            *set |= 1 << at;
        }
        candidates
    }

    /// Whether there are some, and all of them fail their checks.
    pub(crate) const fn all_fail(self) -> bool {
        self.well == 0 && self.passed_over == 0 && self.failing != 0
    }

    /// Those that fail their checks are to be tried, too.
    pub(crate) const fn try_failing(&mut self) {
        self.passed_over |= self.failing;
        self.failing = 0;
    }

    /// The next to try, which is none any more afterwards.
    pub(crate) fn next(
        &mut self,
        endpoints: &[Arc<Endpoint>],
        loads: &Loads,
        random: &mut fastrand::Rng,
        now: Timestamp,
    ) -> Option<usize> {
        if let Some(at) = self.next_well(endpoints, loads, random, now) {
            return Some(at);
        }
        let at = drawn(self.passed_over, random)?;
        self.passed_over &= !(1 << at);
        Some(at)
    }

    /// The next to try of those that are well.
    pub(crate) fn next_well(
        &mut self,
        endpoints: &[Arc<Endpoint>],
        loads: &Loads,
        random: &mut fastrand::Rng,
        now: Timestamp,
    ) -> Option<usize> {
        let one = drawn(self.well, random)?;
        let at = match drawn(self.well & !(1 << one), random) {
            Some(other) => match (endpoints.get(one), endpoints.get(other)) {
                (Some(first), Some(second)) if loads.is_better(second, first, now) => other,
                _ => one,
            },
            None => one,
        };
        self.well &= !(1 << at);
        Some(at)
    }
}

/// One of the bits that are set; without a random number where there is one only.
fn drawn(set: u64, random: &mut fastrand::Rng) -> Option<usize> {
    let mut left = set;
    let skipped = match set.count_ones() {
        0 => return None,
        1 => 0,
        several => random.u32(..several),
    };
    for _ in 0..skipped {
        left &= left.wrapping_sub(1);
    }
    usize::try_from(left.trailing_zeros()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bounds::UPSTREAM_FAILURES_MAX;
    use crate::endpoint::Endpoints;
    use crate::health::{Rounds, Trouble};
    use crate::picture::{Protocol, Reach, Upstream};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn endpoints(count: usize) -> Vec<Arc<Endpoint>> {
        let reach = |at| Reach::Address(std::net::SocketAddr::from(([192, 0, 2, 1], at)));
        let upstream = |at| Upstream::new(Protocol::Http1, "a", reach(at), String::new(), None);
        let upstreams = (0..count).map(|at| upstream(u16::try_from(at).unwrap())).collect();
        Endpoints::new(upstreams, None).now().to_vec()
    }

    fn eject(endpoint: &Endpoint, now: Timestamp) {
        (0..UPSTREAM_FAILURES_MAX).for_each(|_| endpoint.vital.fail(Trouble::Late, now));
    }

    fn all(mut candidates: Candidates, endpoints: &[Arc<Endpoint>], loads: &Loads) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::from_fn(|| candidates.next(endpoints, loads, &mut random, NOW)).collect()
    }

    /// How often each of two is chosen first.
    fn chosen(endpoints: &[Arc<Endpoint>], loads: &Loads, now: Timestamp) -> [u32; 2] {
        let (mut random, mut count) = (fastrand::Rng::with_seed(7), [0, 0]);
        for _ in 0..1_000 {
            let mut candidates = Candidates::of(endpoints, Checks::Absent, now);
            count[candidates.next(endpoints, loads, &mut random, now).unwrap()] += 1;
        }
        count
    }

    #[test]
    fn the_one_that_would_answer_sooner_is_chosen() {
        let (endpoints, loads) = (endpoints(2), Loads::default());
        let [first, second] = chosen(&endpoints, &loads, NOW);
        assert!(first.abs_diff(second) < 150, "alike, both get the same: {first} and {second}");
        let ms = Duration::from_millis;
        loads.begin(&endpoints[0]).answered(NOW.minus(ms(10)), NOW);
        loads.begin(&endpoints[1]).answered(NOW.minus(ms(1)), NOW);
        assert_eq!(chosen(&endpoints, &loads, NOW), [0, 1_000]);
        let busy: Vec<_> = (0..10).map(|_| loads.begin(&endpoints[1])).collect();
        assert_eq!(chosen(&endpoints, &loads, NOW), [1_000, 0], "eleven at 1 ms are slower than one at 10");
        drop(busy);
        assert_eq!(chosen(&endpoints, &loads, NOW), [0, 1_000]);
        let later = NOW.plus(UPSTREAM_LATENCY_DECAY_TIME * 3);
        loads.begin(&endpoints[1]).answered(later.minus(ms(1)), later);
        assert_eq!(chosen(&endpoints, &loads, later), [1_000, 0], "what was slow is tried again some day");
    }

    #[test]
    fn one_that_is_back_gets_its_share_little_by_little() {
        let (endpoints, loads) = (endpoints(2), Loads::default());
        endpoints[0].vital.miss(Trouble::Unreachable, NOW.minus(Duration::from_secs(60)));
        endpoints[0].vital.well(|| NOW);
        let _nine: Vec<_> = (0..8).map(|_| loads.begin(&endpoints[1])).collect();
        assert_eq!(chosen(&endpoints, &loads, NOW), [0, 1_000], "a tenth of its share is less than a ninth");
        let half = NOW.plus(UPSTREAM_SLOW_START_TIME / 2);
        assert_eq!(chosen(&endpoints, &loads, half), [1_000, 0]);
    }

    #[test]
    fn what_fails_its_checks_is_not_tried_unless_asked() {
        let endpoints = endpoints(2);
        for endpoint in &endpoints {
            endpoint.vital.checked(Err(Trouble::Late), Rounds { unhealthy_after: 1, healthy_after: 1 }, NOW);
        }
        let mut candidates = Candidates::of(&endpoints, Checks::Count, NOW);
        assert!(candidates.all_fail());
        assert_eq!(all(candidates, &endpoints, &Loads::default()), [0; 0]);
        candidates.try_failing();
        assert_eq!(all(candidates, &endpoints, &Loads::default()).len(), 2);
        assert!(!Candidates::of(&endpoints, Checks::Absent, NOW).all_fail());
    }

    proptest! {
        #[test]
        fn every_endpoint_comes_once_and_those_passed_over_come_last(
            count in 0_usize..=UPSTREAMS_MAX,
            missed in prop::collection::vec(0_usize..64, 0..64),
            failed in prop::collection::vec(0_usize..64, 0..64),
        ) {
            let endpoints = endpoints(count);
            for at in missed.iter().filter(|at| **at < count) {
                endpoints[*at].vital.miss(Trouble::Unreachable, NOW);
            }
            for at in failed.iter().filter(|at| **at < count && !missed.contains(at)) {
                eject(&endpoints[*at], NOW);
            }
            let candidates = Candidates::of(&endpoints, Checks::Absent, NOW);
            let order = all(candidates, &endpoints, &Loads::default());
            let mut each = order.clone();
            each.sort_unstable();
            prop_assert_eq!(each, (0..count).collect::<Vec<_>>());
            let well = |at: &usize| candidates.well >> at & 1 == 1;
            prop_assert!(order.is_sorted_by_key(|at| !well(at)));
            let unreachable = |at: &usize| missed.contains(at) && count > 1;
            prop_assert!(order.iter().all(|at| !(well(at) && unreachable(at))));
            let ejected = order.iter().filter(|at| !well(at) && !unreachable(at)).count();
            prop_assert!(ejected <= count / 2, "{} of {} are ejected", ejected, count);
        }
    }
}
