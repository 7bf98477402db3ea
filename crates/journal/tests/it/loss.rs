//! What a journal says when its files are taken away.

use std::ops::ControlFlow;
use std::path::PathBuf;

use journal::{
    Durability, Ending, Filter, Journal, OpenError, Order, ReadError, RequestRow, Unavailable, Writable,
};

use crate::world::{World, closing, on_lane, pass, request, told};

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

/// Damages the second segment in its middle; its file.
fn damage_the_second(world: &World) -> PathBuf {
    let second = segments(world).remove(1);
    let mut bytes = std::fs::read(&second).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    second
}

#[test]
fn a_search_shows_all_that_can_be_read_before_it_names_the_damage() {
    let world = several();
    let whole: Vec<_> = world.rows().iter().map(|row| (row.leaf, row.id)).collect();
    let damaged = damage_the_second(&world);
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut shown = Vec::new();
        let mut keep = |row: RequestRow| {
            shown.push((row.leaf, row.id));
            ControlFlow::Continue(())
        };
        let end = world.reader().search(&Filter::default(), order, &mut keep);
        let Err(ReadError::Corrupt { file, leaf, .. }) = end else { panic!("{end:?}") };
        assert_eq!(file, damaged);
        let gone: Vec<_> = whole.iter().filter(|row| !shown.contains(row)).collect();
        assert!(!gone.is_empty() && gone.len() < 30, "{} of {} rows are gone", gone.len(), whole.len());
        assert!(gone.iter().all(|row| row.0 >= leaf), "a row before the damage is gone");
    }
}

#[test]
fn damage_hides_no_request_that_stands_elsewhere() {
    let world = several();
    let whole = world.rows();
    damage_the_second(&world);
    let reader = world.reader();
    assert_eq!(reader.find(whole[0].id).unwrap().as_ref(), whole.first());
    assert_eq!(reader.find(whole[299].id).unwrap().as_ref(), whole.last());
    let nobody = World::new().with(|_| {});
    let unknown = (0..=300).map(|_| nobody.id()).last().unwrap();
    assert!(reader.find(unknown).is_err(), "it may stand where nothing can be read");
}

#[test]
fn a_request_whose_end_cannot_be_read_is_not_shown_as_open() {
    let world = World::new().with(|options| options.segment_bytes_max = 8 * 1024);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let forever = lane.open(&request(world.id(), "/forever")).await.unwrap();
        let lost = lane.open(&request(world.id(), "/lost")).await.unwrap();
        let mut passed = 0;
        while segments(&world).len() < 2 {
            pass(&world, &lane, "/a").await;
            lane.flush().await;
            passed += 1;
        }
        for _ in 0..passed * 3 / 4 {
            pass(&world, &lane, "/a").await;
        }
        lost.close(&closing(Ending::Completed));
        while segments(&world).len() < 4 {
            pass(&world, &lane, "/a").await;
            lane.flush().await;
        }
        damage_the_second(&world);
        let mut shown = Vec::new();
        let mut keep = |row: RequestRow| {
            shown.push(told(&row));
            ControlFlow::Continue(())
        };
        let end = world.reader().search(&Filter::default(), Order::OldestFirst, &mut keep);
        assert!(end.is_err());
        assert_eq!(shown[..3], ["/forever open", "/lost unknown", "/a completed"]);
        drop(forever);
    });
}
