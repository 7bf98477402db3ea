//! The hostile corpus: named cases as data, and what must become of each.
//!
//! A case is what a client (or an upstream) sends, as bytes. Each is tried in a world, and whatever it is, the
//! request that follows it on its connection is answered as itself or not at all.
//! Not here: what must hold after every world (see `oracle`), and generated cases (see `differ`).

pub mod answers;
pub mod exhaustion;
pub mod frames;
pub mod framing;
pub mod heads;
pub mod http2;
pub mod identity;
pub mod neighbor;
pub mod paths;

use crate::client::{Answer, Conn};
use crate::upstream::Seen;
use crate::world::World;

/// What must become of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The upstream sees this method and target, and this body; the connection goes on.
    Forwarded(String, String),
    /// An answer of Daypass with this status and code; the connection goes on.
    Refused(u16, &'static str),
    /// An answer of Daypass with this status and code, and nothing behind it: the connection ends.
    Closed(u16, &'static str),
    /// The connection ends without an answer.
    Dropped,
}

/// What most of the cases come to.
pub const MALFORMED: Expected = Expected::Closed(400, "request_malformed");

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is tried.
    pub name: String,
    /// What is sent; `{at}` stands for a path of its own below the API, `{auth}` for a line with a credential.
    pub sent: Vec<u8>,
    /// What must come of it.
    pub expected: Expected,
}

impl Case {
    /// A case from its parts.
    #[must_use]
    pub fn new(name: impl Into<String>, sent: impl Into<Vec<u8>>, expected: Expected) -> Self {
        Self { name: name.into(), sent: sent.into(), expected }
    }
}

/// A request that is forwarded as this line, and this body.
#[must_use]
pub fn forwarded(line: &str, body: &str) -> Expected {
    Expected::Forwarded(line.to_owned(), body.to_owned())
}

/// Where a case asks, and where the request does that follows it.
struct Place {
    at: String,
    next: String,
}

impl Place {
    fn of(number: usize) -> Self {
        Self { at: format!("/c{number}"), next: format!("/next{number}") }
    }

    fn fill(&self, sent: &[u8], token: &str) -> Vec<u8> {
        let auth = format!("Authorization: Bearer {token}\r\n");
        let sent = replaced(sent, b"{at}", format!("/plain{}", self.at).as_bytes());
        replaced(&replaced(&sent, b"{auth}", auth.as_bytes()), b"{token}", token.as_bytes())
    }

    fn following(&self, token: &str) -> Vec<u8> {
        let text = b"GET /plain{at} HTTP/1.1\r\nHost: api.example\r\n{auth}\r\n";
        let own = Self { at: self.next.clone(), next: String::new() };
        own.fill(&replaced(text, b"/plain{at}", b"{at}"), token)
    }
}

/// The bytes with every `mark` in them replaced.
#[must_use]
pub fn replaced(bytes: &[u8], mark: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        let (front, back) = rest.split_at(at);
        out.extend_from_slice(front);
        out.extend_from_slice(by);
        rest = back.get(mark.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// How long the answers to a case, and the end of its connection, are waited for.
const END_WAIT: std::time::Duration = std::time::Duration::from_secs(3);

/// Tries the cases over HTTP/1.1, each on a connection of its own with another request behind it.
///
/// # Panics
/// A case came to something else than it must; all of those are named.
pub async fn check(world: &World, cases: Vec<Case>) {
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut wrong = Vec::new();
    let mut came = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let place = Place::of(number);
        let mut connection = world.connect().await;
        let sent = place.fill(&case.sent, &token);
        connection.send([&sent[..], &place.following(&token)].concat()).await;
        let coming = answers(&mut connection, case);
        came.push(tokio::time::timeout(END_WAIT, coming).await.unwrap_or_default());
    }
    let seen = world.upstream().seen();
    for (number, (case, answers)) in cases.iter().zip(&came).enumerate() {
        if let Err(why) = judge(case, answers, &Place::of(number), &seen) {
            wrong.push(format!("{}: {why}\n    {:?}", case.name, String::from_utf8_lossy(&case.sent)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What came back: to a connection that goes on two answers, to one that ends all that came.
async fn answers(connection: &mut Conn, case: &Case) -> Vec<Answer> {
    let first = match case.sent.starts_with(b"HEAD ") {
        true => connection.head_only().await,
        false => connection.answer().await,
    };
    let Some(first) = first else { return Vec::new() };
    let mut answers = vec![first];
    match case.expected {
        Expected::Forwarded(..) | Expected::Refused(..) => answers.extend(connection.answer().await),
        Expected::Closed(..) | Expected::Dropped => answers.extend(connection.answers().await),
    }
    answers
}

fn judge(case: &Case, answers: &[Answer], place: &Place, seen: &[Seen]) -> Result<(), String> {
    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.code())).collect();
    let follows = seen.iter().any(|seen| seen.target == place.next);
    let own: Vec<_> = seen.iter().filter(|seen| is_at(&seen.target, &place.at)).collect();
    let keeps = matches!(case.expected, Expected::Forwarded(..) | Expected::Refused(..));
    if follows != keeps {
        return Err(format!("the next request was forwarded: {follows}; answers {told:?}"));
    }
    match &case.expected {
        Expected::Forwarded(line, body) => {
            let line = line.replace("{at}", &place.at);
            let came: Vec<_> = own.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
            let whole = own.first().is_some_and(|seen| seen.body == body.as_bytes());
            let honest = own.iter().all(|seen| !String::from_utf8_lossy(&seen.raw).contains(identity::CLAIM));
            let right = came == [line.as_str()] && whole && honest && answers.len() == 2;
            if right { Ok(()) } else { Err(format!("not forwarded as `{line}`: {came:?} {whole} {told:?}")) }
        }
        Expected::Refused(status, code) => refused(&told, 2, (*status, code), &own),
        Expected::Closed(status, code) => refused(&told, 1, (*status, code), &own),
        Expected::Dropped if told.is_empty() && own.is_empty() => Ok(()),
        Expected::Dropped => Err(format!("it was answered {told:?}")),
    }
}

fn refused(told: &[(u16, String)], count: usize, by: (u16, &str), own: &[&Seen]) -> Result<(), String> {
    let first = told.first().map(|(status, code)| (*status, code.as_str()));
    // A head is judged before its body is read: what is wrong with a body the upstream may see begin.
    let untouched = own.iter().all(|seen| seen.fields.iter().any(|(name, _)| name == "transfer-encoding"));
    if first == Some(by) && told.len() == count && untouched {
        return Ok(());
    }
    Err(format!("not {by:?}: {told:?}; the upstream saw {} requests", own.len()))
}

/// Whether a target is this path or below it.
fn is_at(target: &str, at: &str) -> bool {
    target.strip_prefix(at).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}
