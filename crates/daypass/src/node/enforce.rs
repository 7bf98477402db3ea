//! The kill switch that the console is given: the gateway's, with its answer as a receipt shows it.

use std::sync::Arc;

use access::Revision;
use admin::{Cut, Enforce, NodeCut};
use futures_util::future::BoxFuture;
use gateway::Gateway;

use crate::node::predecessor::{Obeyed, Predecessor};

/// Has the gateway cut, and reports it as a receipt shows it.
#[derive(Debug)]
pub struct Enforcer {
    node: Arc<str>,
    gateway: Arc<Gateway>,
    predecessor: Option<Arc<Predecessor>>,
}

impl Enforcer {
    /// The kill switch of this node, by its name in receipts.
    #[must_use]
    pub const fn new(node: Arc<str>, gateway: Arc<Gateway>, predecessor: Option<Arc<Predecessor>>) -> Self {
        Self { node, gateway, predecessor }
    }
}

impl Enforcer {
    /// What the process before this one has cut, while there is one. `None`: it does not answer.
    async fn before(&self, revision: Revision) -> Option<Cut> {
        let Some(predecessor) = &self.predecessor else { return Some(Cut::default()) };
        match predecessor.enforce(revision).await {
            Obeyed::Gone => Some(Cut::default()),
            Obeyed::Cut(cut) => Some(cut),
            Obeyed::Silent => None,
        }
    }
}

impl Enforce for Enforcer {
    fn enforce(&self, revision: Revision) -> BoxFuture<'_, Cut> {
        Box::pin(async move {
            let (own, before) = tokio::join!(self.gateway.enforced(revision), self.before(revision));
            // A node has cut when all of its processes have.
            let (Some(cut), Some(before)) = (own, before) else { return Cut::default() };
            let took = u64::try_from(cut.slowest.as_millis()).unwrap_or(u64::MAX).max(before.slowest_ms);
            Cut {
                nodes: vec![NodeCut { node: self.node.to_string(), acknowledged_ms: took }],
                websocket: cut.streams.websocket.saturating_add(before.websocket),
                sse: cut.streams.sse.saturating_add(before.sse),
                grpc: cut.streams.grpc.saturating_add(before.grpc),
                transfer: cut.streams.transfer.saturating_add(before.transfer),
                slowest_ms: took,
            }
        })
    }
}
