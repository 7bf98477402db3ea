//! Upstreams: no request waits behind one that is dead, none is sent twice that must not be, and what was found out is
//! told.

use std::time::Duration;

use journal::RowOutcome;
use serde_json::Value;
use testkit::{
    Answer, ApiSetup, Ask, Behavior, Behind, Setup, Stuck, UPSTREAM_KEY, Upstream, World, eventually,
};

/// A world whose API `plain` runs at these URLs, with these limits and more lines.
async fn world(urls: Vec<String>, limits: &str, extra: &str) -> World {
    let api = ApiSetup::open().behind(Behind::Urls(urls)).limits(limits).extra(extra);
    World::of(Setup::default().api("plain", api)).await
}

/// A world with two upstreams that take what comes.
async fn world_of_two(limits: &str) -> (World, Upstream, Upstream) {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let world = world(vec![one.url(), other.url()], limits, "").await;
    world.adopt(&one);
    world.adopt(&other);
    (world, one, other)
}

/// What `status` says of the upstreams.
async fn unwell(world: &World) -> Vec<(String, String, String)> {
    let status = world.user("carol", Ask::get("/api/v1/status")).await.json();
    let text = |upstream: &Value, key: &str| upstream[key].as_str().unwrap().to_owned();
    let each =
        |upstream: &Value| (text(upstream, "upstream"), text(upstream, "state"), text(upstream, "why"));
    status["upstreams"].as_array().unwrap().iter().map(each).collect()
}

fn authority(upstream: &Upstream) -> String {
    upstream.address().to_string()
}

#[tokio::test]
async fn requests_are_spread_over_upstreams() {
    let (world, one, other) = world_of_two("{}").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for _ in 0..40 {
        let answer = world.get(&token, "/plain/x").await;
        assert_eq!(answer.status, 200);
    }
    let (one, other) = (one.seen().len(), other.seen().len());
    assert!(one > 5 && other > 5, "{one} and {other}");
    world.finish().await;
}

#[tokio::test]
async fn a_request_goes_to_the_upstream_that_has_less_under_way() {
    let (world, one, other) = world_of_two("{}").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut held = Vec::new();
    for upstream in [&one, &other] {
        upstream.on("/hold", Behavior::Silent);
    }
    for _ in 0..6 {
        let mut connection = world.connect().await;
        connection.send(Ask::get("/plain/hold").bearer(&token).bytes()).await;
        assert_eq!(connection.head().await.unwrap().status, 200);
        held.push(connection);
    }
    assert_eq!((one.seen().len(), other.seen().len()), (3, 3));
    drop(held);
    world.finish().await;
}

