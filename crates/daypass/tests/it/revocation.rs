//! Revocation and deadlines: what is open when access ends is cut, counted by kind, and recorded.

use std::time::Duration;

use http_body_util::BodyExt as _;
use journal::RowOutcome;
use testkit::{Ask, Behavior, Conn, Setup, World, eventually};

use super::protocol::stalled;

/// A world with an upstream for every kind of stream.
async fn streams(setup: Setup) -> World {
    let world = World::of(setup).await;
    world.upstream().on("/events", Behavior::Events);
    world.upstream().on("/drip", Behavior::Drip);
    world.upstream().on("/ws", Behavior::Echo);
    world.upstream().on("/hang", Behavior::Hang);
    world.upstream().on("/huge", Behavior::Huge(1 << 40));
    world
}

/// Opens a stream, and reads its first bytes.
async fn open(world: &World, ask: &Ask) -> Conn {
    let mut connection = world.connect().await;
    connection.send(ask.bytes()).await;
    let head = connection.head().await.unwrap();
    assert!(head.status == 200 || head.status == 101, "{head:?}");
    connection
}

/// Whether a stream ends before its proper end.
async fn is_cut(connection: &mut Conn) {
    while connection.piece().await.is_some() {}
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn revoking_cuts_every_kind_of_stream_and_counts_them() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let other = world.fresh_token("bob", "plain-all").await;
    let get = |target: &str| Ask::get(target).bearer(&token.secret);
    let mut events = open(&world, &get("/plain/events")).await;
    assert!(events.piece().await.is_some());
    let mut drip = open(&world, &get("/plain/drip")).await;
    assert!(drip.piece().await.is_some());
    let mut socket = open(&world, &get("/plain/ws").upgrade()).await;
    socket.send("hello").await;
    assert_eq!(socket.bytes().await.unwrap(), b"hello");
    let mut upload = world.connect().await;
    upload
        .send(Ask::new("POST", "/plain/hang").bearer(&token.secret).field("Content-Length", "1000").bytes())
        .await;
    upload.send("a part of it").await;
    eventually("the upload has begun", async || world.upstream().seen_at("/hang").pop()).await;
    let mut unrelated = open(&world, &Ask::get("/plain/events").bearer(&other.secret)).await;

    let receipt = world.revoke("user", "alice").await;
    assert_eq!(receipt["streams"], serde_json::json!({ "websocket": 1, "sse": 1, "grpc": 0, "transfer": 2 }));
    assert_eq!(receipt["nodes"][0]["node"], world.node().name());
    assert!(receipt["leaf"].is_u64(), "{receipt}");
    is_cut(&mut events).await;
    is_cut(&mut drip).await;
    while socket.bytes().await.is_some() {}
    let refused = upload.answer().await.unwrap();
    assert!(["grant_ended", "credential_revoked"].contains(&refused.code().as_str()), "{}", refused.text());
    assert!(unrelated.piece().await.is_some(), "an unrelated stream was cut");
    for path in ["/events", "/drip", "/ws", "/hang"] {
        let row =
            world.row_where(path, |row| row.path == path && row.subject.as_deref() == Some("alice")).await;
        assert_eq!(row.outcome, Some(RowOutcome::Cut), "{path}");
        assert_eq!(row.reason.as_deref(), Some(refused.code().as_str()), "{path}");
        let bytes = row.response_bytes.unwrap() + row.request_bytes.unwrap();
        assert!(bytes > 0, "{path} has no bytes in its row");
    }
    drop(unrelated);
    world.finish().await;
}

