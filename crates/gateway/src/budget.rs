//! How many requests of an API may be sent again: a share of all, so that a failing upstream is not asked twice as
//! much because it fails.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use access::Timestamp;

use crate::bounds::{RETRIES_PER_SECOND, RETRIES_SAVED_MAX, RETRY_PERCENT};

/// What one retry costs.
const RETRY: u32 = 100;

/// What an API has left for retries, in hundredths of one. Shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget {
    left: AtomicU32,
    /// When the share of time was last added, in microseconds since the epoch.
    filled: AtomicI64,
}

impl RetryBudget {
    /// A request came: [`RETRY_PERCENT`] of it is saved, up to [`RETRIES_SAVED_MAX`]. While nothing fails this only
    /// reads.
    pub(crate) fn earn(&self) {
        if self.left.load(Ordering::Relaxed) < RETRIES_SAVED_MAX.saturating_mul(RETRY) {
            self.left.fetch_add(RETRY_PERCENT, Ordering::Relaxed);
        }
    }

    /// Takes one retry at `now`, if there is one: of what was saved, or of [`RETRIES_PER_SECOND`].
    pub(crate) fn spend(&self, now: Timestamp) -> Spent {
        let now_us = now.as_micros();
        let last = Timestamp::from_micros(self.filled.fetch_max(now_us, Ordering::Relaxed));
        let since = now.since(last).min(Duration::from_secs(1));
        let earned = since.as_micros().saturating_mul(u128::from(RETRIES_PER_SECOND.saturating_mul(RETRY)));
        let earned = u32::try_from(earned / 1_000_000).unwrap_or(u32::MAX);
        let most = RETRIES_SAVED_MAX.saturating_mul(RETRY);
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let left = left.saturating_add(earned).min(most);
            Some(left.checked_sub(RETRY).unwrap_or(left))
        });
        match spent {
            Ok(before) if before.saturating_add(earned) >= RETRY => Spent::One,
            _ => Spent::Nothing,
        }
    }
}

/// Whether a retry was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    One,
    Nothing,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_is_sent_again_than_a_share_of_all_and_a_few_a_second(
            steps in prop::collection::vec((0_u64..3_000, 0_u32..50, 0_u32..50), 1..60),
        ) {
            let budget = RetryBudget::default();
            let start = Timestamp::from_micros(1_000_000_000_000);
            let (mut now, mut requests, mut retries) = (start, 0_u32, 0_u32);
            for (wait_ms, came, wanted) in steps {
                now = now.plus(Duration::from_millis(wait_ms));
                (0..came).for_each(|_| budget.earn());
                requests += came;
                retries += (0..wanted).filter(|_| budget.spend(now) == Spent::One).count() as u32;
            }
            let seconds = now.since(start).as_secs_f64() + 1.0;
            let most = f64::from(requests * RETRY_PERCENT) / 100.0 + f64::from(RETRIES_PER_SECOND) * seconds + 1.0;
            prop_assert!(f64::from(retries) <= most, "{} of {} requests, {} allowed", retries, requests, most);
        }
    }

    #[test]
    fn an_api_with_few_requests_has_some_every_second() {
        let (budget, now) = (RetryBudget::default(), Timestamp::from_micros(1_000_000_000_000));
        let spend = |now| (0..100).filter(|_| budget.spend(now) == Spent::One).count();
        assert_eq!(spend(now), RETRIES_PER_SECOND as usize);
        assert_eq!(spend(now), 0);
        assert_eq!(spend(now.plus(Duration::from_secs(1))), RETRIES_PER_SECOND as usize);
    }
}
