//! The clients of a run: of every kind, at work in a thread of their own until they are told to end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::client::{Ask, Client, Shared};
use super::multiplexed;
use super::socket::Socket;
use super::tally::Tally;
use super::upstream::EVENTS;

const UPLOAD_BYTES: usize = 128 * 1024;
/// Echoes of a WebSocket that is opened and closed again.
const ECHOES: usize = 8;
/// How many handshakes of long WebSockets are under way at once.
const OPENING_MAX: usize = 16;

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    working: JoinHandle<Result<()>>,
    long: mpsc::Sender<Long>,
}

/// What the long WebSockets are told.
enum Long {
    /// Each says something.
    Echo(std::sync::mpsc::Sender<Result<usize>>),
}

impl Load {
    /// Starts the clients, and opens so many WebSockets that stay.
    pub(crate) fn start(shared: Arc<Shared>, websockets: usize) -> Result<Self> {
        let (long, told) = mpsc::channel(1);
        let clients = shared.clone();
        let working = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, work(clients, websockets, told));
            Ok(())
        });
        Ok(Self { shared, working, long })
    }

    /// How many of the long WebSockets are alive: each was made to answer.
    pub(crate) fn echo(&self) -> Result<usize> {
        let (reply, alive) = std::sync::mpsc::channel();
        self.long.blocking_send(Long::Echo(reply)).ok().context("the clients have ended")?;
        alive.recv().context("the clients have ended")?
    }

    /// Lets every client finish what it does, and end.
    pub(crate) fn end(self) -> Result<()> {
        self.shared.tally.end();
        drop(self.long);
        match self.working.join() {
            Ok(worked) => worked,
            Err(_) => bail!("the clients died"),
        }
    }
}

async fn work(shared: Arc<Shared>, websockets: usize, mut told: mpsc::Receiver<Long>) {
    let mut clients = JoinSet::new();
    for number in 0..4 {
        clients.spawn_local(keep(shared.clone(), Ask::get(format!("/load/v1/items/{number}")), 5));
    }
    for _ in 0..2 {
        clients.spawn_local(anew(shared.clone()));
        clients.spawn_local(multiplexed::run(shared.clone()));
        let upload = Ask { method: "POST", body: UPLOAD_BYTES, ..Ask::get("/load/v1/uploads") };
        clients.spawn_local(keep(shared.clone(), upload, 20));
        clients.spawn_local(keep(shared.clone(), Ask::get("/load/v1/slow"), 5));
        clients.spawn_local(events(shared.clone()));
        clients.spawn_local(converse(shared.clone()));
    }
    let mut long = open_long(&shared, websockets).await;
    while let Some(Long::Echo(reply)) = told.recv().await {
        let _ = reply.send(echo_all(&mut long).await);
    }
    for socket in long {
        if let Err(error) = socket.close().await {
            shared.tally.fail(format!("a long WebSocket: {error:#}"));
        }
    }
    while clients.join_next().await.is_some() {}
}

/// One request after the other on a connection that is kept.
async fn keep(shared: Arc<Shared>, ask: Ask, pause_ms: u64) {
    let mut client = Client::default();
    while !shared.tally.is_over() {
        // An upload cannot be sent again: real clients send it where it was not sent before.
        if ask.method == "POST" {
            client.leave();
        }
        client.ask(&shared, &ask, 200).await;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Each request on a connection of its own.
async fn anew(shared: Arc<Shared>) {
    let ask = Ask::get("/load/v1/items/1");
    while !shared.tally.is_over() {
        Client::default().ask(&shared, &ask, 200).await;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Streams of events, each read to its end.
async fn events(shared: Arc<Shared>) {
    let mut client = Client::default();
    while !shared.tally.is_over() {
        let Some(answer) = client.ask(&shared, &Ask::get("/load/v1/events"), 200).await else { continue };
        let events = answer.body.windows(2).filter(|bytes| bytes == b"\n\n").count();
        if events == EVENTS {
            Tally::add(&shared.tally.streams);
        } else {
            shared.tally.fail(format!("a stream of {events} events instead of {EVENTS}"));
        }
    }
}

/// WebSockets, opened, used and closed.
async fn converse(shared: Arc<Shared>) {
    while !shared.tally.is_over() {
        match conversation(&shared).await {
            Ok(true) => Tally::add(&shared.tally.streams),
            Ok(false) => Tally::add(&shared.tally.elsewhere),
            Err(error) => shared.tally.fail(format!("a WebSocket: {error:#}")),
        }
    }
}

async fn conversation(shared: &Shared) -> Result<bool> {
    let Some(mut socket) = Socket::open(shared).await? else { return Ok(false) };
    for number in 0..ECHOES {
        socket.echo(&number.to_string()).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    socket.close().await?;
    Ok(true)
}

async fn open_long(shared: &Arc<Shared>, count: usize) -> Vec<Socket> {
    let (mut long, mut opening) = (Vec::with_capacity(count), JoinSet::new());
    let mut left = count;
    while left > 0 || !opening.is_empty() {
        while left > 0 && opening.len() < OPENING_MAX {
            left -= 1;
            let shared = shared.clone();
            opening.spawn_local(async move { Socket::open(&shared).await });
        }
        match opening.join_next().await {
            Some(Ok(Ok(Some(socket)))) => long.push(socket),
            Some(Ok(Err(error))) => shared.tally.fail(format!("a long WebSocket: {error:#}")),
            _ => shared.tally.fail("a long WebSocket was not opened".to_owned()),
        }
    }
    long
}

async fn echo_all(long: &mut [Socket]) -> Result<usize> {
    let mut alive = 0;
    for (number, socket) in long.iter_mut().enumerate() {
        socket.echo(&number.to_string()).await.with_context(|| format!("WebSocket {number}"))?;
        alive += 1;
    }
    Ok(alive)
}
