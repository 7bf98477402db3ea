//! The first five absences of ARCHITECTURE.md, one function each.

use super::Violation;
use super::lex::{Kind, Token, starts, tokens};
use super::source::{Code, Source, product};

/// Crates that are functions of their arguments.
const PURE: &[&str] = &["access", "control"];

/// What a pure crate does not say, and why. Addresses (`std::net::IpAddr`) are values and may be said;
/// sockets are not.
const IMPURE: &[(&[&str], &str)] = &[
    (&["async"], "awaits"),
    (&["await"], "awaits"),
    (&["SystemTime", "::", "now"], "reads a clock"),
    (&["Instant", "::", "now"], "reads a clock"),
    (&["Timestamp", "::", "now"], "reads a clock"),
    (&["Zoned", "::", "now"], "reads a clock"),
    (&["now_v7"], "reads a clock"),
    (&["new_v4"], "draws a random number"),
    (&["rand"], "draws a random number"),
    (&["getrandom"], "draws a random number"),
    (&["RandomState"], "draws a random number"),
    (&["tokio"], "names a runtime"),
    (&["std", "::", "fs"], "touches files"),
    (&["std", "::", "env"], "reads the environment"),
    (&["std", "::", "process"], "starts processes"),
    (&["std", "::", "thread"], "starts threads"),
    (&["TcpListener"], "opens a socket"),
    (&["TcpStream"], "opens a socket"),
    (&["UdpSocket"], "opens a socket"),
    (&["UnixListener"], "opens a socket"),
    (&["UnixStream"], "opens a socket"),
    (&["ToSocketAddrs"], "asks the resolver"),
];

/// Members of `std` that a pure crate does not import in a group either: `use std::{env, fs}`.
const IMPURE_STD: &[&str] = &["env", "fs", "process", "thread"];

/// Dependencies that would make a pure crate impure.
const IMPURE_DEPENDENCIES: &[&str] =
    &["getrandom", "hyper", "rand", "reqwest", "rusqlite", "socket2", "tokio"];

/// Who must not name whom.
const APART: &[(&str, &[&str])] = &[("gateway", &["control", "ledger", "admin"]), ("admin", &["gateway"])];

const SQL_HOME: &str = "crates/ledger/src/sqlite.rs";

const STATUS_HOME: &str = "crates/gateway/src/respond.rs";

/// The constants of `http::StatusCode` from 400 on.
const STATUSES: &[&str] = &[
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "PAYMENT_REQUIRED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "PROXY_AUTHENTICATION_REQUIRED",
    "REQUEST_TIMEOUT",
    "CONFLICT",
    "GONE",
    "LENGTH_REQUIRED",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "URI_TOO_LONG",
    "UNSUPPORTED_MEDIA_TYPE",
    "RANGE_NOT_SATISFIABLE",
    "EXPECTATION_FAILED",
    "IM_A_TEAPOT",
    "MISDIRECTED_REQUEST",
    "UNPROCESSABLE_ENTITY",
    "LOCKED",
    "FAILED_DEPENDENCY",
    "TOO_EARLY",
    "UPGRADE_REQUIRED",
    "PRECONDITION_REQUIRED",
    "TOO_MANY_REQUESTS",
    "REQUEST_HEADER_FIELDS_TOO_LARGE",
    "UNAVAILABLE_FOR_LEGAL_REASONS",
    "INTERNAL_SERVER_ERROR",
    "NOT_IMPLEMENTED",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
    "HTTP_VERSION_NOT_SUPPORTED",
    "VARIANT_ALSO_NEGOTIATES",
    "INSUFFICIENT_STORAGE",
    "LOOP_DETECTED",
    "NOT_EXTENDED",
    "NETWORK_AUTHENTICATION_REQUIRED",
];

/// `access` and `control` never await, read a clock or draw a random number.
pub(super) fn impurity(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for code in product(sources).iter().filter(|code| PURE.iter().any(|name| code.is_of(name))) {
        for (at, token) in code.tokens.iter().enumerate() {
            let rest = code.tokens.get(at..).unwrap_or_default();
            for (words, what) in IMPURE.iter().filter(|(words, _)| starts(rest, words)) {
                found.push(Violation::new(code.path, token.line, format!("`{}` {what}", words.concat())));
            }
            for member in grouped(rest).filter(|token| IMPURE_STD.iter().any(|name| token.is(name))) {
                found.push(Violation::new(code.path, member.line, format!("imports `std::{}`", member.text)));
            }
        }
    }
    for name in PURE {
        found.extend(dependencies(sources, name, IMPURE_DEPENDENCIES));
    }
    found
}

/// The first words of the members of `std::{…}` at the front, if that is what is there.
fn grouped(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let inside = if starts(tokens, &["std", "::", "{"]) { tokens.get(3..) } else { None };
    let mut depth = 1_usize;
    let mut fresh = true;
    inside.unwrap_or_default().iter().filter(move |token| {
        let first = fresh && depth == 1 && token.kind == Kind::Word;
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        fresh = depth == 1 && token.is(",");
        first
    })
}

