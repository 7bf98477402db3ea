//! Listening: sockets, connections, and which codec turns their bytes into heads.
//!
//! HTTP/1.1 and HTTP/2 share one port: told apart by what was agreed on in the TLS handshake, or without TLS by their
//! first bytes. A believed proxy's connection may begin with a header of the PROXY protocol, before anything else.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsStream;

use crate::announced::announced;
use crate::bounds::{DRAIN_QUIET_TIME, HEAD_TIME_MAX};
use crate::connections::Why;
use crate::core::{Core, Phase, draining};
use crate::descriptors::Toward;
use crate::gateway::StartError;
use crate::peer::{Caller, Peer, Security};
use crate::source::{Place, Sources, Standing};
use crate::tls::{Doors, ServerTls, Spoken};
use crate::transport::{Transport, set_up};
use crate::{h1, h2};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1_024;
/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The sockets given, or one for each core at this address.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn sockets(
    given: Vec<std::net::TcpListener>,
    address: SocketAddr,
    cores: usize,
) -> Result<Vec<std::net::TcpListener>, StartError> {
    let mut address = address;
    let failed = |address| move |source| StartError::Bind { address, source };
    if !given.is_empty() {
        for socket in &given {
            prepare(&SockRef::from(socket)).map_err(failed(address))?;
        }
        return Ok(given);
    }
    if address.port() != 0 {
        bind(address, Share::Nobody).map_err(failed(address))?;
    }
    let mut sockets = Vec::with_capacity(cores);
    for _ in 0..cores {
        let socket = bind(address, Share::Cores).map_err(failed(address))?;
        address = socket.local_addr().map_err(failed(address))?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Deals sockets to cores: each core has one, and each socket has a core, however many there are of both.
///
/// # Errors
/// Out of descriptors.
pub(crate) fn deal(
    sockets: &[std::net::TcpListener],
    cores: usize,
) -> std::io::Result<Vec<Vec<std::net::TcpListener>>> {
    let mut hands: Vec<Vec<_>> = std::iter::repeat_with(Vec::new).take(cores).collect();
    let mut turn = sockets.iter().cycle();
    for place in 0..sockets.len().max(cores) {
        if let (Some(hand), Some(socket)) = (hands.get_mut(place % cores.max(1)), turn.next()) {
            hand.push(socket.try_clone()?);
        }
    }
    Ok(hands)
}

/// Whether a socket may share its address with others of the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// The cores of one node do.
    Cores,
    /// Nobody else has the address: asked first, so that two nodes never share a port unnoticed.
    Nobody,
}

/// A listening socket.
///
/// # Errors
/// The address cannot be bound.
fn bind(address: SocketAddr, share: Share) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share == Share::Cores)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what each connection has from the socket that accepts it, and so need not be told by itself.
fn prepare(socket: &Socket) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    set_up(socket)
}

