//! Bodies: the stage that judges a request's body by what its head says, and the stream that holds it to that.
//!
//! Bodies are relayed frame by frame, never held whole. The body of a request is first polled when it is
//! forwarded, so that `100 Continue` never goes out for a refused request.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use access::arrival::BodyLength;
use access::authorize::Authorized;
use access::{Reason, Refused};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::limits::{Counted, Slot};

/// A request whose body may be forwarded as far as its head tells. Proof that it was counted before.
#[derive(Debug)]
pub(crate) struct Validated<'v, 'a> {
    pub(crate) authorized: Authorized<'v, 'a>,
    pub(crate) slot: Slot,
}

/// Judges a counted request by the length of its body.
///
/// # Errors
/// `body_too_large`.
pub(crate) fn validate<'v, 'a>(counted: Counted<'v, 'a>) -> Result<Validated<'v, 'a>, Refused> {
    let Counted { authorized, slot } = counted;
    let most = body_bytes_max(&authorized);
    match authorized.arrival().body {
        BodyLength::Known(bytes) if bytes > most => Err(too_large(most).knowing(authorized.known())),
        BodyLength::None | BodyLength::Known(_) | BodyLength::Unknown => Ok(Validated { authorized, slot }),
    }
}

/// The longest body that the request's API takes; 0 where there is no API.
pub(crate) fn body_bytes_max(authorized: &Authorized<'_, '_>) -> u64 {
    authorized.api().map_or(0, |api| api.request_body_bytes_max)
}

pub(crate) fn too_large(most: u64) -> Refused {
    Refused::because(Reason::BodyTooLarge, format!("the body is longer than the {most} bytes this API takes"))
        .next("send less, or ask the API's owner to raise `limits.request_body`")
}

/// What a request's body has come to so far; shared with whoever reports on it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: Cell<u64>,
    pub(crate) stopped: Cell<Option<Stopped>>,
    /// Set when nothing of the body will be sent any more.
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How far a request's body had come when its answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uploaded {
    /// To its end.
    Whole,
    /// Not to its end: the connection to the upstream cannot be used again.
    Partly,
}

impl Progress {
    /// Ends the body with its answer: what goes on after the record is closed would go on unrecorded, and no
    /// revocation would find it.
    pub(crate) fn end(&self) -> Uploaded {
        if self.over.replace(true) {
            return Uploaded::Whole;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Uploaded::Partly
    }

    fn wake_with(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Why a request's body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("the body is longer than the API takes")]
    TooLarge,
    #[error("the client stopped sending")]
    Client,
    #[error("the body is not framed as HTTP frames bodies")]
    Malformed,
    #[error("the answer ended before the body")]
    Answered,
}

/// A request's body on its way upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    incoming: Incoming,
    bytes_max: u64,
    progress: Rc<Progress>,
}

impl Upload {
    pub(crate) fn new(incoming: Incoming, bytes_max: u64) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        (Self { incoming, bytes_max, progress: progress.clone() }, progress)
    }
}

/// Whether a body broke off because its chunks could not be read, rather than because nothing came any more.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), InvalidData | InvalidInput))
}

/// The codec drops a body when it has sent it, or will not send it.
impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.over.set(true);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if self.progress.over.get() {
            self.progress.stopped.set(Some(Stopped::Answered));
            return Poll::Ready(Some(Err(Stopped::Answered)));
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            self.progress.wake_with(cx);
        }
        polled.map(|frame| match frame? {
            // Trailers could say what the head may not; nothing that is judged stands in them.
            Ok(frame) if frame.is_trailers() => None,
            Ok(frame) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                let total = self.progress.bytes.get().saturating_add(bytes);
                self.progress.bytes.set(total);
                if total > self.bytes_max {
                    self.progress.stopped.set(Some(Stopped::TooLarge));
                    return Some(Err(Stopped::TooLarge));
                }
                Some(Ok(frame))
            }
            Err(error) => {
                let why = if is_malformed(&error) { Stopped::Malformed } else { Stopped::Client };
                self.progress.stopped.set(Some(why));
                Some(Err(why))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
