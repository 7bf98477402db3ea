//! Answers: the one place where a refusal becomes a status, and what goes back to a client.
//!
//! A [`Reply`] is the same whatever protocol carries it; the codecs write it down (see `h1::serve`, `h2`).

use std::time::{Duration, SystemTime};

use access::refused::Retry;
use access::{Reason, Refused, RequestId, Timestamp};
use arrayvec::ArrayString;
use http::StatusCode;
use journal::Receipt;

use crate::arrival::Dialect;
use crate::fields::{FieldList, Sink as _};
use crate::forward::{Relay, Switched};
use crate::grpc;
use crate::headers;

/// The status of a reason.
pub(crate) const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::RequestMalformed | Reason::UpgradeRefused => StatusCode::BAD_REQUEST,
        Reason::CredentialMissing
        | Reason::CredentialInvalid
        | Reason::CredentialExpired
        | Reason::CredentialRevoked => StatusCode::UNAUTHORIZED,
        Reason::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Reason::GrantEnded | Reason::OperationNotAllowed | Reason::SubjectSuspended => StatusCode::FORBIDDEN,
        Reason::ApiUnknown | Reason::OperationUnknown => StatusCode::NOT_FOUND,
        Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Reason::UriTooLong => StatusCode::URI_TOO_LONG,
        Reason::MethodUnsupported => StatusCode::NOT_IMPLEMENTED,
        Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::Overloaded | Reason::JournalUnavailable | Reason::ViewStale | Reason::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Reason::UpstreamUnreachable | Reason::UpstreamMalformed => StatusCode::BAD_GATEWAY,
        Reason::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The status that an upstream answered; `None` if there is no such one.
pub(crate) fn upstream_status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code).ok()
}

/// The title of a reason: the code in words.
const fn title(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestMalformed => "The request has no single reading",
        Reason::Misdirected => "The connection was made for another host",
        Reason::CredentialMissing => "No credential was shown",
        Reason::CredentialInvalid => "The credential is not valid",
        Reason::CredentialExpired => "The credential has expired",
        Reason::CredentialRevoked => "The credential was revoked",
        Reason::GrantEnded => "The grant has ended",
        Reason::OperationNotAllowed => "The operation is not allowed",
        Reason::SubjectSuspended => "The subject may do nothing at present",
        Reason::ApiUnknown => "There is no such API",
        Reason::OperationUnknown => "The API has no such operation",
        Reason::BodyTooLarge => "The body is too large",
        Reason::HeadersTooLarge => "The header fields are too large",
        Reason::UriTooLong => "The request target is too long",
        Reason::MethodUnsupported => "The method is not supported",
        Reason::UpgradeRefused => "The upgrade is refused",
        Reason::RateLimited => "Too many requests",
        Reason::Overloaded => "There is no room for the request",
        Reason::JournalUnavailable => "The request cannot be recorded",
        Reason::ViewStale => "The view of access is not fresh",
        Reason::Draining => "The node is shutting down",
        Reason::UpstreamUnreachable => "The upstream cannot be reached",
        Reason::UpstreamMalformed => "The upstream's answer cannot be read",
        Reason::UpstreamTimeout => "The upstream did not answer in time",
    }
}

