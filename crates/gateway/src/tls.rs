//! TLS: who we are to clients, whom we believe to be an upstream, and the handshakes.
//!
//! TLS 1.2 and 1.3 (rustls over aws-lc), without early data, renegotiation or compression. Certificates and keys are
//! read from PEM and checked to belong together before any of them is used.
//! Not here: which files they come from (the binary), and what proves a client's certificate (see `clients`).

use std::fmt;
use std::sync::{Arc, LazyLock};

use access::Clock;
use access::credential::Digest;
use arc_swap::ArcSwapOption;
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, HandshakeKind, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::certificate::{self, Validity};
use crate::clients::{ClientTrust, Proof, Shown};
use crate::issued::{ACME, Identities, Issued};
use crate::transport::Transport;

/// The most certificates of one listener.
pub const IDENTITIES_MAX: usize = 64;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// A certificate chain and the private key that belongs to it.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// Of the chain and the key together.
    digest: Digest,
    validity: Validity,
}

/// Neither the key nor the length of the chain is anybody's affair.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Why a chain and a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdentity {
    /// The chain holds something else, or nothing.
    #[error("the file holds no certificate in PEM")]
    Chain,
    /// The key file holds something else, or nothing.
    #[error("the file holds no private key in PEM")]
    Key,
    /// A key of a kind that is not used in TLS.
    #[error("this kind of private key is not used in TLS")]
    KeyKind,
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Reads a chain, its own certificate first, and its key, both in PEM.
    ///
    /// # Errors
    /// [`NotAnIdentity`].
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, NotAnIdentity> {
        let digest = Digest::of(&[chain, b"\0", key].concat());
        let chain = certificates(chain).ok_or(NotAnIdentity::Chain)?;
        let validity = chain.first().and_then(|own| Validity::of(own)).ok_or(NotAnIdentity::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NotAnIdentity::Key)?;
        let key = PROVIDER.key_provider.load_private_key(key).map_err(|_| NotAnIdentity::KeyKind)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => Ok(Self { key: Arc::new(key), digest, validity }),
            Err(rustls::Error::InvalidCertificate(_)) => Err(NotAnIdentity::Chain),
            Err(_) => Err(NotAnIdentity::Mismatch),
        }
    }

    /// When its own certificate is in force.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The hosts that its own certificate is for.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        self.key.cert.first().map(|own| certificate::hosts(own)).unwrap_or_default()
    }

    /// Whether its own certificate is for a host.
    #[must_use]
    pub fn is_for_host(&self, host: &str) -> bool {
        ServerName::try_from(host).is_ok_and(|name| self.is_for(&name))
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }

    /// Whether it speaks for a name.
    pub(crate) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let first = self.key.cert.first().map(webpki::EndEntityCert::try_from);
        matches!(first, Some(Ok(own)) if own.verify_is_valid_for_subject_name(name).is_ok())
    }
}

/// At least one certificate. What else stands in the PEM, such as a key, is passed over.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|read| !read.is_empty())
}

/// Who a listener is: the certificate for the name that is asked for, or the first, which is the one that is issued to it,
/// if it is to have one; and whose certificates it takes.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    proof: Option<Arc<Proof>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum NoListener {
    /// None, and none will be issued; or too many.
    #[error("a listener over TLS has 1 to {IDENTITIES_MAX} certificates")]
    Identities,
    /// The library has no ciphers, or no random bytes.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

/// What is spoken over a listener's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2 or HTTP/1.1, as the client likes; authorities are shown their proofs here.
    Http2AndHttp1,
    /// HTTP/1.1.
    Http1,
}

