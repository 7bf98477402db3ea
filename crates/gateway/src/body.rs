//! Bodies: the stage that judges a request's body by what its head says, and the streams that hold it to that.
//!
//! Bodies are relayed piece by piece, never held whole. The body of a request is first polled when it is
//! forwarded, so that `100 Continue` never goes out for a refused request.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use access::arrival::BodyLength;
use access::authorize::Authorized;
use access::{Reason, Refused};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::alarm::Alarm;
use crate::h1::wire::{Broken, Piece, Wire};
use crate::h2::Receiving;
use crate::limits::{Counted, Slot};
use crate::pace::Pace;

/// A request whose body may be forwarded as far as its head tells. Proof that it was counted before.
#[derive(Debug)]
pub(crate) struct Validated<'v, 'a> {
    authorized: Authorized<'v, 'a>,
    slot: Slot,
}

impl<'v, 'a> Validated<'v, 'a> {
    pub(crate) fn into_parts(self) -> (Authorized<'v, 'a>, Slot) {
        (self.authorized, self.slot)
    }
}

/// Judges a counted request by the length of its body.
///
/// # Errors
/// `body_too_large`.
pub(crate) fn validate<'v, 'a>(counted: Counted<'v, 'a>) -> Result<Validated<'v, 'a>, Refused> {
    let (authorized, slot) = counted.into_parts();
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

/// A body as it comes in, whatever protocol brings it.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// There is none.
    None,
    /// What the wire's decoder still has to read.
    Http1(Rc<Wire>),
    /// A client's stream.
    Http2(Receiving),
    /// An upstream's stream.
    /// Boxed: it is larger than all others.
    Upstream(Box<Incoming>),
}

impl Inbound {
    /// A piece of the body, behind what is in `out`.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Piece, Broken>> {
        match self {
            Self::None => Poll::Ready(Ok(Piece::End(None))),
            Self::Http1(wire) => wire.poll_body(cx, out),
            Self::Http2(receiving) => receiving.poll_piece(cx, out),
            Self::Upstream(incoming) => Poll::Ready(match ready!(Pin::new(incoming).poll_frame(cx)) {
                None => Ok(Piece::End(None)),
                Some(Ok(frame)) => Ok(match frame.into_data() {
                    Ok(data) => {
                        out.extend_from_slice(&data);
                        Piece::Data
                    }
                    Err(other) => Piece::End(other.into_trailers().ok()),
                }),
                Some(Err(error)) if is_malformed(&error) => Err(Broken::Malformed),
                Some(Err(_)) => Err(Broken::Gone),
            }),
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(wire) => wire.is_body_read() && !wire.has_trailers(),
            Self::Http2(receiving) => receiving.is_end(),
            Self::Upstream(incoming) => incoming.is_end_stream(),
        }
    }

    /// How much is still to come.
    pub(crate) fn length(&self) -> BodyLength {
        let exact = match self {
            Self::None => Some(0),
            Self::Http1(wire) => wire.body_remaining(),
            Self::Http2(receiving) => return receiving.length(),
            Self::Upstream(incoming) if incoming.is_end_stream() => Some(0),
            Self::Upstream(incoming) => incoming.size_hint().exact(),
        };
        match exact {
            Some(0) => BodyLength::None,
            Some(bytes) => BodyLength::Known(bytes),
            None => BodyLength::Unknown,
        }
    }
}

/// Whether a body broke off because it could not be read, rather than because nothing came any more.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), InvalidData | InvalidInput))
}

/// What a request's body has come to so far; shared with whoever reports on it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: Cell<u64>,
    pub(crate) stopped: Cell<Option<Stopped>>,
    /// Whether its client is waited for, where that has to send it in time.
    owed: Cell<bool>,
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

    /// Its client was waited for in vain; `false` where it was not waited for.
    pub(crate) fn give_client_up(&self) -> bool {
        if self.owed.get() {
            self.stopped.set(Some(Stopped::Client));
        }
        self.owed.get()
    }

    /// Whether some of the body may still be sent.
    pub(crate) const fn is_open(&self) -> bool {
        !self.over.get()
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
    #[error("the client stopped sending, or sent next to nothing")]
    Client,
    #[error("the body is not framed as HTTP frames bodies")]
    Malformed,
    #[error("the answer ended before the body")]
    Answered,
}

/// A request's body on its way upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    inbound: Inbound,
    bytes_max: u64,
    progress: Rc<Progress>,
    /// How fast its client sends it, by whose time; `None` where it may be as slow as it likes.
    pace: Option<Box<(Pace, Rc<Alarm>)>>,
}

