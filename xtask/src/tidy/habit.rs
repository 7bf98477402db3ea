//! Habits of the house that a compiler does not know.

use super::Violation;
use super::source::Source;

/// Lines of a Rust file beyond which it needs a reason.
const LINES_MAX: usize = 500;

/// Files that are longer, and why. A line here that is not needed is itself a violation.
const LONG: &[(&str, &str)] = &[];

/// Spelled so that this file does not break its own rules.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

const LOOSE_ENDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// No Rust file is longer than 500 lines without a reason.
pub(super) fn long_files(sources: &[Source]) -> Vec<Violation> {
    long_files_but(sources, LONG)
}

fn long_files_but(sources: &[Source], reasons: &[(&str, &str)]) -> Vec<Violation> {
    let known = |path: &str| sources.iter().any(|source| source.path == path);
    let gone = reasons.iter().filter(|(path, _)| !known(path));
    let mut found: Vec<_> =
        gone.map(|(path, _)| Violation::new(path, 0, "is listed as long and is gone")).collect();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let reason = reasons.iter().find(|(path, _)| *path == source.path);
        match (lines > LINES_MAX, reason) {
            (true, None) => {
                found.push(Violation::new(&source.path, lines, format!("is longer than {LINES_MAX} lines")));
            }
            (false, Some(_)) => {
                found.push(Violation::new(&source.path, lines, "is listed as long and is not"));
            }
            _ => {}
        }
    }
    found
}

/// No path of somebody's machine.
pub(super) fn machine_paths(sources: &[Source]) -> Vec<Violation> {
    lines_with(sources, |line| MACHINE_PATHS.iter().find(|path| line.contains(**path)).copied())
}

/// Nothing left to be done in a comment.
pub(super) fn loose_ends(sources: &[Source]) -> Vec<Violation> {
    lines_with(sources, |line| {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        words.find_map(|word| LOOSE_ENDS.iter().find(|end| **end == word).copied())
    })
}

fn lines_with(sources: &[Source], find: fn(&str) -> Option<&'static str>) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        for (at, line) in source.text.lines().enumerate() {
            found.extend(
                find(line).map(|what| Violation::new(&source.path, at + 1, format!("says `{what}`"))),
            );
        }
    }
    found
}

/// Every crate's first file begins with its document.
pub(super) fn silent_crates(sources: &[Source]) -> Vec<Violation> {
    let silent = sources.iter().filter(|source| is_first(&source.path) && !source.text.starts_with("//!"));
    silent.map(|source| Violation::new(&source.path, 1, "does not begin with `//!`")).collect()
}

fn is_first(path: &str) -> bool {
    let inside = path.strip_prefix("crates/").and_then(|rest| rest.split_once('/')).map(|(_, file)| file);
    matches!(inside, Some("src/lib.rs" | "src/main.rs")) || path == "xtask/src/main.rs"
}

/// Every manifest takes the workspace's lints, `unsafe_code = "forbid"` among them.
pub(super) fn unlinted_crates(sources: &[Source]) -> Vec<Violation> {
    let manifests = sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    let unlinted = manifests.filter(|source| !source.text.contains("[lints]\nworkspace = true"));
    unlinted.map(|source| Violation::new(&source.path, 1, "does not take the workspace's lints")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_long_file_is_found_and_so_is_an_idle_reason() {
        let long = "x\n".repeat(LINES_MAX + 1);
        let short = "x\n".repeat(LINES_MAX);
        check(
            long_files,
            &[("a.rs", &long), ("b.rs", &short), ("c.md", &long)],
            &["a.rs:501: is longer than 500 lines"],
        );
        let source = |text: &str| [Source { path: "a.rs".to_owned(), text: text.to_owned() }];
        let reasons = [("a.rs", "a table")];
        assert_eq!(long_files_but(&source(&long), &reasons), []);
        assert_eq!(long_files_but(&source(&short), &reasons).len(), 1);
        assert_eq!(long_files_but(&[], &reasons).len(), 1);
    }

    #[test]
    fn a_machine_path_is_found() {
        let text = format!("ok\nlet p = \"{}main\";", concat!("/wo", "rk/"));
        let why = format!("a.rs:2: says `{}`", concat!("/wo", "rk/"));
        check(machine_paths, &[("a.rs", &text)], &[&why]);
    }

    #[test]
    fn a_loose_end_is_found_and_a_longer_word_is_not() {
        let text = format!("// {}: later\n// {}S", concat!("TO", "DO"), concat!("TO", "DO"));
        check(loose_ends, &[("a.rs", &text)], &[&format!("a.rs:1: says `{}`", concat!("TO", "DO"))]);
    }

    #[test]
    fn a_crate_without_a_document_or_lints_is_found() {
        check(
            silent_crates,
            &[("crates/a/src/lib.rs", "mod x;"), ("crates/a/src/x.rs", ""), ("crates/b/src/lib.rs", "//! b")],
            &["crates/a/src/lib.rs:1: does not begin with `//!`"],
        );
        check(
            unlinted_crates,
            &[("crates/a/Cargo.toml", "[package]"), ("crates/b/Cargo.toml", "[lints]\nworkspace = true\n")],
            &["crates/a/Cargo.toml:1: does not take the workspace's lints"],
        );
    }
}
