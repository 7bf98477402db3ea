//! A wire: one HTTP/1 connection with what was read of it and what is to be written to it.
//!
//! Touched by one task at a time, though by several of its parts: a body is read while another is written. Nothing
//! here waits or knows HTTP beyond the framing of the body that is under way.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::buffers::{Begun, Inbox, Outbox};
use super::framing::{Decoded, Decoder, Unframed};
use crate::bounds::{BODY_INBOX_BYTES_MAX, INBOX_BYTES, PIECE_BYTES_MAX};
use crate::descriptors::Descriptor;
use crate::fields::FieldList;
use crate::join::Side;
use crate::transport::Transport;

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    io: RefCell<Transport>,
    /// Of a connection to an upstream; clients are counted from their first byte on (see `listen`).
    _descriptor: Option<Descriptor>,
    inbox: RefCell<Inbox>,
    outbox: RefCell<Outbox>,
    /// Of the message that is being read.
    decoder: RefCell<Decoder>,
    /// Of the message whose last bytes were handed out.
    trailers: RefCell<Option<HeaderMap>>,
    /// What the client waits for before it sends its body.
    pub(crate) expects_continue: Cell<bool>,
    /// Whether it was told to go on, and that may not have gone out.
    continues: Cell<bool>,
    /// Room for the fields of the next message, kept from one before.
    spare: RefCell<FieldList>,
}

/// What came of reading a piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Some bytes were handed out; more may follow.
    Data,
    /// The body is complete, with its trailers.
    ///
    /// INVARIANT: no bytes were handed out with it: whoever sees it may drop what it offered for them.
    End(Option<HeaderMap>),
}

/// Why a body cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// Its bytes are not framed as they should be.
    #[error("the body is not framed as HTTP frames bodies")]
    Malformed,
    /// Its sender is gone.
    #[error("the connection ended within the body")]
    Gone,
}

impl From<Unframed> for Broken {
    fn from(why: Unframed) -> Self {
        match why {
            Unframed::Malformed => Self::Malformed,
            Unframed::Early => Self::Gone,
        }
    }
}

impl Wire {
    pub(crate) fn new(stream: Transport) -> Self {
        Self::counted(stream, None)
    }

    pub(crate) fn counted(stream: Transport, descriptor: Option<Descriptor>) -> Self {
        Self {
            io: RefCell::new(stream),
            _descriptor: descriptor,
            inbox: RefCell::default(),
            outbox: RefCell::default(),
            decoder: RefCell::default(),
            trailers: RefCell::default(),
            expects_continue: Cell::new(false),
            continues: Cell::new(false),
            spare: RefCell::default(),
        }
    }

    /// Room for fields.
    pub(crate) fn take_spare(&self) -> FieldList {
        self.spare.take()
    }

    /// Fields that are not needed any more: their room is.
    pub(crate) fn keep_spare(&self, fields: FieldList) {
        self.spare.replace(fields.emptied());
    }

