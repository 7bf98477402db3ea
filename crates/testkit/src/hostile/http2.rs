//! HTTP/2 toward clients: what it can say that HTTP/1.1 cannot, and what both can say, in its own spelling.

use std::time::Duration;

use super::frames::{END_HEADERS, END_STREAM, Frame, PADDED, Streams, block, kind};
use super::identity::{CLAIM, CLAIMS};
use super::{Place, is_at, paths};
use crate::world::World;

/// What must become of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The upstream sees this method, what follows the case's own path, and this body.
    Forwarded(&'static str, &'static str, &'static str),
    /// An answer of Daypass with this status and code; nothing of the request reaches the upstream.
    Refused(u16, &'static str),
    /// The stream is reset or the connection given up, or Daypass refuses it; nothing reaches the upstream.
    Dropped,
    /// Nothing happens.
    Ignored,
}

const GET: Came = Came::Forwarded("GET", "", "");
const POST: Came = Came::Forwarded("POST", "", "hello");
const MALFORMED: Came = Came::Refused(400, "request_malformed");

/// One case: frames, and what must come of them.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is tried.
    pub name: String,
    /// What is sent behind the connection's own first frames; in field blocks `{at}` and `{token}` are filled in.
    pub sent: Vec<Sent>,
    /// What must come of it.
    pub came: Came,
}

/// A part of what is sent.
#[derive(Debug, Clone)]
pub enum Sent {
    /// A field block, its flags, and the frame's stream.
    Fields(u32, u8, Vec<(String, Vec<u8>)>),
    /// Any other frame.
    Frame(Frame),
}

const BASE: [(&str, &str); 5] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "api.example"),
    (":path", "{at}"),
    ("authorization", "Bearer {token}"),
];

fn frame(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(kind, flags, stream, payload)
}

type Pairs = Vec<(String, Vec<u8>)>;

