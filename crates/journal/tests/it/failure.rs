//! What is recorded when the disk fails, and that nothing is called durable that is not.

use std::io::ErrorKind;
use std::time::Duration;

use access::Timestamp;
use journal::{Durability, Ending, Unavailable, Writable};

use crate::world::{Faults, START, World, change, closing, glance, on_lane, pass, request};

fn bad_sync() -> Faults {
    Faults { sync: Some(ErrorKind::Other), ..Faults::default() }
}

#[test]
fn a_failed_sync_fails_its_intents_and_the_journal_comes_back_by_itself() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let before = lane.open(&request(world.id(), "/before")).await.unwrap();
        world.disk.set(bad_sync());
        assert_eq!(lane.open(&request(world.id(), "/lost")).await.unwrap_err(), Unavailable::Down);
        journal.becomes(Writable::No).await;
        assert_eq!(lane.open(&request(world.id(), "/at-once")).await.unwrap_err(), Unavailable::Down);
        before.close(&closing(Ending::Completed));
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        assert_eq!(journal.health().last_error, None);
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    assert_eq!(world.story(), ["/before completed", "/after completed"]);
}

#[test]
fn a_write_that_fails_half_way_leaves_nothing_behind() {
    let world = World::new().with(|options| options.durability = Durability::Write);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/before").await;
        lane.flush().await;
        world.disk.set(Faults { write: Some(ErrorKind::StorageFull), torn: 500, ..Faults::default() });
        let openings: Vec<_> = (0..5).map(|_| lane.open(&request(world.id(), "/lost"))).collect();
        for opening in openings {
            assert_eq!(opening.await.unwrap_err(), Unavailable::Down);
        }
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/before completed", "/after completed"]);
    let (_journal, recovered) = world.copy().open();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (0, 0));
}

#[test]
fn refusals_and_changes_of_an_outage_are_written_after_it_and_what_is_too_much_is_counted() {
    let world = World::new().with(|options| options.refusals_held_max = 3);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        world.disk.set(bad_sync());
        let at = Timestamp::from_micros(START);
        for _ in 0..5 {
            let refusing = lane.refuse(&request(world.id(), "/a"), "grant_ended", 403, at);
            assert_eq!(refusing.await, None);
        }
        assert_eq!(journal.append(change(9).into()).await, Err(Unavailable::Held));
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/a refused grant_ended"; 3]);
    assert_eq!(world.changes().len(), 1);
    let notes: Vec<_> = world.notes().into_iter().map(|note| note.kind).collect();
    assert_eq!(notes, ["node_started", "journal_resumed", "refusals_collapsed"]);
    let collapsed = world.notes().pop().unwrap();
    assert_eq!(collapsed.detail, r#"{"reason":"grant_ended","count":2}"#);
}

#[test]
fn a_client_that_hangs_up_during_a_failing_commit_leaves_no_row() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        world.disk.set(bad_sync());
        glance(lane.open(&request(world.id(), "/gone"))).await;
        journal.becomes(Writable::No).await;
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/after completed"]);
}

#[test]
fn a_full_disk_refuses_requests_but_every_open_entry_is_closed_and_refusals_have_rows() {
    let world = World::new().with(|options| options.segment_bytes_max = 64 * 1024);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        world.disk.set(Faults { create: Some(ErrorKind::StorageFull), ..Faults::default() });
        let mut entries = Vec::new();
        let refused = loop {
            match lane.open(&request(world.id(), "/a")).await {
                Ok(entry) => entries.push(entry),
                Err(why) => break why,
            }
        };
        assert_eq!(refused, Unavailable::Down);
        assert!(entries.len() > 20, "{} entries fit", entries.len());
        assert_eq!(journal.health().writable, Writable::OutcomesOnly);
        let at = Timestamp::from_micros(START);
        assert!(lane.refuse(&request(world.id(), "/r"), "journal_unavailable", 503, at).await.is_some());
        assert!(journal.append(change(1).into()).await.is_ok());
        let long = "u".repeat(1000);
        for entry in entries {
            entry.close(&journal::Closing {
                upstream: Some(&long),
                reason: Some(&long),
                ..closing(Ending::Failed)
            });
            lane.flush().await;
        }
        assert_eq!(journal.health().writable, Writable::OutcomesOnly, "no outcome was refused its room");
        assert!(world.rows().iter().all(|row| row.outcome.is_some()));
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    assert_eq!(world.story().pop().unwrap(), "/after completed");
    assert!(world.notes().iter().any(|note| note.kind == "journal_resumed"));
}

