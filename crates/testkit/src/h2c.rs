//! HTTP/2 by prior knowledge, on both sides of the proxy: an upstream, and a client.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{Answer, Ask, Book};
use crate::time::PATIENCE;
use crate::upstream::{Seen, Shared};

/// Answers 200 to everything on one connection.
pub(crate) async fn serve(stream: TcpStream, shared: Shared) {
    let connection = shared.connect();
    let service = service_fn(move |request| answer(request, connection, shared.clone()));
    let _ = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    shared: Shared,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let id = parts.headers.get("x-request-id").cloned();
    let method = parts.method.to_string();
    let place = shared.keep(Seen { connection, method, target, fields: fields.collect(), ..Seen::default() });
    shared.keep_body(place, &body.collect().await?.to_bytes());
    let mut response = Response::new(Full::from("{\"ok\":true}"));
    response.headers_mut().extend(id.map(|id| (http::HeaderName::from_static("upstream-saw"), id)));
    Ok(response)
}

/// One HTTP/2 connection to the proxy.
#[derive(Debug)]
pub struct H2 {
    sender: client::SendRequest<Full<Bytes>>,
    book: Book,
    connection: u64,
    authority: String,
    _driving: JoinSet<()>,
}

impl H2 {
    pub(crate) async fn connect(address: std::net::SocketAddr, book: Book) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let builder = client::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        let number = book.connect();
        Self { sender, book, connection: number, authority: address.to_string(), _driving: driving }
    }

    /// Sends a request and takes the head of its answer; the body comes as it is asked for.
    ///
    /// # Panics
    /// No answer came.
    pub async fn open(&mut self, ask: &Ask) -> Response<Incoming> {
        let response = self.request(ask).await;
        self.book.keep(self.answer_of(&response));
        response
    }

    /// Sends a request and reads its answer whole.
    ///
    /// # Panics
    /// None came.
    pub async fn send(&mut self, ask: &Ask) -> Answer {
        let response = self.request(ask).await;
        let mut answer = self.answer_of(&response);
        if let Ok(body) = response.into_body().collect().await {
            answer.whole = true;
            answer.body = body.to_bytes().to_vec();
        }
        self.book.keep(answer.clone());
        answer
    }

    async fn request(&mut self, ask: &Ask) -> Response<Incoming> {
        let uri = format!("http://{}{}", self.authority, ask.target);
        let mut request = Request::builder().method(ask.method.as_str()).uri(uri);
        for (name, value) in &ask.fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(ask.body.clone())).unwrap();
        self.sender.ready().await.unwrap();
        let answering = tokio::time::timeout(PATIENCE, self.sender.send_request(request));
        answering.await.unwrap().unwrap()
    }

    fn answer_of(&self, response: &Response<Incoming>) -> Answer {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        Answer {
            connection: self.connection,
            status: response.status().as_u16(),
            fields: fields.collect(),
            multiplexed: true,
            ..Answer::default()
        }
    }
}
