//! Headers: what the upstream is told, and what nobody else can tell it.

use testkit::{Ask, Behavior, UPSTREAM_KEY, World};

#[tokio::test]
async fn the_upstream_gets_its_own_credential_and_never_the_callers() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    assert_eq!(world.get(&token.secret, "/orders/v1/orders/7").await.status, 200);
    let seen = world.upstream().seen().pop().unwrap();
    let credentials: Vec<_> =
        seen.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).collect();
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0].1, UPSTREAM_KEY);
    world.finish().await;
}

#[tokio::test]
async fn identity_that_a_client_claims_is_removed_in_every_spelling() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let claims = [
        "Daypass-Subject",
        "daypass-subject",
        "DAYPASS-GRANT",
        "Daypass-Assertion",
        "Daypass-Anything",
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-FORWARDED-PROTO",
        "X-Forwarded-User",
        "X-Forwarded-Client-Cert",
        "Forwarded",
        "X-Real-IP",
        "X-Request-Id",
        "Via",
        "Tracestate",
        "Proxy-Authorization",
    ];
    let ask = Ask::get("/plain/x").bearer(&token.secret);
    let ask = claims.iter().fold(ask, |ask, name| ask.field(name, "forged-by-a-client"));
    let ask = claims.iter().fold(ask, |ask, name| ask.field(name, "forged-again"));
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.upstream().seen().pop().unwrap();
    assert!(!String::from_utf8_lossy(&seen.raw).contains("forged"), "{}", String::from_utf8_lossy(&seen.raw));
    world.finish().await;
}

/// Names by which products are told who asks, from where, and with what certificate.
const CLAIMS: [&str; 66] = [
    "akamai-client-ip",
    "arr-clientcert",
    "authenticated-user",
    "cf-access-authenticated-user-email",
    "cf-access-jwt-assertion",
    "cf-client-cert-der-base64",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-cert",
    "client-ip",
    "client-ssl-verify",
    "clientcert",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-proto",
    "front-end-https",
    "impersonate-group",
    "impersonate-user",
    "proxy-client-ip",
    "remote-addr",
    "remote-user",
    "ssl-client-verify",
    "tailscale-user-login",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-appengine-user-ip",
    "x-auth-request-user",
    "x-authenticated-user",
    "x-authentik-username",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-certificate",
    "x-client-ip",
    "x-client-s-dn",
    "x-clientcert",
    "x-cluster-client-ip",
    "x-cluster-ip",
    "x-consumer-username",
    "x-envoy-external-address",
    "x-forward-for",
    "x-forwarded",
    "x-forwarded-user",
    "x-forwarder-for",
    "x-goog-authenticated-user-email",
    "x-goog-iap-jwt-assertion",
    "x-host",
    "x-ms-client-principal",
    "x-ms-token-aad-id-token",
    "x-original-forwarded-for",
    "x-original-host",
    "x-originating-ip",
    "x-peer-certificate",
    "x-pomerium-jwt-assertion",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-extra-scopes",
    "x-remote-group",
    "x-remote-ip",
    "x-remote-user",
    "x-scheme",
    "x-source-ip",
    "x-webauth-user",
    "xfcc",
];

/// Names by which products are asked for something else than the request line says.
const OVERRIDES: [&str; 27] = [
    "http-method-override",
    "method-override",
    "x-envoy-original-dst-host",
    "x-envoy-original-method",
    "x-envoy-original-path",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-http-verb-override",
    "x-invoke-path",
    "x-matched-path",
    "x-method",
    "x-method-override",
    "x-middleware-rewrite",
    "x-middleware-subrequest",
    "x-original-http-method",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-replaced-path",
    "x-request-uri",
    "x-rewrite-uri",
    "x-waws-unencoded-url",
];

/// Names of callers' own.
const OWN: [&str; 18] = [
    "accept",
    "accept-language",
    "apikey",
    "content-md5",
    "dnt",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "prefer",
    "range",
    "sec-fetch-site",
    "x-amz-date",
    "x-api-key",
    "x-csrf-token",
    "x-github-event",
    "x-ms-version",
    "x-requested-with",
];

