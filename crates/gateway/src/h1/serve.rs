//! Toward clients: one connection, request after request, each answered before the next is read.
//!
//! A head that cannot be read is refused with a row and an answer, and ends the connection: nothing behind it is
//! read as another request. Not here: what a request may do (see `pipeline`).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use access::arrival::BodyLength;
use access::{Reason, Refused};
use http::{StatusCode, Version};

use super::answer::{Framing, Passing, Unpassed, end_head, write_head};
use super::client::write_length;
use super::head::{Asked, Persistence, RequestHead, Unreadable};
use super::scan::Scan;
use super::wire::{Piece, Wire};
use crate::alarm::Alarm;
use crate::arrival::{Dialect, Fields, Head};
use crate::body::Inbound;
use crate::bounds::{
    CLIENT_IDLE_TIME_MAX, CODEC_HEAD_BYTES_MAX, CUT_TIME_MAX, DISCARD_BYTES_MAX, DRAIN_QUIET_TIME,
    EMPTY_LINES_MAX, HEAD_TIME_MAX, LINGER_TIME_MAX,
};
use crate::core::{Core, Phase};
use crate::fields::Sink as _;
use crate::forward::{Brought, Relay, Switched};
use crate::join::Joined;
use crate::peer::Caller;
use crate::respond::{Closes, Names, Own, Reply, problem};
use crate::trace::Trace;
use crate::transport::Transport;
use crate::websocket::Opening;

/// Serves one connection to its end.
pub(crate) async fn serve(core: &Rc<Core>, stream: Transport, caller: &Caller) {
    let connection =
        Connection { core, caller, wire: Rc::new(Wire::new(stream)), alarm: core.alarms.alarm() };
    let mut patience = HEAD_TIME_MAX;
    loop {
        let next = match connection.read_head(patience).await {
            Ok(head) => {
                let next = connection.exchange(&head).await;
                head.keep();
                next
            }
            Err(NoHead::Gone) => return,
            Err(NoHead::Refused(reason)) => Box::pin(connection.refuse_unread(reason)).await,
        };
        match next {
            Next::Read => {}
            Next::Linger => return connection.linger().await,
            Next::Drop => return,
        }
        patience = CLIENT_IDLE_TIME_MAX;
    }
}

/// What of a head is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Its beginning.
    Next,
    /// Its beginning, while the node drains.
    Last,
    /// What is behind its beginning.
    Rest,
}

/// What becomes of a connection after an exchange.
enum Next {
    /// Another request is read.
    Read,
    /// It ends, once the client has taken what it was sent.
    Linger,
    /// It ends at once.
    Drop,
}

/// Why there is no next request.
enum NoHead {
    /// The client left, or said nothing for too long.
    Gone,
    /// What it sent is no head.
    Refused(Reason),
}

impl From<Unreadable> for NoHead {
    fn from(why: Unreadable) -> Self {
        Self::Refused(match why {
            Unreadable::Malformed => Reason::RequestMalformed,
            Unreadable::TooManyFields => Reason::HeadersTooLarge,
        })
    }
}

struct Connection<'c> {
    core: &'c Rc<Core>,
    caller: &'c Caller,
    wire: Rc<Wire>,
    alarm: Rc<Alarm>,
}

