//! The heads of HTTP/2 frames, read as they pass, however they are cut into pieces. Nothing is copied but a head.
//!
//! Not here: what the frames mean for a connection (see `meter`). A stream of bytes that is no HTTP/2 is read as
//! whatever it says; the codec behind finds out.

use arrayvec::ArrayVec;

/// The length of a frame's head (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// The same with the error code of a `RST_STREAM` frame.
const RESET_BYTES: usize = HEAD_BYTES + 4;
/// The length of a client's preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// What a frame is for (RFC 9113, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    /// With its error code.
    Reset(u32),
    /// About the connection, or of a kind that says nothing here.
    Control,
    /// More of a header block, or of what a server may not be sent.
    Other,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) stream: u32,
    flags: u8,
}

impl Frame {
    /// Whether nothing more of the stream comes from this side.
    pub(super) const fn ends_stream(self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 1 == 1
    }

    /// Reads a head that is whole; a reset with its code.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let [a, b, c, kind, flags, w, x, y, z, code @ ..] = bytes else { return None };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let kind = match (kind, code) {
            (0, _) => Kind::Data,
            (1, _) => Kind::Headers,
            (3, [e, f, g, h]) => Kind::Reset(u32::from_be_bytes([*e, *f, *g, *h])),
            (3, _) if length == RESET_BYTES - HEAD_BYTES => return None,
            (5 | 7 | 9, _) => Kind::Other,
            _ => Kind::Control,
        };
        let stream = u32::from_be_bytes([*w, *x, *y, *z]) & (u32::MAX >> 1);
        let rest = length.saturating_sub(code.len());
        Some((Self { kind, stream, flags: *flags }, rest))
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: ArrayVec<u8, RESET_BYTES>,
    /// How much of the frame under way is still to pass.
    rest: usize,
}

impl Frames {
    /// What a client sends: a preface comes first.
    pub(super) fn of_client() -> Self {
        Self { rest: PREFACE_BYTES, ..Self::default() }
    }

    /// Lets bytes pass, and tells the frames that begin in them.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        loop {
            let passed = self.rest.min(bytes.len());
            self.rest = self.rest.saturating_sub(passed);
            bytes = bytes.get(passed..).unwrap_or_default();
            let Some((first, more)) = bytes.split_first() else { return };
            // One byte of a head at a time: there are nine of them to each frame.
            if self.head.try_push(*first).is_err() {
                self.head.clear();
            }
            bytes = more;
            if self.head.len() >= HEAD_BYTES
                && let Some((frame, rest)) = Frame::parse(&self.head)
            {
                self.head.clear();
                self.rest = rest;
                tell(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [&head, payload].concat()
    }

    #[test]
    fn frames_are_told_however_they_are_cut() {
        let sent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[0; 12]),
            frame(1, 5, 1, b"headers"),
            frame(0, 0, 1, &[7; 300]),
            frame(3, 0, 1, &8_u32.to_be_bytes()),
            frame(3, 0, 3, b"odd"),
            frame(0, 1, 0x8000_0005, b""),
            frame(9, 0, 5, b"more"),
            frame(77, 0, 0, b"?"),
        ]
        .concat();
        let told = |piece: usize| {
            let (mut frames, mut told) = (Frames::of_client(), Vec::new());
            sent.chunks(piece).for_each(|bytes| frames.pass(bytes, |frame| told.push(frame)));
            told
        };
        let whole = told(sent.len());
        let kinds: Vec<_> =
            whole.iter().map(|frame| (frame.kind, frame.stream, frame.ends_stream())).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Control, 0, false),
                (Kind::Headers, 1, true),
                (Kind::Data, 1, false),
                (Kind::Reset(8), 1, false),
                (Kind::Control, 3, false),
                (Kind::Data, 5, true),
                (Kind::Other, 5, false),
                (Kind::Control, 0, false),
            ]
        );
        for piece in 1..20 {
            assert_eq!(told(piece), whole, "in pieces of {piece}");
        }
    }
}
