//! WebSockets: an admitted handshake goes upstream on a connection of its own; after it, bytes pass both ways
//! until either side closes or the access ends.
//!
//! Not here: reading frames. What passes inside a WebSocket is counted, not judged.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use access::Reason;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::{Progress, Upload};
use crate::core::Core;
use crate::forward::{Passed, added, answer_cut, answer_failure, build, relay};
use crate::headers;
use crate::record::Admitted;
use crate::respond::{Answer, Names};
use crate::streams::Kind;
use crate::upstream::{Answered, connect, http1_settings};

/// Sends an admitted handshake upstream and, if it succeeds, joins the two connections.
pub(crate) async fn upgrade(
    core: &Rc<Core>,
    mut admitted: Admitted,
    passed: Passed,
    client: Option<OnUpgrade>,
) -> Response<Answer> {
    let (id, version) = (passed.id, passed.version);
    let names = Names { id, node: core.node(), receipt: Some(admitted.entry.receipt()) };
    let picture = admitted.picture.clone();
    let (Some(forward), Some(client)) = (picture.forward(admitted.api), client) else {
        return answer_failure(&mut admitted, names, version, Reason::UpstreamUnreachable);
    };
    let sent_at = core.clock.now();
    let sent = tokio::select! {
        biased;
        why = admitted.ticket.cut() => return answer_cut(&mut admitted, names, version, why),
        sent = tokio::time::timeout(forward.timeout, handshake(&admitted, passed, names)) => sent,
    };
    admitted.entry.upstream_took = Some(core.clock.now().since(sent_at));
    let (authority, mut response) = match sent {
        Err(_elapsed) => return answer_failure(&mut admitted, names, version, Reason::UpstreamTimeout),
        Ok(None) => return answer_failure(&mut admitted, names, version, Reason::UpstreamUnreachable),
        Ok(Some(answered)) => answered,
    };
    admitted.entry.upstream = Some(authority);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return relay(admitted, Answered { response, lease: None }, names);
    }
    admitted.entry.upstream_status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    admitted.ticket.set_kind(Kind::Websocket);
    let upstream = hyper::upgrade::on(&mut response);
    let mut fields = std::mem::take(response.headers_mut());
    headers::for_client(&mut fields, names.request_id(), names.receipt());
    ask_to_switch(&mut fields);
    tokio::task::spawn_local(join(admitted, client, upstream));
    let mut switched = Response::new(Answer::Own(None));
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *switched.headers_mut() = fields;
    switched
}

fn ask_to_switch(fields: &mut HeaderMap) {
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// The handshake, on a connection that is not shared; `None` if no upstream took it.
async fn handshake(
    admitted: &Admitted,
    passed: Passed,
    names: Names<'_>,
) -> Option<(Box<str>, Response<hyper::body::Incoming>)> {
    let forward = admitted.picture.forward(admitted.api)?;
    let Passed { method, fields, traceparent, peer, incoming, .. } = passed;
    let (upload, _) = Upload::new(incoming, 0);
    for upstream in &forward.upstreams {
        let Some(stream) = connect(upstream).await else {
            continue;
        };
        let (mut sender, connection) = http1_settings().handshake(TokioIo::new(stream)).await.ok()?;
        tokio::task::spawn_local(connection.with_upgrades());
        let added = added(admitted, &traceparent, names.request_id(), &peer);
        let mut sent = headers::for_upstream(&fields, added, forward, upstream);
        ask_to_switch(&mut sent);
        let request = build(admitted, upstream, method, sent, upload)?;
        let response = sender.send_request(request).await.ok()?;
        return Some((upstream.authority.as_str().into(), response));
    }
    None
}

/// Passes bytes both ways until either side closes, or the access ends.
async fn join(mut admitted: Admitted, client: OnUpgrade, upstream: OnUpgrade) {
    let status = admitted.entry.upstream_status;
    let (Ok(client), Ok(upstream)) = (client.await, upstream.await) else {
        return admitted.entry.fail(status, Reason::UpstreamMalformed);
    };
    let (sent, received) = (Rc::new(Progress::default()), Cell::new(0));
    admitted.entry.progress = Some(sent.clone());
    let mut client =
        Counting { inner: TokioIo::<Upgraded>::new(client), read: &sent.bytes, written: &received };
    let mut upstream = TokioIo::<Upgraded>::new(upstream);
    let cut = tokio::select! {
        biased;
        why = admitted.ticket.cut() => Some(why),
        // Whichever side broke off, the exchange is over.
        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => None,
    };
    admitted.entry.response_bytes = received.get();
    match cut {
        Some(why) => admitted.entry.cut(status, why),
        None => admitted.entry.complete(),
    }
}

/// A connection that counts what passes, so that an exchange which is cut has its bytes in the record too.
struct Counting<'c, S> {
    inner: S,
    read: &'c Cell<u64>,
    written: &'c Cell<u64>,
}

fn count(counter: &Cell<u64>, bytes: usize) {
    counter.set(counter.get().saturating_add(bytes as u64));
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        count(self.read, buffer.filled().len().saturating_sub(before));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            count(self.written, bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