#[test]
fn on_a_full_disk_refusals_beyond_the_room_are_held_and_then_written() {
    let world = World::new().with(|options| options.segment_bytes_max = 64 * 1024);
    let (journal, _) = world.open();
    let total = 400;
    on_lane(&journal, async |lane| {
        world.disk.set(Faults { create: Some(ErrorKind::StorageFull), ..Faults::default() });
        let at = Timestamp::from_micros(START);
        let entry = lane.open(&request(world.id(), "/open")).await.unwrap();
        let mut written = 0;
        for _ in 0..total {
            written +=
                u32::from(lane.refuse(&request(world.id(), "/r"), "grant_ended", 403, at).await.is_some());
        }
        assert!(written > 50 && written < total, "{written} fit");
        entry.close(&closing(Ending::Completed));
        lane.flush().await;
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        lane.flush().await;
    });
    let story = world.story();
    assert_eq!(story[0], "/open completed");
    assert_eq!(story.len(), 1 + total as usize);
}

#[test]
fn a_hung_disk_fails_waiters_in_time_and_what_was_written_after_all_says_so() {
    let world = World::new().with(|options| options.commit_wait_max = Duration::from_millis(30));
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let before = lane.open(&request(world.id(), "/before")).await.unwrap();
        world.disk.set(Faults { hung: Some(()), ..Faults::default() });
        let at = Timestamp::from_micros(START);
        let (opening, refusing) = (
            lane.open(&request(world.id(), "/late")),
            lane.refuse(&request(world.id(), "/refused"), "grant_ended", 403, at),
        );
        glance(lane.open(&request(world.id(), "/gone"))).await;
        assert_eq!(opening.await.unwrap_err(), Unavailable::Late);
        assert_eq!(refusing.await, None);
        assert_eq!(lane.open(&request(world.id(), "/at-once")).await.unwrap_err(), Unavailable::Late);
        assert_eq!(journal.append(change(1).into()).await, Err(Unavailable::Late));
        before.close(&closing(Ending::Completed));
        world.disk.heal();
        let after = loop {
            match lane.open(&request(world.id(), "/after")).await {
                Ok(entry) => break entry,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        after.close(&closing(Ending::Completed));
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    assert_eq!(
        world.story(),
        [
            "/before completed",
            "/refused refused grant_ended",
            "/late failed journal_unavailable",
            "/gone abandoned",
            "/after completed",
        ]
    );
    assert_eq!(world.changes().len(), 1);
}

/// A request whose intent was late, refused before or after the disk answers: one row.
fn check_late(faults: Faults, refuse_after: bool) -> Vec<String> {
    let world = World::new().with(|options| options.commit_wait_max = Duration::from_millis(30));
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        world.disk.set(Faults { hung: Some(()), ..Faults::default() });
        let (late, at) = (world.id(), Timestamp::from_micros(START));
        assert_eq!(lane.open(&request(late, "/late")).await.unwrap_err(), Unavailable::Late);
        let refuse = async || {
            lane.refuse(&request(late, "/late"), "journal_unavailable", 503, at).await;
            let other = world.id();
            lane.refuse(&request(other, "/other"), "journal_unavailable", 503, at).await;
        };
        if !refuse_after {
            refuse().await;
        }
        let fails = faults.sync.is_some();
        world.disk.set(faults);
        if fails {
            journal.becomes(Writable::No).await;
        }
        world.disk.heal();
        while lane.open(&request(world.id(), "/after")).await.is_err() {
            tokio::task::yield_now().await;
        }
        if refuse_after {
            refuse().await;
        }
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    let mut story = world.story();
    story.retain(|row| !row.starts_with("/after"));
    story.sort();
    story
}

#[test]
fn a_late_intent_and_its_refusal_are_one_row() {
    let (written, refused) = ("/late failed journal_unavailable", "/late refused journal_unavailable");
    let other = "/other refused journal_unavailable";
    for refuse_after in [false, true] {
        assert_eq!(check_late(Faults::default(), refuse_after), [written, other]);
        assert_eq!(check_late(bad_sync(), refuse_after), [refused, other]);
    }
}

#[test]
fn a_directory_that_cannot_be_written_gives_a_journal_that_refuses_until_it_can() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| glance(lane.open(&request(world.id(), "/unfinished"))).await);
    journal.shutdown().unwrap();
    world.disk.set(Faults { create: Some(ErrorKind::PermissionDenied), ..Faults::default() });
    let (journal, _) = world.open();
    let health = journal.health();
    assert_eq!(health.writable, Writable::No);
    assert_eq!(health.last_error.as_deref(), Some("permission denied"));
    on_lane(&journal, async |lane| {
        assert_eq!(lane.open(&request(world.id(), "/a")).await.unwrap_err(), Unavailable::Down);
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/b").await;
        lane.flush().await;
    });
    assert_eq!(world.story().last().unwrap(), "/b completed");
}

