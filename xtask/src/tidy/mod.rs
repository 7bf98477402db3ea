//! `cargo xtask tidy`: the absences of ARCHITECTURE.md and a few habits, checked over the sources.
//!
//! Every rule reads all the sources and names what breaks it by file and line. The rules know Rust's
//! tokens and nothing else, so they are quick and cannot be talked out of it by a macro's expansion;
//! what the compiler and clippy can check is theirs.

mod absence;
mod bounds;
mod habit;
mod lex;
mod source;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Args;
use crate::workspace::root;
use source::Source;

const HELP: &str = "\
cargo xtask tidy

Checks the sources against the architecture's absences:
  pure crates await nothing, read no clock, draw no random number, touch no file or socket;
  the gateway never names the control plane, nor the control plane the gateway;
  SQL for events lives in two files; one file turns a refusal into a status; no unsafe code.
And: no long files, no paths of a machine, no loose ends, a module document on top of each crate, and
the table of bounds as the sources have them.

Options:
  --write  writes the table of bounds anew first

Examples:
  cargo xtask tidy
  cargo xtask tidy --write";

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    why: String,
}

impl Violation {
    fn new(path: &str, line: usize, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, why: why.into() }
    }
}

/// A rule: what it is called, and what breaks it.
struct Rule {
    name: &'static str,
    find: fn(&[Source]) -> Vec<Violation>,
}

const RULES: &[Rule] = &[
    Rule { name: "pure crates are pure", find: absence::impurity },
    Rule { name: "the planes do not name each other", find: absence::crossing },
    Rule { name: "SQL for events has one home", find: absence::stray_sql },
    Rule { name: "one file gives a refusal its status", find: absence::stray_status },
    Rule { name: "no unsafe code", find: absence::unsafe_code },
    Rule { name: "no long files", find: habit::long_files },
    Rule { name: "no machine's paths", find: habit::machine_paths },
    Rule { name: "no loose ends", find: habit::loose_ends },
    Rule { name: "every crate says what it is", find: habit::silent_crates },
    Rule { name: "every crate has the workspace's lints", find: habit::unlinted_crates },
    Rule { name: "the table of bounds is what the sources say", find: bounds::stale },
];

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let write = args.flag("--write");
    args.finish()?;
    if write {
        let root = root();
        std::fs::write(root.join(bounds::PATH), bounds::table(&source::read(&root)?))?;
    }
    Ok(if check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints each rule with what breaks it; whether nothing does.
pub(crate) fn check() -> Result<bool> {
    let sources = source::read(&root())?;
    let mut broken = 0_usize;
    for rule in RULES {
        let violations = (rule.find)(&sources);
        println!("{} {}", if violations.is_empty() { "ok    " } else { "BROKEN" }, rule.name);
        for Violation { path, line, why } in &violations {
            println!("  {path}:{line}: {why}");
        }
        broken += violations.len();
    }
    println!("tidy: {} files, {} rules, {broken} violations", sources.len(), RULES.len());
    Ok(broken == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `find` says about files written as (path, text), one line each.
    #[track_caller]
    pub(super) fn check(find: fn(&[Source]) -> Vec<Violation>, files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source { path: (*path).into(), text: (*text).into() }).collect();
        let found = find(&sources);
        let found: Vec<String> = found.iter().map(|v| format!("{}:{}: {}", v.path, v.line, v.why)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_sources_are_found() {
        let sources = source::read(&root()).unwrap();
        for path in ["xtask/src/tidy/mod.rs", ".ci/run", "Cargo.toml", "crates/access/src/lib.rs"] {
            assert!(sources.iter().any(|source| source.path == path), "{path}");
        }
    }
}
