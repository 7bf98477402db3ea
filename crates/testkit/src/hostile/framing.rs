//! Framing toward clients: where a body ends when its head or its chunks say two things.

use super::{Case, Expected, MALFORMED, forwarded};

/// What is wrong, the head's fields, the body, and whether it passes as this body.
type Row = (&'static str, &'static str, &'static str, Result<&'static str, Expected>);

const BAD: Result<&str, Expected> = Err(MALFORMED);
const LARGE: Result<&str, Expected> = Err(Expected::Closed(413, "body_too_large"));

/// What a head can say about its body.
const HEADS: &[Row] = &[
    ("a length", "Content-Length: 5", "hello", Ok("hello")),
    ("no length", "X-A: b", "", Ok("")),
    ("a length of nothing", "Content-Length: 0", "", Ok("")),
    ("zeros in front of a length", "Content-Length: 0005", "hello", Ok("hello")),
    ("spaces around a length", "Content-Length:  \t5 \t", "hello", Ok("hello")),
    ("no space before a length", "Content-Length:5", "hello", Ok("hello")),
    ("chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
    ("chunks in capitals", "TRANSFER-ENCODING: CHUNKED", "5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
    ("a tab before the coding", "Transfer-Encoding:\tchunked", "5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
    ("a space behind the coding", "Transfer-Encoding: chunked ", "5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
    ("a length before chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
    ("a length behind chunks", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", BAD),
    (
        "a length of nothing beside chunks",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
        BAD,
    ),
    ("a length beside another coding", "Content-Length: 5\r\nTransfer-Encoding: identity", "hello", BAD),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6", "hello", BAD),
    ("the same length twice", "Content-Length: 5\r\nContent-Length: 5", "hello", BAD),
    ("two lengths in two spellings", "Content-Length: 5\r\ncontent-length: 05", "hello", BAD),
    ("a length and an empty one", "Content-Length: 5\r\nContent-Length:", "hello", BAD),
    ("a list of lengths", "Content-Length: 5, 5", "hello", BAD),
    ("a list with a comma behind", "Content-Length: 5,", "hello", BAD),
    ("a list with a comma in front", "Content-Length: ,5", "hello", BAD),
    ("a length with a plus", "Content-Length: +5", "hello", BAD),
    ("a length below zero", "Content-Length: -5", "hello", BAD),
    ("minus nothing", "Content-Length: -0", "", BAD),
    ("a length in hexadecimal", "Content-Length: 0x5", "hello", BAD),
    ("a length with a letter behind", "Content-Length: 5a", "hello", BAD),
    ("a length with a point", "Content-Length: 5.0", "hello", BAD),
    ("a length with an exponent", "Content-Length: 5e0", "hello", BAD),
    ("a length in quotes", "Content-Length: \"5\"", "hello", BAD),
    ("a length with a space inside", "Content-Length: 5 5", "hello", BAD),
    ("a length with an underscore", "Content-Length: 1_0", "hello", BAD),
    ("a length with a semicolon", "Content-Length: 5;", "hello", BAD),
    ("a length in other digits", "Content-Length: \u{0665}", "hello", BAD),
    ("a length in full-width digits", "Content-Length: \u{ff15}", "hello", BAD),
    ("a length behind a no-break space", "Content-Length: \u{a0}5", "hello", BAD),
    ("a length behind a vertical tab", "Content-Length: \u{b}5", "hello", BAD),
    ("a length behind a form feed", "Content-Length: \u{c}5", "hello", BAD),
    ("a length with a NUL behind", "Content-Length: 5\0", "hello", BAD),
    ("a length without a number", "Content-Length:", "", BAD),
    ("a length of one space", "Content-Length:  ", "", BAD),
    ("a length of 19 digits", "Content-Length: 0000000000000000005", "hello", BAD),
    ("a length that is 2^64", "Content-Length: 18446744073709551616", "", BAD),
    ("a length that is 2^64 and 5", "Content-Length: 18446744073709551621", "hello", BAD),
    ("a length that is 2^63", "Content-Length: 9223372036854775808", "", BAD),
    ("a length that is 2^32 and 5", "Content-Length: 4294967301", "hello", LARGE),
    ("a length of 18 nines", "Content-Length: 999999999999999999", "", LARGE),
    ("chunks twice in a list", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n", BAD),
    (
        "chunks twice in two fields",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
        BAD,
    ),
    ("chunks and an empty field", "Transfer-Encoding: chunked\r\nTransfer-Encoding:", "0\r\n\r\n", BAD),
    ("chunks behind identity", "Transfer-Encoding: identity, chunked", "0\r\n\r\n", BAD),
    ("chunks behind gzip", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", BAD),
    ("chunks before gzip", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n", BAD),
    ("identity", "Transfer-Encoding: identity", "", BAD),
    (
        "another coding in a second field",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "0\r\n\r\n",
        BAD,
    ),
    ("chunks in a second field", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
    ("a coding with letters in front", "Transfer-Encoding: xchunked", "0\r\n\r\n", BAD),
    ("a coding with letters behind", "Transfer-Encoding: chunkedx", "0\r\n\r\n", BAD),
    ("a coding in quotes", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n", BAD),
    ("a coding in single quotes", "Transfer-Encoding: 'chunked'", "0\r\n\r\n", BAD),
    ("a coding with a parameter", "Transfer-Encoding: chunked;q=1", "0\r\n\r\n", BAD),
    ("a coding with a comma in front", "Transfer-Encoding: ,chunked", "0\r\n\r\n", BAD),
    ("a coding with a comma behind", "Transfer-Encoding: chunked,", "0\r\n\r\n", BAD),
    ("a coding with a NUL", "Transfer-Encoding: chunked\0", "0\r\n\r\n", BAD),
    ("a coding behind a vertical tab", "Transfer-Encoding: \u{b}chunked", "0\r\n\r\n", BAD),
    ("a coding behind a no-break space", "Transfer-Encoding: \u{a0}chunked", "0\r\n\r\n", BAD),
    ("a coding behind a byte-order mark", "Transfer-Encoding: \u{feff}chunked", "0\r\n\r\n", BAD),
    ("a coding with a dotless letter", "Transfer-Encoding: chun\u{212a}ed", "0\r\n\r\n", BAD),
    ("no coding", "Transfer-Encoding:", "", BAD),
    ("a coding on a folded line", "Transfer-Encoding:\r\n chunked", "0\r\n\r\n", BAD),
    ("a space before the colon of the coding", "Transfer-Encoding : chunked", "0\r\n\r\n", BAD),
    ("a tab before the colon of the coding", "Transfer-Encoding\t: chunked", "0\r\n\r\n", BAD),
    ("a space before the colon of the length", "Content-Length : 5", "hello", BAD),
    ("a coding with an underscore in its name", "Transfer_Encoding: chunked", "0\r\n\r\n", BAD),
    ("a length with an underscore in its name", "Content_Length: 5", "hello", BAD),
    ("a folded line before the coding", "X-A: b\r\n Transfer-Encoding: chunked", "0\r\n\r\n", BAD),
    ("a coding behind a bare line feed", "X-A: b\nTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
    ("a coding behind a bare carriage return", "X-A: b\rTransfer-Encoding: chunked", "0\r\n\r\n", BAD),
    ("a coding behind a NUL", "X-A: b\0Transfer-Encoding: chunked", "0\r\n\r\n", BAD),
    (
        "a coding that Connection lists",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "3\r\nabc\r\n0\r\n\r\n",
        Ok("abc"),
    ),
    (
        "a length that Connection lists",
        "Connection: close-not, Content-Length\r\nContent-Length: 3",
        "abc",
        Ok("abc"),
    ),
    (
        "a body that looks like a request",
        "Content-Length: 26",
        "GET /plain/x HTTP/1.1\r\n\r\n!",
        Ok("GET /plain/x HTTP/1.1\r\n\r\n!"),
    ),
];

/// What chunks can be like; the head says `chunked` and nothing else.
const CHUNKS: &[(&str, &str, Result<&str, Expected>)] = &[
    ("one chunk", "5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
    ("no chunk", "0\r\n\r\n", Ok("")),
    ("several chunks", "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", Ok("hello")),
    ("sizes in both cases", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok("01234567890123456789")),
    ("zeros in front of a size", "0005\r\nhello\r\n000\r\n\r\n", Ok("hello")),
    ("extensions", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", Ok("hello")),
    ("trailers", "5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n", Ok("hello")),
    ("a trailer that names another coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n", Ok("")),
    ("a size in octal spelling", "010\r\n0123456789abcdef\r\n0\r\n\r\n", Ok("0123456789abcdef")),
    ("line breaks inside a chunk", "4\r\n\r\n\r\n\r\n0\r\n\r\n", Ok("\r\n\r\n")),
    ("a last chunk inside a chunk", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", Ok("0\r\n\r\n")),
    ("a size without digits", "\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size below zero", "-5\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size with a letter", "5g\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size with an underscore", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n", BAD),
    ("a space before a size", " 5\r\nhello\r\n0\r\n\r\n", BAD),
    ("a space behind a size", "5 \r\nhello\r\n0\r\n\r\n", BAD),
    ("a tab behind a size", "5\t\r\nhello\r\n0\r\n\r\n", BAD),
    ("a space before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", BAD),
    ("a NUL behind a size", "5\0\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size of 16 digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size that is 2^64 and 5", "10000000000000005\r\nhello\r\n0\r\n\r\n", BAD),
    ("a size of all ones", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", BAD),
    ("a bare line feed behind a size", "5\nhello\r\n0\r\n\r\n", BAD),
    ("a bare carriage return behind a size", "5\rhello\r\n0\r\n\r\n", BAD),
    ("two carriage returns behind a size", "5\r\r\nhello\r\n0\r\n\r\n", BAD),
    ("a bare line feed behind the data", "5\r\nhello\n0\r\n\r\n", BAD),
    ("a bare carriage return behind the data", "5\r\nhello\r0\r\n\r\n", BAD),
    ("no line break behind the data", "5\r\nhello0\r\n\r\n", BAD),
    ("more data than the size", "5\r\nhello!\r\n0\r\n\r\n", BAD),
    ("less data than the size", "6\r\nhello\r\n0\r\n\r\n", BAD),
    ("two line breaks behind the data", "5\r\nhello\r\n\r\n0\r\n\r\n", BAD),
    ("a bare line feed behind the last chunk", "5\r\nhello\r\n0\n\r\n", BAD),
    ("a bare line feed at the end", "5\r\nhello\r\n0\r\n\n", BAD),
    ("a space behind the last size", "5\r\nhello\r\n0 \r\n\r\n", BAD),
    ("a line feed in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", BAD),
    ("a carriage return in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", BAD),
    ("a NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n", BAD),
    ("a control byte in an extension", "5;\u{1}\r\nhello\r\n0\r\n\r\n", BAD),
    ("an extension without its semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n", BAD),
    ("a comma behind a size", "5,5\r\nhello\r\n0\r\n\r\n", BAD),
    ("a folded trailer", "0\r\nX-A: b\r\n c\r\n\r\n", BAD),
    ("a trailer with a space before its colon", "0\r\nX-A : b\r\n\r\n", BAD),
    ("a trailer without a colon", "0\r\nX-A\r\n\r\n", BAD),
    ("a trailer behind a bare line feed", "0\r\nX-A: b\nX-C: d\r\n\r\n", BAD),
    ("a trailer with a NUL", "0\r\nX-A: \0\r\n\r\n", BAD),
    ("a request line as a trailer", "0\r\nGET /plain/x HTTP/1.1\r\n\r\n", BAD),
    ("text for chunks", "hello", BAD),
];

/// Chunks that are too much.
fn large_chunks() -> Vec<(&'static str, String, Result<&'static str, Expected>)> {
    vec![
        (
            "an extension longer than a line may be",
            format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(300)),
            BAD,
        ),
        ("a size of 300 zeros", format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(300)), BAD),
        ("33 trailers", format!("0\r\n{}\r\n", "a: b\r\n".repeat(33)), BAD),
        ("a trailer of 9000 bytes", format!("0\r\na: {}\r\n\r\n", "b".repeat(9_000)), BAD),
        ("a chunk that is larger than the API takes", "fffffff\r\n".to_owned() + &"x".repeat(2 << 20), LARGE),
    ]
}

/// Methods for which servers expect no body, and which may have one all the same.
const BODIES: &[(&str, &str, &str)] = &[
    ("GET", "Content-Length: 5", "hello"),
    ("GET", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("HEAD", "Content-Length: 5", "hello"),
    ("HEAD", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("DELETE", "Content-Length: 5", "hello"),
    ("DELETE", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("OPTIONS", "Content-Length: 5", "hello"),
    ("PUT", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("PATCH", "Content-Length: 5", "hello"),
];

/// What an old client may not say: HTTP/1.0 has no chunks.
const OLD: &[(&str, &str, &str)] = &[
    ("chunks in HTTP/1.0", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("chunks beside a length in HTTP/1.0", "Transfer-Encoding: chunked\r\nContent-Length: 5", "hello"),
    ("two lengths in HTTP/1.0", "Content-Length: 5\r\nContent-Length: 6", "hello"),
];

/// Every case of this class.
#[must_use]
pub fn cases() -> Vec<Case> {
    let heads = HEADS.iter().map(|(name, fields, body, came)| post(name, "1.1", fields, body, came.clone()));
    let chunked = |name: &str, body: &str, came| post(name, "1.1", "Transfer-Encoding: chunked", body, came);
    let chunks = CHUNKS.iter().map(|(name, body, came)| chunked(name, body, came.clone()));
    let large = large_chunks().into_iter().map(|(name, body, came)| chunked(name, &body, came));
    let bodies = BODIES.iter().map(|(method, fields, body)| {
        let sent = format!("{method} {{at}} HTTP/1.1\r\nHost: api.example\r\n{{auth}}{fields}\r\n\r\n{body}");
        Case::new(format!("{method} with {fields}"), sent, forwarded(&format!("{method} {{at}}"), "hello"))
    });
    let old = OLD.iter().map(|(name, fields, body)| post(name, "1.0", fields, body, BAD));
    let unread = HEADS.iter().filter(|(.., came)| came.is_err()).map(|(name, fields, body, came)| {
        // Without a credential nothing but the framing may decide what becomes of the connection.
        let sent = format!("POST {{at}} HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n\r\n{body}");
        let came = if *came == LARGE { Expected::Closed(401, "credential_missing") } else { MALFORMED };
        Case::new(format!("{name}, without a credential"), sent, came)
    });
    heads.chain(chunks).chain(large).chain(bodies).chain(old).chain(unread).collect()
}

fn post(name: &str, version: &str, fields: &str, body: &str, came: Result<&str, Expected>) -> Case {
    let sent = format!("POST {{at}} HTTP/{version}\r\nHost: api.example\r\n{{auth}}{fields}\r\n\r\n{body}");
    let expected = came.map_or_else(|why| why, |body| forwarded("POST {at}", body));
    Case::new(name, sent, expected)
}
