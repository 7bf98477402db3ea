//! What must hold after a crash, as a function of what was seen.
//!
//! An answer that a client got, and a request that the upstream got, has exactly one row; the row
//! stands where the receipt says, says the same as the answer, and no row is left without an outcome.
//! Rows that nobody saw are fine: an intent may be durable and its process dead before it forwards.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};

use super::rows::Row;

/// An answer that reached a client, at least its head.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) id: String,
    pub(crate) status: u16,
    /// `Daypass-Receipt`: node and leaf index.
    pub(crate) receipt: Option<(String, u64)>,
}

/// What was seen outside of the process that was killed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) answered: Vec<Answered>,
    /// Ids of the requests that the upstream saw.
    pub(crate) forwarded: Vec<String>,
}

/// A way in which the journal and the world differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Answered, and no row.
    Missing,
    /// Seen by the upstream, and no row that allows it.
    ForwardedWithoutIntent,
    /// Two rows of one id or one leaf, or one id forwarded twice.
    Duplicate,
    /// Answered without a receipt, or with one that names another leaf than the row.
    OtherLeaf,
    /// No outcome, although the process that could still write it is gone.
    Unsettled,
    /// Answered one way, recorded another.
    Contradiction,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Missing,
        Self::ForwardedWithoutIntent,
        Self::Duplicate,
        Self::OtherLeaf,
        Self::Unsettled,
        Self::Contradiction,
    ];
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::ForwardedWithoutIntent => "forwarded without intent",
            Self::Duplicate => "duplicates",
            Self::OtherLeaf => "other leaf than receipt",
            Self::Unsettled => "without outcome",
            Self::Contradiction => "contradictions",
        })
    }
}

/// A fault and the id of the request that shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) fault: Fault,
    pub(crate) id: String,
}

/// `N of each fault`, in a fixed order.
pub(crate) fn counts<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let found: Vec<Fault> = findings.into_iter().map(|finding| finding.fault).collect();
    let count = |wanted| found.iter().filter(|fault| **fault == wanted).count();
    Fault::ALL.map(|fault| format!("{fault} {}", count(fault))).join(", ")
}

/// Everything that is wrong; nothing when the journal tells the truth about `evidence`.
pub(crate) fn examine(evidence: &Evidence, rows: &[Row]) -> Vec<Finding> {
    let by_id: HashMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut faults = repeated(rows, &evidence.forwarded);
    for answered in &evidence.answered {
        let fault = match by_id.get(answered.id.as_str()) {
            None => Some(Fault::Missing),
            Some(row) => contradicts(answered, row),
        };
        faults.extend(fault.map(|fault| (fault, answered.id.as_str())));
    }
    for id in &evidence.forwarded {
        let allowed = by_id.get(id.as_str()).is_some_and(|row| row.decision == "allow");
        faults.extend((!allowed).then_some((Fault::ForwardedWithoutIntent, id.as_str())));
    }
    let unsettled = rows.iter().filter(|row| row.outcome.is_none());
    faults.extend(unsettled.map(|row| (Fault::Unsettled, row.id.as_str())));
    faults.into_iter().map(|(fault, id)| Finding { fault, id: id.to_owned() }).collect()
}

fn repeated<'a>(rows: &'a [Row], forwarded: &'a [String]) -> Vec<(Fault, &'a str)> {
    let (mut ids, mut leaves, mut sent) = (HashSet::new(), HashSet::new(), HashSet::new());
    let twice = rows.iter().filter(|row| {
        let fresh = (ids.insert(&row.id), leaves.insert((&row.node, row.leaf)));
        fresh != (true, true)
    });
    let mut found: Vec<_> = twice.map(|row| (Fault::Duplicate, row.id.as_str())).collect();
    let resent = forwarded.iter().filter(|id| !sent.insert(*id));
    found.extend(resent.map(|id| (Fault::Duplicate, id.as_str())));
    found
}

fn contradicts(answered: &Answered, row: &Row) -> Option<Fault> {
    let place = answered.receipt.as_ref().map(|(node, leaf)| (node.as_str(), *leaf));
    if place != Some((row.node.as_str(), row.leaf)) {
        return Some(Fault::OtherLeaf);
    }
    // The outcome of an answered request may be lost with the process (`unknown`); what it says
    // when it is there, and the decision, may not differ from the answer.
    let allowed = answered.status < 400;
    let decided = if allowed { "allow" } else { "refuse" };
    let told = row.status.is_none_or(|status| status == answered.status);
    (row.decision != decided || !told).then_some(Fault::Contradiction)
}
