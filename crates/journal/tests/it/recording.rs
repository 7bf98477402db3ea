//! What is recorded when nothing fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::Timestamp;
use journal::{Ending, LeafHash, Note, OpenError, RealDisk, Request, Spent, Unavailable, Writable};

use crate::world::{START, World, change, closing, glance, on_lane, pass, request};

#[test]
fn a_request_is_one_row_with_its_end() {
    let world = World::new();
    let (journal, _) = world.open();
    let receipt = on_lane(&journal, async |lane| {
        let entry = lane.open(&request(world.id(), "/v1/orders/7")).await.unwrap();
        let receipt = entry.receipt();
        entry.close(&closing(Ending::Completed));
        lane.flush().await;
        receipt
    });
    let rows = world.rows();
    assert_eq!(world.story(), ["/v1/orders/7 completed"]);
    assert_eq!(rows[0].leaf, receipt.leaf);
    assert_eq!((rows[0].duration_us, rows[0].status), (Some(100), Some(200)));
    let leaf = world.reader().leaf(receipt.leaf).unwrap().unwrap();
    assert_eq!((leaf.hash(), LeafHash::of(&leaf.payload)), (receipt.hash, receipt.hash));
}

#[test]
fn an_intent_is_in_the_file_before_its_entry_exists() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let entry = lane.open(&request(world.id(), "/a")).await.unwrap();
        assert_eq!(world.story(), ["/a open"]);
        drop(entry);
    });
}

#[test]
fn outcomes_go_with_the_next_intents_or_after_a_while() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let entry = lane.open(&request(world.id(), "/a")).await.unwrap();
        entry.close(&closing(Ending::Completed));
        assert_eq!(world.story(), ["/a open"], "nobody waits for it");
        let next = lane.open(&request(world.id(), "/b")).await.unwrap();
        assert_eq!(world.story(), ["/a completed", "/b open"], "it went with another");
        next.close(&closing(Ending::Completed));
        let alone = async {
            while world.story() != ["/a completed", "/b completed"] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), alone).await.expect("it is written by itself");
    });
}

#[test]
fn a_dropped_entry_says_abandoned() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        drop(lane.open(&request(world.id(), "/a")).await.unwrap());
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/a abandoned"]);
}

#[test]
fn a_client_that_hangs_up_during_the_commit_is_recorded_all_the_same() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        drop(lane.open(&request(world.id(), "/never-polled")));
        glance(lane.open(&request(world.id(), "/polled-once"))).await;
        glance(lane.refuse(
            &request(world.id(), "/refused"),
            "grant_ended",
            403,
            Timestamp::from_micros(START),
        ))
        .await;
        lane.flush().await;
    });
    assert_eq!(
        world.story(),
        ["/refused refused grant_ended", "/never-polled abandoned", "/polled-once abandoned"]
    );
}

#[test]
fn a_client_that_hangs_up_between_the_commit_and_its_news_is_recorded_all_the_same() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let opening = lane.open(&request(world.id(), "/a"));
        lane.flush().await;
        drop(opening);
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/a abandoned"]);
}

#[test]
fn a_refusal_has_its_row_and_its_receipt() {
    let world = World::new();
    let (journal, _) = world.open();
    let receipt = on_lane(&journal, async |lane| {
        let at = Timestamp::from_micros(START + 30);
        lane.refuse(&request(world.id(), "/a"), "operation_not_allowed", 403, at).await.unwrap()
    });
    let rows = world.rows();
    assert_eq!(world.story(), ["/a refused operation_not_allowed"]);
    assert_eq!((rows[0].leaf, rows[0].status, rows[0].duration_us), (receipt.leaf, Some(403), Some(30)));
}

#[test]
fn requests_of_one_tick_share_one_commit() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let openings: Vec<_> = (0..50).map(|_| lane.open(&request(world.id(), "/a"))).collect();
        let mut leaves = Vec::new();
        for opening in openings {
            leaves.push(opening.await.unwrap().receipt().leaf);
        }
        assert_eq!(leaves, (1..51).collect::<Vec<u64>>());
        lane.flush().await;
    });
    let mut file = std::fs::read(world.directory.join(format!("{:020}.log", 0))).unwrap();
    let marks = file.windows(4).filter(|bytes| *bytes == [0xff; 4]).count();
    file.clear();
    assert!(marks <= 3, "started, opened, closed: {marks} commits");
}

