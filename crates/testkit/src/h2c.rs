//! HTTP/2, on both sides of the proxy: an upstream, and a client.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2 as client;
use hyper::rt::Executor as _;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::client::{Answer, Ask, Book, Duplex};
use crate::time::PATIENCE;
use crate::upstream::{Behavior, Seen, Shared};

/// A request for this path has the connection take no more requests; those that are open go on.
pub const LEAVE: &str = "/leave";

/// How many requests an upstream takes at once on one connection, unless it is told otherwise.
pub(crate) const STREAMS_MAX: u32 = 200;

/// Answers on one connection: as scripted, of [`Behavior::Answer`] and [`Behavior::Early`], else 200.
pub(crate) async fn serve(stream: TcpStream, shared: Shared) {
    let connection = shared.connect();
    let leaving = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        if request.uri().path() == LEAVE {
            leaving.notify_one();
        }
        answer(request, connection, shared.clone())
    });
    let mut builder = server::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(shared.streams_max());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = leaving.notified() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    shared: Shared,
) -> Result<Response<Script>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let id = parts.headers.get("x-request-id").cloned();
    let method = parts.method.to_string();
    let behavior = shared.behavior(&target);
    let place = shared.keep(Seen { connection, method, target, fields: fields.collect(), ..Seen::default() });
    let mut response = match behavior {
        Behavior::Early => {
            TokioExecutor::new().execute(take(body, place, shared));
            Response::new(Script { said: Some(Bytes::from_static(b"early")), end: End::Never })
        }
        other => {
            shared.keep_body(place, &body.collect().await?.to_bytes());
            let (status, text) =
                if let Behavior::Answer(status, text) = other { (status, text) } else { (200, OK) };
            let mut response =
                Response::new(Script { said: Some(Bytes::from_static(text.as_bytes())), end: End::Here });
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response
        }
    };
    response.headers_mut().extend(id.map(|id| (http::HeaderName::from_static("upstream-saw"), id)));
    Ok(response)
}

const OK: &str = "{\"ok\":true}";

/// Takes a body for as long as it comes.
async fn take(mut body: Incoming, place: usize, shared: Shared) {
    while let Some(Ok(frame)) = body.frame().await {
        shared.keep_body(place, frame.data_ref().unwrap_or(&Bytes::new()));
    }
}

/// What an upstream says, whatever its status allows.
#[derive(Debug)]
struct Script {
    said: Option<Bytes>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Here,
    Never,
}

impl Body for Script {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.said.take() {
            Some(said) => Poll::Ready(Some(Ok(Frame::data(said)))),
            None if self.end == End::Never => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// Reads an answer as far as it comes.
async fn take_answer(response: Response<Incoming>, answer: &mut Answer) {
    let mut body = response.into_body();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => answer.body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Some(Err(_)) => return,
            None => return answer.whole = true,
        }
    }
}

/// A stream that carries another protocol: bytes both ways.
pub type Stream = TokioIo<hyper::upgrade::Upgraded>;

/// One HTTP/2 connection to the proxy.
#[derive(Debug)]
pub struct H2 {
    sender: client::SendRequest<Full<Bytes>>,
    book: Book,
    connection: u64,
    authority: String,
    answers: u64,
    driving: JoinSet<()>,
}

impl H2 {
    pub(crate) async fn over(stream: impl Duplex + 'static, authority: String, book: Book) -> Self {
        let builder = client::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        let number = book.connect();
        Self { sender, book, connection: number, authority, answers: 0, driving }
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
        take_answer(response, &mut answer).await;
        self.book.keep(answer.clone());
        answer
    }

    /// Waits until the connection has ended, if it does.
    pub async fn is_closed(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.driving.join_next()).await.is_ok()
    }

    /// Asks for another protocol on a stream of its own (RFC 8441): the answer, and the stream if it is 200.
    ///
    /// # Panics
    /// No answer came.
    pub async fn connect(&mut self, ask: &Ask, protocol: &'static str) -> (Answer, Option<Stream>) {
        // The server says that this may be asked before it answers anything.
        while self.answers == 0 {
            self.send(&Ask::get("/plain/x")).await;
        }
        let mut request = self.built(ask);
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
        let answering = tokio::time::timeout(PATIENCE, self.sender.send_request(request));
        let response = answering.await.unwrap().unwrap();
        let mut answer = self.answer_of(&response);
        if answer.status == 200 {
            self.book.keep(answer.clone());
            return (answer, Some(TokioIo::new(hyper::upgrade::on(response).await.unwrap())));
        }
        take_answer(response, &mut answer).await;
        self.book.keep(answer.clone());
        (answer, None)
    }

    fn built(&self, ask: &Ask) -> Request<Full<Bytes>> {
        let uri = format!("http://{}{}", self.authority, ask.target);
        let mut request = Request::builder().method(ask.method.as_str()).uri(uri);
        for (name, value) in &ask.fields {
            request = request.header(name, value);
        }
        request.body(Full::from(ask.body.clone())).unwrap()
    }

    /// Sends a request and reads its answer; `None` if the stream or the connection ends before one.
    pub async fn try_send(&mut self, ask: &Ask) -> Option<Answer> {
        let response = self.try_request(ask).await?;
        let mut answer = self.answer_of(&response);
        let place = self.book.keep(answer.clone());
        let mut body = response.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            answer.body.extend(frame.data_ref().unwrap_or(&Bytes::new()));
        }
        answer.whole = body.is_end_stream();
        self.book.replace(place, answer.clone());
        Some(answer)
    }

    async fn request(&mut self, ask: &Ask) -> Response<Incoming> {
        self.try_request(ask).await.expect("an answer")
    }

    async fn try_request(&mut self, ask: &Ask) -> Option<Response<Incoming>> {
        let request = self.built(ask);
        self.sender.ready().await.ok()?;
        let answering = tokio::time::timeout(PATIENCE, self.sender.send_request(request));
        let answer = answering.await.expect("an answer in time").ok()?;
        self.answers += 1;
        Some(answer)
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
