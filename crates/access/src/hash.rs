//! SHA-256 (FIPS 180-4), for digests of credentials, chains and leaves.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};

/// The SHA-256 of the parts, one after another.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let sum = match parts {
        [whole] => digest(&SHA256, whole),
        parts => {
            let mut context = Context::new(&SHA256);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        }
    };
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.iter_mut().zip(sum.as_ref()).for_each(|(byte, summed)| *byte = *summed);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hash_like_the_whole() {
        let empty = sha256(&[]);
        assert_eq!(empty.first_chunk(), Some(&[0xe3, 0xb0, 0xc4, 0x42]));
        assert_eq!(sha256(&[b"ab", b"", b"c"]), sha256(&[b"abc"]));
    }
}
