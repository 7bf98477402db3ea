//! gRPC callers: refusals in their own words, and their own deadlines.

use journal::RowOutcome;
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World};

fn call(target: &str) -> Ask {
    Ask::post(target, "\0\0\0\0\0").field("content-type", "application/grpc+proto").field("te", "trailers")
}

#[tokio::test]
async fn a_refused_call_has_a_status_of_grpc_beside_that_of_http() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let mut connection = world.connect_h2().await;
    let cases = [
        (call("/plain/x"), 401, "16"),
        (call("/plain/x").bearer(&token), 403, "7"),
        (call("/nothing/x").bearer(&token), 404, "12"),
        (call("/plain/x").bearer(&token).field("x-http-method-override", "GET"), 400, "13"),
    ];
    for (ask, status, grpc) in cases {
        let answer = connection.send(&ask).await;
        assert_eq!((answer.status, answer.field("grpc-status")), (status, Some(grpc)));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.field("grpc-message"), Some(detail.as_str()));
    }
    let answer = connection.send(&Ask::get("/plain/x")).await;
    assert_eq!((answer.status, answer.field("grpc-status")), (401, None));
    world.finish().await;
}

#[tokio::test]
async fn a_call_is_not_waited_for_beyond_its_own_deadline() {
    let setup = Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c));
    let world = World::of(setup.role("all", &["h2:all", "plain:all"], &[])).await;
    let token = world.fresh_token("alice", "all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    world.h2c().on("/early", Behavior::Early);
    let mut connection = world.connect_h2().await;
    let answer = connection.send(&call("/plain/hang").bearer(&token).field("grpc-timeout", "100m")).await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.field("grpc-status")),
        (504, "upstream_timeout", Some("4"))
    );
    // An answer that has begun is broken off.
    let answer = connection.send(&call("/h2/early").bearer(&token).field("grpc-timeout", "100m")).await;
    assert_eq!((answer.status, answer.whole), (200, false));
    let row = world.row(&answer).await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Failed), Some("upstream_timeout")));
    let seen = world.h2c().seen();
    assert!(seen[0].fields.iter().any(|field| *field == ("te".to_owned(), "trailers".to_owned())));
    world.finish().await;
}
