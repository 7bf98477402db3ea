//! Whose grants are listed, and what becomes of names that nobody has.

use expect_test::expect;

use crate::story::check;
use crate::world::within;

#[test]
fn who_administers_or_audits_sees_everybodys_grants_and_others_their_own() {
    check(
        r#"
        socket POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"bob","for":"1h","reason":"slow orders"}
        bob GET /api/v1/grants
        bob GET /api/v1/grants?user=bob
        bob GET /api/v1/grants?user=alice
        bob GET /api/v1/grants?user=nobody
        carol GET /api/v1/grants
        dora GET /api/v1/grants
        socket GET /api/v1/grants
        socket GET /api/v1/grants?user=user:bob
        socket GET /api/v1/grants?user=dora
        socket GET /api/v1/grants?user=bbo
        socket GET /api/v1/grants?user=nobody
        "#,
        &expect![[r#"
            socket POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders"}
                201 {"grant":"grant_1","role":"orders-viewer","subject":"user:alice","until":"2026-11-22T04:00:00.000000Z"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"bob","for":"1h","reason":"slow orders"}
                201 {"grant":"grant_2","role":"orders-viewer","subject":"user:bob","until":"2026-11-22T04:00:00.000000Z"}
            bob GET /api/v1/grants
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"}]
            bob GET /api/v1/grants?user=bob
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"}]
            bob GET /api/v1/grants?user=alice
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the grants of others are for auditors and administrators","code":"not_allowed","next":"leave out `user` to see your own"}
            bob GET /api/v1/grants?user=nobody
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the grants of others are for auditors and administrators","code":"not_allowed","next":"leave out `user` to see your own"}
            carol GET /api/v1/grants
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"},{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":null,"state":"active"}]
            dora GET /api/v1/grants
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"},{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":null,"state":"active"}]
            socket GET /api/v1/grants
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"},{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":null,"state":"active"}]
            socket GET /api/v1/grants?user=user:bob
                200 [{"grant":"grant_2","role":"orders-viewer","subject":"user:bob","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"active"}]
            socket GET /api/v1/grants?user=dora
                200 []
            socket GET /api/v1/grants?user=bbo
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no user `bbo`","code":"not_found","next":"name `alice`, `bob`, `carol` or `dora`; others are added under `identity: users:` in the configuration, as `bbo: {}`, and by a reload"}
            socket GET /api/v1/grants?user=nobody
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no user `nobody`","code":"not_found","next":"name `alice`, `bob`, `carol` or `dora`; others are added under `identity: users:` in the configuration, as `nobody: {}`, and by a reload"}
        "#]],
    );
}

#[test]
fn a_filter_that_was_mistyped_does_not_look_like_a_clean_record() {
    check(
        "
        proxy erin /v1/orders/7 200
        dora GET /api/v1/audit/requests?user=alcie
        dora GET /api/v1/audit/requests?user=service:alice
        dora GET /api/v1/audit/requests?user=robot:alice
        dora GET /api/v1/audit/requests?api=ordrs
        dora GET /api/v1/audit/requests?api=payments
        dora GET /api/v1/audit/requests?reason=operation_notallowed
        dora GET /api/v1/audit/requests?reason=bad
        dora GET /api/v1/audit/requests?grant=grant_7
        dora GET /api/v1/audit/requests?user=alice&api=orders&reason=rate_limited
        dora GET /api/v1/audit/requests?user=erin&status=200
        alice GET /api/v1/audit/requests?user=erni
        ",
        &expect![[r#"
            dora GET /api/v1/audit/requests?user=alcie
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"no request matches, and nobody named `alcie` is known","code":"not_found","next":"did you mean `alice`?"}
            dora GET /api/v1/audit/requests?user=service:alice
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"no request matches, and nobody named `service:alice` is known","code":"not_found","next":"did you mean `alice`?"}
            dora GET /api/v1/audit/requests?user=robot:alice
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"`robot:alice` is not a name: use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first","code":"invalid","next":"write a name, like `alice`, or one with its kind, like `service:ci`"}
            dora GET /api/v1/audit/requests?api=ordrs
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"no request matches, and no API named `ordrs` is known","code":"not_found","next":"did you mean `orders`? `daypass apis` lists them"}
            dora GET /api/v1/audit/requests?api=payments
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"no request matches, and no API named `payments` is known","code":"not_found","next":"`daypass apis` lists them"}
            dora GET /api/v1/audit/requests?reason=operation_notallowed
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"`operation_notallowed` is not a reason code","code":"invalid","next":"did you mean `operation_not_allowed`?"}
            dora GET /api/v1/audit/requests?reason=bad
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"`bad` is not a reason code","code":"invalid","next":"the codes are `request_malformed`, `misdirected`, `credential_missing`, `credential_invalid`, `credential_expired`, `credential_revoked`, `grant_ended`, `operation_not_allowed`, `subject_suspended`, `api_unknown`, `operation_unknown`, `body_too_large`, `headers_too_large`, `uri_too_long`, `method_unsupported`, `upgrade_refused`, `rate_limited`, `overloaded`, `journal_unavailable`, `view_stale`, `draining`, `upstream_unreachable`, `upstream_malformed` or `upstream_timeout`"}
            dora GET /api/v1/audit/requests?grant=grant_7
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"`grant_7` is mistyped: an id is its kind, `_` and 26 digits","code":"invalid","next":"`daypass grants` lists grants with their ids"}
            dora GET /api/v1/audit/requests?user=alice&api=orders&reason=rate_limited
            dora GET /api/v1/audit/requests?user=erin&status=200
                200 {"id":"request_1","node":"n1","leaf":2,"time":"2026-11-22T03:00:00.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/7","query":null,"subject":"erin","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"allow","reason":null,"rule":"allow orders:read","revision":1,"status":200,"upstream":"127.0.0.1:7001","upstream_status":200,"duration_us":5,"upstream_us":3,"request_bytes":0,"response_bytes":9,"outcome":"completed","trace_id":"01a201323f807c0c8c0c0c0c0c0c0c0c"}
            alice GET /api/v1/audit/requests?user=erni
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the requests of others are for auditors and administrators","code":"not_allowed","next":"leave out `user` to see your own"}
        "#]],
    );
}

#[test]
fn a_credential_in_a_wrong_place_is_neither_said_back_nor_recorded() {
    let (secret, _) = access::credential::mint(access::credential::CredentialKind::Token, &[7; 32]);
    let secret = secret.expose_str().unwrap().to_owned();
    within(|world| async {
        let console = world.over_socket();
        let grant = |role: &str, reason: &str| {
            let body = serde_json::json!({"role": role, "to": "alice", "for": "1h", "reason": reason});
            console.post("http://localhost/api/v1/grants").json(&body).send()
        };
        let search = |query: &str| {
            let query = query.to_owned() + &secret;
            console.get(format!("http://localhost/api/v1/audit/requests?{query}")).send()
        };
        for (answer, status) in [
            (grant("orders-viewer", &format!("as {secret} did")).await, 400),
            (grant(&secret, "slow orders").await, 404),
            (search("user=").await, 404),
            (search("path=/").await, 200),
            (search("reason=").await, 400),
            (search("reason=%20").await, 400),
        ] {
            let answer = answer.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            let said = answer.text().await.unwrap();
            assert!(!access::credential::occurs_in(said.as_bytes()), "{said}");
        }
        for entry in std::fs::read_dir(world.journal.directory()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let found = bytes.windows(40).any(|window| window == &secret.as_bytes()[8..48]);
            assert!(!found, "the journal keeps it");
        }
        world
    });
}
