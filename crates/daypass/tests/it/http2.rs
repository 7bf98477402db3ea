//! HTTP/2: toward clients, what it spells otherwise than HTTP/1.1 means the same; toward upstreams, connections come
//! and go.

use http_body_util::BodyExt as _;
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World};

#[tokio::test]
async fn a_refused_head_request_has_no_body() {
    let world = World::start().await;
    let mut connection = world.connect_h2().await;
    let told = connection.send(&Ask::get("/plain/x")).await;
    for _ in 0..2 {
        let answer = connection.send(&Ask::new("HEAD", "/plain/x")).await;
        assert_eq!((answer.status, answer.whole, answer.body.len()), (401, true, 0));
        let stated: usize = answer.field("content-length").unwrap().parse().unwrap();
        assert!(stated.abs_diff(told.body.len()) < 10, "{stated}");
    }
    world.finish().await;
}

#[tokio::test]
async fn trailers_of_an_upstream_reach_the_client_but_for_what_belongs_to_heads() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on(
        "/x",
        Behavior::Stray(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-checksum: 7\r\nset-cookie: a=b\r\n\
             authorization: Basic YQ==\r\ndaypass-subject: user:root\r\ncontent-type: text/html\r\n\r\n",
        ),
    );
    let mut connection = world.connect_h2().await;
    let response = connection.open(&Ask::get("/plain/x").bearer(&token)).await;
    let collected = response.into_body().collect().await.unwrap();
    let trailers: Vec<_> =
        collected.trailers().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(trailers, [("x-checksum", &b"7"[..])]);
    world.finish().await;
}

#[tokio::test]
async fn cookies_go_upstream_in_one_field_however_they_came() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let ask = Ask::get("/plain/x")
        .bearer(&token)
        .field("cookie", "a=1")
        .field("cookie", "b=2")
        .field("cookie", "c=3");
    assert_eq!(world.connect_h2().await.send(&ask).await.status, 200);
    assert_eq!(world.send(&ask).await.status, 200);
    assert_eq!(world.get(&token, "/plain/x").await.status, 200);
    let cookies = |seen: &testkit::Seen| {
        let named = seen.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let seen: Vec<_> = world.upstream().seen().iter().map(cookies).collect();
    assert_eq!(seen, [vec!["a=1; b=2; c=3"], vec!["a=1; b=2; c=3"], vec![]]);
    world.finish().await;
}

#[tokio::test]
async fn values_with_spaces_around_them_are_malformed() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for value in [" a", "a ", "\ta"] {
        let answer =
            world.connect_h2().await.send(&Ask::get("/plain/x").bearer(&token).field("x-a", value)).await;
        assert_eq!(answer.code(), "request_malformed", "{value:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_leaves_its_connections_is_connected_to_anew() {
    let setup = Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c));
    let world = World::of(setup.role("h2-all", &["h2:all"], &[])).await;
    let token = world.fresh_token("alice", "h2-all").await.secret;
    world.h2c().on("/early", Behavior::Early);
    let mut open = world.connect().await;
    open.send(Ask::get("/h2/early").bearer(&token).bytes()).await;
    assert_eq!(open.head().await.unwrap().status, 200);
    let mut connection = world.connect().await;
    for round in 0..10 {
        assert_eq!(connection.ask(&Ask::get("/h2/leave").bearer(&token)).await.status, 200, "round {round}");
        assert_eq!(connection.ask(&Ask::get("/h2/x").bearer(&token)).await.status, 200, "round {round}");
    }
    assert!(world.h2c().connections() > 5, "{}", world.h2c().connections());
    drop((open, connection));
    world.finish().await;
}

#[tokio::test]
async fn requests_beyond_what_one_connection_carries_have_another() {
    let setup = Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c));
    let world = World::of(setup.role("h2-all", &["h2:all"], &[])).await;
    let token = world.fresh_token("alice", "h2-all").await.secret;
    world.h2c().on("/early", Behavior::Early);
    let mut open = Vec::new();
    for _ in 0..=gateway::bounds::UPSTREAM_STREAMS_MAX {
        let mut connection = world.connect().await;
        connection.send(Ask::get("/h2/early").bearer(&token).bytes()).await;
        assert_eq!(connection.head().await.unwrap().status, 200);
        open.push(connection);
    }
    assert_eq!(world.h2c().connections(), 2);
    drop(open);
    world.finish().await;
}
