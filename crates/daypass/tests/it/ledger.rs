//! The ledger under the whole node: locked, recovered, and folded again from disk.

use std::time::Duration;

use control::State;
use ledger::Ledger as _;
use testkit::{Ask, Behavior, World, eventually};

#[tokio::test]
async fn a_locked_ledger_refuses_commands_then_requests_and_recovers_by_itself() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let other = world.lock_ledger();
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 200, "a view that is fresh still serves");
    let denied = world.try_grant("bob", "plain-all", "1h").await;
    assert_eq!((denied.status, denied.json()["code"].as_str()), (503, Some("ledger_unavailable")));
    let everything = serde_json::json!({"all": true, "reason": "drill"});
    let denied = world.admin(testkit::post("/api/v1/revocations", &everything)).await;
    let why = "the ledger cannot be written now: the ledger is locked by another process";
    assert_eq!((denied.status, denied.json()["detail"].as_str()), (503, Some(why)));
    // The keeper proves the view when it can; it cannot, so that only time passes.
    world.clock().advance(Duration::from_secs(11));
    let refused = world.get(&token.secret, "/plain/y").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "view_stale"));
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(world.row(&refused).await.reason.as_deref(), Some("view_stale"));
    let status = world.admin(Ask::get("/api/v1/status")).await.json();
    assert_eq!(status["ready"], false, "{status}");
    assert!(world.upstream().seen_at("/y").is_empty());

    drop(other);
    let served = async || (world.get(&token.secret, "/plain/z").await.status == 200).then_some(());
    eventually("requests pass again", served).await;
    assert_eq!(world.try_grant("bob", "plain-all", "1h").await.status, 201);
    world.finish().await;
}

#[tokio::test]
async fn a_failed_write_is_told_at_once_and_until_one_succeeds() {
    let world = World::start().await;
    let told = async || {
        let status = world.admin(Ask::get("/api/v1/status")).await.json();
        assert_eq!(status["ready"], true, "requests pass all the while: {status}");
        let ready = world.admin(Ask::get("/readyz")).await;
        (status["ledger"].clone(), ready.status, String::from_utf8(ready.body).unwrap())
    };
    let (ledger, status, ready) = told().await;
    assert_eq!((&ledger["writable"], &ledger["last_error"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!((status, ready.as_str()), (200, "ready\n"));
    let other = world.lock_ledger();
    assert_eq!(world.try_grant("bob", "plain-all", "1h").await.status, 503);
    let (ledger, status, ready) = told().await;
    let locked = "the ledger is locked by another process";
    assert_eq!((&ledger["writable"], &ledger["last_error"]), (&false.into(), &locked.into()));
    assert_eq!(status, 200);
    assert_eq!(ready, format!("ready\nthe ledger cannot be written: {locked}\n"));
    drop(other);
    eventually("it is said to be writable", async || (told().await.0["writable"] == true).then_some(()))
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_stale_view_refuses_new_requests_and_keeps_open_streams() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    let other = world.lock_ledger();
    world.clock().advance(Duration::from_secs(11));
    assert_eq!(world.get(&token.secret, "/plain/y").await.code(), "view_stale");
    assert!(events.piece().await.is_some());
    drop(other);
    drop(events);
    let served = async || (world.get(&token.secret, "/plain/z").await.status == 200).then_some(());
    eventually("requests pass again", served).await;
    world.finish().await;
}

/// The fold of every event in the ledger's file.
fn fold(path: &std::path::Path) -> State {
    let mut ledger = ledger::Sqlite::open(path).unwrap();
    let mut state = State::new();
    loop {
        let page = ledger.read(state.revision(), 7).unwrap();
        if page.is_empty() {
            return state;
        }
        page.iter().for_each(|recorded| state.apply(&recorded.event));
    }
}

#[tokio::test]
async fn a_fold_of_the_ledger_rebuilt_from_disk_equals_the_live_state() {
    let mut world = World::start().await;
    let grant = world.grant("alice", "orders-viewer", "1h").await;
    let token = world.token(&grant).await;
    world.narrow_token(&grant, Some("5m"), &["GET /v1/orders"]).await;
    world.service("ci", &["orders-viewer", "plain-all"]).await;
    world.service("cd", &["plain-all"]).await;
    world.grant("bob", "orders-admin", "2h").await;
    world.revoke("token", &token.id).await;
    world.revoke("user", "bob").await;
    world.admin(Ask::new("DELETE", "/api/v1/services/cd")).await;
    world.advance(Duration::from_secs(3_600)).await;
    world.grant("bob", "plain-all", "30s").await;
    let live = world.node().keeper().state();
    world.stop().await;
    let rebuilt = fold(&world.data().join("ledger.sqlite"));
    assert_eq!(*live, rebuilt);
    world.restart().await;
    assert_eq!(
        *world.node().keeper().state(),
        rebuilt,
        "the same configuration changes nothing at a restart"
    );
    world.finish().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let revoked = world.fresh_token("bob", "plain-all").await;
    world.revoke("token", &revoked.id).await;
    world.crash().await;
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 200);
    assert_eq!(
        world.get(&revoked.secret, "/plain/x").await.code(),
        "credential_revoked",
        "a crash revived it"
    );
    world.finish().await;
}

#[tokio::test]
async fn every_control_event_is_in_the_journal_once_and_in_order() {
    let mut world = World::start().await;
    for _ in 0..10 {
        let token = world.fresh_token("alice", "plain-all").await;
        world.revoke("token", &token.id).await;
    }
    world.restart().await;
    world.fresh_token("bob", "plain-all").await;
    let head = world.node().keeper().head().borrow().number();
    world.stop().await;
    let reader = journal::Reader::open(world.data().join("journal")).unwrap();
    let mut revisions = Vec::new();
    let mut keep = |row: journal::ChangeRow| {
        revisions.push(row.revision.number());
        std::ops::ControlFlow::Continue(())
    };
    reader.changes(&journal::Filter::default(), journal::Order::OldestFirst, &mut keep).unwrap();
    assert_eq!(revisions, (1..=head).collect::<Vec<_>>());
    world.finish().await;
}
