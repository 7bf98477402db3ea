//! Certificates of clients as credentials, and revocation lists.

use std::time::Duration;

use journal::{RequestRow, RowOutcome};
use testkit::client::{Answer, Conn};
use testkit::clients::{CLIENTS, ClientCertificate, LATER, config, id};
use testkit::tls::{AUTHORITY, Authority, InForce, PROXY_NAMES, Signed};
use testkit::{Ask, Behavior, Setup, World};

const ORDER: &str = "/orders/v1/orders/7";

fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

fn named(row: &RequestRow) -> [&str; 4] {
    [&row.subject, &row.credential, &row.grant_id, &row.role].map(|text| text.as_deref().unwrap_or("-"))
}

#[tokio::test]
async fn a_certificate_gives_what_its_subject_holds_over_either_version_of_http() {
    let world = World::of(Setup::default().asking()).await;
    let (alice, ci) = (
        world.certify("alice", &["orders-viewer", "plain-all"]),
        world.certify("service:ci", &["plain-all"]),
    );
    let ask = Ask::get(ORDER);
    let nothing = world.send_as(&alice, &ask).await;
    assert_eq!(said(&nothing), (403, "operation_not_allowed".into()));
    assert!(nothing.json()["next"].as_str().unwrap().contains("daypass grant orders-"), "{}", nothing.text());
    let unknown = world.send_as(&ci, &Ask::get("/plain/x")).await;
    assert_eq!(said(&unknown), (401, "credential_invalid".into()));

    let (orders, plain) =
        (world.grant("alice", "orders-viewer", "1h").await, world.grant("alice", "plain-all", "1h").await);
    world.service("ci", &["plain-all"]).await;
    let first = world.send_as(&alice, &ask).await;
    let mut shared = world.connect_h2_as(&alice).await;
    let (second, third) = (shared.send(&ask).await, shared.send(&Ask::get("/plain/x")).await);
    assert_eq!([first.status, second.status, third.status], [200; 3]);
    for (answer, grant, role) in [
        (&first, &orders, "orders-viewer"),
        (&second, &orders, "orders-viewer"),
        (&third, &plain, "plain-all"),
    ] {
        assert_eq!(named(&world.row(answer).await), ["alice", &id(&alice), &grant.id, role]);
    }
    assert_eq!(shared.send(&Ask::post("/orders/v1/orders", "{}")).await.code(), "operation_not_allowed");
    let service = world.send_as(&ci, &Ask::get("/plain/x")).await;
    assert_eq!(
        (service.status, named(&world.row(&service).await)),
        (200, ["ci", &id(&ci), "-", "plain-all"])
    );
    drop(shared);
    world.finish().await;
}

