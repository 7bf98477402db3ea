//! What passes over an HTTP/2 connection, counted between the socket and the codec.
//!
//! Promised: a client that makes more work than it lets be done is found out ([`Breach`]); each stream that the codec
//! refuses by itself is told once ([`Unheard`]). The codec's own bounds come first: streams at once, resets that wait
//! to be seen, streams with faults, sizes of header lists, `CONTINUATION` frames, empty and tiny `DATA` frames.
//! Not here: what becomes of it (see the parent).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use access::Reason;
use arrayvec::ArrayVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::carried::{Carried, Section, WINDOW_BYTES_MAX};
use super::frames::{Frame, Frames, Kind, Pass, Told};
use crate::bounds::{H2_CONTROL_FRAMES_MAX, H2_RESETS_MAX, H2_UNHEARD_STREAMS_MAX};
use crate::transport::Transport;

/// A stream that the codec refused before anybody heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unheard {
    stream: u32,
    pub(super) reason: Reason,
}

/// Why a connection is not read from any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// Too many frames about the connection, in place of requests.
    Control,
    /// Too many ends of streams that the client opened itself.
    Resets,
    /// A frame against the rules, which the codec would call by another name or overlook.
    Rule(h2::Reason),
}

/// What has passed.
#[derive(Debug)]
pub(super) struct Meter {
    sent: RefCell<Frames>,
    received: RefCell<Frames>,
    counts: RefCell<Counts>,
    /// Whether a byte came, or one that had to wait went out, since somebody asked.
    moved: Cell<bool>,
    waits: Cell<bool>,
}

/// How many streams are remembered to have ended.
const ENDED_STREAMS_MAX: usize = 64;

#[derive(Debug, Default)]
struct Counts {
    /// The last stream that the client opened.
    last: u32,
    /// Streams that were opened and that nobody has heard of yet, ascending.
    opened: VecDeque<u32>,
    unheard: Vec<Unheard>,
    /// The last streams of which the client said that nothing more comes from it.
    ended: ArrayVec<u32, ENDED_STREAMS_MAX>,
    broken: Option<h2::Reason>,
    block: Block,
    carried: Carried,
    granted: Granted,
    /// What went out of answers' bodies, in bytes, over the connection's life.
    given: u64,
    control: u32,
    resets: u32,
    /// Pieces of answers that went out: a client acknowledges each.
    pieces: u32,
    /// Answers that went out to their end.
    answered: u32,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            sent: RefCell::default(),
            received: RefCell::new(Frames::of_client()),
            counts: RefCell::default(),
            moved: Cell::new(false),
            waits: Cell::new(false),
        }
    }

    /// A stream was handed over: whatever becomes of it has a row.
    pub(super) fn heard(&self, stream: u32) {
        let mut counts = self.counts.borrow_mut();
        if counts.opened.front() == Some(&stream) {
            counts.opened.pop_front();
        } else {
            counts.opened.retain(|opened| *opened != stream);
        }
        // Its answer may have been refused by the codec before it was handed over.
        counts.unheard.retain(|unheard| unheard.stream != stream);
    }

    /// A stream that the codec has refused; each is told once.
    pub(super) fn next_unheard(&self) -> Option<Unheard> {
        self.counts.borrow_mut().unheard.pop()
    }

    /// What the client has done that ends its connection; floods are counted since [`Self::begin`].
    pub(super) fn breach(&self) -> Option<Breach> {
        let counts = self.counts.borrow();
        if let Some(broken) = counts.broken {
            return Some(Breach::Rule(broken));
        }
        if counts.control > H2_CONTROL_FRAMES_MAX.saturating_add(counts.pieces.saturating_mul(4)) {
            return Some(Breach::Control);
        }
        (counts.resets > H2_RESETS_MAX.saturating_add(counts.answered)).then_some(Breach::Resets)
    }

    /// Counts anew; whether something has moved since the last time.
    pub(super) fn begin(&self) -> Moved {
        let mut counts = self.counts.borrow_mut();
        (counts.control, counts.resets, counts.pieces, counts.answered) = (0, 0, 0, 0);
        if self.moved.replace(false) { Moved::Yes } else { Moved::No }
    }

    /// Counts what came; how much of it the codec may see.
    fn receive(&self, bytes: &[u8]) -> usize {
        self.moved.set(true);
        let counts = &mut *self.counts.borrow_mut();
        self.received.borrow_mut().pass(bytes, |told| counts.receive(told))
    }

    fn send(&self, bytes: &[u8]) {
        let counts = &mut *self.counts.borrow_mut();
        self.sent.borrow_mut().pass(bytes, |told| {
            if let Told::Head(frame) = told {
                counts.send(frame);
            }
            Pass::Yes
        });
    }

    /// A full socket that takes something again belongs to a client that reads.
    fn wrote(&self) {
        if self.waits.take() {
            self.moved.set(true);
        }
    }
}

/// Whether a connection is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    No,
}

/// Whether a header block is under way, and of which stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Block {
    Open(u32),
    #[default]
    Whole,
}

/// What a client has allowed to be sent on the stream that it did so for last, without a pause.
#[derive(Debug, Default)]
struct Granted {
    stream: u32,
    bytes: u64,
}

