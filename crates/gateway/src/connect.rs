//! Connections to upstreams: made within a time, proven over TLS, and ready for their protocol.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use std::{fmt, io};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio::sync::Notify;

use crate::body::Upload;
use crate::bounds::{UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_PING_TIME};
use crate::core::LocalExecutor;
use crate::descriptors::Descriptor;
use crate::endpoint::{Dial, Endpoint};
use crate::health::Trouble;
use crate::shared::Sender;
use crate::tls::Unproven;
use crate::transport::{Transport, set_up};

/// Why nothing of a request was sent to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconnected {
    /// It cannot be connected to, or closed what was connected.
    Unreachable,
    /// Its name has no address.
    Unresolved,
    /// It was connected to, and did not show that it speaks HTTP/2.
    NotHttp2,
    /// The system opens no more connections for this process, or for any: the upstream has no part in that.
    NoRoom,
    Unproven(Unproven),
}

impl Unconnected {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE) => Self::NoRoom,
            _ => Self::Unreachable,
        }
    }

    /// What it says of the upstream, if anything.
    pub(crate) fn trouble(self) -> Option<Trouble> {
        match self {
            Self::Unreachable => Some(Trouble::Unreachable),
            Self::Unresolved => Some(Trouble::Unresolved),
            Self::NotHttp2 => Some(Trouble::NotHttp2),
            Self::NoRoom => None,
            Self::Unproven(why) => Some(Trouble::Unproven(why.why())),
        }
    }
}

/// A connection to an endpoint, its TLS included, within `patience`.
pub(crate) async fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Transport, Unconnected> {
    let stage = Cell::new(Unconnected::Unreachable);
    let connecting = tokio::time::timeout(patience, secured(endpoint, &stage));
    connecting.await.unwrap_or(Err(stage.get()))
}

/// What it fails of if it takes too long is in `stage`.
async fn secured(endpoint: &Endpoint, stage: &Cell<Unconnected>) -> Result<Transport, Unconnected> {
    let connected = match &endpoint.dial {
        Dial::Path(path) => UnixStream::connect(path).await.map(Transport::Unix),
        Dial::Address(address) => tcp(address).await.map(Transport::Tcp),
        // It is looked up by `watch`, never here: a request waits at most for what is under way.
        Dial::Name(_) => {
            stage.set(Unconnected::Unresolved);
            let addresses = endpoint.addresses().await.ok_or(Unconnected::Unresolved)?;
            stage.set(Unconnected::Unreachable);
            tcp(&*addresses).await.map(Transport::Tcp)
        }
    };
    match (connected.map_err(|error| Unconnected::of(&error))?, &endpoint.upstream.tls) {
        (Transport::Tcp(tcp), Some(tls)) => tls.connect(tcp).await.map_err(Unconnected::Unproven),
        // TLS is spoken over TCP only: the configuration has no other.
        (_, Some(_)) => Err(Unconnected::Unreachable),
        (transport, None) => Ok(transport),
    }
}

async fn tcp(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    set_up(&SockRef::from(&stream))?;
    Ok(stream)
}

/// The same, for requests of HTTP/2; and how many requests it takes at once. Until the upstream has said that, it has
/// not shown that it speaks HTTP/2.
pub(crate) async fn connect_http2(
    endpoint: &Endpoint,
    patience: Duration,
    descriptor: Descriptor,
) -> Result<(Sender, Rc<Room>), Unconnected> {
    let stage = Cell::new(Unconnected::Unreachable);
    let connecting = tokio::time::timeout(patience, http2(endpoint, descriptor, &stage));
    connecting.await.unwrap_or(Err(stage.get()))
}

async fn http2(
    endpoint: &Endpoint,
    descriptor: Descriptor,
    stage: &Cell<Unconnected>,
) -> Result<(Sender, Rc<Room>), Unconnected> {
    let stream = secured(endpoint, stage).await?;
    stage.set(Unconnected::NotHttp2);
    let heard = Rc::new(Notify::new());
    let mut builder = http2::Builder::new(Observed(heard.clone()));
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(UPSTREAM_HEAD_BYTES_MAX as u32)
        .keep_alive_while_idle(true)
        .keep_alive_interval(UPSTREAM_PING_TIME)
        .keep_alive_timeout(UPSTREAM_PING_TIME)
        .initial_max_send_streams(UNKNOWN);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|_| Unconnected::NotHttp2)?;
    let room = Rc::new(Room { connection: RefCell::new(Some(connection)), heard });
    tokio::task::spawn_local(drive(room.clone(), descriptor));
    room.known().await.map(|()| (sender, room))
}

async fn drive(room: Rc<Room>, descriptor: Descriptor) {
    let ended = poll_fn(|cx| match &mut *room.connection.borrow_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an upstream connection ended");
    }
    // Dropped, it gives back the requests that wait for it.
    room.connection.take();
    drop(descriptor);
    room.heard.notify_one();
}

/// What stands for a number of streams that the upstream has not said yet.
const UNKNOWN: usize = 0;

/// An HTTP/2 connection, as far as it tells how many requests it takes at once.
pub(crate) struct Room {
    /// Until it has ended.
    connection: RefCell<Option<http2::Connection<TokioIo<Transport>, Upload, Observed>>>,
    heard: Rc<Notify>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("streams", &self.streams()).finish()
    }
}

impl Room {
    /// As many as its upstream last said.
    pub(crate) fn streams(&self) -> usize {
        self.connection.borrow().as_ref().map_or(UNKNOWN, http2::Connection::current_max_send_streams)
    }

    /// Waits until it is known.
    async fn known(&self) -> Result<(), Unconnected> {
        // The codec does not tell that it has read the upstream's settings: it is asked each time that it has read.
        while self.streams() == UNKNOWN {
            if self.connection.borrow().is_none() {
                return Err(Unconnected::NotHttp2);
            }
            self.heard.notified().await;
        }
        Ok(())
    }
}

/// Spawns the codec's tasks onto the core's own thread, and tells whenever one of them did something.
#[derive(Debug, Clone)]
struct Observed(Rc<Notify>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Observed {
    fn execute(&self, future: F) {
        let heard = self.0.clone();
        let mut future = Box::pin(future);
        LocalExecutor.execute(poll_fn(move |cx| {
            let polled = future.as_mut().poll(cx);
            heard.notify_one();
            polled
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_has_no_room_for_says_nothing_of_an_upstream() {
        let of = |errno: Errno| Unconnected::of(&errno.into());
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert_eq!((of(errno), of(errno).trouble()), (Unconnected::NoRoom, None));
        }
        assert_eq!(of(Errno::CONNREFUSED).trouble(), Some(Trouble::Unreachable));
    }
}
