//! TLS in a world: an authority of its own, what it signs, and doors that speak TLS in front of the upstreams.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clients::CLIENTS;

/// The names that the proxy's certificate in a world is for.
pub const PROXY_NAMES: [&str; 3] = ["api.example", "localhost", "127.0.0.1"];

/// Signs what a world's certificates say.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Whose certificates a world believes.
pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// How many authorities there are: each has a name of its own.
static AUTHORITIES: AtomicU64 = AtomicU64::new(0);

/// A certificate and its key, both in PEM.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// When a certificate is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InForce {
    /// At present.
    Now,
    /// Until long ago.
    Once,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name =
            named(&format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Another one, whom nobody believes.
    #[must_use]
    pub fn stranger() -> Self {
        Self::new()
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names.
    #[must_use]
    pub fn sign(&self, names: &[&str], in_force: InForce) -> Signed {
        let own = named(names.first().copied().unwrap_or_default());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = own;
        if in_force == InForce::Once {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn issuer(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.0
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Puts what configurations name into a directory: `ca.pem`, `clients.pem`, the proxy's `cert.pem` and `key.pem`, and what it shows
/// upstreams, `own.pem` and `own.key`.
pub(crate) fn write(directory: &Path) {
    let (proxy, own) =
        (AUTHORITY.sign(&PROXY_NAMES, InForce::Now), AUTHORITY.sign(&["daypass"], InForce::Now));
    for (name, text) in [
        ("ca.pem", AUTHORITY.pem()),
        ("clients.pem", CLIENTS.pem()),
        ("cert.pem", proxy.certificate),
        ("key.pem", proxy.key),
        ("own.pem", own.certificate),
        ("own.key", own.key),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

/// How the TLS in front of an upstream behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It lets in whoever shakes hands.
    Open,
    /// It lets in who shows a certificate that the world believes.
    Asking,
    /// It ends connections without saying so in TLS, as somebody in between could.
    Abrupt,
}

/// TLS in front of an upstream; gone when dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Front {
    /// Speaks TLS with what `signed` says, and passes on to `upstream` what comes in.
    ///
    /// # Panics
    /// This machine has no port.
    pub async fn start(upstream: SocketAddr, signed: &Signed, manner: Manner, protocol: &str) -> Self {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let builder = match manner {
            Manner::Open | Manner::Abrupt => builder.with_no_client_auth(),
            Manner::Asking => {
                let roots = Arc::new(AUTHORITY.roots());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = read(signed);
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![protocol.into()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(pass(stream, acceptor.clone(), upstream, manner));
            }
        });
        Self { address, _serving: serving }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A connection that fails concerns its request only; the client sees what came of it.
async fn pass(stream: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr, manner: Manner) {
    let Ok(mut inner) = TcpStream::connect(upstream).await else { return };
    let Ok(mut outer) = acceptor.accept(stream).await else { return };
    if manner != Manner::Abrupt {
        let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
        return;
    }
    let (mut from_client, mut to_client) = tokio::io::split(outer);
    let (mut from_upstream, mut to_upstream) = inner.split();
    let down = async {
        let _ = tokio::io::copy(&mut from_upstream, &mut to_client).await;
        let _ = to_client.flush().await;
    };
    tokio::select! {
        () = down => {}
        _ = tokio::io::copy(&mut from_client, &mut to_upstream) => {}
    }
}

/// A connection over TLS to a server that proves that it is `name`.
///
/// # Errors
/// The handshake fails.
///
/// # Panics
/// `name` is no name.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(AUTHORITY.roots()).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    connect_with(Arc::new(config), address, name).await
}

/// A connection over TLS like this to a server that proves that it is `name`.
///
/// # Errors
/// The handshake fails.
///
/// # Panics
/// `name` is no name.
pub async fn connect_with(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

pub(crate) fn read(signed: &Signed) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(signed.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
    (chain.map(|certificate| certificate.unwrap()).collect(), key)
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
