//! Generated answers of an upstream, and how clients are given them through the proxy.
//!
//! Each answer follows from its number, so that every client that asks for it is answered alike.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::clients::Client;
use super::{Tally, Verdict};
use crate::client::{Answer, Ask};
use crate::oracle;
use crate::setup::{ApiSetup, Behind, Setup};
use crate::time::Random;
use crate::upstream::{Seen, Shared, listen};
use crate::wire::Wire;
use crate::world::World;

/// What no client may ever be given.
const STOLEN: &str = "HTTP/1.1 200 OK\r\nupstream-saw: stolen\r\ncontent-length: 6\r\n\r\nstolen";

/// Whether an upstream closes behind its answer, and for how long it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    /// After [`LINGER`], if nobody asks for more.
    Linger,
    Keep,
}

/// How long somebody may wait for what an answer promised and never says.
const LINGER: std::time::Duration = std::time::Duration::from_millis(15);

/// The answer of a number to the request of an id.
fn generated(number: u64, id: &str) -> (Vec<u8>, Then) {
    let random = Random::seeded(number);
    let mut then = if random.below(4) == 0 { Then::Close } else { Then::Keep };
    let status = picked(
        &random,
        &[
            "200 OK",
            "200",
            "201 Created",
            "204 No Content",
            "304 Not Modified",
            "404 Not Found",
            "500 Oops",
            "206 Part",
            "799 Odd",
        ],
    );
    let mut lines = vec![format!("HTTP/1.1 {status}")];
    for _ in 0..random.below(4) {
        lines.push(
            picked(
                &random,
                &[
                    "X-A: b",
                    "x-b:c",
                    "Set-Cookie: a=b",
                    "Connection: x-a",
                    "Keep-Alive: timeout=5",
                    "X-Request-Id: x",
                    "Daypass-Receipt: x",
                    "Trailer: x",
                    "X-C:",
                    "Via: x",
                ],
            )
            .to_owned(),
        );
    }
    let body = if status.starts_with("204") || status.starts_with("304") {
        ""
    } else {
        picked(&random, &["", "ok", "hello, world", "0\r\n\r\n", STOLEN])
    };
    let framed = match random.below(5) {
        0 | 1 => {
            lines.push(format!("Content-Length: {}", body.len()));
            body.to_owned()
        }
        2 | 3 => {
            lines.push("Transfer-Encoding: chunked".to_owned());
            let chunk =
                if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
            format!("{chunk}{}", picked(&random, &["0\r\n\r\n", "0;a\r\n\r\n", "0\r\nX-T: u\r\n\r\n"]))
        }
        _ => {
            then = Then::Close;
            body.to_owned()
        }
    };
    let mut framed = framed.into_bytes();
    for _ in 0..random.pick(&[0, 0, 1, 1, 2]).copied().unwrap_or(0) {
        change(&random, &mut lines, &mut framed);
        then = if then == Then::Keep { Then::Linger } else { then };
    }
    if random.below(5) == 0 {
        framed.extend(STOLEN.bytes());
    }
    let interim = picked(
        &random,
        &["", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"],
    );
    let mut bytes = format!("{interim}{}\r\n", lines.join("\r\n")).into_bytes();
    // Nothing is done to the line by which a client can tell its own answer.
    let witness = bytes.len()..bytes.len() + "upstream-saw: ".len() + id.len() + 2;
    bytes.extend(format!("upstream-saw: {id}\r\n\r\n").bytes());
    bytes.extend(framed);
    let at = random.below(bytes.len());
    if random.below(8) == 0 && !witness.contains(&at) {
        let odd = random.pick(b"\0\t\n\r\x0b :;,0\x80\xff").copied().unwrap_or(0);
        match random.below(3) {
            0 => bytes.insert(at, odd),
            1 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        then = Then::Close;
    }
    (bytes, then)
}

fn picked<'t>(random: &Random, several: &[&'t str]) -> &'t str {
    random.pick(several).copied().unwrap_or_default()
}

