//! Rows: what people and programs are shown of the journal. One row a request, one a control event.

use access::{RequestId, Revision, Timestamp};
use serde::{Serialize, Serializer};

use crate::record::{Change, Note, Outcome, OutcomeKind, Record, Refusal, Request};

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It might pass.
    Allow,
    /// It might not.
    Refuse,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// Answered whole.
    Completed,
    /// Not let through.
    Refused,
    /// Let through, and not answered by the upstream.
    Failed,
    /// The client left.
    Abandoned,
    /// The access ended meanwhile.
    Cut,
    /// The node died meanwhile, or the record of its end cannot be read.
    Unknown,
}

impl From<OutcomeKind> for RowOutcome {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Completed => Self::Completed,
            OutcomeKind::Failed => Self::Failed,
            OutcomeKind::Abandoned => Self::Abandoned,
            OutcomeKind::Cut => Self::Cut,
            OutcomeKind::Unknown => Self::Unknown,
        }
    }
}

/// One request. The columns of `requests`, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRow {
    /// The request's id.
    #[serde(serialize_with = "as_text")]
    pub id: RequestId,
    /// The node that handled it.
    pub node: String,
    /// The leaf of its intent, or of its refusal.
    pub leaf: u64,
    /// When it arrived.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The API.
    pub api: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// The method.
    pub method: String,
    /// The host.
    pub host: Option<String>,
    /// The path.
    pub path: String,
    /// What of the query is kept.
    pub query: Option<String>,
    /// The subject's name.
    pub subject: Option<String>,
    /// The subject's kind.
    pub subject_kind: Option<String>,
    /// The credential's id.
    pub credential: Option<String>,
    /// The grant.
    pub grant_id: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The incident.
    pub incident: Option<String>,
    /// The client's address.
    pub client_ip: String,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// Why it was refused, failed or cut; on an API that only observes, why it would have been refused.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The ledger's revision it was decided at.
    pub revision: Revision,
    /// The status answered.
    pub status: Option<u16>,
    /// The upstream.
    pub upstream: Option<String>,
    /// The upstream's status.
    pub upstream_status: Option<u16>,
    /// From arrival to end, in microseconds.
    pub duration_us: Option<u64>,
    /// Of these, spent on the upstream.
    pub upstream_us: Option<u64>,
    /// Body bytes received.
    pub request_bytes: Option<u64>,
    /// Body bytes sent.
    pub response_bytes: Option<u64>,
    /// How it ended; `null` while it has not.
    pub outcome: Option<RowOutcome>,
    /// The W3C trace id.
    pub trace_id: Option<String>,
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The trace that begins with a request: its id in hexadecimal (W3C Trace Context, section 3.2.2.3).
fn own_trace(id: RequestId) -> String {
    id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

impl RequestRow {
    /// The row of a request that was let through, before its end is known.
    #[must_use]
    pub fn of_intent(node: &str, leaf: u64, request: &Request<'_>) -> Self {
        Self {
            id: request.id,
            node: node.to_owned(),
            leaf,
            time: request.time,
            api: owned(request.api),
            operation: owned(request.operation),
            method: request.method.to_owned(),
            host: owned(request.host),
            path: request.path.to_owned(),
            query: owned(request.query),
            subject: owned(request.subject),
            subject_kind: owned(request.subject_kind),
            credential: owned(request.credential),
            grant_id: owned(request.grant_id),
            role: owned(request.role),
            incident: owned(request.incident),
            client_ip: request.client_ip.to_owned(),
            user_agent: owned(request.user_agent),
            decision: Decision::Allow,
            reason: owned(request.observed),
            rule: owned(request.rule),
            revision: request.revision,
            status: None,
            upstream: None,
            upstream_status: None,
            duration_us: None,
            upstream_us: None,
            request_bytes: None,
            response_bytes: None,
            outcome: None,
            trace_id: owned(request.trace_id).or_else(|| Some(own_trace(request.id))),
        }
    }

    /// The row of a request that was refused.
    #[must_use]
    pub fn of_refusal(node: &str, leaf: u64, refusal: &Refusal<'_>) -> Self {
        Self {
            decision: Decision::Refuse,
            reason: Some(refusal.reason.to_owned()),
            status: Some(refusal.status),
            duration_us: Some(refusal.duration_us),
            outcome: Some(RowOutcome::Refused),
            ..Self::of_intent(node, leaf, &refusal.request)
        }
    }

    /// Adds what came of it.
    #[must_use]
    pub fn ended(self, outcome: &Outcome<'_>) -> Self {
        Self {
            reason: owned(outcome.reason).or(self.reason),
            status: outcome.status,
            upstream: owned(outcome.upstream),
            upstream_status: outcome.upstream_status,
            duration_us: outcome.duration_us,
            upstream_us: outcome.upstream_us,
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            outcome: Some(outcome.outcome.into()),
            ..self
        }
    }
}

impl RequestRow {
    /// The row of an intent and of its outcome, if it has one.
    pub(crate) fn joined(
        node: &str,
        leaf: u64,
        record: &Record<'_>,
        outcome: Option<&Outcome<'_>>,
    ) -> Option<Self> {
        match (record, outcome) {
            (Record::Refusal(refusal), _) => Some(Self::of_refusal(node, leaf, refusal)),
            (Record::Intent(request), None) => Some(Self::of_intent(node, leaf, request)),
            (Record::Intent(request), Some(outcome)) => {
                Some(Self::of_intent(node, leaf, request).ended(outcome))
            }
            _ => None,
        }
    }
}

/// One control event. The columns of `changes`, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// The event's position in the ledger.
    pub revision: Revision,
    /// When it was decided.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// What kind of event it is.
    pub kind: String,
    /// Whose access it concerns.
    pub subject: Option<String>,
    /// The grant it concerns.
    pub grant_id: Option<String>,
    /// The incident it concerns.
    pub incident: Option<String>,
    /// The event itself.
    pub detail: String,
}

impl From<&Change<'_>> for ChangeRow {
    fn from(change: &Change<'_>) -> Self {
        Self {
            revision: change.revision,
            time: change.time,
            actor: change.actor.to_owned(),
            kind: change.kind.to_owned(),
            subject: owned(change.subject),
            grant_id: owned(change.grant_id),
            incident: owned(change.incident),
            detail: change.detail.to_owned(),
        }
    }
}

/// One note about the node or its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoteRow {
    /// When.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// What kind of note it is.
    pub kind: String,
    /// Who caused it.
    pub actor: Option<String>,
    /// The rest, as JSON.
    pub detail: String,
}

impl From<&Note<'_>> for NoteRow {
    fn from(note: &Note<'_>) -> Self {
        let detail = note.detail.to_owned();
        Self { time: note.time, kind: note.kind.to_owned(), actor: owned(note.actor), detail }
    }
}