fn base() -> Pairs {
    BASE.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn set(name: &str, value: &[u8]) -> Pairs {
    let mut fields = base();
    fields.iter_mut().filter(|(own, _)| own == name).for_each(|(_, own)| *own = value.to_vec());
    fields
}

fn without(name: &str) -> Pairs {
    base().into_iter().filter(|(own, _)| own != name).collect()
}

fn with(name: &str, value: &[u8]) -> Pairs {
    let mut fields = base();
    fields.push((name.to_owned(), value.to_vec()));
    fields
}

fn only(name: impl Into<String>, fields: Pairs, came: Came) -> Case {
    Case { name: name.into(), sent: vec![Sent::Fields(1, END_STREAM | END_HEADERS, fields)], came }
}

/// A `POST` with this field more, and these frames behind its head.
fn post(name: &str, field: Option<(&str, &str)>, frames: Vec<Frame>, came: Came) -> Case {
    let mut fields = set(":method", b"POST");
    fields.extend(field.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    let head = Sent::Fields(1, END_HEADERS, fields);
    let frames = frames.into_iter().map(Sent::Frame);
    Case { name: name.to_owned(), sent: [head].into_iter().chain(frames).collect(), came }
}

/// A `GET` with these frames before or behind it.
fn around(name: &str, before: Vec<Frame>, after: Vec<Frame>, came: Came) -> Case {
    let head = Sent::Fields(1, END_STREAM | END_HEADERS, base());
    let (before, after) = (before.into_iter().map(Sent::Frame), after.into_iter().map(Sent::Frame));
    Case { name: name.to_owned(), sent: before.chain([head]).chain(after).collect(), came }
}

fn data(flags: u8, text: &str) -> Frame {
    Frame::new(kind::DATA, flags, 1, text)
}

fn pseudo_fields() -> Vec<Case> {
    let mut late = without(":path");
    late.push((":path".to_owned(), b"{at}".to_vec()));
    let mut doubled = base();
    doubled.insert(0, (":path".to_owned(), b"/plain/x".to_vec()));
    let mut hosted = without(":authority");
    hosted.push(("host".to_owned(), b"api.example".to_vec()));
    vec![
        only("an ordinary request", base(), GET),
        only("no method", without(":method"), Came::Dropped),
        only("no scheme", without(":scheme"), Came::Dropped),
        only("no path", without(":path"), Came::Dropped),
        only("no authority", without(":authority"), MALFORMED),
        only("a host for an authority", hosted, GET),
        only("a path behind a field", late, Came::Dropped),
        only("two paths", doubled, Came::Dropped),
        only("two methods", [with("x-a", b"b"), base()].concat(), Came::Dropped),
        only("a status", with(":status", b"200"), Came::Dropped),
        only("an unknown pseudo field", with(":daypass", b"x"), Came::Dropped),
        only("a protocol that was not offered", with(":protocol", b"websocket"), Came::Dropped),
        only("the same host beside the authority", with("host", b"api.example"), GET),
        only("another host beside the authority", with("host", b"other.example"), MALFORMED),
        only("an empty host beside the authority", with("host", b""), MALFORMED),
        only("an empty path", set(":path", b""), Came::Dropped),
        only("a path without a slash", set(":path", b"plain/x"), Came::Dropped),
        only("an asterisk", set(":path", b"*"), Came::Dropped),
        only("an absolute path", set(":path", b"http://api.example/plain/x"), Came::Dropped),
        only("a path with a space", set(":path", b"{at} x"), Came::Dropped),
        only("a path with a line break", set(":path", b"{at}\r\nx: y"), Came::Dropped),
        only("a path with a NUL", set(":path", b"{at}\0"), Came::Dropped),
        only("a path with a request line", set(":path", b"{at} HTTP/1.1\r\n\r\nGET /x"), Came::Dropped),
        only("a method with a line break", set(":method", b"GET\r\nx: y"), Came::Dropped),
        only("a method with a space", set(":method", b"GET /x"), Came::Dropped),
        only("an empty method", set(":method", b""), Came::Dropped),
        only("a method in small letters", set(":method", b"get"), Came::Refused(501, "method_unsupported")),
        only("TRACE", set(":method", b"TRACE"), Came::Refused(501, "method_unsupported")),
        only("CONNECT with a path", set(":method", b"CONNECT"), Came::Dropped),
        only("another scheme", set(":scheme", b"ftp"), MALFORMED),
        only("an empty scheme", set(":scheme", b""), Came::Dropped),
        only("a scheme with a slash", set(":scheme", b"http://x/"), Came::Dropped),
        only("an empty authority", set(":authority", b""), Came::Dropped),
        only("a user in the authority", set(":authority", b"user@api.example"), Came::Dropped),
        only("a path in the authority", set(":authority", b"api.example/x"), Came::Dropped),
        only("a line break in the authority", set(":authority", b"api.example\r\nx: y"), Came::Dropped),
        only("two names in the authority", set(":authority", b"api.example,x"), Came::Dropped),
        only("a port of 0", set(":authority", b"api.example:0"), MALFORMED),
    ]
}

fn fields() -> Vec<Case> {
    let claims = CLAIMS.iter().flat_map(|name| {
        let lower = name.to_ascii_lowercase();
        [
            only(format!("{lower}: {CLAIM}"), with(&lower, CLAIM.as_bytes()), GET),
            only(format!("{name} in capitals"), with(&name.to_ascii_uppercase(), b"x"), Came::Dropped),
            only(format!("{lower} with `_`"), with(&format!("{lower}_"), CLAIM.as_bytes()), MALFORMED),
            only(format!("{lower} with `.`"), with(&format!("{lower}.x"), CLAIM.as_bytes()), MALFORMED),
        ]
    });
    let odd: [(&str, &str, &[u8], Came); 24] = [
        ("an ordinary field", "x-a", b"b", GET),
        ("an empty value", "x-a", b"", GET),
        ("an empty name", "", b"b", Came::Dropped),
        ("capitals in a name", "X-A", b"b", Came::Dropped),
        ("a space in a name", "x a", b"b", Came::Dropped),
        ("a colon in a name", "x:a", b"b", Came::Dropped),
        ("a line break in a name", "x\r\na", b"b", Came::Dropped),
        ("a NUL in a name", "x\0", b"b", Came::Dropped),
        ("a line break in a value", "x-a", b"b\r\nx-b: c", Came::Dropped),
        ("a bare line feed in a value", "x-a", b"b\nx-b: c", Came::Dropped),
        ("a bare carriage return in a value", "x-a", b"b\rc", Came::Dropped),
        ("a NUL in a value", "x-a", b"b\0", Came::Dropped),
        ("a space before a value", "x-a", b" b", MALFORMED),
        ("a space behind a value", "x-a", b"b ", MALFORMED),
        ("a tab behind a value", "x-a", b"b\t", MALFORMED),
        ("connection", "connection", b"close", Came::Dropped),
        ("keep-alive", "keep-alive", b"1", Came::Dropped),
        ("proxy-connection", "proxy-connection", b"close", Came::Dropped),
        ("transfer-encoding", "transfer-encoding", b"chunked", Came::Dropped),
        ("upgrade", "upgrade", b"websocket", Came::Dropped),
        ("te that is trailers", "te", b"trailers", GET),
        ("te that is something else", "te", b"gzip", Came::Dropped),
        ("another credential", "authorization", b"Bearer x", MALFORMED),
        ("another method asked for", "x-http-method-override", b"DELETE", MALFORMED),
    ];
    let odd = odd.into_iter().map(|(name, field, value, came)| only(name, with(field, value), came));
    let many: Pairs =
        base().into_iter().chain((0..101).map(|at| (format!("x-{at}"), b"b".to_vec()))).collect();
    let too_large = Came::Refused(431, "headers_too_large");
    let wide = only("a value of 40000 bytes", Vec::new(), too_large);
    let long = [b"{at}/".as_slice(), &b"a".repeat(9_000)].concat();
    claims
        .chain(odd)
        .chain([
            only("101 more fields", many, too_large),
            only("a path of 9000 bytes", set(":path", &long), Came::Refused(414, "uri_too_long")),
            Case { sent: continued(&with("x-a", &b"b".repeat(40_000))), ..wide },
        ])
        .collect()
}

/// A block too long for one frame. Only its first part is filled in, which holds all that there is to fill in.
fn continued(fields: &Pairs) -> Vec<Sent> {
    let (last, first) = fields.split_last().expect("a field");
    let rest = block(std::slice::from_ref(last));
    let parts: Vec<&[u8]> = rest.chunks(16_000).collect();
    let frames = parts.iter().enumerate().map(|(at, part)| {
        let flags = if at + 1 == parts.len() { END_HEADERS } else { 0 };
        Sent::Frame(Frame::new(kind::CONTINUATION, flags, 1, *part))
    });
    [Sent::Fields(1, END_STREAM, first.to_vec())].into_iter().chain(frames).collect()
}

fn bodies() -> Vec<Case> {
    let length = |value| Some(("content-length", value));
    let trailers = |fields: &[(&str, &str)], flags| Frame::new(kind::HEADERS, flags, 1, block(fields));
    let end = END_STREAM | END_HEADERS;
    vec![
        post("a body", None, vec![data(END_STREAM, "hello")], POST),
        post(
            "a body in pieces",
            None,
            vec![data(0, "he"), data(0, ""), data(0, "llo"), data(END_STREAM, "")],
            POST,
        ),
        post("a body of the stated length", length("5"), vec![data(END_STREAM, "hello")], POST),
        post("a padded body", None, vec![data(END_STREAM | PADDED, "\u{3}hello\0\0\0")], POST),
        post("trailers", None, vec![data(0, "hello"), trailers(&[("daypass-subject", CLAIM)], end)], POST),
        post(
            "a body that is longer than stated",
            length("4"),
            vec![data(END_STREAM, "hello")],
            Came::Dropped,
        ),
        post(
            "a body that is shorter than stated",
            length("6"),
            vec![data(END_STREAM, "hello")],
            Came::Dropped,
        ),
        post("a length with a plus", length("+5"), vec![data(END_STREAM, "hello")], Came::Dropped),
        post("a list of lengths", length("5, 5"), vec![data(END_STREAM, "hello")], Came::Dropped),
        post("an empty length", length(""), vec![data(END_STREAM, "hello")], Came::Dropped),
        post(
            "padding that is longer than its frame",
            None,
            vec![data(END_STREAM | PADDED, "\u{9}hello")],
            Came::Dropped,
        ),
        post(
            "trailers with a path",
            None,
            vec![data(0, "hello"), trailers(&[(":path", "/x")], end)],
            Came::Dropped,
        ),
        post(
            "trailers that do not end the stream",
            None,
            vec![data(0, "hello"), trailers(&[("x", "y")], END_HEADERS)],
            Came::Dropped,
        ),
        post(
            "a request inside of a body",
            length("28"),
            vec![data(END_STREAM, "GET /plain/y HTTP/1.1\r\n\r\nabc")],
            Came::Forwarded("POST", "", "GET /plain/y HTTP/1.1\r\n\r\nabc"),
        ),
        only("a length without a body", with("content-length", b"5"), Came::Dropped),
        only(
            "two lengths of nothing",
            [with("content-length", b"0"), vec![("content-length".into(), b"0".to_vec())]].concat(),
            Came::Dropped,
        ),
    ]
}

fn frames() -> Vec<Case> {
    let part = block(&[(":method", "GET")]);
    let raw = |name, payload: Vec<u8>| {
        let sent = vec![Sent::Frame(frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, payload))];
        Case { name, sent, came: Came::Dropped }
    };
    let table = [
        ("an index of nothing", vec![0x80]),
        ("an index beyond the table", vec![0xff, 0xff, 0x03]),
        ("an index without an end", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a table larger than allowed", vec![0x3f, 0xff, 0xff, 0x03]),
        ("a name that ends early", vec![0, 0x7f, 0x80, 0x01, b'a']),
        ("a code that is no letter", vec![0, 0x81, 0xff, 1, b'b']),
        ("nothing at all", Vec::new()),
    ];
    let table = table.into_iter().map(|(name, payload)| raw(format!("a block with {name}"), payload));
    let alone = |name: &str, sent: Vec<Frame>, came| around(name, sent, Vec::new(), came);
    table
        .chain([
            alone("an unknown frame", vec![frame(0xfa, 0, 0, "x")], GET),
            alone("a priority", vec![frame(kind::PRIORITY, 0, 1, [0, 0, 0, 0, 16])], GET),
            alone("a ping", vec![frame(kind::PING, 0, 0, [0; 8])], GET),
            alone("data on the connection", vec![frame(kind::DATA, 0, 0, "x")], Came::Dropped),
            alone("data on a stream that is idle", vec![data(0, "x")], Came::Dropped),
            alone("fields on the connection", vec![frame(kind::HEADERS, 4, 0, part.clone())], Came::Dropped),
            alone("fields on an even stream", vec![frame(kind::HEADERS, 5, 2, part.clone())], Came::Dropped),
            alone("a ping of 7 bytes", vec![frame(kind::PING, 0, 0, [0; 7])], Came::Dropped),
            alone("a ping on a stream", vec![frame(kind::PING, 0, 1, [0; 8])], Came::Dropped),
            alone("settings of 5 bytes", vec![frame(kind::SETTINGS, 0, 0, [0; 5])], Came::Dropped),
            alone("settings on a stream", vec![frame(kind::SETTINGS, 0, 1, [])], Came::Dropped),
            alone(
                "settings of a window that is too large",
                vec![frame(kind::SETTINGS, 0, 0, [0, 4, 0xff, 0xff, 0xff, 0xff])],
                Came::Dropped,
            ),
            alone(
                "settings of frames that are too small",
                vec![frame(kind::SETTINGS, 0, 0, [0, 5, 0, 0, 0, 1])],
                Came::Dropped,
            ),
            alone(
                "an acknowledgement that says something",
                vec![frame(kind::SETTINGS, 1, 0, [0; 6])],
                Came::Dropped,
            ),
            alone(
                "a window that grows by nothing",
                vec![frame(kind::WINDOW_UPDATE, 0, 0, [0; 4])],
                Came::Dropped,
            ),
            alone(
                "a window that overflows",
                vec![frame(kind::WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff])],
                Came::Dropped,
            ),
            alone(
                "a reset of a stream that is idle",
                vec![frame(kind::RST_STREAM, 0, 1, [0; 4])],
                Came::Dropped,
            ),
            alone("a promise", vec![frame(kind::PUSH_PROMISE, 4, 1, [0, 0, 0, 2])], Came::Dropped),
            alone(
                "a continuation of nothing",
                vec![frame(kind::CONTINUATION, 4, 1, part.clone())],
                Came::Dropped,
            ),
            alone("a frame of 16385 bytes", vec![frame(kind::DATA, 0, 1, vec![0; 16_385])], Came::Dropped),
            alone(
                "data within a block",
                vec![frame(kind::HEADERS, 0, 1, part.clone()), data(0, "x")],
                Came::Dropped,
            ),
            alone(
                "another stream within a block",
                vec![frame(kind::HEADERS, 0, 1, part), frame(kind::CONTINUATION, 4, 3, [])],
                Came::Dropped,
            ),
            around("data behind the end", vec![], vec![data(END_STREAM, "hidden")], Came::Ignored),
            around(
                "fields behind the end",
                vec![],
                vec![frame(kind::HEADERS, 5, 1, block(&[("x", "y")]))],
                Came::Ignored,
            ),
        ])
        .collect()
}

/// Targets that HTTP/1.1 is tried with, too.
fn targets() -> Vec<Case> {
    let case = |(rest, came): &(&'static str, Option<&'static str>)| {
        // The codec takes fragments off before anybody sees the path: what is judged is what is sent, without them.
        let came = came.or(rest.split_once('#').map(|(front, _)| front));
        let came = came.map_or(Came::Dropped, |came| Came::Forwarded("GET", came, ""));
        only(format!("GET {{at}}{rest}"), set(":path", format!("{{at}}{rest}").as_bytes()), came)
    };
    paths::TARGETS.iter().map(case).collect()
}

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    [pseudo_fields(), fields(), bodies(), frames(), targets()].concat()
}

