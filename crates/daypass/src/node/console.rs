//! The console's two listeners: its port, and the socket for commands on the server's own machine.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use admin::{Console, Listener};
use gateway::tls::Doors;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::node::doors::ConsoleDoor;
use crate::node::failed::StartError;
use crate::node::run::spawn;

/// The console with the sockets it is reached at.
pub(super) struct ConsoleDoors {
    console: Console,
    doors: Arc<Doors>,
    pub(super) port: std::net::TcpListener,
    pub(super) socket: std::os::unix::net::UnixListener,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
}

impl ConsoleDoors {
    /// Serves both sockets: those inherited, or new ones.
    ///
    /// # Errors
    /// [`StartError::Console`]; neither is served.
    pub(super) fn open(
        console: Console,
        doors: Arc<Doors>,
        address: SocketAddr,
        path: &Path,
        inherited: (Option<std::net::TcpListener>, Option<std::os::unix::net::UnixListener>),
    ) -> Result<Self, StartError> {
        let at = |place: String| |source: io::Error| StartError::Console { place, source };
        let port = match inherited.0 {
            Some(port) => Ok(port),
            None => std::net::TcpListener::bind(address),
        };
        let port = port.map_err(at(address.to_string()))?;
        let socket = match inherited.1 {
            Some(socket) => Ok(socket),
            None => listen_socket(path),
        };
        let socket = socket.map_err(at(path.display().to_string()))?;
        let (stop, serving) = (watch::Sender::new(false), Vec::new());
        let mut open = Self { console, doors, port, socket, stop, serving };
        open.serve().map_err(at(address.to_string()))?;
        Ok(open)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    /// Serves until it is paused or dropped.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        self.port.set_nonblocking(true)?;
        self.socket.set_nonblocking(true)?;
        let listeners = [
            Listener::Tcp {
                listener: TcpListener::from_std(self.port.try_clone()?)?,
                secure: Arc::new(ConsoleDoor(self.doors.clone())),
            },
            Listener::Socket {
                listener: UnixListener::from_std(self.socket.try_clone()?)?,
                own_uid: rustix::process::geteuid().as_raw(),
                name_of: Arc::new(crate::node::people::name_of),
            },
        ];
        self.stop.send_replace(false);
        let serving = listeners.map(|listener| {
            let (console, mut stop) = (self.console.clone(), self.stop.subscribe());
            spawn(async move {
                let stopped = async move {
                    let _ = stop.wait_for(|stop| *stop).await;
                };
                admin::serve(listener, &console, stopped).await;
            })
        });
        self.serving.extend(serving);
        Ok(())
    }

    /// Answers what is under way, and accepts nothing more; who connects waits.
    pub(super) async fn pause(&mut self) {
        self.stop.send_replace(true);
        for serving in self.serving.drain(..) {
            let _ = serving.await;
        }
    }
}

/// The socket is made under a name of its own, closed to others, and then put in its place, so that it is never
/// open before it is secured.
fn listen_socket(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let listener = std::os::unix::net::UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}
