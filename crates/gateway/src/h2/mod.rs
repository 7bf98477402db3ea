//! HTTP/2, toward clients: one connection, whose streams go through the same pipeline as requests of HTTP/1.1.
//!
//! Promised: what ends a connection or a stream before it came to the pipeline has a row of its own, and a client
//! that floods, says nothing or takes nothing loses its connection.
//! Not here: one stream (see `stream`), what passes as frames (see `meter`).

mod body;
mod carried;
mod frames;
mod hpack;
mod huffman;
mod meter;
mod stream;
mod tunnel;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use access::{Reason, Refused};
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::{Request, Version};

use self::meter::{Breach, Meter, Metered, Moved};
use crate::alarm::Alarm;
use crate::arrival::Head;
use crate::bounds::{
    CLIENT_IDLE_TIME_MAX, CLIENT_STALL_TIME_MAX, CUT_TIME_MAX, H2_BEAT_TIME, H2_CONNECTION_WINDOW_BYTES,
    H2_FAULTY_STREAMS_MAX, H2_HEADER_LIST_BYTES_MAX, H2_RESETS_PENDING_MAX, H2_SEND_BYTES_MAX,
    H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, HEAD_TIME_MAX,
};
use crate::core::{Core, Phase};
use crate::peer::Caller;
use crate::transport::Transport;

pub(crate) use self::body::Receiving;

/// Serves one connection to its end.
pub(crate) async fn serve(core: &Rc<Core>, transport: Transport, caller: Rc<Caller>) {
    let meter = Rc::new(Meter::new());
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .initial_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEADER_LIST_BYTES_MAX)
        .max_local_error_reset_streams(Some(H2_FAULTY_STREAMS_MAX))
        .max_pending_accept_reset_streams(H2_RESETS_PENDING_MAX)
        .max_send_buffer_size(H2_SEND_BYTES_MAX);
    let handshake = builder.handshake(Metered::new(transport, meter.clone()));
    let ended = match tokio::time::timeout(HEAD_TIME_MAX, handshake).await {
        Ok(Ok(codec)) => Served::new(core, &caller, meter, codec).run().await,
        Ok(Err(error)) => blame(&error),
        Err(_elapsed) => None,
    };
    if let Some(refused) = ended {
        refuse(core, &caller, &refused).await;
    }
}

/// What a client is told that broke the rules of a connection; `None` for one that merely ended.
fn blame(error: &h2::Error) -> Option<Refused> {
    tracing::debug!(%error, "an HTTP/2 connection ended");
    let ours = error.is_library() && !error.is_io();
    ours.then(|| match error.reason() {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            Refused::because(Reason::RateLimited, "the client sends more of something than is good for it")
        }
        _ => Refused::because(Reason::RequestMalformed, "what the client sent is not HTTP/2"),
    })
}

/// Records what the codec refused.
async fn refuse(core: &Core, caller: &Caller, refused: &Refused) {
    let head = Head::unread(core.fresh_id(), caller, Version::HTTP_2);
    core.pipeline.refuse(&head, refused).await;
}

/// Streams that are open on a connection.
#[derive(Debug, Default)]
struct Open(Cell<usize>);

/// An open stream, counted until it is dropped.
struct OpenStream(Rc<Open>);

impl OpenStream {
    fn of(open: &Rc<Open>) -> Self {
        open.0.set(open.0.get().saturating_add(1));
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}

type Codec = Connection<Metered, Bytes>;

/// A connection that is served.
struct Served<'c> {
    core: &'c Rc<Core>,
    caller: &'c Rc<Caller>,
    meter: Rc<Meter>,
    codec: Codec,
    pings: Option<PingPong>,
    alarm: Rc<Alarm>,
    open: Rc<Open>,
    /// For how many beats no byte has moved.
    silent: u32,
    /// For how many beats no stream was open.
    idle: u32,
    drains: Phase,
}

/// What is to be done for a connection.
enum Next {
    Answer(Request<RecvStream>, SendResponse<Bytes>),
    Beat,
    /// It ends, and this is to be recorded.
    End(Option<Refused>),
    Stop(Breach),
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Over,
}

