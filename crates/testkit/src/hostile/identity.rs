//! Identity headers: what a client claims about itself, in every spelling, place and company.

use super::{Case, MALFORMED, forwarded};

/// Names by which a client could speak for the proxy.
pub(super) const CLAIMS: &[&str] = &[
    "Daypass-Subject",
    "Daypass-Grant",
    "Daypass-Assertion",
    "Daypass-Anything",
    "Daypass",
    "X-Daypass-Subject",
    "My-Daypass-Grant",
    "DaypassSubject",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "Forwarded",
    "Forwarded-For",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Host",
    "X-Original-Host",
    "Remote-User",
    "X-Remote-User",
    "X-Request-Id",
    "Traceparent",
    "Tracestate",
    "Via",
    "Proxy",
    "Proxy-Authorization",
];

/// What is claimed: whatever of it reaches the upstream is a fault.
pub(super) const CLAIM: &str = "forged";

/// One name in the spellings that are one name to every reader.
fn spellings(name: &str) -> Vec<String> {
    let mixed = name.char_indices().map(|(at, letter)| match at % 2 {
        0 => letter.to_ascii_lowercase(),
        _ => letter.to_ascii_uppercase(),
    });
    vec![name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase(), mixed.collect()]
}

/// One name in spellings that some readers fold into it.
fn lookalikes(name: &str) -> Vec<String> {
    let mut alike: Vec<String> = ['_', '.', '+', '~', '|']
        .iter()
        .map(|other| name.replace('-', &other.to_string()))
        .filter(|alike| alike != name)
        .collect();
    alike.extend(['_', '.', '\u{a0}', '\u{7f}', '\0', ' ', '\t'].map(|behind| format!("{name}{behind}")));
    alike.extend(['_', '.', '\u{a0}', ' '].map(|before| format!("{before}{name}")));
    alike
}

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    CLAIMS.iter().flat_map(|name| removed(name).into_iter().chain(refused(name))).collect()
}

fn removed(name: &str) -> Vec<Case> {
    let spelled = spellings(name).into_iter().map(|name| format!("{name}: {CLAIM}"));
    let company = [
        format!("{name}: {CLAIM}\r\n{name}: {CLAIM} again"),
        format!("{name}:"),
        format!("{name}:\t {CLAIM} \t"),
        format!("{name}: {CLAIM}, {CLAIM}\r\nX-A: b"),
        format!("Connection: {name}\r\n{name}: {CLAIM}"),
        format!("Connection: keep-alive, {name}, Daypass-Subject, Authorization, Host\r\n{name}: {CLAIM}"),
        format!("Connection: {}\r\n{name}: {CLAIM}", name.to_ascii_uppercase()),
        format!("Connection: x\r\nConnection: ,, {name} ,\r\n{name}: {CLAIM}"),
        format!("TE: trailers\r\nTrailer: {name}\r\n{name}: {CLAIM}"),
    ];
    let all =
        spelled.chain(company).map(|fields| Case::new(&fields, get(&fields), forwarded("GET {at}", "")));
    let trailer = format!(
        "POST {{at}} HTTP/1.1\r\nHost: api.example\r\n{{auth}}Transfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n\
         1\r\nx\r\n0\r\n{name}: {CLAIM}\r\n\r\n"
    );
    let trailer = Case::new(format!("{name} as a trailer"), trailer, forwarded("POST {at}", "x"));
    all.chain([trailer]).collect()
}

fn refused(name: &str) -> Vec<Case> {
    let refused = |name: String| {
        let fields = format!("{name}: {CLAIM}");
        Case::new(&fields, get(&fields), MALFORMED)
    };
    lookalikes(name).into_iter().map(refused).collect()
}

fn get(fields: &str) -> String {
    format!("GET {{at}} HTTP/1.1\r\nHost: api.example\r\n{{auth}}{fields}\r\n\r\n")
}
