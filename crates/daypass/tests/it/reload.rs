//! Reloads: whole or not at all, and nothing that is unrelated notices.

use testkit::{ApiSetup, Ask, Behavior, Setup, World, eventually};

#[tokio::test]
async fn a_new_role_is_in_force_at_once() {
    let mut world = World::start().await;
    assert_eq!(world.try_grant("alice", "refunds", "1h").await.status, 404);
    world.reload(Setup::default().role("refunds", &["orders:refundOrder"], &[])).await.unwrap();
    let token = world.fresh_token("alice", "refunds").await;
    let refund = Ask::post("/orders/v1/orders/7/refund", "{}").bearer(&token.secret);
    assert_eq!(world.send(&refund).await.status, 200);
    world.reload(Setup::default().role("refunds", &["orders:refundOrder"], &["orders:write"])).await.unwrap();
    assert_eq!(world.send(&refund).await.code(), "operation_not_allowed");
    world.finish().await;
}

#[tokio::test]
async fn a_configuration_that_is_wrong_leaves_all_as_it_was() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let before = world.node().keeper().state();
    for (wrong, says) in [
        (Setup::default().role("bad", &["nothing:read"], &[]), "nothing"),
        (Setup::default().role("bad", &["orders:noSuchOperation"], &[]), "noSuchOperation"),
        (Setup::default().extra("surprise: 1\n"), "surprise"),
        (Setup::default().api("plain", ApiSetup::open().limits("{ timeout: 0s }")), "timeout"),
    ] {
        let said = world.reload(wrong).await.unwrap_err();
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(world.node().keeper().state(), before);
    assert_eq!(world.get(&token.secret, "/orders/v1/orders/7").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn streams_that_a_reload_does_not_concern_go_on() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    for number in 0..5 {
        world.reload(Setup::default().role(&format!("role-{number}"), &["orders:read"], &[])).await.unwrap();
        assert!(events.piece().await.is_some());
    }
    assert_eq!(world.node().gateway().open_exchanges().await, 1);
    drop(events);
    world.finish().await;
}

#[tokio::test]
async fn an_api_that_was_removed_is_unknown() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    assert_eq!(world.get(&token.secret, "/plain/x").await.code(), "operation_not_allowed");
    world.reload(Setup::default().without_api("plain")).await.unwrap();
    assert_eq!(world.get(&token.secret, "/plain/x").await.code(), "api_unknown");
    assert_eq!(world.get(&token.secret, "/orders/v1/orders/7").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_person_who_was_removed_is_refused_and_their_streams_are_cut() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    world.reload(Setup::default().without_user("alice")).await.unwrap();
    while events.piece().await.is_some() {}
    let answer = world.get(&token.secret, "/plain/x").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "subject_suspended"));
    let row = world.row_where("the stream's end", |row| row.path == "/events").await;
    assert_eq!(
        (row.outcome, row.reason.as_deref()),
        (Some(journal::RowOutcome::Cut), Some("subject_suspended"))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_limit_keeps_its_count_over_a_reload() {
    let limited =
        |rest: &str| Setup::default().api("plain", ApiSetup::open().limits("{ rate: 2/m }")).extra(rest);
    let mut world = World::of(limited("")).await;
    let token = world.fresh_token("alice", "plain-all").await;
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 200);
    world.reload(limited("public_url: http://127.0.0.1:1\n")).await.unwrap();
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 429);
    world.finish().await;
}

#[tokio::test]
async fn no_request_fails_while_the_configuration_is_reloaded() {
    let mut world = World::of(Setup::default().cores(2)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let address = world.node().proxy_address();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let ask = Ask::get("/plain/x").bearer(&token).bytes();
        asking.spawn(async move { statuses(address, &ask, 100).await });
    }
    for number in 0..40 {
        let limits = format!("{{ timeout: {}s }}", 10 + number);
        world.reload(Setup::default().api("plain", ApiSetup::open().limits(&limits))).await.unwrap();
    }
    for statuses in asking.join_all().await {
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    let done =
        async || (world.rows().iter().filter(|row| row.status == Some(200)).count() == 400).then_some(());
    eventually("a row for each", done).await;
    world.finish().await;
}

/// The statuses of so many requests on one connection, read without a world.
async fn statuses(address: std::net::SocketAddr, ask: &[u8], times: usize) -> Vec<u16> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut wire = testkit::wire::Wire::new(stream);
    let mut statuses = Vec::new();
    for _ in 0..times {
        wire.send(ask).await.unwrap();
        let head = wire.head().await.unwrap().unwrap();
        let mut framing = head.framing().unwrap();
        while wire.piece(&mut framing).await.unwrap().is_some() {}
        statuses.push(head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0));
    }
    statuses
}
