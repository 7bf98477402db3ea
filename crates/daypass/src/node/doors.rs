//! The TLS of both listeners, exchanged together by a reload.

use std::io;
use std::sync::Arc;

use admin::{Opening, Secure};
use gateway::tls::{Doors, Identity, NoListener, Offer, ServerTls};
use tokio::net::TcpStream;

/// How both listeners are secured; in the clear by default.
#[derive(Debug, Clone, Default)]
pub struct Secured {
    proxy: Option<ServerTls>,
    console: Option<ServerTls>,
}

impl Secured {
    /// With these identities, or in the clear if there is none.
    ///
    /// # Errors
    /// They cannot be used; never without any.
    pub fn with(identities: &[Identity]) -> Result<Self, NoListener> {
        if identities.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self {
            proxy: Some(ServerTls::new(identities, Offer::Http2AndHttp1)?),
            console: Some(ServerTls::new(identities, Offer::Http1)?),
        })
    }
}

/// Both listeners' TLS, as it is at present.
#[derive(Debug, Default)]
pub(super) struct BothDoors {
    pub(super) proxy: Arc<Doors>,
    pub(super) console: Arc<Doors>,
}

impl BothDoors {
    pub(super) fn new(secured: Secured) -> Self {
        let doors = Self::default();
        doors.replace(secured);
        doors
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.proxy.tls().is_some() { "https" } else { "http" }
    }

    /// From the next connections on.
    pub(super) fn replace(&self, secured: Secured) {
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
