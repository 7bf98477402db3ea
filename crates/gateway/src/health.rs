//! Which upstreams are passed over for a while, because they could not be connected to.
//!
//! An upstream that is passed over is still tried when no other takes the request: being wrong about it costs time,
//! never an answer. Not here: asking upstreams how they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use access::Timestamp;

use crate::bounds::{UPSTREAM_PASSED_OVER_TIME, UPSTREAMS_MAX};
use crate::picture::Upstream;

/// What one core knows of upstreams, by place.
#[derive(Debug, Default)]
pub(crate) struct Health(RefCell<BTreeMap<Arc<str>, Timestamp>>);

impl Health {
    /// It could not be connected to at `now`.
    pub(crate) fn miss(&self, place: &Arc<str>, now: Timestamp) {
        let mut missed = self.0.borrow_mut();
        missed.retain(|_, until| now < *until);
        missed.insert(place.clone(), now.plus(UPSTREAM_PASSED_OVER_TIME));
    }

    /// It took a request.
    pub(crate) fn hit(&self, place: &str) {
        let mut missed = self.0.borrow_mut();
        if !missed.is_empty() {
            missed.remove(place);
        }
    }

    /// Where to try a request: from `turn` on and around, those that are passed over at `now` last.
    pub(crate) fn order(&self, places: &[Upstream], turn: usize, now: Timestamp) -> Order {
        let missed = self.0.borrow();
        let mut passed_over = 0;
        if !missed.is_empty() {
            for (at, upstream) in places.iter().take(UPSTREAMS_MAX).enumerate() {
                let is_missed = missed.get(&*upstream.place).is_some_and(|until| now < *until);
                passed_over |= u64::from(is_missed) << at;
            }
        }
        Order { turn, count: places.len().min(UPSTREAMS_MAX), passed_over, step: 0 }
    }
}

/// Places in the order to be tried, as it was at one time: each once.
#[derive(Debug)]
pub(crate) struct Order {
    turn: usize,
    count: usize,
    /// A bit for each place.
    passed_over: u64,
    step: usize,
}

impl Iterator for Order {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // Two rounds, of which each skips what the other takes.
        while self.step < self.count.saturating_mul(2) {
            let at = self.turn.wrapping_add(self.step).checked_rem(self.count)?;
            let is_last_round = self.step >= self.count;
            self.step = self.step.saturating_add(1);
            if (self.passed_over >> at & 1 == 1) == is_last_round {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::Protocol;

    fn upstreams(count: usize) -> Vec<Upstream> {
        let named = |at| Upstream::new(Protocol::Http1, "a", &format!("a:{at}"), String::new(), None);
        (0..count).map(named).collect()
    }

    #[test]
    fn what_could_not_be_connected_to_is_tried_last_for_a_while() {
        let (health, upstreams, now) = (Health::default(), upstreams(3), Timestamp::EPOCH);
        let order = |now| health.order(&upstreams, 4, now).collect::<Vec<_>>();
        assert_eq!(order(now), [1, 2, 0]);
        health.miss(&upstreams[2].place, now);
        health.miss(&upstreams[1].place, now);
        assert_eq!(order(now), [0, 1, 2]);
        health.hit(&upstreams[1].place);
        assert_eq!(order(now), [1, 0, 2]);
        assert_eq!(order(now.plus(UPSTREAM_PASSED_OVER_TIME)), [1, 2, 0]);
    }

    proptest! {
        #[test]
        fn every_upstream_comes_once_and_those_passed_over_come_last(
            count in 0_usize..65, turn: usize, missed in prop::collection::vec(0_usize..64, 0..64),
        ) {
            let (health, upstreams) = (Health::default(), upstreams(count));
            for at in missed.iter().filter(|at| **at < count) {
                health.miss(&upstreams[*at].place, Timestamp::EPOCH);
            }
            let order: Vec<_> = health.order(&upstreams, turn, Timestamp::EPOCH).collect();
            let mut each = order.clone();
            each.sort_unstable();
            prop_assert_eq!(each, (0..count).collect::<Vec<_>>());
            prop_assert!(order.is_sorted_by_key(|at| missed.contains(at)));
        }
    }
}
