//! SHA-256 (FIPS 180-4), for digests of credentials, chains and leaves.

use arrayvec::ArrayVec;
use aws_lc_rs::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN, digest};

/// Parts that are no longer than this together are joined first: a context of its own costs an allocation.
const JOINED_BYTES_MAX: usize = 1024;

/// The SHA-256 of the parts, one after another.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let sum = match parts {
        [whole] => digest(&SHA256, whole),
        parts => joined(parts).map_or_else(|| streamed(parts), |whole| digest(&SHA256, &whole)),
    };
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.iter_mut().zip(sum.as_ref()).for_each(|(byte, summed)| *byte = *summed);
    bytes
}

fn streamed(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

fn joined(parts: &[&[u8]]) -> Option<ArrayVec<u8, JOINED_BYTES_MAX>> {
    let mut whole = ArrayVec::new();
    let fits = parts.iter().all(|part| whole.try_extend_from_slice(part).is_ok());
    fits.then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hash_like_the_whole() {
        let empty = sha256(&[]);
        assert_eq!(empty.first_chunk(), Some(&[0xe3, 0xb0, 0xc4, 0x42]));
        assert_eq!(sha256(&[b"ab", b"", b"c"]), sha256(&[b"abc"]));
        for bytes in [JOINED_BYTES_MAX - 1, JOINED_BYTES_MAX, 2 * JOINED_BYTES_MAX] {
            let whole = vec![7; bytes];
            assert_eq!(sha256(&[&[7], &whole]), sha256(&[&whole, &[7]]), "{bytes}");
            assert_eq!(sha256(&[&[7], &whole]), sha256(&[&vec![7; bytes + 1]]), "{bytes}");
        }
    }

    #[test]
    fn the_sum_of_abc_is_that_of_the_standard() {
        let known = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(sha256(&[b"abc"]), known);
    }
}
