//! The journal of a run, held against what clients and upstream saw.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::upstream::Seen;
use crate::crash::check::{Answered, Evidence, Finding, counts, examine};
use crate::crash::rows::Row;

/// Findings printed; the rest is only counted.
const FINDINGS_SHOWN_MAX: usize = 10;

/// Rows and what they were found to be wrong about.
pub(crate) struct Verdict {
    rows: usize,
    findings: Vec<Finding>,
    /// Rows of one revision whose requests were sent on as by two configurations.
    torn: usize,
    revisions: usize,
}

/// Judges the rows of a node; `seen` is what the upstream saw of all nodes.
pub(crate) fn judge(lines: &[String], answered: Vec<Answered>, seen: &Seen) -> Result<Verdict> {
    let rows: Vec<Row> = lines.iter().map(|line| Row::parse(line)).collect::<Result<_>>()?;
    let forwarded = seen.iter().flat_map(|(id, times)| times.iter().map(move |_| id.clone()));
    let evidence = Evidence { answered, forwarded: forwarded.collect() };
    let findings = examine(&evidence, &rows);
    let mut configured: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows {
        let sent = seen.get(&row.id).into_iter().flatten().filter(|text| !text.is_empty());
        configured.entry(row.revision).or_default().extend(sent.map(String::as_str));
    }
    let torn = configured.values().filter(|numbers| numbers.len() > 1).count();
    Ok(Verdict { rows: rows.len(), findings, torn, revisions: configured.len() })
}

impl Verdict {
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.torn == 0
    }

    pub(crate) fn show(&self) {
        println!(
            "  journal: rows {}, {}; revisions {}, of more than one configuration {}",
            self.rows,
            counts(&self.findings),
            self.revisions,
            self.torn
        );
        for Finding { fault, id } in self.findings.iter().take(FINDINGS_SHOWN_MAX) {
            println!("  {fault}: {id}");
        }
    }
}