    /// What was read and not yet used.
    pub(crate) fn inbox(&self) -> Ref<'_, [u8]> {
        Ref::map(self.inbox.borrow(), Inbox::bytes)
    }

    /// The first `bytes` that were read are used.
    pub(crate) fn consume(&self, bytes: usize) {
        self.inbox.borrow_mut().consume(bytes);
    }

    /// Where what is to be written is put.
    pub(crate) fn outbox(&self) -> RefMut<'_, Vec<u8>> {
        RefMut::map(self.outbox.borrow_mut(), Outbox::room)
    }

    /// A message begins with what is in the outbox now.
    pub(crate) fn begin_sending(&self) {
        self.outbox.borrow_mut().begun = Begun::No;
    }

    /// Whether nothing has gone out of the message that was begun last.
    pub(crate) fn has_sent_nothing(&self) -> bool {
        self.outbox.borrow().begun == Begun::No
    }

    /// An answer is written from now on: nobody is told to continue any more.
    pub(crate) fn begin_answer(&self) {
        self.expects_continue.set(false);
        self.continues.set(false);
    }

    /// How much waits to be written.
    pub(crate) fn unsent(&self) -> usize {
        self.outbox.borrow().unsent()
    }

    /// How many bytes were ever written.
    pub(crate) fn passed(&self) -> u64 {
        self.outbox.borrow().passed
    }

    /// Begins the body of the message whose head was read.
    pub(crate) fn begin_body(&self, decoder: Decoder) {
        self.decoder.replace(decoder);
        self.trailers.take();
    }

    /// Whether all of the present message has been read.
    pub(crate) fn is_body_read(&self) -> bool {
        self.decoder.borrow().is_done()
    }

    /// Whether trailers wait to be handed out.
    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.borrow().is_some()
    }

    /// How much of the present message's body is still to come, where that is known.
    pub(crate) fn body_remaining(&self) -> Option<u64> {
        self.decoder.borrow().remaining()
    }

    /// Reads what there is, once; 0 at the connection's end. The inbox holds at most `most` bytes.
    ///
    /// # Errors
    /// Of the connection; `OutOfMemory` when the inbox is full.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.is_settled() {
            return self.poll_read_first(cx, &mut inbox);
        }
        let Some(room) = inbox.room(most) else {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        };
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        let was_filled = buffer.remaining() == 0;
        inbox.add(read, was_filled);
        Poll::Ready(Ok(read))
    }

    /// The same where there is no buffer: whoever says nothing takes no room.
    fn poll_read_first(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; INBOX_BYTES];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, &mut buffer))?;
        inbox.begin(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes until nothing waits to be written.
    ///
    /// # Errors
    /// Of the connection.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.borrow_mut().poll_flush(&self.io, cx)
    }

    /// Ends the connection so that the other side cannot take what it has for the whole.
    pub(crate) fn reset(&self) {
        self.io.borrow().reset();
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    /// Of the connection.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }

    /// Reads a piece of the body that is under way, at most [`PIECE_BYTES_MAX`], behind what is in `out`.
    pub(crate) fn poll_body(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<Piece, Broken>> {
        loop {
            let decoded = {
                let mut inbox = self.inbox.borrow_mut();
                let decoded = self.decoder.borrow_mut().decode(inbox.bytes(), out, PIECE_BYTES_MAX)?;
                let (Decoded::Used(used) | Decoded::End(used, _)) = decoded;
                inbox.consume(used);
                decoded
            };
            match decoded {
                Decoded::End(0, _) => return Poll::Ready(Ok(Piece::End(self.trailers.take()))),
                // The end itself is told when asked again: it costs nothing.
                Decoded::End(_, trailers) => {
                    self.trailers.replace(trailers);
                    return Poll::Ready(Ok(Piece::Data));
                }
                Decoded::Used(1..) => return Poll::Ready(Ok(Piece::Data)),
                Decoded::Used(0) => {}
            }
            self.ask_to_continue(cx);
            match ready!(self.poll_read(cx, BODY_INBOX_BYTES_MAX)) {
                Ok(0) => {
                    self.decoder.borrow_mut().close()?;
                    return Poll::Ready(Ok(Piece::End(None)));
                }
                // A connection that was reset did not end.
                Err(_) => return Poll::Ready(Err(Broken::Gone)),
                Ok(_) => {}
            }
        }
    }

    /// Lets a client that waits for it send its body.
    fn ask_to_continue(&self, cx: &mut Context<'_>) {
        if self.expects_continue.take() {
            self.outbox().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.continues.set(true);
        }
        // An answer is flushed by whoever gives it: two tasks may not wait to write to one connection. One that
        // cannot be written to is found out by them, too.
        if self.continues.get() && self.poll_flush(cx).is_ready() {
            self.continues.set(false);
        }
    }

    /// Whether the other side said or ended something while it had nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let clean = self.inbox.borrow().is_empty() && self.is_body_read() && self.unsent() == 0;
        clean && self.io.borrow_mut().is_quiet()
    }

    /// Whether all was said on both sides, as far as is known. Over TLS the last word is still to be said.
    pub(crate) fn may_close(&self) -> bool {
        !matches!(&*self.io.borrow(), Transport::Tls(_)) && self.is_quiet()
    }

    /// Ready when the other side is gone, while nothing of it is waited for. What it sends meanwhile is kept for
    /// later, up to [`BODY_INBOX_BYTES_MAX`], beyond which it is not looked at.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.inbox.borrow().len() >= BODY_INBOX_BYTES_MAX {
                return Poll::Pending;
            }
            match ready!(self.poll_read(cx, BODY_INBOX_BYTES_MAX)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Gives back what is not in use.
    pub(crate) fn shrink(&self) {
        self.inbox.borrow_mut().shrink();
        self.outbox.borrow_mut().reset();
    }
}

