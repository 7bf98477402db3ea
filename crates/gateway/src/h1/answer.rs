//! Writing answers: their heads, their framing, and their bodies on the way from an upstream's wire to a client's.
//!
//! Not here: which answer is given (see `respond`, `forward`).

use std::task::{Context, Poll};

use access::arrival::BodyLength;
use http::{HeaderMap, StatusCode, Version};

use super::client::{LAST_CHUNK, write_chunk, write_length};
use super::head::{Asked, Persistence};
use super::wire::{Piece, Wire};
use crate::bounds::{CLIENT_STALL_TIME_MAX, OUTBOX_BYTES_MAX};
use crate::fields::{FieldList, Sink as _};
use crate::forward::{Broken, Relay};
use crate::pace::Pace;

/// How an answer tells its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It has no body, and says nothing about one.
    Bodiless,
    Length(u64),
    Chunked,
    /// For clients that know no chunks.
    UntilClose,
}

impl Framing {
    pub(crate) fn of(relay: &Relay, asked: Asked, version: Version) -> Self {
        let bodiless =
            asked == Asked::Head || matches!(relay.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match relay.inbound.length() {
            _ if bodiless => Self::Bodiless,
            BodyLength::None => Self::Length(0),
            BodyLength::Known(bytes) => Self::Length(bytes),
            BodyLength::Unknown if version == Version::HTTP_10 => Self::UntilClose,
            BodyLength::Unknown => Self::Chunked,
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Bodiless | Self::UntilClose => {}
            Self::Length(bytes) => write_length(out, bytes),
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

pub(crate) fn write_head(out: &mut Vec<u8>, status: StatusCode, fields: &FieldList) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    fields.write_to(out);
}

pub(crate) fn end_head(out: &mut Vec<u8>, persistence: Persistence) {
    if persistence == Persistence::Close {
        out.add(b"connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
}

/// An answer's body on its way from the upstream's wire to the client's.
pub(crate) struct Passing<'w> {
    wire: &'w Wire,
    framing: Framing,
    /// Of a chunk whose size is not written yet.
    chunk: Vec<u8>,
    ended: bool,
    /// How much the wire had written when the client last stood still.
    stalled: Option<u64>,
    pace: Pace,
}

/// Why an answer did not reach its end.
pub(crate) enum Unpassed {
    /// Access ended.
    Cut,
    /// The upstream broke off.
    Broken,
    /// The client is gone, or takes nothing.
    Gone,
}

impl From<Broken> for Unpassed {
    fn from(why: Broken) -> Self {
        match why {
            Broken::Cut => Self::Cut,
            Broken::Upstream | Broken::Late => Self::Broken,
            Broken::Client => Self::Gone,
        }
    }
}

impl<'w> Passing<'w> {
    pub(crate) fn new(wire: &'w Wire, framing: Framing) -> Self {
        Self { wire, framing, chunk: Vec::new(), ended: false, stalled: None, pace: Pace::default() }
    }

    /// Moves the body on. Ready when the client has all of it.
    ///
    /// # Errors
    /// [`Unpassed`].
    pub(crate) fn poll(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Poll<Result<(), Unpassed>> {
        // Each turn moves bytes or waits.
        loop {
            let waits = self.poll_fill(relay, cx)?;
            match self.wire.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Unpassed::Gone)),
                Poll::Ready(Ok(())) if self.ended => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    self.go_on(relay)?;
                    if waits {
                        return self.poll_gone(relay, cx);
                    }
                }
                // Whatever the upstream says next wakes this task too.
                Poll::Pending if waits => return Poll::Pending,
                Poll::Pending => return self.poll_stalled(relay, cx),
            }
        }
    }

    /// Takes of the answer what there is and fits; whether its upstream has to be waited for.
    fn poll_fill(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Result<bool, Unpassed> {
        while !self.ended {
            let mut outbox = self.wire.outbox();
            if outbox.len() >= OUTBOX_BYTES_MAX {
                return Ok(false);
            }
            let into = if self.framing == Framing::Chunked { &mut self.chunk } else { &mut *outbox };
            let Poll::Ready(piece) = relay.poll_piece(cx, into) else { return Ok(true) };
            let piece = piece?;
            if self.framing == Framing::Chunked {
                write_chunk(&mut outbox, &mut self.chunk);
            }
            if let Piece::End(trailers) = piece {
                self.ended = true;
                if self.framing == Framing::Chunked {
                    write_end(&mut outbox, trailers.as_ref());
                }
            }
        }
        Ok(false)
    }

    /// An answer that waits for its upstream ends with its client. While its request is read, reading finds that out:
    /// two tasks may not wait to read one connection.
    fn poll_gone(&mut self, relay: &Relay, cx: &mut Context<'_>) -> Poll<Result<(), Unpassed>> {
        if !relay.is_uploading() && self.wire.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Unpassed::Gone));
        }
        Poll::Pending
    }

    /// A client that takes nothing is not waited for forever.
    fn poll_stalled(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Poll<Result<(), Unpassed>> {
        relay.poll_over(cx)?;
        // The client may be writing before it reads.
        relay.poll_sending(cx)?;
        if self.stalled != Some(self.wire.passed()) {
            self.go_on(relay)?;
            self.stalled = Some(self.wire.passed());
            let alarm = relay.yield_alarm();
            self.pace.wait(alarm.now());
            alarm.set(CLIENT_STALL_TIME_MAX);
        }
        relay.yield_alarm().poll(cx).map(|()| Err(Unpassed::Gone))
    }

    /// The client took something, if it stood still before: was it enough?
    fn go_on(&mut self, relay: &mut Relay) -> Result<(), Unpassed> {
        let Some(before) = self.stalled.take() else { return Ok(()) };
        self.pace.take(self.wire.passed().saturating_sub(before), relay.yield_alarm().now());
        if self.pace.is_too_slow() { Err(Unpassed::Gone) } else { Ok(()) }
    }
}

fn write_end(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    let Some(trailers) = trailers else { return out.extend_from_slice(LAST_CHUNK) };
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        out.add(name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
