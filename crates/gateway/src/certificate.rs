//! What stands in a certificate, as far as Daypass goes by it: when it is in force, and in whose name.
//!
//! Reading is not believing: whether an authority vouches for any of it is proven elsewhere (see `clients`), and
//! nobody asks here.

use access::arrival::Unnamed;
use access::{SubjectId, SubjectKind, Timestamp};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer as _, X509Certificate};

/// When a certificate is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Validity {
    /// Of a certificate in DER; `None` if it cannot be read.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let certificate = read(der)?;
        let validity = certificate.validity();
        Some(Self { from: instant(validity.not_before)?, until: instant(validity.not_after)? })
    }
}

fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, read)| read)
}

fn instant(time: ASN1Time) -> Option<Timestamp> {
    time.timestamp().checked_mul(1_000_000).map(Timestamp::from_micros)
}

/// When a revocation list in DER is to be followed by another; `None` if it cannot be read, or does not say.
pub(crate) fn next_update(list: &[u8]) -> Option<Timestamp> {
    let read = CertificateRevocationList::from_der(list).ok().filter(|(rest, _)| rest.is_empty());
    read.and_then(|(_, list)| list.next_update()).and_then(instant)
}

/// The hosts that a certificate is for, as people read them; its common names if there are none.
pub(crate) fn hosts(der: &[u8]) -> Vec<String> {
    let Some(certificate) = read(der) else { return Vec::new() };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let general = alternatives.iter().flat_map(|names| &names.value.general_names);
    let hosts: Vec<_> = general.filter_map(host).collect();
    if !hosts.is_empty() {
        return hosts;
    }
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(String::from).collect()
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            v4.or(v6).ok()
        }
        _ => None,
    }
}

/// Whom a client's certificate in DER stands for: its one URI `daypass://user/NAME` or `daypass://service/NAME`;
/// without any such URI its one common name, `NAME` of a person or `service:NAME`.
pub(crate) fn subject(der: &[u8]) -> Result<SubjectId, Unnamed> {
    let certificate = read(der).ok_or(Unnamed::NotAName)?;
    let alternatives = certificate.subject_alternative_name().map_err(|_| Unnamed::NotAName)?;
    let mut uris = Vec::new();
    for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) if is_ours(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(Unnamed::NotAName),
            _ => {}
        }
    }
    let named = match only(uris) {
        Ok(uri) => of_uri(uri),
        Err(Unnamed::Nobody) => {
            let names = certificate.subject().iter_common_name().map(|name| name.as_str());
            let names: Result<Vec<_>, _> = names.collect();
            only(names.map_err(|_| Unnamed::NotAName)?)?.parse().ok()
        }
        Err(why) => return Err(why),
    };
    named.filter(|subject| subject.kind() != SubjectKind::Local).ok_or(Unnamed::NotAName)
}

fn is_ours(uri: &str) -> bool {
    uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("daypass:"))
}

fn of_uri(uri: &str) -> Option<SubjectId> {
    let (kind, name) = uri.strip_prefix("daypass://")?.split_once('/')?;
    let kind = match kind {
        "user" => SubjectKind::User,
        "service" => SubjectKind::Service,
        _ => return None,
    };
    Some(SubjectId::new(kind, name.parse().ok()?))
}

fn only(mut names: Vec<&str>) -> Result<&str, Unnamed> {
    match (names.pop(), names.is_empty()) {
        (None, _) => Err(Unnamed::Nobody),
        (Some(name), true) => Ok(name),
        (Some(_), false) => Err(Unnamed::Several),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn named(common: &[&str], alternatives: &[SanType]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        common.iter().for_each(|name| params.distinguished_name.push(DnType::CommonName, *name));
        params.subject_alt_names = alternatives.to_vec();
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(signed.der()).map_or_else(|why| why.to_string(), |subject| subject.to_string())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn a_certificate_names_one_subject_in_one_place() {
        let alice = uri("daypass://user/alice");
        let other = [SanType::DnsName("bob".try_into().unwrap()), uri("spiffe://x/bob")];
        for (common, alternatives, names) in [
            (&["alice"][..], &[][..], "user:alice"),
            (&["user:alice"], &[], "user:alice"),
            (&["alice@example.com"], &[], "user:alice@example.com"),
            (&["service:ci"], &other, "service:ci"),
            (&["Alice Smith"], std::slice::from_ref(&alice), "user:alice"),
            (&[], &[uri("daypass://service/ci")], "service:ci"),
        ] {
            assert_eq!(named(common, alternatives), names);
        }
        let (nobody, several, no_name) =
            (Unnamed::Nobody.to_string(), Unnamed::Several.to_string(), Unnamed::NotAName.to_string());
        assert_eq!(named(&[], &other), nobody);
        assert_eq!(named(&["x"], &[alice, uri("daypass://user/bob")]), several);
        for common in ["Alice Smith", "", "local:root", "user:", "alice\0", "group:sre", "../alice"] {
            assert_eq!(named(&[common], &[]), no_name, "{common}");
        }
        for wrong in [
            "daypass://user/",
            "daypass://user/alice/x",
            "daypass://local/root",
            "daypass:user/alice",
            "DAYPASS://user/alice",
            "daypass://user/alice?x",
            "daypass://alice",
        ] {
            assert_eq!(named(&["bob"], &[uri(wrong)]), no_name, "{wrong}");
        }
    }
}
