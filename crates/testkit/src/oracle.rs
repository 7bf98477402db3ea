//! The oracle: what must hold after every test that sends traffic, hostile or not.
//!
//! O1 what the upstream saw equals exactly one row marked allowed · O2 nothing outside policy reached it · O3 each
//! client got only its own answers · O4 identity headers arrive once, with the proxy's values · O5 no credential
//! anywhere · O6 nothing follows a framing refusal · O7 every answer has a row with a reason, or is counted without a
//! receipt · O8 nothing leaks.
//! Pure but for [`leaks`]: everything else judges an [`Evidence`] that the world gathered.

use std::collections::{BTreeMap, BTreeSet};

use access::Timestamp;
use daypass::node::Node;
use journal::{Decision, RequestRow, RowOutcome};

use crate::client::Answer;
use crate::reference::Policy;
use crate::setup::UPSTREAM_KEY;
use crate::upstream::Seen;
use crate::vitals;
use crate::wire::field;

/// All that was seen of a world.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What clients spoke to the proxy: `http` or `https`.
    pub scheme: &'static str,
    /// The policies that were in force, each from a revision on, ascending.
    pub policies: Vec<(u64, Policy)>,
    /// What each credential stands for, by its id.
    pub holdings: BTreeMap<String, Holding>,
    /// What the upstreams saw.
    pub seen: Vec<Seen>,
    /// The ids of requests that an upstream answered without having read them: it says of itself that it did not.
    pub unread: BTreeSet<String>,
    /// The journal.
    pub rows: Vec<RequestRow>,
    /// What clients were answered.
    pub answers: Vec<Answer>,
    /// Every credential that was handed out.
    pub secrets: Vec<String>,
    /// Where no credential may stand: what it is, and its bytes.
    pub texts: Vec<(String, Vec<u8>)>,
    /// What was still open when nobody needed it any more.
    pub leaks: Vec<String>,
    /// How often the node was killed.
    pub crashes: u64,
    /// How many answers the journal has counted in place of rows.
    pub counted: u64,
}

/// What a credential stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Whose it is.
    pub subject: String,
    /// The roles it gives.
    pub roles: Vec<String>,
    /// What it is narrowed to; empty for no narrowing.
    pub only: Vec<String>,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Everything that is wrong; nothing if all holds.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = Rows::of(evidence);
    o1(evidence, &rows, &mut wrong);
    o2(evidence, &mut wrong);
    o3(evidence, &mut wrong);
    o4(evidence, &rows, &mut wrong);
    o5(evidence, &mut wrong);
    o6(evidence, &mut wrong);
    o7(evidence, &rows, &mut wrong);
    wrong.extend(evidence.leaks.iter().map(|leak| format!("O8 {leak}")));
    wrong
}

/// The rows of each request, by its id.
struct Rows<'e>(BTreeMap<String, Vec<&'e RequestRow>>);

impl<'e> Rows<'e> {
    fn of(evidence: &'e Evidence) -> Self {
        let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in &evidence.rows {
            rows.entry(row.id.to_string()).or_default().push(row);
        }
        Self(rows)
    }

