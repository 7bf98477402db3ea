//! Hostile upstreams: answers that two readers could take for different ones, or for more than one.

use crate::client::{Answer, Ask};
use crate::upstream::Behavior;
use crate::world::World;

/// What a client must be given for an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// This status and body, whole.
    Whole(u16, &'static str),
    /// An answer with this status that does not look whole.
    Broken(u16),
    /// Daypass says that the upstream's answer cannot be read.
    Malformed,
    /// Daypass says that the upstream was not reached to the end.
    Unreachable,
}

use Given::{Broken, Malformed, Unreachable, Whole};

/// What is tried, with which method, what the upstream sends, and what a client is given.
type Row = (&'static str, &'static str, &'static str, Given);

/// What no client may ever be given.
const STOLEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";

const HEADS: &[Row] = &[
    ("an ordinary answer", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    ("no reason", "GET", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    ("an empty reason", "GET", "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    ("a strange status", "GET", "HTTP/1.1 799 Odd\r\ncontent-length: 2\r\n\r\nok", Whole(799, "ok")),
    (
        "chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(200, "ok"),
    ),
    ("HTTP/1.0 and a length", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
    ("a body to the end of the connection", "GET", "HTTP/1.1 200 OK\r\n\r\nok", Whole(200, "ok")),
    (
        "a length beside chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "chunks beside a length",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nok",
        Malformed,
    ),
    ("two lengths", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Malformed),
    (
        "the same length twice",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        Malformed,
    ),
    ("a list of lengths", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", Malformed),
    ("a length with a plus", "GET", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Malformed),
    ("a length below zero", "GET", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", Malformed),
    ("a length in hexadecimal", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok", Malformed),
    ("an empty length", "GET", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok", Malformed),
    (
        "a length that is 2^64",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nok",
        Malformed,
    ),
    ("another coding", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", Malformed),
    (
        "another coding before chunks",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "chunks twice",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "chunks behind a vertical tab",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "chunks in HTTP/1.0",
        "GET",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Malformed,
    ),
    ("a space before a colon", "GET", "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", Malformed),
    ("a folded field", "GET", "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a bare line feed", "GET", "HTTP/1.1 200 OK\r\nx-a: b\ncontent-length: 2\r\n\r\nok", Malformed),
    ("bare line feeds only", "GET", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Malformed),
    (
        "a bare carriage return",
        "GET",
        "HTTP/1.1 200 OK\r\nx-a: b\rx-c: d\r\ncontent-length: 2\r\n\r\nok",
        Malformed,
    ),
    ("a NUL in a value", "GET", "HTTP/1.1 200 OK\r\nx-a: \0\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a NUL in a name", "GET", "HTTP/1.1 200 OK\r\nx\0: a\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a field without a colon", "GET", "HTTP/1.1 200 OK\r\nx-a\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a field without a name", "GET", "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("another version", "GET", "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a version of HTTP/2", "GET", "HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("no version", "GET", "200 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("no HTTP", "GET", "hello\r\n\r\n", Malformed),
    ("a status of two digits", "GET", "HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a status of four digits", "GET", "HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a status of 0", "GET", "HTTP/1.1 000 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a status with a sign", "GET", "HTTP/1.1 +20 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("a line break in the reason", "GET", "HTTP/1.1 200 O\rK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    ("an empty line in front", "GET", "\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Malformed),
    (
        "a switch that nobody asked for",
        "GET",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nok",
        Malformed,
    ),
    (
        "a switch with a length",
        "GET",
        "HTTP/1.1 101 Switching Protocols\r\ncontent-length: 2\r\n\r\nok",
        Malformed,
    ),
    ("an interim answer alone", "GET", "HTTP/1.1 100 Continue\r\n\r\n", Unreachable),
    (
        "an interim answer with a length",
        "GET",
        "HTTP/1.1 103 Early\r\ncontent-length: 2\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        Whole(200, "ok"),
    ),
    ("nothing", "GET", "", Unreachable),
    ("half a head", "GET", "HTTP/1.1 200 OK\r\ncontent-le", Unreachable),
];

const BODIES: &[Row] = &[
    ("a body that ends early", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Broken(200)),
    (
        "chunks that end early",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok",
        Broken(200),
    ),
    ("no last chunk", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Broken(200)),
    (
        "no end behind the last chunk",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        Broken(200),
    ),
    (
        "a size with a prefix",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        Broken(200),
    ),
    (
        "a size that overflows",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
        Broken(200),
    ),
    (
        "a bare line feed behind a size",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
        Broken(200),
    ),
    (
        "a bare line feed behind the data",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n",
        Broken(200),
    ),
    (
        "more data than its size",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
        Broken(200),
    ),
    (
        "a folded trailer",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: a\r\n b\r\n\r\n",
        Broken(200),
    ),
    ("text for chunks", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nok", Broken(200)),
    (
        "trailers",
        "GET",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\n\r\n",
        Whole(200, "ok"),
    ),
    ("a body for HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Whole(200, "")),
    (
        "chunks for HEAD",
        "HEAD",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(200, ""),
    ),
    ("a body with 204", "GET", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok", Whole(204, "")),
    (
        "chunks with 204",
        "GET",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        Whole(204, ""),
    ),
    ("a body with 304", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok", Whole(304, "")),
    ("a body with 205", "GET", "HTTP/1.1 205 Reset Content\r\ncontent-length: 2\r\n\r\nok", Whole(205, "ok")),
    (
        "bytes behind an answer",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokstolen",
        Whole(200, "ok"),
    ),
    (
        "a line break behind an answer",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n",
        Whole(200, "ok"),
    ),
];

/// Answers that say too much, each by one.
fn large() -> Vec<(&'static str, String, Given)> {
    let answer = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok");
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    vec![
        ("200 fields", answer("a: b\r\n".repeat(200)), Whole(200, "ok")),
        ("257 fields", answer("a: b\r\n".repeat(257)), Malformed),
        ("a field of 70000 bytes", answer(format!("a: {}\r\n", "b".repeat(70_000))), Malformed),
        ("a head without an end", format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(12_000)), Malformed),
        ("a line without an end", format!("HTTP/1.1 200 {}", "a".repeat(70_000)), Malformed),
        ("16 interim answers", format!("{}{}", interim.repeat(16), answer(String::new())), Whole(200, "ok")),
        ("17 interim answers", format!("{}{}", interim.repeat(17), answer(String::new())), Malformed),
        ("interim answers without an end", interim.repeat(5_000), Malformed),
        (
            "a chunk with an extension of 300 bytes",
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;{}\r\nok\r\n0\r\n\r\n",
                "e".repeat(300)
            ),
            Broken(200),
        ),
        (
            "40 trailers",
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{}\r\n",
                "a: b\r\n".repeat(40)
            ),
            Broken(200),
        ),
    ]
}

/// One case: its name, the method, the answer, and what a client is given.
pub type Case = (String, &'static str, &'static str, Given);

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    let rows = HEADS
        .iter()
        .chain(BODIES)
        .map(|(name, method, text, given)| ((*name).to_owned(), *method, *text, *given));
    let large = large().into_iter().map(|(name, text, given)| (name.to_owned(), "GET", leaked(text), given));
    // What comes behind an answer is nobody's, whatever the answer is.
    let followed =
        BODIES.iter().filter(|(.., given)| matches!(given, Whole(..))).map(|(name, method, text, given)| {
            (
                format!("{name}, with another answer behind"),
                *method,
                leaked(format!("{text}{STOLEN}")),
                *given,
            )
        });
    rows.chain(large).chain(followed).collect()
}

/// A text that lives as long as the tests.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Tries the cases over both protocols, from an upstream that closes and, where that is no part of the case, from one
/// that does not; after each the same client asks for something else.
///
/// # Panics
/// A case came to something else than it must; all of those are named.
pub async fn check(world: &World, cases: Vec<Case>) {
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (name, method, text, given) in &cases {
        let closes = matches!(given, Broken(_) | Unreachable)
            || text.ends_with("\r\n\r\nok") && !text.contains("ength");
        let stays = if closes { None } else { Some(Behavior::Stray(text)) };
        for behavior in [Some(Behavior::Raw(text)), stays].into_iter().flatten() {
            world.upstream().on("/answer", behavior.clone());
            let ask = Ask::new(method, "/plain/answer").bearer(&token);
            let own = Ask::get("/plain/own").bearer(&token);
            let mut first = world.connect().await;
            let mut second = world.connect_h2().await;
            let mut came = vec![("HTTP/1.1", first.try_ask(&ask).await)];
            came.push(("HTTP/2", second.try_send(&ask).await));
            let mut after = vec![first.try_ask(&own).await, second.try_send(&own).await];
            after.push(Some(world.send(&own).await));
            tried += 2;
            for (protocol, answer) in came {
                if !is_given(answer.as_ref(), *given, protocol) {
                    wrong.push(format!("{name}, over {protocol}, {behavior:?}: {answer:?}"));
                }
            }
            let own = |answer: &Answer| answer.text() == "{\"ok\":true}" && answer.status == 200;
            if !after.iter().flatten().all(own) || after.last().is_none_or(Option::is_none) {
                wrong.push(format!("{name}, {behavior:?}: the next answers were {after:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} tries:\n{}", wrong.len(), wrong.join("\n"));
}

fn is_given(answer: Option<&Answer>, given: Given, protocol: &str) -> bool {
    // A stream can be reset before its head was given on.
    let Some(answer) = answer else { return matches!(given, Broken(_)) && protocol == "HTTP/2" };
    match given {
        Whole(status, body) => answer.status == status && answer.text() == body && answer.whole,
        Broken(status) => answer.status == status && !answer.whole,
        Malformed => (answer.status, answer.code().as_str()) == (502, "upstream_malformed"),
        Unreachable => (answer.status, answer.code().as_str()) == (502, "upstream_unreachable"),
    }
}
