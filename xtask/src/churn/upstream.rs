//! The protected side: answers at once, late, with events or an echo, and notes which configuration asked.
//!
//! An id is noted before its answer is sent, so nothing that had an effect is missing here.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::client::{read_body, read_until_blank};
use super::socket::{AGREES, Frame};
use crate::http::{Head, read_head};

/// Events of a stream, and the time between two.
pub(crate) const EVENTS: usize = 12;
const EVENT_PAUSE: Duration = Duration::from_millis(80);
const SLOW_ANSWER: Duration = Duration::from_millis(250);

/// By id, what the configuration in force added to a request.
pub(crate) type Seen = HashMap<String, Vec<String>>;

/// A server on two ports of loopback that lives as long as the tool.
pub(crate) struct Upstream {
    pub(crate) ports: [u16; 2],
    seen: Arc<Mutex<Seen>>,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self> {
        let seen = Arc::new(Mutex::default());
        let mut ports = [0; 2];
        for port in &mut ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
            *port = listener.local_addr().context("no free port")?.port();
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || listen(listener, &seen));
        }
        Ok(Self { ports, seen })
    }

    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn listen(listener: TcpListener, seen: &Arc<Mutex<Seen>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let seen = Arc::clone(seen);
            tokio::task::spawn_local(async move {
                // A connection that ends early shows at the client.
                let _ = serve(stream, &seen).await;
            });
        }
    })
}

async fn serve(stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut bytes = Vec::new();
        read_until_blank(&mut stream, &mut bytes).await?;
        let Some(head) = read_head(&mut bytes.as_slice())? else { return Ok(()) };
        note(&head, seen);
        let body = read_body(&mut stream, &head).await?;
        match head.first.split(' ').nth(1) {
            Some("/v1/events") => events(&mut stream).await?,
            Some("/v1/socket") => return echo(&mut stream).await,
            Some("/v1/slow") => {
                tokio::time::sleep(SLOW_ANSWER).await;
                answer(&mut stream, body.len()).await?;
            }
            _ => answer(&mut stream, body.len()).await?,
        }
    }
}

fn note(head: &Head, seen: &Mutex<Seen>) {
    // A request without an id cannot have a row; it is noted under a name that no row has.
    let id = head.field("x-request-id").unwrap_or("without-id").to_owned();
    let configured = head.field("x-configuration").unwrap_or_default().to_owned();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.entry(id).or_default().push(configured);
}

async fn answer(stream: &mut BufReader<TcpStream>, bytes: usize) -> io::Result<()> {
    let text = format!("{{\"bytes\":{bytes}}}");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}

async fn events(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..EVENTS {
        stream.write_all(b"b\r\ndata: tick\n\r\n").await?;
        stream.write_all(b"1\r\n\n\r\n").await?;
        stream.flush().await?;
        tokio::time::sleep(EVENT_PAUSE).await;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await
}

async fn echo(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{AGREES}\r\n").as_bytes()).await?;
    loop {
        stream.flush().await?;
        let frame = Frame::read(stream).await?;
        stream.write_all(&frame.bare()).await?;
        if frame.is_close() {
            return stream.flush().await;
        }
    }
}
