//! Clients that send until the process under them dies, and keep what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use super::check::Answered;
use crate::http::{Answer, Connection};

/// One request in this many is of an operation that the key's role does not hold.
const REFUSED_EVERY: usize = 10;

/// What one client remembers at most in a round; then it stops.
const ANSWERS_MAX: usize = 200_000;

/// Clients at work.
pub(crate) struct Crowd {
    killed: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Vec<Answered>>>>,
}

impl Crowd {
    pub(crate) fn start(count: usize, port: u16, key: &str) -> Self {
        let killed = Arc::new(AtomicBool::new(false));
        let clients = (0..count).map(|number| {
            let (killed, bearer) = (Arc::clone(&killed), format!("Bearer {key}"));
            thread::spawn(move || send(number, port, &bearer, &killed))
        });
        Self { clients: clients.collect(), killed }
    }

    /// From now on a broken connection is expected. Called just before the kill.
    pub(crate) fn expect_the_end(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Every answer of every client. Fails when one of them saw an error before the kill, or an
    /// answer that no request here asks for.
    pub(crate) fn join(self) -> Result<Vec<Answered>> {
        let mut all = Vec::new();
        for client in self.clients {
            let Ok(answers) = client.join() else { bail!("a client died") };
            all.append(&mut answers?);
        }
        Ok(all)
    }
}

fn send(number: usize, port: u16, bearer: &str, killed: &AtomicBool) -> Result<Vec<Answered>> {
    let mut answers = Vec::new();
    let over = || killed.load(Ordering::SeqCst);
    let mut connection = match Connection::open(port) {
        Err(_) if over() => return Ok(answers),
        opened => opened.context("cannot connect before the kill")?,
    };
    for turn in number..number.saturating_add(ANSWERS_MAX) {
        let refused = turn % REFUSED_EVERY == 0;
        let (method, expected) = if refused { ("DELETE", 403) } else { ("GET", 200) };
        let path = format!("/bench/v1/items/{turn}");
        let answer = match connection.ask(method, &path, &[("Authorization", bearer)]) {
            Err(_) if over() => break,
            answer => answer.with_context(|| format!("`{method} {path}` failed before the kill"))?,
        };
        // Once the end has begun an answer may be cut or a refusal of another kind; it counts all the same.
        let strange = answer.status != expected || answer.body.is_none();
        let kept = answered(&answer)?;
        if strange && !over() {
            bail!("`{method} {path}` was answered {} before the kill: {}", answer.status, text(&answer));
        }
        answers.push(kept);
        if answer.body.is_none() {
            break;
        }
    }
    Ok(answers)
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned()
}

fn answered(answer: &Answer) -> Result<Answered> {
    let id = answer.head.field("x-request-id").context("an answer without `X-Request-Id`")?;
    let receipt = answer.head.field("daypass-receipt").and_then(receipt);
    Ok(Answered { id: id.to_owned(), status: answer.status, receipt })
}

/// Node and leaf of `NODE/LEAF/HASH`.
pub(crate) fn receipt(text: &str) -> Option<(String, u64)> {
    let (rest, _hash) = text.rsplit_once('/')?;
    let (node, leaf) = rest.rsplit_once('/')?;
    Some((node.to_owned(), leaf.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_node_leaf_and_hash() {
        assert_eq!(receipt("n1/42/abc"), Some(("n1".to_owned(), 42)));
        for text in ["", "n1/42", "n1/x/abc", "42"] {
            assert_eq!(receipt(text), None, "{text}");
        }
    }
}
