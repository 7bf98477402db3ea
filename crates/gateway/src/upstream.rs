//! Upstream connections: kept by each core for itself, reused while they are fresh.
//!
//! Not here: which upstreams there are (see `endpoint`), which of them are tried and how often (see `send`), which is
//! chosen (see `balance`), what is known of them (see `health`).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use access::{Clock, Timestamp};
use http::StatusCode;

use crate::balance::{InFlight, Loads};
use crate::body::{Inbound, Stopped, Upload};
use crate::bounds::{UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIME_MAX};
use crate::connect::{Unconnected, connect, connect_http2};
use crate::descriptors::{Descriptor, Descriptors, Toward};
use crate::endpoint::Endpoint;
use crate::fields::FieldList;
use crate::h1::client::{Heard, NoAnswer, Sending, Sent, exchange};
use crate::h1::head::{Persistence, ResponseHead};
use crate::h1::wire::Wire;
use crate::health::Trouble;
use crate::outgoing::Outgoing;
use crate::shared::{OpenStream, Sender, Shared, failure, is_connections_end};
use crate::tls::Unproven;

/// Idle connections by place, each with the time since when it is idle; the last used is last.
type Idle = BTreeMap<Arc<str>, VecDeque<(Rc<Wire>, Timestamp)>>;

/// The upstream connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) clock: Arc<dyn Clock>,
    idle: RefCell<Idle>,
    shared: Shared,
    descriptors: Rc<Descriptors>,
    pub(crate) loads: Loads,
    pub(crate) random: RefCell<fastrand::Rng>,
}

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFailure {
    /// No upstream could be connected to; nothing was sent.
    Unreachable,
    /// The name of the last that was tried has no address; nothing was sent.
    Unresolved,
    /// The last that could be connected to did not show that it speaks HTTP/2; nothing was sent.
    NotHttp2,
    /// Every upstream fails its checks; nothing was sent.
    Failing,
    /// This node may open no more connections; nothing was sent.
    NoRoom,
    /// The last that could be connected to did not prove who it is; nothing was sent.
    Unproven(Unproven),
    /// The upstream closed before it answered.
    Closed,
    /// The upstream's answer could not be read.
    Malformed,
    /// The request's own body ended early.
    Upload,
    /// The upstream's protocol knows no switch to another.
    NoSwitch,
    /// The upstream answered a handshake as any other request, to a client that cannot tell.
    NotSwitched,
    /// The upstream did not answer in time.
    Late,
    /// The whole exchange took too long.
    Overdue,
}

/// What is lent for one exchange.
#[derive(Debug)]
pub(crate) enum Lease {
    /// A connection, given back when the exchange ended cleanly.
    Whole(WholeLease),
    /// A share of one, given back in any case.
    Stream { _open: OpenStream, in_flight: Option<InFlight> },
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub(crate) struct WholeLease {
    pool: Rc<Pool>,
    place: Arc<str>,
    wire: Rc<Wire>,
    persistence: Persistence,
    in_flight: Option<InFlight>,
}

impl Lease {
    pub(crate) fn wire(&self) -> Option<&Wire> {
        match self {
            Self::Whole(lease) => Some(&lease.wire),
            Self::Stream { .. } => None,
        }
    }

    /// Counts its exchange as in flight until it is given back.
    pub(crate) fn carry(&mut self, load: Option<InFlight>) {
        match self {
            Self::Whole(WholeLease { in_flight, .. }) | Self::Stream { in_flight, .. } => *in_flight = load,
        }
    }

    /// Gives a connection back at `now` for the next request, if it can carry one, with the room of an answer's fields.
    pub(crate) fn give_back(self, now: Timestamp, fields: FieldList) {
        let Self::Whole(WholeLease { pool, place, wire, persistence, .. }) = self else { return };
        // What nobody asked for would be read as the next answer.
        if persistence == Persistence::Close || !wire.is_quiet() {
            return;
        }
        wire.shrink();
        wire.keep_spare(fields);
        let mut idle = pool.idle.borrow_mut();
        let line = idle.entry(place).or_default();
        if line.len() < UPSTREAM_IDLE_MAX {
            line.push_back((wire, now));
        }
    }
}

/// An upstream's answer, with the connection it came over.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldList,
    /// What the head says of a body's length, whether or not there is one.
    pub(crate) stated_length: Option<u64>,
    pub(crate) inbound: Inbound,
    /// Boxed: most requests have gone out when their answer comes.
    pub(crate) sending: Option<Box<Sending>>,
    pub(crate) lease: Option<Lease>,
}

/// What became of one attempt.
pub(crate) enum Attempt {
    Answered(Answered),
    /// Nothing of the request was sent.
    Unsent(Upload, Unconnected),
    /// Nor was it tried: this node may open no more connections.
    NoRoom(Upload),
    /// The connection closed before a byte of the answer came, and nothing of the body had been taken.
    Unheard(Upload, Line),
    /// It may have been sent, and must not be sent again.
    Failed(SendFailure),
}

