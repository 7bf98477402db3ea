//! What is wrong with a configuration, shown at its place.
//!
//! ```text
//! daypass.yaml:12:13: there is no API named `payments`
//!   12 |     allow: ["payments:read"]
//!      |             ^^^^^^^^^^^^^^^
//!      = name one of `orders`, or add it under `apis:`
//! ```

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use access::credential::masked;
use serde::Serialize;

use super::place::Place;

/// The most findings that one report keeps.
pub const FINDINGS_MAX: usize = 100;

/// The most characters of a line that are shown.
const LINE_CHARS_MAX: usize = 240;

/// One thing to change, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is wrong: a sentence without its period.
    pub says: String,
    /// What to do about it.
    pub advice: String,
}

/// A configuration file as read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path, as given.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
}

/// Findings about one file, in the order of their places.
#[derive(Debug, Clone)]
pub struct Report {
    source: Source,
    findings: Vec<Finding>,
    hidden: Vec<Place>,
}

/// One finding as `-o json` prints it.
#[derive(Debug, Serialize)]
pub struct Line<'r> {
    file: String,
    line: usize,
    column: usize,
    message: &'r str,
    help: &'r str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

impl Report {
    /// A report without findings.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self { source, findings: Vec::new(), hidden: Vec::new() }
    }

    /// Adds a finding; beyond [`FINDINGS_MAX`] it is dropped.
    pub fn add(&mut self, finding: Finding) {
        // Names and rules are said back, but no credential that stands in their place.
        let Finding { place, says, advice } = finding;
        let finding =
            Finding { place, says: masked(&says).into_owned(), advice: masked(&advice).into_owned() };
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Shows stars for what stands there: it may be a secret.
    pub fn hide(&mut self, place: Place) {
        if self.hidden.len() < FINDINGS_MAX {
            self.hidden.push(place);
        }
    }

    /// Puts findings in the order of the file, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.findings.sort();
        self.findings.dedup();
        self
    }

    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The findings as data.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.findings.iter().map(|finding| Line {
            file: self.source.path.display().to_string(),
            line: finding.place.line,
            column: finding.place.column,
            message: &finding.says,
            help: &finding.advice,
        })
    }

    fn show(&self, finding: &Finding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = finding.place;
        let path = self.source.path.display();
        let text = line.checked_sub(1).and_then(|above| self.source.text.lines().nth(above));
        let Some(text) = text else {
            return writeln!(f, "{path}: {}\n  = {}", finding.says, finding.advice);
        };
        writeln!(f, "{path}:{line}:{column}: {}", finding.says)?;
        let shown = self.masked(line, text);
        let gutter = line.to_string().len();
        writeln!(f, "  {line} | {shown}")?;
        writeln!(f, "  {:gutter$} | {}", "", carets(text, finding.place))?;
        writeln!(f, "  {:gutter$} = {}", "", finding.advice)
    }

    fn masked(&self, line: usize, text: &str) -> String {
        let hidden = |column: usize| {
            let mut places = self.hidden.iter().filter(|place| place.line == line);
            places.any(|place| {
                (place.column..place.column.saturating_add(place.length.max(1))).contains(&column)
            })
        };
        let text = masked(text);
        let shown = text.chars().take(LINE_CHARS_MAX).zip(1..);
        shown
            .map(|(letter, column)| match letter {
                _ if hidden(column) => '*',
                '\t' => '\t',
                letter if letter.is_control() => '\u{fffd}',
                letter => letter,
            })
            .collect()
    }
}

/// Carets under a place, behind the same tabs as the line above them.
fn carets(text: &str, place: Place) -> String {
    let before = place.column.saturating_sub(1).min(LINE_CHARS_MAX);
    let indent = text.chars().chain(std::iter::repeat(' ')).take(before);
    let indent = indent.map(|letter| if letter == '\t' { '\t' } else { ' ' });
    let left = text.chars().count().min(LINE_CHARS_MAX).saturating_sub(before);
    let carets = place.length.min(left).max(1);
    indent.chain(std::iter::repeat_n('^', carets)).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| self.show(finding, f))?;
        if self.findings.len() >= FINDINGS_MAX {
            writeln!(f, "the first {FINDINGS_MAX} findings are shown: fix these first")?;
        }
        Ok(())
    }
}
