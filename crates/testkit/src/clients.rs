//! Certificates of clients: an authority that the proxies of worlds ask for, what it signs, and what it takes back.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use access::Timestamp;
use access::credential::CertificateId;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, HandshakeKind};

use crate::client::{Answer, Ask, Conn};
use crate::h2c::H2;
use crate::oracle::Holding;
use crate::tls::{self, AUTHORITY, Authority, PROXY_NAMES, Signed, named, provider, read};
use crate::world::World;

/// Whose certificates the proxy of a world believes, if its setup asks for any: `clients.pem`.
pub static CLIENTS: LazyLock<Authority> = LazyLock::new(Authority::stranger);

/// A day, as a certificate or a list says it.
pub type Day = (i32, u8, u8);

/// Longer than any test.
pub const LATER: Day = (2040, 1, 1);

/// What a certificate of a client is to say.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// Its common name.
    pub name: String,
    /// The URIs among its alternative names.
    pub uris: Vec<String>,
    /// Until when it is in force.
    pub until: Day,
    /// What it may be used for.
    pub usage: ExtendedKeyUsagePurpose,
}

impl ClientCertificate {
    /// For a subject, by its common name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Self { name: name.to_owned(), uris: Vec::new(), until: LATER, usage }
    }

    /// For servers.
    #[must_use]
    pub fn for_servers(self) -> Self {
        Self { usage: ExtendedKeyUsagePurpose::ServerAuth, ..self }
    }

    /// Signs it. `serial` is its own among those of the authority that matter to a test.
    ///
    /// # Panics
    /// It says something that cannot be signed.
    #[must_use]
    pub fn sign(&self, authority: &Authority, serial: u64) -> Signed {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named(&self.name);
        params.subject_alt_names =
            self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())).collect();
        params.extended_key_usages = vec![self.usage.clone()];
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(self.until.0, self.until.1, self.until.2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority.issuer()).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Authority {
    /// The list of what it has taken back, by serial number, until the next is due; in PEM.
    ///
    /// # Panics
    /// It cannot sign.
    #[must_use]
    pub fn revoke(&self, serials: &[u64], next: Day) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(next.0, next.1, next.2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(self.issuer()).unwrap().pem().unwrap()
    }
}

/// How a client that has this certificate, or none, speaks TLS; sessions are resumed where it is used again.
///
/// # Panics
/// The certificate and its key do not go together.
#[must_use]
pub fn config(own: Option<&Signed>, protocol: &str) -> Arc<ClientConfig> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(AUTHORITY.roots());
    let mut config = match own.map(read) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

/// The id under which rows name a certificate.
///
/// # Panics
/// It is none.
#[must_use]
pub fn id(signed: &Signed) -> String {
    let der = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap();
    CertificateId::of(&der).to_string()
}

impl World {
    /// A certificate for a subject (`alice` or `service:ci`), of whom the oracle believes that they hold `roles`.
    #[must_use]
    pub fn certify(&self, name: &str, roles: &[&str]) -> Signed {
        let signed = ClientCertificate::of(name).sign(&CLIENTS, 1);
        self.expect_certificate(&signed, name, roles);
        signed
    }

    /// Has the oracle believe that a certificate stands for a subject that holds `roles`.
    pub fn expect_certificate(&self, signed: &Signed, name: &str, roles: &[&str]) {
        let subject = if name.contains(':') { name.to_owned() } else { format!("user:{name}") };
        let holding = Holding {
            subject,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            only: Vec::new(),
            until: Timestamp::from_micros(i64::MAX),
        };
        self.issued.borrow_mut().holdings.insert(id(signed), holding);
    }

    fn proxy(&self) -> SocketAddr {
        self.node().proxy_address()
    }

    /// A connection to the proxy with a certificate.
    ///
    /// # Panics
    /// The proxy does not shake hands.
    pub async fn connect_as(&self, own: &Signed) -> Conn {
        self.connect_over(config(Some(own), "http/1.1")).await
    }

    /// A connection to the proxy that speaks TLS like this.
    ///
    /// # Panics
    /// The proxy does not shake hands.
    pub async fn connect_over(&self, config: Arc<ClientConfig>) -> Conn {
        let stream = tls::connect_with(config, self.proxy(), PROXY_NAMES[0]).await.unwrap();
        Conn::over(stream, self.book.clone())
    }

    /// An HTTP/2 connection to the proxy with a certificate.
    ///
    /// # Panics
    /// The proxy does not shake hands.
    pub async fn connect_h2_as(&self, own: &Signed) -> H2 {
        let name = PROXY_NAMES[0];
        let stream = tls::connect_with(config(Some(own), "h2"), self.proxy(), name).await.unwrap();
        H2::over(stream, name.to_owned(), self.book.clone()).await
    }

    /// One request with a certificate.
    pub async fn send_as(&self, own: &Signed, ask: &Ask) -> Answer {
        self.connect_as(own).await.ask(ask).await
    }

    /// Whether a session that this client had before is resumed. Takes a ticket for the next.
    ///
    /// # Panics
    /// The proxy does not shake hands, or does not answer.
    pub async fn resumes(&self, config: &Arc<ClientConfig>) -> bool {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tls::connect_with(config.clone(), self.proxy(), PROXY_NAMES[0]).await.unwrap();
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: api.example\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the proxy takes a certificate. With TLS 1.3 a client learns that with the first byte it reads.
    pub async fn takes(&self, own: &Signed) -> bool {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let config = config(Some(own), "http/1.1");
        let Ok(mut stream) = tls::connect_with(config, self.proxy(), PROXY_NAMES[0]).await else {
            return false;
        };
        // Not a request yet: a connection that was taken waits for the rest.
        let written = stream.write_all(b"GET").await.is_ok();
        let mut byte = [0];
        let patience = std::time::Duration::from_millis(300);
        written && tokio::time::timeout(patience, stream.read(&mut byte)).await.is_err()
    }
}
