//! Records: what one leaf of the journal says.
//!
//! A record is CBOR (RFC 8949) in one spelling only: an array of the record's kind and a map with ascending
//! integer keys, absent values left out. The same record always has the same bytes, so its leaf can be
//! recomputed. Texts longer than their bound are cut at a character's border when encoded.
//! Not here: numbers and hashes of leaves (see `leaf`), and how records lie in files (see `segment`).

use access::{RequestId, Revision, Timestamp};
use minicbor::{Decode, Encode};

/// The longest path kept, in bytes.
pub const PATH_BYTES_MAX: usize = 8 * 1024;
/// The longest of any other text of a request, a change or a note, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The longest detail of a change or a note, in bytes.
pub const DETAIL_BYTES_MAX: usize = 16 * 1024;
/// The longest upstream name in an outcome, in bytes: an outcome's room is reserved before it is known.
pub const UPSTREAM_BYTES_MAX: usize = 256;
/// The longest reason in an outcome or a refusal, in bytes.
pub const REASON_BYTES_MAX: usize = 64;
/// The longest record, in bytes: follows from the bounds above, and no longer one is read back.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;

/// One record of the journal, borrowed from where its parts lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Record<'a> {
    /// A request that may pass, before its first byte goes upstream.
    #[n(0)]
    Intent(#[b(0)] Request<'a>),
    /// A request that may not pass.
    #[n(1)]
    Refusal(#[b(0)] Refusal<'a>),
    /// What came of an intent.
    #[n(2)]
    Outcome(#[b(0)] Outcome<'a>),
    /// A control event of the ledger.
    #[n(3)]
    Change(#[b(0)] Change<'a>),
    /// Something about the node or the journal itself.
    #[n(4)]
    Note(#[b(0)] Note<'a>),
}

impl<'a> Record<'a> {
    /// Reads a leaf's bytes.
    ///
    /// # Errors
    /// The bytes are not a record of a kind known here.
    pub fn decode(payload: &'a [u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(payload)
    }

    /// The same record with every text within its bound.
    pub(crate) fn bounded(self) -> Self {
        match self {
            Self::Intent(request) => Self::Intent(request.bounded()),
            Self::Refusal(refusal) => Self::Refusal(refusal.bounded()),
            Self::Outcome(outcome) => Self::Outcome(outcome.bounded()),
            Self::Change(change) => Self::Change(change.bounded()),
            Self::Note(note) => Self::Note(note.bounded()),
        }
    }
}

/// What was asked, by whom, and what allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Request<'a> {
    /// The request's id, as the client sees it.
    #[cbor(n(0), with = "crate::codec::request_id")]
    pub id: RequestId,
    /// When the request arrived.
    #[cbor(n(1), with = "crate::codec::timestamp")]
    pub time: Timestamp,
    /// The API's name, if one was reached.
    #[n(2)]
    pub api: Option<&'a str>,
    /// The operation's name.
    #[n(3)]
    pub operation: Option<&'a str>,
    /// The method, as sent.
    #[n(4)]
    pub method: &'a str,
    /// The host asked for.
    #[n(5)]
    pub host: Option<&'a str>,
    /// The canonical path; the only text that may be longer than [`TEXT_BYTES_MAX`].
    #[n(6)]
    pub path: &'a str,
    /// What of the query may be kept.
    #[n(7)]
    pub query: Option<&'a str>,
    /// The subject's name, without its kind.
    #[n(8)]
    pub subject: Option<&'a str>,
    /// The subject's kind.
    #[n(9)]
    pub subject_kind: Option<&'a str>,
    /// The id of the credential shown; never the credential.
    #[n(10)]
    pub credential: Option<&'a str>,
    /// The grant the credential stands for.
    #[n(11)]
    pub grant_id: Option<&'a str>,
    /// The role that decided.
    #[n(12)]
    pub role: Option<&'a str>,
    /// The incident the grant belongs to.
    #[n(13)]
    pub incident: Option<&'a str>,
    /// Where the request came from.
    #[n(14)]
    pub client_ip: &'a str,
    /// The client's `User-Agent`.
    #[n(15)]
    pub user_agent: Option<&'a str>,
    /// The rule that decided.
    #[n(16)]
    pub rule: Option<&'a str>,
    /// The ledger's revision the decision was made at.
    #[cbor(n(17), with = "crate::codec::revision")]
    pub revision: Revision,
    /// The W3C trace id; absent where it is the request's own id.
    #[n(18)]
    pub trace_id: Option<&'a str>,
    /// The code the request would have been refused with, on an API that only observes.
    #[n(19)]
    pub observed: Option<&'a str>,
}

impl Request<'_> {
    fn bounded(self) -> Self {
        Self {
            api: self.api.map(text),
            operation: self.operation.map(text),
            method: text(self.method),
            host: self.host.map(text),
            path: clip(self.path, PATH_BYTES_MAX),
            query: self.query.map(text),
            subject: self.subject.map(text),
            subject_kind: self.subject_kind.map(text),
            credential: self.credential.map(text),
            grant_id: self.grant_id.map(text),
            role: self.role.map(text),
            incident: self.incident.map(text),
            client_ip: text(self.client_ip),
            user_agent: self.user_agent.map(text),
            rule: self.rule.map(text),
            trace_id: self.trace_id.map(text),
            observed: self.observed.map(text),
            ..self
        }
    }
}

/// A request that was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refusal<'a> {
    /// What was asked.
    #[b(0)]
    pub request: Request<'a>,
    /// The reason's code.
    #[n(1)]
    pub reason: &'a str,
    /// The status answered.
    #[n(2)]
    pub status: u16,
    /// From the request's arrival to the refusal, in microseconds.
    #[n(3)]
    pub duration_us: u64,
}

impl Refusal<'_> {
    fn bounded(self) -> Self {
        Self { request: self.request.bounded(), reason: clip(self.reason, REASON_BYTES_MAX), ..self }
    }
}

