//! The heads of HTTP/2 frames, read as they pass, however they are cut into pieces. Nothing is copied but a head.
//!
//! Not here: what the frames carry (see `carried`) and mean for a connection (see `meter`). A stream of bytes that is
//! no HTTP/2 is read as whatever it says; the codec behind finds out.

use arrayvec::ArrayVec;

/// The length of a frame's head (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// The same with the one number of a `RST_STREAM` or `WINDOW_UPDATE` frame.
const NUMBER_BYTES: usize = HEAD_BYTES + 4;
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
    /// With what it adds to a window.
    Window(u32),
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
    pub(super) length: usize,
    code: u8,
    flags: u8,
}

/// What passes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told<'b> {
    Head(Frame),
    /// A piece of what the frame carries that was told last, but for the number of a [`Kind`].
    Piece(&'b [u8], Then),
}

/// Whether a piece is a frame's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    More,
    End,
}

impl Frame {
    /// Whether nothing more of the stream comes from this side.
    pub(super) const fn ends_stream(self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 1 == 1
    }

    /// Whether it carries a piece of a header block.
    pub(super) const fn is_of_block(self) -> bool {
        matches!(self.code, HEADERS | CONTINUATION)
    }

    /// Whether more of a header block has to follow at once.
    pub(super) const fn opens_block(self) -> bool {
        self.is_of_block() && self.flags & 4 == 0
    }

    /// Whether it goes on with a header block.
    pub(super) const fn continues_block(self) -> bool {
        self.code == CONTINUATION
    }

    /// Whether the piece of a header block that it carries has padding around it, whose length comes first.
    pub(super) const fn is_padded(self) -> bool {
        self.code == HEADERS && self.flags & 8 != 0
    }

    /// Whether a priority comes before the piece of a header block that it carries.
    pub(super) const fn has_priority(self) -> bool {
        self.code == HEADERS && self.flags & 32 != 0
    }

    /// Whether it carries settings.
    pub(super) const fn is_settings(self) -> bool {
        self.code == SETTINGS
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

    /// Reads a head that is whole; one with a number with that.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let [a, b, c, code, flags, w, x, y, z, number @ ..] = bytes else { return None };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let kind = match (*code, number) {
            (DATA, _) => Kind::Data,
            (HEADERS, _) => Kind::Headers,
            (RST_STREAM, [e, f, g, h]) => Kind::Reset(u32::from_be_bytes([*e, *f, *g, *h])),
            (WINDOW_UPDATE, [e, f, g, h]) => Kind::Window(number_of([*e, *f, *g, *h])),
            (RST_STREAM | WINDOW_UPDATE, _) if length == NUMBER_BYTES - HEAD_BYTES => return None,
            (PUSH_PROMISE | GOAWAY | CONTINUATION, _) => Kind::Other,
            _ => Kind::Control,
        };
        let stream = number_of([*w, *x, *y, *z]);
        let rest = length.saturating_sub(number.len());
        Some((Self { kind, stream, length, code: *code, flags: *flags }, rest))
    }
}

/// A number of 31 bits, behind one that is reserved.
const fn number_of(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & (u32::MAX >> 1)
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
    head: ArrayVec<u8, NUMBER_BYTES>,
    /// How much of the frame under way is still to pass.
    rest: usize,
}

impl Frames {
    /// What a client sends: a preface comes first.
    pub(super) fn of_client() -> Self {
        Self { rest: PREFACE_BYTES, ..Self::default() }
    }

    /// Lets bytes pass, and tells what there is in them, until a frame is not to pass: how many bytes do.
    pub(super) fn pass(&mut self, all: &[u8], mut tell: impl FnMut(Told<'_>) -> Pass) -> usize {
        let (mut bytes, mut before) = (all, 0);
        loop {
            let (piece, behind) = bytes.split_at_checked(self.rest).unwrap_or((bytes, &[]));
            self.rest = self.rest.saturating_sub(piece.len());
            if !piece.is_empty() && tell(Told::Piece(piece, self.then())) == Pass::No {
                return before;
            }
            bytes = behind;
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
                let carries = if rest == 0 { Some(Told::Piece(&[], Then::End)) } else { None };
                if std::iter::once(Told::Head(frame)).chain(carries).any(|told| tell(told) == Pass::No) {
                    return before;
                }
            }
        }
    }

    const fn then(&self) -> Then {
        if self.rest == 0 { Then::End } else { Then::More }
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
            frame(8, 0, 1, &[0x80, 0, 0, 9]),
            frame(0, 1, 0x8000_0005, b""),
            frame(9, 0, 5, b"more"),
            frame(77, 0, 0, b"?"),
        ]
        .concat();
        // Each head with all that the frame carries, and how often it ended.
        let told = |piece: usize| {
            let (mut frames, mut told) = (Frames::of_client(), Vec::new());
            for bytes in sent.chunks(piece) {
                let passed = frames.pass(bytes, |part| {
                    match (part, told.last_mut()) {
                        (Told::Head(frame), _) => told.push((frame, Vec::new(), 0)),
                        (Told::Piece(piece, then), Some((_, carried, ends))) => {
                            carried.extend_from_slice(piece);
                            *ends += usize::from(then == Then::End);
                        }
                        (Told::Piece(..), None) => {}
                    }
                    Pass::Yes
                });
                assert_eq!(passed, bytes.len());
            }
            told
        };
        let whole = told(sent.len());
        let frames: Vec<_> = whole.iter().map(|(frame, ..)| *frame).collect();
        let kinds: Vec<_> =
            frames.iter().map(|frame| (frame.kind, frame.stream, frame.ends_stream())).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Control, 0, false),
                (Kind::Headers, 1, true),
                (Kind::Data, 1, false),
                (Kind::Reset(8), 1, false),
                (Kind::Control, 3, false),
                (Kind::Window(9), 1, false),
                (Kind::Data, 5, true),
                (Kind::Other, 5, false),
                (Kind::Control, 0, false),
            ]
        );
        let lengths: Vec<_> = frames.iter().map(|frame| frame.has_its_length()).collect();
        assert_eq!(lengths, [true, true, true, true, false, true, true, true, true]);
        let carried: Vec<_> = whole.iter().map(|(_, carried, ends)| (carried.as_slice(), *ends)).collect();
        let [zeros, sevens] = [&[0; 12][..], &[7; 300]];
        assert_eq!(
            carried,
            [
                (zeros, 1),
                (b"headers", 1),
                (sevens, 1),
                (b"", 1),
                (b"odd", 1),
                (b"", 1),
                (b"", 1),
                (b"more", 1),
                (b"?", 1),
            ]
        );
        let third = |part: Told<'_>| matches!(part, Told::Head(frame) if frame.stream == 3);
        let stopped =
            Frames::default().pass(&sent[24..], |part| if third(part) { Pass::No } else { Pass::Yes });
        assert_eq!(stopped, 21 + 16 + 309 + 13, "what comes before a frame passes");
        let sevens = |part: Told<'_>| matches!(part, Told::Piece([7, ..], _));
        let stopped =
            Frames::default().pass(&sent[24..], |part| if sevens(part) { Pass::No } else { Pass::Yes });
        assert_eq!(stopped, 21 + 16, "nothing passes of a frame whose content is not to");
        for piece in 1..20 {
            assert_eq!(told(piece), whole, "in pieces of {piece}");
        }
    }
}
