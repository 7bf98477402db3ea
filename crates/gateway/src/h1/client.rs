//! Toward upstreams: a request is written and the head of its answer read, over one wire.
//!
//! The request's body goes on while the answer comes; an answer that comes first is passed on first.
//! Not here: which connection is used (see `upstream`).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use access::arrival::BodyLength;

use super::head::{Asked, ResponseHead, Unreadable};
use super::scan::Scan;
use super::wire::{Piece, Wire};
use crate::body::{Stopped, Upload};
use crate::bounds::{INTERIM_ANSWERS_MAX, OUTBOX_BYTES_MAX, UPSTREAM_HEAD_BYTES_MAX};
use crate::fields::Sink as _;

/// A request's body on its way to an upstream.
#[derive(Debug)]
pub(crate) struct Sending {
    /// Kept until all of it is written, or as long as there was nothing in it: the request may have to be sent again.
    upload: Option<Upload>,
    body: Body,
    wire: Rc<Wire>,
    framing: Framing,
    /// Of a chunk whose size is not written yet.
    chunk: Vec<u8>,
}

/// Whether more of the body is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Open,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
}

/// Why a request could not be sent to its end.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// Nothing of it went out: it may be sent again, with this body.
    Kept(Upload),
    /// The upstream takes no more; it may have answered already.
    Refused,
    /// The body itself ended early.
    Stopped(Stopped),
}

/// Whether all of a request went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole,
    Partly,
}

impl Sending {
    /// Begins to send: the head, which is in the wire's outbox but for its end, and then the body.
    pub(crate) fn begin(wire: Rc<Wire>, upload: Upload, states_length: StatesLength) -> Self {
        let mut outbox = wire.outbox();
        let framing = match (upload.length(), states_length) {
            (BodyLength::Unknown, _) => {
                outbox.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
            (BodyLength::Known(bytes), _) => {
                write_length(&mut outbox, bytes);
                Framing::Length
            }
            (BodyLength::None, StatesLength::Always) => {
                write_length(&mut outbox, 0);
                Framing::Length
            }
            (BodyLength::None, StatesLength::OfBodies) => Framing::Length,
        };
        outbox.extend_from_slice(b"\r\n");
        drop(outbox);
        wire.begin_sending();
        Self { upload: Some(upload), body: Body::Open, wire, framing, chunk: Vec::new() }
    }

    /// Whether all of it has gone out.
    pub(crate) fn state(&self) -> Sent {
        let ended = self.upload.is_none() || self.body == Body::Ended;
        if ended && self.wire.unsent() == 0 { Sent::Whole } else { Sent::Partly }
    }

    /// The body, if nothing of it was taken: with it the request can be sent again.
    pub(crate) fn take_back(&mut self) -> Option<Upload> {
        let upload = self.upload.take().filter(Upload::is_untouched)?;
        upload.begin_again();
        Some(upload)
    }

    /// Moves the body on. Ready when all of it is written.
    ///
    /// # Errors
    /// [`Unsent`]; polled again, it has nothing else to say.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            let waits = match self.poll_fill(cx) {
                Ok(waits) => waits,
                Err(why) => return Poll::Ready(Err(Unsent::Stopped(why))),
            };
            match self.wire.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(self.give_up())),
                Poll::Ready(Ok(())) if self.body == Body::Ended || self.upload.is_none() => {
                    self.upload = self.upload.take().filter(Upload::is_untouched);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if waits == Waits::Client => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    fn give_up(&mut self) -> Unsent {
        self.upload = self.upload.take().filter(Upload::is_untouched);
        if !self.wire.has_sent_nothing() {
            return Unsent::Refused;
        }
        self.take_back().map_or(Unsent::Refused, Unsent::Kept)
    }

    /// Takes of the body what there is and fits.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<Waits, Stopped> {
        while let (Some(upload), Body::Open) = (&mut self.upload, self.body) {
            let mut outbox = self.wire.outbox();
            if outbox.len() >= OUTBOX_BYTES_MAX {
                return Ok(Waits::Upstream);
            }
            let into = if self.framing == Framing::Chunked { &mut self.chunk } else { &mut *outbox };
            let piece = match upload.poll_piece(cx, into) {
                Poll::Pending => return Ok(Waits::Client),
                Poll::Ready(piece) => piece?,
            };
            if self.framing == Framing::Chunked {
                write_chunk(&mut outbox, &mut self.chunk);
            }
            if let Piece::End(_) = piece {
                if self.framing == Framing::Chunked {
                    outbox.extend_from_slice(LAST_CHUNK);
                }
                self.body = Body::Ended;
            }
        }
        Ok(Waits::Upstream)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Client,
    Upstream,
}

