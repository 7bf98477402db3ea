//! HTTP/1.1 on the wire, read exactly and forgivingly by a few lines of our own.
//!
//! Clients and the recording upstream share this, so that what is compared was read by neither hyper nor the
//! gateway. Heads and lines are bounded; bodies are handed over as they arrive.
//! Not here: judging what was read (see `oracle`).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

/// The longest head or line that is read, in bytes.
pub const HEAD_BYTES_MAX: usize = 1024 * 1024;

/// A connection and what was read from it and not yet taken.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// A start line and its fields, as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The bytes, with the empty line.
    pub raw: Vec<u8>,
    /// The first line.
    pub start: String,
    /// Names as they were spelled, with their values; bytes that are not UTF-8 are replaced.
    pub fields: Vec<(String, String)>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many more bytes.
    Length(u64),
    /// By its last chunk; so many bytes are left of the present one.
    Chunked(u64),
    /// When the connection ends.
    UntilClose,
}

impl Head {
    fn parse(raw: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Self { raw, start, fields }
    }

    /// The first value of a field, by its name in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// How a body after this head ends, if the head says so.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        if self.field("transfer-encoding").is_some() {
            return Some(Framing::Chunked(0));
        }
        self.field("content-length")?.parse().ok().map(Framing::Length)
    }
}

/// The first value of a field, by its name in any case.
#[must_use]
pub fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let found = fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl Wire<TcpStream> {
    /// Waits until the peer has closed, taking nothing.
    pub async fn gone(&self) {
        while let Ok(ready) = self.stream.ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            // What was sent and is not taken keeps it ready.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A connection of which nothing was read yet.
    pub const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends the sending direction.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The next head; `None` if the connection ended cleanly before one.
    ///
    /// # Errors
    /// The connection ended within a head, or the head is longer than [`HEAD_BYTES_MAX`].
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        match self.until(b"\r\n\r\n").await {
            Ok(raw) => Ok(Some(Head::parse(raw))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.buffer.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next bytes of a body as they arrive; `None` at its end.
    ///
    /// # Errors
    /// The connection ended first, or a chunk has no size.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        match *framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let bytes = self.some(left).await?;
                *framing = Framing::Length(left - bytes.len() as u64);
                Ok(Some(bytes))
            }
            Framing::Chunked(left) => self.chunk(left, framing).await,
            Framing::UntilClose => match self.some(u64::MAX).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    *framing = Framing::Length(0);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        }
    }

    async fn chunk(&mut self, left: u64, framing: &mut Framing) -> io::Result<Option<Vec<u8>>> {
        let left = if left == 0 { self.chunk_size().await? } else { left };
        if left == 0 {
            while self.until(b"\r\n").await?.len() > 2 {}
            *framing = Framing::Length(0);
            return Ok(None);
        }
        let bytes = self.some(left).await?;
        let left = left - bytes.len() as u64;
        if left == 0 {
            self.until(b"\r\n").await?;
        }
        *framing = Framing::Chunked(left);
        Ok(Some(bytes))
    }

    async fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.until(b"\r\n").await?;
        let text = String::from_utf8_lossy(&line);
        let digits = text.trim_end().split(';').next().unwrap_or_default();
        u64::from_str_radix(digits, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Whatever comes next, at least one byte and at most `most`.
    async fn some(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let taken = self.buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(self.buffer.drain(..taken).collect())
    }

    async fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.buffer.drain(..searched + at + mark.len()).collect());
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            searched = self.buffer.len().saturating_sub(mark.len() - 1);
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
