//! Revoking, and the receipt for it.
//!
//! The order is: the ledger takes the event and the new view is published (the next request is refused), then
//! open streams are cut, then the receipt waits a moment for the journal. An unavailable journal delays the
//! receipt by at most [`LEAF_WAIT_MAX`] and never the revocation; its `leaf` is then `null`.

use std::time::Duration;

use access::view::Standing;
use access::{ApiName, GrantId, IncidentId, KeyId, Revision, RoleName, SessionId, SubjectId, TokenId};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::{Act, Change, RevokeScope};
use ledger::Executed;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::console::{App, Shared};
use crate::handles::{Cut, Journaled, NodeCut};
use crate::json::Body;
use crate::known;
use crate::problem::{Code, Problem};
use crate::session::Caller;

/// How long a receipt waits for open streams to be cut. Later confirmations are not in it.
pub const ENFORCE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a receipt waits for the revocation to be in the journal.
pub const LEAF_WAIT_MAX: Duration = Duration::from_secs(2);
/// How many tokens that ended with their grants a receipt lists; it counts the rest.
pub const TOKENS_LISTED_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    grant: Option<GrantId>,
    token: Option<TokenId>,
    key: Option<KeyId>,
    user: Option<SubjectId>,
    role: Option<RoleName>,
    api: Option<ApiName>,
    incident: Option<IncidentId>,
    #[serde(default)]
    all: bool,
    reason: String,
}

impl Revoke {
    /// The one scope that is named.
    fn scope(self) -> Result<RevokeScope, Problem> {
        let named = [
            self.grant.map(RevokeScope::Grant),
            self.token.map(RevokeScope::Token),
            self.key.map(RevokeScope::Key),
            self.user.map(RevokeScope::User),
            self.role.map(RevokeScope::Role),
            self.api.map(RevokeScope::Api),
            self.incident.map(RevokeScope::Incident),
            self.all.then_some(RevokeScope::All),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(scope), None) => Ok(scope),
            _ => Err(Problem::invalid(
                "name exactly one of `grant`, `token`, `key`, `user`, `role`, `api`, `incident` or `all: true`",
            )),
        }
    }
}

#[derive(Serialize)]
struct Receipt {
    revision: Revision,
    grants: Vec<GrantId>,
    tokens: Vec<TokenId>,
    keys: Vec<KeyId>,
    sessions: Vec<SessionId>,
    /// Tokens that ended and are not listed.
    more_tokens: usize,
    nodes: Vec<NodeCut>,
    streams: Streams,
    slowest_ms: u64,
    leaf: Option<u64>,
}

#[derive(Serialize)]
struct Streams {
    websocket: u64,
    sse: u64,
    grpc: u64,
    transfer: u64,
}

pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Body(mut asked): Body<Revoke>,
) -> Result<Response, Problem> {
    known::check_stated(&asked.reason)?;
    let reason = std::mem::take(&mut asked.reason).into();
    let scope = asked.scope()?;
    let done = app.execute(&caller, Act::Revoke { scope, reason }).await.map_err(not_own)?;
    let changes = app.handles.changes.clone();
    // What changed nothing cuts nothing and has no leaf; the revision is that of an earlier event.
    if done.events.is_empty() {
        return Ok(Json(receipt(&done, Cut::default(), None)).into_response());
    }
    let leaf = leaf_of(changes, done.revision);
    let (cut, leaf) = futures_util::future::join(cut(&app, done.revision), leaf).await;
    Ok(Json(receipt(&done, cut, leaf)).into_response())
}

/// What somebody can do who may revoke only what is their own.
fn not_own(problem: Problem) -> Problem {
    if problem.code != Code::NotAllowed {
        return problem;
    }
    problem.next("ask an administrator; `daypass grants` lists what is your own")
}

/// Cuts what is open; what is not confirmed in time is not in the receipt.
pub(crate) async fn cut(app: &Shared, revision: Revision) -> Cut {
    let cut = timeout(ENFORCE_WAIT_MAX, app.handles.enforcer.enforce(revision)).await;
    cut.unwrap_or_else(|_| {
        tracing::error!("open streams were not confirmed cut within {} s", ENFORCE_WAIT_MAX.as_secs());
        Cut::default()
    })
}

/// The leaf of a control event, once it has one.
async fn leaf_of(changes: watch::Receiver<Journaled>, revision: Revision) -> Option<u64> {
    timeout(LEAF_WAIT_MAX, journaled(changes, revision)).await.ok().flatten()
}

async fn journaled(mut changes: watch::Receiver<Journaled>, revision: Revision) -> Option<u64> {
    let journaled = changes.wait_for(|journaled| journaled.revision() >= revision).await.ok()?;
    journaled.leaf(revision)
}

fn receipt(done: &Executed, cut: Cut, leaf: Option<u64>) -> Receipt {
    let Cut { nodes, websocket, sse, grpc, transfer, slowest_ms } = cut;
    let mut receipt = Receipt {
        revision: done.revision,
        grants: Vec::new(),
        tokens: Vec::new(),
        keys: Vec::new(),
        sessions: Vec::new(),
        more_tokens: 0,
        nodes,
        streams: Streams { websocket, sse, grpc, transfer },
        slowest_ms,
        leaf,
    };
    for event in &done.events {
        if let Change::Revoke { grants, tokens, keys, sessions, .. } = &event.change {
            receipt.grants.extend_from_slice(grants);
            receipt.tokens.extend_from_slice(tokens);
            receipt.keys.extend_from_slice(keys);
            receipt.sessions.extend_from_slice(sessions);
            let ended = grants.iter().flat_map(|grant| done.state.tokens_of(*grant));
            // Those that the event names are ended by themselves; the others end with their grants.
            let mut with_grants =
                ended.filter(|token| token.standing == Standing::Active && !token.until.has_passed(event.at));
            receipt.tokens.extend(with_grants.by_ref().take(TOKENS_LISTED_MAX).map(|token| token.id));
            receipt.more_tokens += with_grants.count();
        }
    }
    receipt
}
