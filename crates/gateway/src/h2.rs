//! HTTP/2, toward clients: hyper's codec, which hands each stream to the same pipeline as HTTP/1.1.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use access::{Reason, RequestId};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use access::arrival::BodyLength;

use crate::arrival::{Fields, Head};
use crate::body::Inbound;
use crate::bounds::{
    CLIENT_IDLE_TIME_MAX, CUT_TIME_MAX, H2_HEADER_LIST_BYTES_MAX, H2_RESETS_PENDING_MAX, H2_STREAMS_MAX,
};
use crate::core::{Core, LocalExecutor, Phase, draining};
use crate::fields::{FieldList, Sink as _};
use crate::forward::{Broken, Brought, Relay};
use crate::h1::head::Asked;
use crate::h1::wire::Piece;
use crate::peer::Peer;
use crate::respond::{Own, Reply, status};
use crate::streams::Line;
use crate::trace::trace_id;
use crate::transport::Transport;

/// Serves one connection to its end.
pub(crate) async fn serve(
    core: &Rc<Core>,
    stream: Transport,
    peer: Rc<Peer>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_RESETS_PENDING_MAX)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let traffic = Rc::new(Traffic::default());
    let service = service_fn(|request| answer(core.clone(), peer.clone(), traffic.stream(), request));
    let alarm = core.alarms.alarm();
    alarm.set(CLIENT_IDLE_TIME_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut drains = Phase::Serving;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break Some(ended),
            () = draining(&mut phase), if drains == Phase::Serving => {
                drains = Phase::Draining;
                connection.as_mut().graceful_shutdown();
            }
            () = poll_fn(|cx| alarm.poll(cx)) => {
                if traffic.was_idle() {
                    connection.as_mut().graceful_shutdown();
                }
                alarm.set(CLIENT_IDLE_TIME_MAX);
            }
            () = peer.line.cut() => {
                if let Some(ended) = let_go(connection.as_mut(), &peer.line).await {
                    break ended;
                }
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
}

/// What passes over a connection.
#[derive(Debug, Default)]
struct Traffic {
    open: Cell<usize>,
    /// Whether a stream was open since somebody asked.
    used: Cell<bool>,
}

/// An open stream, counted until it is dropped.
#[derive(Debug)]
struct OpenStream(Rc<Traffic>);

impl Traffic {
    fn stream(self: &Rc<Self>) -> OpenStream {
        self.used.set(true);
        self.open.set(self.open.get().saturating_add(1));
        OpenStream(self.clone())
    }

    /// Whether no stream was open since this was last asked.
    fn was_idle(&self) -> bool {
        let busy = self.open.get() > 0;
        !self.used.replace(busy) && !busy
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.used.set(true);
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// Drives a connection until what was cut on it is gone, or for [`CUT_TIME_MAX`]. `None`: it goes on; else how it
/// ended, if it did so by itself.
async fn let_go<C, E>(mut connection: Pin<&mut C>, line: &Line) -> Option<Option<Result<(), E>>>
where
    C: Future<Output = Result<(), E>>,
{
    match tokio::time::timeout(CUT_TIME_MAX, connection.as_mut()).await {
        Ok(ended) => Some(Some(ended)),
        Err(_elapsed) => line.owes().then_some(None),
    }
}

async fn answer(
    core: Rc<Core>,
    peer: Rc<Peer>,
    stream: OpenStream,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Left> {
    let (id, at) = core.fresh_id();
    let (parts, incoming) = request.into_parts();
    let (fields, inbound) = (FieldList::from(&parts.headers), Inbound::Http2(incoming));
    let head = head(&parts, &fields, inbound.length(), id, at, &peer);
    let brought = Brought { fields: &fields, inbound, alarm: core.alarms.alarm() };
    let reply = core.answer(&head, brought).await;
    written(reply, head.asked(), stream)
}

fn head<'p>(
    parts: &'p Parts,
    fields: &'p FieldList,
    body: BodyLength,
    id: RequestId,
    at: access::Timestamp,
    peer: &'p Peer,
) -> Head<'p> {
    let fields = Fields::read(fields, fault(parts, fields));
    Head {
        id,
        at,
        peer,
        trace: trace_id(fields.traceparent.text(), id),
        version: parts.version,
        method: parts.method.as_str(),
        authority: parts.uri.authority().map(http::uri::Authority::as_str),
        path: parts.uri.path(),
        query: parts.uri.query(),
        body,
        fields,
    }
}

/// Why a head has more than one reading, beyond what the codec refuses (RFC 9113, sections 8.2.1 and 8.3.1).
fn fault(parts: &Parts, fields: &FieldList) -> Option<&'static str> {
    let scheme = parts.uri.scheme_str();
    if scheme.is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Some("the request is for something other than `http` or `https`");
    }
    let padded = |value: &[u8]| value.trim_ascii().len() != value.len();
    fields.iter().any(|(_, value)| padded(value)).then_some("a header's value begins or ends with a space")
}

/// The client left: its stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("the client left before it had sent its request")]
struct Left;

fn written(reply: Reply, asked: Asked, stream: OpenStream) -> Result<Response<Answer>, Left> {
    let (status, fields, body) = match reply {
        Reply::Own(Own { status, mut fields, body, .. }) if asked == Asked::Head => {
            fields.add(b"content-length", body.len().to_string().as_bytes());
            (status, fields, Source::Own(None))
        }
        Reply::Own(Own { status, fields, body, .. }) => (status, fields, Source::Own(Some(body.into()))),
        Reply::Relay(mut relay) => {
            if relay.inbound.is_end() {
                relay.finish();
            }
            (relay.status, std::mem::take(&mut relay.fields), Source::Relay(relay))
        }
        Reply::Gone => return Err(Left),
        // No HTTP/2 request asks for a switch: `Upgrade` is malformed in it (RFC 9113, section 8.2.2).
        Reply::Switch(_) => (status(Reason::UpgradeRefused), FieldList::default(), Source::Own(None)),
    };
    let mut response = Response::new(Answer { source: body, _stream: stream });
    *response.status_mut() = status;
    *response.headers_mut() = fields.to_map();
    Ok(response)
}

/// The body of an answer.
struct Answer {
    source: Source,
    _stream: OpenStream,
}

/// Where an answer's body comes from.
enum Source {
    /// One of our own, whole.
    Own(Option<Bytes>),
    /// The upstream's, piece by piece.
    Relay(Box<Relay>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let relay = match &mut self.source {
            Source::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Relay(relay) => relay,
        };
        let mut out = Vec::new();
        // Framing that came without bytes is no frame. Each turn uses up what has come, or waits.
        let piece = loop {
            match ready!(relay.poll_piece(cx, &mut out)) {
                Ok(Piece::Data) if out.is_empty() && !relay.inbound.is_end() => {}
                Ok(piece) => break piece,
                Err(why) => return Poll::Ready(Some(Err(why))),
            }
        };
        // The codec does not ask again once it knows the end.
        if matches!(piece, Piece::End(_)) || relay.inbound.is_end() {
            relay.finish();
        }
        Poll::Ready(match piece {
            Piece::Data => Some(Ok(Frame::data(out.into()))),
            Piece::End(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Relay(relay) => relay.inbound.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Relay(relay) => match relay.inbound.length() {
                BodyLength::None => SizeHint::with_exact(0),
                BodyLength::Known(bytes) => SizeHint::with_exact(bytes),
                BodyLength::Unknown => SizeHint::default(),
            },
        }
    }
}
