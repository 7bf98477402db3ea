//! Certificates of the listeners from an ACME authority (RFC 8555): ordered, kept, renewed.
//!
//! An order proves the names on the proxy's own listener. A certificate is renewed when two thirds of its time have
//! passed, never on the way of a request; the next handshakes are met with the new one, connections that are open go on.
//! What is kept in the data directory is shown from the start, whether or not the authority can be reached. An order
//! that fails is told in the log and by `status`, and tried again, each time later.
//! Not here: the handshakes (`gateway::issued`).

mod http;
mod order;
mod store;

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Clock, Timestamp};
use admin::{AcmeHealth, FailedOrder};
use gateway::Validity;
use gateway::issued::Issued;
use tokio::sync::watch;

use crate::config::tls::AcmePlan;
use crate::node::acme::store::{Kept, Paper, Store};

/// How long one order may take.
const ORDER_TIME_MAX: Duration = Duration::from_secs(300);
/// How long after a failed order the next is tried; twice as long after each.
const RETRY_TIME: Duration = Duration::from_secs(300);
/// The longest that is waited between failed orders.
const RETRY_TIME_MAX: Duration = Duration::from_secs(6 * 3_600);
/// How soon after a certificate was issued another may be ordered, however short its time is.
const PAUSE_TIME: Duration = Duration::from_secs(3_600);
/// How often the clock is looked at: it may be set, and the machine may sleep.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// How much is told of why an order failed, in characters.
const WHY_CHARS_MAX: usize = 1_000;

/// The certificate that an authority issues to this node, if one is asked, and how its orders stand.
#[derive(Debug)]
pub(super) struct Acme {
    issued: Arc<Issued>,
    store: Store,
    clock: Arc<dyn Clock>,
    plans: watch::Sender<Option<Arc<AcmePlan>>>,
    /// Marked by every reload.
    reloads: watch::Sender<()>,
    standing: Mutex<Standing>,
}

/// How many orders there were since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orders {
    pub(super) issued: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Default)]
struct Standing {
    kept: Option<Kept>,
    next: Option<Timestamp>,
    failed: Option<FailedOrder>,
    orders: Orders,
}

/// Why an order came to nothing, or to less than it should have.
enum Unfit {
    /// No certificate.
    NotIssued(String),
    /// A certificate that is shown, and gone with this process unless it is kept later.
    NotKept(Box<Paper>, String),
}

