//! HTTP/2 frame by frame, for clients that do what no codec lets them do.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::time::PATIENCE;

/// The kinds of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// `END_STREAM`.
pub const END_STREAM: u8 = 1;
/// `END_HEADERS`.
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or a `GOAWAY`.
    #[must_use]
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        self.payload.get(at..at + 4).map_or(0, |code| u32::from_be_bytes(code.try_into().unwrap()))
    }
}

/// A connection of which every frame is written by hand. The preface and empty settings are sent.
#[derive(Debug)]
pub struct Frames(TcpStream);

/// A frame's bytes.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without compression (RFC 7541, section 6.2.2), of names and values shorter than 127 bytes.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The fields of a request without a body.
#[must_use]
pub fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", path)]
}

impl Frames {
    pub(crate) async fn over(stream: TcpStream) -> Self {
        let mut frames = Self(stream);
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()).await;
        frames.send(frame(SETTINGS, 0, 0, &[])).await;
        frames
    }

    /// Sends bytes as they are. A peer that is gone is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Sends a whole request without a body.
    pub async fn request(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))).await;
    }

    /// The next frame of a kind; `None` if the connection ends before.
    ///
    /// # Panics
    /// Neither in time.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        let reading = async {
            loop {
                let frame = self.read().await.ok()?;
                if frame.kind == kind {
                    return Some(frame);
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a frame, or an end")
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}
