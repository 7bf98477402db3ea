//! Certificates, keys and authorities: read, and checked to belong together, before anything listens or connects.

use std::collections::BTreeSet;
use std::sync::Arc;

use gateway::clients::{ClientTrust, LISTS_MAX, Lists, NoClientTrust};
use gateway::issued::{NAMES_MAX, is_name};
use gateway::tls::{ClientTls, IDENTITIES_MAX, Identity, NobodyTrusted, Speak, Trust};
use zeroize::Zeroizing;

use super::super::place::{Place, Placed};
use super::super::secret::Reference;
use super::super::text::{FileReference, Text};
use super::super::tls::{Acme, AcmePlan, ListenTls, ListenerTls, UpstreamTls};
use super::super::upstream::{Scheme, UpstreamUrl};
use super::Resolver;

/// The longest file of certificates or keys, in bytes.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// The most addresses that an ACME authority may write to.
const CONTACTS_MAX: usize = 8;

const LIST_ADVICE: &str = "put lists of the certificates' issuers there, as the authority publishes them";

/// What an API's `upstream_tls:` says.
pub(super) struct Credentials {
    /// `None` where no authority could be read, which is reported.
    trust: Option<Trust>,
    identity: Option<Identity>,
    name: Option<String>,
}

impl Resolver<'_> {
    /// What secures the listeners; nothing without `listen.tls`.
    pub(super) fn listener_tls(&mut self, written: Option<&Placed<ListenTls>>) -> ListenerTls {
        let Some(written) = written else { return ListenerTls::default() };
        ListenerTls {
            identities: self.identities(written),
            clients: self.clients(written),
            acme: written.acme.as_ref().and_then(|acme| self.acme(acme)).map(Arc::new),
        }
    }

    fn identities(&mut self, written: &Placed<ListenTls>) -> Vec<Identity> {
        if written.others.len() >= IDENTITIES_MAX {
            let says = format!("a listener has at most {IDENTITIES_MAX} certificates");
            self.refuse(written.place, says, "put more names into one certificate");
        }
        let first = match (&written.certificate, &written.key, &written.acme) {
            (Some(certificate), Some(key), None) => Some((certificate, key)),
            (None, None, Some(_)) => None,
            (None, None, None) => {
                let advice = "add `certificate: file:PATH` and `key: file:PATH`, or `acme:`";
                self.refuse(written.place, "`listen.tls` names no certificate", advice);
                None
            }
            (Some(alone), None, None) | (None, Some(alone), None) => {
                self.refuse(alone.place, "a certificate and its key go together", "add the other of the two");
                None
            }
            (Some(file), _, Some(_)) | (None, Some(file), Some(_)) => {
                let says = "the listeners' certificate is either a file or had from an authority";
                self.refuse(file.place, says, "remove `certificate` and `key`, or `acme`; `others` may stay");
                None
            }
        };
        let others = written.others.iter().map(|pair| (&pair.certificate, &pair.key));
        first
            .into_iter()
            .chain(others)
            .filter_map(|(certificate, key)| self.identity(certificate, key))
            .collect()
    }

    fn identity(
        &mut self,
        certificate: &Placed<FileReference>,
        key: &Placed<FileReference>,
    ) -> Option<Identity> {
        let (chain, secret) = (self.pem(certificate), self.pem(key));
        match Identity::parse(&chain?, &secret?) {
            Ok(identity) => {
                self.warn_of_time(certificate.place, &identity);
                Some(identity)
            }
            Err(why) => {
                use gateway::tls::NotAnIdentity as Not;
                let place = match why {
                    Not::Chain => certificate.place,
                    Not::Key | Not::KeyKind | Not::Mismatch => key.place,
                };
                let advice = "write the certificate, then those between it and its authority, into `certificate`, and its own key into `key`";
                self.refuse(place, why.to_string(), advice);
                None
            }
        }
    }

    /// From whom the listeners' certificate is had.
    fn acme(&mut self, written: &Placed<Acme>) -> Option<AcmePlan> {
        let url = reqwest::Url::parse(&written.directory).ok();
        let plain = |url: &reqwest::Url| url.username().is_empty() && url.password().is_none();
        if !url.as_ref().is_some_and(|url| url.scheme() == "https" && plain(url)) {
            if !url.as_ref().is_some_and(plain) {
                self.errors.hide(written.directory.place);
            }
            let advice = "write its URL, like `https://acme-v02.api.letsencrypt.org/directory`";
            self.refuse(written.directory.place, "this is no directory of an ACME authority", advice);
        }
        self.acme_domains(&written.domains);
        if let Some(beyond) = written.contact.get(CONTACTS_MAX) {
            let says = format!("an authority is told at most {CONTACTS_MAX} addresses to write to");
            self.refuse(beyond.place, says, "remove the rest of them");
        }
        let is_address = |text: &str| text.strip_prefix("mailto:").is_some_and(|to| to.contains('@'));
        for contact in written.contact.iter().filter(|contact| !is_address(contact)) {
            let says = format!("`{}` is no address to write to", contact.value);
            self.refuse(contact.place, says, "write `mailto:` and an address");
        }
        let texts = |texts: &[Placed<Text>]| texts.iter().map(|text| text.to_string()).collect();
        Some(AcmePlan {
            directory: written.directory.to_string(),
            domains: texts(&written.domains),
            contact: texts(&written.contact),
            trust: self.trust(written.ca.as_ref(), written.place)?,
        })
    }

    fn acme_domains(&mut self, written: &Placed<Vec<Placed<Text>>>) {
        if !(1..=NAMES_MAX).contains(&written.len()) {
            let says = format!("a certificate is for 1 to {NAMES_MAX} names");
            self.refuse(written.place, says, "write the names under which callers reach the proxy");
        }
        let mut seen = BTreeSet::new();
        for domain in &**written {
            if !is_name(domain) {
                let says = format!("no certificate can be had for `{}`", domain.value);
                let advice =
                    "write a host's name in lower case; wildcards and addresses cannot be proven here";
                self.refuse(domain.place, says, advice);
            } else if !seen.insert(domain.to_string()) {
                let says = format!("`{}` stands here twice", domain.value);
                self.refuse(domain.place, says, "remove one of them");
            }
        }
    }

    fn warn_of_time(&mut self, place: Place, identity: &Identity) {
        let (now, validity) = (self.environment.now(), identity.validity());
        let says = if now >= validity.until {
            format!("this certificate ended on {}: nobody believes it any more", validity.until)
        } else if now < validity.from {
            format!("this certificate is not in force before {}: nobody believes it yet", validity.from)
        } else {
            return;
        };
        self.warn(place, says, "put one there that is in force, and reload");
    }

    /// Whose certificates the proxy asks for.
    fn clients(&mut self, written: &Placed<ListenTls>) -> Option<ClientTrust> {
        let lists = self.lists(written.client_crl.as_ref());
        let Some(ca) = &written.client_ca else {
            if let Some(lists) = &written.client_crl {
                let says = "revocation lists are about certificates of `client_ca`, which is not there";
                self.refuse(lists.place, says, "add `client_ca: file:PATH`, or remove the lists");
            }
            return None;
        };
        match ClientTrust::new(&self.pem(ca)?, &lists?) {
            Ok(trust) => Some(trust),
            Err(why) => {
                let advice = match why {
                    NoClientTrust::Nobody(_) => "put the authorities' own certificates there, in PEM",
                    NoClientTrust::List(_) => LIST_ADVICE,
                };
                self.refuse(ca.place, why.to_string(), advice);
                None
            }
        }
    }

    /// `None` only where something was refused.
    fn lists(&mut self, written: Option<&Placed<Vec<Placed<FileReference>>>>) -> Option<Vec<Lists>> {
        let Some(written) = written else { return Some(Vec::new()) };
        if !(1..=LISTS_MAX).contains(&written.len()) {
            let says = format!("a listener has 1 to {LISTS_MAX} files of revocation lists");
            self.refuse(
                written.place,
                says,
                "name each file once, or remove the key: then no list is looked at",
            );
            return None;
        }
        let read: Vec<_> = written.iter().map(|file| self.list(file)).collect();
        read.into_iter().collect()
    }

    fn list(&mut self, written: &Placed<FileReference>) -> Option<Lists> {
        let lists = Lists::parse(&self.pem(written)?);
        if let Err(why) = &lists {
            self.refuse(written.place, why.to_string(), LIST_ADVICE);
        }
        let lists = lists.ok()?;
        if let Some(until) = lists.until().filter(|until| self.environment.now() >= *until) {
            let says = format!(
                "a list of this file was due to be followed on {until}: certificates that it covers are refused"
            );
            self.warn(written.place, says, "put the newest list there, and reload");
        }
        Some(lists)
    }

    fn pem(&mut self, written: &Placed<FileReference>) -> Option<Zeroizing<Vec<u8>>> {
        let path = match Reference::parse(&written.value) {
            Ok(Reference::File(path)) => path,
            Ok(Reference::Variable(_)) | Err(_) => {
                self.errors.hide(written.place);
                self.refuse(written.place, "certificates and keys are given as files", "write `file:PATH`");
                return None;
            }
        };
        match super::super::read_bounded(&self.directory.join(path), PEM_BYTES_MAX) {
            Ok(Some(bytes)) => Some(Zeroizing::new(bytes)),
            Ok(None) => {
                self.refuse(
                    written.place,
                    "the file is longer than 1 MiB",
                    "put PEM there, and nothing else",
                );
                None
            }
            Err(error) => {
                let says = format!("the file `{path}` cannot be read: {error}");
                self.refuse(written.place, says, "put it there, readable by the server's user");
                None
            }
        }
    }

    /// What an API's upstreams over TLS share.
    pub(super) fn upstream_tls(
        &mut self,
        written: Option<&Placed<UpstreamTls>>,
        urls: &[(Place, UpstreamUrl)],
    ) -> Option<Credentials> {
        let secured = urls.iter().find(|(_, url)| url.scheme.is_secured());
        let Some((place, _)) = secured else {
            if let Some(written) = written.filter(|_| !urls.is_empty()) {
                let says = "`upstream_tls` is about `https://` and `h2://` upstreams, and this API has none";
                self.refuse(written.place, says, "write `https://` before the upstream's host, or remove it");
            }
            return None;
        };
        let (place, nothing) = (*place, UpstreamTls::default());
        let written = written.map_or(&nothing, |written| &written.value);
        Some(Credentials {
            trust: self.trust(written.ca.as_ref(), place),
            identity: self.own_identity(written),
            name: written.server_name.as_ref().map(|name| name.to_string()),
        })
    }

    fn trust(&mut self, ca: Option<&Placed<FileReference>>, upstream: Place) -> Option<Trust> {
        let (trust, place) = match ca {
            Some(written) => (Trust::only(&self.pem(written)?), written.place),
            None => (Trust::system(), upstream),
        };
        let advice = |why| match why {
            NobodyTrusted::NoAuthority => "put the authorities' own certificates there, in PEM",
            NobodyTrusted::EmptySystem => {
                "install the system's certificates (Debian: `ca-certificates`), or name a file with `ca: file:PATH`"
            }
        };
        trust.map_err(|why| self.refuse(place, why.to_string(), advice(why))).ok()
    }

    fn own_identity(&mut self, written: &UpstreamTls) -> Option<Identity> {
        match (&written.certificate, &written.key) {
            (Some(certificate), Some(key)) => self.identity(certificate, key),
            (Some(alone), None) | (None, Some(alone)) => {
                self.refuse(alone.place, "a certificate and its key go together", "add the other of the two");
                None
            }
            (None, None) => None,
        }
    }

    /// The upstream that a URL names.
    pub(super) fn upstream(
        &mut self,
        place: Place,
        url: UpstreamUrl,
        credentials: Option<&Credentials>,
    ) -> Option<gateway::Upstream> {
        let protocol = match url.scheme {
            Scheme::Http | Scheme::Https => gateway::Protocol::Http1,
            Scheme::H2c | Scheme::H2 => gateway::Protocol::Http2,
        };
        let tls = match credentials.filter(|_| url.scheme.is_secured()) {
            None => None,
            Some(credentials) => {
                let speak = if url.scheme == Scheme::H2 { Speak::Http2 } else { Speak::Http1 };
                let name = credentials.name.as_deref().or(url.host()).unwrap_or_default();
                let tls =
                    ClientTls::new(credentials.trust.as_ref()?, credentials.identity.as_ref(), name, speak);
                if tls.is_none() {
                    let says = format!("no certificate can be for `{name}`");
                    self.refuse(
                        place,
                        says,
                        "write the name or address that the upstream's certificate is for",
                    );
                }
                Some(tls?)
            }
        };
        let reach = url.reach();
        Some(gateway::Upstream::new(protocol, &url.authority, reach, url.base_path, tls))
    }
}