    fn with(&self, id: &str) -> &[&'e RequestRow] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

impl Evidence {
    fn policy_at(&self, revision: u64) -> Option<&Policy> {
        let before = self.policies.iter().rev().find(|(from, _)| *from <= revision);
        before.map(|(_, policy)| policy)
    }
}

fn subject_of(row: &RequestRow) -> String {
    format!("{}:{}", row.subject_kind.as_deref().unwrap_or("?"), row.subject.as_deref().unwrap_or("?"))
}

/// Every request line the upstream saw equals exactly one row marked allowed, and none was sent twice.
fn o1(evidence: &Evidence, rows: &Rows<'_>, wrong: &mut Vec<String>) {
    let mut ids: BTreeMap<_, Vec<&Seen>> = BTreeMap::new();
    for seen in &evidence.seen {
        let id = field(&seen.fields, "x-request-id").unwrap_or_default();
        ids.entry(id).or_default().push(seen);
        match rows.with(id) {
            [row] => compare(seen, row, wrong),
            rows => wrong.push(format!(
                "O1 {} rows for the forwarded `{} {}`",
                rows.len(),
                seen.method,
                seen.target
            )),
        }
    }
    for (id, times) in ids.iter().filter(|(_, times)| !is_once(times)) {
        wrong.push(format!("O1 the request `{id}` was forwarded {} times", times.len()));
    }
    let forwarded = |row: &&RequestRow| {
        let completed = row.outcome == Some(RowOutcome::Completed) && !is_preflight(row);
        completed || row.upstream_status.is_some()
    };
    for row in evidence.rows.iter().filter(forwarded) {
        let id = row.id.to_string();
        if !ids.contains_key(id.as_str()) && !evidence.unread.contains(&id) {
            wrong.push(format!("O1 the row `{}` says that an upstream answered, and none saw it", row.id));
        }
    }
}

/// Only what may be done twice, and was met with a closed connection, is sent a second time.
fn is_once(times: &[&Seen]) -> bool {
    match times {
        [] | [_] => true,
        [first, second] => {
            let idempotent = matches!(first.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
            idempotent && (first.unanswered || second.unanswered)
        }
        _ => false,
    }
}

/// Without checks of an upstream's health: nobody asked for those, and they carry nobody's name.
pub(crate) fn asked(mut seen: Vec<Seen>) -> Vec<Seen> {
    let named = ["x-request-id", "daypass-subject", "x-forwarded-for"];
    let is_check = |seen: &Seen| {
        field(&seen.fields, "user-agent") == Some("daypass-health")
            && named.iter().all(|name| field(&seen.fields, name).is_none())
    };
    seen.retain(|seen| !is_check(seen));
    seen
}

/// What the proxy answers browsers itself: it lets nobody through.
fn is_preflight(row: &RequestRow) -> bool {
    row.rule.as_deref() == Some("cors")
        && row.method == "OPTIONS"
        && row.subject.is_none()
        && row.upstream.is_none()
}

fn compare(seen: &Seen, row: &RequestRow, wrong: &mut Vec<String>) {
    let (path, query) = match seen.target.split_once('?') {
        Some((path, query)) => (path, Some(names_of(query))),
        None => (seen.target.as_str(), None),
    };
    let said = |name: &str| field(&seen.fields, name).unwrap_or_default().to_owned();
    let pairs = [
        ("decision", "Allow".to_owned(), format!("{:?}", row.decision)),
        ("method", seen.method.clone(), row.method.clone()),
        ("path", path.to_owned(), row.path.clone()),
        ("query", format!("{query:?}"), format!("{:?}", row.query)),
        ("host", said("x-forwarded-host"), row.host.clone().unwrap_or_default()),
        ("subject", said("daypass-subject"), subject_of(row)),
    ];
    for (what, upstream, journal) in pairs {
        if upstream != journal {
            wrong.push(format!(
                "O1 the {what} of `{}` is `{upstream}` upstream and `{journal}` in the journal",
                row.id
            ));
        }
    }
}

/// The names of a query's fields without their values: `*` for what may be a value itself.
fn names_of(query: &str) -> String {
    let plain = |name: &str| {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "_.-$[]:".contains(c));
        name.len() <= 64 && !name.contains(odd)
    };
    let name = |field: &str| match field.split_once('=') {
        Some((name, _)) if plain(name) => format!("{name}="),
        Some(_) => "*=".to_owned(),
        None if field.is_empty() => String::new(),
        None => "*".to_owned(),
    };
    query.split('&').map(name).collect::<Vec<_>>().join("&")
}

/// What was let through, a second opinion lets through, too: its role, its narrowing, its time.
fn o2(evidence: &Evidence, wrong: &mut Vec<String>) {
    let let_through = |row: &&RequestRow| row.decision == Decision::Allow && !is_preflight(row);
    for row in evidence.rows.iter().filter(let_through) {
        let said = format!("`{} {}` of {}", row.method, row.path, subject_of(row));
        let Some(holding) = row.credential.as_ref().and_then(|id| evidence.holdings.get(id)) else {
            wrong.push(format!("O2 {said} was let through with a credential that nobody handed out"));
            continue;
        };
        let api = row.api.as_deref().unwrap_or_default();
        let policy = evidence.policy_at(row.revision.number());
        let allows =
            |policy: &Policy| policy.allows(&holding.roles, &holding.only, api, &row.method, &row.path);
        if !policy.is_some_and(allows) {
            wrong.push(format!("O2 {said} was let through outside its roles {:?}", holding.roles));
        }
        if row.time >= holding.until {
            wrong.push(format!("O2 {said} was let through at {}, after its end {}", row.time, holding.until));
        }
        if subject_of(row) != holding.subject {
            wrong.push(format!("O2 {said} used the credential of {}", holding.subject));
        }
    }
}

/// An answer that an upstream gave says for which request; it must be the client's own.
fn o3(evidence: &Evidence, wrong: &mut Vec<String>) {
    for answer in &evidence.answers {
        if let Some(saw) = answer.field("upstream-saw")
            && saw != answer.id()
        {
            wrong.push(format!("O3 the answer to `{}` was given to `{}`", saw, answer.id()));
        }
    }
}

/// By folded name: what the proxy says of each request, and how often it may.
fn o4(evidence: &Evidence, rows: &Rows<'_>, wrong: &mut Vec<String>) {
    for seen in &evidence.seen {
        let id = field(&seen.fields, "x-request-id").unwrap_or_default();
        let Some(row) = rows.with(id).first().copied() else { continue };
        let host = row.host.clone().unwrap_or_default();
        let (client, once) = (row.client_ip.clone(), "\0once".to_owned());
        let forwarded = match client.contains(':') {
            true => format!("for=\"[{client}]\""),
            false => format!("for={client}"),
        };
        // Only a proxy in front that is believed makes a client of another machine, and says how it was asked.
        let told = field(&seen.fields, "x-forwarded-proto").filter(|told| ["http", "https"].contains(told));
        let scheme = told.filter(|_| client != "127.0.0.1").unwrap_or(evidence.scheme);
        let mut expected = BTreeMap::from([
            ("daypass-subject", subject_of(row)),
            ("x-request-id", row.id.to_string()),
            ("x-forwarded-host", host.clone()),
            ("x-forwarded-for", client.clone()),
            ("x-forwarded-proto", scheme.to_owned()),
            ("forwarded", format!("{forwarded};host=\"{host}\";proto={scheme}")),
            ("traceparent", once),
        ]);
        expected.extend(row.grant_id.clone().map(|grant| ("daypass-grant", grant)));
        check_identity(seen, &expected, wrong);
    }
}

fn check_identity(seen: &Seen, expected: &BTreeMap<&str, String>, wrong: &mut Vec<String>) {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in &seen.fields {
        let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
        let speaks =
            folded.starts_with("daypass-") || folded.starts_with("x-forwarded-") || folded == "x-real-ip";
        if speaks || expected.contains_key(folded.as_str()) {
            found.entry(folded).or_default().push(value);
        }
    }
    for (name, value) in expected {
        let values = found.remove(*name).unwrap_or_default();
        if values.len() != 1 || (value != "\0once" && values != [value.as_str()]) {
            wrong.push(format!("O4 `{name}` of `{}` is {values:?} upstream, not `{value}`", seen.target));
        }
    }
    for (name, values) in found {
        wrong.push(format!("O4 `{name}` of `{}` reached the upstream: {values:?}", seen.target));
    }
}

/// No credential in any place that is not the answer which handed it out.
fn o5(evidence: &Evidence, wrong: &mut Vec<String>) {
    let upstream_key = UPSTREAM_KEY.trim_start_matches("Bearer ");
    let upstream = evidence.seen.iter().flat_map(|seen| {
        let fields = seen.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
        let text = format!("{}{}", fields.collect::<String>(), String::from_utf8_lossy(&seen.raw));
        [
            ("the upstream".to_owned(), text),
            ("a body upstream".to_owned(), String::from_utf8_lossy(&seen.body).into()),
        ]
    });
    let clients = evidence.answers.iter().map(|answer| {
        let text = format!("{:?}{}", answer.fields, answer.text());
        ("an answer".to_owned(), text)
    });
    let texts =
        evidence.texts.iter().map(|(what, bytes)| (what.clone(), String::from_utf8_lossy(bytes).into()));
    let own = upstream.chain(clients.clone()).chain(texts.clone());
    for (place, text) in own {
        let bare = |secret: &&String| secret.get(4..).is_some_and(|bare| text.contains(bare));
        if evidence.secrets.iter().any(|secret| bare(&secret)) {
            wrong.push(format!("O5 a credential stands in {place}"));
        }
    }
    for (place, _) in clients.chain(texts).filter(|(_, text): &(String, String)| text.contains(upstream_key))
    {
        wrong.push(format!("O5 the upstream's own credential stands in {place}"));
    }
}

/// The codes after which nothing on an HTTP/1.1 connection may be read as a request.
const FRAMING: [&str; 6] = [
    "request_malformed",
    "headers_too_large",
    "uri_too_long",
    "body_too_large",
    "method_unsupported",
    "upgrade_refused",
];

fn o6(evidence: &Evidence, wrong: &mut Vec<String>) {
    let mut closed = BTreeMap::new();
    for answer in evidence.answers.iter().filter(|answer| !answer.multiplexed) {
        if let Some(code) = closed.get(&answer.connection) {
            wrong.push(format!("O6 a {} answer followed `{code}` on one connection", answer.status));
        }
        let code = answer.code();
        let by_codec = answer.id().is_empty() && answer.status >= 400;
        if FRAMING.contains(&code.as_str()) || by_codec {
            closed.insert(answer.connection, code);
        }
    }
}

/// Every answer has one row that agrees with it, or no receipt and its place in the journal's counts; and every row has
/// its end.
fn o7(evidence: &Evidence, rows: &Rows<'_>, wrong: &mut Vec<String>) {
    let mut counted = evidence.counted;
    for answer in evidence.answers.iter().filter(|answer| !answer.id().is_empty()) {
        match rows.with(answer.id()) {
            [] if counted > 0 && answer.field("daypass-receipt").is_none() => counted -= 1,
            [row] => agree(answer, row, evidence.crashes, wrong),
            rows => wrong.push(format!(
                "O7 {} rows for the answer {} {} `{}`",
                rows.len(),
                answer.status,
                answer.code(),
                answer.id()
            )),
        }
    }
    let nameless = evidence.answers.iter().filter(|answer| answer.id().is_empty()).count();
    let by_codec = evidence.rows.iter().filter(|row| row.method == "?").count();
    if nameless as u64 > by_codec as u64 + counted {
        wrong.push(format!("O7 {nameless} answers have no id, and {by_codec} rows tell of the codec"));
    }
    for row in &evidence.rows {
        let reason = matches!(row.outcome, Some(RowOutcome::Refused | RowOutcome::Failed | RowOutcome::Cut));
        if row.outcome.is_none() || (reason && row.reason.is_none()) {
            wrong.push(format!(
                "O7 the row `{}` has outcome {:?} and reason {:?}",
                row.id, row.outcome, row.reason
            ));
        }
    }
}

fn agree(answer: &Answer, row: &RequestRow, crashes: u64, wrong: &mut Vec<String>) {
    if row.outcome == Some(RowOutcome::Unknown) && crashes > 0 {
        return;
    }
    if row.status != Some(answer.status) {
        wrong.push(format!(
            "O7 `{}` was answered {}, and its row says {:?}",
            row.id, answer.status, row.status
        ));
    }
    let code = answer.code();
    if !code.is_empty() && row.reason.as_deref() != Some(code.as_str()) {
        wrong.push(format!("O7 `{}` was answered `{code}`, and its row says {:?}", row.id, row.reason));
    }
    // Only an answer to `HEAD` may be a refusal without saying so in its body.
    let refused = answer.body.is_empty() && row.method == "HEAD" && row.outcome == Some(RowOutcome::Refused);
    let relayed = code.is_empty() && answer.whole && answer.status != 101 && !refused;
    if relayed && row.outcome != Some(RowOutcome::Completed) {
        wrong.push(format!("O7 `{}` was answered whole, and its row says {:?}", row.id, row.outcome));
    }
}

/// Whether a thread is one of a node's.
fn is_of_node(name: &str) -> bool {
    name == "journal" || name == "ledger" || name.starts_with("proxy-")
}

/// What a node that was stopped has left behind: sockets at its port, files of its directory, and its threads, where
/// they can be nobody else's.
pub(crate) async fn remains(port: u16, data: &std::path::Path, company: Company) -> Vec<String> {
    settled(async || {
        let mut left = vitals::open_below(data);
        left.extend(
            (sockets(port, |state| OURS.contains(&state)) > 0).then(|| format!("sockets at port {port}")),
        );
        if company == Company::Alone {
            let threads = vitals::threads().into_iter().filter(|name| is_of_node(name));
            left.extend(threads.map(|name| format!("the thread `{name}`")));
        }
        left.into_iter().map(|what| format!("a stopped node has left {what}")).collect()
    })
    .await
}

/// Whether other worlds share the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    Alone,
    Others,
}

/// What is still open in a node when its clients have gone: exchanges, and connections nobody is at.
pub(crate) async fn leaks(node: &Node) -> Vec<String> {
    settled(async || open(node).await).await
}

/// Looks until nothing is left, for as long as that may take; what is left then.
async fn settled(mut look: impl AsyncFnMut() -> Vec<String>) -> Vec<String> {
    let mut left = Vec::new();
    let settled = async {
        loop {
            left = look().await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), settled).await;
    left
}

async fn open(node: &Node) -> Vec<String> {
    let exchanges = node.gateway().open_exchanges().await;
    let forsaken = sockets(node.proxy_address().port(), |state| state == CLOSE_WAIT);
    let mut left = Vec::new();
    if exchanges > 0 {
        left.push(format!("{exchanges} exchanges are open and nobody waits for them"));
    }
    if forsaken > 0 {
        left.push(format!("{forsaken} connections are open whose clients have closed"));
    }
    left
}

/// As `proc_net_tcp(5)` says it: the peer has closed, and we have not.
const CLOSE_WAIT: &str = "08";
/// Open, to be accepted from, or left by the peer: all others are the system's alone.
const OURS: [&str; 3] = ["01", "0A", CLOSE_WAIT];

/// How many sockets there are at a local port in such a state, from `proc_net_tcp(5)`.
fn sockets(port: u16, counts: fn(&str) -> bool) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let here = format!(":{port:04X}");
    let counted = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next().is_some_and(|local| local.ends_with(&here)) && columns.nth(1).is_some_and(counts)
    };
    table.lines().skip(1).filter(counted).count()
}

pub(crate) mod counted;
#[cfg(test)]
#[path = "oracle/tests.rs"]
mod tests;
