//! The protocols on both sides: connections kept, pipelined and multiplexed; bodies streamed; clients that leave.

use std::process::Command;
use std::time::Duration;

use journal::RowOutcome;
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World, eventually};

/// More than the buffers of two sockets and a proxy between them hold, in bytes.
const MORE_THAN_BUFFERS: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_connection_is_kept_for_many_requests_and_survives_refusals() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let mut connection = world.connect().await;
    for _ in 0..5 {
        assert_eq!(connection.ask(&Ask::get("/orders/v1/orders/7").bearer(&token)).await.status, 200);
        assert_eq!(connection.ask(&Ask::get("/orders/v1/orders/7")).await.status, 401);
        let denied = Ask::post("/orders/v1/orders", "{\"a\": 1}").bearer(&token);
        assert_eq!(connection.ask(&denied).await.status, 403);
    }
    assert_eq!(world.upstream().connections(), 1, "the upstream's connection is kept, too");
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_request_ends_an_answer_that_came_before() {
    let api = ApiSetup::open().limits("{ concurrency: 1 }");
    let world = World::of(Setup::default().api("plain", api)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/silent", Behavior::Silent);
    for framing in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut connection = world.connect().await;
        let head =
            format!("POST /plain/silent HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{framing}");
        connection.send(head).await;
        let answer = connection.head().await.unwrap();
        assert_eq!(answer.status, 200, "{framing}");
        drop(connection);
        assert_eq!(world.row(&answer).await.outcome, Some(RowOutcome::Abandoned), "{framing}");
    }
    // However much it asked for meanwhile.
    let mut connection = world.connect().await;
    connection.send(Ask::get("/plain/silent").bearer(&token).bytes()).await;
    let answer = connection.head().await.unwrap();
    connection.send(Ask::get("/plain/x").bearer(&token).bytes().repeat(200)).await;
    drop(connection);
    assert_eq!(world.row(&answer).await.outcome, Some(RowOutcome::Abandoned));
    let metrics = world.metrics().await;
    assert!(metrics.contains("daypass_requests_abandoned_total{api=\"plain\"} 3\n"), "{metrics}");
    assert_eq!(world.get(&token, "/plain/x").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn what_comes_behind_an_answer_that_only_promised_a_body_reaches_nobody() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for (path, answer) in [
        ("/head", "HTTP/1.1 200 OK\r\ncontent-length: 38\r\n\r\n"),
        ("/chunked", "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("/none", "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        world.upstream().on(path, Behavior::Stray(answer));
        let ask = Ask::new("HEAD", &format!("/plain{path}")).bearer(&token);
        let mut connection = world.connect().await;
        connection.ask(&ask).await;
        assert!(connection.ask(&ask).await.status < 400);
    }
    let connections: Vec<_> = world.upstream().seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 2, 3, 4, 5, 5], "only the last can be used again");
    world.finish().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_with_its_own_answer() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/b", Behavior::Chunked(&["b", "bb", "bbb"]));
    let asks = ["/plain/a", "/plain/b", "/nothing", "/plain/c"].map(|target| Ask::get(target).bearer(&token));
    let mut connection = world.connect().await;
    connection.send(asks.iter().flat_map(Ask::bytes).collect::<Vec<_>>()).await;
    let mut came = Vec::new();
    for _ in 0..4 {
        let answer = connection.answer().await.unwrap();
        came.push((answer.status, answer.text().chars().take(3).collect::<String>()));
    }
    let [first, second, third, fourth] = &came[..] else { panic!("{came:?}") };
    assert_eq!((first.0, second, third.0, fourth.0), (200, &(200, "bbb".to_owned()), 404, 200));
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_judged_like_http1() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let mut connection = world.connect_h2().await;
    for (ask, status) in [
        (Ask::get("/orders/v1/orders/7?a=b").bearer(&token), 200),
        (Ask::get("/orders/v1/orders/7"), 401),
        (Ask::post("/orders/v1/orders", "{}").bearer(&token), 403),
        (Ask::get("/orders/v1/none").bearer(&token), 404),
        (Ask::get("/orders/v1/%2e%2e").bearer(&token), 400),
        (Ask::get("/orders/v1/orders/7").bearer(&token).field("daypass_subject", "user:eve"), 400),
        (Ask::get("/orders/v1/orders/7").bearer(&token).field("daypass-subject", "user:eve"), 200),
        (Ask::get("/orders/v1/orders/7").bearer(&token).field("authorization", "Bearer x"), 400),
    ] {
        let answer = connection.send(&ask).await;
        assert_eq!(answer.status, status, "{ask:?}: {}", answer.text());
        assert_eq!(world.row(&answer).await.status, Some(status));
    }
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_may_speak_http2() {
    let world = World::of(Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c)).role(
        "h2-all",
        &["h2:all"],
        &[],
    ))
    .await;
    let token = world.fresh_token("alice", "h2-all").await.secret;
    for number in 0..3 {
        let answer = world.send(&Ask::post("/h2/things", format!("body {number}")).bearer(&token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let seen = world.h2c().seen();
    let bodies: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect();
    assert_eq!(bodies, ["body 0", "body 1", "body 2"]);
    assert_eq!(world.h2c().connections(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_upload_is_never_asked_to_continue() {
    let world =
        World::of(Setup::default().api("plain", ApiSetup::open().limits("{ request_body: 1KiB }"))).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let upload = |length: &str| {
        Ask::new("POST", "/plain/x").field("Expect", "100-continue").field("Content-Length", length)
    };
    for (ask, status) in [(upload("5"), 401), (upload("2000").bearer(&token), 413)] {
        let mut connection = world.connect().await;
        connection.send(ask.bytes()).await;
        assert_eq!(connection.head().await.unwrap().status, status);
        assert_eq!(connection.interim(), 0, "an upload that is refused was asked for");
        while connection.piece().await.is_some() {}
    }
    let mut connection = world.connect().await;
    connection.send(upload("5").bearer(&token).bytes()).await;
    let interim = connection.bytes().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&interim), "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("hello").await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert_eq!(world.upstream().seen()[0].body, b"hello");
    assert!(testkit::wire::field(&world.upstream().seen()[0].fields, "expect").is_none());
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn a_body_larger_than_any_buffer_passes_both_ways() {
    let world =
        World::of(Setup::default().api("plain", ApiSetup::open().limits("{ request_body: 1GiB }"))).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let bytes = 8 * 1024 * 1024;
    let answer = world.send(&Ask::post("/plain/up", vec![b'u'; bytes]).bearer(&token)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.row(&answer).await.request_bytes, Some(bytes as u64));
    assert_eq!(world.upstream().seen_at("/up")[0].body_bytes, bytes as u64);
    world.upstream().on("/down", Behavior::Huge(bytes as u64));
    let answer = world.get(&token, "/plain/down").await;
    assert_eq!((answer.body.len(), answer.whole), (bytes, true));
    assert_eq!(world.row(&answer).await.response_bytes, Some(bytes as u64));
    world.finish().await;
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_held_back() {
    let world = World::of(
        Setup::default().api("plain", ApiSetup::open().limits("{ request_body: 1GiB, timeout: 1s }")),
    )
    .await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let mut connection = world.connect().await;
    let length = MORE_THAN_BUFFERS.to_string();
    let head = Ask::new("POST", "/plain/hang").bearer(&token).field("Content-Length", &length).bytes();
    connection.send(head).await;
    let taken = connection.offer(&vec![b'x'; MORE_THAN_BUFFERS], Duration::from_millis(500)).await;
    assert!(!taken, "64 MiB were taken that nobody had asked for");
    drop(connection);
    // While the body is held back the client is not read from: that it left is found out by the timeout.
    let row = world.row_where("the upload was given up", |row| row.path == "/hang").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Failed), Some("upstream_timeout")));
    world.finish().await;
}

#[tokio::test]
async fn a_download_waits_for_a_slow_reader() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/huge", Behavior::Huge(1 << 40));
    let mut connection = world.connect().await;
    connection.send(Ask::get("/plain/huge").bearer(&token).bytes()).await;
    assert_eq!(connection.head().await.unwrap().status, 200);
    let sent = stalled(&world).await;
    assert!(sent < MORE_THAN_BUFFERS as u64, "{sent} bytes were buffered for a client that reads nothing");
    drop(connection);
    world.row_where("the download was given up", |row| row.outcome == Some(RowOutcome::Abandoned)).await;
    world.finish().await;
}

/// How much the upstream has sent once it can send no more.
pub(crate) async fn stalled(world: &World) -> u64 {
    let mut before = 0;
    eventually("the upstream is held back", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sent = world.upstream().seen_at("/huge")[0].sent_bytes;
        let same = sent > 0 && sent == std::mem::replace(&mut before, sent);
        same.then_some(sent)
    })
    .await
}

#[tokio::test]
async fn a_client_that_hangs_up_while_waiting_is_recorded_as_gone() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let mut connection = world.connect().await;
    connection.send(Ask::get("/plain/hang").bearer(&token).bytes()).await;
    eventually("the upstream hangs", async || world.upstream().seen_at("/hang").pop()).await;
    drop(connection);
    let row = world.row_where("the client left", |row| row.path == "/hang").await;
    assert_eq!((row.outcome, row.status), (Some(RowOutcome::Abandoned), None));
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let two =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    world.upstream().on("/two", Behavior::Stray(two));
    for _ in 0..10 {
        assert_eq!(world.get(&token, "/plain/two").await.text(), "ok");
        assert_eq!(world.get(&token, "/plain/own").await.text(), "{\"ok\":true}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_upload_that_goes_on_after_its_answer_holds_up_nobody() {
    let world = World::of(Setup::default().api("plain", ApiSetup::open().limits("{ timeout: 2s }"))).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/early", Behavior::Early);
    let mut slow = world.connect().await;
    slow.send(Ask::new("POST", "/plain/early").bearer(&token).field("Content-Length", "1000").bytes()).await;
    slow.send("only the beginning").await;
    assert_eq!(slow.answer().await.unwrap().text(), "early");
    for _ in 0..3 {
        let answer = world.get(&token, "/plain/neighbor").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    drop(slow);
    world.finish().await;
}

#[tokio::test]
async fn a_websocket_passes_bytes_both_ways_and_counts_them() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/ws", Behavior::Echo);
    let mut connection = world.connect().await;
    connection.send(Ask::get("/plain/ws").bearer(&token).upgrade().bytes()).await;
    let switched = connection.head().await.unwrap();
    assert_eq!((switched.status, switched.field("upgrade")), (101, Some("websocket")));
    connection.send("hello").await;
    assert_eq!(connection.bytes().await.unwrap(), b"hello");
    connection.finish().await;
    assert!(connection.is_closed().await);
    let row = world.row(&switched).await;
    assert_eq!((row.outcome, row.status), (Some(RowOutcome::Completed), Some(101)));
    assert_eq!((row.request_bytes, row.response_bytes), (Some(5), Some(5)));
    world.finish().await;
}

#[tokio::test]
async fn a_neighbor_is_answered_while_others_misbehave() {
    let world = World::of(Setup::default().cores(2)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let mut others = Vec::new();
    for number in 0..60 {
        let mut connection = world.connect().await;
        match number % 3 {
            0 => connection.send("GET /plain/x HTTP/1.1\r\nHost: a\r\nX-Slow: ").await,
            1 => connection.send(Ask::get("/plain/hang").bearer(&token).bytes()).await,
            _ => connection.send("PRI").await,
        }
        others.push(connection);
    }
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
    }
    let each = began.elapsed() / 20;
    assert!(each < Duration::from_millis(100), "a neighbor waited {each:?}");
    drop(others);
    world.finish().await;
}

/// What a world's life leaves behind in its process: open files and threads, as `/proc` counts them.
fn footprint() -> (usize, usize) {
    let count = |directory: &str| std::fs::read_dir(directory).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

async fn one_of_each(world: &World, token: &str) {
    assert_eq!(world.get(token, "/plain/x").await.status, 200);
    assert_eq!(world.get("nobody", "/plain/x").await.status, 401);
    world.raw("GET /plain/.. HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.raw("no HTTP\r\n\r\n").await;
    let mut leaving = world.connect().await;
    leaving.send(Ask::get("/plain/hang").bearer(token).bytes()).await;
    let mut half = world.connect().await;
    half.send("POST /plain/x HTTP/1.1\r\nContent-Le").await;
}

#[tokio::test]
async fn a_bounded_loop_of_requests_of_every_kind() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    for _ in 0..20 {
        one_of_each(&world, &token).await;
    }
    let before = settled().await;
    for _ in 0..100 {
        one_of_each(&world, &token).await;
    }
    let after = settled().await;
    // Other tests of this process have files of their own: only a run by itself is judged, below.
    println!(
        "growth: {} files, {} threads",
        after.0.saturating_sub(before.0),
        after.1.saturating_sub(before.1)
    );
    world.finish().await;
}

/// The footprint once it stays the same for a while.
async fn settled() -> (usize, usize) {
    let mut before = (0, 0);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = footprint();
        if now == std::mem::replace(&mut before, now) {
            return now;
        }
    }
    before
}

#[test]
fn nothing_grows_over_a_bounded_loop() {
    let own = "protocol::a_bounded_loop_of_requests_of_every_kind";
    let this = std::env::current_exe().unwrap();
    let run = Command::new(this).args(["--exact", own, "--nocapture", "--test-threads=1"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}");
    let growth = said.lines().find(|line| line.contains("growth: ")).unwrap_or_else(|| panic!("{said}"));
    let numbers: Vec<usize> = growth
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert!(numbers.len() == 2 && numbers.iter().all(|grown| *grown <= 4), "{growth}");
}

#[tokio::test]
async fn requests_go_to_whichever_upstream_can_be_connected_to() {
    let mut world = World::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = format!("http://{nobody}', 'http://{}", world.upstream().address());
    let api = ApiSetup::open().behind(Behind::Url(urls));
    world.reload(Setup::default().api("plain", api)).await.unwrap();
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for _ in 0..10 {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
    }
    assert_eq!(world.upstream().seen().len(), 10);
    world.finish().await;
}

#[tokio::test]
async fn nothing_follows_a_body_that_an_upstream_may_not_read() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let smuggled = "DELETE /secret HTTP/1.1\r\nHost: x\r\nDaypass-Subject: user:admin\r\n\r\n";
    for (asked, method) in ["GET", "HEAD", "OPTIONS", "DELETE"].into_iter().enumerate() {
        let ask = Ask { method: method.into(), ..Ask::post("/plain/x", smuggled) }.bearer(&token);
        assert_eq!(world.send(&ask).await.status, 200, "{method}");
        let seen = world.upstream().seen().pop().unwrap();
        let closes = |(name, value): &(String, String)| name == "connection" && value == "close";
        assert!(seen.fields.iter().any(closes), "{method}: {:?}", seen.fields);
        assert_eq!(world.upstream().connections(), asked as u64 + 1, "{method} shares no connection");
    }
    for _ in 0..2 {
        assert_eq!(world.send(&Ask::post("/plain/x", "{}").bearer(&token)).await.status, 200);
    }
    assert_eq!(world.upstream().connections(), 5, "where a body means something, the connection is kept");
    world.finish().await;
}
