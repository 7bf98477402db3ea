//! WebSocket handshakes: nothing passes unjudged unless both ends agreed to it.

use journal::RowOutcome;
use testkit::frames::{DATA, END_HEADERS, HEADERS, RST_STREAM, block, frame, get};
use testkit::{Ask, Behavior, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A client's handshake, with some of its fields as they are given.
fn handshake(token: &str, fields: &[(&str, &str)]) -> Ask {
    fields.iter().fold(Ask::get("/plain/ws").bearer(token), |ask, (name, value)| ask.field(name, value))
}

const ASKED: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn a_handshake_that_is_not_whole_is_refused() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/ws", Behavior::Echo);
    // Without `Upgrade` it asks for nothing.
    for missing in [0, 2, 3] {
        let rest: Vec<_> =
            ASKED.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, field)| *field).collect();
        let answer = world.send(&handshake(&token, &rest)).await;
        assert_eq!(answer.code(), "upgrade_refused", "without {:?}", ASKED[missing]);
    }
    for other in [("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "8"), ("Upgrade", "h2c")] {
        let fields = ASKED.map(|field| if field.0 == other.0 { other } else { field });
        assert_eq!(world.send(&handshake(&token, &fields)).await.code(), "upgrade_refused", "{other:?}");
        let twice = [&ASKED[..], &[other]].concat();
        assert_eq!(world.send(&handshake(&token, &twice)).await.code(), "upgrade_refused", "{other:?} twice");
    }
    let old = String::from_utf8(handshake(&token, &ASKED).bytes()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(world.raw(old).await[0].code(), "upgrade_refused");
    assert_eq!(world.upstream().seen().len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_agree_to_a_handshake_is_no_tunnel() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for answer in [
        "HTTP/1.1 101 As You Wish\r\n\r\n",
        "HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: c3ByYXk=\r\n\r\n",
        "HTTP/1.1 101 OK\r\nconnection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        world.upstream().on("/ws", Behavior::Stray(answer));
        let mut connection = world.connect().await;
        connection.send(handshake(&token, &ASKED).bytes()).await;
        connection.send(Ask::new("DELETE", "/everything").bytes()).await;
        let said = connection.answer().await.unwrap();
        assert_eq!((said.status, said.code().as_str()), (502, "upstream_malformed"), "{answer}");
        let row = world.row(&said).await;
        assert_eq!(row.outcome, Some(RowOutcome::Failed));
        // What follows is another request, and judged like one.
        assert_eq!(connection.answer().await.unwrap().code(), "credential_missing");
    }
    assert_eq!(world.upstream().seen_at("/everything").len(), 0);
    world.finish().await;
}

/// RFC 9113, section 7.
const CANCEL: u32 = 8;

/// An extended `CONNECT` of HTTP/2 (RFC 8441), with some of its fields as they are given.
fn extended(token: &str, fields: &[(&str, &str)]) -> Ask {
    fields.iter().fold(Ask::get("/plain/ws").bearer(token), |ask, (name, value)| ask.field(name, value))
}

#[tokio::test]
async fn a_websocket_over_http2_is_judged_and_recorded_like_one_over_http1() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/ws", Behavior::Echo);
    let mut connection = world.connect_h2().await;
    let ask = extended(&token, &[("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]);
    let (answer, stream) = connection.connect(&ask, "websocket").await;
    assert_eq!(answer.status, 200);
    for field in ["sec-websocket-accept", "upgrade", "connection"] {
        assert_eq!(answer.field(field), None, "{field}");
    }
    let mut stream = stream.unwrap();
    let said = vec![b'x'; 300_000];
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let mut heard = vec![0; said.len()];
    let (written, read) = tokio::join!(writing.write_all(&said), reading.read_exact(&mut heard));
    written.unwrap();
    read.unwrap();
    assert_eq!(heard, said);
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    let row = world.row(&answer).await;
    assert_eq!((row.method.as_str(), row.path.as_str(), row.status), ("GET", "/ws", Some(200)));
    assert_eq!((row.upstream_status, row.outcome), (Some(101), Some(RowOutcome::Completed)));
    assert_eq!((row.request_bytes, row.response_bytes), (Some(300_000), Some(300_000)));
    let seen = &world.upstream().seen_at("/ws")[0];
    let sent = |name: &str| seen.fields.iter().filter(|(own, _)| own == name).count();
    assert_eq!(["sec-websocket-key", "upgrade", "sec-websocket-protocol"].map(sent), [1, 1, 1]);
    world.finish().await;
}

#[tokio::test]
async fn a_websocket_over_http2_ends_with_its_access_and_its_neighbors_go_on() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/ws", Behavior::Echo);
    let mut connection = world.connect_frames().await;
    let bearer = format!("Bearer {}", token.secret);
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/plain/ws"),
        ("authorization", bearer.as_str()),
        ("sec-websocket-version", "13"),
    ];
    connection.send(frame(HEADERS, END_HEADERS, 1, &block(&fields))).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 1);
    connection.send(frame(DATA, 0, 1, b"echo")).await;
    assert_eq!(connection.next(DATA).await.unwrap().payload, b"echo");
    let receipt = world.revoke("token", &token.id).await;
    assert_eq!(receipt["streams"]["websocket"], 1, "{receipt}");
    let reset = connection.next(RST_STREAM).await.unwrap();
    assert_eq!((reset.stream, reset.code()), (1, CANCEL));
    let row = world.row_where("the stream's row", |row| row.path == "/ws").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("credential_revoked")));
    connection.request(3, &get("/plain/x")).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 3);
    world.finish().await;
}

#[tokio::test]
async fn only_a_whole_handshake_opens_a_stream_over_http2() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/ws", Behavior::Echo);
    let mut connection = world.connect_h2().await;
    let whole = [("sec-websocket-version", "13")];
    for fields in [&[][..], &[("sec-websocket-version", "8")], &[whole[0], whole[0]]] {
        let (answer, _) = connection.connect(&extended(&token, fields), "websocket").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "upgrade_refused"), "{fields:?}");
    }
    for protocol in ["connect-udp", "WebSocket", "h2c"] {
        let (answer, _) = connection.connect(&extended(&token, &whole), protocol).await;
        assert_eq!((answer.status, answer.code().as_str()), (501, "method_unsupported"), "{protocol}");
        assert_eq!(world.row(&answer).await.method, "CONNECT");
    }
    let (answer, _) = connection.connect(&Ask::get("/plain/ws").field(whole[0].0, "13"), "websocket").await;
    assert_eq!(answer.status, 401);
    world.upstream().on("/ws", Behavior::Answer(200, "no"));
    let (answer, _) = connection.connect(&extended(&token, &whole), "websocket").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_malformed"));
    world.upstream().on("/ws", Behavior::Answer(404, "no"));
    let (answer, _) = connection.connect(&extended(&token, &whole), "websocket").await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "no"));
    world.finish().await;
}
