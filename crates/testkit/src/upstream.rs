//! The reference upstream: a tiny HTTP/1.1 server of our own that keeps what it saw and behaves as scripted.
//!
//! Each answer says in `Upstream-Saw` which request it belongs to, so that a client can tell its own answer.
//! Not here: HTTP/2 (see `h2c`), and any reading of requests by the code under test.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;

use crate::wire::{Framing, Head, Wire};

/// Bytes of one request's body that are kept; more are only counted.
pub const BODY_BYTES_KEPT_MAX: usize = 256 * 1024;
/// The pause between two pieces of an answer without an end.
const DRIP: Duration = Duration::from_millis(5);
/// The size of a piece of a large answer, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What the upstream does with a request, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behavior {
    /// Takes the whole body, then answers with this status and body.
    Answer(u16, &'static str),
    /// Answers at once, and takes the body afterwards.
    Early,
    /// Answers with the head of a stream, and says and takes nothing more.
    Silent,
    /// Takes the head, and nothing else ever; never answers.
    Hang,
    /// Takes the head, and closes.
    Refuse,
    /// Takes the whole body and closes.
    Close,
    /// Closes a connection that has carried a request before, and answers on others.
    CloseKept,
    /// Takes the whole body, sends this as it is, and closes.
    Raw(&'static str),
    /// Takes the whole body, sends this as it is, and keeps the connection.
    Stray(&'static str),
    /// Answers in chunks, with a trailer.
    Chunked(&'static [&'static str]),
    /// Promises so many bytes and sends them as fast as they are taken.
    Huge(u64),
    /// Server-sent events without an end.
    Events,
    /// A download without an end, in chunks.
    Drip,
    /// Switches protocols, and echoes.
    Echo,
}

/// One request as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Which connection it came over.
    pub connection: u64,
    /// Its method.
    pub method: String,
    /// Its target: path and query.
    pub target: String,
    /// Names as spelled, and values.
    pub fields: Vec<(String, String)>,
    /// The bytes of its head; empty over HTTP/2.
    pub raw: Vec<u8>,
    /// The beginning of its body.
    pub body: Vec<u8>,
    /// The length of its body so far.
    pub body_bytes: u64,
    /// How much of a large answer was taken from us so far, in bytes.
    pub sent_bytes: u64,
    /// Whether its connection was closed without a byte of an answer.
    pub unanswered: bool,
}

/// What an upstream keeps, and how it behaves.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    seen: Vec<Seen>,
    script: BTreeMap<String, Behavior>,
    connections: u64,
    pub(crate) streams_max: u32,
}

/// A handle on [`Desk`] that connections share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Desk>>);

impl Shared {
    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.desk().seen.clone()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self) -> u64 {
        let mut desk = self.desk();
        desk.connections += 1;
        desk.connections
    }

    pub(crate) fn streams_max(&self) -> u32 {
        self.desk().streams_max
    }

    /// Keeps a request, and tells its place.
    pub(crate) fn keep(&self, seen: Seen) -> usize {
        let mut desk = self.desk();
        desk.seen.push(seen);
        desk.seen.len() - 1
    }

    pub(crate) fn keep_body(&self, place: usize, bytes: &[u8]) {
        if let Some(seen) = self.desk().seen.get_mut(place) {
            seen.body_bytes += bytes.len() as u64;
            let room = BODY_BYTES_KEPT_MAX.saturating_sub(seen.body.len()).min(bytes.len());
            seen.body.extend(bytes.iter().take(room));
        }
    }

    fn keep_sent(&self, place: usize, bytes: u64) {
        if let Some(seen) = self.desk().seen.get_mut(place) {
            seen.sent_bytes += bytes;
        }
    }

    fn keep_unanswered(&self, place: usize) {
        if let Some(seen) = self.desk().seen.get_mut(place) {
            seen.unanswered = true;
        }
    }

    pub(crate) fn behavior(&self, target: &str) -> Behavior {
        let path = target.split('?').next().unwrap_or_default();
        let scripted = self.desk().script.get(path).cloned();
        scripted.unwrap_or(Behavior::Answer(200, "{\"ok\":true}"))
    }
}

