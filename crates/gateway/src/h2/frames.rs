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

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

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
    /// Of what it carries, in bytes.
    length: usize,
    code: u8,
    flags: u8,
}

impl Frame {
    /// Whether nothing more of the stream comes from this side.
    pub(super) const fn ends_stream(self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 1 == 1
    }

    /// Whether more of a header block has to follow at once.
    pub(super) const fn opens_block(self) -> bool {
        matches!(self.code, HEADERS | CONTINUATION) && self.flags & 4 == 0
    }

    /// Whether only servers send it.
    pub(super) const fn is_push(self) -> bool {
        self.code == PUSH_PROMISE
    }

    /// Whether its length is one that frames of its kind have (RFC 9113, section 6).
    pub(super) const fn has_its_length(self) -> bool {
        let acknowledges = self.flags & 1 == 1;
        match self.code {
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS => self.length.is_multiple_of(6) && (self.length == 0 || !acknowledges),
            PING => self.length == 8,
            _ => true,
        }
    }

    /// Reads a head that is whole; a reset with its code.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let [a, b, c, code, flags, w, x, y, z, reason @ ..] = bytes else { return None };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let kind = match (*code, reason) {
            (DATA, _) => Kind::Data,
            (HEADERS, _) => Kind::Headers,
            (RST_STREAM, [e, f, g, h]) => Kind::Reset(u32::from_be_bytes([*e, *f, *g, *h])),
            (RST_STREAM, _) if length == RESET_BYTES - HEAD_BYTES => return None,
            (PUSH_PROMISE | GOAWAY | CONTINUATION, _) => Kind::Other,
            _ => Kind::Control,
        };
        let stream = u32::from_be_bytes([*w, *x, *y, *z]) & (u32::MAX >> 1);
        let rest = length.saturating_sub(reason.len());
        Some((Self { kind, stream, length, code: *code, flags: *flags }, rest))
    }
}

/// Whether a frame goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Yes,
    No,
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

    /// Lets bytes pass, and tells the frames that begin in them, until one is not to pass: how many bytes do.
    pub(super) fn pass(&mut self, all: &[u8], mut tell: impl FnMut(Frame) -> Pass) -> usize {
        let (mut bytes, mut before) = (all, 0);
        loop {
            let passed = self.rest.min(bytes.len());
            self.rest = self.rest.saturating_sub(passed);
            bytes = bytes.get(passed..).unwrap_or_default();
            let Some((first, more)) = bytes.split_first() else { return all.len() };
            if self.head.is_empty() {
                before = all.len().saturating_sub(bytes.len());
            }
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
                if tell(frame) == Pass::No {
                    return before;
                }
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
            for bytes in sent.chunks(piece) {
                let passed = frames.pass(bytes, |frame| {
                    told.push(frame);
                    Pass::Yes
                });
                assert_eq!(passed, bytes.len());
            }
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
        let lengths: Vec<_> = whole.iter().map(|frame| frame.has_its_length()).collect();
        assert_eq!(lengths, [true, true, true, true, false, true, true, true]);
        let stopped =
            Frames::default().pass(&sent[24..], |frame| if frame.stream == 3 { Pass::No } else { Pass::Yes });
        assert_eq!(stopped, 21 + 16 + 309 + 13, "what comes before a frame passes");
        for piece in 1..20 {
            assert_eq!(told(piece), whole, "in pieces of {piece}");
        }
    }
}
