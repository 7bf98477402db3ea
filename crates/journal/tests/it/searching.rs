//! Reading while others write.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use access::Timestamp;
use journal::{Ending, Event, Filter, Order, Request};

use crate::world::{START, World, change, closing, on_lane, pass, request, told};

fn small() -> World {
    World::new().with(|options| options.segment_bytes_max = 8 * 1024)
}

fn segments(world: &World) -> usize {
    std::fs::read_dir(&world.directory).unwrap().count()
}

#[test]
fn an_outcome_is_found_however_many_segments_later_it_stands() {
    let world = small();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let long = lane.open(&request(world.id(), "/long")).await.unwrap();
        let forever = lane.open(&request(world.id(), "/forever")).await.unwrap();
        for _ in 0..150 {
            pass(&world, &lane, "/short").await;
        }
        long.close(&closing(Ending::Cut));
        for _ in 0..50 {
            pass(&world, &lane, "/short").await;
        }
        lane.flush().await;
        assert!(segments(&world) > 5, "{} segments", segments(&world));
        let story = world.story();
        assert_eq!(story[..2], ["/long cut", "/forever open"]);
        assert!(story[2..].iter().all(|row| row == "/short completed"));
        let reader = world.reader();
        let newest = reader.rows(&Filter::default(), Order::NewestFirst, None).unwrap();
        assert_eq!(newest.iter().rev().map(told).collect::<Vec<_>>(), story);
        drop(forever);
        lane.flush().await;
    });
    let (_journal, recovered) = world.copy().open();
    assert_eq!(recovered.unknown, 0, "the header carries what is open, and only that");
}

#[test]
fn filters_and_limits_choose_rows() {
    let world = small();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        for number in 0..60_i64 {
            let path = format!("/v1/orders/{number}");
            let time = Timestamp::from_micros(START + number * 1_000_000);
            let subject = if number % 2 == 0 { "alice" } else { "ci" };
            let kind = if number % 2 == 0 { "user" } else { "service" };
            let asked = request(world.id(), &path);
            let asked = Request { time, subject: Some(subject), subject_kind: Some(kind), ..asked };
            if number % 10 == 9 {
                lane.refuse(&asked, "rate_limited", 429, time).await.unwrap();
            } else {
                lane.open(&asked).await.unwrap().close(&closing(Ending::Completed));
            }
        }
        lane.flush().await;
    });
    let reader = world.reader();
    let count = |filter: Filter| reader.rows(&filter, Order::OldestFirst, None).unwrap().len();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(count(Filter::default()), 60);
    assert_eq!(count(Filter { user: text("alice"), ..Filter::default() }), 30);
    assert_eq!(count(Filter { user: text("service:ci"), ..Filter::default() }), 30);
    assert_eq!(count(Filter { user: text("service:alice"), ..Filter::default() }), 0);
    assert_eq!(count(Filter { path: text("/v1/orders/5"), ..Filter::default() }), 1);
    assert_eq!(count(Filter { path: text("/v1/orders/5*"), ..Filter::default() }), 11);
    assert_eq!(count(Filter { status: Some(429), ..Filter::default() }), 6);
    assert_eq!(count(Filter { reason: text("rate_limited"), ..Filter::default() }), 6);
    assert_eq!(count(Filter { grant: text("grant_2"), ..Filter::default() }), 0);
    let (since, until) =
        (Timestamp::from_micros(START + 10_000_000), Timestamp::from_micros(START + 20_000_000));
    assert_eq!(count(Filter { since: Some(since), until: Some(until), ..Filter::default() }), 10);
    let newest = reader.rows(&Filter::default(), Order::NewestFirst, Some(3)).unwrap();
    let paths: Vec<_> = newest.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(paths, ["/v1/orders/59", "/v1/orders/58", "/v1/orders/57"]);
    assert!(reader.rows(&Filter::default(), Order::NewestFirst, Some(0)).unwrap().is_empty());
    for row in reader.rows(&Filter::default(), Order::NewestFirst, None).unwrap().iter().step_by(7) {
        assert_eq!(reader.find(row.id).unwrap().as_ref(), Some(row));
    }
    assert_eq!(
        reader.find(World::new().with(|_| {}).id()).unwrap().map(|row| row.path).as_deref(),
        Some("/v1/orders/0")
    );
}

