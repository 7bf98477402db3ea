//! Answers: the one place where a refusal becomes a status, and the bodies that go back to clients.

use std::pin::Pin;
use std::task::{Context, Poll};

use access::refused::Retry;
use access::{Reason, Refused, RequestId};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use journal::Receipt;

use crate::forward::Relay;
use crate::headers;

/// The status of a reason.
pub(crate) const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::RequestMalformed | Reason::UpgradeRefused => StatusCode::BAD_REQUEST,
        Reason::CredentialMissing
        | Reason::CredentialInvalid
        | Reason::CredentialExpired
        | Reason::CredentialRevoked => StatusCode::UNAUTHORIZED,
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

/// The title of a reason: the code in words.
const fn title(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestMalformed => "The request has no single reading",
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

/// Whether what follows on the connection can still be told apart from the refused request.
const fn closes_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RequestMalformed
            | Reason::HeadersTooLarge
            | Reason::UriTooLong
            | Reason::BodyTooLarge
            | Reason::MethodUnsupported
            | Reason::UpgradeRefused
    )
}

/// The names by which an answer can be found again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) id: RequestId,
    pub(crate) node: &'a str,
    pub(crate) receipt: Option<Receipt>,
}

impl Names<'_> {
    pub(crate) fn request_id(&self) -> HeaderValue {
        HeaderValue::from_str(self.id.encode(&mut [0; 36])).unwrap_or(HeaderValue::from_static(""))
    }

    pub(crate) fn receipt(&self) -> Option<HeaderValue> {
        let mut text = arrayvec::ArrayString::<192>::new();
        let receipt = self.receipt?;
        std::fmt::Write::write_fmt(&mut text, format_args!("{}/{receipt}", self.node)).ok()?;
        HeaderValue::from_str(&text).ok()
    }
}

/// The answer to a refused or failed request: a problem document (RFC 9457).
pub(crate) fn problem(refused: &Refused, names: Names<'_>, version: Version) -> Response<Answer> {
    let reason = refused.reason;
    let document = serde_json::json!({
        "type": format!("urn:daypass:problem:{}", reason.code()),
        "title": title(reason),
        "status": status(reason).as_u16(),
        "detail": refused.detail,
        "code": reason.code(),
        "instance": names.id.to_string(),
        "next": refused.next,
    });
    let mut response = Response::new(Answer::Own(Some(Bytes::from(document.to_string()))));
    *response.status_mut() = status(reason);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if closes_connection(reason) && version < Version::HTTP_2 {
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    challenge(fields, reason);
    if let Some(retry) = refused.retry {
        say_when_to_retry(fields, retry);
    }
    let (request_id, receipt) = (names.request_id(), names.receipt());
    headers::stamp(fields, request_id, receipt);
    response
}

/// RFC 6750, section 3: a request without credentials is told the scheme, one with wrong ones the error.
fn challenge(fields: &mut HeaderMap, reason: Reason) {
    let value = match reason {
        Reason::CredentialMissing => "Bearer realm=\"daypass\"",
        Reason::CredentialInvalid | Reason::CredentialExpired | Reason::CredentialRevoked => {
            "Bearer realm=\"daypass\", error=\"invalid_token\""
        }
        _ => return,
    };
    fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
}

fn say_when_to_retry(fields: &mut HeaderMap, retry: Retry) {
    let seconds = retry.after.as_millis().div_ceil(1_000).max(1);
    let mut insert = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            fields.insert(name, value);
        }
    };
    insert("retry-after", seconds.to_string());
    if let Some(rate) = retry.rate {
        insert("ratelimit-policy", format!("\"default\";q={};w={}", rate.count(), rate.window_seconds()));
        insert("ratelimit", format!("\"default\";r=0;t={seconds}"));
    }
}

/// The body of an answer.
pub(crate) enum Answer {
    /// One of our own, whole.
    Own(Option<Bytes>),
    /// The upstream's, frame by frame.
    Relay(Box<Relay>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = crate::forward::Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