#[test]
fn an_outage_that_goes_on_is_told_once_and_ends_when_every_step_of_the_repair_works() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/before").await;
        let faults = [
            bad_sync(),
            Faults { truncate: Some(ErrorKind::Other), ..Faults::default() },
            Faults { create: Some(ErrorKind::StorageFull), ..Faults::default() },
            Faults { write: Some(ErrorKind::StorageFull), torn: 30, ..Faults::default() },
        ];
        world.disk.set(faults[0].clone());
        assert!(lane.open(&request(world.id(), "/lost")).await.is_err());
        for fault in faults {
            world.disk.set(fault);
            world.disk.fails_again(3).await;
            assert_eq!(journal.health().writable, Writable::No);
        }
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/before completed", "/after completed"]);
    assert_eq!(world.notes().iter().filter(|note| note.kind == "journal_resumed").count(), 1);
}

/// Fills the segment until a next one is made, whose name is not known to be durable.
async fn fill_until_down(world: &World, lane: &journal::Lane) -> usize {
    world.disk.set(Faults { rename: Some(ErrorKind::Other), ..Faults::default() });
    let mut passed = 0;
    loop {
        match lane.open(&request(world.id(), "/a")).await {
            Ok(entry) => entry.close(&closing(Ending::Completed)),
            Err(why) => {
                assert_eq!(why, Unavailable::Down);
                return passed;
            }
        }
        passed += 1;
    }
}

#[test]
fn a_segment_whose_name_may_not_be_durable_costs_no_row_and_is_no_damage() {
    let world = World::new().with(|options| options.segment_bytes_max = 16 * 1024);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let open = lane.open(&request(world.id(), "/open")).await.unwrap();
        let passed = fill_until_down(&world, &lane).await;
        assert_eq!(journal.health().writable, Writable::No);
        open.close(&closing(Ending::Completed));
        world.disk.fails_again(3).await;
        let (found, then) = (world.story(), world.copy());
        assert_eq!(found.len(), 1 + passed);
        then.open().0.shutdown().unwrap();
        assert_eq!(then.story().len(), found.len(), "a restart finds the same rows");
        then.open().0.shutdown().unwrap();
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
        let story = world.story();
        assert_eq!((story.len(), story[0].as_str()), (2 + passed, "/open completed"));
        assert!(story.iter().all(|row| row.ends_with(" completed")), "{story:?}");
    });
    journal.shutdown().unwrap();
    world.open().0.shutdown().unwrap();
}

#[test]
fn the_first_segment_of_all_may_also_be_in_doubt() {
    let world = World::new();
    world.disk.set(Faults { rename: Some(ErrorKind::Other), ..Faults::default() });
    let (journal, _) = world.open();
    assert_eq!(journal.health().writable, Writable::No);
    on_lane(&journal, async |lane| {
        world.disk.fails_again(3).await;
        world.disk.heal();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/a").await;
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    assert_eq!(world.story(), ["/a completed"]);
    assert_eq!(world.open().1.leaves, 4);
}