#[tokio::test]
async fn what_products_are_told_by_proxies_no_caller_tells_them() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let ask =
        CLAIMS.iter().chain(&OWN).fold(Ask::get("/plain/x").bearer(&token), |ask, name| ask.field(name, "v"));
    for answer in [world.send(&ask).await, world.connect_h2().await.send(&ask).await] {
        assert_eq!(answer.status, 200);
        let seen = world.upstream().seen().pop().unwrap();
        let theirs = |(name, value): &(String, String)| (value == "v").then(|| name.to_ascii_lowercase());
        let mut passed: Vec<_> = seen.fields.iter().filter_map(theirs).collect();
        passed.sort_unstable();
        assert_eq!(passed, OWN);
    }
    let before = world.upstream().seen().len();
    for name in OVERRIDES {
        let ask = Ask::get("/plain/x").bearer(&token).field(name, "/admin");
        let refused = world.send(&ask).await;
        assert_eq!(refused.status, 400, "{name}");
        assert!(refused.text().contains(&format!("`{name}`")), "{}", refused.text());
    }
    assert_eq!(world.upstream().seen().len(), before);
    world.finish().await;
}

#[tokio::test]
async fn spellings_that_servers_fold_together_are_refused() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    for name in
        ["Daypass_Subject", "daypass.subject", "X_Forwarded_For", "X-Request_Id", "daypass-subject\u{7f}"]
    {
        let ask = Ask::get("/plain/x").bearer(&token.secret).field(name, "user:eve");
        assert_eq!(world.send(&ask).await.status, 400, "{name}");
    }
    assert!(world.upstream().seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn nothing_that_a_client_names_in_connection_removes_what_the_proxy_adds() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let named = "close, Daypass-Subject, X-Request-Id, X-Forwarded-For, Authorization, Host, X-Own";
    let ask =
        Ask::get("/plain/x").bearer(&token.secret).field("Connection", named).field("X-Own", "hop by hop");
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.upstream().seen().pop().unwrap();
    let names: Vec<_> = seen.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in ["daypass-subject", "x-request-id", "x-forwarded-for", "authorization", "host"] {
        assert!(names.iter().any(|own| own == name), "{name} is missing");
    }
    assert!(!names.iter().any(|own| own == "x-own" || own == "connection"), "{names:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_cannot_speak_for_the_proxy_either() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Request-Id: forged\r\nDaypass-Receipt: forged\r\n\
                  Daypass_Receipt: forged\r\nX_Request.Id: forged\r\n\
                  Connection: X-Hop\r\nX-Hop: forged\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok";
    world.upstream().on("/x", Behavior::Raw(answer));
    let answer = world.get(&token.secret, "/plain/x").await;
    assert_eq!(answer.status, 200);
    assert!(answer.fields.iter().all(|(_, value)| value != "forged"), "{:?}", answer.fields);
    let cookies = answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count();
    assert_eq!(cookies, 2);
    let row = world.row(&answer).await;
    let receipt = answer.field("daypass-receipt").unwrap();
    assert!(receipt.starts_with(&format!("{}/{}/", world.node().name(), row.leaf)), "{receipt}");
    world.finish().await;
}

#[tokio::test]
async fn a_trace_goes_on_and_its_id_is_in_the_row() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = world.send(&Ask::get("/plain/x").bearer(&token.secret).field("traceparent", &sent)).await;
    assert_eq!(world.row(&answer).await.trace_id.as_deref(), Some(trace));
    let seen = world.upstream().seen().pop().unwrap();
    let (_, passed) = seen.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent")).unwrap();
    assert!(passed.contains(trace) && *passed != sent, "{passed}");
    world.finish().await;
}

#[tokio::test]
async fn values_of_a_query_reach_the_upstream_and_not_the_journal() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await;
    let answer = world.get(&token.secret, "/plain/x?email=ada@example.com&page=2&flag").await;
    assert_eq!(world.row(&answer).await.query.as_deref(), Some("email=&page=&*"));
    assert_eq!(world.upstream().seen()[0].target, "/x?email=ada@example.com&page=2&flag");
    world.finish().await;
}