#[tokio::test]
async fn no_request_waits_behind_an_upstream_that_hangs_in_connecting() {
    let (stuck, well) = (Stuck::start().await, Upstream::start().await);
    let world = world(vec![stuck.url(), well.url()], "{ connect: 500ms }", "").await;
    world.adopt(&well);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let found = async || {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
        unwell(&world).await.pop()
    };
    let (_, state, why) = eventually("the upstream is found out", found).await;
    assert_eq!((state.as_str(), why.as_str()), ("unreachable", "it cannot be connected to"));
    // As many as would take 50 s if each waited.
    let all = async {
        for _ in 0..100 {
            assert_eq!(world.get(&token, "/plain/x").await.status, 200);
        }
    };
    tokio::time::timeout(Duration::from_secs(9), all).await.expect("nobody waits");
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_is_back_is_used_again_without_a_request_that_finds_out() {
    let well = Upstream::start().await;
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.set_reuseaddr(true).unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let world = world(vec![format!("http://{address}"), well.url()], "{}", "").await;
    world.adopt(&well);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let found = async || {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
        unwell(&world).await.pop()
    };
    let (name, state, _) = eventually("the upstream is found out", found).await;
    assert_eq!((name, state.as_str()), (address.to_string(), "unreachable"));
    assert!(world.metrics().await.contains("daypass_upstream_unwell{api=\"plain\""));
    drop(taken);
    let back = Upstream::start_at(address).await;
    world.adopt(&back);
    world.advance(gateway::bounds::UPSTREAM_PASSED_OVER_TIME).await;
    eventually("it is well again", async || unwell(&world).await.is_empty().then_some(())).await;
    let told = |what: &str| {
        let log = testkit::log();
        log.lines().filter(|line| line.contains(what) && line.contains(&address.to_string())).count()
    };
    assert_eq!((told("WARN"), told("an upstream is unreachable")), (1, 1), "{}", testkit::log());
    assert_eq!((told("INFO"), told("an upstream is well again")), (1, 1));
    world.advance(gateway::bounds::UPSTREAM_SLOW_START_TIME).await;
    let used = async || {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
        (!back.seen().is_empty()).then_some(())
    };
    eventually("it is used again", used).await;
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_fails_requests_in_a_row_is_passed_over() {
    for (what, behavior, why) in [
        ("503", Behavior::Answer(503, "busy"), "it answered 503"),
        ("late", Behavior::Hang, "it did not answer within its time"),
        ("closed", Behavior::Close, "it closed the connection before it answered"),
        ("garbage", Behavior::Raw("this is no HTTP\r\n\r\n"), "its answer was not valid HTTP"),
    ] {
        let (world, bad, good) = world_of_two("{ timeout: 100ms }").await;
        let token = world.fresh_token("alice", "plain-all").await.secret;
        bad.on("/x", behavior);
        let found = async || {
            // A request that must not be sent twice, so that each failure is the upstream's one.
            let ask = Ask::new("POST", "/plain/x").bearer(&token);
            world.send(&ask).await;
            unwell(&world).await.pop()
        };
        let told = eventually("the upstream is ejected", found).await;
        assert_eq!(told, (authority(&bad), "ejected".to_owned(), why.to_owned()), "{what}");
        assert!(bad.seen().len() >= 5, "{what}: {} failures are too few", bad.seen().len());
        let (seen, before) = (bad.seen().len(), good.seen().len());
        for _ in 0..20 {
            assert_eq!(world.get(&token, "/plain/x").await.status, 200, "{what}");
        }
        assert_eq!((bad.seen().len(), good.seen().len()), (seen, before + 20), "{what}");
        world.finish().await;
    }
}

/// More than enough for both of two upstreams to be ejected.
const MANY: usize = 16;

#[tokio::test]
async fn a_client_that_does_not_send_what_it_announced_has_no_upstream_ejected() {
    for (limits, behavior, status) in [
        ("{ timeout: 200ms }", Behavior::Answer(200, ""), None),
        ("{ timeout: 200ms }", Behavior::Hang, None),
        ("{ timeout: 9s, total: 200ms }", Behavior::Hang, None),
        // It did not wait for the client any longer.
        ("{ timeout: 9s }", Behavior::Refuse, Some(502)),
    ] {
        let (world, one, other) = world_of_two(limits).await;
        let token = world.fresh_token("alice", "plain-all").await.secret;
        one.on("/x", behavior.clone());
        other.on("/x", behavior.clone());
        let mut slow = Vec::new();
        for _ in 0..MANY {
            let mut connection = world.connect().await;
            let ask = Ask::new("POST", "/plain/x").bearer(&token).field("Content-Length", "100");
            connection.send(ask.bytes()).await;
            connection.send("ten bytes.").await;
            slow.push(connection);
        }
        for connection in &mut slow {
            let answer = connection.answer().await.map(|answer| answer.status);
            assert_eq!(answer, status, "{limits} {behavior:?}");
        }
        assert_eq!(unwell(&world).await, [], "{limits} {behavior:?}");
        let outcome = if status.is_some() { RowOutcome::Failed } else { RowOutcome::Abandoned };
        let recorded = async || {
            let rows = world.rows();
            let fits = |row: &&journal::RequestRow| row.path == "/x" && row.outcome == Some(outcome);
            (rows.iter().filter(fits).count() == MANY).then_some(())
        };
        eventually("a row for each", recorded).await;
        world.finish().await;
    }
}

#[tokio::test]
async fn a_callers_own_deadline_has_no_upstream_ejected() {
    let (world, one, other) = world_of_two("{ timeout: 9s }").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    one.on("/x", Behavior::Hang);
    other.on("/x", Behavior::Hang);
    for body in ["", "\0\0\0\0\0"] {
        for _ in 0..MANY {
            let ask = Ask { body: body.into(), ..Ask::new("POST", "/plain/x") };
            let ask = ask.bearer(&token).field("content-type", "application/grpc").field("te", "trailers");
            let answer = world.connect_h2().await.send(&ask.field("grpc-timeout", "1m")).await;
            assert_eq!((answer.status, answer.field("grpc-status")), (504, Some("4")));
        }
    }
    assert_eq!(unwell(&world).await, []);
    world.finish().await;
}

#[tokio::test]
async fn a_name_without_an_address_is_told_as_that_and_not_looked_up_by_requests() {
    let world = world(vec!["http://nowhere.invalid:1".to_owned()], "{ connect: 20s }", "").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for _ in 0..3 {
        let answer = world.get(&token, "/plain/x").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
        assert!(answer.text().contains("has no address"), "{}", answer.text());
    }
    let (_, state, why) = unwell(&world).await.pop().unwrap();
    assert_eq!((state.as_str(), why.as_str()), ("unreachable", "its name has no address"));
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http2_is_told_as_that() {
    let upstream = Upstream::start().await;
    let world = world(vec![format!("h2c://{}", upstream.address())], "{ connect: 1s }", "").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let answer = world.get(&token, "/plain/x").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    assert!(
        answer.text().contains("speaks HTTP/2") && answer.text().contains("http://"),
        "{}",
        answer.text()
    );
    assert_eq!(unwell(&world).await.pop().unwrap().2, "it did not show that it speaks HTTP/2");
    world.finish().await;
}

#[tokio::test]
async fn no_more_than_half_of_the_upstreams_are_passed_over_for_their_answers() {
    let (world, one, other) = world_of_two("{}").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for upstream in [&one, &other] {
        upstream.on("/x", Behavior::Answer(503, "busy"));
    }
    for _ in 0..40 {
        assert_eq!(world.get(&token, "/plain/x").await.text(), "busy");
    }
    assert_eq!(one.seen().len() + other.seen().len(), 40);
    world.finish().await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_just_then_costs_no_request_that_may_be_repeated() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/x", Behavior::CloseKept);
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let mut connection = world.connect().await;
        assert_eq!(connection.ask(&Ask::get("/plain/y").bearer(&token)).await.status, 200);
        let answer = connection.ask(&Ask::new(method, "/plain/x").bearer(&token)).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        let row = world.row(&answer).await;
        assert_eq!((row.outcome, row.upstream_status), (Some(RowOutcome::Completed), Some(200)), "{method}");
    }
    assert_eq!(world.upstream().seen_at("/x").len(), 10);
    world.finish().await;
}

#[tokio::test]
async fn what_may_have_been_done_and_must_not_be_done_twice_is_not_sent_again() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/x", Behavior::CloseKept);
    let body = Ask { body: b"all of it".to_vec(), ..Ask::new("PUT", "/plain/x") };
    for (what, ask) in [
        ("not idempotent", Ask::new("POST", "/plain/x")),
        ("not idempotent", Ask::new("PATCH", "/plain/x")),
        ("a body that was taken", body),
    ] {
        let before = world.upstream().seen_at("/x").len();
        let mut connection = world.connect().await;
        assert_eq!(connection.ask(&Ask::get("/plain/y").bearer(&token)).await.status, 200);
        let answer = connection.ask(&ask.bearer(&token)).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"), "{what}");
        assert!(answer.text().contains("it may have carried the request out"), "{what}: {}", answer.text());
        assert_eq!(world.upstream().seen_at("/x").len(), before + 1, "{what}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_request_is_sent_again_to_another_upstream() {
    let (world, bad, good) = world_of_two("{}").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    bad.on("/x", Behavior::Close);
    let repeated = async || {
        let answer = world.get(&token, "/plain/x").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (!bad.seen().is_empty()).then_some(answer)
    };
    let answer = eventually("a request that was sent twice", repeated).await;
    assert_eq!(world.row(&answer).await.upstream, Some(authority(&good)), "the last one that was tried");
    world.finish().await;
}

#[tokio::test]
async fn a_failing_upstream_is_sent_only_a_few_requests_again() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/x", Behavior::Close);
    for _ in 0..100 {
        assert_eq!(world.get(&token, "/plain/x").await.status, 502);
    }
    let again = world.upstream().seen().len() - 100;
    let most = gateway::bounds::RETRY_PERCENT + gateway::bounds::RETRIES_PER_SECOND;
    assert!((1..=most as usize).contains(&again), "{again} of 100 were sent again");
    world.finish().await;
}

const HEALTH: &str = "    health: { path: '/healthz?deep', every: 1s, timeout: 300ms, unhealthy_after: 2, healthy_after: 2 }\n";

/// Moves time on, check by check, until it is as it should be.
async fn after_checks(world: &World, what: &str, is: impl AsyncFn() -> bool) {
    let look = async || {
        world.advance(Duration::from_secs(1)).await;
        is().await.then_some(())
    };
    eventually(what, look).await;
}

#[tokio::test]
async fn an_upstream_that_fails_its_checks_is_sent_nothing() {
    let (sick, well) = (Upstream::start().await, Upstream::start().await);
    sick.on("/healthz", Behavior::Answer(500, "out of coffee"));
    let world = world(vec![sick.url(), well.url()], "{}", HEALTH).await;
    world.adopt(&sick);
    world.adopt(&well);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    after_checks(&world, "two checks", async || !unwell(&world).await.is_empty()).await;
    assert_eq!(
        unwell(&world).await,
        [(authority(&sick), "failing".to_owned(), "it answered 500".to_owned())]
    );
    for _ in 0..20 {
        assert_eq!(world.get(&token, "/plain/x").await.status, 200);
    }
    assert_eq!((sick.seen_at("/x").len(), well.seen_at("/x").len()), (0, 20));
    let check = sick.seen_at("/healthz").remove(0);
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/healthz?deep"));
    let names: Vec<_> = check.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["host", "user-agent", "connection", "authorization"]);
    assert_eq!(check.fields[3].1, UPSTREAM_KEY, "the API's own credential, and nobody else's");
    sick.on("/healthz", Behavior::Answer(204, ""));
    after_checks(&world, "two checks that pass", async || unwell(&world).await.is_empty()).await;
    world.finish().await;
}

#[tokio::test]
async fn an_api_whose_upstreams_all_fail_their_checks_is_answered_at_once() {
    let stuck = Stuck::start().await;
    let world = world(vec![stuck.url()], "{ connect: 9s }", HEALTH).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    after_checks(&world, "two checks", async || !unwell(&world).await.is_empty()).await;
    // One is tried now and then; whoever it is leaves.
    let mut trial = world.connect().await;
    trial.send(Ask::get("/plain/trial").bearer(&token).bytes()).await;
    let tried = async || world.rows().into_iter().find(|row| row.path == "/trial");
    eventually("the trial", tried).await;
    let at_once = |answer: Answer| {
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
        assert!(answer.text().contains("fails its health checks"), "{}", answer.text());
    };
    let all = async {
        for _ in 0..20 {
            at_once(world.get(&token, "/plain/x").await);
            at_once(world.connect_h2().await.send(&Ask::get("/plain/x").bearer(&token)).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(6), all).await.expect("nobody waits for a connection");
    drop(trial);
    world.finish().await;
}

#[tokio::test]
async fn checks_speak_the_upstreams_protocol() {
    let sick = Upstream::start_h2c().await;
    sick.on("/healthz", Behavior::Answer(503, ""));
    let url = format!("h2c://{}", sick.address());
    let world = world(vec![url], "{}", HEALTH).await;
    world.adopt(&sick);
    after_checks(&world, "two checks", async || !unwell(&world).await.is_empty()).await;
    sick.on("/healthz", Behavior::Answer(200, ""));
    after_checks(&world, "two checks that pass", async || unwell(&world).await.is_empty()).await;
    world.finish().await;
}

#[tokio::test]
async fn a_name_is_reached_at_whichever_of_its_addresses_answers() {
    let upstream = Upstream::start().await;
    let name = format!("localhost:{}", upstream.address().port());
    let world = world(vec![format!("http://{name}")], "{}", HEALTH).await;
    world.adopt(&upstream);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for _ in 0..20 {
        let answer = world.get(&token, "/plain/x").await;
        assert_eq!(answer.status, 200);
        assert_eq!(world.row(&answer).await.upstream.as_deref(), Some(name.as_str()));
    }
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_at_a_socket_is_reached_over_either_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let (mut http1, mut h2c) = (Upstream::start().await, Upstream::start_h2c().await);
    let (first, second) = (directory.path().join("a.sock"), directory.path().join("b.sock"));
    http1.listen_at(&first);
    h2c.listen_at(&second);
    let at = |scheme: &str, path: &std::path::Path| {
        ApiSetup::open().behind(Behind::Url(format!("{scheme}:{}", path.display()))).extra(HEALTH)
    };
    let setup = Setup::default().api("plain", at("unix", &first)).api("h2", at("unix+h2c", &second)).role(
        "all",
        &["plain:all", "h2:all"],
        &[],
    );
    let world = World::of(setup).await;
    world.adopt(&http1);
    world.adopt(&h2c);
    let token = world.fresh_token("alice", "all").await.secret;
    for (target, upstream, path) in [("/plain/x", &http1, &first), ("/h2/x", &h2c, &second)] {
        for _ in 0..3 {
            let answer = world.get(&token, target).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(world.row(&answer).await.upstream.as_deref(), path.to_str());
        }
        assert_eq!(upstream.seen_at("/x").len(), 3);
    }
    let seen = http1.seen_at("/x").remove(0);
    assert!(seen.fields.contains(&("host".to_owned(), "localhost".to_owned())), "{:?}", seen.fields);
    http1.on("/ws", Behavior::Echo);
    let mut socket = world.connect().await;
    socket.send(Ask::get("/plain/ws").bearer(&token).upgrade().bytes()).await;
    assert_eq!(socket.head().await.unwrap().status, 101);
    drop(socket);
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_takes_few_requests_at_once_gets_more_connections() {
    let narrow = Upstream::start_h2c_for(2).await;
    narrow.on("/early", Behavior::Early);
    let world = world(vec![format!("h2c://{}", narrow.address())], "{ timeout: 5s }", "").await;
    world.adopt(&narrow);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut open = Vec::new();
    for _ in 0..7 {
        let mut connection = world.connect().await;
        connection.send(Ask::get("/plain/early").bearer(&token).bytes()).await;
        assert_eq!(connection.head().await.unwrap().status, 200);
        open.push(connection);
    }
    assert_eq!(narrow.connections(), 4);
    drop(open);
    world.finish().await;
}

#[tokio::test]
async fn a_server_that_does_not_speak_http2_is_sent_nothing() {
    let silent = Upstream::start().await;
    let world = world(vec![format!("h2c://{}", silent.address())], "{ connect: 500ms }", "").await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let answer = world.send(&Ask::new("POST", "/plain/x").bearer(&token)).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    assert!(answer.text().contains("nothing of the request was sent"), "{}", answer.text());
    world.finish().await;
}
