//! The console itself: what its handlers share, and the way to the ledger.

use std::sync::Arc;

use access::credential::{CredentialKind, Digest, mint};
use access::view::View;
use access::{Secret, Timestamp};
use axum::Router;
use control::{Act, Command, Denied};
use ledger::{ExecuteError, Executed};
use tokio::sync::Semaphore;

use crate::handles::Handles;
use crate::known;
use crate::problem::{Code, Problem};
use crate::session::{Caller, Door};

/// Searches of the journal under way at once; one more is answered `overloaded`.
pub const SEARCHES_MAX: usize = 4;
/// Live streams of the journal open at once; one more is answered `overloaded`.
pub const STREAMS_MAX: usize = 32;

/// What every handler is given.
pub(crate) type App = Arc<Shared>;

/// The control plane's HTTP interface, independent of any listener.
#[derive(Clone)]
pub struct Console {
    app: App,
}

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) handles: Handles,
    pub(crate) searches: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
}

impl Console {
    /// A console over these handles. Starts nothing.
    #[must_use]
    pub fn new(handles: Handles) -> Self {
        let searches = Arc::new(Semaphore::new(SEARCHES_MAX));
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { app: Arc::new(Shared { handles, searches, streams }) }
    }

    /// The routes, for requests that come by `door`; whoever serves them answers for the door.
    pub fn router(&self, door: &Door) -> Router {
        crate::routes::router(&self.app, door)
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.handles.clock.now()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.handles.keeper.view()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.handles.entropy.fill(&mut bytes);
        bytes
    }

    pub(crate) fn mint(&self, kind: CredentialKind) -> (Secret, Digest) {
        mint(kind, &self.random())
    }

    /// Has the ledger carry out what a caller asks for.
    pub(crate) async fn execute(&self, caller: &Caller, act: Act) -> Result<Executed, Problem> {
        let command = Command { by: caller.actor(), act };
        self.handles.keeper.execute(command).await.map_err(|why| undone(&why, &self.view()))
    }
}

/// Why the ledger did not do it.
fn undone(why: &ExecuteError, view: &View) -> Problem {
    match why {
        ExecuteError::Denied(denied) => denial(denied, view),
        ExecuteError::Busy => {
            Problem::new(Code::Overloaded, "more commands wait for the ledger than it holds")
        }
        ExecuteError::Unavailable(fault) => {
            tracing::error!(error = %crate::problem::chain(why), "the ledger did not take a command");
            Problem::new(Code::LedgerUnavailable, format!("the ledger cannot be written now: {fault}"))
                .next("look at what is in force before you try again: the change may turn out to be made")
        }
        ExecuteError::Stopped => Problem::new(Code::LedgerUnavailable, "the ledger is shutting down"),
    }
}

fn denial(denied: &Denied, view: &View) -> Problem {
    let (code, next) = match denied {
        Denied::NotAllowed { .. } => (Code::NotAllowed, None),
        Denied::NotFound { what, name } => (Code::NotFound, advice(view, what, name)),
        Denied::Exists { what, name } => (Code::Exists, instead(what, name)),
        Denied::Invalid { .. } => (Code::Invalid, None),
        Denied::Secret { .. } => (Code::Invalid, Some(SECRET_SAID.to_owned())),
        Denied::Vain { next, .. } => (Code::Invalid, Some(next.clone())),
        Denied::Ambiguous { .. } => (Code::Ambiguous, Some("`daypass grants` tells them apart".to_owned())),
        Denied::TooMany { .. } => (Code::TooMany, None),
    };
    Problem { code, detail: denied.to_string().into(), next: next.map(Into::into) }
}

/// What to do about a credential that was written where everybody reads it: it has been in a command by now.
const SECRET_SAID: &str = "leave it out, and end it if others may have seen it: `daypass revoke --token ID` for a token, `daypass service rotate NAME` for a service's key, `daypass revoke --user NAME` for a session";

/// What to do about a name that is not there.
fn advice(view: &View, what: &str, name: &str) -> Option<String> {
    match what {
        "user" => Some(known::advice_on_user(view, name)),
        "role" => Some(known::advice_on_role(view, name)),
        "API" => Some(known::advice_on_api(view, name)),
        "grant" => Some("`daypass grants` lists them".to_owned()),
        "service" => Some("`daypass service list` lists them".to_owned()),
        "grant of the incident" => Some("`daypass grants` shows which incident each belongs to".to_owned()),
        "token" => Some("`daypass audit search -o json` shows the credential of each request".to_owned()),
        "key" => Some("`daypass service list` shows the key of each service".to_owned()),
        _ => None,
    }
}

/// What to do where something is to be made that is there.
fn instead(what: &str, name: &str) -> Option<String> {
    let rotate =
        || format!("`daypass service rotate {name}` gives it a new key; another service needs another name");
    (what == "service").then(rotate)
}

/// What was just written is not in the state it produced.
pub(crate) fn vanished() -> Problem {
    Problem::new(Code::LedgerUnavailable, "the ledger took the command and does not show its effect")
}