impl Side for Wire {
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(cx, INBOX_BYTES)
    }

    fn move_to(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        out.extend_from_slice(&self.inbox());
        let moved = out.len().saturating_sub(before);
        self.consume(moved);
        moved
    }

    fn fill(&self, fill: impl FnOnce(&mut Vec<u8>) -> usize) -> usize {
        fill(&mut self.outbox())
    }

    fn unsent(&self) -> usize {
        self.unsent()
    }

    fn held(&self) -> usize {
        self.outbox.borrow().bytes.len()
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown(cx)
    }

    fn reset(&self) {
        self.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    impl Wire {
        /// A wire, and the other end of its connection.
        pub(crate) async fn connected() -> (Self, TcpStream) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            (Self::new(Transport::Tcp(listener.accept().await.unwrap().0)), far)
        }
    }

    async fn read(wire: &Wire) -> io::Result<usize> {
        poll_fn(|cx| wire.poll_read(cx, 2 * INBOX_BYTES)).await
    }

    #[tokio::test]
    async fn a_wire_with_nothing_in_it_holds_nothing_and_reads_on() {
        let (wire, mut far) = Wire::connected().await;
        for round in [b"one", b"two"] {
            far.write_all(round).await.unwrap();
            assert_eq!(read(&wire).await.unwrap(), 3);
            wire.shrink();
            assert_eq!(&*wire.inbox(), round, "what is not used is kept");
            wire.consume(3);
            wire.outbox().extend_from_slice(b"answer");
            wire.shrink();
            assert_eq!(wire.unsent(), 6, "what is not sent is kept");
            poll_fn(|cx| wire.poll_flush(cx)).await.unwrap();
            assert!(wire.inbox.borrow().is_settled() && wire.outbox.borrow().bytes.capacity() == 0);
            assert!(poll_fn(|cx| Poll::Ready(wire.poll_read(cx, INBOX_BYTES))).await.is_pending());
            assert!(wire.inbox.borrow().is_settled(), "nor does waiting take any");
        }
        let long = vec![b'a'; 2 * INBOX_BYTES];
        far.write_all(&long).await.unwrap();
        while wire.inbox().len() < long.len() {
            read(&wire).await.unwrap();
        }
        assert_eq!(&*wire.inbox(), long);
        assert_eq!(read(&wire).await.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[tokio::test]
    async fn what_one_wire_read_and_wrote_no_other_sees_in_the_same_buffers() {
        let ((one, mut far_one), (other, mut far_other)) = (Wire::connected().await, Wire::connected().await);
        far_one.write_all(&[b's'; 1_000]).await.unwrap();
        while one.inbox().len() < 1_000 {
            read(&one).await.unwrap();
        }
        let (held, sent) = (one.inbox().as_ptr(), {
            let mut out = one.outbox();
            out.extend_from_slice(&[b's'; 1_000]);
            out.as_ptr()
        });
        one.consume(1_000);
        poll_fn(|cx| one.poll_flush(cx)).await.unwrap();

        far_other.write_all(b"x").await.unwrap();
        assert_eq!(read(&other).await.unwrap(), 1);
        assert_eq!((other.inbox().as_ptr(), &*other.inbox()), (held, &b"x"[..]), "the same buffer");
        let mut moved = Vec::new();
        assert_eq!((other.move_to(&mut moved), &moved[..]), (1, &b"x"[..]));
        assert_eq!(other.outbox().as_ptr(), sent, "the same buffer");
        assert_eq!(other.unsent(), 0);
    }
}
