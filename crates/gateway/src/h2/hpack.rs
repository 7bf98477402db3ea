//! Header blocks (RFC 7541), read over as they pass, however they are cut into pieces: whether they can be decoded, and
//! whether they hold pseudo-headers.
//!
//! Nothing is kept but the sizes of what the client's table holds, which its indices count.
//! Not here: what the fields say, which the codec behind finds out.

use std::collections::VecDeque;

use super::huffman::Huffman;

/// How large the client's table may be, in bytes: the codec says nothing else in its settings.
const TABLE_BYTES_MAX: u32 = 4096;
/// What each entry of the table takes besides its name and value (RFC 7541, section 4.1).
const ENTRY_BYTES: u32 = 32;
/// How many bytes an integer may have behind its first: 28 bits, which is more than any of them means here.
const INTEGER_BYTES_MAX: u32 = 4;
/// The code of `:`, of seven bits.
const HUFFMAN_COLON: u8 = 0x5c;

/// The names of the static table (RFC 7541, appendix A).
const STATIC: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// What is no header block: nothing behind it on its connection can be decoded either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;

/// What a block holds besides plain fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Holds {
    Pseudo,
    #[default]
    Fields,
}

/// What is known of a string: of a name, what it is a name of.
#[derive(Debug, Clone, Copy)]
struct Told {
    bytes: u32,
    holds: Holds,
}

/// Whether a field goes into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// Which half of a field a string is.
#[derive(Debug, Clone, Copy)]
enum Part {
    Name(Kept),
    Value(Kept, Told),
}

/// What an integer is for.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// A field of the table.
    Field,
    /// A name of the table; 0 for one that follows.
    Name(Kept),
    /// The size that the table has from here on.
    Resize,
    /// The length of a string.
    Length(Coding, Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Huffman,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default)]
enum Next {
    /// A field, or the table's size before the first of them.
    #[default]
    First,
    Field,
    /// The rest of an integer, behind so many bytes.
    Integer(u32, u32, Use),
    /// The length of a string.
    String(Part),
    Text(Text, Part),
}

/// A string as far as it has passed.
#[derive(Debug, Clone, Copy)]
struct Text {
    coding: Coding,
    bytes: u32,
    left: usize,
    first: Option<u8>,
    huffman: Huffman,
}

impl Text {
    fn new(coding: Coding, bytes: u32) -> Self {
        Self { coding, bytes, left: bytes as usize, first: None, huffman: Huffman::default() }
    }

    /// Reads a piece of it; what is behind it.
    fn read<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Undecodable> {
        let (piece, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
        self.first = self.first.or(piece.first().copied());
        self.left = self.left.saturating_sub(piece.len());
        if self.coding == Coding::Huffman {
            self.huffman.read(piece)?;
        }
        Ok(rest)
    }

    fn end(self) -> Result<Told, Undecodable> {
        let (bytes, colon) = match self.coding {
            Coding::Plain => (self.bytes, self.first == Some(b':')),
            Coding::Huffman => {
                (self.huffman.end()?, self.first.is_some_and(|first| first >> 1 == HUFFMAN_COLON))
            }
        };
        Ok(Told { bytes, holds: if colon { Holds::Pseudo } else { Holds::Fields } })
    }
}

/// The header blocks of one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    table: Table,
    next: Next,
    holds: Holds,
}

