//! What a journal says when its files are taken away.

use std::path::PathBuf;

use journal::{Durability, Journal, OpenError, ReadError, Unavailable, Writable};

use crate::world::{World, on_lane, pass, request};

fn segments(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&world.directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A journal of several segments, at rest.
fn several() -> World {
    let world = World::new().with(|options| options.segment_bytes_max = 8 * 1024);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        for _ in 0..300 {
            pass(&world, &lane, "/a").await;
        }
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    assert!(segments(&world).len() > 4, "{:?}", segments(&world));
    world
}

/// Opens the journal, which is refused because this file is missing.
fn check_missing(world: &World, expected: &PathBuf) {
    match Journal::open(world.options.clone(), world.clock.clone()) {
        Err(OpenError::Read(ReadError::Missing { file, .. })) => assert_eq!(file, *expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_start_without_any_one_segment_is_refused_and_says_which() {
    let world = several();
    for segment in segments(&world) {
        let aside = world.directory.with_file_name("aside");
        std::fs::rename(&segment, &aside).unwrap();
        check_missing(&world, &segment);
        std::fs::rename(&aside, &segment).unwrap();
    }
    world.open().0.shutdown().unwrap();
    assert_eq!(world.rows().len(), 300);
}

#[test]
fn a_start_without_the_directory_is_refused() {
    let world = several();
    let last = segments(&world).pop().unwrap();
    std::fs::remove_dir_all(&world.directory).unwrap();
    check_missing(&world, &last);
    check_missing(&world, &last);
}

#[test]
fn a_journal_moved_away_with_its_head_file_makes_room_for_a_new_one() {
    let world = several();
    std::fs::remove_dir_all(&world.directory).unwrap();
    std::fs::remove_file(world.directory.with_extension("head")).unwrap();
    assert_eq!(world.open().1.leaves, 0);
}

/// While the journal runs, somebody takes its files away: no intent is acknowledged that no reader would find.
fn check_taken(durability: Durability, take: impl Fn(&World)) {
    let world = World::new().with(|options| options.durability = durability);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/before").await;
        lane.flush().await;
        take(&world);
        // In `write` mode the clock has to come round.
        world.clock.forward(journal::writer::LOOK_EVERY);
        assert_eq!(lane.open(&request(world.id(), "/lost")).await.unwrap_err(), Unavailable::Down);
        let health = journal.health();
        assert_eq!(health.writable, Writable::No);
        assert!(health.last_error.unwrap().ends_with(" is gone"));
        assert_eq!(lane.open(&request(world.id(), "/lost")).await.unwrap_err(), Unavailable::Down);
    });
    drop(journal);
}

#[test]
fn a_segment_unlinked_while_it_is_written_makes_the_journal_unavailable() {
    for durability in [Durability::Fsync, Durability::Write] {
        check_taken(durability, |world| std::fs::remove_file(&segments(world)[0]).unwrap());
    }
}

#[test]
fn a_directory_lost_while_it_is_written_makes_the_journal_unavailable() {
    for durability in [Durability::Fsync, Durability::Write] {
        check_taken(durability, |world| std::fs::remove_dir_all(&world.directory).unwrap());
        check_taken(durability, |world| {
            std::fs::remove_dir_all(&world.directory).unwrap();
            std::fs::create_dir(&world.directory).unwrap();
        });
    }
}

#[test]
fn a_directory_that_comes_back_is_written_again() {
    let world = World::new();
    let (journal, _) = world.open();
    let aside = world.directory.with_file_name("aside");
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/before").await;
        lane.flush().await;
        std::fs::rename(&world.directory, &aside).unwrap();
        assert_eq!(lane.open(&request(world.id(), "/lost")).await.unwrap_err(), Unavailable::Down);
        std::fs::rename(&aside, &world.directory).unwrap();
        journal.becomes(Writable::Yes).await;
        pass(&world, &lane, "/after").await;
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/before completed", "/after completed"]);
}
