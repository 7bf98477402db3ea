//! Forwarding: an admitted request goes upstream, rebuilt from its parts, and its answer comes back.
//!
//! The open entry rides with the answer and closes when the last byte is handed over; dropped before, it says
//! `abandoned`. Nothing here decides whether a request may pass.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use access::arrival::BodyLength;
use access::{Reason, Refused};
use http::StatusCode;

use crate::alarm::Alarm;
use crate::arrival::{Dialect, Head};
use crate::body::{Inbound, Progress, Stopped, Upload, Uploaded, too_large};
use crate::bounds::ANSWER_IDLE_TIME;
use crate::core::Core;
use crate::failure::told;
use crate::fields::{FieldList, Sink as _};
use crate::grpc;
use crate::h1::client::{Sending, Sent};
use crate::h1::head::Asked;
use crate::h1::wire::{Broken as Unread, Piece};
use crate::headers;
use crate::join::{Joined, Passed, Side, join};
use crate::limits::Slot;
use crate::name::Name;
use crate::outgoing::Outgoing;
use crate::picture::Picture;
use crate::record::{Admitted, Entry};
use crate::respond::{Names, Reply, problem, request_id, status};
use crate::streams::{Kind, Ticket};
use crate::trace::traceparent;
use crate::upstream::{Answered, Lease, SendFailure};
use crate::websocket::{self, Opening};

/// The parts of a request that are not judged but passed on.
#[derive(Debug)]
pub(crate) struct Brought<'a> {
    pub(crate) fields: &'a FieldList,
    pub(crate) inbound: Inbound,
    /// For every wait of this exchange, one after the other.
    pub(crate) alarm: Rc<Alarm>,
}

/// Sends an admitted request upstream and answers with what comes back.
pub(crate) async fn forward(
    core: &Rc<Core>,
    head: &Head<'_>,
    mut admitted: Box<Admitted<'_>>,
    picture: &Picture,
    brought: Brought<'_>,
) -> Reply {
    let Brought { fields, inbound, alarm } = brought;
    let answers = Answers { core, head };
    if let Some(why) = admitted.ticket.why_cut() {
        return answers.cut(&mut admitted, why);
    }
    // Messages of gRPC come when there is something to say.
    let timed = !matches!(inbound, Inbound::None) && head.fields.dialect == Dialect::Http;
    let timed = timed.then(|| alarm.clone());
    let (upload, progress) = Upload::new(inbound, admitted.body_bytes_max, timed);
    admitted.entry.progress = Some(progress.clone());
    let Some(forward) = picture.forward(admitted.api) else {
        return answers.failure(&mut admitted, SendFailure::Unreachable);
    };
    let tried = RefCell::new(None);
    let (request_id, traceparent) = (request_id(head.id), traceparent(head.trace.id(), core.random()));
    let own_key = (head.opening == Opening::Connect).then(|| websocket::key([core.random(), core.random()]));
    let outgoing = Outgoing {
        head,
        admitted: &admitted,
        fields,
        forward,
        request_id: &request_id,
        traceparent: &traceparent,
        own_key: own_key.as_ref(),
        tried: &tried,
    };
    let sent_at = core.clock.now();
    // How long an exchange takes is the upstream's doing alone where the caller has no part in it.
    let owes_nothing = upload.length() == BodyLength::None && grpc::timeout(head).is_none();
    if let Some(total) = [forward.patience.total, grpc::timeout(head)].into_iter().flatten().min() {
        alarm.limit(total);
    }
    let sent = {
        let sending = pin!(core.pool.send(&outgoing, upload));
        within(&admitted.ticket, &alarm, forward.patience.answer, &progress, sending).await
    };
    if !matches!(sent, Ok(Ok(_))) {
        // What follows on the connection has a time of its own.
        alarm.lift_limit();
    }
    admitted.entry.upstream_took = Some(core.clock.now().since(sent_at));
    admitted.entry.upstream = tried.take();
    let is_upstreams_fault = match &sent {
        Err(Ended::Late(Uploaded::Whole)) => true,
        Err(Ended::Late(Uploaded::Partly) | Ended::Overdue) => owes_nothing,
        Err(Ended::Cut(_) | Ended::Client) | Ok(_) => false,
    };
    if let Some(tried) = admitted.entry.upstream.as_ref().filter(|_| is_upstreams_fault) {
        core.pool.note(tried, SendFailure::Late);
    }
    match sent {
        Err(Ended::Cut(why)) => answers.cut(&mut admitted, why),
        Err(Ended::Client) => answers.failure(&mut admitted, SendFailure::Upload),
        Err(Ended::Late(_)) => answers.failure(&mut admitted, SendFailure::Late),
        Err(Ended::Overdue) => answers.failure(&mut admitted, SendFailure::Overdue),
        Ok(Err(failure)) => answers.failure(&mut admitted, failure),
        Ok(Ok(answered)) if answered.status == StatusCode::SWITCHING_PROTOCOLS => {
            if head.opening == Opening::Connect {
                // RFC 8441, section 5: over HTTP/2 nothing is switched but begun.
                admitted.entry.status = Some(StatusCode::OK.as_u16());
            }
            answers.switch(admitted, answered, alarm)
        }
        // RFC 8441, section 5: any success would say that the stream is a WebSocket.
        Ok(Ok(answered)) if head.opening == Opening::Connect && answered.status.is_success() => {
            alarm.lift_limit();
            admitted.entry.upstream_status = Some(answered.status.as_u16());
            answers.failure(&mut admitted, SendFailure::NotSwitched)
        }
        Ok(Ok(answered)) => answers.relay(admitted, answered, alarm),
    }
}

