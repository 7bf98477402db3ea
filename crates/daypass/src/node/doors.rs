//! How both listeners meet those who connect: their TLS, and whom the proxy believes. Exchanged together by a reload.

use std::io;
use std::sync::Arc;

use access::Clock;
use admin::{Opening, Secure};
use arc_swap::ArcSwap;
use gateway::Validity;
use gateway::source::{Callers, Sources};
use gateway::tls::{Doors, Identity, NoListener, Offer, ServerTls};
use tokio::net::TcpStream;

use crate::config::tls::ListenerTls;

/// How both listeners are secured; in the clear, and believing nobody, by default.
#[derive(Debug, Clone, Default)]
pub struct Secured {
    callers: Callers,
    proxy: Option<ServerTls>,
    console: Option<ServerTls>,
    certificates: Vec<Certificate>,
}

/// A certificate that callers are shown.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) hosts: Vec<String>,
    pub(super) validity: Validity,
}

impl Certificate {
    fn of(identity: &Identity) -> Self {
        Self { hosts: identity.hosts(), validity: identity.validity() }
    }
}

impl Secured {
    /// As the configuration says; in the clear if it names no identity. Only the proxy asks for
    /// certificates, and believes what `callers` says.
    ///
    /// # Errors
    /// It cannot be used; never without any identity.
    pub fn with(tls: &ListenerTls, callers: Callers, clock: &Arc<dyn Clock>) -> Result<Self, NoListener> {
        let ListenerTls { identities, clients } = tls;
        if identities.is_empty() {
            return Ok(Self { callers, ..Self::default() });
        }
        let (http, clients) = (Offer::Http2AndHttp1, clients.as_ref());
        Ok(Self {
            callers,
            proxy: Some(ServerTls::new(identities, http, clients, clock.clone())?),
            console: Some(ServerTls::new(identities, Offer::Http1, None, clock.clone())?),
            certificates: shown_first_to_end(identities),
        })
    }
}

fn shown_first_to_end(identities: &[Identity]) -> Vec<Certificate> {
    let mut certificates: Vec<_> = identities.iter().map(Certificate::of).collect();
    certificates.sort_by_key(|certificate| certificate.validity.until);
    certificates
}

/// Both listeners' TLS, and the proxy's rules about callers, as they are at present.
#[derive(Debug)]
pub(super) struct BothDoors {
    pub(super) sources: Arc<Sources>,
    pub(super) proxy: Arc<Doors>,
    pub(super) console: Arc<Doors>,
    pub(super) certificates: Arc<Certificates>,
}

/// What callers are shown at present.
#[derive(Debug, Default)]
pub(super) struct Certificates(ArcSwap<Vec<Certificate>>);

impl Certificates {
    /// Those that end first before others.
    pub(super) fn read(&self) -> Arc<Vec<Certificate>> {
        self.0.load_full()
    }
}

impl BothDoors {
    /// Of a proxy that takes so many connections in all.
    pub(super) fn new(secured: Secured, connections_max: usize) -> Self {
        let sources = Arc::new(Sources::new(Callers::default(), connections_max));
        let doors =
            Self { sources, proxy: Arc::default(), console: Arc::default(), certificates: Arc::default() };
        doors.replace(secured);
        doors
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.proxy.tls().is_some() { "https" } else { "http" }
    }

    /// From the next connections on.
    pub(super) fn replace(&self, secured: Secured) {
        self.sources.replace(secured.callers);
        self.proxy.replace(secured.proxy);
        self.console.replace(secured.console);
        self.certificates.0.store(Arc::new(secured.certificates));
    }
}

/// The console's port.
pub(super) struct ConsoleDoor(pub(super) Arc<Doors>);

impl Secure for ConsoleDoor {
    fn open(&self, stream: TcpStream) -> Opening {
        match self.0.tls() {
            None => Box::pin(async { Ok(Box::new(stream) as _) }),
            Some(tls) => Box::pin(async move {
                let secured: io::Result<_> = tls.accept(stream).await;
                Ok(Box::new(secured?) as _)
            }),
        }
    }
}