impl Acme {
    /// Of a node with this data directory. Asks nobody before [`Acme::keep`].
    pub(super) fn new(data: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            issued: Arc::default(),
            store: Store::below(data),
            clock,
            plans: watch::Sender::new(None),
            reloads: watch::Sender::new(()),
            standing: Mutex::default(),
        }
    }

    /// What listeners show.
    pub(super) const fn issued(&self) -> &Arc<Issued> {
        &self.issued
    }

    /// From whom the certificate is had from now on. Until there is another, what is kept is shown; an order that
    /// failed is tried again at once.
    pub(super) fn adopt(&self, plan: Option<Arc<AcmePlan>>) {
        let mut standing = self.standing();
        let kept = standing.kept.take();
        standing.kept = plan.is_some().then(|| kept.or_else(|| self.store.certificate())).flatten();
        self.issued.replace(standing.kept.as_ref().map(|kept| kept.identity.clone()));
        drop(standing);
        self.plans.send_if_modified(|present| {
            let differs = *present != plan;
            *present = plan;
            differs
        });
        self.reloads.send_replace(());
    }

    /// How it stands; `None` where no authority is asked.
    pub(super) fn health(&self) -> Option<AcmeHealth> {
        let plan = self.plans.borrow().clone()?;
        let standing = self.standing();
        Some(AcmeHealth {
            directory: plan.directory.clone(),
            domains: plan.domains.clone(),
            next: standing.next,
            failed: standing.failed.clone(),
        })
    }

    /// `None` where no authority is asked.
    pub(super) fn orders(&self) -> Option<Orders> {
        self.plans.borrow().is_some().then(|| self.standing().orders)
    }

    /// Keeps the certificate of whichever plan is in force, for as long as it is polled. One process does at a time.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut plans = self.plans.subscribe();
        loop {
            let plan = plans.borrow_and_update().clone();
            let changed = match plan {
                None => plans.changed().await,
                Some(plan) => tokio::select! {
                    never = self.keep_one(&plan) => match never {},
                    changed = plans.changed() => changed,
                },
            };
            if changed.is_err() {
                return;
            }
            let mut standing = self.standing();
            (standing.next, standing.failed) = (None, None);
        }
    }

    async fn keep_one(&self, plan: &AcmePlan) -> Infallible {
        let (mut patience, mut next) = (RETRY_TIME, self.due(plan));
        let mut unkept: Option<Box<Paper>> = None;
        loop {
            self.standing().next = Some(next);
            self.wait_until(next).await;
            // What was issued and is in its time is not ordered once more for want of a disk.
            let lacks = unkept.take().filter(|_| self.due(plan) > self.clock.now());
            let issued = u64::from(lacks.is_none());
            let ordered = match lacks {
                Some(paper) => self.put_away(paper),
                None => self.order(plan).await,
            };
            let now = self.clock.now();
            let failed = |why| Some(FailedOrder { at: now, why });
            next = self.due(plan).max(now.plus(PAUSE_TIME));
            match ordered {
                Ok(()) => {
                    patience = RETRY_TIME;
                    self.note(None, |orders| orders.issued = orders.issued.saturating_add(issued));
                }
                Err(Unfit::NotKept(paper, why)) => {
                    tracing::error!("{why}");
                    self.note(failed(why), |orders| orders.issued = orders.issued.saturating_add(issued));
                    (unkept, next) = (Some(paper), now.plus(RETRY_TIME));
                }
                Err(Unfit::NotIssued(why)) => {
                    tracing::error!("no certificate from `{}`: {why}", plan.directory);
                    self.note(failed(why), |orders| orders.failed = orders.failed.saturating_add(1));
                    next = now.plus(patience);
                    patience = patience.saturating_mul(2).min(RETRY_TIME_MAX);
                }
            }
        }
    }

    /// Until then, or until a reload, if the last order failed.
    async fn wait_until(&self, then: Timestamp) {
        let mut reloads = self.reloads.subscribe();
        while self.clock.now() < then {
            tokio::select! {
                () = tokio::time::sleep(LOOK_TIME) => {}
                _ = reloads.changed() => if self.standing().failed.is_some() { return },
            }
        }
    }

    /// When the next certificate is due: at once, if what is kept is not what the plan says.
    fn due(&self, plan: &AcmePlan) -> Timestamp {
        let standing = self.standing();
        let fits = standing.kept.as_ref().filter(|kept| kept.fits(plan));
        fits.map_or_else(|| self.clock.now(), |kept| two_thirds(kept.identity.validity()))
    }

    /// Orders a certificate, shows it from the next handshake on, and keeps it.
    async fn order(&self, plan: &AcmePlan) -> Result<(), Unfit> {
        let proofs = Proofs(&self.issued);
        let placed =
            tokio::time::timeout(ORDER_TIME_MAX, order::place(plan, &self.store, &self.issued)).await;
        drop(proofs);
        let not_issued = |why: String| Unfit::NotIssued(told(&why));
        let paper = match placed {
            Ok(Ok(paper)) => paper,
            Ok(Err(error)) => return Err(not_issued(format!("{error:#}"))),
            Err(_elapsed) => {
                let why = format!("the order took longer than {} s", ORDER_TIME_MAX.as_secs());
                return Err(not_issued(why));
            }
        };
        let kept =
            Kept::read(&paper).map_err(|why| not_issued(format!("what was issued cannot be used: {why}")))?;
        if !kept.fits(plan) {
            return Err(not_issued("what was issued is not for all of the names".to_owned()));
        }
        let until = kept.identity.validity().until;
        self.issued.replace(Some(kept.identity.clone()));
        self.standing().kept = Some(kept);
        tracing::info!(domains = plan.domains.join(" "), %until, "a certificate was issued");
        self.put_away(Box::new(paper))
    }

    /// Keeps a certificate that is shown already.
    fn put_away(&self, paper: Box<Paper>) -> Result<(), Unfit> {
        self.store.keep_certificate(&paper).map_err(|why| {
            let why = format!(
                "the certificate is in use, but cannot be kept in the data directory, and a restart will order another: {why:#}"
            );
            Unfit::NotKept(paper, why)
        })
    }

    fn note(&self, failed: Option<FailedOrder>, count: impl FnOnce(&mut Orders)) {
        let mut standing = self.standing();
        standing.failed = failed;
        count(&mut standing.orders);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of one order: gone with it, however it ends.
struct Proofs<'i>(&'i Issued);

impl Drop for Proofs<'_> {
    fn drop(&mut self) {
        self.0.prove_nothing();
    }
}

/// When two thirds of a certificate's time have passed.
fn two_thirds(validity: Validity) -> Timestamp {
    validity.from.plus(validity.until.since(validity.from) / 3 * 2)
}

/// What an authority says is shown on terminals and kept in logs: on one line, and not without end.
fn told(why: &str) -> String {
    let plain = why.chars().map(|char| if char.is_control() { ' ' } else { char });
    plain.take(WHY_CHARS_MAX).collect()
}
