//! Names and numbers of things, each a type of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Why a text is not an id or name of the wanted kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAnId {
    /// Another prefix, or none.
    #[error("`{text}` is not a {kind} id: it starts with `{kind}_`")]
    Prefix {
        /// What was given.
        text: String,
        /// What was wanted.
        kind: &'static str,
    },
    /// The part after the prefix is not 26 digits of Crockford's base 32.
    #[error("`{0}` is mistyped: an id is its kind, `_` and 26 digits")]
    Digits(String),
    /// A name with characters, or of a length, that names do not have.
    #[error(
        "`{0}` is not a name: use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first"
    )]
    Name(String),
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

fn write_crockford(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [b'0'; DIGITS];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = CROCKFORD.get((rest & 31) as usize).copied().unwrap_or(b'0');
        rest >>= 5;
    }
    f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
}

fn parse_crockford(text: &str) -> Option<u128> {
    let first = *text.as_bytes().first()?;
    if text.len() != DIGITS || first > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = CROCKFORD.iter().position(|known| *known == byte)?;
        Some(value << 5 | digit as u128)
    })
}

/// A 128-bit id that sorts by the time it was made: 48 bits of milliseconds, 80 random bits.
fn stamped(at: Timestamp, entropy: [u8; 10]) -> u128 {
    let random = entropy.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
    u128::from(at.as_millis()) << 80 | random
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The prefix of the printed form, without its `_`.
            pub const KIND: &'static str = $kind;

            /// A fresh id from the present and ten random bytes.
            #[must_use]
            pub fn new(at: Timestamp, entropy: [u8; 10]) -> Self {
                Self(stamped(at, entropy))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($kind, "_"))?;
                write_crockford(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let digits = text
                    .strip_prefix(concat!($kind, "_"))
                    .ok_or_else(|| NotAnId::Prefix { text: text.to_owned(), kind: $kind })?;
                parse_crockford(digits).map(Self).ok_or_else(|| NotAnId::Digits(text.to_owned()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

typed_id!(
    /// A subject's temporary hold of a role.
    GrantId, "grant"
);
typed_id!(
    /// A token minted from a grant. Not the token itself, which is a secret.
    TokenId, "token"
);
typed_id!(
    /// One version of a service's key. Not the key itself, which is a secret.
    KeyId, "key"
);
typed_id!(
    /// A person's session on the console listener.
    SessionId, "session"
);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                is_name(text).then(|| Self(text.into())).ok_or_else(|| NotAnId::Name(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A protected service, as the configuration names it.
    ApiName
);
name!(
    /// A named set of permissions on operations.
    RoleName
);
name!(
    /// An incident, by the id its source gave it.
    IncidentId
);
name!(
    /// A person, service or group, by name and without its kind.
    Name
);

fn is_name(text: &str) -> bool {
    let first = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    first
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@'))
}

/// A position in the ledger: how many control events came before, and including, this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// From its number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The position after the next event.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request, for ever: a `UUIDv7` (RFC 9562, section 5.7), the journal's `id` and the `X-Request-Id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// A fresh id from the present and ten random bytes.
    #[must_use]
    pub fn new(at: Timestamp, entropy: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(at.as_millis(), &entropy).into_uuid().into_bytes())
    }

    /// From its 16 bytes, as the journal keeps it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 36 characters of its text, written into `buffer`.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        uuid::Uuid::from_bytes(self.0).hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 36]))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        uuid::Uuid::try_parse(text)
            .map(|id| Self(id.into_bytes()))
            .map_err(|_| NotAnId::Digits(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_their_kind_and_parse_no_other() {
        let id = GrantId::new(Timestamp::from_micros(1_795_316_400_000_000), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.len(), "grant_".len() + 26);
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<TokenId>().is_err());
        assert!(text.to_lowercase().parse::<GrantId>().is_err(), "an id has one spelling");
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = GrantId::new(Timestamp::from_micros(1_000), [255; 10]);
        let late = GrantId::new(Timestamp::from_micros(2_000), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn names_have_no_room_for_markup_or_separators() {
        for text in ["orders", "orders-viewer", "alice@example.com", "a.b_c"] {
            assert!(text.parse::<RoleName>().is_ok());
        }
        for text in ["", "-a", "a b", "a:b", "a/b", "<a>", "ä", &"a".repeat(65)] {
            assert!(text.parse::<RoleName>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn a_request_id_is_a_version_seven_uuid() {
        let id = RequestId::new(Timestamp::from_micros(1_795_316_400_000_000), [0xab; 10]);
        assert_eq!(id.to_string().as_bytes()[14], b'7');
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
