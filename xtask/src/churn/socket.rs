//! As much of WebSockets (RFC 6455) as an echo needs: small frames, text or close.

use std::io;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::{Ask, Connection, Shared, Unanswered, answered, status};

/// The key of RFC 6455, section 1.3, and what agrees to it.
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
pub(crate) const AGREES: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [1, 2, 3, 4];
/// The longest payload of a frame with a short length.
const PAYLOAD_BYTES_MAX: usize = 125;
const ECHO_WAIT_MAX: Duration = Duration::from_secs(20);

/// A frame.
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const fn is_close(&self) -> bool {
        self.first == CLOSE
    }

    fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let length = u8::try_from(self.payload.len().min(PAYLOAD_BYTES_MAX)).unwrap_or(0);
        let mut bytes = vec![self.first, length | mask.map_or(0, |_| MASKED)];
        bytes.extend(mask.unwrap_or_default().iter().take(mask.map_or(0, |_| 4)));
        let keys = mask.unwrap_or_default().into_iter().cycle();
        bytes.extend(self.payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
        bytes
    }

    /// As a server sends it.
    pub(crate) fn bare(&self) -> Vec<u8> {
        self.bytes(None)
    }

    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let [first, length] = [stream.read_u8().await?, stream.read_u8().await?];
        let mut mask = [0; 4];
        if length & MASKED != 0 {
            stream.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0; usize::from(length & !MASKED).min(PAYLOAD_BYTES_MAX)];
        stream.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.into_iter().cycle()) {
            *byte ^= key;
        }
        Ok(Self { first, payload })
    }
}

/// An open WebSocket of a client.
pub(crate) struct Socket {
    connection: Connection,
}

impl Socket {
    /// Opens one; `None` when nobody is connected.
    pub(crate) async fn open(shared: &Shared) -> Result<Option<Self>> {
        let Ok(mut connection) = Connection::open(shared).await else { return Ok(None) };
        let ask = Ask { fields: HANDSHAKE, ..Ask::get("/sockets/v1/socket") };
        match connection.begin(&ask).await {
            Ok(head) if status(&head) == 101 => {
                shared.tally.answer(answered(&head, 101)?);
                Ok(Some(Self { connection }))
            }
            Ok(head) => bail!("a handshake was answered `{}`", head.first),
            Err(Unanswered::NotConnected) => Ok(None),
            Err(Unanswered::Nothing(error) | Unanswered::Part(error)) => bail!("a handshake: {error}"),
        }
    }

    async fn say(&mut self, frame: &Frame) -> io::Result<Frame> {
        let stream = &mut self.connection.stream;
        stream.write_all(&frame.bytes(Some(MASK))).await?;
        stream.flush().await?;
        timeout(ECHO_WAIT_MAX, Frame::read(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Says something, and hears it again.
    pub(crate) async fn echo(&mut self, text: &str) -> Result<()> {
        let heard = self.say(&Frame { first: TEXT, payload: text.as_bytes().to_vec() }).await?;
        if heard.payload == text.as_bytes() { Ok(()) } else { bail!("another echo than what was said") }
    }

    /// Says goodbye, and hears it.
    pub(crate) async fn close(mut self) -> Result<()> {
        let heard = self.say(&Frame { first: CLOSE, payload: 1000_u16.to_be_bytes().to_vec() }).await?;
        if heard.is_close() { Ok(()) } else { bail!("something else than a close") }
    }
}
