//! WebSocket handshakes (RFC 6455, section 4, and RFC 8441): what a client has to ask, and how an upstream has to agree.
//!
//! Behind a handshake bytes pass unjudged. Both ends must have shown that they know what it is: an upstream that can
//! be made to answer 101 to something else would be a tunnel to its other requests.

use access::arrival::BodyLength;
use access::operation::Method;
use arrayvec::ArrayString;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Version;

use crate::arrival::{Field, Head};
use crate::fields::FieldList;
use crate::name::Name;

/// What is appended to a key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key, in bytes (RFC 6455, section 4.1).
const KEY_BYTES: usize = 16;

/// How a client asks for a WebSocket, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// With an `Upgrade` of its HTTP/1.1 connection.
    Upgrade,
    /// With an extended `CONNECT` for a stream of its HTTP/2 connection: the request does.
    Connect,
}

/// A key: 16 bytes in base64.
pub(crate) type Key = ArrayString<24>;

/// Whether a request is a client's whole handshake.
pub(crate) fn is_handshake(head: &Head<'_>, method: Method) -> bool {
    let of_protocol = match head.opening {
        Opening::Upgrade => {
            head.version == Version::HTTP_11
                && head.fields.connection_upgrades
                && matches!(head.fields.websocket_key, Field::Once(key) if is_key(key))
        }
        // RFC 8441, section 5: no key goes over HTTP/2.
        Opening::Connect => {
            head.fields.upgrade == Field::Absent && head.fields.websocket_key == Field::Absent
        }
    };
    of_protocol
        && method == Method::Get
        && head.body == BodyLength::None
        && head.asks_for_websocket()
        && head.fields.websocket_version == Field::Once(b"13")
}

/// A key of our own, for a client that needs none: it keeps nothing secret.
pub(crate) fn key(random: [u64; 2]) -> Key {
    let [first, second] = random.map(u64::to_be_bytes);
    let text = STANDARD.encode([first, second].concat());
    Key::from(&text).unwrap_or_default()
}

fn is_key(text: &[u8]) -> bool {
    STANDARD.decode(text).is_ok_and(|key| key.len() == KEY_BYTES)
}

/// Whether an answer of 101 agrees to the handshake with this key, and to nothing else.
pub(crate) fn agrees(answer: &FieldList, key: Field<'_>) -> bool {
    let (Field::Once(key), Some(accept)) = (key, once(answer, b"sec-websocket-accept")) else { return false };
    let protocol = once(answer, b"upgrade");
    let mut options = answer.known(Name::Connection).flat_map(|value| value.split(|byte| *byte == b','));
    accept == accepting(key).as_bytes()
        && protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

fn once<'f>(fields: &'f FieldList, name: &'f [u8]) -> Option<&'f [u8]> {
    let mut values = fields.all(name);
    values.next().filter(|_| values.next().is_none())
}

/// SHA-1 is what the protocol asks for: the value proves understanding, not identity.
fn accepting(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Sink as _;

    /// The example of RFC 6455, section 1.3.
    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn answer(fields: &[(&[u8], &[u8])]) -> FieldList {
        let mut list = FieldList::default();
        fields.iter().for_each(|(name, value)| list.add(name, value));
        list
    }

    #[test]
    fn keys_are_16_bytes_in_base64() {
        assert!(is_key(KEY));
        for key in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"AAAA", b"not base64 but twenty-4!"] {
            assert!(!is_key(key), "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn an_answer_that_misses_one_part_does_not_agree() {
        let (upgrade, connection) =
            ((&b"upgrade"[..], &b"WebSocket"[..]), (&b"connection"[..], &b"a, Upgrade"[..]));
        let accept = (&b"sec-websocket-accept"[..], ACCEPT);
        assert!(agrees(&answer(&[upgrade, connection, accept]), Field::Once(KEY)));
        for fields in [
            &[][..],
            &[upgrade, connection],
            &[upgrade, accept],
            &[connection, accept],
            &[upgrade, upgrade, connection, accept],
            &[upgrade, connection, accept, accept],
            &[(b"upgrade", b"h2c"), connection, accept],
            &[upgrade, connection, (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")],
        ] {
            assert!(!agrees(&answer(fields), Field::Once(KEY)), "{fields:?}");
        }
        assert!(!agrees(&answer(&[upgrade, connection, accept]), Field::Absent));
    }
}
