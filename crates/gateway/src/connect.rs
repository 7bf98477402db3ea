//! Connections to upstreams: made within a time, proven over TLS, and ready for their protocol.

use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::bounds::{UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_PING_TIME};
use crate::core::LocalExecutor;
use crate::listen::keep_alive;
use crate::picture::Upstream;
use crate::shared::Sender;
use crate::tls::Unproven;
use crate::transport::Transport;

/// Why nothing of a request was sent to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconnected {
    /// It cannot be connected to, or closed what was connected.
    Unreachable,
    Unproven(Unproven),
}

/// A connection to an upstream, its TLS included, within `patience`.
pub(crate) async fn connect(upstream: &Upstream, patience: Duration) -> Result<Transport, Unconnected> {
    let connecting = tokio::time::timeout(patience, secured(upstream));
    connecting.await.unwrap_or(Err(Unconnected::Unreachable))
}

async fn secured(upstream: &Upstream) -> Result<Transport, Unconnected> {
    let tcp = connected(upstream).await.map_err(|_| Unconnected::Unreachable)?;
    match &upstream.tls {
        None => Ok(Transport::Tcp(tcp)),
        Some(tls) => tls.connect(tcp).await.map_err(Unconnected::Unproven),
    }
}

async fn connected(upstream: &Upstream) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(&*upstream.address).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

/// The same, for requests of HTTP/2.
pub(crate) async fn connect_http2(upstream: &Upstream, patience: Duration) -> Result<Sender, Unconnected> {
    let stream = connect(upstream, patience).await?;
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(UPSTREAM_HEAD_BYTES_MAX as u32)
        .keep_alive_while_idle(true)
        .keep_alive_interval(UPSTREAM_PING_TIME)
        .keep_alive_timeout(UPSTREAM_PING_TIME);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|_| Unconnected::Unreachable)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(sender)
}