impl<'c> Served<'c> {
    fn new(core: &'c Rc<Core>, caller: &'c Rc<Caller>, meter: Rc<Meter>, mut codec: Codec) -> Self {
        let (pings, alarm) = (codec.ping_pong(), core.alarms.alarm());
        alarm.set(H2_BEAT_TIME);
        let open = Rc::default();
        Self { core, caller, meter, codec, pings, alarm, open, silent: 0, idle: 0, drains: Phase::Serving }
    }

    /// Serves to the end; what is to be recorded of it, beyond its streams.
    async fn run(mut self) -> Option<Refused> {
        loop {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Answer(request, respond) => self.answer(request, respond),
                Next::Beat if self.beat() == Life::Over => return None,
                Next::Beat => {}
                Next::End(refused) => return refused,
                Next::Stop(breach) => return Some(self.stop(breach).await),
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let ends = self.core.phase() == Phase::Draining || self.caller.peer.is_over();
        if ends && self.drains == Phase::Serving {
            self.drains = Phase::Draining;
            self.codec.graceful_shutdown();
        }
        match self.codec.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => return Poll::Ready(Next::Answer(request, respond)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Next::End(blame(&error))),
            Poll::Ready(None) => return Poll::Ready(Next::End(None)),
            Poll::Pending => {}
        }
        // Whatever the codec has handed over by now was heard of.
        while let Some(unheard) = self.meter.next_unheard() {
            self.refuse_stream(unheard.reason);
        }
        if let Some(breach) = self.meter.breach() {
            return Poll::Ready(Next::Stop(breach));
        }
        if let Some(pings) = &mut self.pings {
            let _ = pings.poll_pong(cx);
        }
        self.alarm.poll(cx).map(|()| Next::Beat)
    }

    fn answer(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.meter.heard(respond.stream_id().as_u32());
        let (core, caller, open) = (self.core.clone(), self.caller.clone(), OpenStream::of(&self.open));
        tokio::task::spawn_local(stream::serve(core, caller, open, request, respond));
    }

    /// Bounded by the streams that the codec refuses before it ends the connection.
    fn refuse_stream(&self, reason: Reason) {
        let (core, caller) = (self.core.clone(), self.caller.clone());
        let refused = Refused::because(reason, "the stream was refused before it was a request");
        tokio::task::spawn_local(async move { refuse(&core, &caller, &refused).await });
    }

    /// Looks after the connection, every [`H2_BEAT_TIME`].
    fn beat(&mut self) -> Life {
        self.alarm.set(H2_BEAT_TIME);
        let beats = |time: std::time::Duration| time.as_secs().div_ceil(H2_BEAT_TIME.as_secs().max(1));
        self.silent = if self.meter.begin() == Moved::Yes { 0 } else { self.silent.saturating_add(1) };
        self.idle = if self.open.0.get() > 0 { 0 } else { self.idle.saturating_add(1) };
        let (silent, idle) = (u64::from(self.silent), u64::from(self.idle));
        let ends = beats(CLIENT_IDLE_TIME_MAX);
        // A client that does not let go of a connection that ends is not waited for, either.
        if silent >= beats(CLIENT_STALL_TIME_MAX) || idle >= ends.saturating_add(beats(CLIENT_STALL_TIME_MAX))
        {
            return Life::Over;
        }
        if idle >= ends {
            self.codec.graceful_shutdown();
        }
        if silent > 0
            && let Some(pings) = &mut self.pings
        {
            // One that is under way will do.
            let _ = pings.send_ping(Ping::opaque());
        }
        Life::Alive
    }

    /// Tells a client what it did that ends the connection, and does not wait for long that it is heard.
    async fn stop(&mut self, breach: Breach) -> Refused {
        let (told, reason, detail) = match breach {
            Breach::Control => (
                h2::Reason::ENHANCE_YOUR_CALM,
                Reason::RateLimited,
                "the client sends more frames about its connection than requests need",
            ),
            Breach::Resets => (
                h2::Reason::ENHANCE_YOUR_CALM,
                Reason::RateLimited,
                "the client resets more of its streams than it lets be answered",
            ),
            Breach::Rule(broken) => (broken, Reason::RequestMalformed, "what the client sent is not HTTP/2"),
        };
        self.codec.abrupt_shutdown(told);
        self.alarm.set(CUT_TIME_MAX);
        poll_fn(|cx| match self.codec.poll_closed(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.alarm.poll(cx),
        })
        .await;
        Refused::because(reason, detail)
    }
}
