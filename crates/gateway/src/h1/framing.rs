//! Framing: where a message's body ends (RFC 9112, sections 6 and 7), decided once and strictly.
//!
//! [`Decoder`] takes the bytes behind a head and hands out the body's own. It looks at bytes and nothing else:
//! whatever pieces they come in, the same bytes give the same body, or the same fault.
//! Not here: which framing a head asks for (see `head`).

use http::HeaderMap;

use crate::bounds::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX};
use crate::fields::Sink as _;

/// What is still to come of a body.
#[derive(Debug, Default)]
pub(crate) enum Decoder {
    /// Nothing: the message is complete.
    #[default]
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks, until the last one.
    Chunked(Chunk),
    /// Everything until the connection is closed; only answers of upstreams are framed like this.
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// At a chunk's size.
    Size,
    /// Inside its data, so many bytes before the end.
    Data(u64),
    /// At the line break behind its data.
    End,
    /// Behind the last chunk.
    Trailers,
}

/// What a body cannot be read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unframed {
    /// The bytes are no chunked body.
    #[error("the body is not framed as HTTP frames bodies")]
    Malformed,
    /// The connection was closed before the body's end.
    #[error("the body ended early")]
    Early,
}

/// What one look at the bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// So many bytes were used up; more are needed, or wait for room.
    Used(usize),
    /// So many were used up, and the body is complete.
    End(usize, Option<HeaderMap>),
}

impl Decoder {
    /// The decoder of a body of this length.
    pub(crate) const fn of_length(bytes: u64) -> Self {
        if bytes == 0 { Self::Done } else { Self::Length(bytes) }
    }

    /// The decoder of a chunked body.
    pub(crate) const fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    /// Whether the message is complete.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// How much is to come, where that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(bytes) => Some(*bytes),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Moves body bytes from `input` to `out`, at most `most` of them.
    ///
    /// # Errors
    /// [`Unframed::Malformed`].
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<Decoded, Unframed> {
        match self {
            Self::Done => Ok(Decoded::End(0, None)),
            Self::Length(left) => {
                let taken = copy(input, out, most, *left);
                *left = left.saturating_sub(taken as u64);
                if *left > 0 {
                    return Ok(Decoded::Used(taken));
                }
                *self = Self::Done;
                Ok(Decoded::End(taken, None))
            }
            Self::UntilClose => Ok(Decoded::Used(copy(input, out, most, u64::MAX))),
            Self::Chunked(chunk) => {
                let decoded = decode_chunks(chunk, input, out, most)?;
                if matches!(decoded, Decoded::End(..)) {
                    *self = Self::Done;
                }
                Ok(decoded)
            }
        }
    }

    /// The connection was closed: either that was the end, or the body is not whole.
    ///
    /// # Errors
    /// [`Unframed::Early`].
    pub(crate) fn close(&mut self) -> Result<(), Unframed> {
        match std::mem::take(self) {
            Self::Done | Self::UntilClose => Ok(()),
            Self::Length(_) | Self::Chunked(_) => Err(Unframed::Early),
        }
    }
}

/// Copies as much as there is, fits, and belongs to the body.
fn copy(input: &[u8], out: &mut Vec<u8>, most: usize, left: u64) -> usize {
    let taken = input.len().min(most).min(usize::try_from(left).unwrap_or(usize::MAX));
    out.extend_from_slice(input.get(..taken).unwrap_or_default());
    taken
}

fn decode_chunks(
    chunk: &mut Chunk,
    input: &[u8],
    out: &mut Vec<u8>,
    most: usize,
) -> Result<Decoded, Unframed> {
    let (mut used, mut room) = (0, most);
    // Each turn uses up bytes or returns.
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let taken = match chunk {
            Chunk::Size => {
                let Some((line, taken)) = line(rest, CHUNK_LINE_BYTES_MAX)? else { break };
                *chunk = match size(line)? {
                    0 => Chunk::Trailers,
                    bytes => Chunk::Data(bytes),
                };
                taken
            }
            Chunk::Data(left) => {
                let taken = copy(rest, out, room, *left);
                room = room.saturating_sub(taken);
                *left = left.saturating_sub(taken as u64);
                if *left == 0 {
                    *chunk = Chunk::End;
                }
                taken
            }
            Chunk::End => {
                let Some((b"", taken)) = line(rest, 0)? else { break };
                *chunk = Chunk::Size;
                taken
            }
            Chunk::Trailers => {
                let Some((trailers, taken)) = trailers(rest)? else { break };
                return Ok(Decoded::End(used.saturating_add(taken), trailers));
            }
        };
        if taken == 0 {
            break;
        }
        used = used.saturating_add(taken);
    }
    Ok(Decoded::Used(used))
}

