//! How many bytes a string in Huffman code stands for (RFC 7541, section 5.2), told as it passes.
//!
//! Not here: which bytes these are.

use super::hpack::Undecodable;

/// The lengths of codes in bits, and of each the first code that is longer, to 32 bits (RFC 7541, appendix B). The code
/// is canonical: longer codes follow shorter ones, and the very last means the end, which no string may hold.
const LENGTHS: [(u32, u64); 21] = [
    (5, 0x5000_0000),
    (6, 0xb800_0000),
    (7, 0xf800_0000),
    (8, 0xfe00_0000),
    (10, 0xff40_0000),
    (11, 0xffa0_0000),
    (12, 0xffc0_0000),
    (13, 0xfff0_0000),
    (14, 0xfff8_0000),
    (15, 0xfffe_0000),
    (19, 0xfffe_6000),
    (20, 0xfffe_e000),
    (21, 0xffff_4800),
    (22, 0xffff_b000),
    (23, 0xffff_ea00),
    (24, 0xffff_f600),
    (25, 0xffff_f800),
    (26, 0xffff_fbc0),
    (27, 0xffff_fe20),
    (28, 0xffff_fff0),
    (30, 0xffff_fffc),
];

/// A string as far as it has passed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Huffman {
    /// What no code was found in yet, in the lowest bits; what is above them has been told.
    bits: u64,
    held: u32,
    symbols: u32,
}

impl Huffman {
    /// Reads a piece.
    ///
    /// # Errors
    /// It holds the code for the end.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Undecodable> {
        for byte in bytes {
            self.bits = self.bits.wrapping_shl(8) | u64::from(*byte);
            self.held = self.held.saturating_add(8);
            // Each turn uses up five bits or more.
            while let Some(rest) = self.held.checked_sub(self.next_length()?) {
                self.held = rest;
                self.symbols = self.symbols.saturating_add(1);
            }
        }
        Ok(())
    }

    /// How many bytes it stands for, if it may end here.
    ///
    /// # Errors
    /// What is left over is no padding: fewer than eight bits, all of them set.
    pub(super) fn end(self) -> Result<u32, Undecodable> {
        let padding = 1_u64.wrapping_shl(self.held).wrapping_sub(1);
        if self.held < 8 && self.bits & padding == padding { Ok(self.symbols) } else { Err(Undecodable) }
    }

    /// The least length of the code that comes next: it is there once that many bits are held.
    fn next_length(&self) -> Result<u32, Undecodable> {
        let unread = 64_u32.saturating_sub(self.held);
        let next = self.bits.checked_shl(unread).unwrap_or(0).wrapping_shr(32);
        let found = LENGTHS.iter().find(|(_, longer)| next < *longer);
        found.map(|(length, _)| *length).ok_or(Undecodable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &[u8]) -> Option<u32> {
        let mut huffman = Huffman::default();
        huffman.read(text).ok()?;
        huffman.end().ok()
    }

    #[test]
    fn strings_have_the_length_of_what_they_stand_for() {
        // RFC 7541, appendices C.4 and C.6.
        let texts: [(&[u8], &str); 5] = [
            (b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                "https://www.example.com",
            ),
            (b"", ""),
        ];
        for (text, means) in texts {
            assert_eq!(length(text), u32::try_from(means.len()).ok(), "{means}");
        }
    }

    #[test]
    fn long_codes_count_once() {
        // `\n` is 30 bits, `\` is 19 bits.
        assert_eq!(length(b"\xff\xff\xff\xf3"), Some(1));
        assert_eq!(length(b"\xff\xfe\x1f"), Some(1));
    }

    #[test]
    fn what_is_neither_a_code_nor_padding_is_no_string() {
        let ends: [&[u8]; 4] = [b"\xff\xff\xff\xff", b"\xff", b"\xf8\xff", b"\x00"];
        for text in ends {
            assert_eq!(length(text), None, "{text:x?}");
        }
    }
}
