//! Heads: one canonical reading of a request's or an answer's head, or none (RFC 9112, sections 2 to 6).
//!
//! A head ends at its first empty line; every line ends in CR LF. Tokens are told apart by httparse; what they
//! mean for framing is decided here, and a head that two readers could frame differently is refused.
//! Not here: what the fields mean for access (see `arrival`), and which of them pass (see `headers`).

use std::mem::MaybeUninit;

use access::arrival::BodyLength;
use http::{StatusCode, Version};

use super::buffers::Spares;
use super::framing::Decoder;
use crate::arrival::Field;
use crate::bounds::{CODEC_HEADERS_MAX, KEPT_BUFFER_BYTES_MAX};
use crate::fields::{Entry, FieldList};
use crate::name::Name;
use crate::respond::upstream_status;

/// Why a head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is no HTTP/1 head.
    #[error("the head is not HTTP/1.1, or has more than one reading")]
    Malformed,
    /// More fields than the codec counts.
    #[error("the head has too many fields")]
    TooManyFields,
}

/// Whether the connection may carry another message behind this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Persistence {
    Keep,
    #[default]
    Close,
}

thread_local! {
    static HEADS: Spares<RequestHead> = const { Spares::new() };
}

/// A request's head. Between two requests it is the core's, so that reading one allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    /// Method and target, one behind the other.
    line: String,
    method_end: usize,
    pub(crate) version: Version,
    pub(crate) fields: FieldList,
    pub(crate) body: BodyLength,
    pub(crate) persistence: Persistence,
    /// Why the head has more than one reading, though it can be told what it asks for.
    pub(crate) fault: Option<&'static str>,
}

impl RequestHead {
    /// Reads the head that `bytes` are.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut head = HEADS.with(Spares::take).unwrap_or_default();
        head.take(bytes)?;
        Ok(head)
    }

    /// It is not needed any more: its room is, unless it was long.
    pub(crate) fn keep(mut self) {
        if self.line.capacity() <= KEPT_BUFFER_BYTES_MAX {
            self.line.clear();
            self.fields = self.fields.emptied();
            HEADS.with(|spares| spares.keep(self));
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut room = [const { MaybeUninit::uninit() }; CODEC_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut room);
        complete(parsed, bytes.len())?;
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(Unreadable::Malformed);
        };
        self.line.clear();
        self.line.push_str(method);
        self.line.push_str(target);
        self.method_end = method.len();
        self.version = version_of(version);
        self.fields.take(bytes, request.headers);
        self.frame();
        Ok(())
    }

    fn frame(&mut self) {
        let control = Control::of(&self.fields, self.version);
        (self.body, self.fault) = match control.framing {
            Ok(Framing::Neither | Framing::Length(0)) => (BodyLength::None, None),
            Ok(Framing::Length(bytes)) => (BodyLength::Known(bytes), None),
            Ok(Framing::Chunked) => (BodyLength::Unknown, None),
            Err(fault) => (BodyLength::None, Some(fault)),
        };
        // Whatever it is refused for, nothing behind a head at fault can be told apart from its body.
        self.persistence = if self.fault.is_some() { Persistence::Close } else { control.persistence };
    }

    pub(crate) fn method(&self) -> &str {
        self.line.get(..self.method_end).unwrap_or_default()
    }

    /// The target as it came.
    #[cfg(feature = "fuzz")]
    pub(crate) fn whole_target(&self) -> &str {
        self.line.get(self.method_end..).unwrap_or_default()
    }

    /// The target's parts: the authority of an absolute form, the path, the query.
    pub(crate) fn target(&self) -> (Option<&str>, &str, Option<&str>) {
        split_target(self.line.get(self.method_end..).unwrap_or_default())
    }

    /// What reads the body behind the head.
    pub(crate) const fn decoder(&self) -> Decoder {
        match self.body {
            BodyLength::None => Decoder::Done,
            BodyLength::Known(bytes) => Decoder::of_length(bytes),
            BodyLength::Unknown => Decoder::chunked(),
        }
    }
}

