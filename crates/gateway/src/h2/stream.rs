//! One stream: a request, judged like one of HTTP/1.1, and its answer.
//!
//! An extended `CONNECT` for a WebSocket (RFC 8441) is judged as the `GET` of its path that it is over HTTP/1.1.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use access::RequestId;
use access::arrival::BodyLength;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::OpenStream;
use super::body::{Ending, Giving, Receiving, Rest};
use super::tunnel::Tunnel;
use crate::alarm::Alarm;
use crate::arrival::{Fields, Head};
use crate::body::Inbound;
use crate::bounds::LINGER_TIME_MAX;
use crate::core::Core;
use crate::fields::{FieldList, Sink as _};
use crate::forward::{Brought, Relay, Switched};
use crate::h1::head::Asked;
use crate::name::Name;
use crate::peer::Caller;
use crate::respond::{Closes, Own, Reply};
use crate::trace::Trace;
use crate::websocket::Opening;

/// Answers one request.
pub(super) async fn serve(
    core: Rc<Core>,
    caller: Rc<Caller>,
    open: OpenStream,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (parts, receiving) = request.into_parts();
    let (inbound, left) = match opening(&parts) {
        Opening::Upgrade => {
            let receiving = Receiving::new(receiving, &parts.headers);
            let rest = receiving.rest();
            (Inbound::Http2(receiving), Left::Body(rest))
        }
        Opening::Connect => (Inbound::None, Left::Stream(receiving)),
    };
    let mut answering = Answering { respond, alarm: core.alarms.alarm() };
    let judged = {
        let mut judging = pin!(judge(&core, &caller, parts, inbound, answering.alarm.clone()));
        poll_fn(|cx| match judging.as_mut().poll(cx) {
            Poll::Ready(judged) => Poll::Ready(Some(judged)),
            Poll::Pending => answering.respond.poll_reset(cx).map(|_| None),
        })
        .await
    };
    if let Some((reply, asked)) = judged {
        answering.give(reply, asked, left).await;
    }
    drop(open);
}

/// What a request comes to. Its head is let go of before it is answered: a client may take its time over that.
async fn judge(
    core: &Rc<Core>,
    caller: &Caller,
    parts: Parts,
    inbound: Inbound,
    alarm: Rc<Alarm>,
) -> (Reply, Asked) {
    let fields = FieldList::from(&parts.headers);
    let mut head = head(&parts, &fields, inbound.length(), core.fresh_id(), caller);
    let behind = caller.behind(&fields, &mut head.fields);
    head.peer = behind.as_ref().unwrap_or(head.peer);
    let reply = core.answer(&head, Brought { fields: &fields, inbound, alarm }).await;
    (reply, head.asked())
}

fn opening(parts: &Parts) -> Opening {
    let protocol = parts.extensions.get::<Protocol>();
    let websocket = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    if websocket && parts.method == Method::CONNECT { Opening::Connect } else { Opening::Upgrade }
}

fn head<'p>(
    parts: &'p Parts,
    fields: &'p FieldList,
    body: BodyLength,
    (id, at): (RequestId, access::Timestamp),
    caller: &'p Caller,
) -> Head<'p> {
    let (opening, fields) = (opening(parts), Fields::read(fields, fault(parts, fields)));
    Head {
        id,
        at,
        peer: &caller.peer,
        trace: Trace::of(fields.traceparent.text(), id),
        version: parts.version,
        method: if opening == Opening::Connect { "GET" } else { parts.method.as_str() },
        opening,
        authority: parts.uri.authority().map(http::uri::Authority::as_str),
        path: parts.uri.path(),
        query: parts.uri.query(),
        body,
        fields,
        shown_before: &caller.shown_before,
    }
}

/// Why a head has more than one reading, beyond what the codec refuses (RFC 9113, sections 8.2.1 and 8.3.1).
fn fault(parts: &Parts, fields: &FieldList) -> Option<&'static str> {
    let scheme = parts.uri.scheme_str();
    if scheme.is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Some("the request is for something other than `http` or `https`");
    }
    if parts.method == Method::CONNECT && parts.uri.authority().is_none() {
        return Some("a `CONNECT` request names no authority");
    }
    let padded = |value: &[u8]| value.trim_ascii().len() != value.len();
    fields.iter().any(|(_, value)| padded(value)).then_some("a header's value begins or ends with a space")
}

