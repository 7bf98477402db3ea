//! One log, and two processes of its node one after the other.

use std::os::unix::net::UnixStream;

use journal::{Ending, Journal, Lane, NotHandedOver, OpenError, Statement, Writable};

use crate::world::{Faults, World, change, closing, on_lane, pass, request};

/// Two journals as two processes hold them: the first has handed over to the second.
fn handed_over(world: &World, first: &Journal) -> Journal {
    let (near, far) = UnixStream::pair().unwrap();
    first.hand_over(near).unwrap();
    let taken = Journal::take_over(world.options.clone(), world.clock.clone(), far);
    let (second, recovered) = taken.unwrap();
    second.keep_estate().unwrap();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (0, 0));
    second
}

async fn open(world: &World, lane: &Lane, path: &str) -> journal::OpenEntry {
    lane.open(&request(world.id(), path)).await.unwrap()
}

#[test]
fn what_is_open_at_a_handover_is_closed_by_who_opened_it() {
    let world = World::new();
    let (first, _) = world.open();
    on_lane(&first, async |old| {
        pass(&world, &old, "/before").await;
        let across = open(&world, &old, "/across").await;
        let second = handed_over(&world, &first);
        let new = second.lane();
        let driving = tokio::task::spawn_local(new.run());
        pass(&world, &new, "/new").await;
        let late = open(&world, &old, "/late").await;
        assert!(late.receipt().leaf > across.receipt().leaf);
        let at = access::Clock::now(&*world.clock);
        let refused = old.refuse(&request(world.id(), "/refused"), "rate_limited", 429, at);
        assert!(refused.await.is_some());
        let receipt = first.append(Statement::from(change(9))).await.unwrap();
        assert!(receipt.leaf > late.receipt().leaf);
        across.close(&closing(Ending::Completed));
        late.close(&closing(Ending::Completed));
        old.flush().await;
        first.shutdown().unwrap();
        new.flush().await;
        second.shutdown().unwrap();
        driving.abort();
    });
    assert_eq!(
        world.story(),
        [
            "/before completed",
            "/across completed",
            "/new completed",
            "/late completed",
            "/refused refused rate_limited"
        ]
    );
    assert_eq!(world.changes().len(), 1);
    let kinds: Vec<_> = world.notes().into_iter().map(|note| note.kind).collect();
    assert_eq!(kinds, ["node_started", "node_handed_over", "node_started", "node_stopped"]);
    let (again, recovered) = world.open();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (0, 0));
    again.shutdown().unwrap();
}

#[test]
fn what_the_process_before_leaves_open_is_unknown() {
    let world = World::new();
    let (first, _) = world.open();
    let second = on_lane(&first, async |old| {
        let entry = open(&world, &old, "/left").await;
        let second = handed_over(&world, &first);
        let late = open(&world, &old, "/late").await;
        first.shutdown().unwrap();
        std::mem::forget((entry, late));
        second
    });
    while world.story() != ["/left unknown", "/late unknown"] {
        std::thread::yield_now();
    }
    second.shutdown().unwrap();
}

#[test]
fn when_the_successor_is_gone_the_log_comes_back() {
    let world = World::new();
    let (first, _) = world.open();
    on_lane(&first, async |old| {
        let across = open(&world, &old, "/across").await;
        let second = handed_over(&world, &first);
        let new = second.lane();
        let driving = tokio::task::spawn_local(new.run());
        let lost = open(&world, &new, "/lost").await;
        pass(&world, &old, "/relayed").await;
        second.shutdown().unwrap();
        driving.abort();
        across.close(&closing(Ending::Completed));
        first.becomes(Writable::Yes).await;
        // What was under way when it ended is refused; what comes then is recorded.
        while old.open(&request(world.id(), "/")).await.is_err() {}
        pass(&world, &old, "/after").await;
        old.flush().await;
        first.shutdown().unwrap();
        std::mem::forget(lost);
    });
    let mut story = world.story();
    story.retain(|row| !row.starts_with("/ "));
    assert_eq!(story, ["/across completed", "/lost unknown", "/relayed completed", "/after completed"]);
}

#[test]
fn a_successor_that_ends_before_it_serves_costs_nothing() {
    let world = World::new();
    let (first, _) = world.open();
    on_lane(&first, async |lane| {
        let (near, far) = UnixStream::pair().unwrap();
        first.hand_over(near).unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let opening = lane.open(&request(world.id(), "/waits"));
            waiting.spawn_local(async move { opening.await.unwrap().close(&closing(Ending::Completed)) });
        }
        tokio::task::yield_now().await;
        let taken = Journal::take_over(world.options.clone(), world.clock.clone(), far);
        taken.unwrap().0.shutdown().unwrap();
        while let Some(waited) = waiting.join_next().await {
            waited.unwrap();
        }
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    first.shutdown().unwrap();
    let story = world.story();
    assert_eq!(story.iter().filter(|row| *row == "/waits completed").count(), 8, "{story:?}");
    assert_eq!(story.last().unwrap(), "/after completed");
}

#[test]
fn a_log_that_cannot_be_written_is_not_handed_over() {
    let world = World::new();
    let (first, _) = world.open();
    on_lane(&first, async |lane| {
        world.disk.set(Faults { write: Some(std::io::ErrorKind::StorageFull), ..Faults::default() });
        let _refused = lane.open(&request(world.id(), "/a")).await;
        first.becomes(Writable::No).await;
        let (near, _far) = UnixStream::pair().unwrap();
        assert_eq!(first.hand_over(near), Err(NotHandedOver::Unwritable));
        let taken = Journal::open(world.options.clone(), world.clock.clone());
        assert!(matches!(taken, Err(OpenError::Locked { .. })));
        world.disk.heal();
        first.becomes(Writable::Yes).await;
        pass(&world, &lane, "/b").await;
        lane.flush().await;
    });
    first.shutdown().unwrap();
    assert_eq!(world.story(), ["/b completed"]);
}