/// What to do about a reason when nothing more is known.
const fn next(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestMalformed => {
            "send a request that every reader reads alike; `detail` says what is wrong with this one"
        }
        Reason::Misdirected => "make a connection of its own for each host",
        Reason::CredentialMissing
        | Reason::CredentialInvalid
        | Reason::CredentialExpired
        | Reason::CredentialRevoked => {
            "mint a token with `daypass token` and send it as `Authorization: Bearer <token>`"
        }
        Reason::GrantEnded | Reason::OperationNotAllowed => {
            "`daypass grants` shows what you hold; an administrator gives more with `daypass grant`"
        }
        Reason::SubjectSuspended => "ask an administrator whether the configuration should name you",
        Reason::ApiUnknown | Reason::OperationUnknown => "`daypass apis` lists the APIs and their operations",
        Reason::BodyTooLarge => "send less, or ask the API's owner to raise `limits.request_body`",
        Reason::HeadersTooLarge => "send fewer or shorter header fields",
        Reason::UriTooLong => "send a shorter path and query",
        Reason::MethodUnsupported => "use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE",
        Reason::UpgradeRefused => "leave the upgrade out, or ask for a WebSocket with GET",
        Reason::RateLimited | Reason::Overloaded => "wait as long as `Retry-After` says",
        Reason::JournalUnavailable | Reason::ViewStale => {
            "try again in a moment; an operator finds the cause with `daypass status`"
        }
        Reason::Draining => "try again: this node is being stopped",
        Reason::UpstreamUnreachable | Reason::UpstreamMalformed | Reason::UpstreamTimeout => {
            "look at the API itself: Daypass let the request pass"
        }
    }
}

/// Whether what follows on the connection can still be told apart from the refused request.
const fn closes(reason: Reason) -> Closes {
    match reason {
        Reason::RequestMalformed => Closes::Malformed,
        Reason::HeadersTooLarge
        | Reason::UriTooLong
        | Reason::BodyTooLarge
        | Reason::MethodUnsupported
        | Reason::UpgradeRefused => Closes::Yes,
        _ => Closes::No,
    }
}

/// The names by which an answer can be found again.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) request_id: ArrayString<36>,
    pub(crate) receipt: Option<ArrayString<192>>,
}

impl Names {
    pub(crate) fn new(id: RequestId, node: &str, receipt: Option<Receipt>) -> Self {
        Self { request_id: request_id(id), receipt: receipt.and_then(|receipt| receipt_text(node, receipt)) }
    }

    /// Adds them to an answer's fields.
    pub(crate) fn stamp(&self, fields: &mut FieldList) {
        headers::stamp(fields, &self.request_id, self.receipt.as_deref());
    }
}

/// A request's id as text.
pub(crate) fn request_id(id: RequestId) -> ArrayString<36> {
    ArrayString::from(id.encode(&mut [0; 36])).unwrap_or_default()
}

fn receipt_text(node: &str, receipt: Receipt) -> Option<ArrayString<192>> {
    let mut text = ArrayString::new();
    for part in [node, "/", itoa::Buffer::new().format(receipt.leaf), "/"] {
        text.try_push_str(part).ok()?;
    }
    receipt.hash.write_to(&mut text).ok()?;
    Some(text)
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One of our own, whole.
    Own(Own),
    /// The upstream's, piece by piece.
    Relay(Box<Relay>),
    /// Another protocol from here on.
    Switch(Box<Switched>),
    /// Nothing: the client left before it had sent its request.
    Gone,
}

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldList,
    pub(crate) body: Vec<u8>,
    /// Whether what follows on the connection can still be told apart from the refused request.
    pub(crate) closes: Closes,
}

/// Whether a connection ends with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closes {
    /// The request had no single reading: over HTTP/2 its stream is in error, too.
    Malformed,
    Yes,
    No,
}

impl Reply {
    /// The fields of an answer that has any.
    pub(crate) fn fields(&mut self) -> Option<&mut FieldList> {
        match self {
            Self::Own(own) => Some(&mut own.fields),
            Self::Relay(relay) => Some(&mut relay.fields),
            Self::Switch(switched) => Some(&mut switched.fields),
            Self::Gone => None,
        }
    }
}