/// Whether a connection had carried a request before: then its closing says nothing of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Fresh,
    Used,
}

/// Which connections an attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Any,
    Fresh,
}

impl From<Unconnected> for SendFailure {
    fn from(why: Unconnected) -> Self {
        match why {
            Unconnected::Unreachable => Self::Unreachable,
            Unconnected::Unresolved => Self::Unresolved,
            Unconnected::NotHttp2 => Self::NotHttp2,
            Unconnected::NoRoom => Self::NoRoom,
            Unconnected::Unproven(why) => Self::Unproven(why),
        }
    }
}

impl SendFailure {
    /// Whether nothing of the request can have arrived.
    pub(crate) const fn is_before_sending(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Unresolved
            | Self::NotHttp2
            | Self::Failing
            | Self::NoRoom
            | Self::Unproven(_)
            | Self::NoSwitch => true,
            Self::Closed
            | Self::Malformed
            | Self::Upload
            | Self::NotSwitched
            | Self::Late
            | Self::Overdue => false,
        }
    }

    /// What it says of the upstream, if anything.
    const fn trouble(self) -> Option<Trouble> {
        match self {
            Self::Closed => Some(Trouble::Closed),
            Self::Malformed => Some(Trouble::Malformed),
            Self::Late | Self::Overdue => Some(Trouble::Late),
            // What could not be connected to is told where that happens; the rest is not the upstream's doing.
            Self::Unreachable
            | Self::Unresolved
            | Self::NotHttp2
            | Self::Failing
            | Self::NoRoom
            | Self::Unproven(_)
            | Self::Upload
            | Self::NoSwitch
            | Self::NotSwitched => None,
        }
    }
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>, seed: u64, descriptors: Rc<Descriptors>) -> Self {
        Self {
            clock,
            idle: RefCell::default(),
            shared: Shared::default(),
            descriptors,
            loads: Loads::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// An upstream did not do with a request what it should, as is known only now.
    pub(crate) fn note(&self, endpoint: &Endpoint, failure: SendFailure) {
        if let Some(trouble) = failure.trouble() {
            endpoint.vital.fail(trouble, self.clock.now());
        }
    }

    pub(crate) async fn send_http1(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        outgoing: &Outgoing<'_>,
        uses: Use,
        upload: Upload,
    ) -> Attempt {
        let mut upload = upload;
        // Bounded by the number of idle connections: each turn takes one.
        while uses == Use::Any
            && let Some(wire) = self.take_idle(&endpoint.place)
        {
            match self.send_over(wire, Line::Used, endpoint, outgoing, upload).await {
                Attempt::Unsent(unsent, _) => upload = unsent,
                other => return other,
            }
        }
        let Some(descriptor) = self.descriptor() else { return Attempt::NoRoom(upload) };
        // Boxed: what most requests do not do is not to make the state of each larger.
        match Box::pin(connect(endpoint, outgoing.forward.patience.connect)).await {
            Ok(stream) => {
                let wire = Rc::new(Wire::counted(stream, Some(descriptor)));
                self.send_over(wire, Line::Fresh, endpoint, outgoing, upload).await
            }
            Err(why) => Attempt::Unsent(upload, why),
        }
    }

    async fn send_over(
        self: &Rc<Self>,
        wire: Rc<Wire>,
        line: Line,
        endpoint: &Endpoint,
        outgoing: &Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        outgoing.write(&endpoint.upstream, &mut wire.outbox());
        let mut sending = Sending::begin(wire.clone(), upload, outgoing.states_length());
        let answer = exchange(&mut sending, outgoing.head.asked(), outgoing.switching()).await;
        // Who closes while the request is still on its way may have waited for the client.
        let sent = sending.state();
        let line = if sent == Sent::Whole { line } else { Line::Used };
        match answer {
            Ok(answer)
                if answer.status == StatusCode::SWITCHING_PROTOCOLS && !outgoing.is_agreed(&answer) =>
            {
                Attempt::Failed(SendFailure::Malformed)
            }
            Ok(mut answer) => {
                if outgoing.is_last() {
                    answer.persistence = Persistence::Close;
                }
                Attempt::Answered(self.lend(endpoint, wire, sending, answer))
            }
            Err(NoAnswer::Unsent(upload)) => Attempt::Unsent(upload, Unconnected::Unreachable),
            Err(NoAnswer::Closed(Heard::Nothing)) => match sending.take_back() {
                Some(upload) => Attempt::Unheard(upload, line),
                None if sent == Sent::Partly => Attempt::Failed(SendFailure::Upload),
                None => Attempt::Failed(SendFailure::Closed),
            },
            Err(NoAnswer::Stopped(Stopped::Answered) | NoAnswer::Closed(Heard::Something)) => {
                Attempt::Failed(SendFailure::Closed)
            }
            Err(NoAnswer::Malformed) => Attempt::Failed(SendFailure::Malformed),
            Err(NoAnswer::Stopped(_)) => Attempt::Failed(SendFailure::Upload),
        }
    }

    fn lend(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        wire: Rc<Wire>,
        sending: Sending,
        answer: ResponseHead,
    ) -> Answered {
        let stated_length = answer.stated_length();
        // A server that sends a body nonetheless sends it late: it would be read as another client's answer.
        let promises =
            wire.is_body_read() && (answer.is_chunked() || stated_length.is_some_and(|bytes| bytes > 0));
        let persistence = if promises { Persistence::Close } else { answer.persistence };
        let inbound = if wire.is_body_read() { Inbound::None } else { Inbound::Http1(wire.clone()) };
        Answered {
            status: answer.status,
            fields: answer.fields,
            stated_length,
            inbound,
            sending: (sending.state() == Sent::Partly).then(|| Box::new(sending)),
            lease: Some(Lease::Whole(WholeLease {
                pool: self.clone(),
                place: endpoint.place.clone(),
                wire,
                persistence,
                in_flight: None,
            })),
        }
    }

    /// Room for one more connection, if need be in the place of one that is idle.
    fn descriptor(&self) -> Option<Descriptor> {
        self.descriptors.take(Toward::Upstream).or_else(|| {
            let idle = self.idle.borrow_mut().values_mut().find_map(VecDeque::pop_front);
            drop(idle);
            self.descriptors.take(Toward::Upstream)
        })
    }

    fn take_idle(&self, place: &str) -> Option<Rc<Wire>> {
        let mut idle = self.idle.borrow_mut();
        let line = idle.get_mut(place)?;
        // Bounded by the line, which gets shorter.
        while let Some((wire, _)) = line.pop_back() {
            if wire.is_quiet() {
                return Some(wire);
            }
        }
        None
    }

    /// Closes what has been idle for too long; whether anything is left.
    pub(crate) fn prune(&self) -> Left {
        let shared = self.shared.prune(|| self.clock.now());
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            let now = self.clock.now();
            idle.retain(|_, line| {
                // The longest idle is in front.
                while line.front().is_some_and(|(_, since)| now.since(*since) > UPSTREAM_IDLE_TIME_MAX) {
                    line.pop_front();
                }
                !line.is_empty()
            });
        }
        if idle.is_empty() && !shared { Left::Nothing } else { Left::Some }
    }

    pub(crate) async fn send_http2(
        self: &Rc<Self>,
        endpoint: &Endpoint,
        outgoing: &Outgoing<'_>,
        uses: Use,
        upload: Upload,
    ) -> Attempt {
        let mut upload = upload;
        if uses == Use::Any
            && let Some(kept) = self.shared.take(&endpoint.place)
        {
            match self.send_stream(kept, Line::Used, endpoint, outgoing, upload).await {
                // It went away while it was kept, as servers do that restart.
                Attempt::Unsent(unsent, _) => upload = unsent,
                other => return other,
            }
        }
        let Some(descriptor) = self.descriptor() else { return Attempt::NoRoom(upload) };
        match connect_http2(endpoint, outgoing.forward.patience.connect, descriptor).await {
            Ok(made) => {
                let fresh = self.shared.add(endpoint.place.clone(), made);
                self.send_stream(fresh, Line::Fresh, endpoint, outgoing, upload).await
            }
            Err(why) => Attempt::Unsent(upload, why),
        }
    }

    async fn send_stream(
        &self,
        (mut sender, open): (Sender, OpenStream),
        line: Line,
        endpoint: &Endpoint,
        outgoing: &Outgoing<'_>,
        upload: Upload,
    ) -> Attempt {
        let spare = upload.spare();
        let Ok(request) = outgoing.to_http2(&endpoint.upstream, upload) else {
            return Attempt::Failed(SendFailure::Malformed);
        };
        let mut error = match sender.try_send_request(request).await {
            Ok(response) => return Attempt::Answered(answered_http2(response, open)),
            Err(error) => error,
        };
        if let Some(unsent) = error.take_message() {
            self.shared.forget(&endpoint.place, &open);
            return Attempt::Unsent(unsent.into_body(), Unconnected::Unreachable);
        }
        match (failure(error.error()), spare) {
            (SendFailure::Closed, Some(spare)) if is_connections_end(error.error()) => {
                self.shared.forget(&endpoint.place, &open);
                spare.begin_again();
                Attempt::Unheard(spare, line)
            }
            (failure, _) => Attempt::Failed(failure),
        }
    }
}

/// Whether idle connections are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    Nothing,
}

fn answered_http2(response: http::Response<hyper::body::Incoming>, open: OpenStream) -> Answered {
    let (parts, incoming) = response.into_parts();
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    Answered {
        status: parts.status,
        stated_length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        fields: FieldList::from(&parts.headers),
        inbound: Inbound::Upstream(Box::new(incoming)),
        sending: None,
        lease: Some(Lease::Stream { _open: open, in_flight: None }),
    }
}
