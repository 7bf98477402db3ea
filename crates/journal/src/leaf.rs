//! Leaves: the hash of a record, and the receipt that names one.

use std::fmt;

use access::hash::sha256;

/// The hash of one leaf: SHA-256 over `0x00` and the record's bytes (RFC 6962, section 2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafHash([u8; 32]);

impl LeafHash {
    /// What stands where there is no leaf yet.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of a record's bytes.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self(sha256(&[&[0], payload]))
    }

    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl LeafHash {
    /// Writes its 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        out.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Debug for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Where a durable record stands, and what it hashes to.
///
/// Prints `<leaf>/<hash>`; with the node's name and `/` before it, it is the `Daypass-Receipt` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The leaf's index in the node's log, from 0.
    pub leaf: u64,
    /// The leaf's hash.
    pub hash: LeafHash,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.leaf, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_an_empty_leaf_is_the_one_of_rfc_6962() {
        let known = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(LeafHash::of(b"").to_string(), known);
    }
}
