//! A request as it arrived: borrowed views of its parts, read once, whatever protocol brought it.
//!
//! The gateway makes one from what its codec parsed; every decision works on this and on nothing else.

use std::net::IpAddr;

use crate::canonical::Target;
use crate::credential::{CertificateId, CredentialKind, Digest, NotACredential};
use crate::id::RequestId;
use crate::operation::Method;
use crate::subject::SubjectId;
use crate::time::{Deadline, Timestamp};

/// A request whose parts each have one reading.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Its id, made on arrival.
    pub id: RequestId,
    /// When its head was complete.
    pub at: Timestamp,
    /// Who is at the other end of the connection.
    pub client: IpAddr,
    /// Its method.
    pub method: Method,
    /// The host it asks for, port included, as sent.
    pub host: &'a str,
    /// What it asks for.
    pub target: Target<'a>,
    /// What it shows to say who asks.
    pub shown: Shown,
    /// The client certificate of its connection, proven to be in force when it arrived.
    pub certificate: Option<&'a Certificate>,
    /// How long its body is.
    pub body: BodyLength,
}

/// What stands in the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// No such header.
    Nothing,
    /// `Bearer` and this.
    Bearer(Result<(CredentialKind, Digest), NotACredential>),
    /// Another scheme.
    OtherScheme,
}

/// A client certificate, as far as decisions go by it. Whoever makes one has proven it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// Whom it stands for.
    pub subject: Result<SubjectId, Unnamed>,
    /// When it ends.
    pub until: Deadline,
}

/// Why a certificate stands for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// Neither a `daypass:` URI nor a common name.
    #[error("the client certificate names nobody")]
    Nobody,
    /// More than one such URI, or without one more than one common name.
    #[error("the client certificate names more than one subject")]
    Several,
    /// What it says is no subject's name.
    #[error("what the client certificate says is not the name of a subject")]
    NotAName,
}

/// How long a body is, as far as its head tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Known(u64),
    /// Told only by its end.
    Unknown,
}