impl Connection<'_> {
    /// Waits for the next head: for `patience` until it begins, then for [`HEAD_TIME_MAX`].
    ///
    /// When the node drains, a request may be on its way already: it is still waited for, for [`DRAIN_QUIET_TIME`].
    /// Until it begins, the connection holds no buffers.
    async fn read_head(&self, patience: std::time::Duration) -> Result<RequestHead, NoHead> {
        self.wire.shrink();
        let mut reading = Reading { scan: Scan::default(), empty_lines: 0 };
        let mut wait = if self.wire.inbox().is_empty() { Wait::Next } else { Wait::Rest };
        self.alarm.set(if wait == Wait::Rest { HEAD_TIME_MAX } else { patience });
        poll_fn(|cx| {
            loop {
                if let Some(head) = reading.take(&self.wire)? {
                    return Poll::Ready(Ok(head));
                }
                if wait == Wait::Next && self.core.phase() == Phase::Draining {
                    wait = Wait::Last;
                    self.alarm.set(DRAIN_QUIET_TIME.min(patience));
                }
                if self.alarm.poll(cx).is_ready() {
                    return Poll::Ready(Err(NoHead::Gone));
                }
                match self.wire.poll_read(cx, CODEC_HEAD_BYTES_MAX) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Err(why)) if why.kind() == io::ErrorKind::OutOfMemory => {
                        return Poll::Ready(Err(NoHead::Refused(reading.too_long())));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoHead::Gone)),
                }
                if wait != Wait::Rest {
                    wait = Wait::Rest;
                    self.alarm.set(HEAD_TIME_MAX);
                }
            }
        })
        .await
    }

    /// Judges one request and answers it.
    async fn exchange(&self, request: &RequestHead) -> Next {
        let (id, at) = self.core.fresh_id();
        let fields = Fields::read(&request.fields, request.fault);
        let (authority, path, query) = request.target();
        let mut head = Head {
            id,
            at,
            peer: &self.caller.peer,
            trace: Trace::of(fields.traceparent.text(), id),
            version: request.version,
            method: request.method(),
            opening: Opening::Upgrade,
            authority,
            path,
            query,
            body: request.body,
            fields,
            shown_before: &self.caller.shown_before,
        };
        let behind = self.caller.behind(&request.fields, &mut head.fields);
        head.peer = behind.as_ref().unwrap_or(head.peer);
        self.wire.begin_body(request.decoder());
        self.wire.expects_continue.set(head.fields.expects() && request.version == Version::HTTP_11);
        let inbound = match request.body {
            BodyLength::None => Inbound::None,
            BodyLength::Known(_) | BodyLength::Unknown => Inbound::Http1(self.wire.clone()),
        };
        let brought = Brought { fields: &request.fields, inbound, alarm: self.alarm.clone() };
        let answering = pin!(self.core.answer(&head, brought));
        let Some(reply) = self.unless_gone(answering).await else {
            return Next::Drop;
        };
        match reply {
            Reply::Own(own) => self.give(own, request, head.asked()).await,
            Reply::Relay(relay) => self.relay(relay, request, head.asked()).await,
            Reply::Gone => Next::Drop,
            Reply::Switch(switched) => {
                self.write_switch(&switched);
                match switched.pass(&*self.wire).await {
                    Joined::Whole => Next::Linger,
                    Joined::Short => Next::Drop,
                }
            }
        }
    }

    /// Waits for an answer, unless the client leaves first. While its body is read, reading finds that out.
    async fn unless_gone<T>(&self, mut answering: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            if self.wire.is_body_read() && self.wire.poll_gone(cx).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Refuses what could not be read as a request.
    async fn refuse_unread(&self, reason: Reason) -> Next {
        let head = Head::unread(self.core.fresh_id(), self.caller, Version::HTTP_11);
        let refused = Refused::because(reason, "the head could not be read");
        let receipt = self.core.pipeline.refuse(&head, &refused).await;
        let names = Names::new(head.id, self.core.node(), receipt);
        let Reply::Own(own) = problem(&refused, head.id, &names, self.core.clock.now(), Dialect::Http) else {
            return Next::Drop;
        };
        self.write_own(&own, Asked::Other, Persistence::Close);
        self.flush(LINGER_TIME_MAX).await.map_or(Next::Drop, |()| Next::Linger)
    }

    /// Gives an answer of our own, and reads over what is left of the request if that is little.
    async fn give(&self, own: Own, request: &RequestHead, asked: Asked) -> Next {
        let remaining = self.wire.body_remaining().filter(|bytes| *bytes <= DISCARD_BYTES_MAX);
        // Whoever waits to be told to continue may send its body now, or another request.
        let readable = remaining == Some(0) || (remaining.is_some() && !self.wire.expects_continue.take());
        let keeps = readable && own.closes == Closes::No && self.keeps(request) == Persistence::Keep;
        let persistence = if keeps { Persistence::Keep } else { Persistence::Close };
        self.write_own(&own, asked, persistence);
        if self.flush(LINGER_TIME_MAX).await.is_none() {
            return Next::Drop;
        }
        if keeps && self.discard().await.is_some() { Next::Read } else { self.end(request) }
    }

    fn keeps(&self, request: &RequestHead) -> Persistence {
        match self.core.phase() {
            Phase::Draining => Persistence::Close,
            Phase::Serving if self.caller.peer.is_over() => Persistence::Close,
            Phase::Serving => request.persistence,
        }
    }

    fn write_switch(&self, switched: &Switched) {
        let mut out = self.wire.outbox();
        write_head(&mut out, StatusCode::SWITCHING_PROTOCOLS, &switched.fields);
        out.add(b"connection", b"Upgrade");
        out.add(b"upgrade", b"websocket");
        out.extend_from_slice(b"\r\n");
    }

    fn write_own(&self, own: &Own, asked: Asked, persistence: Persistence) {
        self.wire.begin_answer();
        let mut out = self.wire.outbox();
        write_head(&mut out, own.status, &own.fields);
        write_length(&mut out, own.body.len() as u64);
        end_head(&mut out, persistence);
        if asked == Asked::Other {
            out.extend_from_slice(&own.body);
        }
    }

    /// Passes an upstream's answer on.
    async fn relay(&self, mut relay: Box<Relay>, request: &RequestHead, asked: Asked) -> Next {
        self.wire.begin_answer();
        let persistence = self.keeps(request);
        let framing = Framing::of(&relay, asked, request.version);
        let persistence = if framing == Framing::UntilClose { Persistence::Close } else { persistence };
        {
            let mut out = self.wire.outbox();
            write_head(&mut out, relay.status, &relay.fields);
            framing.write(&mut out);
            end_head(&mut out, persistence);
        }
        let mut passing = Passing::new(&self.wire, framing);
        let passed = poll_fn(|cx| passing.poll(&mut relay, cx)).await;
        match passed {
            Ok(()) => relay.finish(),
            // What waits in the system's buffers is not to be had any more, either.
            Err(Unpassed::Cut) => {
                self.wire.reset();
                return Next::Drop;
            }
            // What the client has must not look whole: the connection ends without the rest.
            Err(Unpassed::Broken) => {
                let _ = self.flush(CUT_TIME_MAX).await;
                if framing == Framing::UntilClose {
                    self.wire.reset();
                }
                return Next::Drop;
            }
            Err(Unpassed::Gone) => return Next::Drop,
        }
        if persistence == Persistence::Keep && self.wire.is_body_read() {
            return Next::Read;
        }
        self.end(request)
    }

    /// How a connection ends that carries no further request: at once if its client asked for that and has said all.
    /// One of HTTP/1.0 did not ask for anything, and may have sent more.
    fn end(&self, request: &RequestHead) -> Next {
        let asked = request.version == Version::HTTP_11
            && request.persistence == Persistence::Close
            && request.fault.is_none();
        if asked && self.wire.may_close() { Next::Drop } else { Next::Linger }
    }

    /// Writes out what waits, unless the client takes nothing for too long.
    async fn flush(&self, patience: std::time::Duration) -> Option<()> {
        self.alarm.set(patience);
        let flushed = poll_fn(|cx| match self.wire.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.ok()),
            Poll::Pending => self.alarm.poll(cx).map(|()| None),
        })
        .await;
        self.alarm.stop();
        flushed
    }

    /// Reads over the rest of a request's body, so that the next request can be read.
    async fn discard(&self) -> Option<()> {
        if self.wire.is_body_read() {
            return Some(());
        }
        self.alarm.set(LINGER_TIME_MAX);
        let mut unread = Vec::new();
        poll_fn(|cx| {
            loop {
                unread.clear();
                match self.wire.poll_body(cx, &mut unread) {
                    Poll::Ready(Ok(Piece::Data)) => {}
                    Poll::Ready(Ok(Piece::End(_))) => return Poll::Ready(Some(())),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => return self.alarm.poll(cx).map(|()| None),
                }
            }
        })
        .await
    }

    /// Ends the connection so that the client can still read what it was sent: a connection that is closed while
    /// bytes of the client's are unread is reset, and takes the answer with it (RFC 9112, section 9.6).
    async fn linger(&self) {
        self.alarm.set(LINGER_TIME_MAX);
        let mut said = false;
        poll_fn(|cx| {
            if !said && self.wire.poll_shutdown(cx).is_pending() {
                return self.alarm.poll(cx);
            }
            said = true;
            loop {
                let waiting = self.wire.inbox().len();
                self.wire.consume(waiting);
                match self.wire.poll_read(cx, CODEC_HEAD_BYTES_MAX) {
                    Poll::Ready(Ok(1..)) if self.alarm.poll(cx).is_pending() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.alarm.poll(cx),
                }
            }
        })
        .await;
    }
}

struct Reading {
    scan: Scan,
    empty_lines: usize,
}

impl Reading {
    /// Takes the head out of the wire's inbox, if all of it is there.
    fn take(&mut self, wire: &Wire) -> Result<Option<RequestHead>, NoHead> {
        loop {
            let (length, read) = {
                let inbox = wire.inbox();
                let Some(length) = self.scan.find_end(&inbox)? else { return Ok(None) };
                let bytes = inbox.get(..length).unwrap_or_default();
                (length, (bytes != b"\r\n").then(|| RequestHead::read(bytes)))
            };
            wire.consume(length);
            self.scan = Scan::default();
            match read {
                Some(read) => return Ok(Some(read?)),
                None if self.empty_lines >= EMPTY_LINES_MAX => {
                    return Err(NoHead::Refused(Reason::RequestMalformed));
                }
                None => self.empty_lines = self.empty_lines.saturating_add(1),
            }
        }
    }

    const fn too_long(&self) -> Reason {
        if self.scan.is_in_first_line() { Reason::UriTooLong } else { Reason::HeadersTooLarge }
    }
}