#[tokio::test]
async fn a_certificate_for_nobody_known_is_refused_with_a_row() {
    let world = World::of(Setup::default().asking()).await;
    let uris = |uris: &[&str]| ClientCertificate {
        uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        ..ClientCertificate::of("alice")
    };
    for (certificate, subject) in [
        (ClientCertificate::of("mallory"), None),
        (ClientCertificate::of("service:alice"), None),
        (ClientCertificate::of("Alice Smith"), None),
        (ClientCertificate::of(""), None),
        (uris(&["daypass://user/alice", "daypass://user/bob"]), None),
        (uris(&["daypass://user/mallory"]), None::<&str>),
    ] {
        let signed = certificate.sign(&CLIENTS, 1);
        let answer = world.send_as(&signed, &Ask::get(ORDER)).await;
        assert_eq!(said(&answer), (401, "credential_invalid".into()), "{certificate:?}");
        let row = world.row(&answer).await;
        assert_eq!((row.subject.as_deref(), row.credential), (subject, Some(id(&signed))), "{certificate:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn without_a_certificate_tokens_go_on_and_with_one_both_are_of_one_subject() {
    let world = World::of(Setup::default().asking()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    assert_eq!(world.get(&token.secret, ORDER).await.status, 200);
    assert_eq!(world.send(&Ask::get(ORDER)).await.code(), "credential_missing");
    let (alice, bob) = (world.certify("alice", &[]), world.certify("bob", &[]));
    let shown = Ask::get(ORDER).bearer(&token.secret);
    let both = world.send_as(&alice, &shown).await;
    assert_eq!((both.status, world.row(&both).await.credential), (200, Some(token.id)));
    // What the token gives counts, not all that its holder has.
    world.grant("alice", "plain-all", "1h").await;
    let narrow = world.send_as(&alice, &Ask::get("/plain/x").bearer(&token.secret)).await;
    assert_eq!(narrow.code(), "operation_not_allowed");
    assert_eq!(said(&world.send_as(&bob, &shown).await), (400, "request_malformed".into()));
    let mistyped = world.send_as(&alice, &Ask::get(ORDER).bearer("dpt_wrong")).await;
    assert_eq!(mistyped.code(), "credential_invalid");
    world.finish().await;
}

#[tokio::test]
async fn what_the_authorities_do_not_vouch_for_gets_no_connection() {
    let setup =
        Setup::default().secured_with(", client_ca: 'file:clients.pem', client_crl: ['file:clients.crl']");
    let mut world = World::of(Setup::default().asking()).await;
    let own = ClientCertificate::of("alice");
    let (good, revoked) = (own.sign(&CLIENTS, 1), own.sign(&CLIENTS, 2));
    assert!(world.takes(&good).await && world.takes(&revoked).await);
    assert!(!world.takes(&own.sign(&Authority::stranger(), 1)).await);
    assert!(!world.takes(&own.clone().for_servers().sign(&CLIENTS, 1)).await);
    let past = ClientCertificate { until: (2026, 11, 22), ..own.clone() };
    assert!(!world.takes(&past.sign(&CLIENTS, 1)).await, "three hours ago, by the node's clock");

    list(&world, &CLIENTS.revoke(&[2], LATER));
    world.reload(setup.clone()).await.unwrap();
    assert!(world.takes(&good).await && !world.takes(&revoked).await);
    list(&world, &Authority::stranger().revoke(&[2], LATER));
    world.reload(setup.clone()).await.unwrap();
    assert!(!world.takes(&good).await, "no list covers it");
    list(&world, &CLIENTS.revoke(&[], (2026, 11, 22)));
    world.reload(setup).await.unwrap();
    assert!(!world.takes(&good).await, "the list has had its time");
    // Whoever shows none is none the worse.
    let token = world.fresh_token("alice", "orders-viewer").await;
    assert_eq!(world.get(&token.secret, ORDER).await.status, 200);
    world.finish().await;
}

fn list(world: &World, pem: &str) {
    std::fs::write(world.root().join("clients.crl"), pem).unwrap();
}

/// Server-sent events over a connection with a certificate.
async fn events(world: &World, own: &Signed) -> Conn {
    world.upstream().on("/events", Behavior::Events);
    let mut events = world.connect_as(own).await;
    events.send(Ask::get("/plain/events").bytes()).await;
    assert_eq!(events.head().await.unwrap().status, 200);
    events
}

async fn ends(mut events: Conn, world: &World, why: &str) {
    while events.piece().await.is_some() {}
    let row = world.row_where("the end of a stream", |row| row.path == "/events").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some(why)));
}

#[tokio::test]
async fn revocation_reaches_what_was_opened_with_a_certificate() {
    for (what, name) in [("user", "alice"), ("role", "plain-all"), ("api", "plain"), ("grant", "")] {
        let world = World::of(Setup::default().asking()).await;
        let alice = world.certify("alice", &["plain-all"]);
        let grant = world.grant("alice", "plain-all", "1h").await;
        let events = events(&world, &alice).await;
        let receipt = world.revoke(what, if what == "grant" { &grant.id } else { name }).await;
        assert_eq!(receipt["streams"]["sse"], 1, "{what}");
        ends(events, &world, "grant_ended").await;
        assert_eq!(world.send_as(&alice, &Ask::get("/plain/x")).await.code(), "operation_not_allowed");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_service_keeps_its_streams_over_a_new_key_and_loses_them_when_it_is_removed() {
    let world = World::of(Setup::default().asking()).await;
    let ci = world.certify("service:ci", &["plain-all"]);
    world.service("ci", &["plain-all"]).await;
    let events = events(&world, &ci).await;
    let rotated =
        world.admin(testkit::console::post("/api/v1/services/ci/rotate", &serde_json::json!({}))).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(world.send_as(&ci, &Ask::get("/plain/x")).await.status, 200);
    assert_eq!(world.revoke_all().await["streams"]["sse"], 1);
    ends(events, &world, "credential_revoked").await;
    assert_eq!(world.send_as(&ci, &Ask::get("/plain/x")).await.code(), "credential_revoked");
    world.finish().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_grant_that_opened_it_and_when_its_role_goes() {
    let mut world = World::of(Setup::default().asking()).await;
    let alice = world.certify("alice", &["plain-all", "orders-viewer"]);
    world.grant("alice", "plain-all", "1h").await;
    world.grant("alice", "orders-viewer", "7d").await;
    let opened = events(&world, &alice).await;
    world.advance(Duration::from_secs(3_601)).await;
    ends(opened, &world, "grant_ended").await;
    assert_eq!(world.send_as(&alice, &Ask::get(ORDER)).await.status, 200);

    let mut again = world.connect_as(&alice).await;
    world.upstream().on("/v1/orders/8", Behavior::Events);
    again.send(Ask::get("/orders/v1/orders/8").bytes()).await;
    assert_eq!(again.head().await.unwrap().status, 200);
    let fewer = Setup::default().asking().without_api("orders").api("orders", testkit::ApiSetup::orders());
    world.reload(fewer.role("orders-other", &["orders:read"], &[])).await.unwrap();
    while again.piece().await.is_some() {}
    let row = world.row_where("the end of a stream", |row| row.path == "/v1/orders/8").await;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(RowOutcome::Cut), Some("operation_not_allowed")));
    drop(again);
    world.finish().await;
}

#[tokio::test]
async fn an_expired_certificate_ends_its_streams_and_its_connection() {
    let world = World::of(Setup::default().asking()).await;
    let alice =
        ClientCertificate { until: (2026, 11, 23), ..ClientCertificate::of("alice") }.sign(&CLIENTS, 1);
    world.expect_certificate(&alice, "alice", &["plain-all"]);
    world.grant("alice", "plain-all", "7d").await;
    let token = world.fresh_token("alice", "plain-all").await;
    let mut kept = world.connect_as(&alice).await;
    let mut shared = world.connect_h2_as(&alice).await;
    assert_eq!(kept.ask(&Ask::get("/plain/x")).await.status, 200);
    assert_eq!(shared.send(&Ask::get("/plain/x")).await.status, 200);
    let events = events(&world, &alice).await;
    world.advance(Duration::from_secs(21 * 3_600 + 1)).await;
    ends(events, &world, "credential_expired").await;
    // A token does not make up for it.
    let refused = kept.ask(&Ask::get("/plain/x").bearer(&token.secret)).await;
    assert_eq!(said(&refused), (401, "credential_expired".into()));
    assert_eq!(world.row(&refused).await.credential, Some(id(&alice)));
    assert!(kept.is_closed().await);
    assert_eq!(said(&shared.send(&Ask::get("/plain/x")).await), (401, "credential_expired".into()));
    assert!(shared.is_closed().await);
    assert!(!world.takes(&alice).await);
    drop((kept, shared));
    world.finish().await;
}

#[tokio::test]
async fn a_new_list_reaches_open_connections_and_their_streams() {
    let listed = |world: &World, serials: &[u64]| list(world, &CLIENTS.revoke(serials, LATER));
    let setup =
        Setup::default().secured_with(", client_ca: 'file:clients.pem', client_crl: ['file:clients.crl']");
    let mut world = World::of(Setup::default().asking()).await;
    listed(&world, &[]);
    world.reload(setup.clone()).await.unwrap();
    let (alice, ci) =
        (world.certify("alice", &["plain-all"]), ClientCertificate::of("service:ci").sign(&CLIENTS, 2));
    world.expect_certificate(&ci, "service:ci", &["plain-all"]);
    world.grant("alice", "plain-all", "1h").await;
    world.service("ci", &["plain-all"]).await;
    let mut kept = world.connect_as(&alice).await;
    let (mut shared, mut other) = (world.connect_h2_as(&alice).await, world.connect_as(&ci).await);
    let ask = Ask::get("/plain/x");
    assert_eq!(
        [kept.ask(&ask).await.status, shared.send(&ask).await.status, other.ask(&ask).await.status],
        [200; 3]
    );
    let events = events(&world, &alice).await;

    listed(&world, &[1]);
    world.reload(setup).await.unwrap();
    ends(events, &world, "credential_revoked").await;
    for refused in [kept.ask(&ask).await, shared.send(&ask).await] {
        assert_eq!(said(&refused), (401, "credential_revoked".into()));
        assert_eq!(named(&world.row(&refused).await)[..2], ["alice", &id(&alice)]);
    }
    assert!(kept.is_closed().await && shared.is_closed().await);
    assert_eq!(other.ask(&ask).await.status, 200);

    world.reload(Setup::default().secured()).await.unwrap();
    assert_eq!(
        said(&other.ask(&ask).await),
        (401, "credential_invalid".into()),
        "none are asked for any more"
    );
    assert!(other.is_closed().await);
    drop((kept, shared, other));
    world.finish().await;
}

#[tokio::test]
async fn a_list_that_has_had_its_time_refuses_who_came_before() {
    let setup =
        Setup::default().secured_with(", client_ca: 'file:clients.pem', client_crl: ['file:clients.crl']");
    let mut world = World::of(Setup::default().asking()).await;
    list(&world, &CLIENTS.revoke(&[], (2026, 11, 23)));
    world.reload(setup).await.unwrap();
    let alice = world.certify("alice", &["plain-all"]);
    world.grant("alice", "plain-all", "7d").await;
    let mut kept = world.connect_as(&alice).await;
    assert_eq!(kept.ask(&Ask::get("/plain/x")).await.status, 200);
    let events = events(&world, &alice).await;
    world.advance(Duration::from_secs(21 * 3_600)).await;
    ends(events, &world, "credential_invalid").await;
    assert_eq!(kept.ask(&Ask::get("/plain/x")).await.code(), "credential_invalid");
    drop(kept);
    world.finish().await;
}

#[tokio::test]
async fn a_resumed_session_proves_its_certificate_anew() {
    let mut world = World::of(Setup::default().asking()).await;
    let alice =
        ClientCertificate { until: (2026, 11, 23), ..ClientCertificate::of("alice") }.sign(&CLIENTS, 1);
    world.expect_certificate(&alice, "alice", &["plain-all"]);
    world.grant("alice", "plain-all", "7d").await;
    let (ask, client) = (Ask::get("/plain/x"), config(Some(&alice), "http/1.1"));
    assert!(!world.resumes(&client).await && world.resumes(&client).await);
    assert_eq!(world.connect_over(client.clone()).await.ask(&ask).await.status, 200, "a ticket is no less");
    world.reload(Setup::default().asking()).await.unwrap();
    assert!(!world.resumes(&client).await && world.resumes(&client).await, "tickets end with a reload");
    // Its ticket outlives the certificate.
    world.advance(Duration::from_secs(21 * 3_600)).await;
    let refused = world.connect_over(client.clone()).await.ask(&ask).await;
    assert_eq!(said(&refused), (401, "credential_expired".into()));
    world.finish().await;
}

#[tokio::test]
async fn nothing_of_a_certificate_reaches_the_upstream() {
    let world = World::of(Setup::default().asking()).await;
    let alice = world.certify("alice", &["plain-all"]);
    world.grant("alice", "plain-all", "1h").await;
    let names = [
        "X-Forwarded-Client-Cert",
        "X-SSL-Client-Cert",
        "X-SSL-Client-S-DN",
        "SSL-Client-Verify",
        "SSL_CLIENT_CERT",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Client-Cert",
        "X-Client-Certificate",
        "X-Client-Verify",
        "X-Client-DN",
        "X-TLS-Client-Cert",
        "X-ARR-ClientCert",
        "X-Amzn-Mtls-Clientcert",
        "X-SSL",
    ];
    for name in names {
        let answer = world.send_as(&alice, &Ask::get("/plain/x").field(name, "CN=bob")).await;
        assert_eq!(answer.status, if name.contains('_') { 400 } else { 200 }, "{name}");
    }
    assert!(world.upstream().seen().iter().all(|seen| {
        seen.fields.iter().all(|(name, value)| {
            let name = name.to_ascii_lowercase();
            !value.contains("CN=bob") && !name.contains("cert") && !name.contains("ssl")
        })
    }));
    world.finish().await;
}

#[tokio::test]
async fn status_and_metrics_tell_how_long_the_listeners_certificates_last() {
    let mut world = World::of(Setup::default().secured()).await;
    let status =
        async |world: &World| world.admin(Ask::get("/api/v1/status")).await.json()["certificates"].clone();
    let shown = status(&world).await;
    assert_eq!(shown[0]["hosts"], serde_json::json!(PROXY_NAMES));
    assert!(shown[0]["days_left"].as_i64().unwrap() > 100_000, "{shown}");
    let once = AUTHORITY.sign(&PROXY_NAMES, InForce::Once);
    std::fs::write(world.root().join("once.pem"), &once.certificate).unwrap();
    std::fs::write(world.root().join("once.key"), &once.key).unwrap();
    let others = ", others: [{ certificate: 'file:once.pem', key: 'file:once.key' }]";
    world.reload(Setup::default().secured_with(others)).await.unwrap();
    let shown = status(&world).await;
    assert_eq!(
        (&shown[0]["until"], &shown[0]["days_left"]),
        (&"2002-01-01T00:00:00.000000Z".into(), &(-9092).into())
    );
    assert_eq!(shown.as_array().map(Vec::len), Some(2));
    let metrics = world.metrics().await;
    assert!(metrics.contains("daypass_certificate_remaining_seconds -785"), "{metrics}");
    world.reload(Setup::default()).await.unwrap();
    assert_eq!(status(&world).await, serde_json::json!([]));
    world.finish().await;
}
