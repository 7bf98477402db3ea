//! Forwarding: an admitted request goes upstream, rebuilt from its parts, and its answer comes back.
//!
//! The open entry rides in the answer's body and closes when the last byte is handed over; dropped before, it
//! says `abandoned`. Nothing here decides whether a request may pass.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use access::{Reason, Refused};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::body::{Progress, Stopped, Upload, Uploaded, too_large};
use crate::bounds::ANSWER_IDLE_TIME_MAX;
use crate::core::Core;
use crate::headers::{self, Added};
use crate::limits::Slot;
use crate::peer::Peer;
use crate::picture::Upstream;
use crate::record::{Admitted, Entry};
use crate::respond::{Answer, Names, problem, status};
use crate::streams::{Kind, Ticket};
use crate::upstream::{Answered, Lease, SendFailure};

/// The parts of a request that are not judged but passed on.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) id: access::RequestId,
    pub(crate) version: Version,
    pub(crate) method: Method,
    pub(crate) fields: HeaderMap,
    pub(crate) traceparent: HeaderValue,
    pub(crate) peer: Rc<Peer>,
    pub(crate) incoming: Incoming,
}

/// Sends an admitted request upstream and answers with what comes back.
pub(crate) async fn forward(core: &Rc<Core>, mut admitted: Admitted, passed: Passed) -> Response<Answer> {
    let Passed { id, version, method, fields, traceparent, peer, incoming } = passed;
    let (upload, progress) = Upload::new(incoming, admitted.body_bytes_max);
    admitted.entry.progress = Some(progress.clone());
    let names = Names { id, node: core.node(), receipt: Some(admitted.entry.receipt()) };
    if let Some(why) = admitted.ticket.why_cut() {
        return answer_cut(&mut admitted, names, version, why);
    }
    let picture = admitted.picture.clone();
    let Some(forward) = picture.forward(admitted.api) else {
        return answer_failure(&mut admitted, names, version, Reason::UpstreamUnreachable);
    };
    let mut used = None;
    let sending = core.pool.send(forward, upload, |upstream, upload| {
        used = Some(upstream.authority.as_str().into());
        let added = added(&admitted, &traceparent, names.request_id(), &peer);
        let fields = headers::for_upstream(&fields, added, forward, upstream);
        build(&admitted, upstream, method.clone(), fields, upload)
    });
    let sent_at = core.clock.now();
    let sent = tokio::select! {
        biased;
        why = admitted.ticket.cut() => Err(why),
        sent = within(forward.timeout, &progress, sending) => Ok(sent),
    };
    admitted.entry.upstream = used;
    admitted.entry.upstream_took = Some(core.clock.now().since(sent_at));
    match sent {
        Err(why) => answer_cut(&mut admitted, names, version, why),
        Ok(None) => answer_failure(&mut admitted, names, version, Reason::UpstreamTimeout),
        Ok(Some(Err(failure))) => answer_failure(&mut admitted, names, version, reason_of(&failure)),
        Ok(Some(Ok(answered))) if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            answer_failure(&mut admitted, names, version, Reason::UpstreamMalformed)
        }
        Ok(Some(Ok(answered))) => relay(admitted, answered, names),
    }
}

/// Waits for an answer for `patience`, counted anew while the request's body makes progress; `None` after it.
async fn within<T>(patience: Duration, progress: &Progress, sending: impl Future<Output = T>) -> Option<T> {
    let mut sending = pin!(sending);
    let mut uploaded = 0;
    loop {
        match tokio::time::timeout(patience, sending.as_mut()).await {
            Ok(sent) => return Some(sent),
            Err(_elapsed) if progress.bytes.get() > uploaded => uploaded = progress.bytes.get(),
            Err(_elapsed) => return None,
        }
    }
}

/// What the proxy adds to a request of an admitted exchange.
pub(crate) fn added<'a>(
    admitted: &'a Admitted,
    traceparent: &HeaderValue,
    request_id: HeaderValue,
    peer: &'a Peer,
) -> Added<'a> {
    Added {
        subject: admitted.subject.clone(),
        grant: admitted.grant.clone(),
        request_id,
        traceparent: traceparent.clone(),
        peer,
        host: &admitted.host,
        host_routed: admitted.host_routed,
    }
}

/// The canonical request, as one upstream is sent it; `None` if it cannot be written down.
pub(crate) fn build(
    admitted: &Admitted,
    upstream: &Upstream,
    method: Method,
    fields: HeaderMap,
    upload: Upload,
) -> Option<Request<Upload>> {
    let target = headers::upstream_target(upstream, &admitted.path, admitted.query.as_deref());
    let uri = match upstream.scheme {
        crate::picture::Scheme::Http => http::Uri::from_maybe_shared(Bytes::from(target)).ok()?,
        crate::picture::Scheme::H2c => http::Uri::builder()
            .scheme("http")
            .authority(upstream.authority.as_str())
            .path_and_query(target)
            .build()
            .ok()?,
    };
    let mut request = Request::new(upload);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    if upstream.scheme == crate::picture::Scheme::H2c {
        request.headers_mut().remove(http::header::HOST);
        *request.version_mut() = Version::HTTP_2;
    }
    Some(request)
}

