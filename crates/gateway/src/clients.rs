//! Certificates of clients: whose are taken, which are revoked, and whether one that was taken still would be.
//!
//! A certificate is proven in the handshake, and again whenever what proves it has changed: after a reload, once a
//! revocation list has had its time, and when a session was resumed, for then no handshake looked at it.
//! Not here: whom it stands for (see `certificate`), and what they may do (`access`).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use access::arrival::Certificate;
use access::credential::{CertificateId, CredentialId};
use access::refused::Known;
use access::{Deadline, Reason, Refused, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};

use crate::certificate::{Validity, next_update, subject};
use crate::tls::{Doors, NobodyTrusted, PROVIDER, authorities};

/// The most revocation lists of a listener.
pub const LISTS_MAX: usize = 64;

/// Whose certificates a listener takes.
#[derive(Clone)]
pub struct ClientTrust(Arc<Proof>);

/// What proves certificates; exchanged whole.
pub(crate) struct Proof {
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// When the first of the revocation lists has had its time.
    lists_until: Option<Timestamp>,
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTrust")
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof")
    }
}

/// Why client certificates cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoClientTrust {
    /// No authority.
    #[error(transparent)]
    Nobody(#[from] NobodyTrusted),
    /// A list that cannot be used.
    #[error("the file holds no revocation list that can be used, in PEM or DER: {0}")]
    List(&'static str),
}

/// The revocation lists in a file, in DER, and when the first of them has had its time.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    lists: Vec<CertificateRevocationListDer<'static>>,
    until: Option<Timestamp>,
}

impl Lists {
    /// Reads a file, PEM or DER.
    ///
    /// # Errors
    /// [`NoClientTrust::List`]: it has none, or one that cannot be read or says nothing of the next.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoClientTrust> {
        let unusable = NoClientTrust::List;
        let lists = if bytes.trim_ascii_start().starts_with(b"-----") {
            let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
            read.map_err(|_| unusable("it is not PEM"))?
        } else {
            vec![CertificateRevocationListDer::from(bytes.to_vec())]
        };
        let mut until = None;
        for list in &lists {
            webpki::OwnedCertRevocationList::from_der(list).map_err(|_| unusable("it is no list"))?;
            let next = next_update(list).ok_or_else(|| unusable("it does not say when the next is due"))?;
            until = until.into_iter().chain([next]).min();
        }
        if until.is_none() {
            return Err(unusable("there is none"));
        }
        Ok(Self { lists, until })
    }

    /// When the first of them has had its time.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

impl ClientTrust {
    /// The authorities in a PEM file and no others. With `lists`, each certificate below them must be covered by
    /// one that is in force and does not name it.
    ///
    /// # Errors
    /// [`NoClientTrust`].
    pub fn new(authorities_pem: &[u8], lists: &[Lists]) -> Result<Self, NoClientTrust> {
        let roots: RootCertStore = authorities(authorities_pem)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
        let ders = lists.iter().flat_map(|file| file.lists.iter().cloned());
        let builder = builder.with_crls(ders).enforce_revocation_expiration().allow_unauthenticated();
        let verifier = builder.build().map_err(|_| NoClientTrust::List("it is no list"))?;
        let lists_until = lists.iter().filter_map(Lists::until).min();
        Ok(Self(Arc::new(Proof { verifier, lists_until })))
    }

    pub(crate) const fn proof(&self) -> &Arc<Proof> {
        &self.0
    }
}

/// The certificate that a client showed in the handshake of its connection.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) certificate: Certificate,
    chain: Box<[CertificateDer<'static>]>,
    /// What proved it last.
    proven: RefCell<Option<Arc<Proof>>>,
    void: Cell<bool>,
}

/// Why a certificate is good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Void {
    Expired,
    Revoked,
    /// The lists do not cover it, or have had their time.
    Unlisted,
    /// The listener does not trust its authority any more, or asks for no certificates.
    Untrusted,
}

impl Void {
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::CredentialExpired,
            Self::Revoked => Reason::CredentialRevoked,
            Self::Unlisted | Self::Untrusted => Reason::CredentialInvalid,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Expired => "the connection's client certificate is past its end",
            Self::Revoked => "the connection's client certificate was revoked",
            Self::Unlisted => "no revocation list in force covers the connection's client certificate",
            Self::Untrusted => "the connection's client certificate is not trusted any more",
        }
    }
}

impl Shown {
    /// What a client showed: its own certificate first. `proof` is what the handshake proved it by, if it did.
    /// `None` if it cannot be read.
    pub(crate) fn new(chain: &[CertificateDer<'static>], proof: Option<Arc<Proof>>) -> Option<Self> {
        let own = chain.first()?;
        let until = Deadline::at(Validity::of(own)?.until);
        let certificate = Certificate { id: CertificateId::of(own), subject: subject(own), until };
        Some(Self { certificate, chain: chain.into(), proven: RefCell::new(proof), void: Cell::new(false) })
    }

    /// Why it is good no more by what proves certificates at present.
    pub(crate) fn why_void(&self, doors: &Doors, now: Timestamp) -> Option<Void> {
        if self.certificate.until.has_passed(now) {
            return Some(Void::Expired);
        }
        let Some(proof) = doors.proof() else { return Some(Void::Untrusted) };
        let lists_hold = proof.lists_until.is_none_or(|until| now < until);
        let known = self.proven.borrow().as_ref().is_some_and(|proven| Arc::ptr_eq(proven, &proof));
        if known && lists_hold {
            return None;
        }
        let why = self.why_unproven(&proof, now);
        self.proven.replace(why.is_none().then_some(proof));
        why
    }

    fn why_unproven(&self, proof: &Proof, now: Timestamp) -> Option<Void> {
        let Some((own, between)) = self.chain.split_first() else { return Some(Void::Untrusted) };
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_micros(micros));
        match proof.verifier.verify_client_cert(own, between, now) {
            Ok(_) => None,
            Err(rustls::Error::InvalidCertificate(why)) => Some(match why {
                CertificateError::Revoked => Void::Revoked,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Void::Expired,
                CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. } => Void::Unlisted,
                _ => Void::Untrusted,
            }),
            Err(_) => Some(Void::Untrusted),
        }
    }

    /// Whether a request was refused because of it.
    pub(crate) fn is_void(&self) -> bool {
        self.void.get()
    }

    /// The refusal of a request on a connection whose certificate is good no more; it is the last.
    pub(crate) fn refusal(&self, why: Void) -> Refused {
        self.void.set(true);
        let known = Known {
            subject: self.certificate.subject.clone().ok(),
            credential: Some(CredentialId::Certificate(self.certificate.id)),
            ..Known::default()
        };
        Refused::because(why.reason(), why.detail())
            .next("connect again with a certificate that is in force, or without one and with a token")
            .knowing(known)
    }
}
