//! A stream that carries another protocol, one side of two that are joined (RFC 8441).

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use crate::join::Side;

/// A client's stream after its answer of 200.
pub(super) struct Tunnel {
    receiving: RefCell<RecvStream>,
    sending: RefCell<SendStream<Bytes>>,
    /// What came last and was not moved on.
    inbox: RefCell<Bytes>,
    outbox: RefCell<Outbox>,
}

#[derive(Default)]
struct Outbox {
    /// What waits for the client to allow it.
    first: Bytes,
    /// What waits behind that.
    bytes: Vec<u8>,
}

impl Outbox {
    const fn len(&self) -> usize {
        self.first.len().saturating_add(self.bytes.len())
    }
}

impl Tunnel {
    pub(super) fn new(receiving: RecvStream, sending: SendStream<Bytes>) -> Self {
        Self {
            receiving: RefCell::new(receiving),
            sending: RefCell::new(sending),
            inbox: RefCell::default(),
            outbox: RefCell::default(),
        }
    }
}

/// How much of what waits may be sent, up to `most` bytes of it and at least one.
///
/// # Errors
/// The stream is gone.
pub(super) fn poll_room(
    sending: &mut SendStream<Bytes>,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    sending.reserve_capacity(most);
    loop {
        match sending.capacity() {
            0 => match ready!(sending.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => return Poll::Ready(Ok(room.min(most))),
        }
    }
}

impl Side for Tunnel {
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut receiving = self.receiving.borrow_mut();
        // Each turn uses up a frame that has come; the codec bounds how many of them are empty.
        loop {
            let Some(data) = ready!(receiving.poll_data(cx)) else { return Poll::Ready(Ok(0)) };
            let data = data.map_err(io::Error::other)?;
            if !data.is_empty() {
                let length = data.len();
                self.inbox.replace(data);
                return Poll::Ready(Ok(length));
            }
        }
    }

    fn move_to(&self, out: &mut Vec<u8>) -> usize {
        let data = self.inbox.take();
        out.extend_from_slice(&data);
        // A stream that is gone needs no room.
        let _ = self.receiving.borrow_mut().flow_control().release_capacity(data.len());
        data.len()
    }

    fn fill(&self, fill: impl FnOnce(&mut Vec<u8>) -> usize) -> usize {
        fill(&mut self.outbox.borrow_mut().bytes)
    }

    fn unsent(&self) -> usize {
        self.outbox.borrow().len()
    }

    fn held(&self) -> usize {
        self.unsent()
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (outbox, sending) = (&mut *self.outbox.borrow_mut(), &mut *self.sending.borrow_mut());
        while outbox.len() > 0 {
            if outbox.first.is_empty() {
                outbox.first = std::mem::take(&mut outbox.bytes).into();
            }
            let room = ready!(poll_room(sending, outbox.first.len(), cx))?;
            sending.send_data(outbox.first.split_to(room), false).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.sending.borrow_mut().send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(io::Error::other))
    }

    fn reset(&self) {
        self.sending.borrow_mut().send_reset(Reason::CANCEL);
    }
}
