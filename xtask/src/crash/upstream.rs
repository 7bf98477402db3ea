//! The protected side: a small server that notes the id of every request whose head it read.
//!
//! An id is noted before its answer is sent, so nothing that had an effect is missing here.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{pause, wait_for};
use crate::http::read_head;

/// Connections served at once; further ones are closed.
const CONNECTIONS_MAX: usize = 1_024;

/// One request in this many is answered late, so that some are always under way.
const SLOW_EVERY: usize = 8;

const SLOW_ANSWER: Duration = Duration::from_millis(15);

/// How long connections may take to end after the process on the other side is gone.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(10);

/// A server on loopback that lives as long as the tool.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<String>>,
    open: AtomicUsize,
    served: AtomicUsize,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr().context("no free port")?.port();
        let shared = Arc::new(Shared::default());
        let kept = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &kept));
        Ok(Self { port, shared })
    }

    /// The ids noted since the last time, once every connection has ended, so that what still lay in
    /// a socket when its sender was killed is counted too. Fails when a connection stays open.
    pub(crate) fn drain(&self) -> Result<Vec<String>> {
        let ended = wait_for(DRAIN_WAIT_MAX, || self.shared.open.load(Ordering::SeqCst) == 0);
        ensure!(ended.is_some(), "connections to the upstream outlive the process that made them");
        Ok(std::mem::take(&mut *self.shared.lock()))
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A connection that the crash cuts is what this server is for.
            drop(serve(stream, &shared));
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream)? {
        // A request without an id cannot have a row; it is noted under a name that no row has.
        let id = head.field("x-request-id").unwrap_or("without-id").to_owned();
        shared.lock().push(id);
        if shared.served.fetch_add(1, Ordering::Relaxed).is_multiple_of(SLOW_EVERY) {
            pause(SLOW_ANSWER);
        }
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\":42}";
        stream.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Connection;

    #[test]
    fn ids_are_noted_once_and_handed_out_when_connections_have_ended() {
        let upstream = Upstream::start().unwrap();
        let mut connection = Connection::open(upstream.port).unwrap();
        for id in ["a", "b"] {
            let answer = connection.ask("GET", "/", &[("X-Request-Id", id)]).unwrap();
            assert_eq!((answer.status, answer.body.as_deref()), (200, Some(b"{\"id\":42}".as_slice())));
        }
        connection.ask("GET", "/", &[]).unwrap();
        drop(connection);
        assert_eq!(upstream.drain().unwrap(), ["a", "b", "without-id"]);
        assert_eq!(upstream.drain().unwrap(), Vec::<String>::new());
    }
}
