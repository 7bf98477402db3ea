//! Refusals: each has its answer, and each has its row.

use std::time::Duration;

use access::credential::{CredentialKind, mint};
use testkit::{ApiSetup, Ask, Behavior, Behind, Setup, World, eventually};

/// What a request must come to: status, code, and who is known to have asked.
struct Case {
    what: &'static str,
    ask: Ask,
    status: u16,
    code: &'static str,
    subject: Option<&'static str>,
}

const fn case(
    what: &'static str,
    ask: Ask,
    status: u16,
    code: &'static str,
    subject: Option<&'static str>,
) -> Case {
    Case { what, ask, status, code, subject }
}

/// Each answer says what it must, and so does its row; nothing was forwarded.
async fn check(world: &World, cases: Vec<Case>) {
    let before = world.upstream().seen().len();
    for Case { what, ask, status, code, subject } in cases {
        let answer = world.send(&ask).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["instance"], answer.id(), "{what}");
        assert_eq!(problem["status"], status, "{what}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401, "{what}");
        let row = world.row(&answer).await;
        assert_eq!(row.reason.as_deref(), Some(code), "{what}");
        assert_eq!(row.status, Some(status), "{what}");
        assert_eq!(row.decision, journal::Decision::Refuse, "{what}");
        assert_eq!(row.outcome, Some(journal::RowOutcome::Refused), "{what}");
        assert_eq!(row.subject.as_deref(), subject, "{what}");
    }
    assert_eq!(world.upstream().seen().len(), before, "a refused request was forwarded");
}

const ORDER: &str = "/orders/v1/orders/7";

#[tokio::test]
async fn a_credential_that_is_none_is_refused() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let session = world.session("alice").await;
    let (stranger, _) = mint(CredentialKind::Token, &[7; 32]);
    let stranger = stranger.expose_str().unwrap();
    let truncated = token.split_at(token.len() - 1).0;
    let get = || Ask::get(ORDER);
    let bearer = format!("Bearer {token}");
    check(
        &world,
        vec![
            case("no token", get(), 401, "credential_missing", None),
            case("wrong token", get().bearer(stranger), 401, "credential_invalid", None),
            case("truncated token", get().bearer(truncated), 401, "credential_invalid", None),
            case("empty token", get().bearer(""), 401, "credential_invalid", None),
            case("no token at all", get().bearer("let me in"), 401, "credential_invalid", None),
            case(
                "another scheme",
                get().field("Authorization", "Basic YTpi"),
                401,
                "credential_invalid",
                None,
            ),
            case("a session", get().bearer(&session), 401, "credential_invalid", None),
            case(
                "two Authorization headers",
                get().bearer(&token).field("authorization", &bearer),
                400,
                "request_malformed",
                None,
            ),
            case(
                "a token in the query",
                Ask::get(&format!("{ORDER}?token={token}")),
                401,
                "credential_missing",
                None,
            ),
            case(
                "a token in the query, escaped",
                Ask::get(&format!("{ORDER}?token={}", token.replace('_', "%5F"))),
                401,
                "credential_missing",
                None,
            ),
            case(
                "a second token in the query",
                Ask::get(&format!("{ORDER}?token={token}")).bearer(&token),
                400,
                "request_malformed",
                None,
            ),
            case(
                "a token in another header",
                get().field("X-Api-Key", &token),
                400,
                "request_malformed",
                None,
            ),
            case(
                "a token in a cookie",
                get().field("Cookie", &format!("t={token}")),
                400,
                "request_malformed",
                None,
            ),
            case(
                "a token in the path",
                Ask::get(&format!("/orders/{token}")),
                401,
                "credential_missing",
                None,
            ),
        ],
    )
    .await;
    world.finish().await;
}

#[tokio::test]
async fn a_credential_that_has_ended_is_refused() {
    let world = World::start().await;
    let grant = world.grant("alice", "orders-viewer", "1h").await;
    let short = world.narrow_token(&grant, Some("1s"), &[]).await;
    let revoked = world.token(&grant).await;
    let brief = world.grant("bob", "orders-viewer", "1m").await;
    let outlived = world.token(&brief).await;
    let ended = world.grant("carol", "orders-viewer", "1h").await;
    let orphan = world.token(&ended).await;
    for token in [&short, &revoked, &outlived, &orphan] {
        assert_eq!(world.get(&token.secret, ORDER).await.status, 200);
    }
    world.revoke("token", &revoked.id).await;
    world.revoke("grant", &ended.id).await;
    world.advance(Duration::from_secs(60)).await;
    let get = |secret: &str| Ask::get(ORDER).bearer(secret);
    check(
        &world,
        vec![
            case("expired token", get(&short.secret), 401, "credential_expired", Some("alice")),
            case("revoked token", get(&revoked.secret), 401, "credential_revoked", Some("alice")),
            case("expired grant", get(&outlived.secret), 403, "grant_ended", Some("bob")),
            case("revoked grant", get(&orphan.secret), 403, "grant_ended", Some("carol")),
        ],
    )
    .await;
    world.finish().await;
}

