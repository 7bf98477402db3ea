//! One spelling for each request target: routing, policy, journal and upstream see the same bytes.
//!
//! A path has one canonical form: every byte that may stand for itself does, all others are escaped with
//! upper-case digits (RFC 3986, sections 2.1, 3.3 and 6.2.2). What two readers could take for different
//! paths is refused, not repaired: dot segments, backslashes, control bytes, escapes of escapes, and bytes that
//! are not UTF-8 always; encoded slashes, `;` parameters and empty segments unless the API allows them (see
//! [`Quirk`]).
//! Not here: the length of a target, which the listener bounds.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::quirk::{Quirk, Quirks};

/// A path and query in canonical form. Only [`Target::parse`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
    quirks: Quirks,
}

/// Why a target has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Does not start with `/`.
    #[error("the path does not start with `/`")]
    Form,
    /// `.` or `..` as a segment, in any spelling.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A slash that is encoded.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// A backslash, encoded or raw.
    #[error("the path has a backslash")]
    Backslash,
    /// A `;` in the path, encoded or raw.
    #[error("the path has a `;` parameter")]
    Parameter,
    /// A byte that may not stand in a target.
    #[error("the target has a byte that may not stand there")]
    Byte,
    /// `%` without two hexadecimal digits.
    #[error("the target has a `%` without two hexadecimal digits")]
    Escape,
    /// An escaped `%` in front of two hexadecimal digits.
    #[error("the path is escaped twice")]
    DoubleEscape,
    /// Escaped bytes that are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

impl<'a> Target<'a> {
    /// The canonical form of a raw origin-form target, path and query apart. What an API may allow is kept in mind
    /// for [`Target::require`].
    ///
    /// # Errors
    /// [`Ambiguous`] when readers could differ about what is asked, whatever an API allows.
    pub fn parse(path: &'a str, query: Option<&'a str>) -> Result<Self, Ambiguous> {
        let mut quirks = Quirks::NONE;
        let path = canonical_path(path, &mut quirks)?;
        Ok(Self { path, query: query.map(canonical_query).transpose()?, quirks })
    }

    /// Whether the path keeps to what its API allows; nothing is allowed where there is no API.
    ///
    /// # Errors
    /// [`Ambiguous`], about the first thing that is not allowed.
    pub fn require(&self, allowed: Quirks) -> Result<(), Ambiguous> {
        match self.quirks.first_beyond(allowed) {
            None => Ok(()),
            Some(Quirk::EncodedSlash) => Err(Ambiguous::EncodedSlash),
            Some(Quirk::Parameters) => Err(Ambiguous::Parameter),
            Some(Quirk::EmptySegments) => Err(Ambiguous::EmptySegment),
        }
    }

    /// What the path has that readers differ about.
    pub(crate) const fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// The canonical path, from its first `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The canonical query, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// Whether a byte stands for itself in a canonical path.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn canonical_path<'a>(raw: &'a str, quirks: &mut Quirks) -> Result<Cow<'a, str>, Ambiguous> {
    if !raw.starts_with('/') {
        return Err(Ambiguous::Form);
    }
    let plain = raw.bytes().all(|byte| is_plain(byte) || byte == b'/');
    let path = if plain { Cow::Borrowed(raw) } else { Cow::Owned(respell_path(raw, quirks)?) };
    match quirks.is_none() {
        true => judge_segments(path.as_bytes(), quirks)?,
        // Readers who take an encoded slash for a slash see more segments, and those who drop parameters shorter ones.
        false => judge_segments(path.replace("%2F", "/").as_bytes(), quirks)?,
    }
    Ok(path)
}

fn judge_segments(path: &[u8], quirks: &mut Quirks) -> Result<(), Ambiguous> {
    // Bytes: a search for a character costs more than the segments do.
    let mut rest = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = rest.next() {
        match bare(segment) {
            b"." | b".." => return Err(Ambiguous::DotSegment),
            b"" if rest.peek().is_some() || !segment.is_empty() => quirks.add(Quirk::EmptySegments),
            _ => {}
        }
    }
    Ok(())
}

/// A segment without its parameters, as they are or encoded.
fn bare(segment: &[u8]) -> &[u8] {
    let dots = segment.iter().take_while(|byte| **byte == b'.').count();
    match segment.split_at_checked(dots) {
        Some((dots, rest)) if rest.starts_with(b";") || rest.starts_with(b"%3B") => dots,
        _ => segment,
    }
}

