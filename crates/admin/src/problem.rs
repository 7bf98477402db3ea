//! Refusals of the console, as RFC 9457 problem answers; the one place where they get a status.
//!
//! Every refusal has a code for machines and a sentence for people. A detail never repeats a credential.

use std::borrow::Cow;

use access::credential::masked;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// How long a caller should wait after `too_many`, `overloaded` or an unavailable store, in seconds.
const RETRY_AFTER_SECONDS: u16 = 1;

/// Why a request to the console was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nobody we know asks.
    Unauthenticated,
    /// They may not do this.
    NotAllowed,
    /// There is no such thing.
    NotFound,
    /// The route exists, for other methods.
    MethodNotAllowed,
    /// The request makes no sense as it is.
    Invalid,
    /// There is one already.
    Exists,
    /// Several things fit; the caller has to say which.
    Ambiguous,
    /// A bound on what may exist is reached.
    TooMany,
    /// More is under way than the console does at once; try again.
    Overloaded,
    /// The ledger cannot be written or read now.
    LedgerUnavailable,
    /// The journal cannot be written or read now.
    JournalUnavailable,
    /// What the journal has recorded is damaged.
    JournalDamaged,
}

impl Code {
    /// The `code` member.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Invalid => "invalid",
            Self::Exists => "exists",
            Self::Ambiguous => "ambiguous",
            Self::TooMany => "too_many",
            Self::Overloaded => "overloaded",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::JournalUnavailable => "journal_unavailable",
            Self::JournalDamaged => "journal_damaged",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Not signed in",
            Self::NotAllowed => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Invalid => "Invalid request",
            Self::Exists => "Exists already",
            Self::Ambiguous => "Ambiguous",
            Self::TooMany => "Too many",
            Self::Overloaded => "Overloaded",
            Self::LedgerUnavailable => "Ledger unavailable",
            Self::JournalUnavailable => "Journal unavailable",
            Self::JournalDamaged => "Journal damaged",
        }
    }

    /// The status of an answer with this code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Exists | Self::Ambiguous | Self::TooMany => StatusCode::CONFLICT,
            Self::Overloaded | Self::LedgerUnavailable | Self::JournalUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::JournalDamaged => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn passes_by_itself(self) -> bool {
        matches!(self, Self::Overloaded | Self::LedgerUnavailable | Self::JournalUnavailable)
    }
}

/// A refusal: a code, a sentence, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code.
    pub code: Code,
    /// What is wrong, in words.
    pub detail: Cow<'static, str>,
    /// What to do about it.
    pub next: Option<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: Cow<'a, str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct LastLine<'a> {
    error: Body<'a>,
}

impl Problem {
    /// A refusal without advice.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), next: None }
    }

    /// A request that makes no sense as it is.
    #[must_use]
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// The same refusal, with what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.members()).unwrap_or_default()
    }

    /// The last line of an answer in lines that began as a success. No row has a member `error`.
    pub(crate) fn last_line(&self) -> Bytes {
        let mut line = serde_json::to_vec(&LastLine { error: self.members() }).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }

    /// What a caller wrote is often said back, but no credential in it.
    fn members(&self) -> Body<'_> {
        Body {
            r#type: format!("urn:daypass:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: masked(&self.detail),
            code: self.code.as_str(),
            next: self.next.as_deref().map(masked),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"daypass console\""));
        }
        if self.code.passes_by_itself() {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// An error with all its causes, for the operator's log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
