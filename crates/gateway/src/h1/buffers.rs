//! What a connection reads into and writes from.
//!
//! A connection has buffers only while something is in them. Between two uses they are the core's: the one used last is
//! used next, while the processor's caches still hold it. What a buffer held is never read again. Not here: framing.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;

use crate::bounds::{INBOX_BYTES, KEPT_BUFFER_BYTES_MAX, SPARE_BUFFERS_MAX};
use crate::transport::Transport;

/// What was read, from `start` to `end` of a buffer that was zeroed once.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the last read left no room: then there is more, and a longer buffer saves calls.
    was_filled: bool,
}

impl Inbox {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.buffer.capacity() == 0
    }

    /// Takes in the first bytes.
    ///
    /// INVARIANT: they are [`INBOX_BYTES`] at most: so much was there to read into.
    pub(super) fn begin(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.buffer = spare_inbox();
        if let Some(room) = self.buffer.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        (self.start, self.end, self.was_filled) = (0, bytes.len(), bytes.len() == INBOX_BYTES);
    }

    /// So many bytes were read into the room for more.
    pub(super) const fn add(&mut self, bytes: usize, was_filled: bool) {
        self.end = self.end.saturating_add(bytes);
        self.was_filled = was_filled;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            // Where more is to come in one piece, the buffer grows.
            if !self.was_filled && self.buffer.len() == INBOX_BYTES {
                keep_inbox(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Room for more, unless `most` bytes are there already.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        if self.len() >= most {
            return None;
        }
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.end == self.buffer.len() || (self.was_filled && self.buffer.len() < most) {
            let longer = self.buffer.len().saturating_mul(2).clamp(INBOX_BYTES, most.max(INBOX_BYTES));
            self.buffer.resize(longer, 0);
        }
        self.buffer.get_mut(self.end..)
    }

    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            keep_inbox(std::mem::take(self).buffer);
        }
    }
}

/// What is to be written, `sent` bytes of which are.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    sent: usize,
    pub(super) begun: Begun,
    /// How much was ever written.
    pub(super) passed: u64,
}

/// Whether something of a message has gone out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Begun {
    #[default]
    No,
    Yes,
}

impl Outbox {
    /// Where more is put.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare_outbox();
        }
        &mut self.bytes
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn unsent(&self) -> usize {
        self.rest().len()
    }

    pub(super) fn poll_flush(
        &mut self,
        io: &RefCell<Transport>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let written = ready!(Pin::new(&mut *io.borrow_mut()).poll_write(cx, self.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = Begun::Yes;
            self.sent = self.sent.saturating_add(written);
            self.passed = self.passed.saturating_add(written as u64);
        }
        self.reset();
        // TLS may hold some of it back.
        Pin::new(&mut *io.borrow_mut()).poll_flush(cx)
    }

    pub(super) fn reset(&mut self) {
        if self.unsent() > 0 {
            return;
        }
        self.sent = 0;
        keep_outbox(std::mem::take(&mut self.bytes));
    }
}

thread_local! {
    static INBOXES: Spares<Vec<u8>> = const { Spares::new() };
    static OUTBOXES: Spares<Vec<u8>> = const { Spares::new() };
}

/// What a core keeps for the next use, the last one first.
pub(super) struct Spares<T>(RefCell<Vec<T>>);

impl<T> Spares<T> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.borrow_mut().pop()
    }

    pub(super) fn keep(&self, one: T) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < SPARE_BUFFERS_MAX {
            kept.push(one);
        }
    }
}

/// [`INBOX_BYTES`] to read into.
fn spare_inbox() -> Vec<u8> {
    INBOXES.with(Spares::take).unwrap_or_else(|| vec![0; INBOX_BYTES])
}

/// An empty buffer to write into.
fn spare_outbox() -> Vec<u8> {
    OUTBOXES.with(Spares::take).unwrap_or_default()
}

/// Takes back what [`spare_inbox`] gave, if it is still as long.
fn keep_inbox(buffer: Vec<u8>) {
    if buffer.len() == INBOX_BYTES {
        INBOXES.with(|spares| spares.keep(buffer));
    }
}

/// Takes back what [`spare_outbox`] gave, unless it has grown long.
fn keep_outbox(mut buffer: Vec<u8>) {
    if (1..=KEPT_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
        buffer.clear();
        OUTBOXES.with(|spares| spares.keep(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_keeps_so_many_and_gives_the_last_one_first() {
        let spares = Spares::new();
        for one in 0..=SPARE_BUFFERS_MAX {
            spares.keep(one);
        }
        let taken: Vec<_> = std::iter::from_fn(|| spares.take()).collect();
        assert_eq!(taken, (0..SPARE_BUFFERS_MAX).rev().collect::<Vec<_>>());
    }
}