fn respell_path(raw: &str, quirks: &mut Quirks) -> Result<String, Ambiguous> {
    let mut spelled = String::with_capacity(raw.len());
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'/' => spelled.push('/'),
            b'\\' => return Err(Ambiguous::Backslash),
            b';' => {
                quirks.add(Quirk::Parameters);
                spelled.push(';');
            }
            b'%' => spell_escape(&mut rest, &mut spelled, &mut decoded, quirks)?,
            plain if is_plain(plain) => spelled.push(plain as char),
            _ => return Err(Ambiguous::Byte),
        }
        if byte != b'%' {
            decoded.push(byte);
        }
    }
    // However the digits behind an escaped `%` were spelled.
    if decoded
        .windows(3)
        .any(|bytes| matches!(bytes, [b'%', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit)))
    {
        return Err(Ambiguous::DoubleEscape);
    }
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(spelled),
        Err(_) => Err(Ambiguous::NotUtf8),
    }
}

fn spell_escape(
    rest: &mut std::str::Bytes<'_>,
    spelled: &mut String,
    decoded: &mut Vec<u8>,
    quirks: &mut Quirks,
) -> Result<(), Ambiguous> {
    let byte = escaped_byte(rest)?;
    match byte {
        b'\\' => return Err(Ambiguous::Backslash),
        b'/' => {
            quirks.add(Quirk::EncodedSlash);
            spelled.push_str("%2F");
        }
        // A proxy behind this one that decodes it writes `;`, which a server behind that cuts off: `..%3b` is `..`.
        b';' => {
            quirks.add(Quirk::Parameters);
            spelled.push_str("%3B");
        }
        0..0x20 | 0x7f => return Err(Ambiguous::Byte),
        plain if is_plain(plain) => spelled.push(plain as char),
        other => push_escape(spelled, other),
    }
    decoded.push(byte);
    Ok(())
}

fn canonical_query(raw: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let allowed = |byte: u8| {
        is_plain(byte) || matches!(byte, b'/' | b'?' | b';' | b'[' | b']' | b'|' | b'{' | b'}' | b'`' | b'^')
    };
    // Clients send these as they are, and some servers and all of HTTP/2's refuse them so.
    let escaped = |byte: u8| matches!(byte, b'"' | b'<' | b'>');
    if raw.bytes().all(allowed) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut spelled = String::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => match escaped_byte(&mut rest)? {
                unreserved if is_unreserved(unreserved) => spelled.push(unreserved as char),
                other => push_escape(&mut spelled, other),
            },
            other if allowed(other) => spelled.push(other as char),
            other if escaped(other) => push_escape(&mut spelled, other),
            _ => return Err(Ambiguous::Byte),
        }
    }
    Ok(Cow::Owned(spelled))
}

fn escaped_byte(rest: &mut impl Iterator<Item = u8>) -> Result<u8, Ambiguous> {
    let mut digit = || rest.next().and_then(|byte| (byte as char).to_digit(16)).ok_or(Ambiguous::Escape);
    Ok((digit()? << 4 | digit()?) as u8)
}

