//! Alarms: coarse deadlines for everything a core waits for, at the price of one store each.
//!
//! A timer of the runtime for each wait would cost more than the wait's own bookkeeping. Here a deadline is a
//! number in a cell; one task per core looks at all of them every [`ALARM_TICK`] and wakes those that are due.
//! An alarm goes off at its time or up to two ticks later, never before.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::bounds::ALARM_TICK;

/// A number of ticks; the wide type never runs out.
type Tick = u64;

/// Set to no deadline.
const NEVER: Tick = Tick::MAX;

/// The alarms of one core. Bounded by its connections and streams.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    now: Cell<Tick>,
    all: RefCell<Slab<Rc<Bell>>>,
    filled: Notify,
}

#[derive(Debug)]
struct Bell {
    due: Cell<Tick>,
    /// Whatever it is set to, it goes off by then.
    limit: Cell<Tick>,
    waker: RefCell<Option<Waker>>,
}

/// One deadline, of a connection or a stream; used for one wait after the other.
#[derive(Debug)]
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    key: usize,
    bell: Rc<Bell>,
}

impl Alarms {
    /// A new alarm that is not set.
    pub(crate) fn alarm(self: &Rc<Self>) -> Rc<Alarm> {
        let bell =
            Rc::new(Bell { due: Cell::new(NEVER), limit: Cell::new(NEVER), waker: RefCell::new(None) });
        let mut all = self.all.borrow_mut();
        let key = all.insert(bell.clone());
        if all.len() == 1 {
            self.filled.notify_one();
        }
        Rc::new(Alarm { alarms: self.clone(), key, bell })
    }

    /// Wakes everybody who waits, due or not: something that all of them look at has changed.
    pub(crate) fn wake_all(&self) {
        self.wake_where(|_| true);
    }

    /// Has so much time pass at once.
    #[cfg(test)]
    pub(crate) fn advance(&self, by: Duration) {
        let ticks = Tick::try_from(by.as_millis() / ALARM_TICK.as_millis()).unwrap();
        self.now.set(self.now.get() + ticks);
    }

    /// Lets the alarms go off, for as long as it is polled; calls `also` at each tick.
    pub(crate) async fn ring(&self, mut also: impl FnMut() -> Rest) {
        let mut ticks = tokio::time::interval(ALARM_TICK);
        // A tick that comes late does not make the next ones late.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            if also() == Rest::Yes && self.all.borrow().is_empty() {
                self.filled.notified().await;
                ticks.reset();
            }
            ticks.tick().await;
            let now = self.now.get().saturating_add(1);
            self.now.set(now);
            self.wake_where(|bell| bell.due.get() <= now);
        }
    }

    fn wake_where(&self, whether: impl Fn(&Bell) -> bool) {
        let all = self.all.borrow();
        for (_, bell) in all.iter().filter(|(_, bell)| whether(bell)) {
            // Waking only puts a task into the queue of this thread: it runs none.
            if let Some(waker) = bell.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }
}

/// Whether the clock may stand still while there are no alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Yes,
    No,
}

impl Alarm {
    /// Goes off `after` from now, whatever it was set to, or at its limit.
    pub(crate) fn set(&self, after: Duration) {
        self.bell.due.set(self.tick_in(after).min(self.bell.limit.get()));
    }

    /// Does not go off until it is set again, or at its limit.
    pub(crate) fn stop(&self) {
        self.bell.due.set(self.bell.limit.get());
    }

    /// Goes off `after` from now at the latest, however often it is set before.
    pub(crate) fn limit(&self, after: Duration) {
        self.bell.limit.set(self.tick_in(after));
        self.stop();
    }

    /// Has no limit any more, and does not go off until it is set again.
    pub(crate) fn lift_limit(&self) {
        self.bell.limit.set(NEVER);
        self.stop();
    }

    /// Whether its limit has come.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.bell.limit.get() <= self.alarms.now.get()
    }

    fn tick_in(&self, after: Duration) -> Tick {
        let ticks = after.as_millis().div_ceil(ALARM_TICK.as_millis());
        // The present tick is under way already.
        let ticks = Tick::try_from(ticks).unwrap_or(NEVER).saturating_add(1);
        self.alarms.now.get().saturating_add(ticks)
    }

    /// How long the alarms of this core have rung: as coarse as they are, and it stands still while there are none.
    pub(crate) fn now(&self) -> Duration {
        ALARM_TICK.saturating_mul(u32::try_from(self.alarms.now.get()).unwrap_or(u32::MAX))
    }

    /// Ready once the alarm is due. Remembers the last waker only: one task at a time may wait.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.bell.due.get() <= self.alarms.now.get() {
            return Poll::Ready(());
        }
        let mut waker = self.bell.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.all.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    /// Polls `waits` while the alarms ring.
    fn run<T>(alarms: &Alarms, waits: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut ringing = pin!(alarms.ring(|| Rest::Yes));
            let mut waits = pin!(waits);
            poll_fn(|cx| {
                let _ = ringing.as_mut().poll(cx);
                waits.as_mut().poll(cx)
            })
            .await
        })
    }

    #[test]
    fn an_alarm_goes_off_and_not_before_its_time() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.alarm();
        let waited = run(&alarms, async {
            let began = tokio::time::Instant::now();
            alarm.set(Duration::from_millis(120));
            poll_fn(|cx| alarm.poll(cx)).await;
            began.elapsed()
        });
        assert!(waited >= Duration::from_millis(120), "{waited:?}");
    }

    #[test]
    fn an_alarm_that_was_stopped_or_set_anew_does_not_go_off_at_its_old_time() {
        let alarms = Rc::new(Alarms::default());
        let (stopped, later, own) = (alarms.alarm(), alarms.alarm(), alarms.alarm());
        for alarm in [&stopped, &later] {
            alarm.set(Duration::ZERO);
        }
        stopped.stop();
        later.set(Duration::from_secs(3_600));
        run(&alarms, async {
            own.set(ALARM_TICK * 2);
            poll_fn(|cx| own.poll(cx)).await;
            let waits = poll_fn(|cx| Poll::Ready((stopped.poll(cx), later.poll(cx)))).await;
            assert_eq!(waits, (Poll::Pending, Poll::Pending));
        });
        drop((stopped, later, own));
        assert!(alarms.all.borrow().is_empty());
    }

    #[test]
    fn an_alarm_with_a_limit_goes_off_by_then_whatever_it_is_set_to() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.alarm();
        run(&alarms, async {
            alarm.limit(ALARM_TICK * 2);
            alarm.set(Duration::from_secs(3_600));
            alarm.stop();
            poll_fn(|cx| alarm.poll(cx)).await;
            assert!(alarm.is_at_limit());
            alarm.lift_limit();
            let lifted = poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await;
            assert_eq!((lifted, alarm.is_at_limit()), (Poll::Pending, false));
        });
    }
}