/// Why a request was not waited for any longer.
enum Ended {
    Cut(Reason),
    /// The upstream did not answer, to so much of the request.
    Late(Uploaded),
    /// The time for the whole exchange is over.
    Overdue,
    /// The client did not send the rest of its request.
    Client,
}

/// Waits until something was sent, for `patience`, counted anew while the request's body makes progress. Whoever was
/// waited for last is who did not come in time.
async fn within<T>(
    ticket: &Ticket,
    alarm: &Alarm,
    patience: Duration,
    progress: &Progress,
    mut sending: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Ended> {
    let mut uploaded = 0;
    alarm.set(patience);
    poll_fn(|cx| {
        if let Poll::Ready(why) = ticket.poll_cut(cx) {
            return Poll::Ready(Err(Ended::Cut(why)));
        }
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            alarm.stop();
            return Poll::Ready(Ok(sent));
        }
        if std::mem::replace(&mut uploaded, progress.bytes.get()) != uploaded {
            alarm.set(patience);
        }
        ready!(alarm.poll(cx));
        Poll::Ready(Err(match (progress.give_client_up(), alarm.is_at_limit()) {
            (true, _) => Ended::Client,
            (false, true) => Ended::Overdue,
            (false, false) if progress.is_open() => Ended::Late(Uploaded::Partly),
            (false, false) => Ended::Late(Uploaded::Whole),
        }))
    })
    .await
}

/// The answers to an admitted request.
struct Answers<'a> {
    core: &'a Core,
    head: &'a Head<'a>,
}

