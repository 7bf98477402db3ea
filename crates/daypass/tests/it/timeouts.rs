//! Timeouts: each part of an exchange has its own, and none of them is another's.

use std::pin::pin;
use std::time::Duration;

use journal::RowOutcome;
use testkit::{Answer, ApiSetup, Ask, Behavior, Behind, Setup, Stuck, World};

/// A world whose API `plain` has these limits.
async fn limited(limits: &str) -> World {
    World::of(Setup::default().api("plain", ApiSetup::open().limits(limits))).await
}

async fn failed_late(world: &World, answer: &Answer, status: u16) {
    let row = world.row(answer).await;
    assert_eq!((row.outcome, row.status), (Some(RowOutcome::Failed), Some(status)));
    assert_eq!(row.reason.as_deref(), Some("upstream_timeout"));
}

#[tokio::test]
async fn connecting_is_given_up_after_its_own_time() {
    let stuck = Stuck::start().await;
    let api = ApiSetup::open().behind(Behind::Url(stuck.url())).limits("{ connect: 300ms, timeout: 9s }");
    let world = World::of(Setup::default().api("plain", api)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let answering = tokio::time::timeout(Duration::from_secs(3), world.get(&token, "/plain/x"));
    let answer = answering.await.expect("an answer long before the upstream's own time is over");
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_stands_still_is_broken_off() {
    let world = limited("{ idle: 200ms }").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/silent", Behavior::Silent);
    for answer in [
        world.get(&token, "/plain/silent").await,
        world.connect_h2().await.send(&Ask::get("/plain/silent").bearer(&token)).await,
    ] {
        assert_eq!((answer.status, answer.whole), (200, false));
        failed_late(&world, &answer, 200).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn an_answer_whose_request_still_moves_is_not_idle() {
    let world = limited("{ idle: 300ms }").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/early", Behavior::Silent);
    world.upstream().on("/quiet", Behavior::Silent);
    let mut busy = world.connect().await;
    busy.send(Ask::new("POST", "/plain/early").bearer(&token).field("Content-Length", "1000").bytes()).await;
    assert_eq!(busy.head().await.unwrap().status, 200);
    // As long as another exchange takes to be broken off for standing still.
    let quiet = {
        let mut quiet = pin!(world.get(&token, "/plain/quiet"));
        loop {
            busy.send("x").await;
            if let Ok(quiet) = tokio::time::timeout(Duration::from_millis(50), &mut quiet).await {
                break quiet;
            }
        }
    };
    failed_late(&world, &quiet, 200).await;
    let open = world.rows().into_iter().find(|row| row.path == "/early").unwrap();
    assert_eq!(open.outcome, None, "it was broken off while it moved");
    drop(busy);
    world.finish().await;
}

#[tokio::test]
async fn an_exchange_ends_with_its_total_time_however_busy_it_is() {
    let world = limited("{ total: 400ms }").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    world.upstream().on("/drip", Behavior::Drip);
    let mut kept = world.connect().await;
    assert_eq!(kept.ask(&Ask::get("/plain/x").bearer(&token)).await.status, 200);
    let answer = world.get(&token, "/plain/hang").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"), "{}", answer.text());
    assert!(answer.text().contains("limits.total"), "{}", answer.text());
    failed_late(&world, &answer, 504).await;
    for answer in [
        world.get(&token, "/plain/drip").await,
        world.connect_h2().await.send(&Ask::get("/plain/drip").bearer(&token)).await,
    ] {
        assert_eq!((answer.status, answer.whole), (200, false));
        failed_late(&world, &answer, 200).await;
    }
    // The connection of an exchange that was in time is not held to it.
    assert_eq!(kept.ask(&Ask::get("/plain/x").bearer(&token)).await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_websocket_is_not_held_to_the_total_time() {
    let world = limited("{ total: 300ms }").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/ws", Behavior::Echo);
    world.upstream().on("/drip", Behavior::Drip);
    let mut socket = world.connect().await;
    socket.send(Ask::get("/plain/ws").bearer(&token).upgrade().bytes()).await;
    assert_eq!(socket.head().await.unwrap().status, 101);
    failed_late(&world, &world.get(&token, "/plain/drip").await, 200).await;
    socket.send("hello").await;
    assert_eq!(socket.bytes().await.unwrap(), b"hello");
    drop(socket);
    world.finish().await;
}