#[test]
fn a_tail_shows_each_request_once_and_when_it_has_ended() {
    let world = small();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        let early = lane.open(&request(world.id(), "/early")).await.unwrap();
        lane.flush().await;
        let reader = world.reader();
        let mut tail = reader.follow(reader.size().unwrap());
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut look = |seen: &mut HashMap<String, u32>| {
            for event in tail.next_rows().unwrap() {
                let text = match event {
                    Event::Request(row) => told(&row),
                    Event::Change(row) => row.kind,
                    Event::Note(row) => row.kind,
                };
                *seen.entry(text).or_default() += 1;
            }
        };
        let open = lane.open(&request(world.id(), "/open")).await.unwrap();
        for number in 0..120 {
            pass(&world, &lane, "/short").await;
            if number % 3 == 0 {
                look(&mut seen);
            }
        }
        early.close(&closing(Ending::Completed));
        journal.append(change(1).into()).await.unwrap();
        lane.flush().await;
        look(&mut seen);
        assert!(segments(&world) > 3);
        let expected = [("/short completed", 120), ("/early completed", 1), ("grant_given", 1)];
        assert_eq!(seen, expected.map(|(text, count)| (text.to_owned(), count)).into());
        drop(open);
    });
}

#[test]
fn a_reader_beside_the_writer_sees_whole_leaves_in_order() {
    let world = small();
    let (journal, _) = world.open();
    let done = AtomicBool::new(false);
    let directory = world.directory.clone();
    std::thread::scope(|scope| {
        let done = &done;
        let reading = scope.spawn(move || {
            let reader = journal::Reader::open(directory).unwrap();
            let (mut leaves, mut next, mut last) = (reader.leaves(0), 0, false);
            loop {
                match leaves.next().unwrap() {
                    Some(leaf) => {
                        assert_eq!(leaf.index, next);
                        leaf.record().unwrap();
                        next += 1;
                    }
                    None if last => return next,
                    None => {
                        last = done.load(Ordering::Acquire);
                        assert!(reader.size().unwrap() >= next);
                    }
                }
            }
        });
        on_lane(&journal, async |lane| {
            for _ in 0..500 {
                let openings: Vec<_> = (0..4).map(|_| lane.open(&request(world.id(), "/a"))).collect();
                for opening in openings {
                    opening.await.unwrap().close(&closing(Ending::Completed));
                }
            }
            lane.flush().await;
        });
        done.store(true, Ordering::Release);
        assert_eq!(reading.join().unwrap(), 4001);
    });
}

#[test]
fn a_row_has_the_columns_of_the_interface_in_their_order() {
    let world = World::new();
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/a").await;
        lane.flush().await;
    });
    let text = serde_json::to_string(&world.rows()[0]).unwrap();
    let columns = "id, node, leaf, time, api, operation, method, host, path, query, subject, subject_kind, \
        credential, grant_id, role, incident, client_ip, user_agent, decision, reason, rule, revision, status, \
        upstream, upstream_status, duration_us, upstream_us, request_bytes, response_bytes, outcome, trace_id";
    let mut parts: Vec<_> = text.split("\":").collect();
    // Behind the last key there is none.
    parts.pop();
    let keys: Vec<_> = parts.iter().filter_map(|part| part.rsplit_once('"').map(|(_, key)| key)).collect();
    assert_eq!(keys.join(", "), columns);
    assert!(text.contains(r#""time":"2026-11-22T03:00:00.000000Z""#), "{text}");
    assert!(
        text.contains(r#""decision":"allow","reason":null"#) && text.contains(r#""outcome":"completed""#),
        "{text}"
    );
}

/// How many bytes this thread has read from files.
fn bytes_read() -> u64 {
    let counters = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let read = counters.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    read.parse().unwrap()
}

#[test]
fn room_that_was_only_allocated_is_not_read() {
    let world = World::new().with(|options| options.segment_bytes_max = 64 * 1024 * 1024);
    let (journal, _) = world.open();
    on_lane(&journal, async |lane| {
        pass(&world, &lane, "/a").await;
        lane.flush().await;
    });
    let before = bytes_read();
    assert_eq!(world.story(), ["/a completed"]);
    let read = bytes_read() - before;
    assert!(read < 4 * 1024 * 1024, "{read} bytes read");
}
