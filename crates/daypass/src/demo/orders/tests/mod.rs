//! The order API through a real listener.

mod contract;
mod feeds;
mod stories;

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{OrderService, Recorder, UPSTREAM_KEY};

/// A service of its own, on a free port, stopped when dropped.
struct World {
    address: SocketAddr,
    client: reqwest::Client,
    recorder: Recorder,
    stop: Option<DropGuard>,
    service: JoinSet<io::Result<()>>,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (recorder, stop) = (Recorder::new(), CancellationToken::new());
        let orders = OrderService::new(UPSTREAM_KEY).recorded_by(recorder.clone());
        let mut service = JoinSet::new();
        service.spawn(orders.serve(listener, stop.clone().cancelled_owned()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, recorder, stop: Some(stop.drop_guard()), service }
    }

    /// Stops the service and waits for its end.
    async fn stop(&mut self) {
        self.stop = None;
        self.service.join_next().await.unwrap().unwrap().unwrap();
    }

    /// A request for `line`, `METHOD TARGET [JSON]`, without the key.
    fn keyless(&self, line: &str) -> reqwest::RequestBuilder {
        let mut words = line.splitn(3, ' ');
        let method = words.next().unwrap().parse().unwrap();
        let url = format!("http://{}{}", self.address, words.next().unwrap());
        let request = self.client.request(method, url);
        match words.next() {
            Some(json) => request.header("content-type", "application/json").body(json.to_owned()),
            None => request,
        }
    }

    fn request(&self, line: &str) -> reqwest::RequestBuilder {
        self.keyless(line).bearer_auth(UPSTREAM_KEY)
    }

    async fn json(&self, line: &str) -> Value {
        let response = self.request(line).send().await.unwrap();
        assert_eq!(response.status(), 200, "{line}");
        response.json().await.unwrap()
    }

    /// A connection on which `GET target` has been sent, with further `headers`, each with its line end.
    async fn raw(&self, target: &str, headers: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: orders\r\nAuthorization: Bearer {UPSTREAM_KEY}\r\n{headers}\r\n"
        );
        let mut stream = stream;
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        stream
    }
}