/// The forms of RFC 9112, section 3.2. What is none of them is all path, and refused for it.
fn split_target(target: &str) -> (Option<&str>, &str, Option<&str>) {
    if target.starts_with('/') {
        let (path, query) = split_query(target);
        return (None, path, query);
    }
    let absolute = |scheme: &str| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (authority, target) = match absolute("http://").or_else(|| absolute("https://")) {
        None => (None, target),
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(authority), path)
        }
    };
    let (path, query) = split_query(target);
    let path = if path.is_empty() && authority.is_some() { "/" } else { path };
    (authority, path, query)
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    let question = target.bytes().position(|byte| byte == b'?');
    match question.and_then(|question| target.split_at_checked(question)) {
        Some((path, query)) => (path, query.strip_prefix('?')),
        None => (target, None),
    }
}

/// The head of an upstream's answer.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldList,
    pub(crate) decoder: Decoder,
    pub(crate) persistence: Persistence,
}

/// What an answer's framing depends on besides its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Other,
}

impl ResponseHead {
    /// Reads the head that `bytes` are, of an answer to a request of this kind; its fields into `fields`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn read(bytes: &[u8], asked: Asked, mut fields: FieldList) -> Result<Self, Unreadable> {
        let mut room = [const { MaybeUninit::uninit() }; CODEC_HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut room);
        complete(parsed, bytes.len())?;
        let (Some(code), Some(version)) = (response.code, response.version) else {
            return Err(Unreadable::Malformed);
        };
        let status = upstream_status(code).ok_or(Unreadable::Malformed)?;
        let version = version_of(version);
        fields.take(bytes, response.headers);
        let Control { framing, persistence } = Control::of(&fields, version);
        let framing = framing.map_err(|_| Unreadable::Malformed)?;
        // RFC 9112, section 6.3.
        let decoder = match (code, framing) {
            (100..=199 | 204 | 304, _) => Decoder::Done,
            _ if asked == Asked::Head => Decoder::Done,
            (_, Framing::Length(bytes)) => Decoder::of_length(bytes),
            (_, Framing::Chunked) => Decoder::chunked(),
            (_, Framing::Neither) => Decoder::UntilClose,
        };
        let persistence =
            if matches!(decoder, Decoder::UntilClose) { Persistence::Close } else { persistence };
        Ok(Self { status, fields, decoder, persistence })
    }

    /// Whether the head says that a body comes in chunks.
    pub(crate) fn is_chunked(&self) -> bool {
        self.fields.known(Name::TransferEncoding).next().is_some()
    }

    /// The length that the head states, for answers whose body is left out.
    pub(crate) fn stated_length(&self) -> Option<u64> {
        self.fields.known(Name::ContentLength).next().and_then(number)
    }
}

fn complete(parsed: httparse::Result<usize>, length: usize) -> Result<(), Unreadable> {
    match parsed {
        Ok(httparse::Status::Complete(taken)) if taken == length => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(Unreadable::TooManyFields),
        _ => Err(Unreadable::Malformed),
    }
}

const fn version_of(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// What a head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Neither,
    Length(u64),
    Chunked,
}

/// What a head says about its own connection and body.
struct Control {
    /// Or why it says two things.
    framing: Result<Framing, &'static str>,
    persistence: Persistence,
}

impl Control {
    fn of(fields: &FieldList, version: Version) -> Self {
        let (mut length, mut coding) = (Field::Absent, Field::Absent);
        // RFC 9112, section 9.3; HTTP/1.0 connections are always closed.
        let mut persistence =
            if version == Version::HTTP_10 { Persistence::Close } else { Persistence::Keep };
        for Entry { name, value, .. } in fields.entries() {
            match name {
                Name::ContentLength => length.add(value),
                Name::TransferEncoding => coding.add(value),
                Name::Connection if closes(value) => persistence = Persistence::Close,
                _ => {}
            }
        }
        Self { framing: Framing::of(length, coding, version), persistence }
    }
}

