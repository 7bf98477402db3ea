//! What the console is given by the binary: time, randomness, the ledger, the journal, the node's streams and
//! its health.
//!
//! The console opens no file and starts no thread of its own; whoever builds it decides what stands behind.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{Clock, Revision, Timestamp};
use futures_util::future::BoxFuture;
use journal::Journal;
use ledger::Keeper;
use serde::Serialize;
use tokio::sync::watch;

/// Where ids and credentials get their random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` from a source fit for secrets. Does not return before it has.
    fn fill(&self, bytes: &mut [u8]);
}

/// The kill switch: who can end streams that are open.
pub trait Enforce: Send + Sync {
    /// Waits until every node has cut what the view at `revision` no longer holds, and says what was cut.
    ///
    /// Resolves within a bound of its own; the console waits at most [`crate::revoke::ENFORCE_WAIT_MAX`].
    fn enforce(&self, revision: Revision) -> BoxFuture<'_, Cut>;
}

/// What was cut, and who confirmed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// The nodes whose view is the new one.
    pub nodes: Vec<NodeCut>,
    /// WebSocket connections cut.
    pub websocket: u64,
    /// Server-sent-event streams cut.
    pub sse: u64,
    /// gRPC streams cut.
    pub grpc: u64,
    /// Other transfers cut.
    pub transfer: u64,
    /// From the order to the last confirmation, in milliseconds.
    pub slowest_ms: u64,
}

/// One node's confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeCut {
    /// Its name.
    pub node: String,
    /// From the order to its confirmation, in milliseconds.
    pub acknowledged_ms: u64,
}

/// The control events that this node's journal has as leaves; the newest [`Journaled::RECENT_MAX`] by leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journaled {
    revision: Revision,
    recent: VecDeque<(Revision, u64)>,
}

impl Journaled {
    /// How many events' leaves are remembered.
    pub const RECENT_MAX: usize = 1_024;

    /// Remembers that the event at `revision` has become a leaf.
    pub fn add(&mut self, revision: Revision, leaf: u64) {
        self.revision = revision;
        self.recent.truncate(Self::RECENT_MAX.saturating_sub(1));
        self.recent.push_front((revision, leaf));
    }

    /// Remembers that the event at `revision` is, or will be, a leaf that is not known here.
    pub fn pass(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// The revision up to which every event is, or will be, a leaf.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The leaf of a recent event.
    #[must_use]
    pub fn leaf(&self, revision: Revision) -> Option<u64> {
        self.recent.iter().find(|(recent, _)| *recent == revision).map(|(_, leaf)| *leaf)
    }
}

/// How the node is, apart from its journal.
#[derive(Debug, Clone)]
pub struct Health {
    /// What keeps the node from serving, in words; empty when it is ready.
    pub why: Vec<String>,
    /// The nodes known.
    pub nodes: Vec<NodeHealth>,
    /// How long ago the ledger proved the view to be its newest, in milliseconds.
    pub view_age_ms: u64,
    /// Sealed segments that wait to leave the machine.
    pub spooled: u64,
    /// The configuration in force.
    pub configuration: Configuration,
    /// The last attempt to have another process take over, which came to nothing.
    pub takeover: Option<FailedReload>,
    /// Upstreams that are passed over or sent nothing.
    pub upstreams: Vec<UpstreamHealth>,
    /// What callers are shown over TLS, the first to end first.
    pub certificates: Vec<CertificateHealth>,
    /// How it stands with the authority that the first of them is had from, if it is not from a file.
    pub acme: Option<AcmeHealth>,
}

/// How it stands with an authority that certificates are had from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcmeHealth {
    /// Where the authority says what it has.
    pub directory: String,
    /// The names of the certificate.
    pub domains: Vec<String>,
    /// When the next order is due.
    #[serde(serialize_with = "crate::json::text_or_null")]
    pub next: Option<Timestamp>,
    /// The last order, if that failed.
    pub failed: Option<FailedOrder>,
}

/// An order of a certificate that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedOrder {
    /// When.
    #[serde(serialize_with = "crate::json::text")]
    pub at: Timestamp,
    /// What was in the way.
    pub why: String,
}

/// An upstream that does not do well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamHealth {
    /// Whose it is.
    pub api: String,
    /// Where it is.
    pub upstream: String,
    /// `unreachable`, `ejected` (it failed requests in a row) or `failing` (its checks).
    pub state: &'static str,
    /// What it did, in words.
    pub why: String,
    /// Since when.
    #[serde(serialize_with = "crate::json::text")]
    pub since: Timestamp,
}

/// A certificate of the listeners', as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateHealth {
    /// The hosts it is for.
    pub hosts: Vec<String>,
    /// When it ends.
    #[serde(serialize_with = "crate::json::text")]
    pub until: Timestamp,
    /// Whole days until then; negative once it has ended.
    pub days_left: i64,
}

/// The configuration in force, and what became of the last attempt to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// The ledger's position when it came into force.
    pub revision: Revision,
    /// When that was.
    #[serde(serialize_with = "crate::json::text")]
    pub loaded: Timestamp,
    /// How many things it says that are not in force.
    pub warnings: usize,
    /// The reload after it, if that failed.
    pub failed: Option<FailedReload>,
}

/// A reload, or a takeover by another process, that did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedReload {
    /// When it was tried.
    #[serde(serialize_with = "crate::json::text")]
    pub at: Timestamp,
    /// What was in the way, a line each.
    pub why: Vec<String>,
}

/// One node, as `status` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct NodeHealth {
    /// Its name.
    pub node: String,
    /// The revision of its view.
    pub revision: Revision,
    /// When it started.
    #[serde(serialize_with = "crate::json::text")]
    pub started: Timestamp,
    /// Which version it runs.
    pub version: String,
    /// The number of its process.
    pub pid: Option<u32>,
    /// The path of what it runs.
    pub program: Option<String>,
}

/// How the node is, asked at any time.
pub trait Vitals: Send + Sync {
    /// Readiness, nodes and the age of the view.
    fn health(&self) -> Health;

    /// Appends every metric in the OpenMetrics text format, its `# EOF` included.
    fn metrics(&self, text: &mut String);
}

/// Everything the console works with.
pub struct Handles {
    /// The single writer of the ledger.
    pub keeper: Keeper,
    /// This node's journal.
    pub journal: Journal,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The kill switch.
    pub enforcer: Arc<dyn Enforce>,
    /// Which control event was journaled last.
    pub changes: watch::Receiver<Journaled>,
    /// The node's health.
    pub vitals: Arc<dyn Vitals>,
}
