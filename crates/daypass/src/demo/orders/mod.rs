//! The sample order API: a real HTTP service with a contract, for the demo and for tests to protect.
//!
//! It answers every operation of [`CONTRACT`] and nothing else, keeps its orders in memory, and wants
//! its own key, so that an added upstream credential can be seen to arrive. The same requests in the
//! same order give the same answers: nothing here reads a clock or draws a random number.
//! Not here: anything of Daypass. This stands for somebody else's service.

mod bounded;
mod customer;
mod debug;
mod feed;
mod fulfilment;
mod listen;
mod model;
mod order;
mod payment;
mod problem;
mod recorder;
mod report;
mod routes;
mod seed;
mod state;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::recorder::{Recorder, SEEN_MAX, Seen};
pub use self::routes::{Operation, operations};
use self::state::{Book, SharedBook};

/// The OpenAPI 3.1 contract, as YAML. Its paths are whole: its one server is `/`.
pub const CONTRACT: &str = include_str!("orders.openapi.yaml");

/// The key that [`serve`] wants, as `Authorization: Bearer demo-orders-key`.
pub const UPSTREAM_KEY: &str = "demo-orders-key";

/// WebSocket feeds open at once; one more is answered 503.
const FEEDS_MAX: usize = 1_000;

/// The order API before it listens.
pub struct OrderService {
    upstream_key: String,
    recorder: Option<Recorder>,
}

impl OrderService {
    /// A service with its 200 orders, which answers 401 to whoever does not bring `upstream_key`.
    pub fn new(upstream_key: impl Into<String>) -> Self {
        Self { upstream_key: upstream_key.into(), recorder: None }
    }

    /// Writes down every request that arrives, those without the key included.
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Answers on `listener`, HTTP/1.1 and cleartext HTTP/2, until `stop` completes. Then every
    /// connection is cut at once: endless feeds and hanging answers would never drain.
    ///
    /// # Errors
    /// When accepting fails 100 times in a row, the last failure.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        let closing = CancellationToken::new();
        let app = App {
            book: Arc::new(SharedBook::new(Book::seeded())),
            upstream_key: self.upstream_key.into(),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            closing: closing.clone(),
        };
        // Upgraded feeds are no longer part of their connection: the token cuts them.
        let _cut_feeds = closing.drop_guard();
        listen::serve(listener, routes::router(app, self.recorder), stop).await
    }
}

/// Serves the order API with [`UPSTREAM_KEY`] until `stop` completes.
///
/// # Errors
/// As [`OrderService::serve`].
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
    OrderService::new(UPSTREAM_KEY).serve(listener, stop).await
}

/// What the handlers share.
#[derive(Clone)]
struct App {
    book: Arc<SharedBook>,
    upstream_key: Arc<str>,
    feeds: Arc<Semaphore>,
    closing: CancellationToken,
}
