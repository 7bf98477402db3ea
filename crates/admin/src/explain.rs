//! Why a request was let through or not, in sentences, from its row alone and what is still known of its grant.

use access::credential::CredentialId;
use access::view::{Credential, Ending, Standing};
use access::{GrantId, Reason};
use control::State;
use journal::{Decision, RequestRow, RowOutcome};
use serde::Serialize;

/// A request, and why it went as it did.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    id: String,
    decision: Decision,
    why: Vec<String>,
    row: RequestRow,
}

pub(crate) fn explanation(row: RequestRow, state: &State) -> Explanation {
    let mut why = vec![asked(&row)];
    why.extend(match row.decision {
        Decision::Allow => vec![allowed(&row), ended(&row)],
        Decision::Refuse => vec![refused(&row)],
    });
    why.extend(held(&row, state));
    why.extend(shown(&row, state));
    Explanation { id: row.id.to_string(), decision: row.decision, why, row }
}

fn who(row: &RequestRow) -> String {
    match (&row.subject_kind, &row.subject) {
        (Some(kind), Some(name)) => format!("{kind} `{name}`"),
        (_, Some(name)) => format!("`{name}`"),
        _ => "somebody unknown".to_owned(),
    }
}

fn asked(row: &RequestRow) -> String {
    let RequestRow { method, path, time, client_ip, .. } = row;
    let of = match (&row.operation, &row.api) {
        (Some(operation), Some(api)) => format!(", the operation `{operation}` of `{api}`"),
        (None, Some(api)) => format!(", at `{api}`"),
        _ => String::new(),
    };
    format!("At {time}, {} asked for `{method} {path}`{of}, from {client_ip}.", who(row))
}

fn allowed(row: &RequestRow) -> String {
    let rule = row.rule.as_deref().unwrap_or("unknown");
    let role = row.role.as_deref().unwrap_or("unknown");
    let revision = row.revision;
    format!(
        "It was allowed by the rule `{rule}` of the role `{role}`, as the ledger stood at revision {revision}."
    )
}

fn refused(row: &RequestRow) -> String {
    let code = row.reason.as_deref().unwrap_or("unknown");
    let status = row.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let rule =
        row.rule.as_ref().map_or_else(String::new, |rule| format!(" The rule that decided: `{rule}`."));
    format!("It was refused with {status} `{code}`: {}.{rule}", sentence(code))
}

fn ended(row: &RequestRow) -> String {
    let status = row.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let upstream = row.upstream.as_deref().unwrap_or("the upstream");
    let code = row.reason.as_deref().unwrap_or("no reason given");
    let micros = row.duration_us.map_or_else(|| "an unknown time".to_owned(), |us| format!("{us} µs"));
    match row.outcome {
        None => "It has not ended yet.".to_owned(),
        Some(RowOutcome::Completed) => {
            format!("{upstream} took it; {status} was answered whole after {micros}.")
        }
        Some(RowOutcome::Failed) => {
            format!("It failed with {status} `{code}` after {micros}: {}.", sentence(code))
        }
        Some(RowOutcome::Abandoned) => format!("The client left after {micros}."),
        Some(RowOutcome::Cut) => format!("It was cut after {micros} (`{code}`): {}.", sentence(code)),
        Some(RowOutcome::Refused) => format!("It was refused after all with {status} `{code}`."),
        Some(RowOutcome::Unknown) => {
            "The node stopped before its end; what came of it is unknown.".to_owned()
        }
    }
}

/// The grant it was asked under, while it is remembered.
fn held(row: &RequestRow, state: &State) -> Option<String> {
    let id = row.grant_id.as_deref()?;
    let Some(grant) = id.parse().ok().and_then(|id: GrantId| state.grants().get(&id)) else {
        return Some(format!(
            "The grant `{id}` is not remembered any more; `changes` in the journal has it."
        ));
    };
    let incident =
        grant.incident.as_ref().map_or_else(String::new, |incident| format!(", for incident `{incident}`"));
    let mut said = format!(
        "The grant `{id}` of the role `{}` was given by `{}` on {} until {}{incident}, because: {}",
        grant.role, grant.by, grant.since, grant.until, grant.reason
    );
    if let Some(ended) = revoked(&grant.standing) {
        said.push_str(&format!(". It was {ended}"));
    }
    Some(said)
}

/// What became of the credential that it showed, while that is remembered and its grant does not say the same.
fn shown(row: &RequestRow, state: &State) -> Option<String> {
    let text = row.credential.as_deref()?;
    let (what, credential, grant) = if let Ok(id) = text.parse() {
        let credential = state.credential(CredentialId::Token(id))?;
        let Credential::Token(token) = credential else { return None };
        ("token", credential, state.grants().get(&token.grant))
    } else {
        ("service key", state.credential(CredentialId::Key(text.parse().ok()?))?, None)
    };
    if grant.is_some_and(|grant| grant.standing == *credential.standing()) {
        return None;
    }
    Some(format!("The {what} `{text}` was {}", revoked(credential.standing())?))
}

/// By whom something was ended, when and why; `None` while nobody did.
fn revoked(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Ended { at, cause: Ending::Revoke { by, reason } } => {
            Some(format!("revoked by `{by}` on {at}, because: {reason}"))
        }
        Standing::Ended { at, cause: Ending::Replace } => Some(format!("replaced by another on {at}.")),
        Standing::Active => None,
    }
}

fn sentence(code: &str) -> &'static str {
    let reason = Reason::ALL.iter().find(|reason| reason.code() == code);
    reason.map_or("this version does not know the code", |reason| meaning(*reason))
}

const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestMalformed => "the request had more than one reading, or none",
        Reason::CredentialMissing => "it showed no credential",
        Reason::CredentialInvalid => "what it showed is no credential of ours",
        Reason::CredentialExpired => "its credential was past its end",
        Reason::CredentialRevoked => "its credential had been revoked",
        Reason::GrantEnded => "the grant behind its token had ended",
        Reason::OperationNotAllowed => "no role of its credential allows the operation",
        Reason::SubjectSuspended => "the subject might do nothing at that time",
        Reason::ApiUnknown => "no API answers at this host or path",
        Reason::OperationUnknown => "the contract of the API names no such operation",
        Reason::BodyTooLarge => "its body was longer than the API takes",
        Reason::HeadersTooLarge => "its head was longer than is read",
        Reason::UriTooLong => "its target was longer than is read",
        Reason::MethodUnsupported => "its method is not forwarded",
        Reason::UpgradeRefused => "the upgrade it asked for is not forwarded",
        Reason::RateLimited => "it came faster than the limit allows",
        Reason::Overloaded => "the node or the API had no room for it",
        Reason::JournalUnavailable => "it could not be recorded, and what is not recorded is not forwarded",
        Reason::ViewStale => "the node could not prove that its view of access was fresh",
        Reason::Draining => "the node was shutting down",
        Reason::UpstreamUnreachable => "no upstream could be reached",
        Reason::UpstreamMalformed => "the upstream's answer could not be read",
        Reason::UpstreamTimeout => "the upstream did not answer in time",
    }
}