/// Whether a request without a body says so (RFC 9110, section 8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatesLength {
    Always,
    OfBodies,
}

/// The end of a chunked body without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes a `Content-Length` field.
pub(crate) fn write_length(out: &mut Vec<u8>, bytes: u64) {
    out.add(b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
}

/// Writes the bytes as a chunk, unless there are none: an empty chunk would be the last.
pub(crate) fn write_chunk(out: &mut Vec<u8>, chunk: &mut Vec<u8>) {
    use std::io::Write as _;
    if chunk.is_empty() {
        return;
    }
    // Writing to memory does not fail.
    let _ = write!(out, "{:x}\r\n", chunk.len());
    out.append(chunk);
    out.extend_from_slice(b"\r\n");
}

/// Why no answer came over a wire.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nothing of the request went out.
    Unsent(Upload),
    /// The upstream closed before its answer was there.
    Closed(Heard),
    /// The answer's head cannot be read.
    Malformed,
    /// The request's own body ended early.
    Stopped(Stopped),
}

/// Whether anything came that could belong to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Something,
}

/// What an upstream may answer beyond an ordinary answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switching {
    /// It was asked to switch protocols.
    Asked,
    NotAsked,
}

/// Sends, and reads the head of the final answer; the wire then stands at its body.
///
/// # Errors
/// [`NoAnswer`].
pub(crate) async fn exchange(
    sending: &mut Sending,
    asked: Asked,
    switching: Switching,
) -> Result<ResponseHead, NoAnswer> {
    let mut state = Receiving { scan: Scan::default(), asked, switching, interim: 0 };
    let mut sends = Sends::Yes;
    poll_fn(|cx| {
        if sends == Sends::Yes {
            match sending.poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => sends = Sends::No,
                Poll::Ready(Err(Unsent::Kept(upload))) => {
                    return Poll::Ready(Err(NoAnswer::Unsent(upload)));
                }
                Poll::Ready(Err(Unsent::Stopped(why))) => return Poll::Ready(Err(NoAnswer::Stopped(why))),
                // To a request of which nothing went out there is no answer.
                Poll::Ready(Err(Unsent::Refused)) if sending.wire.has_sent_nothing() => {
                    return Poll::Ready(Err(NoAnswer::Closed(Heard::Nothing)));
                }
                Poll::Ready(Err(Unsent::Refused)) => sends = Sends::No,
            }
        }
        state.poll(&sending.wire, cx)
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sends {
    Yes,
    No,
}

struct Receiving {
    scan: Scan,
    asked: Asked,
    switching: Switching,
    interim: usize,
}

impl Receiving {
    fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, NoAnswer>> {
        loop {
            match self.take(wire) {
                Ok(Some(mut head)) => {
                    wire.begin_body(std::mem::take(&mut head.decoder));
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(_) => return Poll::Ready(Err(NoAnswer::Malformed)),
            }
            match wire.poll_read(cx, UPSTREAM_HEAD_BYTES_MAX) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Err(why)) if why.kind() == io::ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(NoAnswer::Malformed));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoAnswer::Closed(self.heard(wire)))),
            }
        }
    }

    fn heard(&self, wire: &Wire) -> Heard {
        if self.interim == 0 && wire.inbox().is_empty() { Heard::Nothing } else { Heard::Something }
    }

    /// The head of the final answer, if all of it is there. Interim answers before it are read over.
    fn take(&mut self, wire: &Wire) -> Result<Option<ResponseHead>, Unreadable> {
        loop {
            let (head, length) = {
                let inbox = wire.inbox();
                let Some(length) = self.scan.find_end(&inbox)? else { return Ok(None) };
                let bytes = inbox.get(..length).unwrap_or_default();
                (ResponseHead::read(bytes, self.asked, wire.take_spare())?, length)
            };
            wire.consume(length);
            self.scan = Scan::default();
            match (head.status.as_u16(), self.switching) {
                (101, Switching::Asked) | (200.., _) => return Ok(Some(head)),
                (101, Switching::NotAsked) => return Err(Unreadable::Malformed),
                _ => self.interim = self.interim.saturating_add(1),
            }
            if self.interim > INTERIM_ANSWERS_MAX {
                return Err(Unreadable::Malformed);
            }
        }
    }
}
