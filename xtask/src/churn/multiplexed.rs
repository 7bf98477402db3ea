//! Clients that speak HTTP/2: several requests at once on one connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::time::timeout;

use super::client::{Shared, Target};
use super::tally::Tally;
use crate::crash::check::Answered;
use crate::crash::client::receipt;

const PATIENCE: Duration = Duration::from_secs(20);
const TRIES_MAX: usize = 5;
/// Requests that are under way at once on a connection.
const STREAMS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// A connection that takes requests.
#[derive(Clone)]
struct Line {
    sender: SendRequest<Bytes>,
    target: Target,
}

/// Asks until the run is over.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut line = None;
    while !shared.tally.is_over() {
        let Some(open) = line.clone() else {
            match connect(&shared).await {
                Ok(opened) => line = Some(opened),
                Err(_) => {
                    Tally::add(&shared.tally.elsewhere);
                    tokio::time::sleep(PAUSE).await;
                }
            }
            continue;
        };
        let mut asking = tokio::task::JoinSet::new();
        for place in 0..STREAMS {
            let (shared, open) = (shared.clone(), open.clone());
            let path = if place == 0 { "/load/v1/slow" } else { "/load/v1/items/2" };
            asking.spawn_local(async move { ask(&shared, open, path).await });
        }
        while let Some(fate) = asking.join_next().await {
            if !matches!(fate, Ok(Fate::Goes)) {
                line = None;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a connection takes more requests.
enum Fate {
    Goes,
    Ends,
}

/// Asks on this connection, and where it took no more requests, on another.
async fn ask(shared: &Shared, mut line: Line, path: &str) -> Fate {
    let mut fate = Fate::Goes;
    for _ in 0..TRIES_MAX {
        match timeout(PATIENCE, exchange(shared, &mut line, path)).await {
            Ok(Ok(())) => return fate,
            Ok(Err(Lost::Unsent)) => {}
            Ok(Err(Lost::Untaken)) => Tally::add(&shared.tally.retried),
            Ok(Err(Lost::Failed(why))) => {
                shared.tally.fail(format!("GET {path} over HTTP/2: {why:#}"));
                return Fate::Ends;
            }
            Err(_) => {
                shared.tally.fail(format!("GET {path} over HTTP/2: no answer in {PATIENCE:?}"));
                return Fate::Ends;
            }
        }
        fate = Fate::Ends;
        match connect(shared).await {
            Ok(opened) => line = opened,
            Err(_) => Tally::add(&shared.tally.elsewhere),
        }
    }
    shared.tally.fail(format!("GET {path} over HTTP/2: not taken {TRIES_MAX} times"));
    fate
}

/// What became of a stream without its answer.
enum Lost {
    /// The connection takes no more requests, and said so.
    Unsent,
    /// The server says that it was not looked at (RFC 9113, section 8.7).
    Untaken,
    Failed(anyhow::Error),
}

async fn exchange(shared: &Shared, line: &mut Line, path: &str) -> Result<(), Lost> {
    let mut sender = line.sender.clone().ready().await.map_err(|_| Lost::Unsent)?;
    let uri = format!("https://localhost{path}");
    let request = Request::get(uri).header("authorization", format!("Bearer {}", line.target.bearer));
    let request = request.body(()).map_err(|error| Lost::Failed(error.into()))?;
    let (answering, _) = sender.send_request(request, true).map_err(|_| Lost::Unsent)?;
    let response = answering.await.map_err(lost)?;
    let (head, mut body) = response.into_parts();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| Lost::Failed(anyhow::Error::new(error).context("its body")))?;
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let id = text("x-request-id").context("an answer without an id").map_err(Lost::Failed)?;
    let status = head.status.as_u16();
    let receipt = text("daypass-receipt").and_then(receipt);
    shared.tally.answer(Answered { id: id.to_owned(), status, receipt });
    if status != 200 {
        shared.tally.fail(format!("GET {path} over HTTP/2: {status}"));
    }
    Ok(())
}

/// Whether a stream that broke off was certainly not looked at.
fn lost(error: h2::Error) -> Lost {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM) && error.is_remote();
    let gone_away = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    if refused || gone_away { Lost::Untaken } else { Lost::Failed(error.into()) }
}

async fn connect(shared: &Shared) -> Result<Line> {
    let target = shared.target();
    let stream = timeout(PATIENCE, shared.connect(&target, "h2")).await??;
    let (sender, connection) = timeout(PATIENCE, h2::client::handshake(stream)).await??;
    tokio::task::spawn_local(async move {
        // What ends a connection shows in its streams.
        let _ = connection.await;
    });
    Ok(Line { sender, target })
}