#[test]
fn lanes_on_several_threads_number_leaves_without_gaps() {
    let world = World::new().with(|options| options.disk = Arc::new(RealDisk));
    let (journal, _) = world.open();
    let ids: Vec<Vec<_>> = (0..4).map(|_| (0..300).map(|_| world.id()).collect()).collect();
    let mut leaves: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = ids
            .iter()
            .map(|ids| {
                let journal = journal.clone();
                scope.spawn(move || {
                    on_lane(&journal, async |lane| {
                        let mut leaves = Vec::new();
                        for pair in ids.chunks(7) {
                            let openings: Vec<_> =
                                pair.iter().map(|id| lane.open(&request(*id, "/a"))).collect();
                            for opening in openings {
                                let entry = opening.await.unwrap();
                                leaves.push(entry.receipt().leaf);
                                entry.close(&closing(Ending::Completed));
                            }
                        }
                        lane.flush().await;
                        leaves
                    })
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    journal.shutdown().unwrap();
    let (reader, mut next) = (world.reader(), 0);
    let mut all = reader.leaves(0);
    while let Some(leaf) = all.next().unwrap() {
        assert_eq!(leaf.index, next);
        next += 1;
    }
    assert_eq!(next, 2 * 1200 + 2, "intents and outcomes, started and stopped");
    leaves.sort_unstable();
    let rows: Vec<u64> = world.rows().iter().map(|row| row.leaf).collect();
    assert_eq!(rows, leaves);
    assert!(world.story().iter().all(|row| row == "/a completed"));
}

#[test]
fn one_more_than_the_open_entries_is_refused_and_a_closed_one_makes_room() {
    let world = World::new().with(|options| options.open_entries_max = 2);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let first = lane.open(&request(world.id(), "/1")).await.unwrap();
        let second = lane.open(&request(world.id(), "/2")).await.unwrap();
        assert_eq!(lane.open(&request(world.id(), "/3")).await.unwrap_err(), Unavailable::Full);
        first.close(&closing(Ending::Completed));
        lane.flush().await;
        lane.open(&request(world.id(), "/4")).await.unwrap().close(&closing(Ending::Cut));
        drop(second);
        lane.flush().await;
    });
    assert_eq!(world.story(), ["/1 completed", "/2 abandoned", "/4 cut"]);
}

#[test]
fn a_flood_of_refusals_collapses_into_counts_and_loses_none() {
    let world = World::new().with(|options| options.refusals_held_max = 10);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let at = Timestamp::from_micros(START);
        for _ in 0..25 {
            drop(lane.refuse(&request(world.id(), "/a"), "rate_limited", 429, at));
        }
        lane.flush().await;
    });
    assert_eq!(world.rows().len(), 10);
    let collapsed: Vec<_> =
        world.notes().into_iter().filter(|note| note.kind == "refusals_collapsed").collect();
    assert_eq!(collapsed.len(), 1);
    assert_eq!(collapsed[0].detail, r#"{"reason":"rate_limited","count":15}"#);
}

/// A request of a client that has proven nothing.
fn nobody<'a>(world: &World, path: &'a str) -> Request<'a> {
    Request { subject: None, subject_kind: None, client_ip: "203.0.113.7", ..request(world.id(), path) }
}

fn collapsed(world: &World) -> Vec<String> {
    let notes = world.notes().into_iter().filter(|note| note.kind == "refusals_collapsed");
    notes.map(|note| note.detail).collect()
}

#[test]
fn a_flood_of_a_client_that_proved_nothing_has_so_many_rows_and_no_one_else_fewer() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let at = Timestamp::from_micros(START);
        for _ in 0..3_000 {
            drop(lane.refuse(&nobody(&world, "/a"), "credential_missing", 401, at));
        }
        assert_eq!(lane.refuse(&nobody(&world, "/a"), "api_unknown", 404, at).await, None);
        let other = Request { client_ip: "203.0.113.8", ..nobody(&world, "/other") };
        assert!(lane.refuse(&other, "credential_missing", 401, at).await.is_some());
        assert!(lane.refuse(&request(world.id(), "/known"), "grant_ended", 403, at).await.is_some());
        assert_eq!(lane.spend(&nobody(&world, "/a"), "preflight"), Spent::Nothing);
        lane.flush().await;
    });
    assert_eq!(world.rows().iter().filter(|row| row.path == "/a").count(), 1_000);
    let mut told = collapsed(&world);
    told.sort();
    assert_eq!(
        told,
        [
            r#"{"reason":"api_unknown","count":1}"#,
            r#"{"reason":"credential_missing","count":2000}"#,
            r#"{"reason":"preflight","count":1}"#
        ]
    );
}