impl Answers<'_> {
    /// To an exchange whose access ended before the upstream answered.
    fn cut(&self, admitted: &mut Admitted<'_>, reason: Reason) -> Reply {
        let names = self.names(admitted);
        let refused = Refused::because(reason, "access ended while the request was under way");
        admitted.entry.cut(Some(status(reason).as_u16()), reason);
        self.problem(&refused, &names, self.head.fields.dialect)
    }

    /// To an exchange that the upstream did not answer.
    fn failure(&self, admitted: &mut Admitted<'_>, failure: SendFailure) -> Reply {
        let names = self.names(admitted);
        let stopped = admitted.entry.progress.as_ref().and_then(|progress| progress.stopped.get());
        let refused = match stopped {
            // Dropped, the entry says that the client left: an answer would say something else.
            Some(Stopped::Client) => return Reply::Gone,
            Some(Stopped::TooLarge) => too_large(admitted.body_bytes_max),
            Some(why @ Stopped::Malformed) => Refused::because(Reason::RequestMalformed, why.to_string()),
            Some(Stopped::Answered) | None => told(failure),
        };
        if failure.is_before_sending() {
            // The row says where a request was sent.
            admitted.entry.upstream = None;
        }
        admitted.entry.fail(Some(status(refused.reason).as_u16()), refused.reason);
        let dialect = match (self.head.fields.dialect, failure) {
            (Dialect::Grpc, SendFailure::Overdue) => Dialect::GrpcLate,
            (dialect, _) => dialect,
        };
        self.problem(&refused, &names, dialect)
    }

    fn problem(&self, refused: &Refused, names: &Names, dialect: Dialect) -> Reply {
        problem(refused, self.head.id, names, self.core.clock.now(), dialect)
    }

    /// By what an answer is found again, as long as the entry is open.
    fn names(&self, admitted: &Admitted<'_>) -> Names {
        Names::new(self.head.id, self.core.node(), admitted.entry.receipt())
    }

    /// Passes an upstream's answer on.
    fn relay(&self, admitted: Box<Admitted<'_>>, answered: Answered, alarm: Rc<Alarm>) -> Reply {
        let names = self.names(&admitted);
        let idle_time_max = admitted.picture.forward(admitted.api).map(|forward| forward.patience.idle);
        let idle_time_max = idle_time_max.unwrap_or(ANSWER_IDLE_TIME);
        let Admitted { mut entry, ticket, slot, .. } = *admitted;
        let Answered { status, mut fields, stated_length, inbound, sending, lease } = answered;
        entry.upstream_status = Some(status.as_u16());
        ticket.set_kind(kind_of(&fields));
        headers::for_client(&mut fields);
        // A head without its body says how long that would be (RFC 9110, section 8.6); no other answer does here.
        let states_length = self.head.asked() == Asked::Head || status == StatusCode::NOT_MODIFIED;
        if let Some(bytes) = stated_length.filter(|_| states_length) {
            fields.add(b"content-length", bytes.to_string().as_bytes());
        }
        let bodiless = states_length || status == StatusCode::NO_CONTENT;
        // Over HTTP/2 an upstream can send a body where HTTP/1 has none: nobody is to read it as another answer.
        let inbound = if bodiless { Inbound::None } else { inbound };
        let room = match inbound.length() {
            BodyLength::None => Some(0),
            BodyLength::Known(bytes) => Some(bytes),
            BodyLength::Unknown => None,
        };
        names.stamp(&mut fields);
        Reply::Relay(Box::new(Relay {
            status,
            fields,
            inbound,
            room,
            entry,
            ticket,
            sending,
            lease,
            alarm,
            idle_time_max,
            idle: Idle::No,
            _slot: slot,
        }))
    }

    /// Takes an upstream's switch to the protocol that it was asked for.
    fn switch(&self, admitted: Box<Admitted<'_>>, answered: Answered, alarm: Rc<Alarm>) -> Reply {
        let names = self.names(&admitted);
        let Admitted { mut entry, ticket, slot, .. } = *admitted;
        let Answered { status, mut fields, lease, .. } = answered;
        entry.upstream_status = Some(status.as_u16());
        ticket.set_kind(Kind::Websocket);
        // A WebSocket lasts as long as its access does.
        alarm.lift_limit();
        headers::for_client(&mut fields);
        names.stamp(&mut fields);
        Reply::Switch(Box::new(Switched { fields, entry, ticket, lease, alarm, _slot: slot }))
    }
}

fn kind_of(fields: &FieldList) -> Kind {
    match fields.known(Name::ContentType).next() {
        Some(kind) if kind.starts_with(b"text/event-stream") => Kind::Sse,
        Some(kind) if kind.starts_with(b"application/grpc") => Kind::Grpc,
        _ => Kind::Transfer,
    }
}

/// An upstream's answer on its way to the client, with everything that must end when it does.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldList,
    pub(crate) inbound: Inbound,
    /// How much of the body may still come; `None` where its end alone tells.
    room: Option<u64>,
    entry: Entry,
    ticket: Ticket,
    /// What of the request is still on its way, to an upstream that answered before its end.
    sending: Option<Box<Sending>>,
    lease: Option<Lease>,
    alarm: Rc<Alarm>,
    idle_time_max: Duration,
    idle: Idle,
    _slot: Slot,
}

/// Whether the answer stands still, so that the alarm is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// Since so many bytes of the request's body went on.
    Since(u64),
    No,
}

/// What was cut is recorded so, even if its client left before the cut was noticed.
impl Drop for Relay {
    fn drop(&mut self) {
        self.alarm.lift_limit();
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
    #[error("the upstream's answer stood still, or took too long")]
    Late,
    #[error("the client left before it had sent its request")]
    Client,
}

impl Relay {
    /// A piece of the answer's body, behind what is in `out`.
    ///
    /// # Errors
    /// [`Broken`]: the entry is closed, and the client must not take what it has for the whole.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Piece, Broken>> {
        self.poll_over(cx)?;
        self.poll_sending(cx)?;
        let before = out.len();
        let polled = self.inbound.poll_piece(cx, out);
        let bytes = out.len().saturating_sub(before) as u64;
        // INVARIANT: no more than the answer's head allows: a client would read the rest as another answer.
        if self.room.is_some_and(|room| bytes > room) {
            out.truncate(before);
            return Poll::Ready(Err(self.break_off()));
        }
        self.room = self.room.map(|room| room.saturating_sub(bytes));
        self.entry.response_bytes = self.entry.response_bytes.saturating_add(bytes);
        match polled {
            Poll::Ready(Ok(mut piece)) => {
                self.idle = Idle::No;
                if let Piece::End(Some(trailers)) = &mut piece {
                    headers::drop_reserved(trailers);
                }
                Poll::Ready(Ok(piece))
            }
            Poll::Ready(Err(Unread::Malformed | Unread::Gone)) => Poll::Ready(Err(self.break_off())),
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn break_off(&mut self) -> Broken {
        self.lease = None;
        self.entry.fail(self.entry.upstream_status, Reason::UpstreamMalformed);
        Broken::Upstream
    }

    /// Whether access ended, or the time for the whole exchange did, for waits in which no piece is asked for.
    ///
    /// # Errors
    /// [`Broken::Cut`] or [`Broken::Late`].
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        if let Poll::Ready(why) = self.ticket.poll_cut(cx) {
            self.entry.cut(self.entry.upstream_status, why);
            return Err(Broken::Cut);
        }
        if self.alarm.is_at_limit() { Err(self.run_out()) } else { Ok(()) }
    }

