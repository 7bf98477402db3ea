//! Pages of other origins: preflights are answered by the proxy, and answers say who may read them.

use journal::{Decision, RowOutcome};
use testkit::{Answer, ApiSetup, Ask, Behavior, Setup, World};

const APP: &str = "https://app.example";

async fn world() -> World {
    let cors = "{ origins: ['https://app.example'], headers: [Content-Type], expose: [X-Request-Id], credentials: true, max_age: 5m }";
    let setup = Setup::default().api("app", ApiSetup::orders().extra(&format!("    cors: {cors}\n")));
    World::of(setup.role("app-viewer", &["app:read"], &[])).await
}

fn preflight(target: &str, origin: &str) -> Ask {
    Ask::new("OPTIONS", target).field("Origin", origin).field("Access-Control-Request-Method", "GET")
}

/// What an answer says to browsers.
fn said(answer: &Answer) -> Vec<String> {
    let about = |name: &str| name.starts_with("access-control-") || name == "vary";
    let fields = answer.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    fields.filter(|(name, _)| about(name)).map(|(name, value)| format!("{name}: {value}")).collect()
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered_and_recorded_and_goes_nowhere() {
    let world = world().await;
    let mut over_http2 = world.connect_h2().await;
    let ask = preflight("/app/v1/orders", APP).field("Access-Control-Request-Headers", "authorization");
    for answer in [world.send(&ask).await, over_http2.send(&ask).await] {
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(
            said(&answer),
            [
                "vary: origin",
                "access-control-allow-origin: https://app.example",
                "access-control-allow-credentials: true",
                "access-control-expose-headers: x-request-id",
                "access-control-allow-methods: GET, HEAD",
                "access-control-allow-headers: authorization, content-type",
                "access-control-max-age: 300",
            ]
        );
        let row = world.row(&answer).await;
        assert_eq!(
            (row.decision, row.outcome, row.status),
            (Decision::Allow, Some(RowOutcome::Completed), Some(200))
        );
        assert_eq!(
            (row.api.as_deref(), row.path.as_str(), row.method.as_str()),
            (Some("app"), "/v1/orders", "OPTIONS")
        );
        assert_eq!((row.subject, row.upstream, row.rule.as_deref()), (None, None, Some("cors")));
    }
    assert_eq!(world.upstream().connections(), 0);
    drop(over_http2);
    world.finish().await;
}

#[tokio::test]
async fn a_preflight_for_a_path_that_its_api_does_not_take_is_refused() {
    let world = world().await;
    for path in ["/app/v1%2Forders", "/app/v1;x/orders", "/app//v1/orders", "/app/v1/%2e%2e/orders"] {
        let answer = world.send(&preflight(path, APP)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{path}");
        assert_eq!(world.row(&answer).await.decision, Decision::Refuse);
    }
    world.finish().await;
}

#[tokio::test]
async fn who_is_not_listed_is_told_nothing() {
    let world = world().await;
    for origin in ["https://app.example.evil", "http://app.example", "null", "*"] {
        let answer = world.send(&preflight("/app/v1/orders", origin)).await;
        assert_eq!(
            (answer.code().as_str(), said(&answer)),
            ("credential_missing", vec!["vary: origin".to_owned()]),
            "{origin}"
        );
    }
    // Two origins are none; an API without `cors` answers no preflight.
    let twice = preflight("/app/v1/orders", APP).field("Origin", APP);
    assert_eq!(world.send(&twice).await.code(), "credential_missing");
    let answer = world.send(&preflight("/orders/v1/orders", APP)).await;
    assert_eq!((answer.code().as_str(), said(&answer)), ("credential_missing", vec![]));
    world.finish().await;
}

#[tokio::test]
async fn answers_and_refusals_can_be_read_by_listed_origins_whatever_the_upstream_says() {
    let world = world().await;
    let token = world.fresh_token("alice", "app-viewer").await.secret;
    world.upstream().on(
        "/v1/orders",
        Behavior::Stray(
            "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-allow-methods: DELETE\r\ncontent-length: 0\r\n\r\n",
        ),
    );
    let listed = [
        "vary: origin",
        "access-control-allow-origin: https://app.example",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-request-id",
    ];
    let ask = |origin: &str| Ask::get("/app/v1/orders").field("Origin", origin);
    assert_eq!(said(&world.send(&ask(APP).bearer(&token)).await), listed);
    let refused = world.send(&ask(APP)).await;
    assert_eq!((refused.status, said(&refused)), (401, listed.map(str::to_owned).to_vec()));
    let forbidden =
        world.send(&Ask::new("DELETE", "/app/v1/nothing").field("Origin", APP).bearer(&token)).await;
    assert_eq!((forbidden.status, said(&forbidden)), (404, listed.map(str::to_owned).to_vec()));
    assert_eq!(said(&world.send(&ask("https://other.example").bearer(&token)).await), ["vary: origin"]);
    world.finish().await;
}