impl Framing {
    /// RFC 9112, section 6.1 and 6.3, without what it tolerates: one length at most, no length beside chunks, no
    /// coding but `chunked`, and none in HTTP/1.0.
    fn of(length: Field<'_>, coding: Field<'_>, version: Version) -> Result<Self, &'static str> {
        match (length, coding) {
            (Field::Absent, Field::Absent) => Ok(Self::Neither),
            (Field::Several, _) => Err("the head has more than one `Content-Length` header"),
            (_, Field::Several) => Err("the head has more than one `Transfer-Encoding` header"),
            (Field::Once(_), Field::Once(_)) => {
                Err("the head has a `Content-Length` beside a `Transfer-Encoding`")
            }
            (Field::Once(length), Field::Absent) => {
                number(length).map(Self::Length).ok_or("the `Content-Length` header is not one number")
            }
            (Field::Absent, Field::Once(_)) if version == Version::HTTP_10 => {
                Err("HTTP/1.0 has no `Transfer-Encoding`")
            }
            (Field::Absent, Field::Once(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Self::Chunked)
            }
            (Field::Absent, Field::Once(_)) => {
                Err("the `Transfer-Encoding` header is something other than `chunked`")
            }
        }
    }
}

/// 1 to 18 digits: every reader's number holds them.
fn number(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte & 15));
    let digits = (1..=18).contains(&text.len()).then_some(text)?;
    digits.iter().try_fold(0_u64, |number, byte| Some(number.wrapping_mul(10).wrapping_add(digit(byte)?)))
}

