//! How both listeners meet those who connect: their TLS, and whom the proxy believes. Exchanged together by a reload.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Clock;
use admin::{Opening, Secure};
use arc_swap::ArcSwap;
use gateway::Validity;
use gateway::source::{Callers, Sources};
use gateway::tls::{Doors, Identity, NoListener, Offer, ServerTls};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::config::tls::{AcmePlan, ListenerTls};
use crate::node::acme::Acme;
use crate::node::run::spawn;

/// How both listeners are to meet those who connect; in the clear, and believing nobody, by default.
#[derive(Debug, Clone, Default)]
pub struct Secured {
    /// In the clear, if it names neither an identity nor an authority to have one from.
    pub tls: ListenerTls,
    /// Whom the proxy believes what it says of callers.
    pub callers: Callers,
}

/// The same, of which nothing can fail any more.
#[derive(Debug)]
pub(super) struct Ready {
    callers: Callers,
    proxy: Option<ServerTls>,
    console: Option<ServerTls>,
    certificates: Vec<Certificate>,
    plan: Option<Arc<AcmePlan>>,
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

/// Both listeners' TLS, and the proxy's rules about callers, as they are at present.
#[derive(Debug)]
pub(super) struct BothDoors {
    pub(super) sources: Arc<Sources>,
    pub(super) proxy: Arc<Doors>,
    pub(super) console: Arc<Doors>,
    pub(super) certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    /// What orders certificates, while this process is the one to do it.
    ordering: Mutex<Option<JoinHandle<()>>>,
}

/// What callers are shown at present.
#[derive(Debug)]
pub(super) struct Certificates {
    files: ArcSwap<Vec<Certificate>>,
    pub(super) acme: Arc<Acme>,
}

impl Certificates {
    /// Those that end first before others.
    pub(super) fn read(&self) -> Vec<Certificate> {
        let issued = self.acme.issued().identity();
        let mut all: Vec<_> = issued.iter().map(|issued| Certificate::of(issued)).collect();
        all.extend(self.files.load().iter().cloned());
        all.sort_by_key(|certificate| certificate.validity.until);
        all
    }
}

impl BothDoors {
    /// Of a proxy that takes so many connections in all, and a node with this data directory.
    ///
    /// # Errors
    /// TLS cannot be set up; never where both are in the clear.
    pub(super) fn new(
        secured: Secured,
        connections_max: usize,
        data: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoListener> {
        let acme = Arc::new(Acme::new(data, clock.clone()));
        let doors = Self {
            sources: Arc::new(Sources::new(Callers::default(), connections_max)),
            proxy: Arc::default(),
            console: Arc::default(),
            certificates: Arc::new(Certificates { files: ArcSwap::default(), acme }),
            clock,
            ordering: Mutex::default(),
        };
        doors.replace(doors.ready(secured)?);
        Ok(doors)
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.proxy.tls().is_some() { "https" } else { "http" }
    }

    /// Only the proxy asks for certificates, and believes what `callers` says.
    ///
    /// # Errors
    /// TLS cannot be set up; never where both are in the clear.
    pub(super) fn ready(&self, secured: Secured) -> Result<Ready, NoListener> {
        let Secured { tls: ListenerTls { identities, clients, acme: plan }, callers } = secured;
        let (mut proxy, mut console) = (None, None);
        if !identities.is_empty() || plan.is_some() {
            let issued = plan.as_ref().map(|_| self.certificates.acme.issued().clone());
            let tls = |offer, clients| {
                ServerTls::new(&identities, issued.clone(), offer, clients, self.clock.clone()).map(Some)
            };
            proxy = tls(Offer::Http2AndHttp1, clients.as_ref())?;
            console = tls(Offer::Http1, None)?;
        }
        let certificates = identities.iter().map(Certificate::of).collect();
        Ok(Ready { callers, proxy, console, certificates, plan })
    }

    /// From the next connections on.
    pub(super) fn replace(&self, ready: Ready) {
        self.sources.replace(ready.callers);
        self.certificates.acme.adopt(ready.plan);
        self.proxy.replace(ready.proxy);
        self.console.replace(ready.console);
        self.certificates.files.store(Arc::new(ready.certificates));
    }

    /// Has certificates ordered from now on. Must be called on a runtime.
    pub(super) fn order(&self) {
        let mut ordering = self.ordering();
        if ordering.is_none() {
            *ordering = Some(spawn(self.certificates.acme.clone().keep()));
        }
    }

    /// Orders nothing more: another process may once this returns.
    pub(super) async fn order_nothing(&self) {
        let ordering = self.ordering().take();
        if let Some(ordering) = ordering {
            ordering.abort();
            // It ends by being aborted.
            let _ = ordering.await;
        }
    }

    fn ordering(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.ordering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BothDoors {
    fn drop(&mut self) {
        if let Some(ordering) = self.ordering().take() {
            ordering.abort();
        }
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
