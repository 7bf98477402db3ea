//! The files that are checked, and which part of a Rust file is the product and not its tests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::lex::{Kind, Token, starts, tokens};

/// More files than this mean that something was generated into the tree.
const FILES_MAX: usize = 20_000;

/// Folders of build products and of data, nowhere looked into.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", "dist", "daypass-data", "__pycache__"];

const ENDINGS: &[&str] = &[
    "cedar", "css", "html", "json", "lua", "md", "py", "rs", "sh", "sql", "svelte", "toml", "ts", "yaml",
    "yml",
];

/// A text file of the workspace, its path relative to the root with `/` between parts.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file below `root`, sorted by path.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list `{}`", folder.display()))?;
            let kind = entry.file_type().context("cannot tell a file from a folder")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && is_text(&name) {
                sources.push(source(root, &entry.path())?);
            }
            ensure!(sources.len() <= FILES_MAX, "more than {FILES_MAX} source files");
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_none_or(|ending| ENDINGS.contains(&ending))
}

fn source(root: &Path, path: &Path) -> Result<Source> {
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let below = path.strip_prefix(root).unwrap_or(path);
    Ok(Source {
        path: below.to_string_lossy().replace('\\', "/"),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// The tokens of the product: a file's code without items under `#[cfg(test)]`.
pub(crate) struct Code<'a> {
    pub(crate) path: &'a str,
    pub(crate) tokens: Vec<Token>,
}

impl Code<'_> {
    /// Whether this is code of the crate `name`.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.path.split('/').nth(1) == Some(name)
    }
}

/// The product's code in `crates/*/src`: without tests, and without the files of test modules.
pub(crate) fn product(sources: &[Source]) -> Vec<Code<'_>> {
    let mut test_modules = Vec::new();
    let mut codes = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust() && is_product(&source.path)) {
        let (tokens, modules) = without_tests(&tokens(&source.text));
        test_modules.extend(modules.iter().map(|name| module_path(&source.path, name)));
        codes.push(Code { path: &source.path, tokens });
    }
    let is_test = |path: &str| {
        test_modules.iter().any(|module| {
            path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    codes.retain(|code| !is_test(code.path));
    codes
}

fn is_product(path: &str) -> bool {
    path.starts_with("crates/") && path.split('/').nth(2) == Some("src")
}

/// Where `mod name;` in the file at `path` is looked for, without `.rs`.
fn module_path(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file.strip_suffix(".rs").unwrap_or(file) {
        "lib" | "main" | "mod" => format!("{folder}/{name}"),
        stem => format!("{folder}/{stem}/{name}"),
    }
}

/// Drops every item under `#[cfg(test)]`; also the names of modules declared so without a body.
fn without_tests(all: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut rest = all;
    while let Some((first, after)) = rest.split_first() {
        if starts(rest, &["#", "!"]) && is_test_attribute(rest.get(1..).unwrap_or_default()) {
            return (Vec::new(), modules);
        }
        if !is_test_attribute(rest) {
            kept.push(first.clone());
            rest = after;
            continue;
        }
        let (item, behind) = rest.split_at(item_length(rest));
        modules.extend(declared_module(item));
        rest = behind;
    }
    (kept, modules)
}

/// `#[cfg(test)]` or `#[cfg(all(test, …))]`; of `#![…]` the tokens from its `!`.
fn is_test_attribute(tokens: &[Token]) -> bool {
    let rest = tokens.get(1..).unwrap_or_default();
    starts(rest, &["[", "cfg", "(", "test", ")"]) || starts(rest, &["[", "cfg", "(", "all", "(", "test"])
}

/// The number of tokens of the item at the front, its attributes included: up to `;` or to the
/// brace that closes it, or to the brace that closes what it is in.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            _ if token.kind == Kind::Text => {}
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            "}" if depth == 1 => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn declared_module(item: &[Token]) -> Option<String> {
    let at = item.iter().position(|token| token.is("mod"))?;
    let after = item.get(at + 1..)?;
    match after {
        [name, end] if end.is(";") => Some(name.text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn words(text: &str) -> String {
        let (kept, _) = without_tests(&tokens(text));
        kept.into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn items_under_cfg_test_are_not_the_product() {
        assert_eq!(words("a; #[cfg(test)] mod tests { fn f() { x[0]; } } b;"), "a ; b ;");
        assert_eq!(words("#[cfg(test)] #[path = \"}\"] use a::b; c"), "c");
        assert_eq!(words("#[cfg(all(test, unix))] fn f(x: [u8; 2]) {} c"), "c");
        assert_eq!(words("#![cfg(test)] all of it"), "");
        assert_eq!(words("struct S { a: u8, #[cfg(test)] b: u8 } c"), "struct S { a : u8 , } c");
    }

    #[test]
    fn other_attributes_keep_their_items() {
        assert_eq!(words("#[cfg(unix)] fn f() {}"), "# [ cfg ( unix ) ] fn f ( ) { }");
        assert_eq!(words("#[cfg(not(test))] fn f() {}"), "# [ cfg ( not ( test ) ) ] fn f ( ) { }");
    }

    #[test]
    fn files_of_test_modules_are_not_the_product() {
        let sources = [
            source("crates/a/src/lib.rs", "#[cfg(test)] mod tests; mod deep;"),
            source("crates/a/src/tests.rs", "test"),
            source("crates/a/src/tests/more.rs", "test"),
            source("crates/a/src/deep.rs", "#[cfg(test)] mod tests;"),
            source("crates/a/src/deep/tests.rs", "test"),
            source("crates/a/src/other/tests.rs", "not declared under cfg(test)"),
            source("crates/a/tests/it/main.rs", "test"),
        ];
        let paths: Vec<&str> = product(&sources).into_iter().map(|code| code.path).collect();
        assert_eq!(paths, ["crates/a/src/lib.rs", "crates/a/src/deep.rs", "crates/a/src/other/tests.rs"]);
    }

    #[test]
    fn only_text_is_read() {
        for (name, text) in [("lib.rs", true), ("run", true), ("logo.png", false), ("Cargo.lock", false)] {
            assert_eq!(is_text(name), text, "{name}");
        }
    }
}
