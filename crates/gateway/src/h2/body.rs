//! Bodies over a client's stream: a request's, read as it is passed on, and an answer's, given as the client takes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use access::arrival::BodyLength;
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::tunnel::poll_room;
use crate::alarm::Alarm;
use crate::bounds::{CLIENT_STALL_TIME_MAX, DISCARD_BYTES_MAX};
use crate::forward::{Broken, Relay};
use crate::h1::wire::{Broken as Unread, Piece};
use crate::pace::Pace;

/// A request's body. The client may send more as it is read.
#[derive(Debug)]
pub(crate) struct Receiving {
    stream: Rc<RefCell<RecvStream>>,
    /// What the head says; the codec holds the stream to it.
    stated: Option<u64>,
}

impl Receiving {
    pub(super) fn new(stream: RecvStream, fields: &HeaderMap) -> Self {
        let stated = fields.get(http::header::CONTENT_LENGTH);
        Self {
            stream: Rc::new(RefCell::new(stream)),
            stated: stated.and_then(|bytes| bytes.to_str().ok()?.parse().ok()),
        }
    }

    /// What will be left of it if nobody reads it.
    pub(super) fn rest(&self) -> Rest {
        Rest(self.stream.clone())
    }

    /// A piece of the body, behind what is in `out`.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Piece, Unread>> {
        let stream = &mut *self.stream.borrow_mut();
        match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                out.extend_from_slice(&data);
                // A stream that is gone needs no room.
                let _ = stream.flow_control().release_capacity(data.len());
                Poll::Ready(Ok(Piece::Data))
            }
            Some(Err(error)) => Poll::Ready(Err(unread(&error))),
            None => Poll::Ready(match ready!(stream.poll_trailers(cx)) {
                Ok(trailers) => Ok(Piece::End(trailers)),
                Err(error) => Err(unread(&error)),
            }),
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_end(&self) -> bool {
        self.stream.borrow().is_end_stream()
    }

    /// How long it is, before anything of it was read.
    pub(crate) fn length(&self) -> BodyLength {
        match self.stated {
            _ if self.is_end() => BodyLength::None,
            Some(bytes) => BodyLength::Known(bytes),
            None => BodyLength::Unknown,
        }
    }
}

/// A request's body that nobody reads.
pub(super) struct Rest(Rc<RefCell<RecvStream>>);