const fn reason_of(failure: &SendFailure) -> Reason {
    match failure {
        SendFailure::Unreachable | SendFailure::Closed | SendFailure::Upload => Reason::UpstreamUnreachable,
        SendFailure::Malformed => Reason::UpstreamMalformed,
    }
}

/// Answers an exchange whose access ended before the upstream answered.
pub(crate) fn answer_cut(
    admitted: &mut Admitted,
    names: Names<'_>,
    version: Version,
    reason: Reason,
) -> Response<Answer> {
    let refused = Refused::because(reason, "access ended while the request was under way");
    admitted.entry.cut(Some(status(reason).as_u16()), reason);
    problem(&refused, names, version)
}

/// Answers an exchange that the upstream did not answer.
pub(crate) fn answer_failure(
    admitted: &mut Admitted,
    names: Names<'_>,
    version: Version,
    reason: Reason,
) -> Response<Answer> {
    let stopped = admitted.entry.progress.as_ref().and_then(|progress| progress.stopped.get());
    let refused = match (stopped, reason) {
        (Some(Stopped::TooLarge), _) => too_large(admitted.body_bytes_max),
        (Some(why @ Stopped::Malformed), _) => Refused::because(Reason::RequestMalformed, why.to_string()),
        (_, Reason::UpstreamTimeout) => {
            Refused::because(reason, "the upstream did not answer within its time")
        }
        (_, Reason::UpstreamMalformed) => {
            Refused::because(reason, "what the upstream answered is not valid HTTP")
        }
        _ => Refused::because(
            reason,
            "no upstream of this API could be reached, or it closed before it answered",
        ),
    };
    let reason = refused.reason;
    if stopped != Some(Stopped::Client) {
        admitted.entry.fail(Some(status(reason).as_u16()), reason);
    }
    let refused = match reason {
        Reason::BodyTooLarge | Reason::RequestMalformed => refused,
        _ => refused.next("look at the API itself: Daypass let the request pass and sent it on"),
    };
    problem(&refused, names, version)
}

/// Passes an upstream's answer on.
pub(crate) fn relay(admitted: Admitted, answered: Answered, names: Names<'_>) -> Response<Answer> {
    let Admitted { mut entry, ticket, slot, .. } = admitted;
    let Answered { response, lease } = answered;
    let (mut parts, incoming) = response.into_parts();
    entry.upstream_status = Some(parts.status.as_u16());
    ticket.set_kind(kind_of(&parts.headers));
    headers::for_client(&mut parts.headers, names.request_id(), names.receipt());
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let mut relay = Relay { incoming, entry, ticket, lease, idle: None, _slot: slot };
    if relay.incoming.is_end_stream() {
        relay.finish();
    }
    Response::from_parts(parts, Answer::Relay(Box::new(relay)))
}

fn kind_of(fields: &HeaderMap) -> Kind {
    match fields.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(kind) if kind.starts_with(b"text/event-stream") => Kind::Sse,
        Some(kind) if kind.starts_with(b"application/grpc") => Kind::Grpc,
        _ => Kind::Transfer,
    }
}

/// An upstream's answer on its way to the client, with everything that must end when it does.
#[derive(Debug)]
pub(crate) struct Relay {
    incoming: Incoming,
    entry: Entry,
    ticket: Ticket,
    lease: Option<Lease>,
    /// Set while the answer stands still.
    idle: Option<Pin<Box<Sleep>>>,
    _slot: Slot,
}

/// A client that reads nothing does not have the body polled: its connection is dropped instead.
impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(why) = self.ticket.why_cut() {
            self.entry.cut(self.entry.upstream_status, why);
        }
    }
}

/// Why an answer that had begun could not be given to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("access ended")]
    Cut,
    #[error("the upstream's answer ended early")]
    Upstream,
    #[error("the upstream's answer stood still")]
    Idle,
}

impl Relay {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Poll::Ready(why) = self.ticket.poll_cut(cx) {
            self.entry.cut(self.entry.upstream_status, why);
            return Poll::Ready(Some(Err(Broken::Cut)));
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.idle = None;
                if let Some(trailers) = frame.trailers_mut() {
                    headers::drop_reserved(trailers);
                }
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.entry.response_bytes = self.entry.response_bytes.saturating_add(bytes);
                // Nothing follows trailers, and the codec does not ask again.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.entry.fail(self.entry.upstream_status, Reason::UpstreamMalformed);
                Poll::Ready(Some(Err(Broken::Upstream)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(ANSWER_IDLE_TIME_MAX)));
        if idle.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.entry.fail(self.entry.upstream_status, Reason::UpstreamTimeout);
        Poll::Ready(Some(Err(Broken::Idle)))
    }

    /// The last byte was handed over: the request's body ends too, the entry closes, the connection goes back.
    fn finish(&mut self) {
        let uploaded = self.entry.progress.as_ref().map_or(Uploaded::Whole, |progress| progress.end());
        self.entry.complete();
        if let Some(lease) = self.lease.take()
            && uploaded == Uploaded::Whole
        {
            lease.give_back();
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
