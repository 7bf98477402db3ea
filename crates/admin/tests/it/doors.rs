//! Who gets in, what every answer carries, and what happens at the bounds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use admin::Listener;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::story::Callers;
use crate::world::{World, within};

async fn whoami(world: &World, headers: HeaderMap) -> (u16, Value) {
    let asked = reqwest::Client::new().get(format!("{}/api/v1/whoami", world.tcp)).headers(headers);
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn shown(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("authorization", value.parse().unwrap());
    }
    headers
}

#[test]
fn only_one_session_in_force_is_let_in_at_the_console_listener() {
    within(|world| async {
        let mut callers = Callers::default();
        let session = callers.session(&world, "alice").await;
        let bearer = format!("Bearer {session}");
        let (status, caller) = whoami(&world, shown(&[&bearer])).await;
        assert_eq!((status, &caller["subject"]), (200, &json!("user:alice")));
        let (cut, token) = (bearer.get(..bearer.len() - 1).unwrap(), bearer.replace("dpc_", "dpt_"));
        let refused =
            [vec![], vec![&*bearer, &*bearer], vec![cut], vec![&*token], vec!["Basic YTpi"], vec![&*session]];
        for values in refused {
            let (status, problem) = whoami(&world, shown(&values)).await;
            assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "{values:?}");
            assert!(!problem.to_string().contains(&session), "the answer repeats the session");
        }
        let mut cookie = HeaderMap::new();
        cookie.insert("cookie", format!("session={session}").parse().unwrap());
        assert_eq!(whoami(&world, cookie).await.0, 401);
        world.pass(Duration::from_secs(12 * 3_600));
        assert_eq!(whoami(&world, shown(&[&bearer])).await.0, 401, "it has ended");
        world
    });
}

#[test]
fn every_answer_forbids_caching_sniffing_framing_and_scripts() {
    within(|world| async {
        for path in ["/", "/livez", "/nothing", "/api/v1/whoami", "/api/openapi.json"] {
            let answer = reqwest::get(format!("{}{path}", world.tcp)).await.unwrap();
            let headers = answer.headers();
            assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["cache-control"], "no-store", "{path}");
            assert_eq!(headers["daypass-console"], "1", "{path}");
            assert!(
                !headers.contains_key("access-control-allow-origin") && !headers.contains_key("set-cookie")
            );
        }
        world
    });
}

#[test]
fn metrics_are_served_as_open_metrics() {
    within(|world| async {
        let answer = reqwest::get(format!("{}/metrics", world.tcp)).await.unwrap();
        assert!(
            answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text")
        );
        assert_eq!(answer.text().await.unwrap(), "# EOF\n");
        world
    });
}