impl Upload {
    pub(crate) fn new(inbound: Inbound, bytes_max: u64, timed: Option<Rc<Alarm>>) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let pace = timed.map(|alarm| Box::new((Pace::default(), alarm)));
        (Self { inbound, bytes_max, progress: progress.clone(), pace }, progress)
    }

    /// How much is still to be sent.
    pub(crate) fn length(&self) -> BodyLength {
        self.inbound.length()
    }

    /// Lets a body of which nothing was taken be sent once more.
    pub(crate) fn begin_again(&self) {
        self.progress.over.set(false);
    }

    /// The same body, where there is none: for when whoever sends it keeps it.
    pub(crate) fn spare(&self) -> Option<Self> {
        let Self { bytes_max, progress, .. } = self;
        let progress = || progress.clone();
        let spare =
            || Self { inbound: Inbound::None, bytes_max: *bytes_max, progress: progress(), pace: None };
        (self.length() == BodyLength::None).then(spare)
    }

    /// Whether nothing of it was taken yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.progress.bytes.get() == 0
    }

    /// A piece of the body, behind what is in `out`. Trailers are dropped: they could say what the head may not,
    /// and nothing that is judged stands in them.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Piece, Stopped>> {
        if self.progress.over.get() {
            return Poll::Ready(Err(self.stop(Stopped::Answered)));
        }
        let before = out.len();
        let polled = self.inbound.poll_piece(cx, out);
        let Poll::Ready(piece) = polled else {
            if let Some((pace, alarm)) = self.pace.as_deref_mut() {
                pace.wait(alarm.now());
                self.progress.owed.set(true);
            }
            self.progress.wake_with(cx);
            return Poll::Pending;
        };
        self.progress.owed.set(false);
        let bytes = out.len().saturating_sub(before) as u64;
        if let Some((pace, alarm)) = self.pace.as_deref_mut() {
            pace.take(bytes, alarm.now());
            if pace.is_too_slow() {
                return Poll::Ready(Err(self.stop(Stopped::Client)));
            }
        }
        let total = self.progress.bytes.get().saturating_add(bytes);
        self.progress.bytes.set(total);
        if total > self.bytes_max {
            out.truncate(before);
            return Poll::Ready(Err(self.stop(Stopped::TooLarge)));
        }
        Poll::Ready(match piece {
            Ok(Piece::Data) => Ok(Piece::Data),
            Ok(Piece::End(_)) => {
                self.progress.over.set(true);
                Ok(Piece::End(None))
            }
            Err(Broken::Malformed) => Err(self.stop(Stopped::Malformed)),
            Err(Broken::Gone) => Err(self.stop(Stopped::Client)),
        })
    }

    fn stop(&self, why: Stopped) -> Stopped {
        self.progress.stopped.set(Some(why));
        why
    }
}

/// Whoever sends a body drops it when it is sent, or will not be.
impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.over.set(true);
    }
}

/// For upstreams that speak HTTP/2.
impl Body for Upload {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        let mut piece = Vec::new();
        Poll::Ready(match ready!(self.poll_piece(cx, &mut piece)) {
            Ok(Piece::Data) => Some(Ok(Frame::data(piece.into()))),
            Ok(Piece::End(_)) => None,
            Err(why) => Some(Err(why)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inbound.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length() {
            BodyLength::None => SizeHint::with_exact(0),
            BodyLength::Known(bytes) => SizeHint::with_exact(bytes),
            BodyLength::Unknown => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::alarm::Alarms;
    use crate::bounds::CLIENT_RATE_GRACE;
    use crate::h1::framing::Decoder;

    /// How a body ends of which a byte comes each second.
    async fn trickle(paced: bool) -> Result<(), Stopped> {
        let (wire, mut far) = Wire::connected().await;
        let wire = Rc::new(wire);
        wire.begin_body(Decoder::of_length(1_000));
        let alarms = Rc::new(Alarms::default());
        let timed = paced.then(|| alarms.alarm());
        let (mut upload, _progress) = Upload::new(Inbound::Http1(wire), 1_000, timed);
        let mut body = Vec::new();
        for _ in 0..CLIENT_RATE_GRACE.as_secs() + 2 {
            let waits = poll_fn(|cx| Poll::Ready(upload.poll_piece(cx, &mut body).is_pending())).await;
            assert!(waits, "nothing has come");
            alarms.advance(Duration::from_secs(1));
            far.write_all(b"x").await.unwrap();
            poll_fn(|cx| upload.poll_piece(cx, &mut body)).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_client_that_trickles_its_body_is_not_waited_for_to_its_end() {
        assert_eq!(trickle(true).await, Err(Stopped::Client));
        assert_eq!(trickle(false).await, Ok(()));
    }
}
