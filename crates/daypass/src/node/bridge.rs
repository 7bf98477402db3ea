//! From the ledger's keeper to the gateway: a view is paired with the upstreams of its policy, and both are
//! swapped as one.
//!
//! A reload stages its upstreams first; they come into force with the view that carries its policy, so no
//! request ever sees one without the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use access::policy::{Compiled, Policy};
use access::view::View;
use access::{ApiName, Timestamp};
use gateway::{Forward, Gateway, Kept, Picture, Plan, Views};
use ledger::Publish;

/// Plans by the API's name.
pub type Plans = BTreeMap<ApiName, Plan>;

/// Hands the keeper's views to the gateway.
#[derive(Debug)]
pub struct Bridge {
    views: Arc<Views>,
    gateway: OnceLock<Arc<Gateway>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plans: Plans,
    staged: Option<(Policy, Plans)>,
    kept: BTreeMap<ApiName, Arc<Kept>>,
    unrouted: Arc<Kept>,
    /// The upstreams of the policy that was published last.
    published: Option<Published>,
}

impl Bridge {
    /// A bridge to the gateway's handle; until the first view it shows nothing.
    #[must_use]
    pub fn new(views: Arc<Views>) -> Self {
        Self { views, gateway: OnceLock::new(), state: Mutex::default() }
    }

    /// Lets the gateway know of every view from now on.
    pub fn connect(&self, gateway: Arc<Gateway>) {
        let _ = self.gateway.set(gateway);
    }

    /// Whether the gateway has begun to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.gateway.get().is_some_and(|gateway| gateway.is_draining())
    }

    /// Keeps upstreams ready for the moment a view carries `policy`.
    pub fn stage(&self, policy: Policy, plans: Plans) {
        self.lock().staged = Some((policy, plans));
    }

    /// How APIs are reached at present.
    #[must_use]
    pub fn plans(&self) -> Plans {
        self.lock().plans.clone()
    }

    /// Forgets what was staged: the reload did not come about.
    pub fn unstage(&self) {
        self.lock().staged = None;
    }

    /// What each API has counted, and what was counted for requests that reached none.
    #[must_use]
    pub fn kept(&self) -> Vec<(Option<ApiName>, Arc<Kept>)> {
        let state = self.lock();
        let apis = state.kept.iter().map(|(name, kept)| (Some(name.clone()), kept.clone()));
        apis.chain([(None, state.unrouted.clone())]).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publish for Bridge {
    fn publish(&self, view: Arc<View>) {
        let picture = self.lock().picture(view);
        match self.gateway.get() {
            Some(gateway) => gateway.publish(picture),
            None => self.views.publish(&Arc::new(picture)),
        }
    }

    fn proven(&self, at: Timestamp) {
        self.views.prove(at);
    }
}

impl State {
    fn picture(&mut self, view: Arc<View>) -> Picture {
        let staged = self.staged.take_if(|(policy, _)| policy == view.policy.policy());
        let known = self.published.as_ref().filter(|(policy, _)| Arc::ptr_eq(policy, &view.policy));
        let forwards = match known.filter(|_| staged.is_none()) {
            Some((_, forwards)) => forwards.clone(),
            None => {
                if let Some((_, plans)) = staged {
                    self.plans = plans;
                }
                let before = self.published.take();
                let apis = view.policy.policy().apis.iter();
                let forwards: Arc<[Forward]> =
                    apis.map(|api| self.forward(&api.name, before.as_ref())).collect();
                self.published = Some((view.policy.clone(), forwards.clone()));
                forwards
            }
        };
        Picture { view, forwards, unrouted: self.unrouted.clone() }
    }

    /// An API without a plan has no upstream: its requests fail as unreachable. What is known of upstreams that it had
    /// before stays known.
    fn forward(&mut self, name: &ApiName, before: Option<&Published>) -> Forward {
        let kept = self.kept.entry(name.clone()).or_default().clone();
        let plan = self.plans.get(name).cloned().unwrap_or_default();
        let before = before.and_then(|(compiled, forwards)| {
            let at = compiled.policy().apis.iter().position(|api| api.name == *name)?;
            forwards.get(at)
        });
        Forward::new(plan, kept, before)
    }
}

/// The upstreams of a policy, in its order.
type Published = (Arc<Compiled>, Arc<[Forward]>);
