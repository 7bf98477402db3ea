//! TLS, toward clients and toward upstreams.

use std::process::Command;

use journal::RowOutcome;
use testkit::tls::{AUTHORITY, Authority, Front, InForce, Manner, PROXY_NAMES, Signed};
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// What curl, over OpenSSL, is answered: status, version of HTTP, and whether it believed the certificate.
async fn curl(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let port = world.node().proxy_address().port();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"])
        .arg("--cacert")
        .arg(world.root().join("ca.pem"))
        .args(["--resolve", &format!("api.example:{port}:127.0.0.1")])
        .args(arguments.iter().map(|text| text.replace("PORT", &port.to_string())));
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[tokio::test]
async fn clients_speak_either_version_of_http_over_either_version_of_tls() {
    let world = World::of(Setup::default().secured()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let shown = format!("Authorization: Bearer {}", token.secret);
    let url = "https://api.example:PORT/orders/v1/orders/7";
    for (options, answered) in [
        (&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"][..], "200 1.1"),
        (&["--http1.1", "--tlsv1.3"], "200 1.1"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], "200 2"),
        (&["--http2", "--tlsv1.3"], "200 2"),
    ] {
        let arguments = [options, &["-H", &shown, url]].concat();
        assert_eq!(curl(&world, &arguments).await, (Some(0), answered.to_owned()), "{options:?}");
    }
    assert_eq!(curl(&world, &[url]).await.1, "401 2");
    // 35: no version of TLS in common.
    assert_eq!(curl(&world, &["--tls-max", "1.1", url]).await.0, Some(35));
    assert!(world.upstream().seen().iter().all(|seen| {
        let said =
            |name: &str| seen.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        said("x-forwarded-proto").as_deref() == Some("https")
            && said("forwarded").is_some_and(|said| said.ends_with(";proto=https"))
    }));
    world.finish().await;
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_and_told_and_one_that_is_broken_off_is_not() {
    let world = World::of(Setup::default().secured()).await;
    let turned_away = async || {
        let metrics = world.metrics().await;
        let line = metrics.lines().find_map(|line| line.split_once("{why=\"handshake\"} ")).unwrap();
        line.1.to_owned()
    };
    let proxy = world.node().proxy_address();
    drop(TcpStream::connect(proxy).await.unwrap());
    let mut plain = TcpStream::connect(proxy).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let counted = async || (turned_away().await == "1").then_some(());
    eventually("the count", counted).await;
    assert!(testkit::log().contains("the TLS handshake failed count=1"), "{}", testkit::log());
    world.finish().await;
}

#[tokio::test]
async fn a_request_for_another_host_than_the_handshake_was_for_is_misdirected() {
    let world = World::of(Setup::default().secured()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let ask = Ask::get("/orders/v1/orders/7").bearer(&token.secret);
    let mut misled = world.connect_tls("localhost").await;
    let answer = misled.ask(&ask).await;
    assert_eq!((answer.status, answer.code().as_str()), (421, "misdirected"));
    assert_eq!(world.row(&answer).await.host.as_deref(), Some("api.example"));
    // The connection itself is in order, and so is one without a name in its handshake.
    assert_eq!(misled.ask(&ask).await.status, 421);
    let mut unnamed = world.connect_tls("127.0.0.1").await;
    assert_eq!(unnamed.ask(&ask).await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn whoever_does_not_shake_hands_gets_nothing_and_harms_nobody() {
    let world = World::of(Setup::default().secured()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let shown = format!("Authorization: Bearer {}", token.secret);
    let (_, said) = curl(&world, &["-H", &shown, "http://127.0.0.1:PORT/orders/v1/orders/7"]).await;
    assert_eq!(said, "000 0");
    assert_eq!(world.get(&token.secret, "/orders/v1/orders/7").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_reload_shows_new_certificates_and_keeps_what_is_open() {
    let setup = Setup::default().secured();
    let mut world = World::of(setup.clone()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    let ask = Ask::get("/orders/v1/orders/7").bearer(&token.secret);
    let mut before = world.connect().await;
    assert_eq!(before.ask(&ask).await.status, 200);

    put(&world, &AUTHORITY.sign(&["renewed.example"], InForce::Now));
    world.reload(setup.clone()).await.unwrap();
    assert_eq!(before.ask(&ask).await.status, 200);
    let address = world.node().proxy_address();
    assert!(testkit::tls::connect(address, "renewed.example", &[]).await.is_ok());
    assert!(testkit::tls::connect(address, "api.example", &[]).await.is_err());

    let stranger = Authority::stranger().sign(&PROXY_NAMES, InForce::Now);
    let own = AUTHORITY.sign(&PROXY_NAMES, InForce::Now);
    put(&world, &Signed { key: stranger.key, ..own.clone() });
    let said = world.reload(setup.clone()).await.unwrap_err();
    assert!(said.contains("the private key does not belong to the certificate"), "{said}");
    assert!(testkit::tls::connect(address, "renewed.example", &[]).await.is_ok());

    put(&world, &own);
    world.reload(setup).await.unwrap();
    world.finish().await;
}

fn put(world: &World, signed: &Signed) {
    std::fs::write(world.root().join("cert.pem"), &signed.certificate).unwrap();
    std::fs::write(world.root().join("key.pem"), &signed.key).unwrap();
}

#[tokio::test]
async fn a_stream_over_tls_is_cut_like_any_other() {
    let world = World::of(Setup::default().secured()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/events", Behavior::Events);
    world.upstream().on("/ws", Behavior::Echo);
    let mut events = world.connect().await;
    events.send(Ask::get("/plain/events").bearer(&token.secret).bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    let mut socket = world.connect().await;
    socket.send(Ask::get("/plain/ws").bearer(&token.secret).upgrade().bytes()).await;
    assert_eq!(socket.head().await.unwrap().status, 101);
    socket.send(b"hello").await;
    assert_eq!(socket.bytes().await.unwrap(), b"hello");

    let receipt = world.revoke("token", &token.id).await;
    assert_eq!((&receipt["streams"]["websocket"], &receipt["streams"]["sse"]), (&1.into(), &1.into()));
    while events.piece().await.is_some() {}
    assert!(socket.is_closed().await);
    for path in ["/events", "/ws"] {
        let row = world.row_where("the end of a stream", |row| row.path == path).await;
        assert_eq!(row.outcome, Some(RowOutcome::Cut), "{path}");
    }
    drop((events, socket));
    world.finish().await;
}

/// A world whose API `plain` is behind TLS that shows `signed`.
struct Behindhand {
    world: World,
    front: Front,
}

impl Behindhand {
    async fn start(signed: &Signed, manner: Manner, tls: &str) -> Self {
        let mut world = World::start().await;
        let front = Front::start(world.upstream().address(), signed, manner, "http/1.1").await;
        let url = format!("https://localhost:{}", front.address().port());
        let api = ApiSetup::open().behind(Behind::Url(url)).tls(tls);
        world.reload(Setup::default().api("plain", api)).await.unwrap();
        Self { world, front }
    }

    /// What a request is answered, with the detail of a refusal.
    async fn ask(&self) -> (u16, String) {
        let token = self.world.fresh_token("alice", "plain-all").await;
        let answer = self.world.get(&token.secret, "/plain/x").await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        // The row says where a request was sent.
        let address = format!("localhost:{}", self.front.address().port());
        let unsent = detail.ends_with("nothing was sent");
        assert_eq!(self.world.row(&answer).await.upstream, Some(address).filter(|_| !unsent));
        (answer.status, detail)
    }
}

const PINNED: &str = "{ ca: 'file:ca.pem' }";

#[tokio::test]
async fn an_upstream_that_proves_who_it_is_is_spoken_to() {
    let signed = AUTHORITY.sign(&["localhost"], InForce::Now);
    let behind = Behindhand::start(&signed, Manner::Open, PINNED).await;
    let token = behind.world.fresh_token("alice", "plain-all").await;
    for _ in 0..3 {
        assert_eq!(behind.world.get(&token.secret, "/plain/x").await.status, 200);
    }
    let body = "x".repeat(300_000);
    let posted = behind.world.send(&Ask::post("/plain/x", body).bearer(&token.secret)).await;
    assert_eq!(posted.status, 200);
    // Kept and used again, tickets of TLS 1.3 or not; one more where the first was made before the name's addresses were
    // known.
    assert!(behind.world.upstream().connections() <= 2);
    behind.world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_prove_who_it_is_is_sent_nothing() {
    let stranger = Authority::stranger();
    for (signed, detail) in [
        (
            stranger.sign(&["localhost"], InForce::Now),
            "the upstream's certificate is from an authority that is not trusted; nothing was sent",
        ),
        (
            AUTHORITY.sign(&["elsewhere"], InForce::Now),
            "the upstream's certificate is for another name; nothing was sent",
        ),
        (
            AUTHORITY.sign(&["localhost"], InForce::Once),
            "the upstream's certificate has expired or is not valid yet; nothing was sent",
        ),
    ] {
        let behind = Behindhand::start(&signed, Manner::Open, PINNED).await;
        assert_eq!(behind.ask().await, (502, detail.to_owned()));
        assert_eq!(behind.world.upstream().seen().len(), 0);
        behind.world.finish().await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_believed_where_the_configuration_says_so() {
    let signed = AUTHORITY.sign(&["orders.internal"], InForce::Now);
    let tls = "{ ca: 'file:ca.pem', server_name: orders.internal }";
    let behind = Behindhand::start(&signed, Manner::Open, tls).await;
    assert_eq!(behind.ask().await.0, 200);
    behind.world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_is_shown_ours() {
    let signed = AUTHORITY.sign(&["localhost"], InForce::Now);
    let own = "{ ca: 'file:ca.pem', certificate: 'file:own.pem', key: 'file:own.key' }";
    let behind = Behindhand::start(&signed, Manner::Asking, own).await;
    assert_eq!(behind.ask().await.0, 200);
    behind.world.finish().await;
    let behind = Behindhand::start(&signed, Manner::Asking, PINNED).await;
    assert_eq!(behind.ask().await.0, 502);
    behind.world.finish().await;
}

#[tokio::test]
async fn a_reload_that_trusts_another_authority_uses_no_connection_of_before() {
    let signed = AUTHORITY.sign(&["localhost"], InForce::Now);
    let mut behind = Behindhand::start(&signed, Manner::Open, PINNED).await;
    assert_eq!(behind.ask().await.0, 200);
    std::fs::write(behind.world.root().join("other.pem"), Authority::stranger().pem()).unwrap();
    let url = format!("https://localhost:{}", behind.front.address().port());
    let api = ApiSetup::open().behind(Behind::Url(url)).tls("{ ca: 'file:other.pem' }");
    behind.world.reload(Setup::default().api("plain", api)).await.unwrap();
    assert_eq!(behind.ask().await.0, 502);
    behind.world.finish().await;
}

#[tokio::test]
async fn http2_is_spoken_to_upstreams_over_tls_if_they_agree() {
    let mut world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let signed = AUTHORITY.sign(&["localhost"], InForce::Now);
    for (protocol, status) in [("h2", 200), ("http/1.1", 502)] {
        let front = Front::start(world.h2c().address(), &signed, Manner::Open, protocol).await;
        let api = ApiSetup::open().behind(Behind::Url(format!("h2://localhost:{}", front.address().port())));
        world.reload(Setup::default().api("plain", api.tls(PINNED))).await.unwrap();
        assert_eq!(world.get(&token.secret, "/plain/x").await.status, status, "{protocol}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_answer_whose_end_was_not_said_in_tls_does_not_look_whole() {
    let signed = AUTHORITY.sign(&["localhost"], InForce::Now);
    for (manner, whole, outcome) in
        [(Manner::Open, true, RowOutcome::Completed), (Manner::Abrupt, false, RowOutcome::Failed)]
    {
        let behind = Behindhand::start(&signed, manner, PINNED).await;
        behind.world.upstream().on("/x", Behavior::Raw("HTTP/1.1 200 OK\r\n\r\nas long as it lasts"));
        let token = behind.world.fresh_token("alice", "plain-all").await;
        let answer = behind.world.get(&token.secret, "/plain/x").await;
        assert_eq!((answer.status, answer.whole), (200, whole), "{manner:?}");
        assert_eq!(behind.world.row(&answer).await.outcome, Some(outcome), "{manner:?}");
        behind.world.finish().await;
    }
}
