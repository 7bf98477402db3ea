//! Paths: spellings that readers could take for different ones, in the path and in the query.

use super::{Case, Expected, MALFORMED, forwarded};

/// How a target goes on behind the case's own path, and as what it is forwarded.
pub(super) const TARGETS: &[(&str, Option<&str>)] = &[
    ("", Some("")),
    ("/", Some("/")),
    ("/a/b", Some("/a/b")),
    ("/%61", Some("/a")),
    ("/%7Ea", Some("/~a")),
    ("/caf%c3%a9", Some("/caf%C3%A9")),
    ("/a%20b", Some("/a%20b")),
    ("/a:b@c", Some("/a:b@c")),
    ("/a,b=c&d+e!f$g'(h)*", Some("/a,b=c&d+e!f$g'(h)*")),
    ("/...", Some("/...")),
    ("/.a", Some("/.a")),
    ("/a..", Some("/a..")),
    ("/a%3Ab", Some("/a:b")),
    ("/a%22b", Some("/a%22b")),
    ("/a%25", Some("/a%25")),
    ("/%25zz", Some("/%25zz")),
    ("?", Some("?")),
    ("?a=b&a=c", Some("?a=b&a=c")),
    ("?a=%62&c=%26", Some("?a=b&c=%26")),
    ("?a=/../b", Some("?a=/../b")),
    ("?a=%2e%2e%2f", Some("?a=..%2F")),
    ("?a[b]={c}", Some("?a[b]={c}")),
    ("?a;b", Some("?a;b")),
    ("?a?b", Some("?a?b")),
    ("?a=%00", Some("?a=%00")),
    ("?a=%0d%0aX-B:c", Some("?a=%0D%0AX-B:c")),
    ("?%", None),
    ("?%4", None),
    ("?%zz", None),
    ("?a\\b", None),
    ("?a#b", None),
    ("?caf\u{e9}", None),
    ("?\u{1}", None),
    ("/.", None),
    ("/..", None),
    ("/../x", None),
    ("/./x", None),
    ("/a/../../x", None),
    ("/%2e", None),
    ("/%2e%2e/x", None),
    ("/%2E%2E/x", None),
    ("/.%2e/x", None),
    ("/%2e./x", None),
    ("/%252e%252e/x", None),
    ("/%25%32%65/x", None),
    ("/%%32%65/x", None),
    ("/..;/x", None),
    ("/..%3b/x", None),
    ("/a;b", None),
    ("/a;b=c/d", None),
    ("/a%3bb", None),
    ("/;/x", None),
    ("/a//b", None),
    ("//", None),
    ("/a%2fb", None),
    ("/a%2Fb", None),
    ("/%2f", None),
    ("/a%252fb", None),
    ("/..%2fx", None),
    ("/a\\b", None),
    ("/..\\x", None),
    ("/a%5cb", None),
    ("/a%5Cb", None),
    ("/..%5cx", None),
    ("/a%00", None),
    ("/a%00.json", None),
    ("/a%0a", None),
    ("/a%0d%0aX-A:%20b", None),
    ("/a%09", None),
    ("/a%7f", None),
    ("/a\u{7f}", None),
    ("/a\u{1}", None),
    ("/%c0%ae%c0%ae/x", None),
    ("/%c0%af", None),
    ("/%e0%80%af", None),
    ("/%f0%80%80%af", None),
    ("/%c1%9c", None),
    ("/%ff", None),
    ("/%ed%a0%80", None),
    ("/%u002e", None),
    ("/%u2215", None),
    ("/%", None),
    ("/%4", None),
    ("/%zz", None),
    ("/%+1", None),
    ("/% 1", None),
    ("/a#b", None),
    ("/a|b", None),
    ("/a{b}", None),
    ("/a<b>", None),
    ("/a\"b", None),
    ("/a^b", None),
    ("/a`b", None),
    ("/[a]", None),
    ("/caf\u{e9}", None),
    ("/\u{2215}", None),
    ("/\u{ff0f}", None),
    ("/\u{ff0e}\u{ff0e}", None),
];

/// Targets of their own, which no role of the caller allows, or which are none.
const WHOLE: &[(&str, Expected)] = &[
    ("/", Expected::Refused(404, "api_unknown")),
    ("/plainx/x", Expected::Refused(404, "api_unknown")),
    ("/PLAIN/x", Expected::Refused(404, "api_unknown")),
    ("/Plain/x", Expected::Refused(404, "api_unknown")),
    ("/plain%2fx", MALFORMED),
    ("/plain%20/x", Expected::Refused(404, "api_unknown")),
    ("/plain./x", Expected::Refused(404, "api_unknown")),
    ("//plain/x", MALFORMED),
    ("/./plain/x", MALFORMED),
    ("/x/../plain/x", MALFORMED),
    ("/orders/v1/orders", Expected::Refused(403, "operation_not_allowed")),
    ("/%6frders/v1/orders", Expected::Refused(403, "operation_not_allowed")),
    ("/orders/v1/orders/", Expected::Refused(404, "operation_unknown")),
    ("/orders/v1/orders/7/", Expected::Refused(404, "operation_unknown")),
    ("/orders/v1/Orders", Expected::Refused(404, "operation_unknown")),
    ("/orders/v1/orders.json", Expected::Refused(404, "operation_unknown")),
    ("/orders/v1/orders/7/x/../refund", MALFORMED),
    ("/plain/../orders/v1/orders", MALFORMED),
    ("/plain/%2e%2e/orders/v1/orders", MALFORMED),
    ("/plain/..;/orders/v1/orders", MALFORMED),
    ("/plain\\..\\orders", MALFORMED),
    ("/orders%00/v1/orders", MALFORMED),
    ("/orders;x/v1/orders", MALFORMED),
    ("/orders#/plain/x", MALFORMED),
    ("?/plain/x", MALFORMED),
    ("/orders?/plain/x", Expected::Refused(404, "operation_unknown")),
    ("/livez", Expected::Refused(404, "api_unknown")),
    ("/metrics", Expected::Refused(404, "api_unknown")),
    ("/api/v1/grants", Expected::Refused(404, "api_unknown")),
    ("/.well-known/jwks.json", Expected::Refused(404, "api_unknown")),
];

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    let targets = TARGETS.iter().flat_map(|(rest, came)| {
        let expected =
            |method: &str| came.map_or(MALFORMED, |came| forwarded(&format!("{method} {{at}}{came}"), ""));
        let absolute = Case::new(
            format!("http://..{rest}"),
            format!("GET http://api.example{{at}}{rest} HTTP/1.1\r\nHost: api.example\r\n{{auth}}\r\n"),
            expected("GET"),
        );
        ["GET", "DELETE"]
            .map(|method| asked(method, &format!("{{at}}{rest}"), expected(method)))
            .into_iter()
            .chain([absolute])
    });
    let whole = WHOLE.iter().map(|(target, expected)| asked("GET", target, expected.clone()));
    targets.chain(whole).collect()
}

fn asked(method: &str, target: &str, expected: Expected) -> Case {
    let sent = format!("{method} {target} HTTP/1.1\r\nHost: api.example\r\n{{auth}}\r\n");
    Case::new(format!("{method} {target}"), sent, expected)
}