/// What came of an intent. What is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outcome<'a> {
    /// The intent's leaf index.
    #[n(0)]
    pub leaf: u64,
    /// The status answered to the client.
    #[n(1)]
    pub status: Option<u16>,
    /// The upstream the request went to.
    #[n(2)]
    pub upstream: Option<&'a str>,
    /// The upstream's status.
    #[n(3)]
    pub upstream_status: Option<u16>,
    /// From the request's arrival to its end, in microseconds.
    #[n(4)]
    pub duration_us: Option<u64>,
    /// Of these, spent waiting for the upstream.
    #[n(5)]
    pub upstream_us: Option<u64>,
    /// Body bytes received from the client.
    #[n(6)]
    pub request_bytes: Option<u64>,
    /// Body bytes sent to the client.
    #[n(7)]
    pub response_bytes: Option<u64>,
    /// How it ended.
    #[n(8)]
    pub outcome: OutcomeKind,
    /// Why it failed or was cut: a code.
    #[n(9)]
    pub reason: Option<&'a str>,
}

impl Outcome<'_> {
    /// What recovery says about an intent nobody closed.
    pub(crate) const fn unknown(leaf: u64) -> Self {
        Self {
            leaf,
            status: None,
            upstream: None,
            upstream_status: None,
            duration_us: None,
            upstream_us: None,
            request_bytes: None,
            response_bytes: None,
            outcome: OutcomeKind::Unknown,
            reason: None,
        }
    }

    fn bounded(self) -> Self {
        Self {
            upstream: self.upstream.map(|upstream| clip(upstream, UPSTREAM_BYTES_MAX)),
            reason: self.reason.map(|reason| clip(reason, REASON_BYTES_MAX)),
            ..self
        }
    }
}

/// How an intent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum OutcomeKind {
    /// The answer was sent whole.
    #[n(0)]
    Completed,
    /// No answer of the upstream's could be given.
    #[n(1)]
    Failed,
    /// The client left before the end.
    #[n(2)]
    Abandoned,
    /// The access ended while the answer was on its way.
    #[n(3)]
    Cut,
    /// The node died first.
    #[n(4)]
    Unknown,
}

/// A control event of the ledger, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Change<'a> {
    /// The event's position in the ledger.
    #[cbor(n(0), with = "crate::codec::revision")]
    pub revision: Revision,
    /// When it was decided.
    #[cbor(n(1), with = "crate::codec::timestamp")]
    pub time: Timestamp,
    /// Who caused it.
    #[n(2)]
    pub actor: &'a str,
    /// What kind of event it is.
    #[n(3)]
    pub kind: &'a str,
    /// Whose access it concerns.
    #[n(4)]
    pub subject: Option<&'a str>,
    /// The grant it concerns.
    #[n(5)]
    pub grant_id: Option<&'a str>,
    /// The incident it concerns.
    #[n(6)]
    pub incident: Option<&'a str>,
    /// The event itself, as text; at most [`DETAIL_BYTES_MAX`].
    #[n(7)]
    pub detail: &'a str,
}

impl Change<'_> {
    fn bounded(self) -> Self {
        Self {
            actor: text(self.actor),
            kind: text(self.kind),
            subject: self.subject.map(text),
            grant_id: self.grant_id.map(text),
            incident: self.incident.map(text),
            detail: clip(self.detail, DETAIL_BYTES_MAX),
            ..self
        }
    }
}

/// Something about the node or the journal itself: started, stopped, resumed, refusals collapsed, searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Note<'a> {
    /// When.
    #[cbor(n(0), with = "crate::codec::timestamp")]
    pub time: Timestamp,
    /// What kind of note it is.
    #[n(1)]
    pub kind: &'a str,
    /// Who caused it, if somebody did.
    #[n(2)]
    pub actor: Option<&'a str>,
    /// The rest, as JSON; at most [`DETAIL_BYTES_MAX`].
    #[n(3)]
    pub detail: &'a str,
}