/// The next line without its break, and its length with it; a line ends in CR LF and in nothing else.
fn line(input: &[u8], most: usize) -> Result<Option<(&[u8], usize)>, Unframed> {
    let window = input.get(..input.len().min(most.saturating_add(2))).unwrap_or_default();
    let Some(newline) = memchr::memchr(b'\n', window) else {
        let full = window.len() > most.saturating_add(1);
        // A first byte that begins no line break need not wait for the second.
        let wrong = most == 0 && window.first().is_some_and(|byte| *byte != b'\r');
        return if full || wrong { Err(Unframed::Malformed) } else { Ok(None) };
    };
    let line = window.get(..newline).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.filter(|line| !line.contains(&b'\r')).ok_or(Unframed::Malformed)?;
    Ok(Some((line, newline.saturating_add(1))))
}

/// A chunk's size: 1 to 15 hexadecimal digits, so that no reader's number overflows. Extensions are read over
/// and not passed on; what stands in them must at least be text.
fn size(line: &[u8]) -> Result<u64, Unframed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, extensions) = line.split_at_checked(digits).ok_or(Unframed::Malformed)?;
    let text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    let plain = extensions.is_empty() || (extensions.starts_with(b";") && extensions.iter().all(text));
    let number = std::str::from_utf8(number).ok().filter(|number| number.len() <= 15 && plain);
    number.and_then(|number| u64::from_str_radix(number, 16).ok()).ok_or(Unframed::Malformed)
}

