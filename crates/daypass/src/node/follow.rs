//! From the ledger to the journal: every control event becomes a leaf, once, in order.
//!
//! The journal's outage never holds up the ledger: what could not be written waits in the ledger itself and is
//! read again from the last revision that the journal has.

use std::time::Duration;

use access::Revision;
use admin::Journaled;
use journal::{Change, Journal, Statement, Unavailable};
use ledger::{Keeper, Recorded};
use tokio::sync::watch;

/// How many events are read at once.
const EVENTS_MAX: usize = 256;
/// How long to wait before trying a failed write again.
const PAUSE: Duration = Duration::from_millis(250);

/// Writes events after `from` into the journal for as long as it is polled.
pub async fn follow(keeper: Keeper, journal: Journal, from: Revision, done: watch::Sender<Journaled>) {
    let mut head = keeper.head();
    let mut last = from;
    loop {
        match keeper.read(last, EVENTS_MAX).await {
            Ok(events) if events.is_empty() => {
                if head.wait_for(|head| *head > last).await.is_err() {
                    return;
                }
            }
            Ok(events) => last = write_all(&journal, &events, last, &done).await,
            Err(error) => {
                tracing::warn!(%error, "cannot read the ledger to journal its events");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The revision up to which all is written.
async fn write_all(
    journal: &Journal,
    events: &[Recorded],
    mut last: Revision,
    done: &watch::Sender<Journaled>,
) -> Revision {
    for recorded in events {
        match append(journal, recorded).await {
            Ok(receipt) => {
                last = recorded.revision;
                done.send_modify(|done| done.add(last, receipt.leaf));
            }
            // The journal will write it by itself; only its leaf is not known here.
            Err(Unavailable::Held | Unavailable::Late) => {
                last = recorded.revision;
                done.send_modify(|done| done.pass(last));
            }
            Err(error) => {
                tracing::warn!(%error, revision = %recorded.revision, "a control event waits for the journal");
                tokio::time::sleep(PAUSE).await;
                return last;
            }
        }
    }
    last
}

/// What the journal keeps of an event.
async fn append(journal: &Journal, recorded: &Recorded) -> Result<journal::Receipt, journal::Unavailable> {
    let (event, change) = (&recorded.event, &recorded.event.change);
    let (actor, detail) = (event.by.to_string(), change.detail());
    let subject = change.subject().map(|subject| subject.to_string());
    let grant = change.grant().map(|grant| grant.to_string());
    let incident = change.incident().map(ToString::to_string);
    let statement = Change {
        revision: recorded.revision,
        time: event.at,
        actor: &actor,
        kind: change.kind(),
        subject: subject.as_deref(),
        grant_id: grant.as_deref(),
        incident: incident.as_deref(),
        detail: &detail,
    };
    journal.append(Statement::from(statement)).await
}
