//! Rows of the journal on their way to the one who asked, as lines of JSON.
//!
//! They are read from the segments on a thread beside the runtime and handed over in pieces of [`PIECE_BYTES`],
//! [`PIECES_MAX`] of them at most: a slow reader slows the search, and memory does not grow. The caller is judged
//! again before each piece. An answer that is not whole (damage, a session that ended) ends with a line that says
//! why, `{"error": …}` with the problem in it; where even that cannot be said, the connection breaks.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use journal::{ReadError, Reader};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::audit::{broken, unreadable};
use crate::console::App;
use crate::problem::{Code, Problem};
use crate::session::Caller;

/// The size of one piece of an answer, in bytes; a row more at most.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Pieces read ahead of the one who takes them.
pub const PIECES_MAX: usize = 4;

/// A part of an answer on its way from the thread that reads.
enum Piece {
    Rows(Bytes),
    /// The search is through; there was nothing more.
    End,
    Fault(Problem),
}

/// Rows as lines, handed over in pieces.
pub(crate) struct Rows {
    app: App,
    caller: Caller,
    pieces: mpsc::Sender<Piece>,
    waiting: Vec<u8>,
    left: usize,
}

impl Rows {
    /// Adds a row. Breaks when it was the last that is wanted, or can be taken.
    pub(crate) fn push(&mut self, row: &impl Serialize) -> ControlFlow<()> {
        if serde_json::to_writer(&mut self.waiting, row).is_err() {
            return ControlFlow::Break(());
        }
        self.waiting.push(b'\n');
        self.left = self.left.saturating_sub(1);
        if self.waiting.len() >= PIECE_BYTES {
            self.hand_over()?;
        }
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Waits until there is room. Breaks when nobody takes the rows any more, or nobody may.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let rows = Bytes::from(std::mem::take(&mut self.waiting));
        let entitled = self.caller.again(&self.app.view(), self.app.now());
        let piece = match entitled.filter(|now| now.sees_all() >= self.caller.sees_all()) {
            Some(_) => Piece::Rows(rows),
            None => Piece::Fault(Problem::new(Code::Unauthenticated, "the session ended during the search")),
        };
        let last = matches!(piece, Piece::Fault(_));
        match self.pieces.blocking_send(piece) {
            Ok(()) if !last => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    fn finish(mut self, end: Result<(), ReadError>) {
        let more = self.waiting.is_empty() || self.hand_over().is_continue();
        let end = match end {
            Ok(()) => Piece::End,
            Err(fault) => Piece::Fault(broken(&self.app, &fault)),
        };
        if more {
            // Nobody waits for the end if this fails.
            let _ = self.pieces.blocking_send(end);
        }
    }
}

/// Runs a search beside the runtime and answers with what it finds; with `unfound`, if there is any, where that
/// is nothing.
pub(crate) async fn answer<S>(
    app: &App,
    caller: Caller,
    slot: OwnedSemaphorePermit,
    limit: Option<NonZeroUsize>,
    unfound: Option<Problem>,
    search: S,
) -> Result<Response, Problem>
where
    S: FnOnce(&Reader, &mut Rows) -> Result<(), ReadError> + Send + 'static,
{
    let (pieces, mut taken) = mpsc::channel(PIECES_MAX);
    let left = limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut rows = Rows { app: app.clone(), caller, pieces, waiting: Vec::new(), left };
    let directory = app.handles.journal.directory().to_owned();
    tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let end = Reader::open(directory).and_then(|reader| search(&reader, &mut rows));
        rows.finish(end);
    });
    // A search that fails before its first row is answered as a problem, and not as a broken answer.
    let first = match (taken.recv().await, unfound) {
        (Some(Piece::Fault(problem)), _) | (Some(Piece::End), Some(problem)) => return Err(problem),
        (None, _) => return Err(unreadable()),
        (Some(piece), _) => piece,
    };
    Ok(ndjson(first, taken))
}

fn ndjson(first: Piece, taken: mpsc::Receiver<Piece>) -> Response {
    let pieces = stream::unfold((Some(first), taken), |(first, mut taken)| async {
        let piece = match first {
            Some(first) => Some(first),
            None => taken.recv().await,
        };
        match piece {
            Some(Piece::Rows(rows)) => Some((Ok(rows), (None, taken))),
            Some(Piece::End) => None,
            Some(Piece::Fault(problem)) => Some((Ok(problem.last_line()), (Some(Piece::End), taken))),
            None => Some((Err(io::Error::other("the search broke off")), (Some(Piece::End), taken))),
        }
    });
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    ([(CONTENT_TYPE, ndjson)], Body::from_stream(pieces)).into_response()
}