/// A running upstream; gone when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Shared,
    serving: JoinSet<()>,
}

impl Upstream {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// This machine has no port.
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one at an address.
    ///
    /// # Panics
    /// Somebody else has it.
    pub async fn start_at(address: SocketAddr) -> Self {
        let shared = Shared::default();
        let (address, serving) = listen(address, shared.clone(), serve).await;
        Self { address, shared, serving }
    }

    /// Starts one that speaks HTTP/2 by prior knowledge and answers 200 to everything.
    ///
    /// # Panics
    /// This machine has no port.
    pub async fn start_h2c() -> Self {
        Self::start_h2c_for(crate::h2c::STREAMS_MAX).await
    }

    /// The same, for so many requests at once on one connection.
    ///
    /// # Panics
    /// This machine has no port.
    pub async fn start_h2c_for(streams: u32) -> Self {
        let shared = Shared::default();
        shared.desk().streams_max = streams;
        let (address, serving) =
            listen(SocketAddr::from(([127, 0, 0, 1], 0)), shared.clone(), crate::h2c::serve).await;
        Self { address, shared, serving }
    }

    /// Lets it be reached at a Unix socket, too.
    ///
    /// # Panics
    /// There can be no socket at that path.
    pub fn listen_at(&mut self, path: &Path) {
        let (listener, address) = (UnixListener::bind(path).unwrap(), self.address);
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(address).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides what becomes of requests for this path.
    pub fn on(&self, path: &str, behavior: Behavior) {
        self.shared.desk().script.insert(path.to_owned(), behavior);
    }

    pub(crate) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen()
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.desk().connections
    }

    /// Requests for this path so far.
    #[must_use]
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        let at = |seen: &Seen| seen.target.split('?').next() == Some(path);
        self.seen().into_iter().filter(at).collect()
    }
}

/// Accepts on a free port and serves every connection by itself.
pub(crate) async fn listen<F>(
    address: SocketAddr,
    shared: Shared,
    serve: fn(TcpStream, Shared) -> F,
) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let _ = stream.set_nodelay(true);
            connections.spawn(serve(stream, shared.clone()));
        }
    });
    (address, serving)
}

async fn serve(stream: TcpStream, shared: Shared) {
    let connection = shared.connect();
    // A connection that fails concerns its request only; the client sees what came of it.
    let _ = converse(Wire::new(stream), connection, &shared).await;
}

async fn converse(mut wire: Wire<TcpStream>, connection: u64, shared: &Shared) -> io::Result<()> {
    let mut is_kept = false;
    while let Some(head) = wire.head().await? {
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let behavior = shared.behavior(&target);
        let fields = head.fields.clone();
        let raw = head.raw.clone();
        let seen = Seen { connection, method, target, fields, raw, ..Seen::default() };
        let place = shared.keep(seen);
        let mut body = Taking { place, framing: head.framing().unwrap_or(Framing::Length(0)), shared };
        if behavior == Behavior::CloseKept && std::mem::replace(&mut is_kept, true) {
            shared.keep_unanswered(place);
            return Ok(());
        }
        is_kept = true;
        if !behave(&mut wire, &behavior, &head, &mut body).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// A body that is being taken.
struct Taking<'s> {
    place: usize,
    framing: Framing,
    shared: &'s Shared,
}

impl Taking<'_> {
    async fn take(&mut self, wire: &mut Wire<TcpStream>) -> io::Result<()> {
        while let Some(piece) = wire.piece(&mut self.framing).await? {
            self.shared.keep_body(self.place, &piece);
        }
        Ok(())
    }
}