/// The gateway never names `control`, `ledger` or `admin`; `admin` never names the gateway.
pub(super) fn crossing(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, others) in APART {
        found.extend(dependencies(sources, name, others));
        for code in product(sources).iter().filter(|code| code.is_of(name)) {
            for (line, other) in named(&code.tokens, others) {
                found.push(Violation::new(code.path, line, format!("`{name}` names `{other}`")));
            }
        }
    }
    found
}

/// Where one of `crates` is named: at the start of a path, or alone in a `use`.
fn named<'a>(tokens: &'a [Token], crates: &'a [&str]) -> impl Iterator<Item = (usize, &'a str)> {
    let mut in_use = false;
    let mut before: [Option<&Token>; 2] = [None, None];
    tokens.iter().enumerate().filter_map(move |(at, token)| {
        in_use = token.is("use") || token.is("extern") || (in_use && !token.is(";"));
        let [earlier, last] = before;
        before = [last, Some(token)];
        let behind = last.is_some_and(|last| last.is("."))
            || (last.is_some_and(|last| last.is("::")) && earlier.is_some_and(ends_segment));
        let path = tokens.get(at + 1).is_some_and(|next| next.is("::"));
        let name = crates.iter().find(|name| token.is(name))?;
        (!behind && (path || in_use)).then_some((token.line, *name))
    })
}

/// Whether a `::` behind this continues a path, and does not begin one.
fn ends_segment(token: &Token) -> bool {
    let keyword = ["as", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "use"];
    token.is(">") || (token.kind == Kind::Word && !keyword.iter().any(|word| token.is(word)))
}

/// Only the storage engine holds SQL for events.
pub(super) fn stray_sql(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for code in product(sources).iter().filter(|code| code.path != SQL_HOME) {
        for token in code.tokens.iter().filter(|token| token.kind == Kind::Text && is_sql(&token.text)) {
            found.push(Violation::new(code.path, token.line, "holds SQL"));
        }
    }
    found
}

fn is_sql(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
    let has = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    // Prose may say "select … from"; SQL shouts.
    let select =
        text.split_once("SELECT ").is_some_and(|(_, rest)| rest.split_whitespace().any(|w| w == "FROM"));
    select || has("INSERT", "INTO") || has("CREATE", "TABLE")
}

/// Only `respond.rs` turns a refusal into a status.
pub(super) fn stray_status(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    let elsewhere = |code: &&Code<'_>| code.is_of("gateway") && code.path != STATUS_HOME;
    for code in product(sources).iter().filter(elsewhere) {
        for window in code.tokens.windows(3) {
            let [kind, _, name] = window else { continue };
            let status = name.is("from_u16") || STATUSES.iter().any(|status| name.is(status));
            if starts(window, &["StatusCode", "::"]) && status {
                let why = format!("`{}::{}` belongs in `respond.rs`", kind.text, name.text);
                found.push(Violation::new(code.path, kind.line, why));
            }
        }
    }
    found
}

/// No own crate contains `unsafe`, tests included.
pub(super) fn unsafe_code(sources: &[Source]) -> Vec<Violation> {
    let rust = sources.iter().filter(|source| source.is_rust());
    rust.flat_map(|source| {
        let found = tokens(&source.text).into_iter().filter(|token| token.is("unsafe"));
        found.map(|token| Violation::new(&source.path, token.line, "is unsafe")).collect::<Vec<_>>()
    })
    .collect()
}

/// Lines of the manifest of `name` that depend on one of `others`, for the product or for tests.
fn dependencies(sources: &[Source], name: &str, others: &[&str]) -> Vec<Violation> {
    let manifest = format!("crates/{name}/Cargo.toml");
    let Some(source) = sources.iter().find(|source| source.path == manifest) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut section = "";
    for (at, line) in source.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(title) = line.strip_prefix('[') {
            section = title.trim_end_matches(']');
        }
        for other in others.iter().filter(|other| depends(section, line, other)) {
            found.push(Violation::new(&manifest, at + 1, format!("depends on `{other}`")));
        }
    }
    found
}