/// Accepts and serves connections until the node drains, those that wait to be accepted by then included; connections
/// go on by themselves.
pub(crate) async fn serve(
    core: Rc<Core>,
    listener: TcpListener,
    doors: Arc<Doors>,
    sources: Arc<Sources>,
    phase: watch::Receiver<Phase>,
) {
    let open = |stream: TcpStream, peer: SocketAddr| match core.descriptors.take(Toward::Client) {
        Some(descriptor) => {
            let (core, phase) = (core.clone(), phase.clone());
            let counted = (descriptor, sources.connections.enter());
            let met = (doors.tls(), sources.clone());
            tokio::task::spawn_local(async move {
                connection(&core, stream, peer.ip().to_canonical(), met, phase).await;
                drop(counted);
            });
        }
        None => sources.connections.turn_away(Why::Core, peer.ip().to_canonical(), core.clock.now()),
    };
    loop {
        let mut stop = phase.clone();
        let accepted = tokio::select! {
            biased;
            () = draining(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => open(stream, peer),
            Err(error) => {
                // Out of descriptors: going on at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // The system resets what still waits when the socket is closed, whatever was sent already.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..BACKLOG {
        let Ok((stream, peer)) = listener.accept() else { return };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            open(stream, peer);
        }
    }
}

async fn connection(
    core: &Rc<Core>,
    stream: TcpStream,
    ip: IpAddr,
    (tls, sources): (Option<Arc<ServerTls>>, Arc<Sources>),
    phase: watch::Receiver<Phase>,
) {
    // Boxed: what it takes to open a connection is not held for as long as it lasts.
    let opened = Box::pin(in_time(open(stream, ip, tls, &sources), phase)).await;
    let Opened { mut transport, caller, spoken, place } = match opened {
        Some(Ok(opened)) => opened,
        // Nothing was asked: there is nothing to answer.
        Some(Err(NotOpened::TurnedAway(why, error))) => {
            let last = format_args!("{ip}: {error}");
            return sources.connections.turn_away(why, last, core.clock.now());
        }
        Some(Err(NotOpened::Left(error))) => {
            return tracing::debug!(%error, "a client did not begin to speak HTTP");
        }
        None => return,
    };
    match spoken {
        // The codecs are much larger than what waits for the first byte.
        Spoken::Http1 => Box::pin(h1::serve::serve(core, transport, &caller)).await,
        Spoken::Http2 => Box::pin(h2::serve(core, transport, Rc::new(caller))).await,
        Spoken::Nothing => {
            // It waits for our end of the connection (RFC 8737, section 3); one that is gone has what it came for.
            let _ = tokio::time::timeout(HEAD_TIME_MAX, transport.shutdown()).await;
        }
    }
    drop(place);
}

/// Waits for a connection to open; `None` if it takes too long, or the node drains and nothing was asked yet.
async fn in_time<T>(opening: impl Future<Output = T>, mut phase: watch::Receiver<Phase>) -> Option<T> {
    let silent = async {
        draining(&mut phase).await;
        tokio::time::sleep(DRAIN_QUIET_TIME).await;
    };
    tokio::select! {
        opened = tokio::time::timeout(HEAD_TIME_MAX, opening) => opened.ok(),
        () = silent => None,
    }
}

/// A connection of which it is known who is at its other end, and what it speaks.
struct Opened {
    transport: Transport,
    caller: Caller,
    spoken: Spoken,
    /// Among the connections of its source; a believed proxy that speaks for many has none.
    place: Option<Place>,
}

/// Why nothing can be asked over a connection.
enum NotOpened {
    TurnedAway(Why, io::Error),
    /// Its client went away.
    Left(io::Error),
}

impl NotOpened {
    /// Whoever leaves before it has said what it was to say was not turned away: load balancers look so who is there.
    fn by(why: Why) -> impl FnOnce(io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        move |error| match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::Left(error),
            _ => Self::TurnedAway(why, error),
        }
    }
}

async fn open(
    mut stream: TcpStream,
    ip: IpAddr,
    tls: Option<Arc<ServerTls>>,
    sources: &Arc<Sources>,
) -> Result<Opened, NotOpened> {
    let callers = sources.callers();
    let (ip, place) = match callers.standing(ip) {
        Standing::Caller => (ip, Some(count(sources, ip)?)),
        Standing::Forwards => (ip, None),
        Standing::Announces => match announced(&mut stream).await.map_err(NotOpened::by(Why::ProxyHeader))? {
            Some(client) => (client, Some(count(sources, client)?)),
            None => (ip, None),
        },
    };
    let (transport, security, shown, spoken) = match tls {
        None => {
            let spoken = spoken(&stream).await.map_err(NotOpened::Left)?;
            (Transport::Tcp(stream), Security::None, None, spoken)
        }
        Some(tls) => {
            let server = tls;
            let tls = server.accept(stream).await.map_err(NotOpened::by(Why::Handshake))?;
            let shown = server.shown(&tls).map_err(NotOpened::by(Why::Handshake))?;
            let spoken = Spoken::over(&tls);
            let name = tls.get_ref().1.server_name().map(|name| name.to_ascii_lowercase().into());
            (Transport::Tls(Box::new(TlsStream::Server(tls))), Security::Tls(name), shown, spoken)
        }
    };
    Ok(Opened { transport, caller: Caller::new(Peer::new(ip, security, shown), callers), spoken, place })
}

fn count(sources: &Arc<Sources>, ip: IpAddr) -> Result<Place, NotOpened> {
    let full = || io::Error::other("it has to close one before it opens another");
    sources.count(ip).ok_or_else(|| NotOpened::TurnedAway(Why::Source, full()))
}

/// Looks at the first bytes without taking them. Whoever begins the preface of HTTP/2 has to finish it.
async fn spoken(stream: &TcpStream) -> std::io::Result<Spoken> {
    let mut first = [0; H2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let start = first.get(..seen).unwrap_or_default();
        if seen == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if !H2_PREFACE.starts_with(start) {
            return Ok(Spoken::Http1);
        }
        if seen == H2_PREFACE.len() {
            return Ok(Spoken::Http2);
        }
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // Peeking again at the same bytes returns at once; look again when more may have come.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::TCP_KEEP_ALIVE_TIME;

    #[test]
    fn a_connection_sends_at_once_and_is_asked_after_whoever_bound_its_socket() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let given = std::net::TcpListener::bind(any).unwrap();
        for sockets in [sockets(vec![given], any, 1).unwrap(), sockets(Vec::new(), any, 1).unwrap()] {
            let listener = &sockets[0];
            listener.set_nonblocking(false).unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let accepted = SockRef::from(&accepted);
            assert!(accepted.tcp_nodelay().unwrap() && accepted.keepalive().unwrap());
            assert_eq!(accepted.tcp_keepalive_time().unwrap(), TCP_KEEP_ALIVE_TIME);
        }
    }
}
