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
    assert_eq!(world.row(&answer).await.query.as_deref(), Some("email=&page=&flag"));
    assert_eq!(world.upstream().seen()[0].target, "/x?email=ada@example.com&page=2&flag");
    world.finish().await;
}
