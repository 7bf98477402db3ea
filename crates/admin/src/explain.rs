//! Why a request was let through or not, in sentences, from its row alone and what is still known of its grant.

use std::borrow::Cow;

use access::credential::CredentialId;
use access::operation::Method;
use access::role::MethodPath;
use access::view::{Credential, Ending, Standing};
use access::{GrantId, Reason};
use control::State;
use journal::{Decision, RequestRow, RowOutcome};
use serde::Serialize;

use crate::near::listed;

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
        Decision::Refuse => vec![refused(&row, state)],
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

fn refused(row: &RequestRow, state: &State) -> String {
    let code = row.reason.as_deref().unwrap_or("unknown");
    let status = row.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let denied = code == Reason::OperationNotAllowed.code();
    let rule = match &row.rule {
        None => String::new(),
        Some(rule) if denied => format!(" The rule that decided: `{rule}`."),
        Some(rule) => format!(" The rule `{rule}` would have allowed it."),
    };
    let why = if denied { unallowed(row, state) } else { sentence(code).into() };
    format!("It was refused with {status} `{code}`: {why}.{rule}")
}

/// Whether its roles or the narrowing of its token stood against it, as far as the token is remembered.
fn unallowed(row: &RequestRow, state: &State) -> Cow<'static, str> {
    const ROLES: &str = "no role of its credential allows the operation";
    let Some(Ok(id)) = row.credential.as_deref().map(str::parse) else { return ROLES.into() };
    let Some(Credential::Token(token)) = state.credential(CredentialId::Token(id)) else {
        return "no role of its credential, or its narrowing, allows the operation".into();
    };
    let asked = Method::parse(&row.method);
    let names = |only: &MethodPath| asked.is_some_and(|method| only.matches(method, &row.path));
    if row.rule.is_some() || token.only.is_empty() || token.only.iter().any(names) {
        return ROLES.into();
    }
    let only =
        listed(token.only.iter().map(ToString::to_string).collect::<Vec<_>>().iter().map(String::as_str));
    format!("its token is narrowed to {only}").into()
}

fn ended(row: &RequestRow) -> String {
    let status = row.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let upstream = row.upstream.as_deref().unwrap_or("the upstream");
    let fate = fate(row);
    let code = row.reason.as_deref().unwrap_or("no reason given");
    let micros = row.duration_us.map_or_else(|| "an unknown time".to_owned(), |us| format!("{us} µs"));
    match row.outcome {
        None => "It has not ended yet.".to_owned(),
        Some(RowOutcome::Completed) => {
            format!("{upstream} took it; {status} was answered whole after {micros}.")
        }
        Some(RowOutcome::Failed) => {
            format!("It failed with {status} `{code}` after {micros}: {}.{fate}", sentence(code))
        }
        Some(RowOutcome::Abandoned) => format!("The client left after {micros}.{fate}"),
        Some(RowOutcome::Cut) => {
            format!("It was cut after {micros} (`{code}`): {}.{fate}", sentence(code))
        }
        Some(RowOutcome::Refused) => {
            format!("It was refused after all with {status} `{code}`: {}.{fate}", sentence(code))
        }
        Some(RowOutcome::Unknown) => {
            format!(
                "The node stopped before its end, or the record of its end is damaged; what came of it is unknown.{fate}"
            )
        }
    }
}

