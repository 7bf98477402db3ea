//! Answers without an end, and answers that break off.

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::World;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Reads a head, and leaves what follows it.
async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "{head}");
    }
    head
}

/// Reads one unmasked frame of a length below 126: its first byte and its text.
async fn frame(stream: &mut BufReader<TcpStream>) -> (u8, String) {
    let mut start = [0; 2];
    stream.read_exact(&mut start).await.unwrap();
    assert!(start[1] < 126, "{start:?}");
    let mut text = vec![0; start[1].into()];
    stream.read_exact(&mut text).await.unwrap();
    (start[0], String::from_utf8(text).unwrap())
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

#[tokio::test]
async fn a_counted_websocket_feed_tells_the_orders_in_turn_and_closes() {
    let world = World::start().await;
    let mut stream = BufReader::new(world.raw("/v1/feed/ws?count=2&interval_ms=1", UPGRADE).await);
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    for sequence in 1..=2 {
        let (kind, text) = frame(&mut stream).await;
        assert_eq!(kind, TEXT);
        assert!(text.starts_with(&format!(r#"{{"sequence":{sequence},"order":{sequence},"#)), "{text}");
    }
    assert_eq!(frame(&mut stream).await.0, CLOSE);
}

#[tokio::test]
async fn a_websocket_echoes_what_it_is_told() {
    let world = World::start().await;
    let mut stream = BufReader::new(world.raw("/v1/feed/ws?interval_ms=60000", UPGRADE).await);
    head(&mut stream).await;
    // A masked text frame, with a mask of zeros (RFC 6455, section 5.2).
    stream.write_all(&[TEXT, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let texts = [frame(&mut stream).await.1, frame(&mut stream).await.1];
    assert!(texts.contains(&r#"{"echo":"hi"}"#.to_owned()), "{texts:?}");
}

#[tokio::test]
async fn counted_events_come_to_an_end() {
    let world = World::start().await;
    let response = world.request("GET /v1/feed/events?count=3&interval_ms=1").send().await.unwrap();
    let text = response.text().await.unwrap();
    assert_eq!(text.matches("event: order\n").count(), 3, "{text}");
    assert!(text.contains(r#"data: {"sequence":3,"order":3,"#), "{text}");
}

#[tokio::test]
async fn stopping_cuts_every_open_answer() {
    let mut world = World::start().await;
    let mut feed = BufReader::new(world.raw("/v1/feed/ws?interval_ms=60000", UPGRADE).await);
    let mut events = BufReader::new(world.raw("/v1/feed/events?interval_ms=60000", "").await);
    let mut hanging = world.raw("/v1/debug/fail?mode=hang", "").await;
    assert!(head(&mut feed).await.starts_with("HTTP/1.1 101 "));
    assert!(head(&mut events).await.starts_with("HTTP/1.1 200 "));
    world.stop().await;

    let mut rest = Vec::new();
    let _ = feed.read_to_end(&mut rest).await;
    let _ = events.read_to_end(&mut rest).await;
    let mut nothing = Vec::new();
    let _ = hanging.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_feed() {
    let world = World::start().await;
    // More than there are places for, one after the other.
    for _ in 0..super::super::FEEDS_MAX + 1 {
        let mut stream = BufReader::new(world.raw("/v1/feed/ws?count=1", UPGRADE).await);
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        frame(&mut stream).await;
        frame(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn an_answer_breaks_off_as_asked() {
    let world = World::start().await;
    let mut stream = BufReader::new(world.raw("/v1/debug/fail?mode=reset", "").await);
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 1024\r\n"), "{head}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, [b'.'; 64]);
}

#[tokio::test]
async fn http_2_is_answered_without_tls() {
    let world = World::start().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let url = format!("http://{}/v1/health", world.address);
    let request = http::Request::get(url).body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status(), response.version()), (http::StatusCode::OK, http::Version::HTTP_2));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"status":"ok","orders":200}"#);
}
