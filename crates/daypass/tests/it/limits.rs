//! Limits: how fast, and how many at once.

use std::time::Duration;

use testkit::{ApiSetup, Ask, Behavior, Setup, World, eventually};

#[tokio::test]
async fn a_role_that_is_used_too_fast_is_told_when_to_come_back() {
    let world = World::of(Setup::default().limited_role("slow", &["plain:all"], &[], "{ rate: 2/m }")).await;
    let alice = world.fresh_token("alice", "slow").await.secret;
    let bob = world.fresh_token("bob", "slow").await.secret;
    assert_eq!(world.get(&alice, "/plain/x").await.status, 200);
    let refused = world.get(&alice, "/plain/x").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(refused.field("retry-after"), Some("30"));
    assert_eq!(refused.field("ratelimit-policy"), Some("\"default\";q=2;w=60"));
    assert_eq!(refused.field("ratelimit"), Some("\"default\";r=0;t=30"));
    let row = world.row(&refused).await;
    assert_eq!((row.reason.as_deref(), row.subject.as_deref()), (Some("rate_limited"), Some("alice")));
    assert_eq!(world.get(&bob, "/plain/x").await.status, 200, "the limit is each subject's own");
    world.advance(Duration::from_secs(30)).await;
    assert_eq!(world.get(&alice, "/plain/x").await.status, 200);
    assert_eq!(world.upstream().seen_at("/x").len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn the_rate_of_an_api_is_everybodys_together() {
    let api = ApiSetup::open().limits("{ rate: 60/m, burst: 3 }");
    let world = World::of(Setup::default().api("plain", api)).await;
    let alice = world.fresh_token("alice", "plain-all").await.secret;
    let bob = world.fresh_token("bob", "plain-all").await.secret;
    let mut statuses = Vec::new();
    for token in [&alice, &bob, &alice, &bob, &alice] {
        statuses.push(world.get(token, "/plain/x").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    world.finish().await;
}

#[tokio::test]
async fn one_request_more_than_an_api_takes_at_once_is_refused() {
    let api = ApiSetup::open().limits("{ concurrency: 2 }");
    let world = World::of(Setup::default().api("plain", api)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let mut waiting = Vec::new();
    for number in 1..=2 {
        let mut connection = world.connect().await;
        connection.send(Ask::get("/plain/hang").bearer(&token).bytes()).await;
        waiting.push(connection);
        let arrived = async || (world.upstream().seen_at("/hang").len() == number).then_some(());
        eventually("the upstream has the request", arrived).await;
    }
    let refused = world.get(&token, "/plain/x").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(world.row(&refused).await.subject.as_deref(), Some("alice"));
    drop(waiting);
    // A client that leaves gives its place back.
    eventually("a free place", async || (world.get(&token, "/plain/x").await.status == 200).then_some(()))
        .await;
    world.finish().await;
}
