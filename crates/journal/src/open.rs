//! The proof that a request is recorded, and how it is given back.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use access::Timestamp;

use crate::lane::Core;
use crate::leaf::Receipt;
use crate::record::OutcomeKind;
use crate::slots::Written;

/// Why a record is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The log cannot be written; the record is dropped.
    #[error("the journal cannot be written")]
    Down,
    /// A bound is reached (open entries, waiting bytes, held statements); the record is dropped.
    #[error("the journal holds as much as it may")]
    Full,
    /// The log cannot be written; a statement is held and will be written first when it can.
    #[error("the journal cannot be written now, the record is held")]
    Held,
    /// No answer from the disk in time; the record may be written later.
    #[error("the journal did not answer in time")]
    Late,
}

/// How an entry ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer was sent whole.
    Completed,
    /// No answer of the upstream's could be given.
    Failed,
    /// The client left before the end.
    Abandoned,
    /// The access ended while the answer was on its way.
    Cut,
}

impl From<Ending> for OutcomeKind {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Completed => Self::Completed,
            Ending::Failed => Self::Failed,
            Ending::Abandoned => Self::Abandoned,
            Ending::Cut => Self::Cut,
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// The status answered, if an answer began.
    pub status: Option<u16>,
    /// Where the request went; at most [`crate::record::UPSTREAM_BYTES_MAX`] bytes are kept.
    pub upstream: Option<&'a str>,
    /// What the upstream answered.
    pub upstream_status: Option<u16>,
    /// How long the upstream took, in microseconds.
    pub upstream_us: Option<u64>,
    /// Body bytes received from the client.
    pub request_bytes: u64,
    /// Body bytes sent to the client.
    pub response_bytes: u64,
    /// How it ended.
    pub outcome: Ending,
    /// The code of what went wrong; at most [`crate::record::REASON_BYTES_MAX`] bytes are kept.
    pub reason: Option<&'a str>,
    /// When it ended; the duration is counted from the request's arrival.
    pub at: Timestamp,
}

/// A request whose intent is durable. Only a lane can make one.
///
/// Dropped without [`close`](Self::close), it records `abandoned`.
#[derive(Debug)]
#[must_use = "dropping an entry records that the client left"]
pub struct OpenEntry {
    core: Option<Rc<Core>>,
    receipt: Receipt,
    asked_at: Timestamp,
}

impl OpenEntry {
    /// Where the intent stands in the log.
    #[must_use]
    pub const fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Records what came of the request. Waits for nothing and cannot fail: the outcome's room is reserved.
    pub fn close(mut self, closing: &Closing<'_>) {
        if let Some(core) = self.core.take() {
            core.with(|flow| flow.close(self.receipt.leaf, self.asked_at, closing));
        }
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            let now = core.now();
            core.with(|flow| flow.abandon(self.receipt.leaf, self.asked_at, now));
        }
    }
}

/// An intent on its way into the log. Dropping it does not stop the recording.
#[derive(Debug)]
#[must_use = "an opening does nothing for its request unless awaited"]
pub struct Opening {
    core: Option<Rc<Core>>,
    ticket: Result<u32, Unavailable>,
}

impl Opening {
    pub(crate) const fn new(core: Rc<Core>, ticket: Result<u32, Unavailable>) -> Self {
        Self { core: Some(core), ticket }
    }
}

impl Future for Opening {
    type Output = Result<OpenEntry, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = match self.ticket {
            Ok(slot) => slot,
            Err(why) => return Poll::Ready(Err(why)),
        };
        let polled = match &self.core {
            Some(core) => core.with(|flow| flow.poll(slot, context.waker())),
            None => Some(Err(Unavailable::Down)),
        };
        let Some(result) = polled else {
            return Poll::Pending;
        };
        let core = self.core.take();
        Poll::Ready(result.map(|Written { receipt, asked_at }| OpenEntry { core, receipt, asked_at }))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let (Some(core), Ok(slot)) = (self.core.take(), self.ticket) {
            let now = core.now();
            core.with(|flow| flow.leave_intent(slot, now));
        }
    }
}

/// A refusal on its way into the log. Dropping it does not stop the recording.
///
/// `None`: the refusal is held or counted, and will be written when the log can be.
#[derive(Debug)]
#[must_use = "await the refusal before answering, so that the answer has its row"]
pub struct Refusing {
    core: Option<Rc<Core>>,
    ticket: Option<u32>,
}

impl Refusing {
    pub(crate) const fn new(core: Rc<Core>, ticket: Option<u32>) -> Self {
        Self { core: Some(core), ticket }
    }
}

impl Future for Refusing {
    type Output = Option<Receipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (Some(slot), Some(core)) = (self.ticket, &self.core) else {
            return Poll::Ready(None);
        };
        let Some(result) = core.with(|flow| flow.poll(slot, context.waker())) else {
            return Poll::Pending;
        };
        self.core = None;
        Poll::Ready(result.ok().map(|written| written.receipt))
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        if let (Some(core), Some(slot)) = (self.core.take(), self.ticket) {
            core.with(|flow| flow.leave_refusal(slot));
        }
    }
}