#[test]
fn a_peer_at_the_socket_is_judged_by_their_number_before_a_byte_is_read() {
    within(|mut world| async {
        let path = world.directory.path().join("stranger.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // A test that runs as root is let in anywhere; any other user is a stranger here.
        let own = UnixStream::pair().unwrap().0.peer_cred().unwrap().uid();
        let name_of: admin::NameOf = Arc::new(|_| None);
        world.serve(Listener::Socket { listener, own_uid: own.wrapping_add(1), name_of });
        let mut peer = UnixStream::connect(&path).await.unwrap();
        let asked =
            peer.write_all(b"GET /api/v1/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let read = peer.read_to_end(&mut answer).await;
        let text = String::from_utf8(answer).unwrap();
        if own == 0 {
            assert!(text.contains("local:uid-0"), "root is let in, and named by number: {text}");
        } else {
            let broken = |fault: io::Error| fault.kind() == io::ErrorKind::BrokenPipe;
            assert!(asked.map_or_else(broken, |()| true) && text.is_empty() && read.is_ok());
        }
        world
    });
}

#[test]
fn bodies_and_heads_beyond_their_bounds_are_refused() {
    within(|world| async {
        let long = json!({ "user": "a".repeat(admin::json::BODY_BYTES_MAX) });
        let asked = world.over_socket().post("http://localhost/api/v1/sessions").json(&long);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
        let asked = reqwest::Client::new().get(format!("{}/livez", world.tcp));
        let answer = asked.header("x-long", "a".repeat(admin::serve::HEAD_BYTES_MAX)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 431);
        world
    });
}

#[test]
fn members_and_parameters_that_are_not_known_are_refused() {
    within(|world| async {
        let socket = world.over_socket();
        let body = json!({ "user": "alice", "admin": true });
        let answer = socket.post("http://localhost/api/v1/sessions").json(&body).send().await.unwrap();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`admin`"));
        for query in ["usr=alice", "user=a&user=b", "since=yesterday", "limit=0", "order=random", "status=x"]
        {
            let asked = socket.get(format!("http://localhost/api/v1/audit/requests?{query}"));
            assert_eq!(asked.send().await.unwrap().status().as_u16(), 400, "{query}");
        }
        world
    });
}

#[test]
fn a_fifth_search_at_once_is_told_to_come_back() {
    within(|world| async {
        // 4 MB of rows: more than the pieces read ahead and the socket's buffers hold.
        crate::story::record_many(&world, 6_000).await;
        let mut searches = Vec::new();
        for _ in 0..admin::console::SEARCHES_MAX {
            let mut search = UnixStream::connect(world.socket()).await.unwrap();
            search.write_all(b"GET /api/v1/audit/requests HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut status = [0; 12];
            search.read_exact(&mut status).await.unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            searches.push(search);
        }
        let fifth = || world.over_socket().get("http://localhost/api/v1/audit/requests?limit=1").send();
        let answer = fifth().await.unwrap();
        assert_eq!(answer.status().as_u16(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        drop(searches);
        while fifth().await.unwrap().status().as_u16() != 200 {
            tokio::task::yield_now().await;
        }
        world
    });
}

#[test]
fn every_reading_of_the_journal_is_a_note_in_it() {
    within(|mut world| async {
        let mut callers = Callers::default();
        let id = "01ad4b6c-9c80-7000-8000-000000000000";
        for path in
            ["audit/requests?user=alice&limit=5", "audit/changes", &format!("explain/{id}"), "journal/stream"]
        {
            callers.send(&mut world, "alice", "GET", &format!("/api/v1/{path}"), None).await;
        }
        let events = journal::Reader::open(world.journal.directory()).unwrap().follow(0).next_rows().unwrap();
        let notes = events.into_iter().filter_map(|event| match event {
            journal::Event::Note(note) if note.actor.as_deref() == Some("user:alice") => Some(note),
            _ => None,
        });
        let notes: Vec<_> = notes.map(|note| format!("{} {}", note.kind, note.detail)).collect();
        let expected = [
            r#"search_requests {"user":"alice","limit":5,"order":"newest"}"#.to_owned(),
            r#"search_changes {"order":"newest"}"#.to_owned(),
            format!(r#"explain_request {{"id":"{id}"}}"#),
            r#"follow_requests {"leaf":6}"#.to_owned(),
        ];
        assert_eq!(notes, expected);
        world
    });
}

#[test]
fn a_revoked_session_ends_its_live_stream() {
    within(|mut world| async {
        let mut callers = Callers::default();
        let session = callers.session(&world, "carol").await;
        let asked = reqwest::Client::new().get(format!("{}/api/v1/journal/stream", world.tcp));
        let mut stream = asked.bearer_auth(&session).send().await.unwrap();
        crate::story::record(&world, "alice", "/v1/orders/7", "200").await;
        let event = stream.chunk().await.unwrap().unwrap();
        let event = String::from_utf8(event.to_vec()).unwrap();
        assert!(
            event.starts_with("event: request\ndata: {\"id\":") && event.contains("/v1/orders/7"),
            "{event}"
        );
        let body = r#"{"user":"carol","reason":"lost laptop"}"#;
        let revoked = callers.send(&mut world, "dora", "POST", "/api/v1/revocations", Some(body)).await;
        assert_eq!(revoked.status().as_u16(), 200);
        assert!(stream.chunk().await.unwrap().is_none(), "the stream goes on");
        world
    });
}

#[test]
fn a_console_that_stops_lets_requests_finish_and_ends_streams() {
    within(|mut world| async {
        let mut callers = Callers::default();
        let mut stream = callers.send(&mut world, "carol", "GET", "/api/v1/journal/stream", None).await;
        world.stop_listening();
        assert!(stream.chunk().await.unwrap().is_none(), "the stream goes on");
        world.listened().await;
        let address = world.tcp.strip_prefix("http://").unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "it still listens");
        world
    });
}
