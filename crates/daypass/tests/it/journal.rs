//! The journal under the whole node: nothing is forwarded unrecorded, and its outage holds up no revocation.

use std::time::Duration;

use journal::{Durability, RowOutcome};
use testkit::{Ask, Behavior, Fault, Setup, World, eventually};

/// While the disk does wrong: requests are refused and none is forwarded, revocation works, and once the disk is
/// right again, everything that was refused has its row, without a restart.
async fn check_outage(fault: Fault, durability: Durability) {
    let world = World::of(Setup::default().durability(durability)).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let doomed = world.fresh_token("bob", "plain-all").await;
    assert_eq!(world.get(&token.secret, "/plain/before").await.status, 200);
    world.disk().set(fault);
    let mut refused = Vec::new();
    for _ in 0..3 {
        let answer = world.get(&token.secret, "/plain/during").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "journal_unavailable"), "{fault:?}");
        assert_eq!(answer.field("retry-after"), Some("1"));
        refused.push(answer);
    }
    refused.push(world.get("nobody", "/plain/during").await);
    assert_eq!(refused[3].status, 401, "a refusal needs no journal");
    let receipt = world.revoke("token", &doomed.id).await;
    assert_eq!(receipt["leaf"], serde_json::Value::Null, "{fault:?}");
    let answer = world.get(&doomed.secret, "/plain/during").await;
    assert_eq!(answer.code(), "credential_revoked", "{fault:?}");
    refused.push(answer);
    assert!(world.upstream().seen_at("/during").is_empty(), "something was forwarded unrecorded");
    // A hung disk is told from a slow one by time.
    world.advance(Duration::from_secs(3)).await;
    assert!(world.metrics().await.contains("daypass_journal_writable 0"), "{fault:?}");

    world.disk().set(Fault::None);
    world.journal_recovers().await;
    // A disk that hung did not fail.
    let told = || fault == Fault::Hangs || testkit::log().contains("the journal is written again out_ms=");
    eventually("the log says so", async || told().then_some(())).await;
    for answer in refused {
        let row = world.row(&answer).await;
        assert_eq!((row.status, row.reason), (Some(answer.status), Some(answer.code())), "{fault:?}");
    }
    let served = async || (world.get(&token.secret, "/plain/after").await.status == 200).then_some(());
    eventually("requests pass again", served).await;
    world.finish().await;
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_record() {
    check_outage(Fault::Full, Durability::Write).await;
}

#[tokio::test]
async fn a_disk_that_became_read_only_refuses_what_it_cannot_record() {
    check_outage(Fault::ReadOnly, Durability::Write).await;
}

#[tokio::test]
async fn a_failed_sync_is_never_called_durable() {
    check_outage(Fault::SyncFails, Durability::Fsync).await;
}

#[tokio::test]
async fn a_hung_disk_refuses_in_time_and_forwards_nothing() {
    check_outage(Fault::Hangs, Durability::Fsync).await;
}

#[tokio::test]
async fn a_journal_that_is_read_only_from_the_start_refuses_until_it_is_not() {
    let world = World::of(Setup::default().fault(Fault::ReadOnly)).await;
    let token = world.fresh_token("alice", "plain-all").await;
    let answer = world.get(&token.secret, "/plain/x").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "journal_unavailable"));
    let ready = world.admin(Ask::get("/api/v1/status")).await.json();
    assert_eq!(ready["ready"], false, "{ready}");
    assert!(world.upstream().seen().is_empty());
    world.disk().set(Fault::None);
    world.journal_recovers().await;
    let served = async || (world.get(&token.secret, "/plain/x").await.status == 200).then_some(());
    eventually("requests pass", served).await;
    world.finish().await;
}

#[tokio::test]
async fn an_exchange_that_was_open_before_the_outage_ends_well_and_has_its_row() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    world.disk().set(Fault::Full);
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 503);
    assert!(events.piece().await.is_some(), "an outage of the journal cuts nothing");
    let receipt = world.revoke("user", "alice").await;
    assert_eq!(receipt["streams"]["sse"], 1);
    while events.piece().await.is_some() {}
    world.disk().set(Fault::None);
    world.journal_recovers().await;
    let row = world.row_where("the stream's end", |row| row.path == "/events").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("credential_revoked")));
    world.finish().await;
}

#[tokio::test]
async fn what_was_open_at_a_crash_becomes_unknown() {
    for durability in [Durability::Write, Durability::Fsync] {
        let mut world = World::of(Setup::default().durability(durability)).await;
        let token = world.fresh_token("alice", "plain-all").await;
        world.upstream().on("/hang", Behavior::Hang);
        world.upstream().on("/events", Behavior::Events);
        let done = world.get(&token.secret, "/plain/done").await;
        assert_eq!(world.row(&done).await.outcome, Some(RowOutcome::Completed));
        let mut waiting = Vec::new();
        for target in ["/plain/hang", "/plain/events"] {
            let mut connection = world.connect().await;
            connection.send(Ask::get(target).bearer(&token.secret).bytes()).await;
            waiting.push(connection);
        }
        eventually("both are under way", async || {
            let upstream = world.upstream();
            (upstream.seen_at("/hang").len() + upstream.seen_at("/events").len() == 2).then_some(())
        })
        .await;
        world.crash().await;
        assert_eq!(world.node().recovered().unknown, 2);
        for path in ["/hang", "/events"] {
            let row = world.row_where(path, |row| row.path == path).await;
            assert_eq!((row.outcome, row.status), (Some(RowOutcome::Unknown), None), "{path}");
        }
        assert_eq!(world.row(&done).await.outcome, Some(RowOutcome::Completed));
        assert_eq!(
            world.get(&token.secret, "/plain/after").await.status,
            200,
            "what was granted is still granted"
        );
        drop(waiting);
        world.finish().await;
    }
}

#[tokio::test]
async fn an_orderly_restart_leaves_nothing_unknown() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    for number in 0..20 {
        assert_eq!(world.get(&token.secret, &format!("/plain/{number}")).await.status, 200);
    }
    world.restart().await;
    let recovered = *world.node().recovered();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (0, 0));
    assert_eq!(world.rows().iter().filter(|row| row.outcome == Some(RowOutcome::Completed)).count(), 20);
    assert_eq!(world.get(&token.secret, "/plain/x").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn stopping_waits_for_what_is_open_and_cuts_the_rest() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    let reading = async { while events.piece().await.is_some() {} };
    let (_, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(8), world.stop()), reading);
    let row = world.row_where("the stream's end", |row| row.path == "/events").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("draining")));
    world.finish().await;
}
