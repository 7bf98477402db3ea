//! The certificate that every proxy shows, and a client that believes it.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::Connection;
use crate::instance::KeyFiles;
use crate::scratch::Scratch;

/// A fresh self-signed certificate for loopback with an ECDSA key on P-256, in files of `scratch`.
pub(crate) fn pair(scratch: &Scratch) -> Result<KeyFiles> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
    Ok(KeyFiles {
        certificate: scratch.write("cert.pem", &certificate.pem())?,
        key: scratch.write("key.pem", &key.serialize_pem())?,
    })
}

/// Speaks TLS 1.3 and nothing older, so that a proxy that does not is found out. Resumes nothing.
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    pub(crate) fn trusting(pair: &KeyFiles) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&pair.certificate).context("cannot read a certificate")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// A connection whose handshake is done with its first request.
    pub(crate) fn open(&self, port: u16) -> Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        let name = ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
        let session = ClientConnection::new(Arc::clone(&self.0), name)?;
        Ok(Connection::over(StreamOwned::new(session, Connection::stream(port)?)))
    }
}