/// What stands behind the last chunk, once it is complete.
fn trailers(input: &[u8]) -> Result<Option<(Option<HeaderMap>, usize)>, Unframed> {
    let mut used = 0_usize;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        let room = TRAILER_BYTES_MAX.saturating_sub(used);
        let Some((found, taken)) = line(rest, room.max(1))? else { return Ok(None) };
        used = used.saturating_add(taken);
        if used > TRAILER_BYTES_MAX {
            return Err(Unframed::Malformed);
        }
        if found.is_empty() {
            break;
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    match httparse::parse_headers(input.get(..used).unwrap_or_default(), &mut fields) {
        Ok(httparse::Status::Complete((taken, []))) if taken == used => Ok(Some((None, used))),
        Ok(httparse::Status::Complete((taken, fields))) if taken == used => {
            let mut map = HeaderMap::with_capacity(fields.len());
            fields.iter().for_each(|field| map.add(field.name.as_bytes(), field.value));
            Ok(Some((Some(map), used)))
        }
        _ => Err(Unframed::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::h1::client::{LAST_CHUNK, write_chunk};

    /// Feeds bytes in pieces of the given sizes, in turn; how the body reads, and what is left behind it.
    fn read(mut decoder: Decoder, bytes: &[u8], pieces: &[usize]) -> Result<(String, String), Unframed> {
        let (mut body, mut waiting, mut next) = (Vec::new(), Vec::new(), 0);
        for piece in pieces.iter().cycle() {
            let upto = (next + piece).min(bytes.len());
            waiting.extend_from_slice(&bytes[next..upto]);
            next = upto;
            loop {
                match decoder.decode(&waiting, &mut body, 3)? {
                    Decoded::Used(0) => break,
                    Decoded::Used(used) => drop(waiting.drain(..used)),
                    Decoded::End(used, _) => {
                        waiting.drain(..used);
                        waiting.extend_from_slice(&bytes[next..]);
                        let text = |bytes| String::from_utf8(bytes).unwrap();
                        return Ok((text(body), text(waiting)));
                    }
                }
            }
            if next == bytes.len() {
                decoder.close()?;
                return Ok((String::from_utf8(body).unwrap(), String::new()));
            }
        }
        unreachable!("the pieces do not end")
    }

    fn check(decoder: fn() -> Decoder, bytes: &str, expected: Result<(&str, &str), Unframed>) {
        for pieces in [&[usize::MAX / 2][..], &[1], &[2, 5], &[7, 1, 3]] {
            let came = read(decoder(), bytes.as_bytes(), pieces);
            let came = came.as_ref().map(|(body, rest)| (&**body, &**rest)).map_err(|why| *why);
            assert_eq!(came, expected, "{bytes:?} in pieces of {pieces:?}");
        }
    }

    /// What chunked bodies are made of, and what they are not.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(
            &[
                "5\r\nhello\r\n",
                "0\r\n\r\n",
                "1\r\nx\r\n",
                "\r\n",
                "\r",
                "\n",
                "0",
                "A",
                ";a=b",
                " ",
                "0\r\n",
                "X: y\r\n",
                ":",
                "\0",
            ][..],
        );
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_body_reads_the_same_in_whatever_pieces_it_comes(
            bytes in hostile(),
            pieces in prop::collection::vec(1_usize..9, 1..6),
        ) {
            for decoder in [Decoder::chunked, || Decoder::of_length(7)] {
                prop_assert_eq!(read(decoder(), &bytes, &[bytes.len() + 1]), read(decoder(), &bytes, &pieces));
            }
        }

        #[test]
        fn what_is_written_in_chunks_is_read_back(
            chunks in prop::collection::vec("[a-z]{0,40}", 0..6),
            pieces in prop::collection::vec(1_usize..9, 1..6),
        ) {
            let mut out = Vec::new();
            chunks.iter().for_each(|chunk| write_chunk(&mut out, &mut chunk.clone().into_bytes()));
            out.extend_from_slice(LAST_CHUNK);
            out.extend_from_slice(b"next");
            let expected = Ok((chunks.concat(), "next".to_owned()));
            prop_assert_eq!(read(Decoder::chunked(), &out, &pieces), expected);
        }
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        check(|| Decoder::of_length(5), "helloGET /", Ok(("hello", "GET /")));
        check(|| Decoder::of_length(0), "GET /", Ok(("", "GET /")));
        check(|| Decoder::of_length(5), "hell", Err(Unframed::Early));
        check(|| Decoder::UntilClose, "all of it", Ok(("all of it", "")));
    }

    #[test]
    fn chunks_are_joined_and_what_follows_them_is_left() {
        check(Decoder::chunked, "5\r\nhello\r\n0\r\n\r\nGET /", Ok(("hello", "GET /")));
        check(Decoder::chunked, "00A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", Ok(("0123456789x", "")));
        check(Decoder::chunked, "1;a=\"b c\"\r\nx\r\n0;last\r\nX-T: 1\r\n\r\nrest", Ok(("x", "rest")));
    }

    #[test]
    fn chunks_with_two_readings_are_malformed() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(CHUNK_LINE_BYTES_MAX));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILERS_MAX + 1));
        let wide = format!("0\r\na: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        for bytes in [
            "\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "g\r\n",
            "5\r\r\nhello\r\n",
            "fffffffffffffffff\r\n",
            "1000000000000000\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "0\r\nX: a\n\r\n",
            "0\r\n X: folded\r\n\r\n",
            "0\r\nX : a\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "1;\u{1}\r\nx\r\n",
            "1;a\rb\r\nx\r\n",
            &long,
            &many,
            &wide,
        ] {
            for pieces in [&[usize::MAX / 2][..], &[1]] {
                let came = read(Decoder::chunked(), bytes.as_bytes(), pieces);
                assert_eq!(came, Err(Unframed::Malformed), "{bytes:?} in pieces of {pieces:?}");
            }
        }
        assert_eq!(read(Decoder::chunked(), b"5\r\nhel", &[1]), Err(Unframed::Early));
    }
}
