//! The certificate that an ACME authority issues to the listeners, and what proves their names to it meanwhile.
//!
//! Both may be exchanged at any time: the next handshake is met with what is here then. A proof (RFC 8737) is shown to
//! whoever offers `acme-tls/1` and nothing else, in a handshake after which the connection is closed: nothing is served
//! over it.
//! Not here: accounts and orders, and where the certificate is kept (the binary).

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::{Identity, NotAnIdentity, PROVIDER};

/// The protocol that an authority offers to see a proof.
pub(crate) const ACME: &[u8] = b"acme-tls/1";

/// The most names of one certificate.
pub const NAMES_MAX: usize = 64;

/// Whether an authority can be shown that a name leads here: a host's, in lower case, and no wildcard.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = !text.contains('*') && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    plain && matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)))
}

/// The certificate that proves a name, and its key. What makes it a proof is critical, and known to nobody who validates
/// certificates: it is never shown as anything else.
#[derive(Debug, Clone)]
pub struct NameProof(Arc<CertifiedKey>);

impl NameProof {
    /// Reads one certificate and its key, both in PEM, which belong together.
    ///
    /// # Errors
    /// [`NotAnIdentity`], but never [`NotAnIdentity::Mismatch`]: that is for the authority to find.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, NotAnIdentity> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_| NotAnIdentity::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NotAnIdentity::Key)?;
        let key = PROVIDER.key_provider.load_private_key(key).map_err(|_| NotAnIdentity::KeyKind)?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate], key))))
    }
}

/// What an authority issued, if it did, and the proofs of an order that is under way.
#[derive(Debug, Default)]
pub struct Issued {
    identity: ArcSwapOption<Identity>,
    proofs: ArcSwap<Vec<(Box<str>, NameProof)>>,
}

impl Issued {
    /// What the next client is shown.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.load_full()
    }

    /// From the next handshake on. Without one, only those are let in who ask for a name of another certificate.
    pub fn replace(&self, identity: Option<Identity>) {
        self.identity.store(identity.map(Arc::new));
    }

    /// Proves a name, in lower case. Beyond [`NAMES_MAX`] names the oldest is not proven any more.
    pub fn prove(&self, name: &str, proof: &NameProof) {
        self.proofs.rcu(|present| {
            let others = present.iter().filter(|(other, _)| **other != *name).cloned();
            let mut proofs: Vec<_> = others.chain([(name.into(), proof.clone())]).collect();
            proofs.drain(..proofs.len().saturating_sub(NAMES_MAX));
            proofs
        });
    }

    /// Proves nothing any more.
    pub fn prove_nothing(&self) {
        self.proofs.store(Arc::default());
    }

    /// The proof of a name as it was asked for.
    pub(crate) fn proof(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let (name, proofs) = (name?, self.proofs.load());
        let found = proofs.iter().find(|(proven, _)| proven.eq_ignore_ascii_case(name));
        found.map(|(_, proof)| proof.0.clone())
    }
}

/// Which certificate a client of a listener is shown.
#[derive(Debug)]
pub(crate) struct Identities {
    /// Where the first is had from an authority.
    pub(crate) issued: Option<Arc<Issued>>,
    pub(crate) own: Vec<Identity>,
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = match &self.issued {
            Some(issued) if looks_for_proof(&hello) => return issued.proof(hello.server_name()),
            Some(issued) => issued.identity(),
            None => None,
        };
        let first = first.as_deref();
        let asked = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let mut all = first.into_iter().chain(&self.own);
        let named = asked.and_then(|name| all.find(|identity| identity.is_for(&name)));
        let other = || match &self.issued {
            Some(_) => first,
            None => self.own.first(),
        };
        named.or_else(other).map(Identity::certified)
    }
}

/// Whether a client is an authority that looks for a proof (RFC 8737, section 3).
fn looks_for_proof(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([ACME]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(name: &str) -> NameProof {
        let signed = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        NameProof::parse(signed.cert.pem().as_bytes(), signed.signing_key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn only_names_of_hosts_can_be_proven() {
        for name in ["a.example", "localhost", "xn--bcher-kva.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["*.a.example", "A.example", "127.0.0.1", "::1", "", "a..example", "bücher.example"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn no_more_names_are_proven_than_a_certificate_may_have() {
        let (issued, proof) = (Issued::default(), proof("a.example"));
        let name = |number| format!("{number}.example");
        (0..=NAMES_MAX).for_each(|number| issued.prove(&name(number), &proof));
        issued.prove(&name(NAMES_MAX), &proof);
        assert!(issued.proof(Some(&name(0))).is_none());
        assert!(issued.proof(Some(&name(1).to_uppercase())).is_some());
        assert!(issued.proof(Some(&name(NAMES_MAX))).is_some());
        assert!(issued.proof(None).is_none());
        issued.prove_nothing();
        assert!(issued.proof(Some(&name(1))).is_none());
    }
}
