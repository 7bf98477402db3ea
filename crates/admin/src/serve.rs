//! The console on its listeners: HTTP/1.1 with bounds on connections, heads, waits and drain.
//!
//! The two listeners have separate bounds, so that a crowd at the console's port cannot keep an administrator
//! from the socket. A peer at the socket is asked of the kernel who they are, before one byte is read.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use access::id::Name;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::console::Console;
use crate::session::Door;
use crate::stall::Impatient;

/// Connections of one listener open at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take to arrive, and a connection may be idle between two.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// The same while fewer than half of a listener's connections are free: who says nothing makes room.
pub const HEAD_WAIT_CROWDED_MAX: Duration = Duration::from_secs(1);
/// The longest head of a request, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// How long requests under way may take to finish when the listener stops.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long to wait before accepting again when the system has no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The user of the operating system with this number, by name.
pub type NameOf = Arc<dyn Fn(u32) -> Option<Name> + Send + Sync>;

/// Where the console is reached.
pub enum Listener {
    /// The console listener, for sessions.
    Tcp {
        /// The port.
        listener: TcpListener,
        /// What is done with a connection before it is spoken over.
        secure: Arc<dyn Secure>,
    },
    /// The server's own socket.
    Socket {
        /// The socket.
        listener: UnixListener,
        /// The number of the user this process runs as; they and user 0 are let in.
        own_uid: u32,
        /// How users of the operating system are called.
        name_of: NameOf,
    },
}

/// A connection in the clear on this side.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is being opened.
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// How connections to the console's port are secured.
pub trait Secure: Send + Sync {
    /// Shakes hands with a client. Ended from outside when it takes longer than [`HEAD_WAIT_MAX`].
    fn open(&self, stream: TcpStream) -> Opening;
}

/// Tells streams without an end of their own that the listener stops.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(crate) async fn stopped(&mut self) {
        // A sender that is gone has stopped as well.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

enum Arrived {
    Tcp(Opening),
    Socket(UnixStream, Name),
}

impl Listener {
    async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Self::Tcp { listener, secure } => {
                let (stream, _) = listener.accept().await?;
                Ok(Arrived::Tcp(secure.open(stream)))
            }
            Self::Socket { listener, own_uid, name_of } => {
                let (stream, _) = listener.accept().await?;
                let name = admitted(&stream, *own_uid, name_of)?;
                Ok(Arrived::Socket(stream, name))
            }
        }
    }
}

/// The server's own user, and root.
const fn may_enter(uid: u32, own_uid: u32) -> bool {
    uid == own_uid || uid == 0
}

/// Who is at the other end, if they may be.
fn admitted(stream: &UnixStream, own_uid: u32, name_of: &NameOf) -> io::Result<Name> {
    let uid = stream.peer_cred()?.uid();
    if !may_enter(uid, own_uid) {
        let why = format!("user {uid} is neither this server's own nor root");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let name = name_of(uid).or_else(|| format!("uid-{uid}").parse().ok());
    name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the peer has no name"))
}

/// Serves the console on a listener until `stop` resolves; then requests under way have [`DRAIN_WAIT_MAX`].
pub async fn serve(listener: Listener, console: &Console, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut connections = Connections::new(console);
    loop {
        let arrived = tokio::select! {
            () = &mut stop => break,
            arrived = connections.next(&listener) => arrived,
        };
        match arrived {
            Ok((arrived, slot)) => connections.open(arrived, slot),
            Err(fault) => {
                tracing::warn!(%fault, "a connection to the console was not accepted");
                if fault.kind() != io::ErrorKind::PermissionDenied {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    connections.drain().await;
}

struct Connections {
    console: Console,
    tcp: Router,
    slots: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    open: JoinSet<()>,
}

impl Connections {
    fn new(console: &Console) -> Self {
        Self {
            tcp: console.router(&Door::Tcp),
            console: console.clone(),
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stopping: watch::Sender::new(false),
            open: JoinSet::new(),
        }
    }

    /// The next connection, when there is a slot for it.
    async fn next(&self, listener: &Listener) -> io::Result<(Arrived, OwnedSemaphorePermit)> {
        let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok((listener.accept().await?, slot))
    }

    fn open(&mut self, arrived: Arrived, slot: OwnedSemaphorePermit) {
        while self.open.try_join_next().is_some() {}
        let stopping = Stopping(self.stopping.subscribe());
        let crowded = self.slots.available_permits() < CONNECTIONS_MAX / 2;
        let wait = if crowded { HEAD_WAIT_CROWDED_MAX } else { HEAD_WAIT_MAX };
        match arrived {
            Arrived::Tcp(opening) => {
                let router = self.tcp.clone();
                self.open.spawn(async move {
                    match tokio::time::timeout(wait, opening).await {
                        Ok(Ok(stream)) => attend(stream, router, stopping, wait, slot).await,
                        Ok(Err(fault)) => {
                            tracing::debug!(%fault, "a connection to the console was not secured");
                        }
                        Err(_elapsed) => {}
                    }
                });
            }
            Arrived::Socket(stream, name) => {
                let router = self.console.router(&Door::Socket(name));
                self.open.spawn(attend(stream, router, stopping, wait, slot));
            }
        }
    }

    async fn drain(mut self) {
        self.stopping.send_replace(true);
        let all = async { while self.open.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WAIT_MAX, all).await.is_err() {
            tracing::warn!("console connections were still open at the end of the drain");
        }
        self.open.shutdown().await;
    }
}

async fn attend<S>(stream: S, router: Router, stopping: Stopping, wait: Duration, _slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = stopping.clone();
    let service = TowerToHyperService::new(router.layer(Extension(stopping)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(wait)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = ended {
        tracing::debug!(%fault, "a connection to the console ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lets_in_its_owner_and_root_and_nobody_else() {
        let let_in = |uid| may_enter(uid, 1_000);
        assert_eq!(
            [0, 1_000, 999, 1_001, 65_534, u32::MAX].map(let_in),
            [true, true, false, false, false, false]
        );
    }
}