/// How long a stream is waited for of which nothing has to come.
const SILENCE: Duration = Duration::from_millis(500);

/// Tries the cases, each on a connection of its own.
///
/// # Panics
/// A case came to something else than it must; all of those are named.
pub async fn check(world: &World, cases: Vec<Case>) {
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut frames = Streams::to(world).await;
        for part in &case.sent {
            frames.send_all(&[filled(part, &Place::of(number), &token, world)]).await;
        }
        let _ = tokio::time::timeout(SILENCE, frames.until(1)).await;
        if let Err(why) = judge(world, case, number, &frames) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn filled(part: &Sent, place: &Place, token: &str, world: &World) -> Frame {
    match part {
        Sent::Frame(frame) => frame.clone(),
        Sent::Fields(stream, flags, fields) => {
            let fill = |(name, value): &(String, Vec<u8>)| match (name.as_str(), value.as_slice()) {
                (":scheme", b"http") => (name.clone(), world.node().scheme().as_bytes().to_vec()),
                (name, value) => (name.to_owned(), place.fill(value, token)),
            };
            let fields: Pairs = fields.iter().map(fill).collect();
            Frame::new(kind::HEADERS, *flags, *stream, block(&fields))
        }
    }
}

fn judge(world: &World, case: &Case, number: usize, frames: &Streams) -> Result<(), String> {
    let at = Place::of(number).at;
    let seen: Vec<_> = world.upstream().seen().into_iter().filter(|seen| is_at(&seen.target, &at)).collect();
    let own = frames.streams.get(&1).cloned().unwrap_or_default();
    let dropped = own.reset.is_some() || frames.goaway.is_some() || frames.closed;
    let said = format!(
        "{:?} `{}`, reset {:?}, connection {:?} {}; the upstream saw {}",
        own.status,
        own.code(),
        own.reset,
        frames.goaway,
        frames.closed,
        seen.len()
    );
    let claimed = seen.iter().any(|seen| String::from_utf8_lossy(&seen.raw).contains(CLAIM));
    // A body is judged while it goes on: of what is wrong with it the upstream may see the beginning.
    let begun = case.sent.len() > 1 && seen.iter().all(|seen| seen.body_bytes <= 6);
    let right = match case.came {
        Came::Forwarded(method, rest, body) => {
            let whole = |seen: &crate::Seen| {
                seen.method == method && seen.target == format!("{at}{rest}") && seen.body == body.as_bytes()
            };
            matches!(&seen[..], [seen] if whole(seen)) && own.status == Some(200) && own.ended
        }
        Came::Refused(status, code) => own.status == Some(status) && own.code() == code && seen.is_empty(),
        Came::Dropped => {
            let refused = own.status == Some(400) && own.code() == "request_malformed";
            (dropped || refused) && own.status != Some(200) && (seen.is_empty() || begun)
        }
        Came::Ignored => seen.len() <= 1 && seen.iter().all(|seen| seen.body.is_empty()),
    };
    if right && !claimed { Ok(()) } else { Err(format!("not {:?}: {said}", case.came)) }
}