fn push_escape(spelled: &mut String, byte: u8) {
    // Writing to a `String` cannot fail.
    let _ = write!(spelled, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(raw: &str) -> Result<String, Ambiguous> {
        loosely(raw, Quirks::NONE)
    }

    fn loosely(raw: &str, allowed: Quirks) -> Result<String, Ambiguous> {
        let target = Target::parse(raw, None)?;
        target.require(allowed).map(|()| target.path().to_owned())
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        for raw in ["/v1/orders/a!b~", "/v1/%6frders/a%21b%7e", "/%76%31/orders/%61%21%62%7E"] {
            assert_eq!(path(raw).as_deref(), Ok("/v1/orders/a!b~"), "{raw}");
        }
        assert_eq!(path("/caf%c3%a9/a%20b").as_deref(), Ok("/caf%C3%A9/a%20b"));
    }

    #[test]
    fn what_readers_could_differ_about_is_refused() {
        for (raw, why) in [
            ("", Ambiguous::Form),
            ("*", Ambiguous::Form),
            ("orders", Ambiguous::Form),
            ("/a/../b", Ambiguous::DotSegment),
            ("/a/%2e%2E/b", Ambiguous::DotSegment),
            ("/a/.%2e", Ambiguous::DotSegment),
            ("/./a", Ambiguous::DotSegment),
            ("//a", Ambiguous::EmptySegment),
            ("/a//b", Ambiguous::EmptySegment),
            ("/a%2fb", Ambiguous::EncodedSlash),
            ("/a%5Cb", Ambiguous::Backslash),
            ("/a\\b", Ambiguous::Backslash),
            ("/a;b=c/d", Ambiguous::Parameter),
            ("/a%3bb", Ambiguous::Parameter),
            ("/a/..%3B/b", Ambiguous::DotSegment),
            ("/a b", Ambiguous::Byte),
            ("/a#b", Ambiguous::Byte),
            ("/caf\u{e9}", Ambiguous::Byte),
            ("/a%00", Ambiguous::Byte),
            ("/a%0d%0a", Ambiguous::Byte),
            ("/a%", Ambiguous::Escape),
            ("/a%2", Ambiguous::Escape),
            ("/a%zz", Ambiguous::Escape),
            ("/a%252e", Ambiguous::DoubleEscape),
            ("/%25%32%65%25%32%65/admin", Ambiguous::DoubleEscape),
            ("/a%252%66b", Ambiguous::DoubleEscape),
            ("/a%25%32fb", Ambiguous::DoubleEscape),
            ("/%c0%ae", Ambiguous::NotUtf8),
            ("/%ff", Ambiguous::NotUtf8),
        ] {
            assert_eq!(path(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn an_api_may_allow_what_is_spelled_in_one_way_only() {
        let slash = Quirks::of([Quirk::EncodedSlash]);
        assert_eq!(loosely("/p/a%2fb/c", slash).as_deref(), Ok("/p/a%2Fb/c"));
        assert_eq!(loosely("/p/a;v=1/c", Quirks::of([Quirk::Parameters])).as_deref(), Ok("/p/a;v=1/c"));
        assert_eq!(loosely("/p//c", Quirks::of([Quirk::EmptySegments])).as_deref(), Ok("/p//c"));
        for other in [Quirks::of([Quirk::Parameters, Quirk::EmptySegments]), Quirks::NONE] {
            assert_eq!(loosely("/p/a%2fb/c", other), Err(Ambiguous::EncodedSlash));
        }
    }

    #[test]
    fn no_dot_segment_hides_behind_what_an_api_allows() {
        for raw in [
            "/a%2f..%2fb",
            "/a/..%2fb",
            "/a%2F%2e%2e/b",
            "/a/..;x/b",
            "/a/.;/b",
            "/a/..%3b/b",
            "/a;x%2f..;y/b",
            "/..%2f",
        ] {
            assert_eq!(loosely(raw, Quirks::ALL), Err(Ambiguous::DotSegment), "{raw}");
        }
        for raw in ["/%2fa", "/a%2F%2fb", "/a/%2fb", "/;x/a", "/a/;/b", "/a/;x"] {
            let most = Quirks::of([Quirk::EncodedSlash, Quirk::Parameters]);
            assert_eq!(loosely(raw, most), Err(Ambiguous::EmptySegment), "{raw}");
        }
    }

    #[test]
    fn a_trailing_slash_makes_another_path() {
        assert_eq!(path("/a/").as_deref(), Ok("/a/"));
        assert_eq!(path("/").as_deref(), Ok("/"));
    }

    #[test]
    fn queries_keep_what_separates_their_fields() {
        let target = Target::parse("/", Some("a=%41&b=%26%2b+%2f")).unwrap();
        assert_eq!(target.query(), Some("a=A&b=%26%2B+%2F"));
        let quoted = Target::parse("/", Some("a=\"<b>\"")).unwrap();
        assert_eq!(quoted.query(), Some("a=%22%3Cb%3E%22"));
        assert_eq!(Target::parse("/", Some("a=%4")), Err(Ambiguous::Escape));
        assert_eq!(Target::parse("/", Some("a=\u{7f}")), Err(Ambiguous::Byte));
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_canonical_form(raw in prop_oneof!["/[ -~]{0,40}", "/[%2356ef/.]{0,24}"]) {
            if let Ok(once) = loosely(&raw, Quirks::ALL) {
                let again = loosely(&once, Quirks::ALL);
                prop_assert_eq!(again, Ok(once));
            }
        }

        #[test]
        fn what_is_allowed_has_no_dot_segment_for_any_reader(raw in "/[.%2fFeE;3bB/a]{0,16}") {
            let Ok(once) = loosely(&raw, Quirks::ALL) else { return Ok(()) };
            let read = once.replace("%2F", "/").replace("%3B", ";");
            for segment in read.split('/') {
                let bare = segment.split(';').next().unwrap_or_default();
                prop_assert!(bare != "." && bare != "..", "{once}");
            }
        }

        #[test]
        fn no_input_makes_it_panic(raw: String, query: Option<String>) {
            let _ = Target::parse(&raw, query.as_deref());
        }
    }
}