impl Rest {
    /// Reads over it, if that is little: a stream that is reset while its client sends may take the answer with it, and
    /// what is wrong with the rest is still found. What is more is let go of at once. Whoever waits for it bounds the
    /// time.
    pub(super) async fn discard(self) {
        let mut left = DISCARD_BYTES_MAX;
        poll_fn(|cx| {
            let stream = &mut *self.0.borrow_mut();
            loop {
                match stream.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) if data.len() as u64 <= left => {
                        left = left.saturating_sub(data.len() as u64);
                        let _ = stream.flow_control().release_capacity(data.len());
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

/// What the codec itself does not let pass is no frame of a body; all else is a client that left.
fn unread(error: &h2::Error) -> Unread {
    if error.is_library() && !error.is_io() { Unread::Malformed } else { Unread::Gone }
}

/// An answer's body on its way to the client.
pub(super) struct Giving {
    sending: SendStream<Bytes>,
    /// What the client has not allowed yet.
    waiting: Bytes,
    alarm: Rc<Alarm>,
    pace: Pace,
    stalled: Stalled,
}

/// Whether the client is waited for, so that the alarm is set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stalled {
    Yes,
    No,
}

/// Whether the stream ends with what is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// How a stream ends behind a body of our own.
pub(super) enum Ending {
    /// With it.
    Data,
    Trailers(HeaderMap),
    /// As RFC 9113, section 8.1.1, has it for malformed requests that were answered.
    Error(h2::Reason),
}

/// Why an answer did not reach its end.
pub(super) enum Ungiven {
    /// It must not be taken for the whole.
    Broken(Broken),
    /// The client left, or takes next to nothing.
    Gone,
}

impl From<Broken> for Ungiven {
    fn from(why: Broken) -> Self {
        Self::Broken(why)
    }
}

impl Giving {
    pub(super) fn new(sending: SendStream<Bytes>, alarm: Rc<Alarm>) -> Self {
        Self { sending, waiting: Bytes::new(), alarm, pace: Pace::default(), stalled: Stalled::No }
    }

    /// Gives a body of our own, and ends the stream. Whoever waits for it bounds the time.
    ///
    /// # Errors
    /// The client left: its stream is to be dropped.
    pub(super) async fn give(mut self, body: Bytes, end: Ending) -> Result<(), Ungiven> {
        self.waiting = body;
        let last = if matches!(end, Ending::Data) { Last::Yes } else { Last::No };
        poll_fn(|cx| self.poll_send(last, cx)).await?;
        match end {
            Ending::Data => Ok(()),
            Ending::Trailers(trailers) => self.end(Some(trailers)),
            Ending::Error(why) => {
                // What waits in the codec is lost with a reset: it goes out first.
                tokio::task::yield_now().await;
                self.sending.send_reset(why);
                Ok(())
            }
        }
    }

    /// Gives an upstream's answer, and resets a stream of which the client must not take what it has for the whole.
    pub(super) async fn relay(mut self, mut relay: Box<Relay>) {
        match poll_fn(|cx| self.poll_relay(&mut relay, cx)).await {
            Ok(()) => relay.finish(),
            Err(Ungiven::Broken(Broken::Upstream | Broken::Late)) => {
                self.sending.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            Err(Ungiven::Broken(Broken::Cut | Broken::Client) | Ungiven::Gone) => {
                self.sending.send_reset(h2::Reason::CANCEL);
            }
        }
    }

    fn poll_relay(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Poll<Result<(), Ungiven>> {
        // Each turn moves bytes or waits.
        loop {
            let last = if relay.inbound.is_end() { Last::Yes } else { Last::No };
            if !self.waiting.is_empty() {
                let Poll::Ready(sent) = self.poll_send(last, cx) else {
                    relay.poll_over(cx)?;
                    // The client may be writing before it reads.
                    relay.poll_sending(cx)?;
                    relay.yield_alarm();
                    return self.poll_stalled(cx);
                };
                sent?;
                if last == Last::Yes {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.sending.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Ungiven::Gone));
            }
            let mut piece = Vec::new();
            if let Piece::End(trailers) = ready!(relay.poll_piece(cx, &mut piece))? {
                return Poll::Ready(self.end(trailers));
            }
            self.waiting = piece.into();
            if self.waiting.is_empty() && relay.inbound.is_end() {
                return Poll::Ready(self.end(None));
            }
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Ungiven> {
        let ended = match trailers {
            Some(trailers) => self.sending.send_trailers(trailers),
            None => self.sending.send_data(Bytes::new(), true),
        };
        ended.map_err(|_| Ungiven::Gone)
    }

    /// Sends what waits as far as the client allows.
    fn poll_send(&mut self, last: Last, cx: &mut Context<'_>) -> Poll<Result<(), Ungiven>> {
        while !self.waiting.is_empty() {
            let room = ready!(poll_room(&mut self.sending, self.waiting.len(), cx));
            let piece = self.waiting.split_to(room.map_err(|_| Ungiven::Gone)?);
            self.pace.take(piece.len() as u64, self.alarm.now());
            self.stalled = Stalled::No;
            let ends = last == Last::Yes && self.waiting.is_empty();
            if self.sending.send_data(piece, ends).is_err() || self.pace.is_too_slow() {
                return Poll::Ready(Err(Ungiven::Gone));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_stalled(&mut self, cx: &Context<'_>) -> Poll<Result<(), Ungiven>> {
        if self.stalled == Stalled::No {
            self.stalled = Stalled::Yes;
            self.pace.wait(self.alarm.now());
            self.alarm.set(CLIENT_STALL_TIME_MAX);
        }
        self.alarm.poll(cx).map(|()| Err(Ungiven::Gone))
    }
}