#[test]
fn what_is_counted_is_told_once_a_second() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let at = Timestamp::from_micros(START);
        let refuse = || drop(lane.refuse(&nobody(&world, "/a"), "credential_missing", 401, at));
        (0..1_001).for_each(|_| refuse());
        for _ in 0..5 {
            pass(&world, &lane, "/b").await;
            refuse();
        }
        assert_eq!(collapsed(&world), [r#"{"reason":"credential_missing","count":1}"#]);
        world.clock.forward(Duration::from_secs(1));
        pass(&world, &lane, "/b").await;
        assert_eq!(collapsed(&world).last().unwrap(), r#"{"reason":"credential_missing","count":5}"#);
        assert_eq!(collapsed(&world).len(), 2);
        lane.flush().await;
    });
}

#[test]
fn changes_and_notes_stand_in_the_log_and_the_revision_is_known_at_the_next_start() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |_| {
        let first = journal.append(change(3).into()).await.unwrap();
        let second = journal.append(change(4).into()).await.unwrap();
        assert_eq!((first.leaf, second.leaf), (1, 2));
        let detail = r#"{"filter":"user=alice"}"#;
        let note =
            Note { time: Timestamp::from_micros(START), kind: "searched", actor: Some("user:carol"), detail };
        journal.append(note.into()).await.unwrap();
    });
    journal.shutdown().unwrap();
    assert_eq!(world.changes().iter().map(|row| row.revision.number()).collect::<Vec<_>>(), [3, 4]);
    let kinds: Vec<_> = world.notes().into_iter().map(|note| note.kind).collect();
    assert_eq!(kinds, ["node_started", "searched", "node_stopped"]);
    let (journal, recovered) = world.open();
    assert_eq!((recovered.revision.number(), recovered.unknown, recovered.leaves), (4, 0, 5));
    journal.shutdown().unwrap();
    let (_journal, recovered) = world.open();
    assert_eq!(recovered.revision.number(), 4, "the header carries it over");
}

#[test]
fn a_journal_has_one_writer_and_one_node() {
    let world = World::new();
    let (journal, _) = world.open();
    let again = || journal::Journal::open(world.options.clone(), world.clock.clone());
    assert!(matches!(again(), Err(OpenError::Locked { .. })));
    journal.shutdown().unwrap();
    let (journal, _) = again().unwrap();
    journal.shutdown().unwrap();
    let other = journal::Options { node: "node-2".parse().unwrap(), ..world.options.clone() };
    let opened = journal::Journal::open(other, world.clock.clone());
    assert!(matches!(opened, Err(OpenError::OtherNode { .. })));
}

#[test]
fn commits_write_ahead_within_what_was_allocated_and_what_is_ahead_is_no_record() {
    let world = World::new();
    let (journal, _) = world.open();
    let mut sizes = BTreeMap::new();
    let mut grown = || {
        let files = std::fs::read_dir(&world.directory).unwrap().map(Result::unwrap);
        let segments = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
        let of = |file: std::fs::DirEntry| (file.path(), file.metadata().unwrap().len());
        segments.map(of).filter(|(path, bytes)| *bytes > *sizes.entry(path.clone()).or_insert(*bytes)).count()
    };
    let path = format!("/{}", "a".repeat(2_000));
    on_lane(&journal, async |lane| {
        for _ in 0..300 {
            pass(&world, &lane, &path).await;
            assert_eq!(grown(), 0);
        }
        lane.flush().await;
    });
    assert!(sizes.len() > 2);
    // A segment of 256 KiB and its header is written on in three steps at most; the rest is written over.
    let ends = world.disk.ends();
    let steps = ends.iter().scan(0, |most, end| Some(end > &std::mem::replace(most, *end.max(most))));
    assert!(ends.len() > 300 && steps.filter(|grows| *grows).count() <= 3 + 1, "{ends:?}");
    let (_journal, recovered) = world.copy().open();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (0, 0));
    assert_eq!(world.rows().len(), 300);
}

#[test]
fn after_a_shutdown_nothing_is_allocated_ahead_and_nothing_is_opened() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/a").await;
        lane.flush().await;
        let entry = lane.open(&request(world.id(), "/b")).await.unwrap();
        journal.shutdown().unwrap();
        assert_eq!(journal.health().writable, Writable::No);
        assert_eq!(lane.open(&request(world.id(), "/c")).await.unwrap_err(), Unavailable::Down);
        drop(entry);
    });
    let bytes: u64 = std::fs::read_dir(&world.directory)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(bytes, journal.health().bytes);
    let (_journal, recovered) = world.open();
    assert_eq!((recovered.unknown, recovered.torn_bytes), (1, 0));
    assert_eq!(world.story(), ["/a completed", "/b unknown"]);
}
