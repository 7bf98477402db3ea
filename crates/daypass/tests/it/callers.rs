//! Who is at the other end: proxies in front that are believed, and those that are not.

use testkit::{ApiSetup, Ask, Behavior, Setup, World, eventually};

const FORWARDED: &str = "trusted_proxies: { addresses: [127.0.0.0/8, '10.0.0.7'] }";
const ANNOUNCED: &str = "trusted_proxies: { addresses: [127.0.0.1], speak: proxy_protocol }";

fn seen(world: &World, name: &str) -> Vec<String> {
    let seen = world.upstream().seen().pop().unwrap();
    let named = seen.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.clone()).collect()
}

/// The connection is closed first, and then counted.
async fn is_counted(world: &World, why: &str) {
    let line = format!("daypass_connections_refused_total{{why=\"{why}\"}} 1\n");
    eventually("it is counted", async || world.metrics().await.contains(&line).then_some(())).await;
}

#[tokio::test]
async fn nobody_is_believed_about_who_asks_unless_the_configuration_says_so() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let ask = Ask::get("/plain/x").bearer(&token).field("X-Forwarded-For", "203.0.113.7");
    let answer = world.send(&ask.field("X-Forwarded-Proto", "https")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.row(&answer).await.client_ip, "127.0.0.1");
    assert_eq!(seen(&world, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen(&world, "x-forwarded-proto"), ["http"]);
    let announced =
        world.raw("PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\nGET /plain/x HTTP/1.1\r\n\r\n").await;
    assert_eq!(announced.first().map(|answer| answer.status), Some(400));
    world.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_says_who_is_behind_it() {
    let world = World::of(Setup::default().listen(FORWARDED)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut h1 = world.connect().await;
    for (told, client) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.8, 10.0.0.7", "203.0.113.8"),
        ("forged, 2001:db8::7", "2001:db8::7"),
    ] {
        let ask = Ask::get("/plain/x").bearer(&token).field("X-Forwarded-For", told);
        let answer = h1.ask(&ask.field("X-Forwarded-Proto", "https")).await;
        assert_eq!(answer.status, 200, "{told}");
        assert_eq!(world.row(&answer).await.client_ip, client, "{told}");
        assert_eq!(seen(&world, "x-forwarded-for"), [client]);
        assert_eq!(seen(&world, "x-forwarded-proto"), ["https"]);
        assert!(seen(&world, "forwarded")[0].contains("proto=https"));
    }
    let unnamed = h1.ask(&Ask::get("/plain/x").bearer(&token)).await;
    assert_eq!(world.row(&unnamed).await.client_ip, "127.0.0.1", "it asks for itself");
    let itself = h1.ask(&Ask::get("/plain/x").bearer(&token).field("X-Forwarded-For", "127.0.0.9")).await;
    assert_eq!(world.row(&itself).await.client_ip, "127.0.0.1");
    let mut h2 = world.connect_h2().await;
    let ask = Ask::get("/plain/x").bearer(&token).field("x-forwarded-for", "203.0.113.9");
    let answer = h2.send(&ask).await;
    assert_eq!((answer.status, world.row(&answer).await.client_ip.as_str()), (200, "203.0.113.9"));
    world.finish().await;
}

#[tokio::test]
async fn a_flood_of_one_source_that_proves_nothing_is_counted_and_everybody_else_has_rows() {
    let cors = "    cors: { origins: ['https://app.example'] }\n";
    let setup = Setup::default().api("app", ApiSetup::orders().extra(cors)).listen(FORWARDED);
    let mut world = World::of(setup).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let from = |ip: &str, method: &str, target: &str| Ask::new(method, target).field("X-Forwarded-For", ip);
    let mut h1 = world.connect().await;
    for at in 0..1_000 {
        let answer = h1.ask(&from("203.0.113.7", "GET", "/plain/x")).await;
        assert_eq!(answer.code(), "credential_missing");
        assert!(answer.field("daypass-receipt").is_some(), "number {at}");
    }
    let preflight = from("203.0.113.7", "OPTIONS", "/app/v1/orders");
    let preflight =
        preflight.field("Origin", "https://app.example").field("Access-Control-Request-Method", "GET");
    for (ask, status) in [(from("203.0.113.7", "GET", "/plain/x"), 401), (preflight, 200)] {
        let answer = h1.ask(&ask).await;
        assert_eq!((answer.status, answer.field("daypass-receipt")), (status, None));
    }
    for ask in [
        from("203.0.113.8", "GET", "/plain/x"),
        from("203.0.113.7", "GET", "/plain/x").bearer(&token),
        from("203.0.113.7", "GET", "/orders/v1/orders").bearer(&token),
    ] {
        let answer = h1.ask(&ask).await;
        world.row(&answer).await;
    }
    drop(h1);
    world.stop().await;
    assert_eq!(world.counted(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_that_does_not_say_who_asks_is_refused() {
    let world = World::of(Setup::default().listen(FORWARDED)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    for (name, value) in [
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-For", "203.0.113.7:5000"),
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Proto", "https, http"),
    ] {
        let answer = world.send(&Ask::get("/plain/x").bearer(&token).field(name, value)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{name}: {value}");
        assert_eq!(world.row(&answer).await.client_ip, "127.0.0.1");
    }
    assert!(world.upstream().seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_announces_each_connections_client() {
    let mut world = World::of(Setup::default().listen(ANNOUNCED)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut connection = world.connect().await;
    connection.send("PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n").await;
    let ask = Ask::get("/plain/x").bearer(&token).field("X-Forwarded-For", "198.51.100.1");
    for _ in 0..2 {
        let answer = connection.ask(&ask).await;
        assert_eq!((answer.status, world.row(&answer).await.client_ip.as_str()), (200, "203.0.113.7"));
        assert_eq!(seen(&world, "x-forwarded-for"), ["203.0.113.7"]);
    }
    let mut silent = world.connect().await;
    silent.send(ask.bytes()).await;
    assert!(silent.answers().await.is_empty(), "a connection without its header is closed");
    is_counted(&world, "proxy_header").await;
    world.reload(Setup::default()).await.unwrap();
    assert_eq!(world.get(&token, "/plain/x").await.status, 200, "a reload changes who is believed");
    world.finish().await;
}

#[tokio::test]
async fn one_source_cannot_have_more_connections_than_it_may() {
    let world = World::of(Setup::default().listen("connections_per_source: 2")).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let ask = Ask::get("/plain/x").bearer(&token);
    let (mut first, mut second) = (world.connect().await, world.connect().await);
    assert_eq!((first.ask(&ask).await.status, second.ask(&ask).await.status), (200, 200));
    let mut third = world.connect().await;
    third.send(ask.bytes()).await;
    assert!(third.answers().await.is_empty(), "it is closed");
    is_counted(&world, "source").await;
    let told = async || testkit::log().contains("as many are open as one source may have").then_some(());
    eventually("it is told", told).await;
    let open = async || world.metrics().await.contains("daypass_connections_open 2\n").then_some(());
    eventually("two are open", open).await;
    drop(first);
    let answered = async || {
        let mut connection = world.connect().await;
        connection.send(ask.bytes()).await;
        connection.answer().await.map(|answer| answer.status)
    };
    assert_eq!(eventually("a free place", answered).await, 200);
    assert_eq!(second.ask(&ask).await.status, 200, "what was open goes on");
    world.finish().await;
}

#[tokio::test]
async fn clients_leave_room_for_upstreams_and_an_upstream_is_not_blamed_for_want_of_it() {
    let world = World::of(Setup::default().descriptors(4)).await;
    world.upstream().on("/silent", Behavior::Silent);
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let (ask, silent) = (Ask::get("/plain/x").bearer(&token), Ask::get("/plain/silent").bearer(&token));
    let (mut held, mut second, mut third) =
        (world.connect().await, world.connect().await, world.connect().await);
    held.send(silent.bytes()).await;
    let asked = async || world.upstream().seen_at("/silent").pop();
    eventually("the upstream holds an answer open", asked).await;
    let refused = second.ask(&ask).await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "upstream_unreachable"));
    let text = refused.text();
    assert!(text.contains("as many connections open as it may; nothing of the request was sent"), "{text}");
    assert_eq!(world.row(&refused).await.reason.as_deref(), Some("upstream_unreachable"));
    let mut fourth = world.connect().await;
    fourth.send(ask.bytes()).await;
    assert!(fourth.answers().await.is_empty(), "three clients are as many as there may be: it is closed");
    drop(held);
    let answered = async || (third.ask(&ask).await.status == 200).then_some(());
    eventually("room for an upstream", answered).await;
    world.finish().await;
}
