//! A client of HTTP/2 that sends whatever a case says, in whatever order, and keeps what became of each stream.
//!
//! Field blocks are literals without indexing, so that no name or value is too odd to be sent. Of what comes back
//! no more is read than what became of each stream.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Duplex, tcp};
use crate::frames::PREFACE;
pub use crate::frames::{END_HEADERS, END_STREAM, Frame, block};
use crate::tls;
use crate::world::World;

/// Kinds of frames.
pub mod kind {
    #![expect(missing_docs, reason = "they are named as in RFC 9113, section 6")]
    pub use crate::frames::{CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE};
    pub const PRIORITY: u8 = 2;
    pub const PUSH_PROMISE: u8 = 5;
}

/// The payload begins with the length of its padding.
pub const PADDED: u8 = 8;

/// What became of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// The status of its answer.
    pub status: Option<u16>,
    /// The body of its answer.
    pub body: Vec<u8>,
    /// Whether its answer is whole.
    pub ended: bool,
    /// The error code with which it was reset.
    pub reset: Option<u32>,
}

impl Stream {
    /// The code of a problem that Daypass itself answered; empty for other answers.
    #[must_use]
    pub fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One connection, and what came over it so far.
#[derive(Debug)]
pub struct Streams {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
    /// What became of each stream.
    pub streams: BTreeMap<u32, Stream>,
    /// The error code with which the connection is given up.
    pub goaway: Option<u32>,
    /// Whether the connection has ended.
    pub closed: bool,
}

impl Streams {
    /// A connection to the proxy of a world.
    ///
    /// # Panics
    /// There is none to be had.
    pub async fn to(world: &World) -> Self {
        let address = world.node().proxy_address();
        match world.node().scheme() {
            "https" => Self::over(tls::connect(address, tls::PROXY_NAMES[0], &["h2"]).await.unwrap()).await,
            _ => Self::over(tcp(address).await).await,
        }
    }

    async fn over(stream: impl Duplex + 'static) -> Self {
        let mut own = Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
            streams: BTreeMap::new(),
            goaway: None,
            closed: false,
        };
        own.send([PREFACE, &Frame::new(kind::SETTINGS, 0, 0, []).bytes()].concat()).await;
        own
    }

    /// Sends bytes as they are. A peer that is gone is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Sends frames.
    pub async fn send_all(&mut self, frames: &[Frame]) {
        self.send(frames.iter().flat_map(Frame::bytes).collect::<Vec<_>>()).await;
    }

    /// Reads until it is known what became of a stream, or the connection is given up or ends.
    pub async fn until(&mut self, stream: u32) {
        let told = |own: &Stream| own.ended || own.reset.is_some();
        while !self.streams.get(&stream).is_some_and(told) && self.goaway.is_none() && !self.closed {
            self.read().await;
        }
    }

    /// Reads until the connection ends.
    pub async fn until_closed(&mut self) {
        while !self.closed {
            self.read().await;
        }
    }

    async fn read(&mut self) {
        match self.frame().await {
            Ok(frame) => self.take(frame).await,
            Err(_) => self.closed = true,
        }
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        self.fill(9).await?;
        let head: Vec<u8> = self.buffer.drain(..9).collect();
        let &[high, middle, low, kind, flags, a, b, c, d] = &head[..] else { unreachable!("9 bytes") };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.fill(length).await?;
        let payload: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), payload })
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn take(&mut self, frame: Frame) {
        let code = || frame.payload.last_chunk::<4>().map(|code| u32::from_be_bytes(*code));
        match frame.kind {
            kind::SETTINGS | kind::PING if frame.flags & END_STREAM == 0 => {
                let payload = if frame.kind == kind::PING { frame.payload } else { Vec::new() };
                return self.send(Frame::new(frame.kind, END_STREAM, 0, payload).bytes()).await;
            }
            kind::GOAWAY => {
                let code = frame.payload.get(4..8).and_then(|code| code.first_chunk::<4>());
                self.goaway = code.map(|code| u32::from_be_bytes(*code));
            }
            _ => {}
        }
        let stream = self.streams.entry(frame.stream).or_default();
        match frame.kind {
            kind::HEADERS if stream.status.is_none() => stream.status = status(&frame.payload),
            kind::RST_STREAM => stream.reset = code(),
            kind::DATA => stream.body.extend(&frame.payload),
            _ => {}
        }
        stream.ended |= matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & END_STREAM != 0;
    }
}

/// The status at the beginning of the first field block of a connection (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> Option<u16> {
    match block {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500].get(usize::from(indexed - 0x88)).copied()
        }
        [0x48 | 0x08 | 0x18, length, rest @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?.parse().ok()
        }
        [0x48 | 0x08 | 0x18, length, rest @ ..] => digits(rest.get(..usize::from(length & 0x7f))?),
        _ => None,
    }
}

/// Three digits in the code of RFC 7541, appendix B.
fn digits(coded: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u16, |number, bit| number << 1 | u16::from(*bit));
    let (mut rest, mut status) = (&bits[..], 0);
    for _ in 0..3 {
        let (short, long) = (number(rest.get(..5)?), rest.get(..6).map(number));
        let digit = if short < 3 { short } else { long?.checked_sub(0b01_1001)? + 3 };
        rest = rest.get(if short < 3 { 5 } else { 6 }..)?;
        status = status * 10 + digit;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_every_spelling() {
        assert_eq!(status(&[0x8c, 0x76]), Some(400));
        assert_eq!(status(&[0x48, 3, b'4', b'1', b'3']), Some(413));
        // 6400 is "302" in the examples of RFC 7541, appendix C.6.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x7f]), None);
    }
}
