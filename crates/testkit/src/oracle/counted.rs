//! Answers that the journal has only counted: those of a flood by clients that proved nothing.

use std::path::Path;

use journal::{Reader, Record};

use crate::World;

/// How many answers without rows the notes of a journal tell of.
pub(crate) fn counted(data: &Path) -> u64 {
    let reader = Reader::open(data.join("journal")).unwrap();
    let (mut leaves, mut sum) = (reader.leaves(0), 0);
    while let Ok(Some(leaf)) = leaves.next() {
        if let Ok(Record::Note(note)) = leaf.record()
            && note.kind == "refusals_collapsed"
        {
            let detail: serde_json::Value = serde_json::from_str(note.detail).unwrap();
            sum += detail["count"].as_u64().unwrap();
        }
    }
    sum
}

impl World {
    /// How many answers were counted in place of having rows, as far as the journal tells by now.
    ///
    /// # Panics
    /// The journal cannot be read.
    #[must_use]
    pub fn counted(&self) -> u64 {
        counted(self.data())
    }
}
