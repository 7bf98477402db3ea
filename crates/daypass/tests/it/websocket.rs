//! WebSocket handshakes: nothing passes unjudged unless both ends agreed to it.

use journal::RowOutcome;
use testkit::{Ask, Behavior, World};

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
