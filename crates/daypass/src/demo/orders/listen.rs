//! Accepting connections, and cutting all of them at the end.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections open at once; the next waits in the accept queue until one ends.
const CONNECTIONS_MAX: usize = 16_384;

/// Failed accepts in a row before the service gives up.
const ACCEPT_FAILURES_MAX: u32 = 100;

/// The pause after a failed accept, for descriptors to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers with `router` until `stop` completes, then aborts every connection and waits for their end.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let served = tokio::select! {
        () = stop => Ok(()),
        failure = accept(&listener, &router, &mut connections) => Err(failure),
    };
    drop(listener);
    connections.shutdown().await;
    served
}

async fn accept(listener: &TcpListener, router: &Router, connections: &mut JoinSet<()>) -> io::Error {
    let mut failures = 0;
    loop {
        tokio::select! {
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _peer)) => {
                    failures = 0;
                    connections.spawn(converse(stream, router.clone()));
                }
                Err(failure) if failures >= ACCEPT_FAILURES_MAX => return failure,
                Err(_) => {
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// One connection, to its end. A failed connection concerns only its client.
async fn converse(stream: TcpStream, router: Router) {
    // Without it small answers wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let service = TowerToHyperService::new(router);
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