#[tokio::test]
async fn a_service_key_that_was_revoked_or_rotated_away_is_refused() {
    let world = World::start().await;
    let key = world.service("ci", &["orders-viewer"]).await;
    assert_eq!(world.get(&key.secret, ORDER).await.status, 200);
    world.revoke("key", &key.id).await;
    let ask = Ask::get(ORDER).bearer(&key.secret);
    check(&world, vec![case("revoked key", ask, 401, "credential_revoked", Some("ci"))]).await;
    world.finish().await;
}

#[tokio::test]
async fn what_no_role_allows_is_refused_and_says_how_to_ask() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    check(
        &world,
        vec![
            case(
                "wrong role",
                Ask::post("/orders/v1/orders/7/cancel", "").bearer(&token),
                403,
                "operation_not_allowed",
                Some("alice"),
            ),
            case(
                "another API",
                Ask::get("/plain/x").bearer(&token),
                403,
                "operation_not_allowed",
                Some("alice"),
            ),
            case("unknown API", Ask::get("/nothing/here").bearer(&token), 404, "api_unknown", Some("alice")),
            case("no API", Ask::get("/").bearer(&token), 404, "api_unknown", Some("alice")),
            case(
                "unknown operation",
                Ask::get("/orders/v1/secrets").bearer(&token),
                404,
                "operation_unknown",
                Some("alice"),
            ),
            case(
                "a trailing slash is another path",
                Ask::get("/orders/v1/orders/").bearer(&token),
                404,
                "operation_unknown",
                Some("alice"),
            ),
            case(
                "another case is another path",
                Ask::get("/orders/v1/Orders").bearer(&token),
                404,
                "operation_unknown",
                Some("alice"),
            ),
        ],
    )
    .await;
    let answer = world.send(&Ask::post("/orders/v1/orders/7/cancel", "").bearer(&token)).await;
    let next = answer.json()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("orders-admin"), "{next}");
    world.finish().await;
}

#[tokio::test]
async fn a_narrowed_token_reaches_what_it_names_and_nothing_else() {
    let world = World::start().await;
    let grant = world.grant("alice", "orders-admin", "1h").await;
    let narrow = world.narrow_token(&grant, None, &["GET /v1/orders/{id}", "POST /v1/orders"]).await;
    assert_eq!(world.get(&narrow.secret, ORDER).await.status, 200);
    assert_eq!(world.send(&Ask::post("/orders/v1/orders", "{}").bearer(&narrow.secret)).await.status, 200);
    let ask = Ask::get("/orders/v1/orders").bearer(&narrow.secret);
    check(&world, vec![case("outside", ask, 403, "operation_not_allowed", Some("alice"))]).await;
    world.finish().await;
}

#[tokio::test]
async fn heads_beyond_their_bounds_are_refused() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let long = "x".repeat(33 * 1024);
    let many = (0..101).fold(Ask::get(ORDER), |ask, number| ask.field(&format!("X-{number}"), "1"));
    let target = format!("{ORDER}?{}", "a".repeat(8 * 1024));
    check(
        &world,
        vec![
            case(
                "a long head",
                Ask::get(ORDER).bearer(&token).field("X-Long", &long),
                431,
                "headers_too_large",
                None,
            ),
            case("many fields", many.bearer(&token), 431, "headers_too_large", None),
            case("a long target", Ask::get(&target).bearer(&token), 414, "uri_too_long", None),
        ],
    )
    .await;
    world.finish().await;
}

#[tokio::test]
async fn heads_beyond_what_the_codec_reads_have_a_row_too() {
    let world = World::start().await;
    let huge = Ask::get(ORDER).field("X-Huge", &"x".repeat(200 * 1024)).bytes();
    let many = (0..1_100).fold(Ask::get(ORDER), |ask, number| ask.field(&format!("X-{number}"), "1")).bytes();
    let target = Ask::get(&format!("/{}", "a".repeat(140_000))).bytes();
    let cases = [
        ("a huge head", huge, "headers_too_large"),
        ("fields without number", many, "headers_too_large"),
        ("a huge target", target, "uri_too_long"),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "request_malformed"),
        ("a folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n".to_vec(), "request_malformed"),
    ];
    for (place, (what, bytes, reason)) in cases.into_iter().enumerate() {
        let answers = world.raw(bytes).await;
        let told = async || world.rows().into_iter().filter(|row| row.method == "?").nth(place);
        let row = eventually(what, told).await;
        assert_eq!(row.reason.as_deref(), Some(reason), "{what}");
        assert!(answers.len() <= 1, "{what}: {answers:?}");
        for answer in answers {
            assert_eq!(Some(answer.status), row.status, "{what}");
        }
    }
    assert!(world.upstream().seen().is_empty());
    world.finish().await;
}

