//! Certificates of the listeners from an ACME authority: `pebble`.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::pebble::{Pebble, Way};
use testkit::{Ask, Setup, World, eventually};

use super::cli::daypass;
use super::serving::Server;

const NAME: &str = "api.example";

/// A certificate for two names from an authority, beside one of a file for `daypass`.
fn setup(directory: &str) -> Setup {
    Setup::default().tls(&format!(
        "acme: {{ directory: '{directory}', domains: [{NAME}, www.example], contact: ['mailto:ops@example.com'], ca: 'file:ca.pem' }},
         others: [{{ certificate: 'file:own.pem', key: 'file:own.key' }}]"
    ))
}

async fn status(world: &World) -> Value {
    world.admin(Ask::get("/api/v1/status")).await.json()
}

/// Why the last order failed, once one has at another time than `before`.
async fn failure(world: &World, before: &Value) -> (Value, String) {
    eventually("a failed order", async || {
        let failed = status(world).await["acme"]["failed"].clone();
        let why = failed["why"].as_str()?.to_owned();
        (failed != *before).then_some((failed, why))
    })
    .await
}

/// The certificate that a client is shown for a name; `None` if it is not let in, or does not believe it.
async fn shown(proxy: SocketAddr, pebble: &Pebble, name: &str) -> Option<Vec<u8>> {
    let connected = testkit::tls::connect_with(pebble.trusting("http/1.1"), proxy, name).await;
    Some(connected.ok()?.get_ref().1.peer_certificates()?.first()?.to_vec())
}

/// What somebody sees who offers `acme-tls/1` and asks for something: of the handshake, and of any answer.
async fn look(listener: SocketAddr, name: &'static str) -> String {
    let looking = move || {
        let ask = format!("GET /orders/v1/orders/7 HTTP/1.1\r\nHost: {name}\r\n\r\n");
        let (address, alpn) = (listener.to_string(), "acme-tls/1");
        told(
            &["s_client", "-alpn", alpn, "-ign_eof", "-servername", name, "-connect", &address],
            ask.as_bytes(),
        )
    };
    // The console is served by this thread.
    tokio::task::spawn_blocking(looking).await.unwrap()
}

/// What `openssl` tells that is told something.
fn told(arguments: &[&str], input: &[u8]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut openssl = openssl.spawn().unwrap();
    // It may have ended by then.
    let _ = openssl.stdin.take().unwrap().write_all(input);
    String::from_utf8_lossy(&openssl.wait_with_output().unwrap().stdout).into_owned()
}

