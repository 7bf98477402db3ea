//! Framing: where messages end, on both sides, and what becomes of a connection whose message has no one end.

use std::time::Duration;

use journal::RowOutcome;
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A text that lives as long as the tests.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn what_an_upstream_sends_behind_an_answer_without_a_body_reaches_nobody() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let text = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 6\r\n\r\nstolen");
        world.upstream().on("/none", Behavior::Stray(leaked(text)));
        for _ in 0..5 {
            let answer = world.send(&Ask::new(method, "/plain/none").bearer(&token)).await;
            assert_eq!((answer.text().as_str(), answer.status), ("", status));
            assert_eq!(world.get(&token, "/plain/own").await.text(), "{\"ok\":true}", "after {status}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn interim_answers_are_read_over_up_to_a_bound() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for (count, status) in [(1, 200), (16, 200), (17, 502)] {
        world.upstream().on("/hints", Behavior::Raw(leaked(format!("{}{last}", interim.repeat(count)))));
        assert_eq!(world.get(&token, "/plain/hints").await.status, status, "{count} interim answers");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_upstreams_answer_with_two_readings_is_malformed() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for (what, head) in [
        (
            "a length beside chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        ("another coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n"),
        ("a signed length", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n"),
        ("a bare line feed", "HTTP/1.1 200 OK\r\nx: y\ncontent-length: 2\r\n\r\n"),
        ("a folded field", "HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 2\r\n\r\n"),
        ("another version", "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\n"),
    ] {
        world
            .upstream()
            .on("/two", Behavior::Stray(leaked(format!("{head}okHTTP/1.1 200 OK\r\n\r\nstolen"))));
        let answer = world.get(&token, "/plain/two").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_malformed"), "{what}");
        assert_eq!(world.row(&answer).await.outcome, Some(RowOutcome::Failed), "{what}");
        assert_eq!(world.get(&token, "/plain/own").await.text(), "{\"ok\":true}", "after {what}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_old_client_is_told_an_answers_end_by_its_connections() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/b", Behavior::Chunked(&["b", "bb", "bbb"]));
    let head = format!("GET /plain/b HTTP/1.0\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let answers = world.raw(head).await;
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("bbbbbb", None));
    assert_eq!(answer.field("connection"), Some("close"));
    world.finish().await;
}

#[tokio::test]
async fn a_body_whose_chunks_have_two_readings_ends_its_connection() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let head = Ask::new("POST", "/plain/x").bearer(&token).field("Transfer-Encoding", "chunked").bytes();
    let hidden = "GET /plain/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for body in
        ["5\r\nhello0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\n"]
    {
        let answers = world.raw([&head[..], body.as_bytes(), hidden.as_bytes()].concat()).await;
        let [answer] = &answers[..] else { panic!("{body:?}: {answers:?}") };
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{body:?}");
        let row = world.row(answer).await;
        assert_eq!((row.outcome, row.status), (Some(RowOutcome::Failed), Some(400)), "{body:?}");
    }
    assert!(world.upstream().seen_at("/hidden").is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_connection_whose_client_asks_for_its_end_is_closed_and_not_waited_for() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for (credential, status) in [(token.as_str(), "200"), ("nobody", "401")] {
        let mut client = TcpStream::connect(world.node().proxy_address()).await.unwrap();
        let ask = Ask::get("/plain/own").bearer(credential).field("connection", "close");
        client.write_all(&ask.bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains("connection: close"));
        // To a socket that is closed nothing can be sent; one that is waited for takes it.
        let mut closed = false;
        for _ in 0..10 {
            closed = closed || client.write_all(b"x").await.is_err();
            world.get(&token, "/plain/own").await;
        }
        assert!(closed, "{status}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_refused_body_is_read_over_if_it_is_short_and_ends_its_connection_if_not() {
    let world = World::start().await;
    for (bytes, kept) in [(60_000, true), (70_000, false)] {
        let mut connection = world.connect().await;
        let refused = connection.ask(&Ask::post("/plain/x", vec![b'x'; bytes])).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.field("connection"), if kept { None } else { Some("close") });
        if kept {
            assert_eq!(connection.ask(&Ask::get("/plain/x")).await.status, 401);
        } else {
            assert!(connection.is_closed().await);
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn no_websocket_is_opened_over_an_upstream_that_speaks_http2() {
    let setup = Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c));
    let world = World::of(setup.role("h2-all", &["h2:all"], &[])).await;
    let token = world.fresh_token("alice", "h2-all").await.secret;
    let answer = world.send(&Ask::get("/h2/ws").bearer(&token).upgrade()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "upgrade_refused"));
    let row = world.row(&answer).await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Failed), Some("upgrade_refused")));
    assert_eq!(row.upstream, None, "the row says where a request was sent");
    assert_eq!(world.h2c().connections(), 0);
    world.finish().await;
}

#[tokio::test]
async fn trailers_take_nothing_of_the_body_with_them_whatever_is_spoken_on_either_side() {
    let setup = Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c));
    let world = World::of(setup.role("both", &["h2:all", "plain:all"], &[])).await;
    let token = world.fresh_token("alice", "both").await.secret;
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    world.upstream().on("/sum", Behavior::Stray(answer));
    let ask = Ask::get("/plain/sum").bearer(&token);
    assert_eq!(world.send(&ask).await.text(), "hello world");
    let mut connection = world.connect_h2().await;
    assert_eq!(connection.send(&ask).await.text(), "hello world");
    drop(connection);
    let upload = Ask::new("POST", "/h2/sum").bearer(&token).field("Transfer-Encoding", "chunked").bytes();
    let mut connection = world.connect().await;
    connection.send([&upload[..], b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"].concat()).await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert_eq!(world.h2c().seen()[0].body, b"hello world");
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn a_short_body_buys_its_request_no_more_time() {
    let world =
        World::of(Setup::default().api("plain", ApiSetup::open().limits("{ timeout: 1500ms }"))).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let began = tokio::time::Instant::now();
    let answer = world.send(&Ask::post("/plain/hang", "x").bearer(&token)).await;
    let took = began.elapsed();
    assert_eq!(answer.code(), "upstream_timeout");
    assert!((Duration::from_millis(1_500)..Duration::from_millis(2_900)).contains(&took), "{took:?}");
    let row = world.row(&answer).await;
    assert!(row.upstream.is_some(), "where it went is known though no answer came");
    world.finish().await;
}

fn over_http2() -> Setup {
    Setup::default().api("h2", ApiSetup::open().behind(Behind::H2c)).role("h2-all", &["h2:all"], &[])
}

#[tokio::test]
async fn a_body_where_none_may_be_is_passed_to_nobody() {
    let world = World::of(over_http2()).await;
    let token = world.fresh_token("alice", "h2-all").await.secret;
    let hidden = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    for status in [204, 304] {
        world.h2c().on("/none", Behavior::Answer(status, hidden));
        let mut connection = world.connect().await;
        let asks = ["/h2/none", "/h2/own"].map(|target| Ask::get(target).bearer(&token).bytes());
        connection.send(asks.concat()).await;
        assert_eq!(connection.answer().await.unwrap().status, status);
        assert_eq!(connection.answer().await.unwrap().text(), "{\"ok\":true}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_upload_over_http2_ends_with_the_access_behind_it_though_its_answer_has_begun() {
    let world = World::of(over_http2()).await;
    let token = world.fresh_token("alice", "h2-all").await;
    world.h2c().on("/early", Behavior::Early);
    let mut connection = world.connect().await;
    let upload = Ask::new("POST", "/h2/early").bearer(&token.secret).field("Transfer-Encoding", "chunked");
    connection.send([&upload.bytes()[..], b"5\r\nfirst\r\n"].concat()).await;
    assert_eq!(connection.head().await.unwrap().status, 200);
    assert_eq!(connection.piece().await.as_deref(), Some(&b"early"[..]));
    eventually("the first chunk", async || (world.h2c().seen()[0].body == b"first").then_some(())).await;
    world.revoke("token", &token.id).await;
    for _ in 0..20 {
        // The proxy may have closed the connection already.
        connection.offer(b"5\r\nlater\r\n", Duration::from_millis(20)).await;
    }
    assert_eq!(world.h2c().seen()[0].body, b"first", "the upload went on after its access ended");
    let row = world.row_where("the upload's end", |row| row.path == "/early").await;
    assert_eq!((row.outcome, row.request_bytes), (Some(RowOutcome::Cut), Some(5)));
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_came_before_its_upload_was_taken_is_given() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/early", Behavior::Early);
    for body in [&b"0\r\n\r\n"[..], b"5\r\nhello\r\n0\r\n\r\n"] {
        let mut connection = world.connect().await;
        let upload = Ask::new("POST", "/plain/early").bearer(&token).field("Transfer-Encoding", "chunked");
        connection.send(upload.bytes()).await;
        eventually("the head", async || world.upstream().seen_at("/early").pop()).await;
        connection.send(body).await;
        assert_eq!(connection.answer().await.unwrap().text(), "early");
        drop(connection);
    }
    assert_eq!(world.upstream().seen_at("/early").len(), 2, "a request was sent twice");
    world.finish().await;
}
