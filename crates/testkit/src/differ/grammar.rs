//! Generated requests: well-formed ones, and what a few mutations make of them.
//!
//! Everything follows from a seed. A request names its case in its path, and, where nothing was done to its body or its
//! framing, says in `X-Body` what that body is, so that whoever reads it can be held to it.

use crate::time::Random;

/// Several requests on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The requests one behind the other.
    pub parts: Vec<Vec<u8>>,
    /// Where the bytes are cut into separate writes.
    pub cuts: Vec<usize>,
}

impl Batch {
    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// The most requests of one connection.
const REQUESTS_MAX: usize = 6;
/// Bytes that some readers take for another.
const ODD: &[u8] = b"\0\t\n\r\x0b\x0c\x1b \"#%',-.:;<>@[\\]^_`{|}~\x7f\x80\x85\xa0\xad\xff";

/// A request that is being made up.
struct Draft {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// The body as it is framed.
    framed: Vec<u8>,
}

/// The requests of one connection to `api`, of which the first is the case `first`.
#[must_use]
pub fn batch(random: &Random, api: &str, first: u64, token: &str) -> Batch {
    let count = 1 + random.below(REQUESTS_MAX);
    let mut parts: Vec<Vec<u8>> =
        (0..count as u64).map(|at| request(random, api, first + at, token)).collect();
    if random.below(8) > 0 {
        // The last request has the connection end, so that nobody need wait.
        let last = format!("GET /{api}/last{first} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        parts.push(last.into_bytes());
    }
    let length = parts.iter().map(Vec::len).sum::<usize>();
    let mut cuts: Vec<usize> = (0..random.below(4)).map(|_| random.below(length)).collect();
    cuts.sort_unstable();
    Batch { parts, cuts }
}

fn request(random: &Random, api: &str, case: u64, token: &str) -> Vec<u8> {
    let mut draft = plain(random, api, case, token);
    let changes = [0, 0, 0, 0, 1, 1, 1, 2];
    let count = random.pick(&changes).copied().unwrap_or(0);
    if count == 0 {
        let hex: String = draft.body.iter().map(|byte| format!("{byte:02x}")).collect();
        draft.lines.push(format!("X-Body: {hex}").into_bytes());
    }
    for _ in 0..count {
        change(random, &mut draft, api, case);
    }
    let mut bytes = written(&draft);
    if count > 0 && random.below(6) == 0 {
        strike(random, &mut bytes);
    }
    bytes
}

fn written(draft: &Draft) -> Vec<u8> {
    let mut bytes = [&draft.method[..], b" ", &draft.target, b" ", &draft.version, b"\r\n"].concat();
    for line in &draft.lines {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&draft.framed);
    bytes
}

fn plain(random: &Random, api: &str, case: u64, token: &str) -> Draft {
    let method = picked(random, &["GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]);
    let rest = picked(random, &["", "/", "/a/b", "/%41", "/caf%C3%A9", "/a:b@c", "/~x!$&'()*+,=", "/a%20b"]);
    let query =
        picked(random, &["", "", "?", "?a=b", "?a=%26&b", "?a[]={}|^`", "?a=\"<b>\"", "?a=/../b;c?d"]);
    let mut lines: Vec<Vec<u8>> =
        vec![b"Host: a.example".to_vec(), format!("Authorization: Bearer {token}").into_bytes()];
    for _ in 0..random.below(4) {
        let field = picked(
            random,
            &[
                "X-A: b",
                "x-b:c",
                "X-C:   d \t ",
                "X-Empty:",
                "Accept: */*",
                "Cookie: a=b",
                "Cookie: c=d",
                "X-D: \u{e9}",
                "Content-Type: text/plain",
                "Accept-Encoding: gzip, br",
                "User-Agent: x",
                "TE: trailers",
                "X-E: a, b;c=\"d\"",
                "Connection: keep-alive",
                "Connection: x-a, X-B",
                "Range: bytes=0-1",
                "If-None-Match: \"x\"",
                "Expect: 100-continue",
                "X-Forwarded-For: 1.2.3.4",
                "Daypass-Subject: user:root",
                "Max-Forwards: 0",
                "Pragma: no-cache",
            ],
        );
        lines.push(field.as_bytes().to_vec());
    }
    let body = body(random, api, case);
    let (field, framed) = framing(random, &body);
    lines.extend(field.map(String::into_bytes));
    if random.below(2) == 0 {
        let last = lines.len() - 1;
        lines.swap(0, random.below(last + 1));
    }
    let target = format!("/{api}/c{case}{rest}{query}").into_bytes();
    Draft { method: method.into(), target, version: b"HTTP/1.1".to_vec(), lines, body, framed }
}

fn picked<'t>(random: &Random, several: &[&'t str]) -> &'t str {
    random.pick(several).copied().unwrap_or_default()
}

fn body(random: &Random, api: &str, case: u64) -> Vec<u8> {
    match random.below(8) {
        0..=3 => Vec::new(),
        4 => format!("GET /{api}/stolen{case} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        5 => b"0\r\n\r\n".to_vec(),
        6 => (0..random.below(40)).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect(),
        _ => vec![b'x'; random.below(300)],
    }
}

fn framing(random: &Random, body: &[u8]) -> (Option<String>, Vec<u8>) {
    if body.is_empty() && random.below(3) > 0 {
        return (None, Vec::new());
    }
    if random.below(2) == 0 {
        return (Some(format!("Content-Length: {}", body.len())), body.to_vec());
    }
    let mut framed = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(1 + random.below(rest.len()));
        let extension = picked(random, &["", "", "", ";a", ";a=b", ";a=\"b c\""]);
        let zeros = picked(random, &["", "", "0", "00"]);
        framed.extend(format!("{zeros}{:x}{extension}\r\n", chunk.len()).bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        rest = left;
    }
    framed.extend(picked(random, &["0\r\n\r\n", "0\r\n\r\n", "00;x\r\n\r\n", "0\r\nX-T: u\r\n\r\n"]).bytes());
    (Some("Transfer-Encoding: chunked".to_owned()), framed)
}

fn change(random: &Random, draft: &mut Draft, api: &str, case: u64) {
    match random.below(14) {
        0 => {
            draft.method = picked(
                random,
                &["get", "G ET", "TRACE", "CONNECT", "", "GET\t", "POST ", "PRI", "FOO", "GET\0"],
            )
            .into();
        }
        1 => {
            draft.version = picked(
                random,
                &[
                    "HTTP/1.0",
                    "HTTP/1.0",
                    "HTTP/0.9",
                    "HTTP/1.2",
                    "HTTP/2.0",
                    "http/1.1",
                    "HTTP/1.1 ",
                    "HTTP/01.1",
                    "HTTP/1.1\r",
                    "",
                    "HTTP/1.1\u{b}",
                ],
            )
            .into();
        }
        2 => spell_target(random, draft, api, case),
        3 => insert(random, &mut draft.target),
        4 | 5 => spell_line(random, draft),
        6 | 7 => lengths(random, draft),
        8 | 9 => codings(random, draft),
        10 | 11 => spell_chunks(random, draft),
        12 => draft.lines.push(
            picked(
                random,
                &[
                    "Host: b.example",
                    "Host:",
                    "Authorization: Bearer x",
                    "Upgrade: h2c",
                    "Connection: close",
                    "Connection: Upgrade\r\nUpgrade: websocket",
                    "Connection: Content-Length, Transfer-Encoding, Host",
                    "Trailer: X-T",
                    "X_Forwarded_For: 1.1.1.1",
                    "X-HTTP-Method-Override: DELETE",
                    "Expect: 200-ok",
                    ":path: /x",
                    "X-Long-Name-Of-A-Field-That-Nobody-Knows: 1",
                    "Proxy-Connection: close",
                    "Keep-Alive: timeout=1",
                    "HTTP2-Settings: AAA",
                    "Content-Encoding: gzip",
                    "X-Original-URL: /b",
                    "Via: 1.1 x",
                    "Forwarded: for=x",
                    "TE: gzip, trailers;q=0.5",
                ],
            )
            .into(),
        ),
        _ => draft.framed.truncate(random.below(draft.framed.len() + 1)),
    }
}

fn spell_target(random: &Random, draft: &mut Draft, api: &str, case: u64) {
    let spelled = picked(
        random,
        &[
            "http://a.example/{}",
            "HTTP://a.example/{}",
            "https://b.example/{}",
            "/{}/.",
            "/{}/../x",
            "/{}/%2e%2e/x",
            "//{}",
            "/{}//x",
            "/{}/a%2fb",
            "/{}/a\\b",
            "/{}/a;b",
            "/{}/a%3bb",
            "/{}#x",
            "/{}/%",
            "/{}/%zz",
            "/{}/%252e",
            "/{}/%c0%ae",
            "/{}/\u{e9}",
            "*",
            "a.example:80",
            "{}",
            "/./{}",
            "/{} x",
            "/{}/%00",
            "/{}/x?%0d%0a",
            "/{}/%25",
            "/{}/a%22b",
            "/{}?a#b",
            "/%7B{}",
            "/{}/...",
            "/{}?\u{e9}",
            "ftp://a.example/{}",
        ],
    );
    draft.target = spelled.replace("{}", &format!("{api}/c{case}")).into_bytes();
}

fn insert(random: &Random, text: &mut Vec<u8>) {
    let odd = random.pick(ODD).copied().unwrap_or(0);
    text.insert(random.below(text.len() + 1), odd);
}

fn spell_line(random: &Random, draft: &mut Draft) {
    let place = random.below(draft.lines.len());
    let Some(line) = draft.lines.get_mut(place) else { return };
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
    match random.below(10) {
        0 => line.insert(colon, b' '),
        1 => line.insert(colon, b'\t'),
        2 => line.insert(0, b' '),
        3 => insert(random, line),
        4 => line.extend_from_slice(b"\r\n folded"),
        5 => line.push(b'\r'),
        6 => line.make_ascii_uppercase(),
        7 => line.truncate(colon),
        8 => {
            let again = line.clone();
            draft.lines.push(again);
        }
        _ => line.extend_from_slice(
            picked(random, &["\nX-Z: y", "\rX-Z: y", "\0", "\r\n\r\nGET / HTTP/1.1", ", x", " \t", "\u{b}"])
                .as_bytes(),
        ),
    }
}

fn lengths(random: &Random, draft: &mut Draft) {
    let length = draft.framed.len();
    let value = match random.below(12) {
        0 => length.to_string(),
        1 => (length + 1 + random.below(20)).to_string(),
        2 => length.saturating_sub(1 + random.below(5)).to_string(),
        3 => format!("+{length}"),
        4 => format!("-{length}"),
        5 => format!("{length}, {length}"),
        6 => format!("0x{length:x}"),
        7 => format!("00{length}"),
        8 => format!("{length} 0"),
        9 => format!("1844674407370955161{length}"),
        10 => format!("\u{b}{length}"),
        _ => String::new(),
    };
    let name = picked(
        random,
        &[
            "Content-Length",
            "content-length",
            "CONTENT-LENGTH",
            "Content_Length",
            "Content-Length ",
            "Content-Length\t",
        ],
    );
    place(random, draft, format!("{name}: {value}"), "content-length");
}

fn codings(random: &Random, draft: &mut Draft) {
    let value = picked(
        random,
        &[
            "chunked",
            "Chunked",
            "CHUNKED",
            "identity",
            "gzip, chunked",
            "chunked, gzip",
            "chunked,",
            ",chunked",
            "chunked;a",
            "\"chunked\"",
            "xchunked",
            " chunked",
            "\tchunked",
            "\u{b}chunked",
            "chunked\u{b}",
            "chun ked",
            "",
            "chunked\r\n ,identity",
            "chunked, chunked",
            "chunked\0",
        ],
    );
    let name = picked(
        random,
        &[
            "Transfer-Encoding",
            "transfer-encoding",
            "TRANSFER-ENCODING",
            "Transfer_Encoding",
            "Transfer-Encoding ",
            "Transfer-Encodin\u{e9}",
        ],
    );
    place(random, draft, format!("{name}: {value}"), "transfer-encoding");
}

/// Adds a line, in place of those that say the same or beside them.
fn place(random: &Random, draft: &mut Draft, line: String, name: &str) {
    if random.below(2) == 0 {
        draft.lines.retain(|own| !own.to_ascii_lowercase().starts_with(name.as_bytes()));
    }
    draft.lines.insert(random.below(draft.lines.len() + 1), line.into_bytes());
}

fn spell_chunks(random: &Random, draft: &mut Draft) {
    let chunks = [
        "5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nHost: x\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0 \r\n\r\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "g\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n-0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    draft.framed = picked(random, &chunks).into();
    if random.below(4) > 0 {
        let frames = |line: &Vec<u8>| {
            let line = line.to_ascii_lowercase();
            line.starts_with(b"content-length") || line.starts_with(b"transfer-encoding")
        };
        draft.lines.retain(|line| !frames(line));
        draft.lines.push(b"Transfer-Encoding: chunked".to_vec());
    }
}

/// Changes, inserts, drops or doubles a byte anywhere.
fn strike(random: &Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let odd = random.pick(ODD).copied().unwrap_or(0);
    match random.below(4) {
        0 => bytes.insert(at, odd),
        1 => drop(bytes.remove(at)),
        2 => {
            let again = bytes.get(at).copied().unwrap_or(0);
            bytes.insert(at, again);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = odd;
            }
        }
    }
}