/// A value of `/metrics`.
async fn metric(world: &World, name: &str) -> Option<f64> {
    let metrics = world.admin(Ask::get("/metrics")).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

async fn orders(world: &World) -> [Option<f64>; 2] {
    let count =
        async |outcome| metric(world, &format!("daypass_acme_orders_total{{outcome=\"{outcome}\"}}")).await;
    [count("issued").await, count("failed").await]
}

/// Waits for the certificate that the names lead to.
async fn issued(world: &World, pebble: &Pebble) -> Vec<u8> {
    let proxy = world.node().proxy_address();
    pebble.lead(Way::To(proxy));
    eventually("a certificate", async || shown(proxy, pebble, NAME).await).await
}

/// Ends a world in which clients need not believe the authority.
async fn finish(mut world: World) {
    world.reload(Setup::default().secured()).await.unwrap();
    assert_eq!(orders(&world).await, [None; 2]);
    assert_eq!(status(&world).await["acme"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn nobody_is_let_in_before_the_first_certificate_but_who_looks_at_the_proof() {
    let mut pebble = Pebble::start().await;
    let world = World::of(setup(&pebble.url())).await;
    let (proxy, console) = (world.node().proxy_address(), world.node().console_address());
    pebble.looks().await;
    assert_eq!(shown(proxy, &pebble, NAME).await, None);
    for listener in [proxy, console] {
        assert!(testkit::tls::connect(listener, NAME, &["http/1.1"]).await.is_err());
        let other = testkit::tls::connect(listener, "daypass", &["http/1.1"]).await;
        assert!(other.is_ok(), "a certificate from a file is there from the start");
    }
    let said = status(&world).await;
    assert_eq!((&said["ready"], &said["acme"]["failed"]), (&false.into(), &Value::Null));
    assert!(said["why"][0].as_str().unwrap().contains("no certificate was issued"), "{said}");

    let seen = look(proxy, NAME).await;
    assert!(seen.contains("ALPN protocol: acme-tls/1") && !seen.contains("HTTP/1.1"), "{seen}");
    let proof = told(&["x509", "-noout", "-text"], seen.as_bytes());
    assert!(proof.contains("1.3.6.1.5.5.7.1.31: critical") && proof.contains("DNS:api.example"), "{proof}");
    for (listener, name) in [(proxy, "daypass"), (proxy, "x.example"), (console, NAME)] {
        let seen = look(listener, name).await;
        assert!(!seen.contains("BEGIN CERTIFICATE"), "{seen}");
    }

    let certificate = issued(&world, &pebble).await;
    assert_eq!(shown(proxy, &pebble, "www.example").await, Some(certificate.clone()));
    assert_eq!(shown(console, &pebble, NAME).await, Some(certificate));
    assert!(testkit::tls::connect(proxy, "daypass", &["h2"]).await.is_ok());
    let seen = look(proxy, NAME).await;
    assert!(!seen.contains("BEGIN CERTIFICATE"), "a proof is shown during an order alone: {seen}");
    let said = status(&world).await;
    assert_eq!((&said["ready"], said["certificates"].as_array().unwrap().len()), (&true.into(), 2), "{said}");
    let ask = Ask::get("/orders/v1/orders/7").bearer(&world.service("ci", &["orders-viewer"]).await.secret);
    assert_eq!(world.connect_over(pebble.trusting("http/1.1")).await.ask(&ask).await.status, 200);

    let kept = world.data().join("acme");
    for (name, mode) in [("", 0o700), ("account.json", 0o600), ("certificate.json", 0o600)] {
        let found = fs::metadata(kept.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    assert_eq!(fs::read_dir(kept).unwrap().count(), 2);
    finish(world).await;
}

#[tokio::test]
async fn a_certificate_that_is_kept_is_shown_until_it_is_renewed_whatever_the_authority_does() {
    let mut pebble = Pebble::start().await;
    let setup = setup(&pebble.url());
    let mut world = World::of(setup.clone()).await;
    let first = issued(&world, &pebble).await;
    let trusting = pebble.trusting("http/1.1");
    world.reload(setup.clone()).await.unwrap();
    assert_eq!(orders(&world).await, [Some(1.0), Some(0.0)]);
    pebble.stop();
    world.restart().await;
    let proxy = world.node().proxy_address();
    let now = async |world: &World| {
        let connected =
            testkit::tls::connect_with(trusting.clone(), world.node().proxy_address(), NAME).await;
        connected.ok().and_then(|tls| Some(tls.get_ref().1.peer_certificates()?.first()?.to_vec()))
    };
    assert_eq!(now(&world).await.as_ref(), Some(&first));
    let said = status(&world).await;
    assert_eq!((&said["ready"], &said["acme"]["failed"]), (&true.into(), &Value::Null), "{said}");

    let due: jiff::Timestamp = said["acme"]["next"].as_str().unwrap().parse().unwrap();
    let ahead = due.as_microsecond() - testkit::time::START.as_micros();
    world.advance(Duration::from_micros(u64::try_from(ahead).unwrap())).await;
    let mut open = world.connect_over(trusting.clone()).await;
    let ask = Ask::get("/orders/v1/orders/7").bearer(&world.service("ci", &["orders-viewer"]).await.secret);
    assert_eq!(open.ask(&ask).await.status, 200);
    let (failed, why) = failure(&world, &Value::Null).await;
    assert!(why.contains("Connection refused"), "{why}");
    assert_eq!(now(&world).await.as_ref(), Some(&first));
    assert_eq!(orders(&world).await, [Some(0.0), Some(1.0)]);

    // One that has lost what it knew is not asked for another account.
    pebble.forget().await;
    pebble.lead(Way::To(proxy));
    world.advance(Duration::from_secs(301)).await;
    let (_, why) = failure(&world, &failed).await;
    assert!(
        why.contains("does not know this account") && why.contains("acme/account.json` and reload"),
        "{why}"
    );
    fs::remove_file(world.data().join("acme/account.json")).unwrap();
    world.reload(setup).await.unwrap();
    let renewed = eventually("another certificate", async || shown(proxy, &pebble, NAME).await).await;
    assert_ne!(renewed, first);
    assert_eq!(open.ask(&ask).await.status, 200, "a connection that is open goes on");
    let said = status(&world).await;
    assert_eq!(said["acme"]["failed"], Value::Null, "{said}");
    assert_eq!(orders(&world).await, [Some(1.0), Some(2.0)]);
    drop(open);
    finish(world).await;
}

#[tokio::test]
async fn an_order_that_fails_says_what_is_in_the_way_and_is_tried_again() {
    let pebble = Pebble::start().await;
    pebble.lead(Way::Closed);
    let mut world = World::of(setup(&pebble.url())).await;
    let (failed, why) = failure(&world, &Value::Null).await;
    assert!(why.contains("the authority refused the order: `") && why.contains("`api.example`: "), "{why}");
    let said = status(&world).await;
    assert!(said["acme"]["next"].as_str() > failed["at"].as_str(), "{said}");
    assert_eq!(shown(world.node().proxy_address(), &pebble, NAME).await, None);

    let nobody = format!("{}/no", pebble.url());
    world.reload(setup(&nobody)).await.unwrap();
    let (failed, why) = failure(&world, &failed).await;
    assert!(why.contains("the authority gives no account"), "{why}");
    let stranger = testkit::tls::Authority::stranger().pem();
    fs::write(world.root().join("ca.pem"), stranger).unwrap();
    world.reload(setup(&pebble.url())).await.unwrap();
    let (_, why) = failure(&world, &failed).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    fs::copy(pebble.ca(), world.root().join("ca.pem")).unwrap();
    pebble.lead(Way::To(world.node().proxy_address()));
    world.reload(setup(&pebble.url())).await.unwrap();
    issued(&world, &pebble).await;
    finish(world).await;
}

fn run(directory: &Path, arguments: &[&str]) -> Value {
    let output = daypass(directory, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn who_takes_over_goes_on_with_what_is_kept_and_with_an_order_under_way() {
    let (mut pebble, directory) = (Pebble::start().await, TempDir::new().unwrap());
    let text = format!(
        "listen: {{ proxy: '127.0.0.1:0', console: '127.0.0.1:0', drain: 1s, tls: {{ acme: {{
  directory: '{}', domains: [{NAME}], ca: 'file:{}' }} }} }}
apis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}\n",
        pebble.url(),
        pebble.ca().display()
    );
    fs::write(directory.path().join("daypass.yaml"), text).unwrap();
    let mut server = Server::start(directory.path());
    let proxy = server.said().split("proxy=https://").nth(1).unwrap();
    let proxy: SocketAddr = proxy.split(' ').next().unwrap().parse().unwrap();
    pebble.looks().await;
    server.upgrade();
    pebble.looks().await;
    pebble.lead(Way::To(proxy));
    let first = eventually("a certificate", async || shown(proxy, &pebble, NAME).await).await;
    assert_eq!(server.ended(), Some(0));
    let trusting = pebble.trusting("http/1.1");
    let before = run(directory.path(), &["status", "-o", "json"]);
    let told = String::from_utf8(daypass(directory.path(), &["status"]).stdout).unwrap();
    assert!(told.contains(&format!("acme           {NAME} from {}, next order at ", pebble.url())), "{told}");

    pebble.stop();
    server.upgrade();
    let again = testkit::tls::connect_with(trusting, proxy, NAME).await.unwrap();
    assert_eq!(again.get_ref().1.peer_certificates().unwrap()[0].as_ref(), first);
    let after = run(directory.path(), &["status", "-o", "json"]);
    assert_eq!(after["acme"], before["acme"]);
    assert_eq!(after["acme"]["failed"], Value::Null);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_kept_is_not_ordered_again_to_keep_it() {
    let pebble = Pebble::start().await;
    pebble.lead(Way::Closed);
    let setup = setup(&pebble.url());
    let mut world = World::of(setup.clone()).await;
    let (failed, _) = failure(&world, &Value::Null).await;
    let in_the_way = world.data().join("acme/certificate.json.new");
    fs::create_dir(&in_the_way).unwrap();
    pebble.lead(Way::To(world.node().proxy_address()));
    world.reload(setup.clone()).await.unwrap();
    let (mut failed, why) = failure(&world, &failed).await;
    assert!(why.contains("cannot be kept in the data directory"), "{why}");
    for _ in 0..2 {
        world.advance(Duration::from_secs(1)).await;
        world.reload(setup.clone()).await.unwrap();
        failed = failure(&world, &failed).await.0;
    }
    assert_eq!(orders(&world).await, [Some(1.0), Some(1.0)]);
    fs::remove_dir(&in_the_way).unwrap();
    world.reload(setup).await.unwrap();
    let kept = async || status(&world).await["acme"]["failed"].is_null().then_some(());
    eventually("it is kept", kept).await;
    assert!(world.data().join("acme/certificate.json").exists());
    assert_eq!(orders(&world).await, [Some(1.0), Some(1.0)]);
    finish(world).await;
}
