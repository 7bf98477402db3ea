//! What must hold for any bytes: the invariants that fuzzers try to break, each a function of bytes.
//!
//! A function returns when all holds and panics when something does not. The same functions are run by the fuzzers of
//! this folder and, over the kept corpora and random bytes, by the tests of the workspace.
//! Not here: what real servers make of what is forwarded (see `cargo xtask differ`).

#![expect(clippy::expect_used, clippy::panic, reason = "an invariant that does not hold has to be noticed")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use access::canonical::Target;
use access::quirk::Quirks;
use bytes::Bytes;
use gateway::fuzz::{End, Request, answer, chunked, chunks, requests};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is tried on any bytes.
pub type Check = fn(&[u8]);

/// Every target with its name.
pub const ALL: [(&str, Check); 5] =
    [("requests", heads), ("chunks", bodies), ("paths", paths), ("headers", headers), ("answers", answers)];

/// A request as another reader read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its method.
    pub method: String,
    /// Its target as it came.
    pub target: String,
    /// Its fields, sorted.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body; `None` if that did not come to its end.
    pub body: Option<Vec<u8>>,
}

/// The requests that hyper's server reads in these bytes.
///
/// # Panics
/// There is no runtime to be had.
#[must_use]
pub fn read_by_hyper(bytes: &[u8]) -> Vec<Other> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(served_by_hyper(bytes))
}

/// See [`read_by_hyper`].
pub async fn served_by_hyper(bytes: &[u8]) -> Vec<Other> {
    let seen: Arc<Mutex<Vec<Other>>> = Arc::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (parts, body) = request.into_parts();
            let fields = parts.headers.iter();
            let mut fields: Vec<_> =
                fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
            fields.sort();
            let (method, target) = (parts.method.to_string(), parts.uri.to_string());
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            seen.lock().expect("one reader").push(Other { method, target, fields, body });
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(bytes.len() + 64);
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    let sending = async {
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
    };
    let _ = tokio::join!(serving, sending);
    std::mem::take(&mut *seen.lock().expect("one reader"))
}

/// What is accepted of a connection's bytes, hyper reads alike; pieces change nothing; what is written of it is read
/// as the same again.
pub fn heads(bytes: &[u8]) {
    let (ours, end) = requests(bytes, usize::MAX);
    for piece in [1, 7] {
        let (in_pieces, its_end) = requests(bytes, piece);
        assert_eq!(ours, in_pieces, "in pieces of {piece}");
        // A fault behind a head that has not ended is found when its byte comes.
        assert_eq!(end == End::Refused, its_end == End::Refused, "in pieces of {piece}");
    }
    if ours.is_empty() {
        return;
    }
    let theirs = read_by_hyper(bytes);
    for (place, own) in ours.iter().enumerate() {
        // hyper refuses these in a target, and all behind it; what goes upstream has them escaped.
        if own.target.contains(['"', '<', '>']) {
            return rewritten(own);
        }
        let other = theirs.get(place).unwrap_or_else(|| panic!("hyper does not read {own:?}"));
        compare(own, other);
        rewritten(own);
    }
}

fn compare(own: &Request, other: &Other) {
    let mut fields = own.fields.clone();
    fields.sort();
    assert_eq!((&own.method, fields), (&other.method, other.fields.clone()));
    assert_eq!(Some(&own.body), other.body.as_ref(), "the body of {own:?}");
    // `http::Uri` writes an absolute form's scheme and authority in its own way.
    if own.target.starts_with('/') {
        assert_eq!(own.target, other.target);
    }
}

/// What goes upstream is read as what was judged, by us and by hyper.
fn rewritten(own: &Request) {
    let query = own.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut bytes =
        format!("{} {}{query} HTTP/1.1\r\nhost: {}\r\n", own.method, own.path, own.host).into_bytes();
    bytes.extend_from_slice(&own.passed);
    bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    bytes.extend_from_slice(&chunked(&own.body, 5));
    let (again, end) = requests(&bytes, usize::MAX);
    let [again] = &again[..] else { panic!("{own:?} is written as {:?}", String::from_utf8_lossy(&bytes)) };
    assert_eq!(end, End::Whole, "{own:?}");
    assert_eq!((&again.method, &again.path, &again.query), (&own.method, &own.path, &own.query));
    assert_eq!((&again.host, &again.body, &again.passed), (&own.host, &own.body, &own.passed));
    no_claims(&own.passed);
    let theirs = read_by_hyper(&bytes);
    let [other] = &theirs[..] else { panic!("hyper reads {} requests for {own:?}", theirs.len()) };
    assert_eq!((&other.method, &other.target), (&own.method, &format!("{}{query}", own.path)));
    assert_eq!(other.body.as_ref(), Some(&own.body));
}