/// Whether the connection stays.
async fn behave(
    wire: &mut Wire<TcpStream>,
    behavior: &Behavior,
    head: &Head,
    body: &mut Taking<'_>,
) -> io::Result<bool> {
    let id = head.field("x-request-id").unwrap_or_default();
    let empty = head.start.starts_with("HEAD ");
    match *behavior {
        Behavior::Answer(status, text) => {
            body.take(wire).await?;
            wire.send(whole(status, id, text, empty).as_bytes()).await?;
        }
        Behavior::Early => {
            wire.send(whole(200, id, "early", empty).as_bytes()).await?;
            body.take(wire).await?;
        }
        Behavior::Silent => {
            wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            wire.gone().await;
            return Ok(false);
        }
        Behavior::Hang => {
            wire.gone().await;
            return Ok(false);
        }
        Behavior::Refuse => {
            body.shared.keep_unanswered(body.place);
            return Ok(false);
        }
        Behavior::Close => {
            body.take(wire).await?;
            body.shared.keep_unanswered(body.place);
            return Ok(false);
        }
        Behavior::CloseKept => {
            body.take(wire).await?;
            wire.send(whole(200, id, "{\"ok\":true}", empty).as_bytes()).await?;
        }
        Behavior::Raw(text) => {
            body.take(wire).await?;
            if text.is_empty() {
                body.shared.keep_unanswered(body.place);
            }
            wire.send(text.as_bytes()).await?;
            return Ok(false);
        }
        Behavior::Stray(text) => {
            body.take(wire).await?;
            wire.send(text.as_bytes()).await?;
        }
        Behavior::Chunked(chunks) => {
            body.take(wire).await?;
            chunked(wire, id, chunks).await?;
        }
        Behavior::Huge(bytes) => {
            body.take(wire).await?;
            huge(wire, id, bytes, body).await?;
        }
        Behavior::Events => {
            let kind = "content-type: text/event-stream\r\n";
            drip(wire, id, kind, "data: tick\n\n").await?;
        }
        Behavior::Drip => drip(wire, id, "", "drop").await?,
        Behavior::Echo => echo(wire, head, id).await?,
    }
    Ok(true)
}

fn whole(status: u16, id: &str, text: &str, empty: bool) -> String {
    let (length, text) = (text.len(), if empty { "" } else { text });
    format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\nupstream-saw: {id}\r\ncontent-length: {length}\r\n\r\n{text}"
    )
}

async fn chunked(wire: &mut Wire<TcpStream>, id: &str, chunks: &[&str]) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nupstream-saw: {id}\r\ntransfer-encoding: chunked\r\n\r\n");
    wire.send(head.as_bytes()).await?;
    for chunk in chunks {
        wire.send(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await?;
    }
    wire.send(b"0\r\ndaypass-subject: user:trailer\r\n\r\n").await
}

async fn huge(wire: &mut Wire<TcpStream>, id: &str, bytes: u64, body: &Taking<'_>) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nupstream-saw: {id}\r\ncontent-length: {bytes}\r\n\r\n");
    wire.send(head.as_bytes()).await?;
    let piece = vec![b'x'; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let next = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        wire.send(piece.get(..next).unwrap_or_default()).await?;
        left -= next as u64;
        body.shared.keep_sent(body.place, next as u64);
    }
    Ok(())
}

/// Never ends by itself: the connection must.
async fn drip(wire: &mut Wire<TcpStream>, id: &str, fields: &str, text: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}upstream-saw: {id}\r\ntransfer-encoding: chunked\r\n\r\n");
    wire.send(head.as_bytes()).await?;
    loop {
        wire.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
        tokio::time::sleep(DRIP).await;
    }
}

/// What agrees to a key (RFC 6455, section 4.2.2).
fn accept(key: &str) -> String {
    let hashed = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, hashed.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

async fn echo(wire: &mut Wire<TcpStream>, head: &Head, id: &str) -> io::Result<()> {
    let accept = accept(head.field("sec-websocket-key").unwrap_or_default());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nupstream-saw: {id}\r\n\r\n"
    );
    wire.send(head.as_bytes()).await?;
    while let Some(piece) = wire.piece(&mut Framing::UntilClose).await? {
        wire.send(&piece).await?;
    }
    Ok(())
}
