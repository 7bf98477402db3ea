//! Differential tests: generated requests and answers go through the proxy to real servers and clients, and whatever
//! any of them saw must be what the journal says.
//!
//! A round is a world of its own, with every backend as an API; it ends with the oracle, which is given what the
//! backends report. Beyond the oracle's rules, each body that a backend read is as long as the row says, and is what was
//! sent wherever the case says what that was.
//! Not here: the command (see `bin/differ`), named cases (see `hostile`).

pub mod answers;
pub mod backends;
pub mod clients;
pub mod grammar;
pub mod minimize;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use journal::{Decision, RequestRow, RowOutcome};
use tokio::task::JoinSet;

use crate::client::{Book, Conn, tcp};
use crate::oracle;
use crate::setup::{ApiSetup, Behind, Setup};
use crate::time::Random;
use crate::upstream::Seen;
use crate::wire::field;
use crate::world::World;
use backends::Backend;
use grammar::Batch;

/// How many connections are open at once.
const CONNECTIONS: usize = 32;
/// How long an answer is waited for: what comes to nothing is cut short by it.
const SILENCE: Duration = Duration::from_millis(60);
/// Connections without an answer beyond that are waited for as long as this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of some rounds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests or answers that were generated.
    pub cases: u64,
    /// Connections of clients.
    pub connections: u64,
    /// Rows by outcome and reason.
    pub rows: BTreeMap<String, u64>,
    /// One request of those that a backend refused to read, for each of its statuses.
    pub samples: BTreeMap<String, String>,
    /// Requests that each backend read whole, or answers that each client got.
    pub seen: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.connections += other.connections;
        let sum = |into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>| {
            from.into_iter().for_each(|(what, count)| *into.entry(what).or_default() += count);
        };
        sum(&mut self.rows, other.rows);
        sum(&mut self.seen, other.seen);
        self.samples.extend(other.samples);
    }

    /// Counts what a backend answered without having reported it: it has refused to read it, and so did nothing of it.
    fn refused_by(&mut self, backend: &Backend, rows: &[RequestRow]) -> Vec<String> {
        let mut unread = Vec::new();
        for row in rows.iter().filter(|row| backend.is_of(row)) {
            let Some(status) = row.upstream_status.filter(|status| *status != 200) else { continue };
            *self.seen.entry(format!("{} refused with {status}", backend.name)).or_default() += 1;
            let sample = format!("{} {} {:?}", row.method, row.path, row.query);
            self.samples.insert(format!("{} {status}", backend.name), sample);
            unread.push(row.id.to_string());
        }
        unread
    }

    pub(crate) fn count_rows(&mut self, rows: &[RequestRow]) {
        for row in rows {
            let outcome = format!("{:?}", row.outcome.unwrap_or(RowOutcome::Unknown)).to_lowercase();
            let reason = row.reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
            *self.rows.entry(format!("{outcome}{reason}")).or_default() += 1;
        }
    }
}

/// What a round came to: its tally, or what was wrong.
pub type Verdict = Result<Tally, Vec<String>>;

/// The APIs of a round: one for each backend.
fn setup(backends: &[Backend], seed: u64) -> Setup {
    let mut setup = Setup::default().running().seed(seed);
    let mut allowed = Vec::new();
    for backend in backends {
        let url = Behind::Url(format!("http://{}", backend.address));
        setup = setup.api(backend.name, ApiSetup::open().behind(url));
        allowed.push(format!("{}:all", backend.name));
    }
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    setup.role("everything", &allowed, &[])
}

/// Sends `cases` generated requests, or a few more, to these backends.
///
/// # Errors
/// Whatever somebody saw otherwise than the journal has it.
pub async fn requests(backends: &mut [Backend], seed: u64, cases: u64) -> Verdict {
    let world = World::of(setup(backends, seed)).await;
    let token = world.fresh_token("alice", "everything").await.secret;
    let random = Random::seeded(seed);
    let (mut sent, mut tally, mut sending) = (0, Tally::default(), JoinSet::new());
    while sent < cases {
        let Some(backend) = random.pick(backends) else { break };
        let batch = grammar::batch(&random, backend.name, sent, &token);
        sent += batch.parts.len() as u64;
        tally.connections += 1;
        while sending.len() >= CONNECTIONS {
            sending.join_next().await;
        }
        sending.spawn(send(world.node().proxy_address(), world.book(), batch));
    }
    while sending.join_next().await.is_some() {}
    tally.cases = sent;
    finish(world, backends, tally).await
}

