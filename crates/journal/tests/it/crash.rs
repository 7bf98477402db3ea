//! What a journal says after its process, or its machine, died.

use std::path::PathBuf;

use journal::{Durability, Ending, Journal, LeafHash, OpenEntry, OpenError, ReadError, Receipt};
use proptest::prelude::*;

use access::Timestamp;

use crate::world::{START, World, change, closing, on_lane, pass, request};

fn last_segment(world: &World) -> PathBuf {
    let mut paths: Vec<_> =
        std::fs::read_dir(&world.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().rfind(|path| path.extension().is_some_and(|end| end == "log")).unwrap()
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The leaves of a journal as they stand there.
fn leaves(world: &World) -> Result<Vec<LeafHash>, ReadError> {
    let (reader, mut all) = (world.reader(), Vec::new());
    let mut leaves = reader.leaves(0);
    while let Some(leaf) = leaves.next()? {
        all.push(leaf.hash());
    }
    assert_eq!(reader.size()?, all.len() as u64);
    Ok(all)
}

/// What the first of two commits says after a crash.
const ACKNOWLEDGED: [&str; 5] =
    ["/open unknown", "/closed completed", "/closed completed", "/closed completed", "/closed completed"];

/// A journal with two commits, and the last segment's bytes after the first and after the second.
fn two_commits(world: &World) -> (Vec<u8>, Vec<u8>) {
    let (journal, _) = world.open();
    let snapshots = on_lane(&journal, async |lane| {
        let entry = lane.open(&request(world.id(), "/open")).await.unwrap();
        for _ in 0..4 {
            pass(world, &lane, "/closed").await;
        }
        lane.flush().await;
        let first = std::fs::read(last_segment(world)).unwrap();
        for _ in 0..6 {
            drop(lane.open(&request(world.id(), "/last")));
        }
        let opening = lane.open(&request(world.id(), "/last"));
        std::mem::forget(opening.await.unwrap());
        let second = std::fs::read(last_segment(world)).unwrap();
        std::mem::forget(entry);
        (first, second)
    });
    drop(journal);
    snapshots
}

/// The same directory with other bytes in its last segment, reopened.
fn reopened(world: &World, bytes: &[u8]) -> (World, Result<journal::Recovered, OpenError>) {
    let copy = world.copy();
    std::fs::write(last_segment(&copy), bytes).unwrap();
    let opened = Journal::open(copy.options.clone(), copy.clock.clone());
    let recovered = opened.map(|(journal, recovered)| {
        journal.shutdown().unwrap();
        recovered
    });
    (copy, recovered)
}

fn tiny() -> World {
    World::new().with(|options| options.segment_bytes_max = 8 * 1024)
}

#[test]
fn what_was_open_when_the_process_died_is_unknown() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/closed").await;
        let entry = lane.open(&request(world.id(), "/open")).await.unwrap();
        lane.flush().await;
        let after = world.copy();
        let (_journal, recovered) = after.open();
        assert_eq!(recovered.unknown, 1);
        assert_eq!(after.story(), ["/closed completed", "/open unknown"]);
        drop(entry);
    });
}

#[test]
fn a_commit_torn_at_any_byte_costs_nothing_that_was_acknowledged() {
    let world = tiny();
    let (first, second) = two_commits(&world);
    for cut in used(&first)..used(&second) {
        let mut torn = second.clone();
        match cut % 4 {
            0 => torn[cut..].fill(0),
            _ => torn.truncate(cut),
        }
        let (copy, recovered) = reopened(&world, &torn);
        recovered.unwrap_or_else(|fault| panic!("cut at {cut}: {fault}"));
        let story = copy.story();
        assert_eq!(story[..5], ACKNOWLEDGED, "cut at {cut}");
        assert!(story[5..].iter().all(|row| row == "/last unknown"), "cut at {cut}: {story:?}");
    }
}