fn depends(section: &str, line: &str, other: &str) -> bool {
    if !section.contains("dependencies") {
        return false;
    }
    let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
    let title = line.starts_with('[') && section.rsplit('.').next() == Some(other);
    title || key.trim_matches('"') == other || line.contains(&format!("package = \"{other}\""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_pure_crate_that_is_not_is_found() {
        for (text, why) in [
            ("async fn f() {}", "`async` awaits"),
            ("fn f() { x.await; }", "`await` awaits"),
            ("let t = std::time::SystemTime::now();", "`SystemTime::now` reads a clock"),
            ("let t = Instant::now();", "`Instant::now` reads a clock"),
            ("let t = jiff::Timestamp::now();", "`Timestamp::now` reads a clock"),
            ("let n = rand::random();", "`rand` draws a random number"),
            ("getrandom::fill(&mut b);", "`getrandom` draws a random number"),
            ("use tokio::sync::Mutex;", "`tokio` names a runtime"),
            ("std::fs::read(p);", "`std::fs` touches files"),
            ("use std::{fmt, env};", "imports `std::env`"),
            ("use std::{fmt::{self, Write}, fs::File};", "imports `std::fs`"),
            ("let s = std::net::TcpStream::connect(a);", "`TcpStream` opens a socket"),
        ] {
            check(
                impurity,
                &[("crates/access/src/a.rs", text)],
                &[&format!("crates/access/src/a.rs:1: {why}")],
            );
            check(
                impurity,
                &[("crates/control/src/a.rs", text)],
                &[&format!("crates/control/src/a.rs:1: {why}")],
            );
            check(impurity, &[("crates/ledger/src/a.rs", text)], &[]);
        }
    }

    #[test]
    fn tests_comments_text_and_values_are_not_impure() {
        for text in [
            "#[cfg(test)] mod tests { use std::fs; async fn f() {} }",
            "// Instant::now is not for here\n/// nor `tokio`\nfn f() {}",
            "const WHY: &str = \"async std::fs\";",
            "use std::net::IpAddr; fn f(at: Timestamp) -> u64 { at.now_or(operand) }",
            "use std::{fmt, process_like};",
        ] {
            check(impurity, &[("crates/access/src/a.rs", text)], &[]);
        }
    }

    #[test]
    fn an_impure_dependency_is_found() {
        let manifest =
            "[package]\nname = \"access\"\n[dependencies]\nserde.workspace = true\ntokio.workspace = true\n";
        check(
            impurity,
            &[("crates/access/Cargo.toml", manifest)],
            &["crates/access/Cargo.toml:5: depends on `tokio`"],
        );
    }

    #[test]
    fn planes_that_name_each_other_are_found() {
        for text in [
            "use ledger::Keeper;",
            "fn f() { ledger::open(); }",
            "use {access, ledger};",
            "use ::ledger::x;",
            "extern crate ledger;",
        ] {
            let expected = "crates/gateway/src/a.rs:1: `gateway` names `ledger`";
            check(crossing, &[("crates/gateway/src/a.rs", text)], &[expected]);
        }
        check(
            crossing,
            &[("crates/admin/src/a.rs", "use gateway::x;")],
            &["crates/admin/src/a.rs:1: `admin` names `gateway`"],
        );
        check(crossing, &[("crates/admin/src/a.rs", "use control::x; use ledger::y;")], &[]);
    }

    #[test]
    fn words_that_only_look_like_a_plane_may_be_said() {
        let text = "// control\nuse crate::control::x; use http::header::{CACHE_CONTROL}; let control = f.control; \
                    self::admin::run(\"ledger::x\");";
        check(crossing, &[("crates/gateway/src/a.rs", text)], &[]);
    }

    #[test]
    fn a_crossing_dependency_is_found_in_each_spelling() {
        for line in
            ["control.workspace = true", "control = { path = \"x\" }", "c = { package = \"control\" }"]
        {
            let manifest = format!("[dependencies]\n{line}\n");
            check(
                crossing,
                &[("crates/gateway/Cargo.toml", &manifest)],
                &["crates/gateway/Cargo.toml:2: depends on `control`"],
            );
        }
        let table = "[dev-dependencies.control]\npath = \"x\"\n";
        check(
            crossing,
            &[("crates/gateway/Cargo.toml", table)],
            &["crates/gateway/Cargo.toml:1: depends on `control`"],
        );
        check(crossing, &[("crates/gateway/Cargo.toml", "[features]\ncontrol = []\n")], &[]);
    }

    #[test]
    fn stray_sql_is_found() {
        for text in [
            "db.execute(\"INSERT INTO events VALUES (1)\")",
            "const Q: &str = r\"SELECT body\n FROM events\";",
            "\"create table events (id)\"",
        ] {
            check(
                stray_sql,
                &[("crates/ledger/src/keeper.rs", text)],
                &["crates/ledger/src/keeper.rs:1: holds SQL"],
            );
            check(stray_sql, &[("crates/ledger/src/sqlite.rs", text)], &[]);
            check(stray_sql, &[("crates/ledger/tests/it/main.rs", text)], &[]);
        }
        let prose = "\"select a role from the list\" // SELECT x FROM y";
        check(stray_sql, &[("crates/ledger/src/keeper.rs", prose)], &[]);
    }

    #[test]
    fn a_stray_status_is_found() {
        let text =
            "let a = StatusCode::OK;\nlet b = http::StatusCode::FORBIDDEN;\nlet c = StatusCode::from_u16(n);";
        check(
            stray_status,
            &[("crates/gateway/src/forward.rs", text)],
            &[
                "crates/gateway/src/forward.rs:2: `StatusCode::FORBIDDEN` belongs in `respond.rs`",
                "crates/gateway/src/forward.rs:3: `StatusCode::from_u16` belongs in `respond.rs`",
            ],
        );
        check(stray_status, &[(STATUS_HOME, text), ("crates/admin/src/problem.rs", text)], &[]);
    }

    #[test]
    fn unsafe_code_is_found_in_tests_too() {
        let text = "// unsafe\n#[cfg(test)]\nmod tests { fn f() { unsafe { g() } } }";
        check(unsafe_code, &[("crates/access/src/a.rs", text)], &["crates/access/src/a.rs:3: is unsafe"]);
    }
}
