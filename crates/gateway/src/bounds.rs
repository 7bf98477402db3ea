//! Every bound of the data plane, with its name, its unit and what happens beyond it.

use std::time::Duration;

/// The longest request target, path and query together, in bytes: beyond it 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// The longest request head, in bytes, the target not counted: beyond it 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most header fields of a request: beyond it 431.
pub const HEADERS_MAX: usize = 100;
/// What the HTTP/1.1 codec reads of a head before it gives up by itself: above [`HEAD_BYTES_MAX`], so that the answer
/// is ours and is recorded with what the head said.
pub const CODEC_HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most header fields the HTTP/1.1 codec tells apart, of a request or of an answer.
pub const CODEC_HEADERS_MAX: usize = 256;
/// The longest line of a chunk's size and extensions, in bytes: beyond it the body is malformed.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// The longest trailer section of a chunked body, in bytes, and the most fields of one: beyond it malformed.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// See [`TRAILER_BYTES_MAX`].
pub const TRAILERS_MAX: usize = 32;
/// What is read of a connection at first.
pub const INBOX_BYTES: usize = 4 * 1024;
/// The most bytes that are read of a body in one go, and wait to be passed on.
pub const BODY_INBOX_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that wait to be written to one connection: beyond it nothing more is read for it.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// The most body bytes moved in one piece.
pub const PIECE_BYTES_MAX: usize = 16 * 1024;
/// A buffer that a burst made longer than this is given back, in bytes.
pub const KEPT_BUFFER_BYTES_MAX: usize = 8 * 1024;
/// How many buffers of each kind, and how many heads, a core keeps for the next message.
pub const SPARE_BUFFERS_MAX: usize = 64;
/// The most empty lines in front of a request line (RFC 9112, section 2.2): beyond it malformed.
pub const EMPTY_LINES_MAX: usize = 1;
/// The most interim answers of an upstream before its final one: beyond it `upstream_malformed`.
pub const INTERIM_ANSWERS_MAX: usize = 16;
/// What is read over of a refused request's body to keep its connection: a longer body ends it.
pub const DISCARD_BYTES_MAX: u64 = 64 * 1024;
/// How long reading over a refused body, or waiting for a client to close, may take; also how long a client
/// may take for an answer of our own.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a connection may be kept without a request; over HTTP/2 up to twice as long.
pub const CLIENT_IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// How long a connection without a request is kept once the node drains: what was sent before is answered, and
/// whoever asks more often than this learns by `connection: close` that it ends.
pub const DRAIN_QUIET_TIME: Duration = Duration::from_millis(500);
/// How long a client may take nothing of an answer that waits for it.
pub const CLIENT_STALL_TIME_MAX: Duration = Duration::from_secs(60);
/// The fewest bytes that a client may take of an answer, or send of a body, in each second it is waited for, on average:
/// a slower one is not served to the end. Bodies of gRPC may be as slow as their messages are rare.
pub const CLIENT_RATE_BYTES_MIN: u64 = 256;
/// How long a client may be waited for before its rate counts.
pub const CLIENT_RATE_GRACE: Duration = Duration::from_secs(60);
/// How long one side of a WebSocket may stay open when the other has ended.
pub const HALF_CLOSED_TIME_MAX: Duration = Duration::from_secs(10);
/// How often an upstream's HTTP/2 connection is asked whether it lives, and how long it may take to say so.
pub const UPSTREAM_PING_TIME: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the system asks whether the other end is still there.
pub const TCP_KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);
/// How often alarms are looked at: what is due may be late by twice as much.
pub const ALARM_TICK: Duration = Duration::from_millis(50);
/// The longest header name shown in a refusal, in bytes: the rest is cut off, and `...` shows it.
pub const HEADER_NAME_BYTES_MAX: usize = 128;
/// The longest `User-Agent` that is recorded, in bytes: the rest is cut off.
pub const USER_AGENT_BYTES_MAX: usize = 256;
/// How much of a path, and of a query, is recorded of a request whose client proved nothing, in bytes: the rest is cut
/// off, and `...` shows it.
pub const UNPROVEN_TEXT_BYTES_MAX: usize = 256;
/// How long a client may take to send a head.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// The most connections of one core: further ones are closed at once.
pub const CONNECTIONS_PER_CORE_MAX: usize = 20_000;
/// How often the log says, for each reason, that connections were turned away.
pub const TURNED_AWAY_TELL_TIME: Duration = Duration::from_secs(1);
/// How many threads of a core may block: nothing on the way of a request does.
pub const CORE_BLOCKING_THREADS_MAX: usize = 1;
/// The longest header of the PROXY protocol, in bytes: beyond it the connection is closed.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;
/// The most streams of one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// The longest decoded header list of an HTTP/2 request, in bytes, 32 of them for each field (RFC 9113, section 10.5.1):
/// what may pass, which is [`HEAD_BYTES_MAX`], [`TARGET_BYTES_MAX`] and [`HEADERS_MAX`] fields, and little more.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = 44 * 1024;
/// The most streams of one HTTP/2 connection that a client may have reset and that still wait to be seen.
pub const H2_RESETS_PENDING_MAX: usize = 20;
/// The most streams of one HTTP/2 connection that the codec may refuse by itself, over its life: beyond it the
/// connection ends.
pub const H2_FAULTY_STREAMS_MAX: usize = 200;
/// The most streams that were opened and not handed over yet: beyond it the oldest is refused without a row.
pub const H2_UNHEARD_STREAMS_MAX: usize = 512;
/// How often an HTTP/2 connection is looked after: asked whether its client lives, and its counts begun anew.
pub const H2_BEAT_TIME: Duration = Duration::from_secs(20);
/// The most frames about an HTTP/2 connection in one [`H2_BEAT_TIME`], and four more for each piece of an answer that
/// went out: beyond it the connection ends.
pub const H2_CONTROL_FRAMES_MAX: u32 = 10_000;
/// The most streams that a client may reset in one [`H2_BEAT_TIME`], and one more for each that was answered to its
/// end: beyond it the connection ends.
pub const H2_RESETS_MAX: u32 = 1_000;
/// How much of one stream's answer may wait in the codec, in bytes: more is taken once that has gone out.
pub const H2_SEND_BYTES_MAX: usize = 64 * 1024;
/// How much of one stream's request may wait to be passed on, in bytes: the client may not send more.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for all streams of a connection together.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How long connecting to an upstream may take, its TLS included, unless the API says otherwise.
pub const CONNECT_TIME: Duration = Duration::from_secs(3);
/// How long it may take at most, whatever an API says.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(60);
/// How long an upstream may take until its answer begins, unless the API says otherwise.
pub const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long it may take at most, whatever an API says.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(86_400);
/// The most upstreams that are tried for one request while nothing of it has been sent.
pub const CONNECT_TRIES_MAX: usize = 3;
/// The most upstreams of one API, and the most addresses of all of them together: further ones are not tried.
pub const UPSTREAMS_MAX: usize = 64;
/// How many requests in a row an upstream may fail before it is passed over.
pub const UPSTREAM_FAILURES_MAX: u32 = 5;
/// How long an upstream is passed over the first time; twice as long each further time.
pub const UPSTREAM_PASSED_OVER_TIME: Duration = Duration::from_secs(5);
/// How long it is passed over at most. One that has done well for as long begins anew.
pub const UPSTREAM_PASSED_OVER_TIME_MAX: Duration = Duration::from_secs(60);
/// How soon the log says again of an upstream what it said before.
pub const UPSTREAM_TELL_TIME: Duration = Duration::from_secs(10);
/// How long an upstream that is back takes to get its whole share of the requests.
pub const UPSTREAM_SLOW_START_TIME: Duration = Duration::from_secs(10);
/// How fast what is known of an upstream's latency fades: to a third within this time.
pub const UPSTREAM_LATENCY_DECAY_TIME: Duration = Duration::from_secs(10);
/// How often a request is tried while every upstream of its API fails its checks; all others are refused at once.
pub const UPSTREAM_TRIAL_TIME: Duration = Duration::from_secs(10);
/// The most endpoints whose load one core remembers: beyond it those without requests are forgotten.
pub const LOADS_MAX: usize = 4_096;
/// How much of its requests an API may send again, in percent.
pub const RETRY_PERCENT: u32 = 20;
/// How many requests of an API may be sent again in a second however few there are.
pub const RETRIES_PER_SECOND: u32 = 3;
/// The most retries that an API saves up.
pub const RETRIES_SAVED_MAX: u32 = 100;
/// How often names of upstreams are looked up while they are configured.
pub const NAME_TIME: Duration = Duration::from_secs(30);
/// How soon a name without an address is looked up again.
pub const NAME_RETRY_TIME: Duration = Duration::from_secs(2);
/// The most look-ups at once: each holds a thread while the system waits for an answer. Others wait for their turn.
pub const LOOK_UPS_MAX: usize = 4;
/// How often it is looked at what is due to be found out about upstreams.
pub const WATCH_TICK: Duration = Duration::from_millis(100);
/// The shortest and the longest time between two checks of an upstream, and the longest for one of them.
pub const CHECK_TIME_MIN: Duration = Duration::from_millis(100);
/// See [`CHECK_TIME_MIN`].
pub const CHECK_TIME_MAX: Duration = Duration::from_secs(3_600);
/// The most checks in a row that can be asked for before an upstream counts as failing or as well again.
pub const CHECK_ROUNDS_MAX: u32 = 100;
/// The most idle connections kept to one upstream by one core: further ones are closed.
pub const UPSTREAM_IDLE_MAX: usize = 256;
/// The most requests that are sent over one HTTP/2 connection to an upstream at once: for more there is another.
pub const UPSTREAM_STREAMS_MAX: usize = 100;
/// The most HTTP/2 connections of one core to one upstream: beyond it they are shared by more requests.
pub const UPSTREAM_SHARED_MAX: usize = 64;
/// How long an HTTP/2 connection to an upstream is kept without a request.
pub const UPSTREAM_SHARED_IDLE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long an idle upstream connection is kept: below the 5 s after which common servers close theirs.
pub const UPSTREAM_IDLE_TIME_MAX: Duration = Duration::from_secs(4);
/// The longest head of an upstream's answer, in bytes: beyond it `upstream_malformed`.
pub const UPSTREAM_HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long an answer may stand still once it has begun, unless the API says otherwise.
pub const ANSWER_IDLE_TIME: Duration = Duration::from_secs(600);
/// How long it may stand still at most, whatever an API says.
pub const ANSWER_IDLE_TIME_MAX: Duration = Duration::from_secs(86_400);
/// The longest time for a whole exchange that an API can ask for; without one there is no limit.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The most buckets of role limits: beyond it those that are full again are dropped, then `overloaded`.
pub const BUCKETS_MAX: usize = 65_536;
/// How long a connection may take to hand over what a cut exchange has left: a client that reads nothing loses
/// its connection then.
pub const CUT_TIME_MAX: Duration = Duration::from_millis(100);
/// How often open streams are measured against the clock at least.
pub const DEADLINE_CHECK_TIME_MAX: Duration = Duration::from_millis(500);