#[tokio::test]
async fn each_scope_of_a_revocation_cuts_its_own() {
    for scope in ["grant", "token", "role", "api", "user"] {
        let world = streams(Setup::default()).await;
        let grant = world.grant("alice", "plain-all", "1h").await;
        let token = world.token(&grant).await;
        let mut events = open(&world, &Ask::get("/plain/events").bearer(&token.secret)).await;
        let name = match scope {
            "grant" => grant.id.as_str(),
            "token" => token.id.as_str(),
            "role" => "plain-all",
            "api" => "plain",
            _ => "alice",
        };
        let receipt = world.revoke(scope, name).await;
        assert_eq!(receipt["streams"]["sse"], 1, "{scope}: {receipt}");
        is_cut(&mut events).await;
        let reason = if scope == "token" || scope == "user" { "credential_revoked" } else { "grant_ended" };
        let row = world.row_where("the stream's end", |row| row.path == "/events").await;
        assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some(reason)), "{scope}");
        let next = world.get(&token.secret, "/plain/x").await;
        assert_eq!(next.code(), reason, "{scope}");
        world.finish().await;
    }
}

#[tokio::test]
async fn revoking_a_service_key_cuts_its_streams() {
    let world = streams(Setup::default()).await;
    let key = world.service("ci", &["plain-all"]).await;
    let mut events = open(&world, &Ask::get("/plain/events").bearer(&key.secret)).await;
    let receipt = world.revoke("key", &key.id).await;
    assert_eq!(receipt["streams"]["sse"], 1);
    is_cut(&mut events).await;
    world.finish().await;
}

#[tokio::test]
async fn a_download_whose_client_reads_nothing_is_cut_all_the_same() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let connection = open(&world, &Ask::get("/plain/huge").bearer(&token.secret)).await;
    stalled(&world).await;
    let receipt = world.revoke("token", &token.id).await;
    assert_eq!(receipt["streams"]["transfer"], 1);
    let row = world.row_where("the download's end", |row| row.path == "/huge").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("credential_revoked")));
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn a_websocket_whose_client_reads_nothing_is_cut_all_the_same() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let mut socket = open(&world, &Ask::get("/plain/ws").bearer(&token.secret).upgrade()).await;
    socket.offer(&vec![b'x'; 32 << 20], Duration::from_millis(300)).await;
    let receipt = world.revoke("token", &token.id).await;
    assert_eq!(receipt["streams"]["websocket"], 1);
    let row = world.row_where("the WebSocket's end", |row| row.path == "/ws").await;
    assert_eq!(row.outcome, Some(RowOutcome::Cut));
    drop(socket);
    world.finish().await;
}

#[tokio::test]
async fn a_connection_outlives_the_cut_of_a_request_that_had_no_answer_yet() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let mut connection = world.connect().await;
    connection.send(Ask::get("/plain/hang").bearer(&token.secret).bytes()).await;
    eventually("the upstream hangs", async || world.upstream().seen_at("/hang").pop()).await;
    world.revoke("token", &token.id).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "credential_revoked"));
    world.finish().await;
}

#[tokio::test]
async fn a_grants_deadline_cuts_its_streams_by_itself() {
    let world = streams(Setup::default().running()).await;
    let grant = world.grant("alice", "plain-all", "1s").await;
    let given = tokio::time::Instant::now();
    let token = world.token(&grant).await;
    let mut events = open(&world, &Ask::get("/plain/events").bearer(&token.secret)).await;
    let mut socket = open(&world, &Ask::get("/plain/ws").bearer(&token.secret).upgrade()).await;
    is_cut(&mut events).await;
    let lasted = given.elapsed();
    assert!(lasted < Duration::from_millis(1_500), "the stream outlived its grant of 1 s: {lasted:?}");
    assert!(socket.bytes().await.is_none());
    for path in ["/events", "/ws"] {
        let row = world.row_where(path, |row| row.path == path).await;
        assert_eq!(
            (row.outcome, row.reason.as_deref()),
            (Some(RowOutcome::Cut), Some("grant_ended")),
            "{path}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_tokens_own_deadline_cuts_its_streams_and_says_so() {
    let world = streams(Setup::default()).await;
    let grant = world.grant("alice", "plain-all", "1h").await;
    let token = world.narrow_token(&grant, Some("1m"), &[]).await;
    let mut events = open(&world, &Ask::get("/plain/events").bearer(&token.secret)).await;
    world.advance(Duration::from_secs(60)).await;
    is_cut(&mut events).await;
    let row = world.row_where("the stream's end", |row| row.path == "/events").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("credential_expired")));
    world.finish().await;
}

