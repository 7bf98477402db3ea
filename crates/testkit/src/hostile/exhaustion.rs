//! Exhaustion: clients that are slow, or say much that means little.
//!
//! Each attack goes on for a second or so; what it may come to is that its own connections end.

use std::time::Duration;

use super::frames::{END_HEADERS, END_STREAM, Frame, Streams, block, kind};
use crate::client::{Ask, Conn};
use crate::upstream::Behavior;
use crate::world::World;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Heads that come a byte at a time.
    SlowHeads,
    /// Bodies that come a byte at a time.
    SlowBodies,
    /// Answers of which nothing is read.
    SlowReaders,
    /// Connections on which nothing is said.
    Idle,
    /// Connections that leave within their head, or with an answer under way.
    Leavers,
    /// A thousand requests at once on one connection, of whose answers nothing is read.
    Pipelining,
    /// A body of chunks of one byte.
    TinyChunks,
    /// Empty lines, and nothing else.
    EmptyLines,
    /// Streams that are reset as soon as they are opened (CVE-2023-44487).
    RapidReset,
    /// Streams that the server has to reset itself (CVE-2025-8671).
    MadeYouReset,
    /// A field block without an end.
    Continuations,
    /// Data frames without data.
    EmptyData,
    /// Pings.
    Pings,
    /// Settings.
    Settings,
    /// Priorities.
    Priorities,
    /// A short block that stands for a long list of fields.
    FieldBomb,
    /// Streams whose answers have no room to come.
    ClosedWindows,
}

/// All of them.
pub const ALL: [Attack; 17] = [
    Attack::SlowHeads,
    Attack::SlowBodies,
    Attack::SlowReaders,
    Attack::Idle,
    Attack::Leavers,
    Attack::Pipelining,
    Attack::TinyChunks,
    Attack::EmptyLines,
    Attack::RapidReset,
    Attack::MadeYouReset,
    Attack::Continuations,
    Attack::EmptyData,
    Attack::Pings,
    Attack::Settings,
    Attack::Priorities,
    Attack::FieldBomb,
    Attack::ClosedWindows,
];

/// How many connections attack at once, where it takes several.
const CONNECTIONS: usize = 40;
/// How often a slow client sends a byte.
const DRIP: Duration = Duration::from_millis(20);
/// How many bytes a slow client sends.
const DRIPS: usize = 40;
/// How many frames a flood has.
const FLOOD: usize = 5_000;
/// How long the end of a connection is waited for.
const END_WAIT: Duration = Duration::from_millis(500);

impl Attack {
    /// Carries it out.
    pub async fn run(self, world: &World, token: &str) {
        match self {
            Self::SlowHeads => slow(world, Ask::get("/plain/x").bearer(token).bytes()).await,
            Self::SlowBodies => {
                let head = Ask::new("POST", "/plain/slow").bearer(token).field("Content-Length", "10000");
                slow_behind(world, head.bytes(), vec![b'x'; DRIPS]).await;
            }
            Self::SlowReaders => slow_readers(world, token).await,
            Self::Idle => drop(connections(world, 200).await),
            Self::Leavers => leavers(world, token).await,
            Self::Pipelining => {
                let mut connection = world.connect().await;
                let asks = Ask::get("/plain/x").bearer(token).bytes().repeat(1_000);
                connection.offer(&asks, END_WAIT).await;
            }
            Self::TinyChunks => {
                let head = Ask::new("POST", "/plain/x").bearer(token).field("Transfer-Encoding", "chunked");
                let body = [&b"1\r\nx\r\n".repeat(10_000)[..], b"0\r\n\r\n"].concat();
                let mut connection = world.connect().await;
                connection.send([head.bytes(), body].concat()).await;
                assert_eq!(connection.answer().await.map(|answer| answer.status), Some(200));
            }
            Self::EmptyLines => {
                let mut connection = world.connect().await;
                connection.offer(&b"\r\n".repeat(100_000), END_WAIT).await;
            }
            Self::ClosedWindows => closed_windows(world, token).await,
            flood => flooded(world, token, flood).await,
        }
    }
}

async fn connections(world: &World, count: usize) -> Vec<Conn> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(world.connect().await);
    }
    connections
}

async fn slow(world: &World, bytes: Vec<u8>) {
    slow_behind(world, Vec::new(), bytes).await;
}

/// Every connection sends the head at once, and of the rest a byte now and then.
async fn slow_behind(world: &World, head: Vec<u8>, rest: Vec<u8>) {
    let mut connections = connections(world, CONNECTIONS).await;
    for connection in &mut connections {
        connection.send(&head).await;
    }
    for byte in rest.iter().take(DRIPS) {
        for connection in &mut connections {
            connection.send([*byte]).await;
        }
        tokio::time::sleep(DRIP).await;
    }
}