/// Chunks read the same in any pieces and are written so that they are read as the same; hyper reads them alike.
pub fn bodies(bytes: &[u8]) {
    let whole = chunks(bytes, usize::MAX);
    for piece in [1, 2, 7] {
        assert_eq!(whole, chunks(bytes, piece), "in pieces of {piece}");
    }
    let Ok(Some((body, used))) = whole else { return };
    assert!(used <= bytes.len());
    for piece in [1, 16, usize::MAX] {
        let written = chunked(&body, piece);
        assert_eq!(chunks(&written, usize::MAX), Ok(Some((body.clone(), written.len()))));
    }
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let sent = [&head[..], bytes.get(..used).unwrap_or_default()].concat();
    let theirs = read_by_hyper(&sent);
    assert_eq!(theirs.first().and_then(|other| other.body.as_ref()), Some(&body));
}

/// A canonical target is its own canonical form, and, unless an API allows it, has nothing in it that readers take for
/// structure.
pub fn paths(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let Ok(once) = Target::parse(path, query) else { return };
    let again = Target::parse(once.path(), once.query()).expect("a canonical form is canonical");
    assert_eq!((again.path(), again.query()), (once.path(), once.query()));
    if once.require(Quirks::NONE).is_err() {
        return;
    }
    let decoded = unescaped(once.path());
    assert_eq!(decoded, unescaped(path), "another path than was asked for");
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').collect();
    assert!(!segments.iter().any(|segment| matches!(*segment, b"." | b"..")), "{:?}", once.path());
    let inner = segments.get(1..segments.len() - 1).unwrap_or_default();
    assert!(!inner.iter().any(|segment| segment.is_empty()), "{:?}", once.path());
    assert!(!decoded.iter().any(|byte| matches!(byte, b'\\' | b';' | 0..0x20 | 0x7f)), "{:?}", once.path());
    assert_eq!(decoded.iter().filter(|byte| **byte == b'/').count(), once.path().matches('/').count());
    assert!(once.path().bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    assert!(once.query().is_none_or(|query| query.bytes().all(|byte| (0x21..0x7f).contains(&byte))));
    let twice = unescaped(std::str::from_utf8(&decoded).expect("UTF-8"));
    assert_eq!(twice, decoded, "another path when it is decoded twice");
}

fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let escape = (*byte == b'%').then(|| Some((digit(after.first())?, digit(after.get(1))?))).flatten();
        match escape {
            Some((high, low)) => {
                plain.push(u8::try_from(high << 4 | low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

/// Whatever the fields are, no identity survives among those that pass, in no spelling.
pub fn headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let is_value =
        |value: &str| value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte) || byte >= 0x80);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let fields: Vec<_> = lines
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, value)| is_name(name) && is_value(value) && !name.contains(':'))
        .collect();
    let mut head = b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec();
    for (name, value) in &fields {
        head.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let (read, _) = requests(&head, usize::MAX);
    let Some(written) = read.first().map(|request| request.passed.clone()) else { return };
    no_claims(&written);
    let text = String::from_utf8_lossy(&written);
    let listed: Vec<String> = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| {
            !["close", "keep-alive", "upgrade", "content-type", "host", ""].contains(&name.as_str())
        })
        .collect();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(": ").expect("a field");
        assert!(!listed.iter().any(|listed| listed == name), "`{name}` was listed in Connection");
    }
}

/// Names that only the proxy may send, as servers fold them.
fn no_claims(written: &[u8]) {
    let text = String::from_utf8_lossy(written).into_owned();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` is no field"));
        let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
        let claims =
            folded.contains("daypass") || folded == "x-forwarded" || folded.starts_with("x-forwarded-");
        let reserved = [
            "forwarded",
            "x-request-id",
            "x-real-ip",
            "traceparent",
            "tracestate",
            "authorization",
            "host",
            "via",
            "connection",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
        ];
        assert!(!claims && !reserved.contains(&folded.as_str()), "`{name}` passes");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "`{name}` passes");
    }
}

/// What is read of an upstream's answer, a strict parser reads alike, and nothing in it speaks for the proxy.
pub fn answers(bytes: &[u8]) {
    for method in ["GET", "HEAD"] {
        let Some(own) = answer(bytes, method) else { continue };
        let mut room = [httparse::EMPTY_HEADER; 256];
        let mut other = httparse::Response::new(&mut room);
        let parsed = other.parse(bytes).expect("an answer");
        assert!(parsed.is_complete());
        assert_eq!(other.code, Some(own.status));
        for (name, _) in &own.fields {
            assert!(!name.starts_with("daypass-") && name != "x-request-id" && name != "transfer-encoding");
        }
        let empty = method == "HEAD" || matches!(own.status, 100..=199 | 204 | 304);
        assert!(own.body.is_empty() || !empty, "a body of {:?}", own.status);
    }
}
