//! Draining: what was asked is answered, and whoever stays connected learns that it ends before it does.

use http_body_util::BodyExt as _;
use testkit::{Ask, Behavior, World};

/// More than the windows and buffers on the way hold.
const HUGE: u64 = 8 * 1024 * 1024;

#[tokio::test]
async fn a_kept_connection_is_answered_once_more_and_told_that_it_ends() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let ask = Ask::get("/plain/x").bearer(&token.secret);
    let mut kept = world.connect().await;
    assert_eq!(kept.ask(&ask).await.field("connection"), None);
    // Both are under way when the node begins to drain: one has been asked nothing yet.
    let mut fresh = world.connect().await;
    let asking = async {
        for connection in [&mut kept, &mut fresh] {
            let answer = connection.ask(&ask).await;
            assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
            assert!(connection.is_closed().await);
        }
    };
    let (_, ()) = tokio::join!(world.stop(), asking);
    world.finish().await;
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_served() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let ask = Ask::get("/plain/x").bearer(&token.secret);
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut connection = world.connect().await;
        connection.send(ask.bytes()).await;
        waiting.push(connection);
    }
    let asking = async {
        for connection in &mut waiting {
            assert_eq!(connection.answer().await.map(|answer| answer.status), Some(200));
        }
    };
    let (_, ()) = tokio::join!(world.stop(), asking);
    world.finish().await;
}

#[tokio::test]
async fn a_download_over_http2_that_is_open_ends_whole() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/huge", Behavior::Huge(HUGE));
    let mut client = world.connect_h2().await;
    let download = client.open(&Ask::get("/plain/huge").bearer(&token.secret)).await;
    let (_, body) = tokio::join!(world.stop(), download.into_body().collect());
    assert_eq!(body.unwrap().to_bytes().len() as u64, HUGE);
    world.finish().await;
}
