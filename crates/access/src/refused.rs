//! Why a request was not let through: the reason codes of the contract, and what was known when it was refused.
//!
//! Not here: HTTP statuses (only `gateway::respond` turns a refusal into one).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::credential::CredentialId;
use crate::id::{ApiName, GrantId, IncidentId, RoleName};
use crate::limit::Rate;
use crate::subject::SubjectId;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal),* $(,)?) => {
        /// The reason codes of the contract; each is the `code` of a problem answer and the journal's `reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code, for machines.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }
        }
    };
}

reasons! {
    /// More than one reading of the request is possible, or none.
    RequestMalformed = "request_malformed",
    /// The TLS handshake was for another host than the request.
    Misdirected = "misdirected",
    /// Nothing was shown to say who asks.
    CredentialMissing = "credential_missing",
    /// What was shown is no credential of ours.
    CredentialInvalid = "credential_invalid",
    /// The credential is past its own end.
    CredentialExpired = "credential_expired",
    /// Somebody revoked the credential.
    CredentialRevoked = "credential_revoked",
    /// The grant behind the token has ended.
    GrantEnded = "grant_ended",
    /// No role of the credential allows the operation.
    OperationNotAllowed = "operation_not_allowed",
    /// The subject may do nothing at present.
    SubjectSuspended = "subject_suspended",
    /// No API answers at this host or path.
    ApiUnknown = "api_unknown",
    /// The API's contract names no such operation.
    OperationUnknown = "operation_unknown",
    /// The request's body is longer than the API takes.
    BodyTooLarge = "body_too_large",
    /// The head of the request is longer than is read.
    HeadersTooLarge = "headers_too_large",
    /// The request target is longer than is read.
    UriTooLong = "uri_too_long",
    /// A method that is not forwarded.
    MethodUnsupported = "method_unsupported",
    /// An upgrade that is not forwarded.
    UpgradeRefused = "upgrade_refused",
    /// More requests than the limit allows.
    RateLimited = "rate_limited",
    /// The node or the API has no room for one more request.
    Overloaded = "overloaded",
    /// The request could not be recorded.
    JournalUnavailable = "journal_unavailable",
    /// The node cannot prove that its view of access is fresh.
    ViewStale = "view_stale",
    /// The node is shutting down.
    Draining = "draining",
    /// No upstream could be reached.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream's answer could not be read.
    UpstreamMalformed = "upstream_malformed",
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// What had been established about a request when its way ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The API it was for.
    pub api: Option<ApiName>,
    /// The operation it asked for.
    pub operation: Option<Arc<str>>,
    /// Who asked.
    pub subject: Option<SubjectId>,
    /// What they showed.
    pub credential: Option<CredentialId>,
    /// The grant behind it.
    pub grant: Option<GrantId>,
    /// The role that was asked, or allowed it.
    pub role: Option<RoleName>,
    /// The incident the grant belongs to.
    pub incident: Option<IncidentId>,
    /// The rule that decided.
    pub rule: Option<Arc<str>>,
}

/// A refusal: a reason for machines, a sentence for people, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason code.
    pub reason: Reason,
    /// What is wrong, in words; never a secret and never a part of the request's body.
    pub detail: Cow<'static, str>,
    /// What to do about it.
    pub next: Option<Cow<'static, str>>,
    /// What was established before.
    pub known: Box<Known>,
    /// When to come back, for reasons that pass by themselves.
    pub retry: Option<Retry>,
}

/// When a refused request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How long to wait.
    pub after: Duration,
    /// The rate that was exceeded, if one was.
    pub rate: Option<Rate>,
}

impl Refused {
    /// A refusal about which nothing else is known yet.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), next: None, known: Box::default(), retry: None }
    }

    /// The same refusal, with what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same refusal, with what was established before it.
    #[must_use]
    pub fn knowing(mut self, known: Known) -> Self {
        *self.known = known;
        self
    }

    /// The same refusal, with when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration, rate: Option<Rate>) -> Self {
        self.retry = Some(Retry { after, rate });
        self
    }
}
