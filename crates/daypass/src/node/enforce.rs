//! The kill switch that the console is given: the gateway's, with its answer as a receipt shows it.

use std::sync::Arc;

use access::Revision;
use admin::{Cut, Enforce, NodeCut};
use futures_util::future::BoxFuture;
use gateway::Gateway;

/// Has the gateway cut, and reports it as a receipt shows it.
#[derive(Debug)]
pub struct Enforcer {
    node: Arc<str>,
    gateway: Arc<Gateway>,
}

impl Enforcer {
    /// The kill switch of this node, by its name in receipts.
    #[must_use]
    pub const fn new(node: Arc<str>, gateway: Arc<Gateway>) -> Self {
        Self { node, gateway }
    }
}

impl Enforce for Enforcer {
    fn enforce(&self, revision: Revision) -> BoxFuture<'_, Cut> {
        Box::pin(async move {
            let Some(cut) = self.gateway.enforced(revision).await else { return Cut::default() };
            let took = u64::try_from(cut.slowest.as_millis()).unwrap_or(u64::MAX);
            Cut {
                nodes: vec![NodeCut { node: self.node.to_string(), acknowledged_ms: took }],
                websocket: cut.streams.websocket,
                sse: cut.streams.sse,
                grpc: cut.streams.grpc,
                transfer: cut.streams.transfer,
                slowest_ms: took,
            }
        })
    }
}
