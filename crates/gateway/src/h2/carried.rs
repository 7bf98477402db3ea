//! What a client's frames carry, read as it passes, as far as the codec calls a fault of it by another name than
//! RFC 9113 has for it, or overlooks it: settings, and header blocks.
//!
//! Not here: what they say, which is the codec's to find out.

use arrayvec::ArrayVec;

use super::frames::{Frame, Then};
use super::hpack::{Blocks, Holds, Undecodable};

/// The length of a setting (RFC 9113, section 6.5.1).
const SETTING_BYTES: usize = 6;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// The length of a priority in front of a header block (RFC 9113, section 6.2).
const PRIORITY_BYTES: usize = 5;
/// The most that a window may hold (RFC 9113, section 6.9.1).
pub(super) const WINDOW_BYTES_MAX: u32 = u32::MAX >> 1;

/// What a client's frames carry.
#[derive(Debug, Default)]
pub(super) struct Carried {
    of: Of,
    blocks: Blocks,
    section: Section,
}

/// What the frame under way carries.
#[derive(Debug, Default)]
enum Of {
    Settings(ArrayVec<u8, SETTING_BYTES>),
    /// A piece of a header block, and whether it is the last.
    Block(Fragment, Then),
    #[default]
    Nothing,
}

/// Which fields of a request a header block is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Section {
    #[default]
    Head,
    Trailers,
}

impl Carried {
    /// A frame begins, at a place where one of its kind may be.
    pub(super) fn begin(&mut self, frame: Frame, section: Section) {
        self.of = if frame.is_settings() {
            Of::Settings(ArrayVec::new())
        } else if frame.is_of_block() {
            Of::Block(Fragment::of(frame), if frame.opens_block() { Then::More } else { Then::End })
        } else {
            Of::Nothing
        };
        if frame.is_of_block() && !frame.continues_block() {
            self.section = section;
        }
    }

    /// Reads a piece of what the frame carries.
    ///
    /// # Errors
    /// It breaks a rule of the connection.
    pub(super) fn read(&mut self, piece: &[u8], then: Then) -> Result<(), h2::Reason> {
        match &mut self.of {
            Of::Settings(setting) => read_settings(setting, piece),
            Of::Block(fragment, block) => {
                self.blocks.read(fragment.read(piece))?;
                if (then, *block) != (Then::End, Then::End) {
                    return Ok(());
                }
                match (self.blocks.end()?, self.section) {
                    // RFC 9113, sections 8.1 and 5.4.1: a fault of a stream may be taken for one of its connection.
                    (Holds::Pseudo, Section::Trailers) => Err(h2::Reason::PROTOCOL_ERROR),
                    _ => Ok(()),
                }
            }
            Of::Nothing => Ok(()),
        }
    }
}

/// RFC 9113, section 4.3.
impl From<Undecodable> for h2::Reason {
    fn from(_: Undecodable) -> Self {
        Self::COMPRESSION_ERROR
    }
}

/// RFC 9113, section 6.5.2.
fn read_settings(setting: &mut ArrayVec<u8, SETTING_BYTES>, piece: &[u8]) -> Result<(), h2::Reason> {
    for byte in piece {
        if setting.try_push(*byte).is_err() {
            setting.clear();
        }
        let [a, b, value @ ..] = setting.as_slice() else { continue };
        let Ok(value) = <[u8; 4]>::try_from(value) else { continue };
        if u16::from_be_bytes([*a, *b]) == INITIAL_WINDOW_SIZE && u32::from_be_bytes(value) > WINDOW_BYTES_MAX
        {
            return Err(h2::Reason::FLOW_CONTROL_ERROR);
        }
        setting.clear();
    }
    Ok(())
}

/// The piece of a header block in a frame, among what else the frame carries.
#[derive(Debug)]
struct Fragment {
    /// Whether the length of the padding comes first.
    padded: bool,
    /// What comes before it.
    skipped: usize,
    left: usize,
}

impl Fragment {
    fn of(frame: Frame) -> Self {
        let skipped = if frame.has_priority() { PRIORITY_BYTES } else { 0 };
        Self { padded: frame.is_padded(), skipped, left: frame.length.saturating_sub(skipped) }
    }

    /// What of a piece of the frame belongs to the block. Padding that is longer than its frame leaves nothing: the
    /// codec refuses that.
    fn read<'b>(&mut self, mut piece: &'b [u8]) -> &'b [u8] {
        if self.padded
            && let Some((padding, rest)) = piece.split_first()
        {
            self.padded = false;
            self.left = self.left.saturating_sub(usize::from(*padding).saturating_add(1));
            piece = rest;
        }
        let skipped = self.skipped.min(piece.len());
        self.skipped = self.skipped.saturating_sub(skipped);
        let piece = piece.get(skipped..).unwrap_or_default();
        let piece = piece.get(..self.left).unwrap_or(piece);
        self.left = self.left.saturating_sub(piece.len());
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    use http::{HeaderMap, HeaderValue, Request};
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::h2::frames::{Frames, Pass, Told};

    /// What a client's bytes break, read in pieces of that size.
    fn broken(sent: &[u8], size: usize) -> Option<h2::Reason> {
        let (mut frames, mut carried, mut last) = (Frames::of_client(), Carried::default(), 0);
        let mut broken = None;
        for piece in sent.chunks(size) {
            frames.pass(piece, |told| {
                match told {
                    Told::Head(frame) => {
                        carried.begin(
                            frame,
                            if frame.stream > last { Section::Head } else { Section::Trailers },
                        );
                        last = last.max(frame.stream);
                    }
                    Told::Piece(piece, then) => broken = broken.or(carried.read(piece, then).err()),
                }
                Pass::Yes
            });
        }
        broken
    }

    /// What a client's codec sends for requests of such fields, each with trailers.
    async fn sent(requests: &[Vec<(String, Vec<u8>)>]) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut send, connection) = h2::client::handshake(near).await.unwrap();
        let mut connection = Box::pin(connection);
        for fields in requests {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                let mut value = HeaderValue::from_bytes(value).unwrap();
                value.set_sensitive(value.len().is_multiple_of(3));
                map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
            let mut request = Request::get("http://api.example/plain/x").body(()).unwrap();
            request.headers_mut().clone_from(&map);
            let (_, mut body) = send.send_request(request, false).unwrap();
            body.send_trailers(map).unwrap();
        }
        poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_ready())).await;
        drop((send, connection));
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        sent
    }

    fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let value = prop::collection::vec(prop_oneof![32_u8..127, 128_u8..=255], 0..60);
        let name = prop_oneof!["x-[a-d]", "accept|cookie|user-agent|x-long-[a-z]{30}"];
        prop::collection::vec((name, value), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_a_codec_sends_breaks_nothing(requests in prop::collection::vec(fields(), 1..40), size in 1..700_usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sent = runtime.block_on(sent(&requests));
            prop_assert!(sent.len() > requests.len() * 20, "{}", sent.len());
            prop_assert_eq!(broken(&sent, size), None);
        }
    }
}