/// Sends something malformed with another request hidden behind it; there must be one answer, and an end.
async fn check_malformed(world: &World, what: &str, head: &str) {
    let hidden = "GET /plain/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = world.raw(format!("{head}{hidden}")).await;
    assert_eq!(answers.len(), 1, "{what}: {answers:?}");
    assert!((400..=505).contains(&answers[0].status), "{what}: {answers:?}");
    assert!(answers[0].status == 400 || answers[0].status == 501, "{what}: {answers:?}");
}

#[tokio::test]
async fn a_request_with_two_readings_is_refused_and_nothing_behind_it_is_read() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let credential = format!("Authorization: Bearer {token}\r\n");
    let field = |field: &str| format!("POST /plain/x HTTP/1.1\r\nHost: a\r\n{credential}{field}\r\n\r\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{credential}\r\n");
    for (what, head) in [
        ("two lengths", field("Content-Length: 5\r\nContent-Length: 6")),
        ("a length said twice", field("Content-Length: 0\r\nContent-Length: 0")),
        ("a length beside chunks", field("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ("chunks beside a length", field("Transfer-Encoding: chunked\r\nContent-Length: 5")),
        ("chunks said twice", field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("chunks of chunks", field("Transfer-Encoding: chunked, chunked")),
        ("a coding before chunks", field("Transfer-Encoding: gzip, chunked")),
        ("a coding that is nearly chunks", field("Transfer-Encoding: \u{b}chunked")),
        ("a bare line feed", field("X-A: 1\nX-B: 2")),
        ("a bare line feed at the end", "GET /plain/x HTTP/1.1\r\nHost: a\r\n\n".to_owned()),
        ("a bare carriage return", field("X-A: 1\rX-B: 2")),
        ("a folded field", field("X-A: 1\r\n Content-Length: 5")),
        ("a field without a name", field(": 5")),
        ("a zero byte in a value", field("X-A: a\0b")),
        ("many empty lines", format!("\r\n\r\n\r\n{}", target("/plain/x"))),
        ("chunks in HTTP/1.0", field("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0")),
        ("HTTP/1.2", target("/plain/x").replace("HTTP/1.1", "HTTP/1.2")),
        ("two blanks in the first line", target(" /plain/x")),
        ("a list of lengths", field("Content-Length: 5, 5")),
        ("a signed length", field("Content-Length: +5")),
        ("an empty length", field("Content-Length: ")),
        ("an unknown coding", field("Transfer-Encoding: gzip")),
        ("chunked, but not last", field("Transfer-Encoding: chunked, gzip")),
        ("a space before the colon", field("X-A : 1")),
        ("an underscore in a name", field("X_Forwarded_For: 10.0.0.1")),
        ("a dot in a name", field("X.A: 1")),
        ("another expectation", field("Expect: a-miracle")),
        ("two hosts", field("Host: b")),
        ("a host that is none", "GET /plain/x HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        ("no host", format!("GET /plain/x HTTP/1.1\r\n{credential}\r\n")),
        ("a host that differs from the target's", target("http://b/plain/x")),
        ("a dot segment", target("/plain/../orders/v1/orders/7")),
        ("an escaped dot segment", target("/plain/%2e%2e/orders")),
        ("an escaped slash", target("/plain/a%2fb")),
        ("a backslash", target("/plain/a\\b")),
        ("an empty segment", target("/plain//x")),
        ("a path parameter", target("/plain/x;a=b")),
        ("an escape of an escape", target("/plain/%252e")),
        ("an escaped zero byte", target("/plain/%00")),
        ("overlong UTF-8", target("/plain/%c0%ae")),
        ("half an escape", target("/plain/%2")),
        ("a method that is not forwarded", "TRACE /plain/x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned()),
        (
            "an upgrade to HTTP/2",
            field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
        ),
    ] {
        check_malformed(&world, what, &head).await;
    }
    assert!(world.upstream().seen().is_empty(), "{:?}", world.upstream().seen());
    world.finish().await;
}

#[tokio::test]
async fn a_method_or_an_upgrade_that_is_not_forwarded_is_refused() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let ask = |method: &str| Ask::new(method, "/plain/x").bearer(&token);
    let upgrade = |protocol: &str| ask("GET").field("Connection", "Upgrade").field("Upgrade", protocol);
    check(
        &world,
        vec![
            case("TRACE", ask("TRACE"), 501, "method_unsupported", None),
            case("PROPFIND", ask("PROPFIND"), 501, "method_unsupported", None),
            case("lower case", ask("get"), 501, "method_unsupported", None),
            case("h2c", upgrade("h2c"), 400, "upgrade_refused", None),
            case("another protocol", upgrade("irc/6.9"), 400, "upgrade_refused", None),
            case("a posted handshake", ask("POST").upgrade(), 400, "upgrade_refused", None),
        ],
    )
    .await;
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_declared_too_long_is_refused_unread() {
    let world = small_bodies().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    assert_eq!(world.send(&Ask::post("/plain/x", "x".repeat(1024)).bearer(&token)).await.status, 200);
    let ask = Ask::post("/plain/x", "x".repeat(1025)).bearer(&token);
    check(&world, vec![case("1025 bytes", ask, 413, "body_too_large", Some("alice"))]).await;
    world.finish().await;
}

async fn small_bodies() -> World {
    World::of(Setup::default().api("plain", ApiSetup::open().limits("{ request_body: 1KiB }"))).await
}

#[tokio::test]
async fn a_body_in_chunks_is_cut_off_at_its_bound() {
    let world = small_bodies().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut connection = world.connect().await;
    let head = Ask::new("POST", "/plain/x").bearer(&token).field("Transfer-Encoding", "chunked").bytes();
    connection.send(head).await;
    for _ in 0..3 {
        connection.send(format!("200\r\n{}\r\n", "x".repeat(512))).await;
    }
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let row = world.row(&answer).await;
    assert_eq!(row.outcome, Some(journal::RowOutcome::Failed));
    assert_eq!(row.reason.as_deref(), Some("body_too_large"));
    assert!(connection.is_closed().await);
    assert!(world.upstream().seen_at("/x").iter().all(|seen| seen.body_bytes <= 1024));
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_apart_by_code_and_row() {
    let setup = Setup::default()
        .api("plain", ApiSetup::open().limits("{ timeout: 200ms }"))
        .api("down", ApiSetup::open().behind(Behind::Nobody))
        .role("all", &["plain:all", "down:all"], &[]);
    let world = World::of(setup).await;
    let token = world.fresh_token("alice", "all").await.secret;
    let upstream = world.upstream();
    upstream.on("/slow", Behavior::Hang);
    upstream.on("/close", Behavior::Close);
    upstream.on("/garbage", Behavior::Raw("this is no HTTP\r\n\r\n"));
    upstream.on(
        "/lengths",
        Behavior::Raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
    );
    upstream.on(
        "/switch",
        Behavior::Raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    );
    upstream.on("/half", Behavior::Raw("HTTP/1.1 200 OK\r\ncontent-"));
    for (target, status, code) in [
        ("/down/x", 502, "upstream_unreachable"),
        ("/plain/slow", 504, "upstream_timeout"),
        ("/plain/close", 502, "upstream_unreachable"),
        ("/plain/garbage", 502, "upstream_malformed"),
        ("/plain/lengths", 502, "upstream_malformed"),
        ("/plain/switch", 502, "upstream_malformed"),
        ("/plain/half", 502, "upstream_unreachable"),
    ] {
        let answer = world.get(&token, target).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{target}: {}", answer.text());
        let row = world.row(&answer).await;
        assert_eq!(row.decision, journal::Decision::Allow, "{target}");
        assert_eq!(row.outcome, Some(journal::RowOutcome::Failed), "{target}");
        assert_eq!((row.status, row.reason.as_deref()), (Some(status), Some(code)), "{target}");
        assert_eq!(row.upstream_status, None, "{target}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_ends_early_is_passed_on_as_broken() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/short", Behavior::Raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"));
    let answer = world.get(&token, "/plain/short").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.whole, "a shortened answer looked whole");
    let row = world.row(&answer).await;
    assert_eq!(row.outcome, Some(journal::RowOutcome::Failed));
    assert_eq!(row.reason.as_deref(), Some("upstream_malformed"));
    assert_eq!(row.response_bytes, Some(9));
    world.finish().await;
}

#[tokio::test]
async fn of_who_proved_nothing_little_is_recorded_and_of_others_all() {
    let world = World::start().await;
    let long = "a".repeat(1_000);
    let names = ["aa="; 200].join("&");
    let target = format!("/orders/v1/orders/{long}?{names}");
    let unknown = world.row(&world.send(&Ask::new("DELETE", &target)).await).await;
    assert_eq!((unknown.path.len(), unknown.path.ends_with("aaa...")), (256, true));
    let query = unknown.query.unwrap();
    assert_eq!((query.len(), query.ends_with("...")), (256, true), "{query}");
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    let known = world.row(&world.send(&Ask::new("DELETE", &target).bearer(&token)).await).await;
    assert_eq!(
        (known.reason.as_deref(), known.subject.as_deref()),
        (Some("operation_unknown"), Some("alice"))
    );
    assert_eq!((known.path, known.query), (format!("/v1/orders/{long}"), Some(names)));
    world.finish().await;
}
