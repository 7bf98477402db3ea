//! One HTTP/1.1 connection of a client, over TLS or in the clear, and when a request may be sent again.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tally::Tally;
use crate::crash::check::Answered;
use crate::crash::client::receipt;
use crate::http::{Head, read_head};

/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How often one request is sent at most.
const TRIES_MAX: usize = 5;

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Where requests go now, as a balancer would say.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) bearer: Arc<str>,
}

/// What every client shares.
pub(crate) struct Shared {
    target: Mutex<Target>,
    tls: Option<TlsConnector>,
    pub(crate) tally: Tally,
}

impl Shared {
    pub(crate) fn new(target: Target, tls: Option<TlsConnector>) -> Arc<Self> {
        Arc::new(Self { target: Mutex::new(target), tls, tally: Tally::default() })
    }

    pub(crate) fn target(&self) -> Target {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New connections go there from now on.
    pub(crate) fn turn(&self, target: Target) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// A connection on which `protocol` is spoken.
    pub(crate) async fn connect(&self, target: &Target, protocol: &str) -> io::Result<Box<dyn Duplex>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut config = (**tls.config()).clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) fields: &'static str,
    pub(crate) body: usize,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), fields: "", body: 0 }
    }
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// Nobody is connected: it was not sent.
    NotConnected,
    /// The connection ended before one byte of an answer.
    Nothing(io::Error),
    /// Part of an answer came.
    Part(io::Error),
}

/// A connection of a client.
pub(crate) struct Connection {
    pub(crate) stream: BufReader<Box<dyn Duplex>>,
    target: Target,
    asked: usize,
}

impl Connection {
    pub(crate) async fn open(shared: &Shared) -> io::Result<Self> {
        let target = shared.target();
        let opened = timeout(PATIENCE, shared.connect(&target, "http/1.1")).await;
        let stream = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { stream: BufReader::new(stream), target, asked: 0 })
    }

    /// Sends a request, a body in pieces, and reads the head of its answer.
    pub(crate) async fn begin(&mut self, ask: &Ask) -> Result<Head, Unanswered> {
        self.asked += 1;
        let length = if ask.body > 0 { format!("Content-Length: {}\r\n", ask.body) } else { String::new() };
        let Target { bearer, .. } = &self.target;
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n{length}{}\r\n",
            ask.method, ask.path, ask.fields
        );
        let sent = async {
            self.stream.write_all(head.as_bytes()).await?;
            let mut left = ask.body;
            while left > 0 {
                let piece = left.min(16 * 1024);
                self.stream.write_all(&vec![b'x'; piece]).await?;
                self.stream.flush().await?;
                left -= piece;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.stream.flush().await
        };
        // An answer may have come before all was sent: reading tells.
        let sent = sent.await;
        let mut bytes = Vec::new();
        match timeout(PATIENCE, read_until_blank(&mut self.stream, &mut bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if bytes.is_empty() => {
                return Err(Unanswered::Nothing(sent.err().unwrap_or(error)));
            }
            Ok(Err(error)) => return Err(Unanswered::Part(error)),
            Err(_) => return Err(Unanswered::Part(io::ErrorKind::TimedOut.into())),
        }
        match read_head(&mut bytes.as_slice()) {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(Unanswered::Part(io::ErrorKind::InvalidData.into())),
            Err(error) => Err(Unanswered::Part(error)),
        }
    }

    /// Sends a request and reads its whole answer.
    async fn ask(&mut self, ask: &Ask) -> Result<Answer, Unanswered> {
        let head = self.begin(ask).await?;
        let read = timeout(PATIENCE, read_body(&mut self.stream, &head)).await;
        match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(body) => Ok(Answer { head, body }),
            Err(error) => Err(Unanswered::Part(error)),
        }
    }

    fn is_kept(&self) -> bool {
        self.asked > 1
    }
}

/// A client that keeps its connection while it may.
#[derive(Default)]
pub(crate) struct Client {
    kept: Option<Connection>,
}

impl Client {
    /// An answer, whole and of the expected status; anything else is a failure, which is noted.
    pub(crate) async fn ask(&mut self, shared: &Shared, ask: &Ask, expected: u16) -> Option<Answer> {
        for _ in 0..TRIES_MAX {
            let (answered, was_kept) = self.try_once(shared, ask).await;
            match answered {
                Ok(answer) => return note(shared, ask, expected, answer),
                Err(Unanswered::NotConnected) => Tally::add(&shared.tally.elsewhere),
                Err(Unanswered::Nothing(_)) if was_kept && ask.method == "GET" => {
                    Tally::add(&shared.tally.retried);
                }
                Err(Unanswered::Nothing(error)) => {
                    shared.tally.fail(format!("{} {}: no answer: {error}", ask.method, ask.path));
                    return None;
                }
                Err(Unanswered::Part(error)) => {
                    shared.tally.fail(format!("{} {}: part of an answer: {error}", ask.method, ask.path));
                    return None;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        shared.tally.fail(format!("{} {}: not connected {TRIES_MAX} times", ask.method, ask.path));
        None
    }

    /// Forgets its connection.
    pub(crate) fn leave(&mut self) {
        self.kept = None;
    }

    async fn try_once(&mut self, shared: &Shared, ask: &Ask) -> (Result<Answer, Unanswered>, bool) {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => match Connection::open(shared).await {
                Ok(connection) => connection,
                Err(_) => return (Err(Unanswered::NotConnected), false),
            },
        };
        let answered = connection.ask(ask).await;
        let was_kept = connection.is_kept();
        let closes = |answer: &Answer| answer.head.field("connection").is_some_and(|value| value == "close");
        if answered.as_ref().is_ok_and(|answer| !closes(answer)) {
            self.kept = Some(connection);
        }
        (answered, was_kept)
    }
}

fn note(shared: &Shared, ask: &Ask, expected: u16, answer: Answer) -> Option<Answer> {
    let status = status(&answer.head);
    match answered(&answer.head, status) {
        Ok(answered) => shared.tally.answer(answered),
        Err(error) => shared.tally.fail(format!("{} {}: {error}", ask.method, ask.path)),
    }
    if status == expected {
        return Some(answer);
    }
    let says = String::from_utf8_lossy(&answer.body);
    shared.tally.fail(format!("{} {}: {status} instead of {expected}: {says}", ask.method, ask.path));
    None
}

pub(crate) fn status(head: &Head) -> u16 {
    head.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

pub(crate) fn answered(head: &Head, status: u16) -> Result<Answered> {
    let id = head.field("x-request-id").context("an answer without `X-Request-Id`")?;
    let receipt = head.field("daypass-receipt").and_then(receipt);
    Ok(Answered { id: id.to_owned(), status, receipt })
}

pub(crate) async fn read_until_blank(
    stream: &mut (impl AsyncBufReadExt + Unpin),
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', bytes).await? == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

pub(crate) async fn read_body(
    stream: &mut (impl AsyncBufReadExt + Unpin),
    head: &Head,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.field("transfer-encoding").is_none() {
        let length = head.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let mut piece = vec![0; length + 2];
        stream.read_exact(&mut piece).await?;
        piece.truncate(length);
        body.append(&mut piece);
        if length == 0 {
            return Ok(body);
        }
    }
}
