//! The chain: how an event's hash covers every event before it.
//!
//! `hash = SHA-256(previous hash || revision as 64 bits, big-endian || payload)`; before the first event the
//! previous hash is 32 zero bytes. Two ledgers whose heads have the same hash hold the same events.

use std::fmt;

use access::Revision;
use access::hash::sha256;

/// The hash of an event in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in the chain: after how many events, and the hash that covers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// How many events.
    pub revision: Revision,
    /// Their hash.
    pub hash: Hash,
}

/// Where what is stored stops being what was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Another event stands where this one should.
    #[error("event `{revision}` is missing")]
    Missing {
        /// The position.
        revision: Revision,
    },
    /// The payload or an earlier event is not what was hashed.
    #[error("event `{revision}` does not have the hash that it was stored with")]
    Hash {
        /// The position.
        revision: Revision,
    },
    /// The payload is what was hashed, and not an event that this build knows.
    #[error("event `{revision}` cannot be read: {why}")]
    Payload {
        /// The position.
        revision: Revision,
        /// What is wrong with it.
        why: String,
    },
}

impl Link {
    /// Before the first event.
    pub const START: Self = Self { revision: Revision::ZERO, hash: Hash([0; 32]) };

    /// The place after one more event.
    #[must_use]
    pub fn next(&self, payload: &[u8]) -> Self {
        let revision = self.revision.next();
        let hash = sha256(&[&self.hash.0, &revision.number().to_be_bytes(), payload]);
        Self { revision, hash: Hash(hash) }
    }

    /// The place after one more event, if what is stored of it continues the chain.
    ///
    /// # Errors
    /// [`Broken`] names the event.
    pub fn check(&self, stored: Self, payload: &[u8]) -> Result<Self, Broken> {
        let next = self.next(payload);
        if stored.revision != next.revision {
            return Err(Broken::Missing { revision: next.revision });
        }
        if stored.hash != next.hash {
            return Err(Broken::Hash { revision: next.revision });
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_the_documentation_states() {
        let mut bytes = vec![0; 32];
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend(b"{}");
        let expected = sha256(&[&bytes]);
        assert_eq!(Link::START.next(b"{}").hash, Hash(expected));
    }

    /// Computed with Python's `hashlib`: `sha256(previous + struct.pack(">Q", revision) + payload)`.
    #[test]
    fn the_hashes_are_those_that_another_program_computes() {
        let first = Link::START.next(br#"{"v":1}"#);
        let second = first.next(br#"{"v":1}"#);
        let known = [
            "f5a8ba3f4bdc1e6a1444339056bfe8f33dae2ad497dc56ebe7c8b27735ebf9de",
            "7f581d345a54524d15862f3d61043455fe78255c4defef2a3c3d93841b63383c",
        ];
        assert_eq!([first.hash, second.hash].map(|hash| hash.to_string()), known);
    }

    #[test]
    fn the_same_payload_in_another_place_has_another_hash() {
        let first = Link::START.next(b"{}");
        let second = first.next(b"{}");
        assert_ne!(first.hash, second.hash);
        assert_eq!(first.check(second, b"{}"), Ok(second));
        let changed = first.check(second, b"{ }");
        assert_eq!(changed, Err(Broken::Hash { revision: second.revision }));
        let skipped = Link::START.check(second, b"{}");
        assert_eq!(skipped, Err(Broken::Missing { revision: first.revision }));
    }
}
