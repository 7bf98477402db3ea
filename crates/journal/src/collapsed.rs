//! What is counted in place of having rows: refusals beyond what may be held, and rows without a subject beyond their
//! budget. A note for each reason tells how many.

use std::time::Duration;

use access::Timestamp;

use crate::frame::Frames;
use crate::record::{Note, REASON_BYTES_MAX, Record, clip};

/// How many reasons are told apart among refusals that are only counted; others count as `other`.
pub(crate) const REASONS_MAX: usize = 64;
/// How long what is counted waits for its note: one for each reason in this time at most.
pub(crate) const COUNTED_WAIT_MAX: Duration = Duration::from_secs(1);

/// Counts by reason, and when they were told last.
#[derive(Debug, Default)]
pub(crate) struct Collapsed {
    counts: Vec<(String, u64)>,
    told_at: Option<Timestamp>,
}

impl Collapsed {
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn count(&mut self, reason: &str) {
        let reason = clip(reason, REASON_BYTES_MAX);
        let known = self.counts.iter().any(|(known, _)| known == reason);
        let reason = if !known && self.counts.len() >= REASONS_MAX { "other" } else { reason };
        match self.counts.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.counts.push((reason.to_owned(), 1)),
        }
    }

    /// How long from `now` until notes may be written again.
    pub(crate) fn rest(&self, now: Timestamp) -> Duration {
        match self.told_at {
            // A clock that was set back keeps nobody waiting.
            Some(at) if at <= now => COUNTED_WAIT_MAX.saturating_sub(now.since(at)),
            _ => Duration::ZERO,
        }
    }

    /// Writes down what was counted, and begins anew.
    pub(crate) fn tell(&mut self, now: Timestamp, frames: &mut Frames) {
        for (reason, count) in self.counts.drain(..) {
            let reason = reason.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let detail = format!(r#"{{"reason":"{reason}","count":{count}}}"#);
            frames.push(Record::Note(Note {
                time: now,
                kind: "refusals_collapsed",
                actor: None,
                detail: &detail,
            }));
            self.told_at = Some(now);
        }
    }
}
