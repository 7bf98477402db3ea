//! Certificates, keys and authorities: read, and checked to belong together, before anything listens or connects.

use gateway::tls::{ClientTls, IDENTITIES_MAX, Identity, NobodyTrusted, Speak, Trust};
use zeroize::Zeroizing;

use super::super::place::{Place, Placed};
use super::super::secret::Reference;
use super::super::text::FileReference;
use super::super::tls::{ListenTls, UpstreamTls};
use super::super::upstream::{Scheme, UpstreamUrl};
use super::Resolver;

/// The longest file of certificates or keys, in bytes.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// What an API's `upstream_tls:` says.
pub(super) struct Credentials {
    /// `None` where no authority could be read, which is reported.
    trust: Option<Trust>,
    identity: Option<Identity>,
    name: Option<String>,
}

impl Resolver<'_> {
    /// Who the listeners are; nobody without `listen.tls`.
    pub(super) fn identities(&mut self, written: Option<&Placed<ListenTls>>) -> Vec<Identity> {
        let Some(written) = written else { return Vec::new() };
        if let Some(ca) = &written.client_ca {
            self.not_enforced("listen.tls.client_ca", ca.place, "remove it, and give service keys or tokens");
        }
        if written.others.len() >= IDENTITIES_MAX {
            let says = format!("a listener has at most {IDENTITIES_MAX} certificates");
            self.refuse(written.place, says, "put more names into one certificate");
        }
        let first = std::iter::once((&written.certificate, &written.key));
        let others = written.others.iter().map(|pair| (&pair.certificate, &pair.key));
        first.chain(others).filter_map(|(certificate, key)| self.identity(certificate, key)).collect()
    }

    fn identity(
        &mut self,
        certificate: &Placed<FileReference>,
        key: &Placed<FileReference>,
    ) -> Option<Identity> {
        let (chain, secret) = (self.pem(certificate), self.pem(key));
        match Identity::parse(&chain?, &secret?) {
            Ok(identity) => Some(identity),
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
                "install the system's certificates (Debian: `ca-certificates`), or name a file with `upstream_tls: { ca: file:PATH }`"
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
