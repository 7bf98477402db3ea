//! Heads toward clients: request lines, fields, hosts, sizes, and what asks to leave HTTP/1.1.

use super::{Case, Expected, MALFORMED, forwarded};

const UNSUPPORTED: Expected = Expected::Closed(501, "method_unsupported");
const UPGRADE: Expected = Expected::Closed(400, "upgrade_refused");
const FIELDS: Expected = Expected::Closed(431, "headers_too_large");

/// Request lines; `Ok` is what the upstream sees.
const LINES: &[(&str, &str, Result<&str, Expected>)] = &[
    ("a plain line", "GET {at} HTTP/1.1", Ok("GET {at}")),
    ("a query", "GET {at}?a=b HTTP/1.1", Ok("GET {at}?a=b")),
    ("an absolute target", "GET http://api.example{at} HTTP/1.1", Ok("GET {at}")),
    ("an absolute target in capitals", "GET HTTP://api.example{at} HTTP/1.1", Ok("GET {at}")),
    ("two spaces before the target", "GET  {at} HTTP/1.1", Err(MALFORMED)),
    ("two spaces behind the target", "GET {at}  HTTP/1.1", Err(MALFORMED)),
    ("a tab before the target", "GET\t{at} HTTP/1.1", Err(MALFORMED)),
    ("a tab behind the target", "GET {at}\tHTTP/1.1", Err(MALFORMED)),
    ("a space in front", " GET {at} HTTP/1.1", Err(MALFORMED)),
    ("a tab in front", "\tGET {at} HTTP/1.1", Err(MALFORMED)),
    ("a space behind", "GET {at} HTTP/1.1 ", Err(MALFORMED)),
    ("a word behind", "GET {at} HTTP/1.1 x", Err(MALFORMED)),
    ("a space in the target", "GET {at}/a b HTTP/1.1", Err(MALFORMED)),
    ("a vertical tab before the target", "GET\u{b}{at} HTTP/1.1", Err(MALFORMED)),
    ("a form feed before the target", "GET\u{c}{at} HTTP/1.1", Err(MALFORMED)),
    ("a no-break space before the target", "GET\u{a0}{at} HTTP/1.1", Err(MALFORMED)),
    ("a carriage return before the target", "GET\r{at} HTTP/1.1", Err(MALFORMED)),
    ("a carriage return behind the target", "GET {at}\rHTTP/1.1", Err(MALFORMED)),
    ("a carriage return behind the version", "GET {at} HTTP/1.1\r", Err(MALFORMED)),
    ("a NUL in the method", "GE\0T {at} HTTP/1.1", Err(MALFORMED)),
    ("a NUL in the target", "GET {at}\0 HTTP/1.1", Err(MALFORMED)),
    ("a delete in the target", "GET {at}\u{7f} HTTP/1.1", Err(MALFORMED)),
    ("no version", "GET {at}", Err(MALFORMED)),
    ("an empty version", "GET {at} ", Err(MALFORMED)),
    ("HTTP/0.9", "GET {at} HTTP/0.9", Err(MALFORMED)),
    ("HTTP/1.2", "GET {at} HTTP/1.2", Err(MALFORMED)),
    ("HTTP/1.10", "GET {at} HTTP/1.10", Err(MALFORMED)),
    ("HTTP/01.1", "GET {at} HTTP/01.1", Err(MALFORMED)),
    ("HTTP/1.1 with a zero behind", "GET {at} HTTP/1.1 0", Err(MALFORMED)),
    ("HTTP/1", "GET {at} HTTP/1", Err(MALFORMED)),
    ("HTTP/2.0", "GET {at} HTTP/2.0", Err(MALFORMED)),
    ("HTTP/3", "GET {at} HTTP/3", Err(MALFORMED)),
    ("a version in small letters", "GET {at} http/1.1", Err(MALFORMED)),
    ("another protocol", "GET {at} ICY/1.1", Err(MALFORMED)),
    ("a version with a comma", "GET {at} HTTP/1,1", Err(MALFORMED)),
    ("a version with a space", "GET {at} HTTP /1.1", Err(MALFORMED)),
    ("a method in small letters", "get {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("a method in mixed letters", "Get {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("no method", "{at} HTTP/1.1", Err(MALFORMED)),
    ("an empty method", " {at} HTTP/1.1", Err(MALFORMED)),
    ("a method with a slash", "GE/T {at} HTTP/1.1", Err(MALFORMED)),
    ("a method with a colon", "GET: {at} HTTP/1.1", Err(MALFORMED)),
    ("a method with a quote", "\"GET\" {at} HTTP/1.1", Err(MALFORMED)),
    ("a method with other letters", "G\u{c9}T {at} HTTP/1.1", Err(MALFORMED)),
    ("TRACE", "TRACE {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("TRACK", "TRACK {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("CONNECT to an authority", "CONNECT api.example:443 HTTP/1.1", Err(UNSUPPORTED)),
    ("CONNECT to a path", "CONNECT {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("PROPFIND", "PROPFIND {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("PURGE", "PURGE {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("a method of ours", "DAYPASS {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("a method with a mark", "GET! {at} HTTP/1.1", Err(UNSUPPORTED)),
    ("the preface of HTTP/2, late", "PRI * HTTP/2.0", Err(MALFORMED)),
    ("an asterisk", "OPTIONS * HTTP/1.1", Err(MALFORMED)),
    ("an asterisk for GET", "GET * HTTP/1.1", Err(MALFORMED)),
    ("an authority for a target", "GET api.example:80 HTTP/1.1", Err(MALFORMED)),
    ("a target without a slash", "GET plain/x HTTP/1.1", Err(MALFORMED)),
    ("another scheme", "GET ftp://api.example{at} HTTP/1.1", Err(MALFORMED)),
    ("a scheme without an authority", "GET http:{at} HTTP/1.1", Err(MALFORMED)),
    ("an empty authority", "GET http://{at} HTTP/1.1", Err(MALFORMED)),
    ("another host in the target", "GET http://other.example{at} HTTP/1.1", Err(MALFORMED)),
    ("a port in the target only", "GET http://api.example:80{at} HTTP/1.1", Err(MALFORMED)),
    ("a user in the target", "GET http://user@api.example{at} HTTP/1.1", Err(MALFORMED)),
    ("a fragment in the target", "GET {at}#x HTTP/1.1", Err(MALFORMED)),
    ("a scheme in the path", "GET /http://api.example{at} HTTP/1.1", Err(MALFORMED)),
];

/// Fields behind `GET {at} HTTP/1.1` and a host; `None` passes, and the upstream sees nothing of it.
const LIKE: &[(&str, &str, Option<Expected>)] = &[
    ("an ordinary field", "X-A: b", None),
    ("an empty value", "X-A:", None),
    ("bytes above ASCII in a value", "X-A: \u{e9}\u{ff}", None),
    ("a tab in a value", "X-A: b\tc", None),
    ("a space before a colon", "X-A : b", Some(MALFORMED)),
    ("a tab before a colon", "X-A\t: b", Some(MALFORMED)),
    ("a space in a name", "X A: b", Some(MALFORMED)),
    ("a space before a name", " X-A: b", Some(MALFORMED)),
    ("a folded value", "X-A: b\r\n c", Some(MALFORMED)),
    ("a value folded with a tab", "X-A: b\r\n\tc", Some(MALFORMED)),
    ("a folded empty line", "X-A: b\r\n \r\nX-C: d", Some(MALFORMED)),
    ("a bare line feed", "X-A: b\nX-C: d", Some(MALFORMED)),
    ("a bare carriage return", "X-A: b\rX-C: d", Some(MALFORMED)),
    ("two carriage returns", "X-A: b\r\r\nX-C: d", Some(MALFORMED)),
    ("a NUL in a value", "X-A: \0", Some(MALFORMED)),
    ("a NUL in a name", "X-\0A: b", Some(MALFORMED)),
    ("an escape in a value", "X-A: \u{1b}[0m", Some(MALFORMED)),
    ("a delete in a value", "X-A: \u{7f}", Some(MALFORMED)),
    ("a backspace in a value", "X-A: \u{8}", Some(MALFORMED)),
    ("no colon", "X-A", Some(MALFORMED)),
    ("no name", ": b", Some(MALFORMED)),
    ("an underscore in a name", "X_A: b", Some(MALFORMED)),
    ("a point in a name", "X.A: b", Some(MALFORMED)),
    ("a plus in a name", "X+A: b", Some(MALFORMED)),
    ("other letters in a name", "X-\u{e9}: b", Some(MALFORMED)),
    ("a quote in a name", "\"X-A\": b", Some(MALFORMED)),
    ("a bracket in a name", "X-A[0]: b", Some(MALFORMED)),
    ("a pseudo field", ":path: /x", Some(MALFORMED)),
    ("two hosts", "Host: api.example", Some(MALFORMED)),
    ("another host", "Host: other.example", Some(MALFORMED)),
    ("a host with a space before its colon", "Host : other.example", Some(MALFORMED)),
    ("another method, asked for", "X-HTTP-Method-Override: DELETE", Some(MALFORMED)),
    ("another method in capitals", "X-HTTP-METHOD: DELETE", Some(MALFORMED)),
    ("another method, the third spelling", "X-Method-Override: DELETE", Some(MALFORMED)),
    ("another method with underscores", "X_HTTP_Method_Override: DELETE", Some(MALFORMED)),
    ("another path", "X-Original-URL: /admin", Some(MALFORMED)),
    ("another path, rewritten", "X-Rewrite-URL: /admin", Some(MALFORMED)),
    ("another path, original", "X-Original-URI: /admin", Some(MALFORMED)),
    ("two credentials", "Authorization: Bearer x", Some(MALFORMED)),
    ("a credential in another field", "X-Api-Key: {token}", Some(MALFORMED)),
    ("a credential in a cookie", "Cookie: a=b; t={token}", Some(MALFORMED)),
    ("a credential in a field of its hop", "Proxy-Authorization: Bearer {token}", Some(MALFORMED)),
    ("an expectation", "Expect: 100-continue", None),
    ("an expectation in capitals", "EXPECT: 100-CONTINUE", None),
    ("another expectation", "Expect: 200-ok", Some(MALFORMED)),
    ("two expectations", "Expect: 100-continue\r\nExpect: 100-continue", Some(MALFORMED)),
    ("an expectation with a parameter", "Expect: 100-continue;q=1", Some(MALFORMED)),
    ("an empty expectation", "Expect:", Some(MALFORMED)),
    (
        "h2c",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        Some(UPGRADE),
    ),
    ("h2c in capitals", "Connection: upgrade\r\nUpgrade: H2C", Some(UPGRADE)),
    ("TLS within HTTP", "Connection: Upgrade\r\nUpgrade: TLS/1.0", Some(UPGRADE)),
    (
        "a WebSocket without a key",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
        Some(UPGRADE),
    ),
    (
        "a WebSocket of another version",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        Some(UPGRADE),
    ),
    (
        "a WebSocket that Connection does not list",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        Some(UPGRADE),
    ),
    ("two protocols", "Connection: Upgrade\r\nUpgrade: websocket, h2c", Some(UPGRADE)),
    ("an empty upgrade", "Connection: Upgrade\r\nUpgrade:", Some(UPGRADE)),
    ("Connection: upgrade without a protocol", "Connection: Upgrade", None),
    ("settings of HTTP/2 alone", "HTTP2-Settings: AAMAAABkAAQAAP__", None),
];

/// Hosts, in place of the one that the other cases have; all but one are refused.
const HOSTS: &[&str] = &[
    "",
    " ",
    "api.example/",
    "api.example/x",
    "api.example?x",
    "api.example#x",
    "user@api.example",
    "user:pass@api.example",
    "api.example:",
    "api.example:0",
    "api.example:65536",
    "api.example:80:80",
    "api.example:+80",
    "api.example: 80",
    "api.example:8O",
    "api.example, other.example",
    "api.example other.example",
    "api.example\tother.example",
    "api\u{e9}.example",
    "api%2eexample",
    "http://api.example",
    "*.example",
    "[::1",
    "::1",
    "[::1]x",
    "[api.example]",
    "[v1.x]",
    ":80",
    "api.example;x",
    "api.example\\x",
    "<script>",
    "'; drop table requests; --",
    "{token}",
];

/// Heads that say too much, each by one.
fn large() -> Vec<(&'static str, String, Expected)> {
    let line = |target: String| format!("GET {target} HTTP/1.1\r\nHost: api.example\r\n{{auth}}\r\n");
    let get = |fields: String| format!("GET {{at}} HTTP/1.1\r\nHost: api.example\r\n{{auth}}{fields}\r\n");
    let long = Expected::Closed(414, "uri_too_long");
    vec![
        ("a path of 9000 bytes", line(format!("{{at}}/{}", "a".repeat(9_000))), long.clone()),
        ("a query of 9000 bytes", line(format!("{{at}}?{}", "a".repeat(9_000))), long.clone()),
        ("a query of 9000 escapes", line(format!("{{at}}?{}", "%61".repeat(9_000))), long.clone()),
        ("a line without an end", format!("GET /{}", "a".repeat(70_000)), long),
        ("99 more fields", get("a: b\r\n".repeat(99)), FIELDS),
        ("300 more fields", get("a: b\r\n".repeat(300)), FIELDS),
        ("a field of 33000 bytes", get(format!("a: {}\r\n", "b".repeat(33_000))), FIELDS),
        ("fields of 40000 bytes", get(format!("a: {}\r\n", "b".repeat(500)).repeat(80)), FIELDS),
        ("a name of 40000 bytes", get(format!("{}: b\r\n", "a".repeat(40_000))), FIELDS),
        ("a head without an end", format!("GET {{at}} HTTP/1.1\r\n{}", "a: b\r\n".repeat(12_000)), FIELDS),
        (
            "a method of 5000 bytes",
            format!("{} {{at}} HTTP/1.1\r\nHost: api.example\r\n\r\n", "A".repeat(5_000)),
            UNSUPPORTED,
        ),
    ]
}

/// What stands before a request line.
const BEFORE: &[(&str, &str, bool)] = &[
    ("one empty line", "\r\n", true),
    ("two empty lines", "\r\n\r\n", false),
    ("a bare line feed", "\n", false),
    ("a bare carriage return", "\r", false),
    ("a NUL", "\0", false),
    ("a byte-order mark", "\u{feff}", false),
    ("a header of a load balancer", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", false),
    ("a TLS record", "\u{16}\u{3}\u{1}\0", false),
    ("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
];

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    let lines = LINES.iter().map(|(name, line, came)| {
        let sent = format!("{line}\r\nHost: api.example\r\n{{auth}}\r\n");
        let expected = came.clone().map_or_else(|why| why, |line| forwarded(line, ""));
        Case::new(*name, sent, expected)
    });
    let fields = LIKE.iter().map(|(name, fields, refused)| get(name, "api.example", fields, refused.clone()));
    let hosts = HOSTS.iter().map(|host| get(&format!("the host `{host}`"), host, "X-A: b", Some(MALFORMED)));
    let large = large().into_iter().map(|(name, sent, expected)| Case::new(name, sent, expected));
    let before = BEFORE.iter().map(|(name, bytes, passes)| {
        let sent = format!("{bytes}GET {{at}} HTTP/1.1\r\nHost: api.example\r\n{{auth}}\r\n");
        let expected = if *passes { forwarded("GET {at}", "") } else { MALFORMED };
        Case::new(format!("{name} before the line"), sent, expected)
    });
    lines.chain(fields).chain(hosts).chain(large).chain(before).chain(hostless()).collect()
}

fn hostless() -> [Case; 3] {
    let absolute = "GET http://api.example{at} HTTP/1.1\r\n{auth}\r\n";
    [
        Case::new("no host", "GET {at} HTTP/1.1\r\n{auth}\r\n", MALFORMED),
        Case::new("no host but in the target", absolute, MALFORMED),
        Case::new("no host in HTTP/1.0", "GET {at} HTTP/1.0\r\n{auth}\r\n", MALFORMED),
    ]
}

fn get(name: &str, host: &str, fields: &str, refused: Option<Expected>) -> Case {
    let sent = format!("GET {{at}} HTTP/1.1\r\nHost: {host}\r\n{{auth}}{fields}\r\n\r\n");
    Case::new(name, sent, refused.unwrap_or_else(|| forwarded("GET {at}", "")))
}