#[test]
fn a_commit_whose_earlier_sector_never_reached_the_disk_is_torn_and_not_damage() {
    let world = tiny();
    let (first, second) = two_commits(&world);
    let (from, until) = (used(&first), used(&second));
    let sector = from.next_multiple_of(512);
    assert!(sector + 512 < until, "the last commit spans a whole sector: {from}..{until}");
    let mut bytes = second;
    bytes[sector..sector + 512].fill(0);
    let (copy, recovered) = reopened(&world, &bytes);
    assert!(recovered.unwrap().torn_bytes > 512);
    assert_eq!(copy.story()[..5], ACKNOWLEDGED);
}

#[test]
fn a_sector_lost_from_an_acknowledged_commit_is_damage() {
    let world = tiny();
    let (first, second) = two_commits(&world);
    let sector = used(&first) / 512 * 512 - 512;
    let mut bytes = second;
    bytes[sector..sector + 512].fill(0);
    let (_, recovered) = reopened(&world, &bytes);
    assert!(matches!(recovered, Err(OpenError::Read(_))), "{recovered:?}");
}

#[test]
fn any_flipped_bit_is_reported_with_its_place_or_costs_no_leaf() {
    let world = tiny();
    let (_, second) = two_commits(&world);
    let copy = world.copy();
    let known = leaves(&copy).unwrap();
    let mut reported = 0;
    for at in 0..used(&second) {
        let mut bytes = second.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(last_segment(&copy), &bytes).unwrap();
        match leaves(&copy) {
            Ok(leaves) => assert_eq!(leaves, known, "byte {at}"),
            Err(fault) => {
                assert!(fault.to_string().contains(".log"), "{fault}");
                reported += 1;
            }
        }
        if at % 40 == 0 {
            assert!(reopened(&world, &bytes).1.is_err(), "byte {at}");
        }
    }
    // The last mark alone can be lost without a trace: the leaves before it are whole.
    assert!(reported + 8 >= used(&second), "{reported} of {}", used(&second));
}

#[test]
fn a_journal_written_without_sync_survives_holes_left_by_a_power_cut() {
    let world = tiny().with(|options| options.durability = Durability::Write);
    let (first, second) = two_commits(&world);
    let sector = used(&first) / 512 * 512 - 512;
    let mut bytes = second;
    bytes[sector..sector + 512].fill(0);
    let (_, recovered) = reopened(&world, &bytes);
    assert!(recovered.unwrap().torn_bytes > 0);
}

#[test]
fn a_segment_that_was_being_made_is_no_segment() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/a").await;
        lane.flush().await;
    });
    journal.shutdown().unwrap();
    std::fs::write(world.directory.join(format!("{:020}.log.new", 99)), b"dpjrnl").unwrap();
    let (_journal, recovered) = world.open();
    assert_eq!(recovered.leaves, 4);
    let names = std::fs::read_dir(&world.directory).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name.to_string_lossy().ends_with(".log")));
    assert_eq!(world.story(), ["/a completed"]);
}

#[test]
fn starting_and_dying_again_and_again_repeats_nothing() {
    let mut world = World::new();
    for round in 0..5 {
        let (journal, recovered) = world.open();
        assert_eq!(recovered.unknown, u64::from(round > 0), "round {round}");
        on_lane(&journal, async |lane| {
            pass(&world, &lane, "/closed").await;
            let entry = lane.open(&request(world.id(), "/open")).await.unwrap();
            lane.flush().await;
            world = world.copy();
            drop(entry);
        });
    }
    let (_journal, _) = world.open();
    assert_eq!(world.story(), ["/closed completed", "/open unknown"].repeat(5));
}