/// Where a request went that was not answered whole, and whether it may have had its effect there.
fn fate(row: &RequestRow) -> String {
    let place = row.upstream.as_deref();
    let unreachable = row.reason.as_deref() == Some(Reason::UpstreamUnreachable.code());
    match (place, row.outcome) {
        (Some(place), _) if unreachable => {
            format!(
                " It was on its way to {place}, which may have carried it out if the connection broke late."
            )
        }
        (Some(place), _) => format!(" It went to {place}, which may have carried it out."),
        // A request that any of it was sent of has its upstream's address in its row.
        (None, Some(RowOutcome::Failed)) if unreachable => {
            " Nothing of it was sent to an upstream.".to_owned()
        }
        (None, Some(RowOutcome::Cut | RowOutcome::Abandoned | RowOutcome::Unknown)) => {
            " The upstream may have carried it out.".to_owned()
        }
        (None, _) if row.upstream_us.is_some() && !unreachable => {
            " The upstream may have carried it out.".to_owned()
        }
        (None, _) => String::new(),
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
        Reason::Misdirected => "its connection was made for another host",
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

#[cfg(test)]
mod tests {
    use access::{RequestId, Revision, Timestamp};
    use expect_test::expect;

    use super::*;

    fn row(
        decision: Decision,
        reason: Option<&str>,
        outcome: RowOutcome,
        upstream: Option<&str>,
    ) -> RequestRow {
        let request = journal::Request {
            id: RequestId::new(Timestamp::EPOCH, [0; 10]),
            time: Timestamp::EPOCH,
            api: Some("orders"),
            operation: Some("refund"),
            method: "POST",
            host: None,
            path: "/v1/orders/7/refund",
            query: None,
            subject: Some("alice"),
            subject_kind: Some("user"),
            credential: None,
            grant_id: None,
            role: Some("refunds"),
            incident: None,
            client_ip: "127.0.0.1",
            user_agent: None,
            rule: Some("allow orders:refund"),
            revision: Revision::from_number(1),
            trace_id: None,
            observed: None,
        };
        let row = RequestRow::of_intent("n1", 0, &request);
        let (reason, upstream) = (reason.map(str::to_owned), upstream.map(str::to_owned));
        RequestRow { decision, reason, outcome: Some(outcome), upstream, status: Some(503), ..row }
    }

    #[test]
    fn what_broke_off_says_where_it_went_and_that_it_may_have_had_its_effect() {
        let place = Some("127.0.0.1:7001");
        let told: Vec<_> = [
            (Some("upstream_timeout"), RowOutcome::Failed, place),
            (Some("upstream_unreachable"), RowOutcome::Failed, place),
            (Some("upstream_unreachable"), RowOutcome::Failed, None),
            (Some("journal_unavailable"), RowOutcome::Failed, None),
            (Some("credential_revoked"), RowOutcome::Cut, place),
            (None, RowOutcome::Abandoned, None),
            (None, RowOutcome::Unknown, None),
        ]
        .map(|(reason, outcome, place)| ended(&row(Decision::Allow, reason, outcome, place)))
        .into();
        expect![[r#"
            It failed with 503 `upstream_timeout` after an unknown time: the upstream did not answer in time. It went to 127.0.0.1:7001, which may have carried it out.
            It failed with 503 `upstream_unreachable` after an unknown time: no upstream could be reached. It was on its way to 127.0.0.1:7001, which may have carried it out if the connection broke late.
            It failed with 503 `upstream_unreachable` after an unknown time: no upstream could be reached. Nothing of it was sent to an upstream.
            It failed with 503 `journal_unavailable` after an unknown time: it could not be recorded, and what is not recorded is not forwarded.
            It was cut after an unknown time (`credential_revoked`): its credential had been revoked. It went to 127.0.0.1:7001, which may have carried it out.
            The client left after an unknown time. The upstream may have carried it out.
            The node stopped before its end, or the record of its end is damaged; what came of it is unknown. The upstream may have carried it out."#]].assert_eq(&told.join("\n"));
    }

    #[test]
    fn a_rule_that_allows_is_not_said_to_have_refused() {
        let told: Vec<_> = ["body_too_large", "rate_limited", "operation_not_allowed"]
            .map(|code| {
                refused(&row(Decision::Refuse, Some(code), RowOutcome::Refused, None), &State::default())
            })
            .into();
        expect![[r#"
            It was refused with 503 `body_too_large`: its body was longer than the API takes. The rule `allow orders:refund` would have allowed it.
            It was refused with 503 `rate_limited`: it came faster than the limit allows. The rule `allow orders:refund` would have allowed it.
            It was refused with 503 `operation_not_allowed`: no role of its credential allows the operation. The rule that decided: `allow orders:refund`."#]].assert_eq(&told.join("\n"));
    }
}
