//! Two wires joined after a switch of protocols: bytes pass both ways until either side ends.
//!
//! Not here: reading what passes. It is counted, not judged.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::wire::Wire;
use crate::bounds::{INBOX_BYTES, OUTBOX_BYTES_MAX};

/// How much has passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) up: Cell<u64>,
    pub(crate) down: Cell<u64>,
}

/// Passes bytes until both sides have ended, or one of them breaks off.
pub(crate) async fn join(client: &Wire, upstream: &Wire, passed: &Passed) {
    let (mut up, mut down) = (Way::Open, Way::Open);
    poll_fn(|cx| {
        let went_up = up.poll(client, upstream, &passed.up, cx);
        let went_down = down.poll(upstream, client, &passed.down, cx);
        match (went_up, went_down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            // Whichever side broke off, the exchange is over.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// One way of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Its source has ended; what it said is still on its way.
    Ending,
    Ended,
}

impl Way {
    fn poll(
        &mut self,
        from: &Wire,
        to: &Wire,
        count: &Cell<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Each turn moves bytes, ends the way, or waits.
        loop {
            match self {
                Self::Ended => return Poll::Ready(Ok(())),
                Self::Ending => {
                    ready!(to.poll_flush(cx))?;
                    ready!(to.poll_shutdown(cx))?;
                    *self = Self::Ended;
                }
                Self::Open => {
                    move_bytes(from, to, count);
                    let flushed = to.poll_flush(cx)?;
                    if flushed.is_pending() && to.unsent() >= OUTBOX_BYTES_MAX {
                        return Poll::Pending;
                    }
                    if ready!(from.poll_read(cx, INBOX_BYTES))? == 0 {
                        *self = Self::Ending;
                    }
                }
            }
        }
    }
}

fn move_bytes(from: &Wire, to: &Wire, count: &Cell<u64>) {
    let moved = {
        let inbox = from.inbox();
        to.outbox().extend_from_slice(&inbox);
        inbox.len()
    };
    from.consume(moved);
    count.set(count.get().saturating_add(moved as u64));
}