/// What happens in a random story.
#[derive(Debug, Clone)]
enum Act {
    Open,
    Close(usize),
    Drop(usize),
    Refuse,
    Change,
    /// The process dies, in the middle of writing so much of another commit.
    Die(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => Just(Act::Open),
        4 => (0_usize..8).prop_map(Act::Close),
        1 => (0_usize..8).prop_map(Act::Drop),
        2 => Just(Act::Refuse),
        1 => Just(Act::Change),
        1 => (0_usize..600).prop_map(Act::Die),
    ];
    proptest::collection::vec(act, 1..60)
}

#[derive(Default)]
struct Model {
    rows: Vec<(Receipt, String)>,
    open: Vec<(usize, OpenEntry)>,
    revision: u64,
}

impl Model {
    fn end(&mut self, nth: usize, how: &str) -> Option<OpenEntry> {
        if self.open.is_empty() {
            return None;
        }
        let (row, entry) = self.open.remove(nth % self.open.len());
        self.rows[row].1 = how.to_owned();
        Some(entry)
    }

    fn die(&mut self) {
        for (row, entry) in self.open.drain(..) {
            self.rows[row].1 = "/a unknown".to_owned();
            drop(entry);
        }
    }
}

/// Plays until the next death. Returns what is left to play, in the world found afterwards.
fn live(world: &World, model: &mut Model, acts: &[Act]) -> (usize, World) {
    let (journal, recovered) = world.open();
    assert_eq!(recovered.revision.number(), model.revision);
    on_lane(&journal, async |lane| {
        for (at, act) in acts.iter().enumerate() {
            match act {
                Act::Open => {
                    let entry = lane.open(&request(world.id(), "/a")).await.unwrap();
                    model.rows.push((entry.receipt(), "/a open".to_owned()));
                    model.open.push((model.rows.len() - 1, entry));
                }
                Act::Close(nth) => {
                    if let Some(entry) = model.end(*nth, "/a completed") {
                        entry.close(&closing(Ending::Completed));
                    }
                }
                Act::Drop(nth) => drop(model.end(*nth, "/a abandoned")),
                Act::Refuse => {
                    let at = Timestamp::from_micros(START);
                    let refused =
                        lane.refuse(&request(world.id(), "/a"), "grant_ended", 403, at).await.unwrap();
                    model.rows.push((refused, "/a refused grant_ended".to_owned()));
                }
                Act::Change => {
                    model.revision += 1;
                    journal.append(change(model.revision).into()).await.unwrap();
                }
                Act::Die(torn) => {
                    lane.flush().await;
                    let after = world.copy();
                    tear(&after, *torn);
                    model.die();
                    return (at + 1, after);
                }
            }
        }
        lane.flush().await;
        let after = world.copy();
        model.die();
        (acts.len(), after)
    })
}

/// The beginning of a commit that was never finished: one record of 1000 bytes, and so much of it.
fn tear(world: &World, length: usize) {
    let path = last_segment(world);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(used(&bytes));
    let torn = [1000_u32.to_le_bytes(), 7_u32.to_le_bytes()].concat().into_iter().chain([b'x'; 600]);
    bytes.extend(torn.take(length));
    std::fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_record_is_there_once_after_any_story(acts in acts()) {
        let (mut world, mut model, mut played) = (tiny(), Model::default(), 0);
        while played < acts.len() {
            let (more, after) = live(&world, &mut model, &acts[played..]);
            played += more;
            world = after;
        }
        let (journal, _) = world.open();
        journal.shutdown().unwrap();
        let rows = world.rows();
        let told: Vec<_> = rows.iter().map(|row| (row.leaf, crate::world::told(row))).collect();
        let expected: Vec<_> = model.rows.iter().map(|(receipt, told)| (receipt.leaf, told.clone())).collect();
        prop_assert_eq!(told, expected);
        let hashes = leaves(&world).unwrap();
        for (receipt, _) in &model.rows {
            prop_assert_eq!(hashes[usize::try_from(receipt.leaf).unwrap()], receipt.hash);
        }
        prop_assert_eq!(world.changes().len() as u64, model.revision);
    }
}