impl Note<'_> {
    fn bounded(self) -> Self {
        Self {
            kind: text(self.kind),
            actor: self.actor.map(text),
            detail: clip(self.detail, DETAIL_BYTES_MAX),
            ..self
        }
    }
}

/// A record that stands alone: what the control plane may append. Requests go through a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement<'a> {
    /// A control event.
    Change(Change<'a>),
    /// Something about the node.
    Note(Note<'a>),
}

impl<'a> From<Change<'a>> for Statement<'a> {
    fn from(change: Change<'a>) -> Self {
        Self::Change(change)
    }
}

impl<'a> From<Note<'a>> for Statement<'a> {
    fn from(note: Note<'a>) -> Self {
        Self::Note(note)
    }
}

impl<'a> From<Statement<'a>> for Record<'a> {
    fn from(statement: Statement<'a>) -> Self {
        match statement {
            Statement::Change(change) => Self::Change(change),
            Statement::Note(note) => Self::Note(note),
        }
    }
}

fn text(text: &str) -> &str {
    clip(text, TEXT_BYTES_MAX)
}

/// The longest beginning of `text` of at most `bytes_max` bytes that ends with a whole character.
pub(crate) fn clip(text: &str, bytes_max: usize) -> &str {
    text.split_at_checked(text.floor_char_boundary(bytes_max)).map_or(text, |(kept, _)| kept)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn request(path: &str) -> Request<'_> {
        Request {
            id: RequestId::new(Timestamp::from_micros(1_000), [3; 10]),
            time: Timestamp::from_micros(1_795_316_400_000_000),
            api: Some("orders"),
            operation: Some("GET /v1/orders/{id}"),
            method: "GET",
            host: Some("localhost"),
            path,
            query: None,
            subject: Some("alice"),
            subject_kind: Some("user"),
            credential: None,
            grant_id: None,
            role: Some("orders-viewer"),
            incident: None,
            client_ip: "127.0.0.1",
            user_agent: None,
            rule: None,
            revision: Revision::from_number(7),
            trace_id: None,
            observed: None,
        }
    }

    fn longest(text: &str) -> Request<'_> {
        Request {
            api: Some(text),
            operation: Some(text),
            method: text,
            host: Some(text),
            query: Some(text),
            subject: Some(text),
            subject_kind: Some(text),
            credential: Some(text),
            grant_id: Some(text),
            role: Some(text),
            incident: Some(text),
            client_ip: text,
            user_agent: Some(text),
            rule: Some(text),
            revision: Revision::from_number(u64::MAX),
            time: Timestamp::from_micros(i64::MIN),
            trace_id: Some(text),
            observed: Some(text),
            ..request(text)
        }
    }

    fn encoded(record: Record<'_>) -> Vec<u8> {
        minicbor::to_vec(record.bounded()).unwrap()
    }

    #[test]
    fn no_record_is_longer_than_the_longest_record() {
        let text = "é".repeat(20_000);
        let change = Change {
            revision: Revision::from_number(u64::MAX),
            time: Timestamp::from_micros(i64::MAX),
            actor: &text,
            kind: &text,
            subject: Some(&text),
            grant_id: Some(&text),
            incident: Some(&text),
            detail: &text,
        };
        let refusal = Refusal { request: longest(&text), reason: &text, status: 999, duration_us: u64::MAX };
        for record in [Record::Refusal(refusal), Record::Intent(longest(&text)), Record::Change(change)] {
            let bytes = encoded(record);
            assert!(bytes.len() <= RECORD_BYTES_MAX, "{} bytes", bytes.len());
            assert_eq!(Record::decode(&bytes).unwrap(), record.bounded());
        }
    }

    #[test]
    fn a_record_has_one_spelling_and_leaves_out_what_is_absent() {
        let note = Note { time: Timestamp::from_micros(1), kind: "k", actor: None, detail: "" };
        assert_eq!(encoded(Record::Note(note)), [0x82, 4, 0xa3, 0, 1, 1, 0x61, b'k', 3, 0x60]);
        let unknown = Record::Outcome(Outcome::unknown(5));
        assert_eq!(encoded(unknown), [0x82, 2, 0xa2, 0, 5, 8, 4]);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_whole_or_cut_at_a_character(path in ".{0,40}", agent in proptest::option::of("\\PC{0,1500}")) {
            let asked = Request { user_agent: agent.as_deref(), ..request(&path) };
            let bytes = encoded(Record::Intent(asked));
            let Record::Intent(kept) = Record::decode(&bytes).unwrap() else { panic!("not an intent") };
            prop_assert_eq!(kept.path, path.as_str());
            match (kept.user_agent, agent.as_deref()) {
                (Some(kept), Some(asked)) => prop_assert!(asked.starts_with(kept) && kept.len() + 4 > asked.len().min(TEXT_BYTES_MAX)),
                (kept, asked) => prop_assert_eq!(kept, asked),
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