/// The answer to a refused or failed request, given at `at`: a problem document (RFC 9457). A gRPC caller is told in
/// its own words, too.
pub(crate) fn problem(
    refused: &Refused,
    id: RequestId,
    names: &Names,
    at: Timestamp,
    dialect: Dialect,
) -> Reply {
    let reason = refused.reason;
    let document = serde_json::json!({
        "type": format!("urn:daypass:problem:{}", reason.code()),
        "title": title(reason),
        "status": status(reason).as_u16(),
        "detail": refused.detail,
        "code": reason.code(),
        "instance": id.to_string(),
        "next": refused.next.as_deref().unwrap_or(next(reason)),
    });
    let mut fields = FieldList::default();
    fields.add(b"content-type", b"application/problem+json");
    fields.add(b"cache-control", b"no-store");
    challenge(&mut fields, reason);
    if let Some(retry) = refused.retry {
        say_when_to_retry(&mut fields, retry);
    }
    match dialect {
        Dialect::Http => {}
        Dialect::Grpc => say_to_grpc(&mut fields, grpc_status(status(reason)), &refused.detail),
        Dialect::GrpcLate => say_to_grpc(&mut fields, DEADLINE_EXCEEDED, &refused.detail),
    }
    names.stamp(&mut fields);
    date(&mut fields, at);
    let body = document.to_string().into_bytes();
    Reply::Own(Own { status: status(reason), fields, body, closes: closes(reason) })
}

/// The answer to a preflight, with these fields.
pub(crate) fn preflight(mut fields: FieldList, names: &Names, at: Timestamp) -> Reply {
    names.stamp(&mut fields);
    date(&mut fields, at);
    Reply::Own(Own { status: PREFLIGHT, fields, body: Vec::new(), closes: Closes::No })
}

/// The status of an answer to a preflight.
pub(crate) const PREFLIGHT: StatusCode = StatusCode::OK;

/// RFC 9110, section 6.6.1: who answers of itself says when.
fn date(fields: &mut FieldList, at: Timestamp) {
    let since_epoch = Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0));
    fields.add(b"date", httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch).as_bytes());
}

/// The status of a call, which goes before that of HTTP.
fn say_to_grpc(fields: &mut FieldList, code: u8, detail: &str) {
    fields.add(b"grpc-status", itoa::Buffer::new().format(code).as_bytes());
    fields.add(b"grpc-message", grpc::message(detail).as_bytes());
}

/// The status of a call whose caller does not wait for it any more.
const DEADLINE_EXCEEDED: u8 = 4;

/// What callers make of a status of HTTP that comes alone (gRPC, "HTTP to gRPC Status Code Mapping").
const fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// RFC 6750, section 3: a request without credentials is told the scheme, one with wrong ones the error.
fn challenge(fields: &mut FieldList, reason: Reason) {
    let value = match reason {
        Reason::CredentialMissing => "Bearer realm=\"daypass\"",
        Reason::CredentialInvalid | Reason::CredentialExpired | Reason::CredentialRevoked => {
            "Bearer realm=\"daypass\", error=\"invalid_token\""
        }
        _ => return,
    };
    fields.add(b"www-authenticate", value.as_bytes());
}

fn say_when_to_retry(fields: &mut FieldList, retry: Retry) {
    let seconds = retry.after.as_millis().div_ceil(1_000).max(1);
    fields.add(b"retry-after", seconds.to_string().as_bytes());
    if let Some(rate) = retry.rate {
        let policy = format!("\"default\";q={};w={}", rate.count(), rate.window_seconds());
        fields.add(b"ratelimit-policy", policy.as_bytes());
        fields.add(b"ratelimit", format!("\"default\";r=0;t={seconds}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        for reason in Reason::ALL {
            let names = Names::new(RequestId::from_bytes([0; 16]), "node", None);
            let refused = Refused::because(*reason, "why");
            let Reply::Own(own) =
                problem(&refused, RequestId::from_bytes([0; 16]), &names, Timestamp::EPOCH, Dialect::Http)
            else {
                panic!("not an answer of our own")
            };
            let document: serde_json::Value = serde_json::from_slice(&own.body).unwrap();
            assert!(document["next"].as_str().is_some_and(|next| next.len() > 10), "{reason}");
        }
    }
}
