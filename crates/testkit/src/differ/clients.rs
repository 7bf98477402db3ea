//! Real clients of the proxy: what each of them reads of an answer, kept in the world's book like any other.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::{Answer, Ask, Book, Conn, tcp};
use crate::world::World;

const NODE: &str = include_str!("../../../../xtask/differ/client.js");
const PYTHON: &str = include_str!("../../../../xtask/differ/client.py");

/// The clients there are.
pub const NAMES: [&str; 5] = ["own", "hyper", "hyper-h2", "python", "node"];

/// One client.
#[derive(Debug)]
pub enum Client {
    /// The testkit's own reader.
    Own,
    /// hyper's client.
    Hyper,
    /// hyper's client, over HTTP/2.
    HyperH2,
    /// A program that reads asks and writes answers, a line of JSON each.
    Scripted(Box<Scripted>),
}

/// See [`Client::Scripted`].
#[derive(Debug)]
pub struct Scripted {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// Starts the client of this name, of [`NAMES`].
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(name: &str) -> Result<Self, String> {
        match name {
            "own" => Ok(Self::Own),
            "hyper" => Ok(Self::Hyper),
            "hyper-h2" => Ok(Self::HyperH2),
            "python" => scripted("python", "python3", PYTHON),
            "node" => scripted("node", "node", NODE),
            other => Err(format!("there is no client `{other}`")),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Hyper => "hyper",
            Self::HyperH2 => "hyper-h2",
            Self::Scripted(scripted) => scripted.name,
        }
    }

    /// What it is answered to each of these, `None` where that was nothing.
    ///
    /// # Panics
    /// It does not answer.
    pub async fn ask(&mut self, world: &World, proxy: SocketAddr, asks: &[Ask]) -> Vec<Option<Answer>> {
        match self {
            Self::Own => own(world.book(), proxy, asks).await,
            Self::Hyper => hyper(world.book(), proxy, asks).await,
            Self::HyperH2 => h2(world, asks).await,
            Self::Scripted(_) => {
                let Self::Scripted(mut scripted) = std::mem::replace(self, Self::Own) else { unreachable!() };
                let (book, asks) = (world.book(), asks.to_vec());
                // The upstream must be able to answer meanwhile.
                let asking = tokio::task::spawn_blocking(move || {
                    let answers = scripted.ask(&book, proxy, &asks);
                    (scripted, answers)
                });
                let (scripted, answers) = asking.await.unwrap();
                *self = Self::Scripted(scripted);
                answers
            }
        }
    }
}

async fn own(book: Book, proxy: SocketAddr, asks: &[Ask]) -> Vec<Option<Answer>> {
    let mut connection = Conn::over(tcp(proxy).await, book.clone());
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        let mut answer = connection.try_ask(ask).await;
        if answer.is_none() {
            // The proxy had ended the connection with the answer before.
            connection = Conn::over(tcp(proxy).await, book.clone());
            answer = connection.try_ask(ask).await;
        }
        if !answer.as_ref().is_some_and(|answer| answer.whole && answer.field("connection") != Some("close"))
        {
            connection = Conn::over(tcp(proxy).await, book.clone());
        }
        answers.push(answer);
    }
    answers
}

async fn h2(world: &World, asks: &[Ask]) -> Vec<Option<Answer>> {
    let mut connection = world.connect_h2().await;
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        answers.push(connection.try_send(ask).await);
    }
    answers
}

async fn hyper(book: Book, proxy: SocketAddr, asks: &[Ask]) -> Vec<Option<Answer>> {
    let mut answers = Vec::with_capacity(asks.len());
    let mut driving = JoinSet::new();
    let mut open: Option<(http1::SendRequest<Empty<Bytes>>, u64)> = None;
    for ask in asks {
        let (mut sender, number) = match open.take().filter(|(sender, _)| !sender.is_closed()) {
            Some(open) => open,
            None => {
                let (sender, connection) = http1::handshake(TokioIo::new(tcp(proxy).await)).await.unwrap();
                driving.spawn(async move { drop(connection.await) });
                (sender, book.connect())
            }
        };
        let answer = exchange(&mut sender, ask, number, &book).await;
        if answer.as_ref().is_some_and(|answer| answer.whole) && sender.ready().await.is_ok() {
            open = Some((sender, number));
        }
        answers.push(answer);
        while driving.try_join_next().is_some() {}
    }
    answers
}

async fn exchange(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    ask: &Ask,
    connection: u64,
    book: &Book,
) -> Option<Answer> {
    let mut request =
        hyper::Request::builder().method(ask.method.as_str()).uri(&ask.target).header("host", "a");
    for (name, value) in &ask.fields {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.ok()?;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut answer = Answer { connection, status: response.status().as_u16(), fields, ..Answer::default() };
    if let Ok(body) = response.into_body().collect().await {
        answer.body = body.to_bytes().to_vec();
        answer.whole = true;
    }
    book.keep(answer.clone());
    Some(answer)
}

fn scripted(name: &'static str, program: &str, text: &str) -> Result<Client, String> {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("client");
    std::fs::write(&script, text).unwrap();
    let mut command = Command::new(program);
    let child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("{program}: {error}"))?;
    let (input, output) = (child.stdin.take().expect("an input"), child.stdout.take().expect("an output"));
    let output = BufReader::new(output);
    Ok(Client::Scripted(Box::new(Scripted { name, child, input, output, _folder: folder })))
}

impl Scripted {
    /// It has a thread to itself for as long as it takes; the node has its own.
    fn ask(&mut self, book: &Book, proxy: SocketAddr, asks: &[Ask]) -> Vec<Option<Answer>> {
        let mut connections = std::collections::BTreeMap::new();
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            let fields: serde_json::Map<String, Value> =
                ask.fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let line = json!({ "port": proxy.port(), "target": ask.target, "fields": fields });
            writeln!(self.input, "{line}").unwrap();
            self.input.flush().unwrap();
            let mut said = String::new();
            self.output.read_line(&mut said).unwrap();
            let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("`{said}`: {error}"));
            let answer = read(&said, |number| *connections.entry(number).or_insert_with(|| book.connect()));
            answer.iter().for_each(|answer| {
                book.keep(answer.clone());
            });
            answers.push(answer);
        }
        answers
    }
}

/// What a program says of an answer: `null` for none.
fn read(said: &Value, mut connection: impl FnMut(u64) -> u64) -> Option<Answer> {
    let status = u16::try_from(said["status"].as_u64()?).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields = said["fields"].as_array()?.iter().map(|field| (text(&field[0]), text(&field[1]))).collect();
    let body = said["body"].as_str()?.chars().map(|one| u8::try_from(u32::from(one)).unwrap_or(0)).collect();
    let connection = connection(said["connection"].as_u64()?);
    Some(Answer { connection, status, fields, body, whole: said["whole"].as_bool()?, ..Answer::default() })
}
