//! Listening: sockets, connections, and the codec that turns bytes into heads.
//!
//! HTTP/1.1 and HTTP/2 (by prior knowledge) share one port. What the HTTP/1.1 codec itself refuses has a row too.
//! Not here yet: rows for what the HTTP/2 codec refuses, and an end for clients that are slow.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use access::arrival::BodyLength;
use access::{Reason, Refused};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::arrival::{Fields, Head};
use crate::bounds::{
    CODEC_HEAD_BYTES_MAX, CODEC_HEADERS_MAX, CUT_TIME_MAX, H2_HEADER_LIST_BYTES_MAX, H2_RESETS_PENDING_MAX,
    H2_STREAMS_MAX, HEAD_TIME_MAX,
};
use crate::core::{Core, LocalExecutor, Phase, draining};
use crate::peer::Peer;
use crate::streams::Line;
use crate::trace::trace_id;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1_024;
/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a socket may share its address with others of the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// The cores of one node do.
    Cores,
    /// Nobody else has the address: asked first, so that two nodes never share a port unnoticed.
    Nobody,
}

/// A listening socket.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn bind(address: SocketAddr, share: Share) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share == Share::Cores)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts and serves connections until the node drains, then returns; connections go on by themselves.
pub(crate) async fn serve(
    core: Rc<Core>,
    listener: TcpListener,
    connections_max: usize,
    phase: watch::Receiver<Phase>,
) {
    loop {
        let mut stop = phase.clone();
        let accepted = tokio::select! {
            biased;
            () = draining(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match core.count_connection(connections_max) {
                Some(counted) => {
                    let (core, phase) = (core.clone(), phase.clone());
                    tokio::task::spawn_local(async move {
                        connection(&core, stream, Rc::new(Peer::new(peer.ip())), phase).await;
                        drop(counted);
                    });
                }
                None => tracing::warn!("a connection was closed: as many are open as one core takes"),
            },
            Err(error) => {
                // Out of descriptors: going on at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(core: &Rc<Core>, stream: TcpStream, peer: Rc<Peer>, phase: watch::Receiver<Phase>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stop = phase.clone();
    let spoken = tokio::select! {
        spoken = tokio::time::timeout(HEAD_TIME_MAX, spoken(&stream)) => spoken,
        // Nothing was asked yet: there is nothing to wait for.
        () = draining(&mut stop) => return,
    };
    match spoken {
        Ok(Ok(Spoken::Http1)) => http1(core, stream, peer, phase).await,
        Ok(Ok(Spoken::Http2)) => http2(core, stream, peer, phase).await,
        // Nothing was said: there is nothing to answer.
        Ok(Err(_)) | Err(_) => {}
    }
}

enum Spoken {
    Http1,
    Http2,
}

/// Looks at the first bytes without taking them.
async fn spoken(stream: &TcpStream) -> std::io::Result<Spoken> {
    let mut first = [0; H2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let start = first.get(..seen).unwrap_or_default();
        if seen == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // `PRI` is no method, so four bytes tell.
        if !H2_PREFACE.starts_with(start) {
            return Ok(Spoken::Http1);
        }
        if seen >= 4 {
            return Ok(Spoken::Http2);
        }
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // Peeking again at the same bytes returns at once; look again when more may have come.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn http1(core: &Rc<Core>, stream: TcpStream, peer: Rc<Peer>, mut phase: watch::Receiver<Phase>) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(CODEC_HEADERS_MAX)
        .max_header_size(CODEC_HEAD_BYTES_MAX);
    let service = service_fn(|request| core.clone().answer(peer.clone(), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut drains = Phase::Serving;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break Some(ended),
            () = draining(&mut phase), if drains == Phase::Serving => {
                drains = Phase::Draining;
                connection.as_mut().graceful_shutdown();
            }
            () = peer.line.cut() => {
                connection.as_mut().graceful_shutdown();
                if let Some(ended) = let_go(connection.as_mut(), &peer.line).await {
                    break ended;
                }
            }
        }
    };
    if let Some(Err(error)) = ended {
        record_codec_refusal(core, &peer, &error).await;
    }
}

async fn http2(core: &Rc<Core>, stream: TcpStream, peer: Rc<Peer>, mut phase: watch::Receiver<Phase>) {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_RESETS_PENDING_MAX)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let service = service_fn(|request| core.clone().answer(peer.clone(), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut drains = Phase::Serving;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break Some(ended),
            () = draining(&mut phase), if drains == Phase::Serving => {
                drains = Phase::Draining;
                connection.as_mut().graceful_shutdown();
            }
            () = peer.line.cut() => {
                if let Some(ended) = let_go(connection.as_mut(), &peer.line).await {
                    break ended;
                }
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
}

/// Drives a connection until what was cut on it is gone, or for [`CUT_TIME_MAX`]. `None`: it goes on; else how it
/// ended, if it did so by itself.
async fn let_go<C, E>(mut connection: Pin<&mut C>, line: &Line) -> Option<Option<Result<(), E>>>
where
    C: Future<Output = Result<(), E>>,
{
    match tokio::time::timeout(CUT_TIME_MAX, connection.as_mut()).await {
        Ok(ended) => Some(Some(ended)),
        Err(_elapsed) => line.owes().then_some(None),
    }
}

/// What the codec answered by itself has a row too, with as much as is known: who, when and why.
async fn record_codec_refusal(core: &Rc<Core>, peer: &Peer, error: &hyper::Error) {
    if !error.is_parse() {
        return;
    }
    let reason = match error.is_parse_too_large() {
        // The codec tells the two apart in its words only, and answers them with different statuses.
        true if error.to_string().starts_with("URI") => Reason::UriTooLong,
        true => Reason::HeadersTooLarge,
        false => Reason::RequestMalformed,
    };
    let (id, at) = core.fresh_id();
    let head = Head {
        id,
        at,
        peer,
        trace: trace_id(None, id),
        method: "?",
        authority: None,
        path: "?",
        query: None,
        body: BodyLength::None,
        fields: Fields::default(),
    };
    core.pipeline.refuse(&head, &Refused::because(reason, "the head could not be read")).await;
}