    fn run_out(&mut self) -> Broken {
        self.lease = None;
        self.entry.fail(self.entry.upstream_status, Reason::UpstreamTimeout);
        Broken::Late
    }

    /// The alarm is used for another wait: the client's.
    pub(crate) fn yield_alarm(&mut self) -> &Alarm {
        self.idle = Idle::No;
        &self.alarm
    }

    /// What moves is not idle, the request's body included.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let uploaded = self.entry.progress.as_ref().map_or(0, |progress| progress.bytes.get());
        if self.idle != Idle::Since(uploaded) {
            self.idle = Idle::Since(uploaded);
            self.alarm.set(self.idle_time_max);
        }
        ready!(self.alarm.poll(cx));
        Poll::Ready(Err(self.run_out()))
    }

    /// Whether an upstream takes the rest of a request that it has answered is its own affair.
    ///
    /// # Errors
    /// [`Broken::Client`].
    pub(crate) fn poll_sending(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        if let Some(sending) = &mut self.sending
            && let Poll::Ready(sent) = sending.poll(cx)
        {
            self.sending = None;
            if sent.is_err() {
                self.lease = None;
            }
        }
        let stopped = self.entry.progress.as_ref().and_then(|progress| progress.stopped.get());
        if stopped == Some(Stopped::Client) { Err(Broken::Client) } else { Ok(()) }
    }

    /// Whether somebody still reads the request's body, and so finds out when its client leaves.
    pub(crate) fn is_uploading(&self) -> bool {
        self.entry.progress.as_ref().is_some_and(|progress| progress.is_open())
    }

    /// The last byte was handed over: the request's body ends too, the entry closes, the connection goes back.
    pub(crate) fn finish(&mut self) {
        self.alarm.stop();
        let uploaded = self.entry.progress.as_ref().map_or(Uploaded::Whole, |progress| progress.end());
        let sent = self.sending.take().map_or(Sent::Whole, |sending| sending.state());
        let now = self.entry.complete();
        if let Some(lease) = self.lease.take()
            && (uploaded, sent) == (Uploaded::Whole, Sent::Whole)
        {
            lease.give_back(now, std::mem::take(&mut self.fields));
        }
    }
}

/// Two connections that leave HTTP together.
#[derive(Debug)]
pub(crate) struct Switched {
    /// Of the answer, but for those of the switch itself.
    pub(crate) fields: FieldList,
    entry: Entry,
    ticket: Ticket,
    lease: Option<Lease>,
    alarm: Rc<Alarm>,
    _slot: Slot,
}

impl Switched {
    /// Passes bytes both ways until both sides close, or one has for a while, or the access ends. The answer's
    /// head is in the client's outbox.
    pub(crate) async fn pass(mut self, client: &impl Side) -> Joined {
        let status = self.entry.status_given();
        let Some(upstream) = self.lease.as_ref().and_then(Lease::wire) else {
            self.entry.fail(status, Reason::UpstreamMalformed);
            return Joined::Short;
        };
        let (passed, uploaded) = (Passed::default(), Rc::new(Progress::default()));
        self.entry.progress = Some(uploaded.clone());
        let end = {
            let mut joined = pin!(join(client, upstream, &passed, &self.alarm));
            poll_fn(|cx| match self.ticket.poll_cut(cx) {
                Poll::Ready(why) => Poll::Ready(Err(why)),
                Poll::Pending => joined.as_mut().poll(cx).map(Ok),
            })
            .await
        };
        uploaded.bytes.set(passed.up.get());
        self.entry.response_bytes = passed.down.get();
        match end {
            Err(why) => {
                // What waits in the system's buffers is not to be had any more, either.
                client.reset();
                self.entry.cut(status, why);
                Joined::Short
            }
            Ok(joined) => {
                self.entry.complete();
                joined
            }
        }
    }
}