impl Blocks {
    /// Reads a piece of a block.
    ///
    /// # Errors
    /// It cannot be decoded, whatever follows.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Undecodable> {
        // Each turn uses up a byte or more.
        while let Some((first, rest)) = bytes.split_first() {
            if let Next::Text(mut text, part) = self.next {
                bytes = text.read(bytes)?;
                self.next = self.text(text, part)?;
            } else {
                bytes = rest;
                self.next = self.byte(*first)?;
            }
        }
        Ok(())
    }

    /// What the block held that ends here.
    ///
    /// # Errors
    /// It does not end between two fields.
    pub(super) fn end(&mut self) -> Result<Holds, Undecodable> {
        match std::mem::take(&mut self.next) {
            Next::First | Next::Field => Ok(std::mem::take(&mut self.holds)),
            Next::Integer(..) | Next::String(_) | Next::Text(..) => Err(Undecodable),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<Next, Undecodable> {
        match self.next {
            Next::Integer(so_far, passed, of) => {
                let more = u32::from(byte & 0x7f).wrapping_shl(passed.saturating_mul(7));
                let (so_far, passed) = (so_far.saturating_add(more), passed.saturating_add(1));
                match byte & 0x80 {
                    0 => self.take(so_far, of),
                    _ if passed < INTEGER_BYTES_MAX => Ok(Next::Integer(so_far, passed, of)),
                    _ => Err(Undecodable),
                }
            }
            Next::String(part) if byte & 0x80 == 0 => self.integer(byte, 7, Use::Length(Coding::Plain, part)),
            Next::String(part) => self.integer(byte, 7, Use::Length(Coding::Huffman, part)),
            // RFC 7541, section 6.
            Next::First | Next::Field | Next::Text(..) => match byte.leading_zeros() {
                0 => self.integer(byte, 7, Use::Field),
                1 => self.integer(byte, 6, Use::Name(Kept::Yes)),
                2 if matches!(self.next, Next::First) => self.integer(byte, 5, Use::Resize),
                2 => Err(Undecodable),
                _ => self.integer(byte, 4, Use::Name(Kept::No)),
            },
        }
    }

    /// An integer whose first byte leaves it so many bits (RFC 7541, section 5.1).
    fn integer(&mut self, first: u8, bits: u32, of: Use) -> Result<Next, Undecodable> {
        let all = 1_u32.wrapping_shl(bits).saturating_sub(1);
        let so_far = u32::from(first) & all;
        if so_far == all { Ok(Next::Integer(so_far, 0, of)) } else { self.take(so_far, of) }
    }

    /// What follows an integer.
    fn take(&mut self, integer: u32, of: Use) -> Result<Next, Undecodable> {
        match of {
            Use::Field => {
                self.name(self.table.name(integer)?);
                Ok(Next::Field)
            }
            Use::Name(kept) if integer == 0 => Ok(Next::String(Part::Name(kept))),
            Use::Name(kept) => Ok(Next::String(Part::Value(kept, self.name(self.table.name(integer)?)))),
            Use::Resize => self.table.resize(integer).map(|()| Next::First),
            Use::Length(coding, part) => self.text(Text::new(coding, integer), part),
        }
    }

    /// What follows as much of a string.
    fn text(&mut self, text: Text, part: Part) -> Result<Next, Undecodable> {
        if text.left > 0 {
            return Ok(Next::Text(text, part));
        }
        let told = text.end()?;
        match part {
            Part::Name(kept) => Ok(Next::String(Part::Value(kept, self.name(told)))),
            Part::Value(kept, name) => {
                if kept == Kept::Yes {
                    self.table.insert(name, told.bytes);
                }
                Ok(Next::Field)
            }
        }
    }

    fn name(&mut self, name: Told) -> Told {
        if name.holds == Holds::Pseudo {
            self.holds = Holds::Pseudo;
        }
        name
    }
}

/// What is known of the client's dynamic table (RFC 7541, section 2.3.2): its entries, the last one first.
#[derive(Debug)]
struct Table {
    entries: VecDeque<Entry>,
    bytes: u32,
    bytes_max: u32,
}

#[derive(Debug)]
struct Entry {
    name: Told,
    bytes: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_MAX }
    }
}

impl Table {
    fn name(&self, index: u32) -> Result<Told, Undecodable> {
        let at = (index as usize).checked_sub(1).ok_or(Undecodable)?;
        let Some(name) = STATIC.get(at) else {
            let entry = self.entries.get(at.saturating_sub(STATIC.len()));
            return entry.map(|entry| entry.name).ok_or(Undecodable);
        };
        let holds = if name.starts_with(':') { Holds::Pseudo } else { Holds::Fields };
        Ok(Told { bytes: u32::try_from(name.len()).unwrap_or(u32::MAX), holds })
    }

    /// RFC 7541, section 4.4: what is larger than the table empties it.
    fn insert(&mut self, name: Told, value_bytes: u32) {
        let bytes = name.bytes.saturating_add(value_bytes).saturating_add(ENTRY_BYTES);
        self.shrink(self.bytes_max.saturating_sub(bytes));
        if bytes <= self.bytes_max {
            self.bytes = self.bytes.saturating_add(bytes);
            self.entries.push_front(Entry { name, bytes });
        }
    }

