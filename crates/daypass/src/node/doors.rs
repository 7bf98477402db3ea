//! How both listeners meet those who connect: their TLS, and whom the proxy believes. Exchanged together by a reload.

use std::io;
use std::sync::Arc;

use admin::{Opening, Secure};
use gateway::source::{Callers, Sources};
use gateway::tls::{Doors, Identity, NoListener, Offer, ServerTls};
use tokio::net::TcpStream;

/// How both listeners are secured; in the clear, and believing nobody, by default.
#[derive(Debug, Clone, Default)]
pub struct Secured {
    callers: Callers,
    proxy: Option<ServerTls>,
    console: Option<ServerTls>,
}

impl Secured {
    /// With these identities, or in the clear if there is none; believing what `callers` says.
    ///
    /// # Errors
    /// They cannot be used; never without any.
    pub fn with(identities: &[Identity], callers: Callers) -> Result<Self, NoListener> {
        if identities.is_empty() {
            return Ok(Self { callers, ..Self::default() });
        }
        Ok(Self {
            callers,
            proxy: Some(ServerTls::new(identities, Offer::Http2AndHttp1)?),
            console: Some(ServerTls::new(identities, Offer::Http1)?),
        })
    }
}

/// Both listeners' TLS, and the proxy's rules about callers, as they are at present.
#[derive(Debug)]
pub(super) struct BothDoors {
    pub(super) sources: Arc<Sources>,
    pub(super) proxy: Arc<Doors>,
    pub(super) console: Arc<Doors>,
}

impl BothDoors {
    /// Of a proxy that takes so many connections in all.
    pub(super) fn new(secured: Secured, connections_max: usize) -> Self {
        let sources = Arc::new(Sources::new(Callers::default(), connections_max));
        let doors = Self { sources, proxy: Arc::default(), console: Arc::default() };
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