async fn slow_readers(world: &World, token: &str) {
    world.upstream().on("/huge", Behavior::Huge(1 << 30));
    let mut connections = connections(world, CONNECTIONS).await;
    for connection in &mut connections {
        connection.send(Ask::get("/plain/huge").bearer(token).bytes()).await;
        connection.head().await;
    }
    tokio::time::sleep(DRIP * 20).await;
}

async fn leavers(world: &World, token: &str) {
    world.upstream().on("/drip", Behavior::Drip);
    let whole = Ask::get("/plain/drip").bearer(token).bytes();
    for number in 0..CONNECTIONS * 5 {
        let mut connection = world.connect().await;
        let part = whole.get(..whole.len() - number % 3 * 7).unwrap_or_default();
        connection.send(part).await;
    }
}

fn request(stream: u32, flags: u8, token: &str, more: &[(&str, &str)]) -> Frame {
    let bearer = format!("Bearer {token}");
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/plain/flood"),
        ("authorization", bearer.as_str()),
    ];
    fields.extend(more);
    Frame::new(kind::HEADERS, flags | END_HEADERS, stream, block(&fields))
}

async fn closed_windows(world: &World, token: &str) {
    world.upstream().on("/flood", Behavior::Huge(1 << 20));
    let mut frames = Streams::to(world).await;
    let windows = [0, 4, 0, 0, 0, 0];
    frames.send_all(&[Frame::new(kind::SETTINGS, 0, 0, windows)]).await;
    for stream in (1..200).step_by(2) {
        frames.send_all(&[request(stream, END_STREAM, token, &[])]).await;
    }
    tokio::time::sleep(DRIP * 20).await;
    world.upstream().on("/flood", Behavior::Answer(200, ""));
}

/// Sends a flood, and reads what comes until the connection ends or falls silent.
async fn flooded(world: &World, token: &str, attack: Attack) {
    let mut frames = Streams::to(world).await;
    let open = request(1, 0, token, &[]);
    let flood: Vec<Frame> = match attack {
        Attack::RapidReset => {
            streams().flat_map(|stream| [request(stream, 0, token, &[]), reset(stream)]).collect()
        }
        Attack::MadeYouReset => streams()
            .flat_map(|stream| {
                let nothing = Frame::new(kind::WINDOW_UPDATE, 0, stream, [0; 4]);
                [request(stream, END_STREAM, token, &[]), nothing]
            })
            .collect(),
        Attack::Continuations => {
            let first = Frame::new(kind::HEADERS, 0, 1, block(&[(":method", "GET")]));
            let part = Frame::new(kind::CONTINUATION, 0, 1, block(&[("x-a", "b".repeat(500))]));
            [first].into_iter().chain(std::iter::repeat_n(part, FLOOD)).collect()
        }
        Attack::EmptyData => [open]
            .into_iter()
            .chain(std::iter::repeat_n(Frame::new(kind::DATA, 0, 1, []), FLOOD * 4))
            .collect(),
        Attack::Pings => vec![Frame::new(kind::PING, 0, 0, [0; 8]); FLOOD * 4],
        Attack::Settings => vec![Frame::new(kind::SETTINGS, 0, 0, [0, 4, 0, 1, 0, 0]); FLOOD],
        Attack::Priorities => vec![Frame::new(kind::PRIORITY, 0, 1, [0, 0, 0, 0, 16]); FLOOD * 4],
        _ => (1..400).step_by(2).map(|stream| bomb(stream, token)).collect(),
    };
    for part in flood.chunks(100) {
        let sent = tokio::time::timeout(END_WAIT, frames.send_all(part)).await;
        if sent.is_err() {
            break;
        }
    }
    let _ = tokio::time::timeout(END_WAIT, frames.until_closed()).await;
}

fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(FLOOD / 2)
}

fn reset(stream: u32) -> Frame {
    Frame::new(kind::RST_STREAM, 0, stream, [0, 0, 0, 8])
}

/// One field of 3000 bytes that is kept in the table, and then named 5000 times by a byte each.
fn bomb(stream: u32, token: &str) -> Frame {
    let mut frame = request(stream, END_STREAM, token, &[]);
    let mut field = block(&[("x-bomb", "b".repeat(3_000))]);
    // A literal that is added to the table, where it then is the newest entry.
    if let Some(first) = field.first_mut() {
        *first = 0x40;
    }
    frame.payload.extend(field);
    frame.payload.extend(std::iter::repeat_n(0xbe, 5_000));
    frame
}

/// A connection that nobody attacks with, to see that there is room for it.
pub async fn is_served(world: &World, token: &str) -> bool {
    let mut frames: Streams = Streams::to(world).await;
    let head = request(1, END_STREAM, token, &[]);
    frames.send_all(&[head]).await;
    let _ = tokio::time::timeout(crate::PATIENCE, frames.until(1)).await;
    frames.streams.get(&1).and_then(|stream| stream.status) == Some(200)
}