fn change(random: &Random, lines: &mut Vec<String>, framed: &mut Vec<u8>) {
    let length = framed.len();
    let at = random.below(lines.len());
    match random.below(6) {
        0 => lines.push(format!(
            "{} {}",
            picked(random, &["Content-Length:", "content-length :", "CONTENT-LENGTH:", "Content_Length:"]),
            picked(random, &["0", "2", "6", "+2", "-1", "2, 2", "0x2", "", "18446744073709551617", "9"])
        )),
        1 => lines.push(format!(
            "{} {}",
            picked(random, &["Transfer-Encoding:", "transfer-encoding :", "Transfer_Encoding:"]),
            picked(
                random,
                &[
                    "chunked",
                    "CHUNKED",
                    "identity",
                    "gzip, chunked",
                    "chunked, chunked",
                    "\u{b}chunked",
                    "x",
                    ""
                ]
            )
        )),
        2 => {
            *framed = picked(
                random,
                &[
                    "2\nok\n0\n\n",
                    "0x2\r\nok\r\n0\r\n\r\n",
                    "2\r\nok0\r\n\r\n",
                    "5\r\nok",
                    "2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n",
                    "2 \r\nok\r\n0\r\n\r\n",
                    "ffffffffffffffff\r\nok",
                ],
            )
            .into();
        }
        3 => framed.truncate(random.below(length + 1)),
        4 => {
            if let Some(line) = lines.get_mut(at) {
                line.push_str(picked(
                    random,
                    &["\r\n folded", "\rX: y", "\nX: y", "\0", " ", "\u{e9}", "\r"],
                ));
            }
        }
        _ => {
            if let Some(line) = lines.get_mut(0) {
                *line = picked(
                    random,
                    &[
                        "HTTP/1.0 200 OK",
                        "HTTP/1.1 101 Switching Protocols",
                        "HTTP/1.2 200 OK",
                        "HTTP/2 200",
                        "http/1.1 200 OK",
                        "HTTP/1.1  200 OK",
                        "HTTP/1.1 20 OK",
                        "HTTP/1.1 2000 OK",
                        "ICY 200 OK",
                        "",
                    ],
                )
                .to_owned();
            }
        }
    }
}

/// An upstream whose answer follows from the number at the end of the path.
async fn serve(stream: TcpStream, shared: Shared) {
    let connection = shared.connect();
    let mut wire = Wire::new(stream);
    let mut then = Then::Keep;
    loop {
        let patience = if then == Then::Linger { LINGER } else { crate::PATIENCE };
        let Ok(Ok(Some(head))) = tokio::time::timeout(patience, wire.head()).await else { return };
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let number = target.trim_start_matches("/a").parse().unwrap_or(0);
        let id = head.field("x-request-id").unwrap_or_default().to_owned();
        let bytes;
        (bytes, then) = generated(number, &id);
        shared.keep(Seen {
            connection,
            method,
            target,
            fields: head.fields,
            raw: head.raw,
            unanswered: bytes.is_empty(),
            ..Seen::default()
        });
        if wire.send(&bytes).await.is_err() || then == Then::Close {
            return;
        }
    }
}

/// Has each client ask for `cases` generated answers, from the one of this number on.
///
/// # Errors
/// Whatever somebody was given otherwise than the journal has it.
pub async fn answers(clients: &mut [Client], first: u64, cases: u64) -> Verdict {
    let shared = Shared::default();
    let (address, serving) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), shared.clone(), serve).await;
    let api = ApiSetup::open().behind(Behind::Url(format!("http://{address}")));
    let setup = Setup::default().running().seed(first).api("gen", api).role("gen-all", &["gen:all"], &[]);
    let mut world = World::of(setup).await;
    let token = world.fresh_token("alice", "gen-all").await.secret;
    let asks: Vec<Ask> =
        (first..first + cases).map(|number| Ask::get(&format!("/gen/a{number}")).bearer(&token)).collect();
    let mut tally = Tally { cases: cases * clients.len() as u64, ..Tally::default() };
    let proxy: SocketAddr = world.node().proxy_address();
    let mut given: BTreeMap<String, Vec<(&'static str, Answer)>> = BTreeMap::new();
    for client in clients {
        let answers = client.ask(&world, proxy, &asks).await;
        tally.seen.insert(client.name().to_owned(), answers.iter().flatten().count() as u64);
        for (ask, answer) in asks.iter().zip(answers) {
            let answer = answer.map(|answer| (client.name(), answer));
            given.entry(ask.target.clone()).or_default().extend(answer);
        }
    }
    let mut evidence = world.gather().await;
    drop::<JoinSet<()>>(serving);
    evidence.seen.extend(shared.seen());
    tally.count_rows(&evidence.rows);
    let mut wrong = oracle::judge(&evidence);
    wrong.extend(given.iter().filter_map(|(target, answers)| differ(target, answers)));
    if wrong.is_empty() { Ok(tally) } else { Err(wrong) }
}

/// Whether two clients were given different answers, each as a whole one.
fn differ(target: &str, answers: &[(&'static str, Answer)]) -> Option<String> {
    let whole = |answer: &Answer| answer.whole && answer.code().is_empty();
    let mut wholes = answers.iter().filter(|(_, answer)| whole(answer));
    let (name, first) = wholes.next()?;
    let body = |answer: &Answer| (answer.status, answer.body.clone());
    let (other, second) = wholes.find(|(_, answer)| body(answer) != body(first))?;
    let text = |answer: &Answer| format!("{} {:?}", answer.status, answer.text());
    Some(format!("{target}: {name} was given {}, and {other} {}", text(first), text(second)))
}
