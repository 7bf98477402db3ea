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
use crate::node::run::{StartError, socket_path, spawn};

/// Opens both, and serves them until `stop` says so.
///
/// # Errors
/// [`StartError::Console`]; neither is served.
pub(super) async fn serve_console(
    console: &Console,
    address: SocketAddr,
    doors: Arc<Doors>,
    data: &Path,
    stop: &watch::Sender<bool>,
) -> Result<(SocketAddr, Vec<JoinHandle<()>>), StartError> {
    let at = |place: String| |source: io::Error| StartError::Console { place, source };
    let port = TcpListener::bind(address).await.map_err(at(address.to_string()))?;
    let address = port.local_addr().map_err(at(address.to_string()))?;
    let path = socket_path(data);
    let socket = listen_socket(&path).map_err(at(path.display().to_string()))?;
    let listeners = [
        Listener::Tcp { listener: port, secure: Arc::new(ConsoleDoor(doors)) },
        Listener::Socket {
            listener: socket,
            own_uid: rustix::process::geteuid().as_raw(),
            name_of: Arc::new(crate::node::people::name_of),
        },
    ];
    let serving = listeners.map(|listener| {
        let (console, mut stop) = (console.clone(), stop.subscribe());
        spawn(async move {
            let stopped = async move {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            admin::serve(listener, &console, stopped).await;
        })
    });
    Ok((address, serving.into()))
}

/// The socket is made under a name of its own, closed to others, and then put in its place, so that it is never
/// open before it is secured.
fn listen_socket(path: &Path) -> io::Result<UnixListener> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}