impl ServerTls {
    /// A listener that has what is issued to it, and these identities, and asks for certificates that `clients` vouches
    /// for, if it is given. Where something is to be issued and is not yet, nobody is shown another in its place.
    ///
    /// # Errors
    /// [`NoListener`].
    pub fn new(
        identities: &[Identity],
        issued: Option<Arc<Issued>>,
        offer: Offer,
        clients: Option<&ClientTrust>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoListener> {
        let all = identities.len().saturating_add(usize::from(issued.is_some()));
        if !(1..=IDENTITIES_MAX).contains(&all) {
            return Err(NoListener::Identities);
        }
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(NoListener::Library)?;
        let alpn = protocols(offer, issued.as_deref());
        let identities = Arc::new(Identities { issued, own: identities.to_vec() });
        let proof = clients.map(|clients| clients.proof().clone());
        let builder = match &proof {
            Some(proof) => builder.with_client_cert_verifier(proof.verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(identities);
        config.time_provider = Arc::new(Time(clock));
        // Without tickets every core would have to look sessions up in one place. Their keys are this listener's
        // own: what an earlier one gave out, under other authorities or lists, resumes nothing.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(NoListener::Library)?;
        config.alpn_protocols = alpn;
        Ok(Self { config: Arc::new(config), proof })
    }

    /// Shakes hands with a client. Not bounded in time.
    ///
    /// # Errors
    /// The client is gone, or speaks something else.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.clone()).accept(stream).await
    }

    /// The certificate that a client showed. Only a whole handshake has proven it.
    ///
    /// # Errors
    /// It cannot be read: then nobody could tell when it ends.
    pub(crate) fn shown(
        &self,
        tls: &tokio_rustls::server::TlsStream<TcpStream>,
    ) -> std::io::Result<Option<Shown>> {
        let connection = tls.get_ref().1;
        let Some(chain) = connection.peer_certificates() else { return Ok(None) };
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let proof = self.proof.clone().filter(|_| !resumed);
        let shown = Shown::new(chain, proof).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Some(shown))
    }
}

/// The protocols of a listener. Only where a certificate is to be issued is an authority let in to look.
fn protocols(offer: Offer, issued: Option<&Issued>) -> Vec<Vec<u8>> {
    match (offer, issued) {
        (Offer::Http2AndHttp1, Some(_)) => vec![HTTP2.into(), HTTP1.into(), ACME.into()],
        (Offer::Http2AndHttp1, None) => vec![HTTP2.into(), HTTP1.into()],
        (Offer::Http1, _) => vec![HTTP1.into()],
    }
}

/// The present, as rustls asks for it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().as_micros()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_micros(micros)))
    }
}

/// The TLS of a listener, which a reload may exchange: connections that are open keep theirs.
#[derive(Debug, Default)]
pub struct Doors(ArcSwapOption<ServerTls>);

impl Doors {
    /// From the next connection on.
    pub fn replace(&self, tls: Option<ServerTls>) {
        self.0.store(tls.map(Arc::new));
    }

    /// What the next connection is met with; `None` in the clear.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.0.load_full()
    }

    /// What proves client certificates at present; `None` where none are asked for.
    pub(crate) fn proof(&self) -> Option<Arc<Proof>> {
        self.0.load().as_ref().and_then(|tls| tls.proof.clone())
    }
}

/// Who may say that an upstream is who it says.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    digest: Digest,
}

/// The same authorities in the same bytes.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Trust {}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// Why nobody is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NobodyTrusted {
    /// The file holds something else, or nothing.
    #[error("the file holds no certificate of an authority in PEM")]
    NoAuthority,
    /// The system's store is empty or cannot be read.
    #[error("this system trusts no certificate authority")]
    EmptySystem,
}

impl Trust {
    /// The authorities in a PEM file, and no others.
    ///
    /// # Errors
    /// [`NobodyTrusted::NoAuthority`].
    pub fn only(pem: &[u8]) -> Result<Self, NobodyTrusted> {
        Ok(Self { roots: Arc::new(authorities(pem)?), digest: Digest::of(pem) })
    }

    /// The authorities that the system trusts.
    ///
    /// # Errors
    /// [`NobodyTrusted::EmptySystem`].
    pub fn system() -> Result<Self, NobodyTrusted> {
        let found = rustls_native_certs::load_native_certs().certs;
        let mut all = Vec::new();
        found.iter().for_each(|authority| all.extend_from_slice(authority));
        let mut roots = RootCertStore::empty();
        let (added, _unread) = roots.add_parsable_certificates(found);
        if added == 0 {
            return Err(NobodyTrusted::EmptySystem);
        }
        Ok(Self { roots: Arc::new(roots), digest: Digest::of(&all) })
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self { roots: Arc::new(RootCertStore::empty()), digest: Digest::of(b"") }
    }

