//! What carries a connection's bytes: TCP alone, TLS over it, or a Unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use crate::bounds::TCP_KEEP_ALIVE_TIME;

/// A connection's bytes, in the clear on this side.
///
/// Over TLS an end without the other side's word for it is an error, so that an answer cannot be cut short
/// unnoticed (RFC 8446, section 6.1).
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed: its state is ten times as large as a socket's.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Whether the other side said nothing and ended nothing that is not read yet. Over TLS this takes in what
    /// is no data, such as tickets.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        match self {
            Self::Tcp(tcp) => would_block(tcp.try_read(&mut byte)),
            Self::Unix(unix) => would_block(unix.try_read(&mut byte)),
            Self::Tls(tls) => {
                let mut buffer = ReadBuf::new(&mut byte);
                Pin::new(tls).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer).is_pending()
            }
        }
    }

    /// Has the connection end with a reset once it is dropped.
    pub(crate) fn reset(&self) {
        let socket = match self {
            Self::Tcp(tcp) => SockRef::from(tcp),
            Self::Tls(tls) => SockRef::from(tls.get_ref().0),
            // What was written to it cannot be taken back.
            Self::Unix(_) => return,
        };
        // A connection that is gone needs no reset.
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }
}

/// Has a TCP socket send what it is given at once, and the system ask whether its other end is still there: one that
/// vanished says nothing.
///
/// # Errors
/// The system refuses; of a connection: it is gone.
pub(crate) fn set_up(socket: &Socket) -> io::Result<()> {
    let often = TcpKeepalive::new().with_time(TCP_KEEP_ALIVE_TIME).with_interval(TCP_KEEP_ALIVE_TIME / 4);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&often)
}

fn would_block(read: io::Result<usize>) -> bool {
    matches!(read, Err(why) if why.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, pieces),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Unix(unix) => unix.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Unix(unix) => Pin::new(unix).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