#[tokio::test]
async fn streams_on_every_core_are_cut_at_once() {
    let world = streams(Setup::default().cores(3)).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let mut open_now = Vec::new();
    for _ in 0..24 {
        open_now.push(open(&world, &Ask::get("/plain/events").bearer(&token.secret)).await);
    }
    let receipt = world.revoke_all().await;
    assert_eq!(receipt["streams"]["sse"], 24, "{receipt}");
    for connection in &mut open_now {
        is_cut(connection).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_over_http2_leaves_its_neighbors_on_the_connection_alone() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let other = world.fresh_token("bob", "plain-all").await;
    let mut connection = world.connect_h2().await;
    let mut cut = connection.open(&Ask::get("/plain/events").bearer(&token.secret)).await.into_body();
    let mut kept = connection.open(&Ask::get("/plain/events").bearer(&other.secret)).await.into_body();
    assert!(cut.frame().await.unwrap().is_ok());
    let receipt = world.revoke("user", "alice").await;
    assert_eq!(receipt["streams"]["sse"], 1);
    while let Some(Ok(_)) = cut.frame().await {}
    drop(cut);
    let cut = async || world.rows().into_iter().find(|row| row.outcome == Some(RowOutcome::Cut));
    assert_eq!(eventually("the stream's end", cut).await.subject.as_deref(), Some("alice"));
    for _ in 0..30 {
        assert!(kept.frame().await.unwrap().is_ok(), "a neighbor was cut");
    }
    drop((kept, connection));
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_over_http2_is_cut_all_the_same() {
    let world = streams(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let mut connection = world.connect_h2().await;
    let unread = connection.open(&Ask::get("/plain/huge").bearer(&token.secret)).await;
    stalled(&world).await;
    let receipt = world.revoke("token", &token.id).await;
    assert_eq!(receipt["streams"]["transfer"], 1);
    let row = world.row_where("the download's end", |row| row.path == "/huge").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("credential_revoked")));
    drop(unread);
    world.finish().await;
}

/// Why a request went as it did, in the console's sentences.
async fn why(world: &World, answer: &testkit::Answer) -> Vec<String> {
    world.row(answer).await;
    let explained = world.admin(Ask::get(&format!("/api/v1/explain/{}", answer.id()))).await.json();
    serde_json::from_value(explained["why"].clone()).unwrap()
}

#[tokio::test]
async fn an_explanation_says_who_revoked_the_credential_and_why() {
    let world = World::start().await;
    let key = world.service("ci", &["orders-viewer"]).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let grant = world.fresh_token("bob", "orders-viewer").await;
    let allowed = world.get(&key.secret, "/orders/v1/orders/7").await;
    assert!(!why(&world, &allowed).await.concat().contains("revoked"), "nobody has revoked anything yet");
    world.revoke("key", &key.id).await;
    world.revoke("token", &token.id).await;
    world.revoke("user", "bob").await;
    for (what, issue) in [("service key", &key), ("token", &token)] {
        let refused = world.get(&issue.secret, "/orders/v1/orders/7").await;
        assert_eq!(refused.code(), "credential_revoked");
        let why = why(&world, &refused).await;
        let said = why.last().unwrap();
        assert!(said.starts_with(&format!("The {what} `{}` was revoked by `local:", issue.id)), "{said}");
        assert!(said.ends_with(", because: a test says so"), "{said}");
    }
    let refused = world.get(&grant.secret, "/orders/v1/orders/7").await;
    let why_refused = why(&world, &refused).await;
    assert_eq!(why_refused.concat().matches("because: a test says so").count(), 1, "{why_refused:?}");
    assert!(why(&world, &allowed).await.concat().contains("was revoked by"), "what was allowed says it, too");
    let nobody = world.send(&Ask::get("/orders/v1/orders/7")).await;
    assert!(why(&world, &nobody).await[0].contains(", somebody unknown asked for"));
    world.finish().await;
}
