//! What fuzzers and differential tests may see of the codec: how bytes are read, and what would be written of it.
//!
//! Only with the feature `fuzz`, which nothing that is released is built with.

use access::quirk::Quirks;
use access::{RequestId, Timestamp};

use crate::arrival::{Fields, Head, arrive};
use crate::fields::FieldList;
use crate::h1::client::{LAST_CHUNK, write_chunk};
use crate::h1::framing::{Decoded, Decoder};
use crate::h1::head::{Asked, Persistence, RequestHead, ResponseHead};
use crate::h1::scan::Scan;
use crate::headers;
use crate::peer::{Peer, Security};
use crate::shown::ShownBefore;
use crate::trace::{Trace, TraceId};
use crate::websocket::Opening;

/// A request as it was read and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its target as it came.
    pub target: String,
    /// The host that it names.
    pub host: String,
    /// Its path in canonical form.
    pub path: String,
    /// Its query in canonical form.
    pub query: Option<String>,
    /// Its fields: names in lower case, values as they came.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
    /// What of its fields goes upstream, as it is written.
    pub passed: Vec<u8>,
}

/// Why nothing more was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All was read.
    Whole,
    /// More has to come.
    Early,
    /// What stands there is refused; nothing behind it is read.
    Refused,
    /// The last request was the connection's last.
    Closed,
}

/// The requests that a connection would read when these bytes come in pieces of this size, at most, and why no more.
#[must_use]
pub fn requests(bytes: &[u8], piece: usize) -> (Vec<Request>, End) {
    let (mut rest, mut read) = (bytes, Vec::new());
    loop {
        let line = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let Some(length) = head_length(line, piece) else { return (read, ending(line)) };
        let Ok(length) = length else { return (read, End::Refused) };
        let (head, behind) = line.split_at_checked(length).unwrap_or_default();
        let Ok(parsed) = RequestHead::read(head) else { return (read, End::Refused) };
        let Some(mut request) = judged(&parsed) else { return (read, End::Refused) };
        match body(parsed.decoder(), behind, piece) {
            Ok(Some((body, used))) => {
                request.body = body;
                rest = behind.get(used..).unwrap_or_default();
            }
            Ok(None) => return (read, End::Early),
            Err(Malformed) => return (read, End::Refused),
        }
        read.push(request);
        if parsed.persistence == Persistence::Close {
            return (read, End::Closed);
        }
        parsed.keep();
    }
}

const fn ending(rest: &[u8]) -> End {
    if rest.is_empty() { End::Whole } else { End::Early }
}

/// The length of the head at the start, looked for as it comes in.
fn head_length(bytes: &[u8], piece: usize) -> Option<Result<usize, ()>> {
    let mut scan = Scan::default();
    let mut upto = 0;
    while upto < bytes.len() {
        upto = upto.saturating_add(piece.max(1)).min(bytes.len());
        match scan.find_end(bytes.get(..upto).unwrap_or_default()) {
            Ok(None) => {}
            Ok(Some(length)) => return Some(Ok(length)),
            Err(_) => return Some(Err(())),
        }
    }
    None
}

fn judged(parsed: &RequestHead) -> Option<Request> {
    let fields = Fields::read(&parsed.fields, parsed.fault);
    let (authority, path, query) = parsed.target();
    let peer = Peer::new([127, 0, 0, 1].into(), Security::None, None);
    let shown_before = ShownBefore::default();
    let head = Head {
        id: RequestId::from_bytes([0; 16]),
        at: Timestamp::EPOCH,
        peer: &peer,
        trace: Trace::Own(TraceId::new()),
        version: parsed.version,
        method: parsed.method(),
        opening: Opening::Upgrade,
        authority,
        path,
        query,
        body: parsed.body,
        fields,
        shown_before: &shown_before,
    };
    let arrival = arrive(&head, None).ok()?;
    arrival.target.require(Quirks::NONE).ok()?;
    let mut passed = Vec::new();
    headers::pass_on(&parsed.fields, |_| false, &mut passed);
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Some(Request {
        method: parsed.method().to_owned(),
        target: parsed.whole_target().to_owned(),
        host: arrival.host.to_owned(),
        path: arrival.target.path().to_owned(),
        query: arrival.target.query().map(str::to_owned),
        fields: parsed.fields.iter().map(|(name, value)| (text(name), value.to_vec())).collect(),
        body: Vec::new(),
        passed,
    })
}

/// Chunks with more than one reading, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no chunks")]
pub struct Malformed;

/// A body that was decoded, and how many bytes it took; `None` for one that is not whole.
type Whole = Option<(Vec<u8>, usize)>;

fn body(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Result<Whole, Malformed> {
    let (mut body, mut used, mut upto) = (Vec::new(), 0_usize, 0_usize);
    loop {
        let window = bytes.get(used..upto).unwrap_or_default();
        match decoder.decode(window, &mut body, piece.max(1)).map_err(|_| Malformed)? {
            Decoded::End(taken, _) => return Ok(Some((body, used.saturating_add(taken)))),
            Decoded::Used(0) if upto == bytes.len() => return Ok(None),
            Decoded::Used(0) => upto = upto.saturating_add(piece.max(1)).min(bytes.len()),
            Decoded::Used(taken) => used = used.saturating_add(taken),
        }
    }
}

/// The body that these chunks are, and how many bytes they take; `None` when they are not whole.
///
/// # Errors
/// [`Malformed`].
pub fn chunks(bytes: &[u8], piece: usize) -> Result<Whole, Malformed> {
    body(Decoder::chunked(), bytes, piece)
}

/// A body as chunks.
#[must_use]
pub fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in body.chunks(piece.max(1)) {
        write_chunk(&mut out, &mut part.to_vec());
    }
    out.extend_from_slice(LAST_CHUNK);
    out
}

/// An upstream's answer as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields as they would be given to a client, without those of framing.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body, as far as it came.
    pub body: Vec<u8>,
    /// Whether that is all of it when the connection ends here.
    pub whole: bool,
}

/// The answer to a request of this method at the start of the bytes, behind which the connection ends; `None` when its
/// head is not there, or has more than one reading.
#[must_use]
pub fn answer(bytes: &[u8], method: &str) -> Option<Answer> {
    let length = head_length(bytes, bytes.len())?.ok()?;
    let (head, behind) = bytes.split_at_checked(length)?;
    let asked = if method == "HEAD" { Asked::Head } else { Asked::Other };
    let mut head = ResponseHead::read(head, asked, FieldList::default()).ok()?;
    let mut fields = std::mem::take(&mut head.fields);
    headers::for_client(&mut fields);
    let (mut body, mut rest, mut whole) = (Vec::new(), behind, false);
    while let Ok(decoded) = head.decoder.decode(rest, &mut body, usize::MAX) {
        let (Decoded::Used(used) | Decoded::End(used, _)) = decoded;
        rest = rest.get(used..).unwrap_or_default();
        whole = matches!(decoded, Decoded::End(..)) || (used == 0 && head.decoder.close().is_ok());
        if whole || used == 0 {
            break;
        }
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let fields = fields.iter().map(|(name, value)| (text(name), value.to_vec())).collect();
    Some(Answer { status: head.status.as_u16(), fields, body, whole })
}