    /// For clients that are not the gateway's own; `None` if the library has no ciphers.
    #[must_use]
    pub fn client(&self) -> Option<ClientConfig> {
        Some(self.builder()?.with_no_client_auth())
    }

    fn builder(&self) -> Option<ConfigBuilder<ClientConfig, WantsClientCert>> {
        let builder = ClientConfig::builder_with_provider(PROVIDER.clone());
        let builder = builder.with_safe_default_protocol_versions().ok()?;
        Some(builder.with_root_certificates(self.roots.clone()))
    }
}

/// The authorities in a PEM file.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, NobodyTrusted> {
    let read = certificates(pem).ok_or(NobodyTrusted::NoAuthority)?;
    let mut roots = RootCertStore::empty();
    for authority in read {
        roots.add(authority).map_err(|_| NobodyTrusted::NoAuthority)?;
    }
    Ok(roots)
}

/// How an upstream is spoken to over TLS.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: &'static [u8],
    place: Arc<str>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.name).finish()
    }
}

/// What is spoken to an upstream over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speak {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, and nothing else.
    Http2,
}

impl ClientTls {
    /// Toward a server that can prove to `trust` that it is `name`; to which we are `identity`, if it asks.
    /// `None`: `name` is no name, or the library has no ciphers.
    #[must_use]
    pub fn new(trust: &Trust, identity: Option<&Identity>, name: &str, speak: Speak) -> Option<Self> {
        let server = ServerName::try_from(name.to_owned()).ok()?;
        let builder = trust.builder()?;
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&own.key)))),
        };
        let protocol = match speak {
            Speak::Http1 => HTTP1,
            Speak::Http2 => HTTP2,
        };
        config.alpn_protocols = vec![protocol.into()];
        let own = identity.map(|own| own.digest.to_string()).unwrap_or_default();
        let place = format!("{name} {} {own}", trust.digest).into();
        Some(Self { config: Arc::new(config), name: server, protocol, place })
    }

    /// Everything about it that makes a connection another one.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Shakes hands with an upstream. Not bounded in time.
    pub(crate) async fn connect(&self, stream: TcpStream) -> Result<Transport, Unproven> {
        let connector = TlsConnector::from(self.config.clone());
        let tls = connector.connect(self.name.clone(), stream).await.map_err(|why| Unproven::of(&why))?;
        match tls.get_ref().1.alpn_protocol() {
            // A server that does not know the extension speaks HTTP/1.1.
            None if self.protocol == HTTP1 => {}
            Some(spoken) if spoken == self.protocol => {}
            _ => return Err(Unproven::Protocol),
        }
        Ok(Transport::Tls(Box::new(TlsStream::Client(tls))))
    }
}

/// Why no handshake with an upstream came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unproven {
    Expired,
    WrongName,
    UnknownAuthority,
    BadCertificate,
    /// It does not speak what it is to be spoken to.
    Protocol,
    Broken,
}

impl Unproven {
    fn of(why: &std::io::Error) -> Self {
        match why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Self::of_certificate(why),
            Some(rustls::Error::NoApplicationProtocol) => Self::Protocol,
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
                Self::Protocol
            }
            _ => Self::Broken,
        }
    }

    const fn of_certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            _ => Self::BadCertificate,
        }
    }

    /// For whoever looks for the cause.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Expired => "the upstream's certificate has expired or is not valid yet; nothing was sent",
            Self::WrongName => "the upstream's certificate is for another name; nothing was sent",
            Self::UnknownAuthority => {
                "the upstream's certificate is from an authority that is not trusted; nothing was sent"
            }
            Self::BadCertificate => "the upstream's certificate is not valid; nothing was sent",
            Self::Protocol => {
                "the upstream does not speak the HTTP version of its URL over TLS; nothing was sent"
            }
            Self::Broken => "the TLS handshake with the upstream failed; nothing was sent",
        }
    }
}

/// What a client that has shaken hands speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
    /// Nothing: an authority has seen the proof that it looked for.
    Nothing,
}

impl Spoken {
    /// What was agreed on; whoever knows nothing of that speaks HTTP/1.1.
    pub(crate) fn over(tls: &tokio_rustls::server::TlsStream<TcpStream>) -> Self {
        match tls.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Self::Http2,
            Some(ACME) => Self::Nothing,
            _ => Self::Http1,
        }
    }
}
