//! Sending: one request, to one endpoint after the other.
//!
//! It is tried elsewhere while nothing of it has been sent. If it may be done twice, and its connection closed before a
//! byte of the answer came, it is sent once more, as far as its API's budget goes. Whoever stops waiting drops all of
//! this: nothing is sent again after that.
//! Not here: connections (see `upstream`).

use std::rc::Rc;
use std::sync::Arc;

use crate::balance::Candidates;
use crate::body::Upload;
use crate::bounds::CONNECT_TRIES_MAX;
use crate::budget::Spent;
use crate::endpoint::Endpoint;
use crate::h1::client::Switching;
use crate::health::{Trouble, is_gateway_failure};
use crate::outgoing::Outgoing;
use crate::picture::Protocol;
use crate::upstream::{Answered, Attempt, Line, Pool, SendFailure, Use};

/// One request on its way to an upstream.
struct Sends<'s, 'a> {
    pool: &'s Rc<Pool>,
    outgoing: &'s Outgoing<'a>,
    endpoints: &'s [Arc<Endpoint>],
    candidates: Candidates,
    /// Any, until it is sent again.
    uses: Use,
}

impl Pool {
    /// Sends a request to one of the API's upstreams.
    pub(crate) async fn send(
        self: &Rc<Self>,
        outgoing: &Outgoing<'_>,
        upload: Upload,
    ) -> Result<Answered, SendFailure> {
        let forward = outgoing.forward;
        forward.kept.retries.earn();
        let endpoints = forward.endpoints.now();
        let mut candidates = Candidates::of(&endpoints, forward.checks(), outgoing.head.at);
        if candidates.all_fail() {
            if !forward.kept.is_trial(outgoing.head.at) {
                return Err(SendFailure::Failing);
            }
            candidates.try_failing();
        }
        let mut sends = Sends { pool: self, outgoing, endpoints: &endpoints, candidates, uses: Use::Any };
        let (mut upload, mut failure) = (upload, SendFailure::Unreachable);
        let mut next = sends.next();
        for _ in 0..CONNECT_TRIES_MAX {
            let Some(endpoint) = next.and_then(|at| endpoints.get(at)) else { break };
            outgoing.tried.replace(Some(endpoint.clone()));
            match sends.attempt(endpoint, upload).await {
                Attempt::Answered(answered) => return Ok(answered),
                Attempt::Failed(failure) => {
                    self.note(endpoint, failure);
                    return Err(failure);
                }
                Attempt::Unsent(unsent, why) => {
                    why.trouble().into_iter().for_each(|why| endpoint.vital.miss(why, self.clock.now()));
                    (upload, failure) = (unsent, sends.failure(why.into()));
                    next = sends.next();
                }
                Attempt::NoRoom(unsent) => {
                    // Another may have an idle connection.
                    (upload, failure) = (unsent, sends.failure(SendFailure::NoRoom));
                    next = sends.next();
                }
                Attempt::Unheard(unheard, line) => {
                    if line == Line::Fresh {
                        self.note(endpoint, SendFailure::Closed);
                    }
                    if !sends.may_retry() {
                        return Err(SendFailure::Closed);
                    }
                    (upload, failure, sends.uses) = (unheard, SendFailure::Closed, Use::Fresh);
                    next = sends.next_well().or(next);
                }
            }
        }
        Err(failure)
    }
}

impl Sends<'_, '_> {
    /// Why it was not sent: of a request that may have arrived before it is not said that nothing of it was sent.
    fn failure(&self, unsent: SendFailure) -> SendFailure {
        match self.uses {
            Use::Any => unsent,
            Use::Fresh => SendFailure::Closed,
        }
    }

    /// Whether a request that may have arrived is sent once more.
    fn may_retry(&self) -> bool {
        let budget = &self.outgoing.forward.kept.retries;
        self.uses == Use::Any
            && self.outgoing.is_idempotent()
            && budget.spend(self.pool.clock.now()) == Spent::One
    }

    fn next(&mut self) -> Option<usize> {
        let mut random = self.pool.random.borrow_mut();
        self.candidates.next(self.endpoints, &self.pool.loads, &mut random, self.outgoing.head.at)
    }

    fn next_well(&mut self) -> Option<usize> {
        let mut random = self.pool.random.borrow_mut();
        self.candidates.next_well(self.endpoints, &self.pool.loads, &mut random, self.outgoing.head.at)
    }

    /// Sends it to one endpoint, and keeps what that says of the endpoint.
    async fn attempt(&self, endpoint: &Endpoint, upload: Upload) -> Attempt {
        // Where there is no choice, nothing need be known.
        let load =
            (self.endpoints.len() > 1).then(|| (self.pool.loads.begin(endpoint), self.pool.clock.now()));
        let (pool, outgoing) = (self.pool, self.outgoing);
        let mut attempt = match (endpoint.upstream.protocol, outgoing.switching()) {
            (Protocol::Http1, _) => pool.send_http1(endpoint, outgoing, self.uses, upload).await,
            (Protocol::Http2, Switching::NotAsked) => {
                Box::pin(pool.send_http2(endpoint, outgoing, self.uses, upload)).await
            }
            (Protocol::Http2, Switching::Asked) => Attempt::Failed(SendFailure::NoSwitch),
        };
        if let Attempt::Answered(answered) = &mut attempt {
            let in_flight = load.map(|(in_flight, sent)| {
                in_flight.answered(sent, self.pool.clock.now());
                in_flight
            });
            if is_gateway_failure(answered.status) {
                endpoint.vital.fail(Trouble::Status(answered.status), self.pool.clock.now());
            } else {
                endpoint.vital.well(|| self.pool.clock.now());
            }
            if let Some(lease) = &mut answered.lease {
                lease.carry(in_flight);
            }
        }
        attempt
    }
}