impl Counts {
    fn receive(&mut self, told: Told<'_>) -> Pass {
        self.broken = match told {
            Told::Head(frame) => self.begin(frame).err(),
            Told::Piece(piece, then) => self.carried.read(piece, then).err(),
        };
        if self.broken.is_some() { Pass::No } else { Pass::Yes }
    }

    fn begin(&mut self, frame: Frame) -> Result<(), h2::Reason> {
        if let Some(broken) = self.rule_broken_by(frame) {
            return Err(broken);
        }
        self.block = if frame.opens_block() { Block::Open(frame.stream) } else { Block::Whole };
        self.carried.begin(frame, if frame.stream > self.last { Section::Head } else { Section::Trailers });
        self.count(frame);
        if frame.ends_stream() || matches!(frame.kind, Kind::Reset(_)) {
            if self.ended.is_full() {
                self.ended.remove(0);
            }
            self.ended.push(frame.stream);
        }
        Ok(())
    }

    /// RFC 9113, sections 4.2, 5.1, 6.9.1 and 6.10.
    fn rule_broken_by(&mut self, frame: Frame) -> Option<h2::Reason> {
        if !frame.has_its_length() {
            return Some(h2::Reason::FRAME_SIZE_ERROR);
        }
        let in_place = match self.block {
            Block::Open(stream) => frame.continues_block() && frame.stream == stream,
            Block::Whole => !frame.continues_block(),
        };
        if !in_place || frame.is_push() {
            return Some(h2::Reason::PROTOCOL_ERROR);
        }
        if let Kind::Window(bytes) = frame.kind
            && self.grants_too_much(frame.stream, bytes)
        {
            return Some(h2::Reason::FLOW_CONTROL_ERROR);
        }
        let of_stream = matches!(frame.kind, Kind::Data | Kind::Headers);
        (of_stream && self.ended.contains(&frame.stream)).then_some(h2::Reason::STREAM_CLOSED)
    }

    /// Whether a stream's window cannot but be beyond its bound, even if all that went out was of that stream: the codec
    /// counts to the byte, but ignores what comes behind the end of an answer.
    fn grants_too_much(&mut self, stream: u32, bytes: u32) -> bool {
        if self.granted.stream != stream {
            self.granted = Granted { stream, bytes: 0 };
        }
        self.granted.bytes = self.granted.bytes.saturating_add(u64::from(bytes));
        self.granted.bytes > self.given.saturating_add(u64::from(WINDOW_BYTES_MAX))
    }

    fn count(&mut self, frame: Frame) {
        match frame.kind {
            Kind::Headers if frame.stream > self.last => {
                self.last = frame.stream;
                if self.opened.len() >= H2_UNHEARD_STREAMS_MAX {
                    self.opened.pop_front();
                }
                self.opened.push_back(frame.stream);
            }
            Kind::Reset(_) => self.resets = self.resets.saturating_add(1),
            Kind::Control | Kind::Window(_) => self.control = self.control.saturating_add(1),
            Kind::Headers | Kind::Data | Kind::Other => {}
        }
    }

    fn send(&mut self, frame: Frame) {
        match frame.kind {
            Kind::Data => {
                self.pieces = self.pieces.saturating_add(1);
                self.given = self.given.saturating_add(frame.length as u64);
            }
            // The codec has an answer of its own to one thing only.
            Kind::Headers => self.refuse(frame.stream, Reason::HeadersTooLarge),
            Kind::Reset(code) if h2::Reason::from(code) == h2::Reason::REFUSED_STREAM => {
                self.refuse(frame.stream, Reason::Overloaded);
            }
            Kind::Reset(_) => self.refuse(frame.stream, Reason::RequestMalformed),
            Kind::Control | Kind::Window(_) | Kind::Other => {}
        }
        if frame.ends_stream() {
            self.answered = self.answered.saturating_add(1);
        }
    }

    fn refuse(&mut self, stream: u32, reason: Reason) {
        if let Ok(at) = self.opened.binary_search(&stream) {
            self.opened.remove(at);
            self.unheard.push(Unheard { stream, reason });
        }
    }
}

/// A connection whose frames are counted. It is not read from any more once it is found to be flooded.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Transport,
    meter: Rc<Meter>,
}

impl Metered {
    pub(super) const fn new(inner: Transport, meter: Rc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever drives the connection looks at the meter when this waits.
        if self.meter.breach().is_some() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let (came, ended) = (buffer.filled().len(), buffer.filled().len() == before);
        let passed = self.meter.receive(buffer.filled().get(before..).unwrap_or_default());
        buffer.set_filled(before.saturating_add(passed).min(came));
        // Nothing read would mean the connection's end.
        if passed == 0 && !ended { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.inner).poll_write(cx, bytes)? else {
            self.meter.waits.set(true);
            return Poll::Pending;
        };
        self.meter.wrote();
        self.meter.send(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)? else {
            self.meter.waits.set(true);
            return Poll::Pending;
        };
        self.meter.wrote();
        let mut left = written;
        for piece in pieces {
            let sent = piece.get(..left.min(piece.len())).unwrap_or_default();
            self.meter.send(sent);
            left = left.saturating_sub(sent.len());
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