    fn resize(&mut self, bytes_max: u32) -> Result<(), Undecodable> {
        if bytes_max > TABLE_BYTES_MAX {
            return Err(Undecodable);
        }
        self.bytes_max = bytes_max;
        self.shrink(bytes_max);
        Ok(())
    }

    fn shrink(&mut self, bytes_max: u32) {
        while self.bytes > bytes_max
            && let Some(last) = self.entries.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(last.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<_> = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(&String::from_iter(two), 16).unwrap()).collect()
    }

    /// Reads blocks one after the other; how large the table is behind each.
    #[track_caller]
    fn check(table_bytes_max: u32, blocks: &[(&str, u32)]) {
        for size in [1, 2, 3, 1000] {
            let mut read = Blocks::default();
            read.table.bytes_max = table_bytes_max;
            for (block, bytes) in blocks {
                for piece in hex(block).chunks(size) {
                    assert_eq!(read.read(piece), Ok(()), "{block}");
                }
                read.end().unwrap();
                assert_eq!(read.table.bytes, *bytes, "{block}");
            }
        }
    }

    /// What becomes of one block.
    fn end(block: &[u8]) -> Result<Holds, Undecodable> {
        let mut blocks = Blocks::default();
        blocks.read(block).and_then(|()| blocks.end())
    }

    #[test]
    fn the_table_is_as_large_as_the_examples_have_it() {
        // RFC 7541, appendices C.3 to C.6.
        check(
            4096,
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", 57),
                ("8286 84be 5808 6e6f 2d63 6163 6865", 110),
                ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", 164),
            ],
        );
        check(
            4096,
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", 57),
                ("8286 84be 5886 a8eb 1064 9cbf", 110),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", 164),
            ],
        );
        check(
            256,
            &[
                (
                    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133
                     3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                    222,
                ),
                ("4803 3330 37c1 c0bf", 222),
                (
                    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a
                     6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d
                     6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                    215,
                ),
            ],
        );
        check(
            256,
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d
                     29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    222,
                ),
                ("4883 640e ffc1 c0bf", 222),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d
                     d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106
                     3d50 07",
                    215,
                ),
            ],
        );
    }

    #[test]
    fn what_is_no_block_is_found() {
        let none = [
            "40",
            "8640",
            "be",
            "80",
            "ff00",
            "7f80",
            "20 82 20",
            "3fe21f",
            "0001",
            "000161",
            "0001 6102 62",
            "ff ffff ffff 00",
            "0081 ff 00",
            "0084 ffff ffff 00",
            "0001 61 81 00",
        ];
        for block in none {
            assert_eq!(end(&hex(block)), Err(Undecodable), "{block}");
        }
        for block in ["", "20", "3fe11f", "203fe11f82", "000000", "0001 6100", "0f01 00", "1f2e 00"] {
            assert_eq!(end(&hex(block)).err(), None, "{block}");
        }
    }

    #[test]
    fn pseudo_headers_are_told_however_they_are_spelled() {
        let (pseudo, fields) = (Ok(Holds::Pseudo), Ok(Holds::Fields));
        // Of the static table, by name, spelled out, in Huffman code.
        for block in ["82", "88", "0201 61", "4101 61", "0002 3a61 00", "0082 b83f 00"] {
            assert_eq!(end(&hex(block)), pseudo, "{block}");
        }
        for block in ["90", "0f01 01 61", "0002 613a 00", "0001 61 01 3a", "0081 1f 00"] {
            assert_eq!(end(&hex(block)), fields, "{block}");
        }
        // One that is kept is one whenever it comes back, and what comes before or behind it is not.
        let mut blocks = Blocks::default();
        for (block, holds) in [
            ("4002 3a61 00", pseudo),
            ("90", fields),
            ("be", pseudo),
            ("4001 61 00 be", fields),
            ("bf", pseudo),
        ] {
            blocks.read(&hex(block)).unwrap();
            assert_eq!(blocks.end(), holds, "{block}");
        }
    }
}
