//! Limits: the stage that counts a request against its API and its role, and holds its place while it lasts.
//!
//! The arithmetic is `access::limit`; here is where the numbers are kept: one atomic for each API, and a
//! bounded table for roles that state a rate. A request of a role without a rate touches no lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::authorize::Authorized;
use access::limit::Rate;
use access::{Reason, Refused, Timestamp};

use crate::bounds::BUCKETS_MAX;
use crate::picture::{Forward, Kept, Picture};

/// A request that its limits let through. Proof that it was counted.
#[derive(Debug)]
pub(crate) struct Counted<'v, 'a> {
    authorized: Authorized<'v, 'a>,
    slot: Slot,
}

impl<'v, 'a> Counted<'v, 'a> {
    pub(crate) fn into_parts(self) -> (Authorized<'v, 'a>, Slot) {
        (self.authorized, self.slot)
    }
}

/// A place among the requests of an API that are under way; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Kept>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(kept) = &self.0 {
            kept.under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

type Buckets = BTreeMap<(Box<str>, Box<str>), u64>;

/// The buckets of one node, shared by its cores.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// By role and subject; nanoseconds since the epoch at which the bucket is empty again.
    roles: Mutex<Buckets>,
}

impl Limits {
    /// Counts a request.
    ///
    /// # Errors
    /// `rate_limited` or `overloaded`, with when to come back.
    pub(crate) fn take<'v, 'a>(
        &self,
        authorized: Authorized<'v, 'a>,
        picture: &Picture,
    ) -> Result<Counted<'v, 'a>, Refused> {
        let forward = picture.forward(authorized.api_index()).ok_or_else(|| unreachable_api(&authorized))?;
        match self.take_all(&authorized, forward) {
            Ok(slot) => Ok(Counted { authorized, slot }),
            Err(refused) => Err(refused.knowing(authorized.known())),
        }
    }

    fn take_all(&self, authorized: &Authorized<'_, '_>, forward: &Forward) -> Result<Slot, Refused> {
        let slot = take_slot(forward)?;
        let now = authorized.arrival().at;
        if let Some(rate) = authorized.view().policy.role_rate(authorized.role()) {
            self.take_role(authorized, rate, now)?;
        }
        if let Some(rate) = authorized.api().and_then(|api| api.rate) {
            take_shared(&forward.kept.bucket, rate, now).map_err(|wait| limited("this API", rate, wait))?;
        }
        Ok(slot)
    }

    fn take_role(&self, authorized: &Authorized<'_, '_>, rate: Rate, now: Timestamp) -> Result<(), Refused> {
        let subject = authorized.holder().subject.to_string();
        let key = (authorized.role().as_str().into(), subject.into());
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        if roles.len() >= BUCKETS_MAX && !roles.contains_key(&key) {
            let present = u64::try_from(now.as_micros()).unwrap_or(0).saturating_mul(1_000);
            roles.retain(|_, empty_at| *empty_at > present);
        }
        if roles.len() >= BUCKETS_MAX && !roles.contains_key(&key) {
            return Err(overloaded("the table of limits is full"));
        }
        let bucket = roles.entry(key).or_insert(0);
        *bucket = rate.take(*bucket, now).map_err(|wait| limited("your role", rate, wait))?;
        Ok(())
    }
}

fn take_slot(forward: &Forward) -> Result<Slot, Refused> {
    let Some(most) = forward.concurrency else {
        return Ok(Slot(None));
    };
    let kept = &forward.kept;
    let taken = kept.under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
        (taken < most).then(|| taken.saturating_add(1))
    });
    match taken {
        Ok(_) => Ok(Slot(Some(kept.clone()))),
        Err(_) => Err(overloaded("as many requests of this API are under way as it takes at once")),
    }
}

fn take_shared(bucket: &AtomicU64, rate: Rate, now: Timestamp) -> Result<(), Duration> {
    let mut wait = Duration::ZERO;
    let taken =
        bucket.fetch_update(Ordering::AcqRel, Ordering::Acquire, |bucket| match rate.take(bucket, now) {
            Ok(next) => Some(next),
            Err(longer) => {
                wait = longer;
                None
            }
        });
    taken.map(|_| ()).map_err(|_| wait)
}

fn limited(whose: &str, rate: Rate, wait: Duration) -> Refused {
    Refused::because(Reason::RateLimited, format!("more than {rate} requests, which is what {whose} allows"))
        .next("wait as long as `Retry-After` says")
        .retry_after(wait, Some(rate))
}

fn unreachable_api(authorized: &Authorized<'_, '_>) -> Refused {
    Refused::because(Reason::UpstreamUnreachable, "this API has no upstream").knowing(authorized.known())
}

fn overloaded(detail: &'static str) -> Refused {
    Refused::because(Reason::Overloaded, detail)
        .next("wait as long as `Retry-After` says")
        .retry_after(Duration::from_secs(1), None)
}
