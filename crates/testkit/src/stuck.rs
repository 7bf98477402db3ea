//! An address that hangs: connections to it are neither taken nor refused.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long a connection may take before it is one that hangs.
const HANGS: Duration = Duration::from_millis(200);
/// More than any queue of two takes.
const FILLERS_MAX: usize = 16;

/// A listener that takes nobody, with a queue that is full. It hangs for as long as this is kept.
#[derive(Debug)]
pub struct Stuck {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Stuck {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// This machine has no port, or a queue without an end.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(connected) = tokio::time::timeout(HANGS, TcpStream::connect(address)).await {
            queue.push(connected.unwrap());
            assert!(queue.len() < FILLERS_MAX, "the queue is never full");
        }
        Self { listener, _queue: queue }
    }

    /// Its URL.
    ///
    /// # Panics
    /// It has no address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}