/// Sends one batch, as the bytes that it is.
///
/// # Errors
/// Whatever somebody saw otherwise than the journal has it.
pub async fn replay(backend: &mut Backend, batch: impl Fn(&str) -> Vec<u8>) -> Verdict {
    let world = World::of(setup(std::slice::from_ref(backend), 1)).await;
    let token = world.fresh_token("alice", "everything").await.secret;
    let batch = Batch { parts: vec![batch(&token)], cuts: Vec::new() };
    send(world.node().proxy_address(), world.book(), batch).await;
    finish(world, std::slice::from_mut(backend), Tally { cases: 1, ..Tally::default() }).await
}

/// Sends a batch in its pieces, and reads answers until the connection ends or falls silent.
async fn send(proxy: std::net::SocketAddr, book: Book, batch: Batch) {
    let mut connection = Conn::over(tcp(proxy).await, book);
    let (bytes, mut from) = (batch.bytes(), 0);
    for cut in batch.cuts.iter().copied().chain([bytes.len()]) {
        connection.send(bytes.get(from..cut).unwrap_or_default()).await;
        from = cut;
        if cut < bytes.len() {
            tokio::task::yield_now().await;
        }
    }
    let mut patience = PATIENCE;
    while let Ok(Some(_)) = tokio::time::timeout(patience, connection.answer()).await {
        patience = SILENCE;
    }
}

async fn finish(mut world: World, backends: &mut [Backend], mut tally: Tally) -> Verdict {
    let mut evidence = world.gather().await;
    tally.count_rows(&evidence.rows);
    let mut wrong = Vec::new();
    for backend in backends {
        let seen = reported(backend, &evidence.rows).await;
        tally.seen.insert(backend.name.to_owned(), seen.len() as u64);
        let unread = tally.refused_by(backend, &evidence.rows);
        evidence.unread.extend(unread);
        let rows = rows_by_id(&evidence.rows);
        wrong.extend(seen.iter().filter_map(|seen| against(backend.name, seen, &rows)));
        // A body that takes in the request behind it has that one's credential in it: it is the client's own doing.
        evidence.seen.extend(seen.into_iter().map(|seen| Seen { body: Vec::new(), ..seen }));
    }
    wrong.extend(oracle::judge(&evidence));
    if wrong.is_empty() { Ok(tally) } else { Err(wrong) }
}

fn rows_by_id(rows: &[RequestRow]) -> BTreeMap<String, &RequestRow> {
    rows.iter().map(|row| (row.id.to_string(), row)).collect()
}

/// What a backend saw, once it has reported whatever the journal says that it answered.
async fn reported(backend: &mut Backend, rows: &[RequestRow]) -> Vec<Seen> {
    let answered = |row: &&RequestRow| backend.is_of(row) && row.upstream_status == Some(200);
    let mut missing: BTreeSet<String> = rows.iter().filter(answered).map(|row| row.id.to_string()).collect();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let new = backend.seen();
        new.iter().for_each(|seen| {
            missing.remove(field(&seen.fields, "x-request-id").unwrap_or_default());
        });
        seen.extend(new);
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// What is wrong with a body: its length against the row, and what it is against what the case says.
fn against(name: &str, seen: &Seen, rows: &BTreeMap<String, &RequestRow>) -> Option<String> {
    let row = rows.get(field(&seen.fields, "x-request-id").unwrap_or_default())?;
    let hex = || seen.body.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if field(&seen.fields, "x-body").is_some_and(|body| body != hex()) {
        return Some(format!("{name} read another body for `{}` than was sent: {:?}", row.path, seen.body));
    }
    let completed = row.decision == Decision::Allow && row.outcome == Some(RowOutcome::Completed);
    let lengths = (row.request_bytes.unwrap_or(0), seen.body_bytes);
    (completed && lengths.0 != lengths.1)
        .then(|| format!("{name}: the body of `{}` is {lengths:?} long", row.path))
}
