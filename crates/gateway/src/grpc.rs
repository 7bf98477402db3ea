//! What gRPC callers say and read beside HTTP: their own deadline, and a status of their own kind.

use std::fmt::Write as _;
use std::time::Duration;

use crate::arrival::{Dialect, Field, Head};

/// Whether a request is a gRPC call, by its content type.
pub(crate) fn is_call(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc")
}

/// How long a caller waits for its whole call; `None` if it does not say that as gRPC does.
pub(crate) fn timeout(head: &Head<'_>) -> Option<Duration> {
    match (head.fields.grpc_timeout, head.fields.dialect) {
        (Field::Once(text), Dialect::Grpc) => parse(text),
        _ => None,
    }
}

/// One to eight digits and a unit (gRPC over HTTP/2, `Timeout`).
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount.saturating_mul(3_600)),
        b'M' => Duration::from_secs(amount.saturating_mul(60)),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// A text as the value of `grpc-message`: visible ASCII, and escapes for the rest.
pub(crate) fn message(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // Writing to memory does not fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let millis = |text: &str| parse(text.as_bytes()).map(|timeout| timeout.as_millis());
        for (text, expected) in [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("99999999m", 99_999_999)]
        {
            assert_eq!(millis(text), Some(expected));
        }
        assert_eq!([millis("5000u"), millis("5000000n"), millis("0S")], [Some(5), Some(5), Some(0)]);
        for text in ["", "S", "5", "123456789S", "-1S", "1.5S", "5s", " 5S", "5S "] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn messages_are_visible_ascii() {
        assert_eq!(message("100% `a`\n\u{e9}"), "100%25 `a`%0A%C3%A9");
    }
}
