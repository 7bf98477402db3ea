//! Clients: requests as bytes, answers as they came, and the book in which every answer is kept for the oracle.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::time::PATIENCE;
use crate::wire::{Framing, Wire, field};

/// A request to be sent.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields after `Host`, as they are to be spelled.
    pub fields: Vec<(String, String)>,
    /// The body; a `Content-Length` is sent for one that is not empty.
    pub body: Vec<u8>,
}

impl Ask {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), ..Self::default() }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` with a body.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a credential.
    #[must_use]
    pub fn bearer(self, credential: &str) -> Self {
        self.field("Authorization", &format!("Bearer {credential}"))
    }

    /// As a WebSocket handshake.
    #[must_use]
    pub fn upgrade(self) -> Self {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let asked = self.field("Connection", "Upgrade").field("Upgrade", "websocket");
        asked.field("Sec-WebSocket-Version", "13").field("Sec-WebSocket-Key", key)
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: api.example\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        let mut bytes = format!("{text}\r\n").into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// An answer as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which connection it came over.
    pub connection: u64,
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether it was read to its end, and that was its proper end.
    pub whole: bool,
    /// Whether other answers may come over the same connection at once.
    pub multiplexed: bool,
}

impl Answer {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// Its `X-Request-Id`; empty if it has none.
    #[must_use]
    pub fn id(&self) -> &str {
        self.field("x-request-id").unwrap_or_default()
    }

    /// Its body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of a problem that Daypass itself answered; empty for other answers.
    #[must_use]
    pub fn code(&self) -> String {
        let problem = self.json();
        let ours = problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:daypass:problem:"));
        problem["code"].as_str().filter(|_| ours).unwrap_or_default().to_owned()
    }

    /// Its body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Every answer that a client of the proxy got. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    answers: Vec<Answer>,
    connections: u64,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self) -> u64 {
        let mut pages = self.pages();
        pages.connections += 1;
        pages.connections
    }

    /// Keeps an answer, and tells its place.
    pub(crate) fn keep(&self, answer: Answer) -> usize {
        let mut pages = self.pages();
        pages.answers.push(answer);
        pages.answers.len() - 1
    }

    pub(crate) fn replace(&self, place: usize, answer: Answer) {
        if let Some(kept) = self.pages().answers.get_mut(place) {
            *kept = answer;
        }
    }

    /// All answers so far.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.pages().answers.clone()
    }
}

/// One HTTP/1.1 connection, on which a test says exactly what is sent and when.
#[derive(Debug)]
pub struct Conn {
    wire: Wire<Box<dyn Duplex>>,
    book: Option<Book>,
    number: u64,
    reading: Option<(usize, Answer, Framing)>,
    interim: u64,
}

/// Bytes both ways, over whatever they come.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Duplex for S {}

impl Conn {
    pub(crate) fn over(stream: impl Duplex + 'static, book: Book) -> Self {
        let number = book.connect();
        Self { wire: Wire::new(Box::new(stream)), book: Some(book), number, reading: None, interim: 0 }
    }

    /// A connection whose answers are not kept: to the console.
    pub(crate) fn unkept(stream: impl Duplex + 'static) -> Self {
        Self { wire: Wire::new(Box::new(stream)), book: None, number: 0, reading: None, interim: 0 }
    }

    /// Sends bytes as they are. A peer that is gone is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.send(bytes.as_ref()).await;
    }

    /// Sends so many bytes as the peer takes; tells whether it took them all within the time.
    pub async fn offer(&mut self, bytes: &[u8], within: std::time::Duration) -> bool {
        matches!(tokio::time::timeout(within, self.wire.send(bytes)).await, Ok(Ok(())))
    }

    /// Ends the sending direction.
    pub async fn finish(&mut self) {
        let _ = self.wire.finish().await;
    }

    /// Sends a request and reads its answer whole.
    ///
    /// # Panics
    /// The connection closed without one.
    pub async fn ask(&mut self, ask: &Ask) -> Answer {
        self.try_ask(ask).await.expect("an answer")
    }

    /// Sends a request and reads its answer; `None` if the connection ends before one.
    pub async fn try_ask(&mut self, ask: &Ask) -> Option<Answer> {
        self.send(ask.bytes()).await;
        match ask.method.as_str() {
            "HEAD" => self.head_only().await,
            _ => self.answer().await,
        }
    }

    /// The next answer, to a request for a head; `None` if the connection ends before one.
    pub async fn head_only(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        answer.whole = true;
        self.keep(&answer);
        self.reading = None;
        Some(answer)
    }

    /// The next answer, whole; `None` if the connection ends before one.
    ///
    /// # Panics
    /// It does not come within [`PATIENCE`].
    pub async fn answer(&mut self) -> Option<Answer> {
        self.head().await?;
        while self.piece().await.is_some() {}
        self.reading.take().map(|(_, answer, _)| answer)
    }

    /// The head of the next answer; its body can then be read in pieces.
    ///
    /// # Panics
    /// It does not come within [`PATIENCE`].
    pub async fn head(&mut self) -> Option<Answer> {
        loop {
            let head = tokio::time::timeout(PATIENCE, self.wire.head()).await.expect("an answer in time");
            let head = head.ok().flatten()?;
            let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            if (100..200).contains(&status) && status != 101 {
                self.interim += 1;
                continue;
            }
            let bodiless = status == 101 || status == 204 || status == 304;
            let framing =
                if bodiless { Framing::Length(0) } else { head.framing().unwrap_or(Framing::UntilClose) };
            let answer = Answer { connection: self.number, status, fields: head.fields, ..Answer::default() };
            let place = self.book.as_ref().map_or(0, |book| book.keep(answer.clone()));
            self.reading = Some((place, answer.clone(), framing));
            return Some(answer);
        }
    }

    /// The next bytes of the body whose head was read; `None` at its end, proper or not.
    ///
    /// # Panics
    /// Nothing comes within [`PATIENCE`].
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        let (_, answer, framing) = self.reading.as_mut()?;
        let read =
            tokio::time::timeout(PATIENCE, self.wire.piece(framing)).await.expect("more of the answer");
        match read {
            Ok(Some(piece)) => {
                answer.body.extend(&piece);
                return Some(piece);
            }
            Ok(None) => answer.whole = true,
            Err(_) => {}
        }
        let answer = answer.clone();
        self.keep(&answer);
        None
    }

    /// How many interim answers, like `100 Continue`, came so far.
    #[must_use]
    pub const fn interim(&self) -> u64 {
        self.interim
    }

    /// Bytes as they come, after a switch of protocols; `None` when the connection ends.
    ///
    /// # Panics
    /// Nothing comes within [`PATIENCE`].
    pub async fn bytes(&mut self) -> Option<Vec<u8>> {
        let reading = async { self.wire.piece(&mut Framing::UntilClose).await.ok().flatten() };
        tokio::time::timeout(PATIENCE, reading).await.expect("bytes, or an end")
    }

    /// Whether the connection ends without another byte.
    ///
    /// # Panics
    /// Neither within [`PATIENCE`].
    pub async fn is_closed(&mut self) -> bool {
        self.reading = None;
        self.bytes().await.is_none()
    }

    /// Every answer until the connection ends.
    pub async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    fn keep(&self, answer: &Answer) {
        if let (Some(book), Some((place, ..))) = (&self.book, &self.reading) {
            book.replace(*place, answer.clone());
        }
    }
}

/// A connection to an address.
pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
