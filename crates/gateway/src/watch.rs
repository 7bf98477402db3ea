//! What a node finds out about upstreams by itself: the addresses of their names, whether those that could not be
//! connected to can be again, and whether they pass their checks.
//!
//! One thread per node, so that nothing of it is ever on the way of a request, and each thing is asked once however
//! many cores there are. What it finds out, requests read without locks.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::{Clock, Timestamp};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{self, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::bounds::{LOOK_UPS_MAX, NAME_RETRY_TIME, NAME_TIME, WATCH_TICK};
use crate::check::ask;
use crate::connect::connect;
use crate::endpoint::{Endpoint, Endpoints};
use crate::health::Trouble;
use crate::picture::{Forward, Picture, Upstream, Views};

/// The thread that watches upstreams; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(#[expect(dead_code, reason = "it is dropped, not used")] oneshot::Sender<()>);

impl Watch {
    /// Starts to watch the upstreams of every picture that is in force.
    pub(crate) fn start(views: Arc<Views>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let (keep, dropped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOK_UPS_MAX)
            .build()?;
        std::thread::Builder::new().name("upstreams".to_owned()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                tokio::select! {
                    () = watch(&views, &*clock) => {}
                    _ = dropped => {}
                }
            });
            drop(local);
            // A look-up that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self(keep))
    }
}

/// What is under way or was done, each by what it is about.
#[derive(Default)]
struct Rounds {
    /// When each is to be done next; `None` while it is being done.
    due: BTreeMap<Subject, Option<Timestamp>>,
    /// Each tells how long to wait until it is done again.
    under_way: JoinSet<Duration>,
    /// What each of them is about.
    subjects: HashMap<task::Id, Subject>,
}

/// What something is found out about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// By the id of the endpoints that it belongs to, and its place among their upstreams.
    Name(u64, usize),
    /// By its id.
    Endpoint(u64),
}

/// How soon something is begun anew that broke off.
const BROKEN_OFF_TIME: Duration = Duration::from_secs(1);

async fn watch(views: &Views, clock: &dyn Clock) {
    let mut ticks = tokio::time::interval(WATCH_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut rounds = Rounds::default();
    let look_ups = Rc::new(Semaphore::new(LOOK_UPS_MAX));
    loop {
        ticks.tick().await;
        let now = clock.now();
        rounds.note_done(now);
        let picture = views.latest();
        rounds.forget_all_but(&picture);
        for (at, forward) in picture.forwards.iter().enumerate() {
            rounds.look_up_names(forward, &look_ups, now);
            rounds.ask_endpoints(&picture, (at, forward), now);
        }
    }
}

impl Rounds {
    /// What has ended is due again after its pause, however it ended.
    fn note_done(&mut self, now: Timestamp) {
        while let Some(done) = self.under_way.try_join_next_with_id() {
            let (id, pause) = match done {
                Ok(done) => done,
                Err(panicked) => (panicked.id(), BROKEN_OFF_TIME),
            };
            if let Some(subject) = self.subjects.remove(&id) {
                self.due.insert(subject, Some(now.plus(pause)));
            }
        }
    }

    fn spawn(&mut self, subject: Subject, finds_out: impl Future<Output = Duration> + 'static) {
        let id = self.under_way.spawn_local(finds_out).id();
        self.subjects.insert(id, subject);
    }

    /// Whether it is due; it is under way then.
    fn begin(&mut self, subject: Subject, now: Timestamp) -> bool {
        let due = self.due.entry(subject).or_insert(Some(now));
        let begins = due.is_some_and(|due| due <= now);
        if begins {
            *due = None;
        }
        begins
    }

    /// What is in no picture any more is not remembered.
    fn forget_all_but(&mut self, picture: &Picture) {
        let all = || picture.forwards.iter().map(|forward| &forward.endpoints);
        let names =
            all().flat_map(|endpoints| endpoints.names().map(|(at, ..)| Subject::Name(endpoints.id, at)));
        let endpoints = all().flat_map(|endpoints| {
            endpoints.now().iter().map(|endpoint| Subject::Endpoint(endpoint.id)).collect::<Vec<_>>()
        });
        let present: std::collections::BTreeSet<_> = names.chain(endpoints).collect();
        self.due.retain(|subject, _| present.contains(subject));
    }

    fn look_up_names(&mut self, forward: &Forward, look_ups: &Rc<Semaphore>, now: Timestamp) {
        for (at, upstream, name) in forward.endpoints.names() {
            let subject = Subject::Name(forward.endpoints.id, at);
            if self.begin(subject, now) {
                let (endpoints, upstream) = (forward.endpoints.clone(), upstream.clone());
                let (name, look_ups) = (name.clone(), look_ups.clone());
                self.spawn(subject, async move {
                    let _one_of_few = look_ups.acquire().await;
                    look_up(&endpoints, &upstream, &name, now).await
                });
            }
        }
    }

    fn ask_endpoints(&mut self, picture: &Arc<Picture>, (at, forward): (usize, &Forward), now: Timestamp) {
        for endpoint in forward.endpoints.now().iter() {
            let subject = Subject::Endpoint(endpoint.id);
            let every = forward.check.as_ref().map(|check| check.every);
            let due = every.is_some() || endpoint.vital.is_trial_due(now);
            if due && self.begin(subject, now) {
                let (picture, endpoint) = (picture.clone(), endpoint.clone());
                self.spawn(subject, async move {
                    if let Some(forward) = picture.forwards.get(at) {
                        examine(&endpoint, forward, now).await;
                    }
                    every.unwrap_or_default()
                });
            }
        }
    }
}

/// Asks the system for a name's addresses, and tells when to ask again. One that has none any more keeps those it had.
async fn look_up(endpoints: &Endpoints, upstream: &Upstream, name: &str, now: Timestamp) -> Duration {
    let found = tokio::net::lookup_host(name).await.map(Iterator::collect::<Vec<SocketAddr>>);
    match found {
        Ok(addresses) if !addresses.is_empty() => {
            endpoints.resolved(upstream, &addresses);
            NAME_TIME
        }
        none => {
            tracing::debug!(error = ?none.err(), name, "the name of an upstream has no address");
            endpoints.unresolved(upstream, now);
            NAME_RETRY_TIME
        }
    }
}

/// Checks an endpoint; where there are no checks, sees whether it can be connected to again.
async fn examine(endpoint: &Endpoint, forward: &Forward, now: Timestamp) {
    let Some(check) = &forward.check else {
        return match connect(endpoint, forward.patience.connect).await {
            Ok(_connected) => endpoint.vital.well(|| now),
            Err(why) => why.trouble().into_iter().for_each(|why| endpoint.vital.miss(why, now)),
        };
    };
    let Some(outcome) = ask(endpoint, check, forward).await else { return };
    if let Err(why @ (Trouble::Unreachable | Trouble::Unresolved | Trouble::Unproven(_))) = outcome {
        tracing::debug!(upstream = endpoint.name(), %why, "a check did not come about");
    }
    endpoint.vital.checked(outcome, check.rounds(), now);
}