/// What a client sends behind the head of its request, as far as nobody has read it.
enum Left {
    Body(Rest),
    /// Of another protocol.
    Stream(RecvStream),
}

/// Whether an answer has a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bodied {
    Yes,
    No,
}

struct Answering {
    respond: SendResponse<Bytes>,
    alarm: Rc<Alarm>,
}

impl Answering {
    async fn give(mut self, reply: Reply, asked: Asked, left: Left) {
        match (reply, left) {
            (Reply::Own(own), Left::Body(rest)) => self.own(own, asked, Some(rest)).await,
            (Reply::Own(own), Left::Stream(_)) => self.own(own, asked, None).await,
            (Reply::Relay(relay), _) => self.relay(relay).await,
            (Reply::Switch(switched), Left::Stream(receiving)) => self.switch(*switched, receiving).await,
            // The client left, or asked for no switch.
            (Reply::Gone | Reply::Switch(_), _) => self.respond.send_reset(Reason::CANCEL),
        }
    }

    /// Gives an answer of our own, and reads over what is left of the request meanwhile. Nothing was let through: its
    /// client is not waited for as one of an upstream's answer is.
    async fn own(mut self, own: Own, asked: Asked, rest: Option<Rest>) {
        let Own { status, mut fields, body, closes } = own;
        fields.add(b"content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        let bodied = if asked == Asked::Head || body.is_empty() { Bodied::No } else { Bodied::Yes };
        let giving = self.begin(status, &fields, bodied);
        let given = async {
            if let Some(giving) = giving {
                // What is left of it is reset when it is dropped.
                let _ = giving.give(body.into(), ending(&fields, closes)).await;
            }
        };
        let discarded = async {
            if let Some(rest) = rest {
                rest.discard().await;
            }
        };
        self.alarm.set(LINGER_TIME_MAX);
        tokio::select! {
            biased;
            _ = async { tokio::join!(given, discarded) } => {}
            () = poll_fn(|cx| self.alarm.poll(cx)) => {}
        }
    }

    async fn relay(mut self, mut relay: Box<Relay>) {
        let (status, mut fields) = (relay.status, std::mem::take(&mut relay.fields));
        if let BodyLength::Known(bytes) = relay.inbound.length() {
            fields.add(b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
        }
        let bodied = if relay.inbound.is_end() { Bodied::No } else { Bodied::Yes };
        if bodied == Bodied::No {
            relay.finish();
        }
        if let Some(giving) = self.begin(status, &fields, bodied) {
            giving.relay(relay).await;
        }
    }

    /// Sends the head of an answer; `None` if that is all of it, or the client is gone.
    fn begin(&mut self, status: StatusCode, fields: &FieldList, bodied: Bodied) -> Option<Giving> {
        let sending = self.respond.send_response(response(status, fields), bodied == Bodied::No).ok()?;
        (bodied == Bodied::Yes).then(|| Giving::new(sending, self.alarm.clone()))
    }

    async fn switch(mut self, switched: Switched, receiving: RecvStream) {
        let mut fields = switched.fields.clone();
        // Neither is used over HTTP/2 (RFC 8441, section 5): the upstream proved itself to us.
        fields.retain(|field| field.text != b"sec-websocket-accept" && field.name != Name::SecWebsocketKey);
        if let Ok(sending) = self.respond.send_response(response(StatusCode::OK, &fields), false) {
            let _ = switched.pass(&Tunnel::new(receiving, sending)).await;
        }
    }
}

fn ending(fields: &FieldList, closes: Closes) -> Ending {
    if closes == Closes::Malformed {
        return Ending::Error(Reason::PROTOCOL_ERROR);
    }
    let mut trailers = HeaderMap::new();
    // Callers of gRPC read their status behind a body, where there is one.
    for (name, value) in fields.iter().filter(|(name, _)| name.starts_with(b"grpc-")) {
        trailers.add(name, value);
    }
    if trailers.is_empty() { Ending::Data } else { Ending::Trailers(trailers) }
}

fn response(status: StatusCode, fields: &FieldList) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields.to_map();
    response
}