fn closes(connection: &[u8]) -> bool {
    let mut options = connection.split(|byte| *byte == b',');
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scan;
    use super::*;

    fn request(text: &str) -> Result<RequestHead, Unreadable> {
        let length = Scan::default().find_end(text.as_bytes())?;
        assert_eq!(length, Some(text.len()), "{text:?} is not one head");
        RequestHead::read(text.as_bytes())
    }

    #[test]
    fn a_head_that_is_used_again_knows_nothing_of_the_one_before() {
        let first = "POST /secret HTTP/1.0\r\nContent-Length: 7\r\nContent-Length: 8\r\nX-First: 1\r\n\r\n";
        let kept = request(first).unwrap();
        assert!(kept.fault.is_some());
        kept.keep();
        let held = HEADS.with(Spares::take).expect("it was kept");
        assert_eq!((held.line.as_str(), held.fields.len()), ("", 0));
        held.keep();
        let next = request("GET / HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!((next.method(), next.target(), next.fault), ("GET", (None, "/", None), None));
        assert_eq!(next.fields.iter().collect::<Vec<_>>(), [(&b"host"[..], &b"b"[..])]);
        assert_eq!((next.body, next.persistence), (BodyLength::None, Persistence::Keep));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(KEPT_BUFFER_BYTES_MAX));
        request(&long).unwrap().keep();
        assert!(HEADS.with(Spares::take).is_none(), "what a long head has taken is given back");
    }

    fn framed(fields: &str) -> Result<BodyLength, &'static str> {
        let head = request(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).unwrap();
        head.fault.map_or(Ok(head.body), Err)
    }

    #[test]
    fn a_head_is_found_whatever_pieces_it_comes_in() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for size in 1..text.len() {
            let mut scan = Scan::default();
            let found = (1..=text.len().div_ceil(size))
                .find_map(|pieces| scan.find_end(&text[..(pieces * size).min(text.len())]).unwrap());
            assert_eq!(found, Some(text.len() - 4), "pieces of {size}");
        }
        for text in ["GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "\n"] {
            assert_eq!(Scan::default().find_end(text.as_bytes()), Err(Unreadable::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_request_is_read_in_its_parts() {
        let head = request("GET /a/b?c=d?e HTTP/1.1\r\nHOST: h\r\nX-A:  1 \t\r\n\r\n").unwrap();
        assert_eq!((head.method(), head.target()), ("GET", (None, "/a/b", Some("c=d?e"))));
        assert_eq!(head.fields.iter().collect::<Vec<_>>(), [(&b"host"[..], &b"h"[..]), (b"x-a", b"1")]);
        assert_eq!((head.body, head.persistence), (BodyLength::None, Persistence::Keep));
    }

    #[test]
    fn every_form_of_target_has_its_parts() {
        for (target, parts) in [
            ("http://h:1/a?b", (Some("h:1"), "/a", Some("b"))),
            ("HTTPS://h", (Some("h"), "/", None)),
            ("http://h?b", (Some("h"), "/", Some("b"))),
            ("*", (None, "*", None)),
            ("h:443", (None, "h:443", None)),
            ("", (None, "", None)),
            ("ftp://h/a", (None, "ftp://h/a", None)),
        ] {
            assert_eq!(split_target(target), parts, "{target}");
        }
    }

    #[test]
    fn a_head_that_is_no_http_is_unreadable() {
        for text in [
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET /\r\n\r\n",
            "GET\t/ HTTP/1.1\r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nA\u{e9}: b\r\n\r\n",
            "GET /\0 HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(request(text).err(), Some(Unreadable::Malformed), "{text:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(CODEC_HEADERS_MAX + 1));
        assert_eq!(request(&many).err(), Some(Unreadable::TooManyFields));
    }

    #[test]
    fn a_body_has_one_framing_or_the_head_is_at_fault() {
        assert_eq!(framed(""), Ok(BodyLength::None));
        assert_eq!(framed("Content-Length: 0\r\n"), Ok(BodyLength::None));
        assert_eq!(framed("Content-Length: 007\r\n"), Ok(BodyLength::Known(7)));
        assert_eq!(framed("Transfer-Encoding: Chunked\r\n"), Ok(BodyLength::Unknown));
        for fields in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 9999999999999999999\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ] {
            assert!(framed(fields).is_err(), "{fields:?}");
        }
        let fault = request("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!(fault.persistence, Persistence::Close, "nothing behind it may be read as a request");
        let old = request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!(old.fault.is_some());
        assert_eq!(old.persistence, Persistence::Close);
    }

    fn answer(text: &str, asked: Asked) -> Result<(u16, Option<u64>, Persistence), Unreadable> {
        let head = ResponseHead::read(text.as_bytes(), asked, FieldList::default())?;
        Ok((head.status.as_u16(), head.decoder.remaining(), head.persistence))
    }

    #[test]
    fn an_answer_is_framed_by_its_status_and_its_fields() {
        use Persistence::{Close, Keep};
        for (text, asked, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Asked::Other, (200, Some(3), Keep)),
            ("HTTP/1.1 200\r\ncontent-length: 3\r\n\r\n", Asked::Head, (200, Some(0), Keep)),
            ("HTTP/1.1 204 No\r\n\r\n", Asked::Other, (204, Some(0), Keep)),
            ("HTTP/1.1 304 X\r\ncontent-length: 9\r\n\r\n", Asked::Other, (304, Some(0), Keep)),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Asked::Other, (200, None, Keep)),
            ("HTTP/1.1 200 OK\r\n\r\n", Asked::Other, (200, None, Close)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n", Asked::Other, (200, Some(3), Close)),
            (
                "HTTP/1.1 200 OK\r\nconnection: x, CLOSE\r\ncontent-length: 0\r\n\r\n",
                Asked::Other,
                (200, Some(0), Close),
            ),
        ] {
            assert_eq!(answer(text, asked), Ok(expected), "{text:?}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "this is no HTTP\r\n\r\n",
        ] {
            assert_eq!(answer(text, Asked::Other), Err(Unreadable::Malformed), "{text:?}");
        }
    }
}
