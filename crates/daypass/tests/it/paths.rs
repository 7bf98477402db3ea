//! Paths that readers differ about: refused, unless their API needs them.

use testkit::{ApiSetup, Ask, Setup, World};

fn paths(world: &World) -> Vec<String> {
    world.upstream().seen().iter().map(|seen| seen.target.clone()).collect()
}

#[tokio::test]
async fn what_an_api_allows_in_its_paths_reaches_its_upstream_as_it_was_judged() {
    let loose = ApiSetup::open().extra("    allow_in_paths: [encoded_slash, parameters, empty_segments]\n");
    let setup = Setup::default()
        .api("plain", loose)
        .role("reader", &["plain:GET /files/{name}/raw", "plain:GET /m;v=1/*"], &[])
        .role("but-one", &["plain:all"], &["plain:* /files/a%2Fb/**"]);
    let world = World::of(setup).await;
    let token = world.fresh_token("alice", "reader").await.secret;
    for (asked, judged) in [
        ("/plain/files/a%2fb/raw", "/files/a%2Fb/raw"),
        ("/plain/%66iles/a%2Fb%2fc/raw", "/files/a%2Fb%2Fc/raw"),
        ("/plain/m;v=1/x", "/m;v=1/x"),
    ] {
        let answer = world.get(&token, asked).await;
        assert_eq!((answer.status, world.row(&answer).await.path.as_str()), (200, judged), "{asked}");
        assert_eq!(paths(&world).pop().as_deref(), Some(judged));
    }
    for refused in ["/plain/files/a/b/raw", "/plain/m/x", "/plain/m;v=2/x"] {
        assert_eq!(world.get(&token, refused).await.status, 403, "{refused}: a rule means what it says");
    }
    for hidden in ["/plain/files/..%2fm/raw", "/plain/m;v=1/..;", "/plain/files/a%5cb/raw", "/plain%2fx"] {
        assert_eq!(world.get(&token, hidden).await.status, 400, "{hidden}");
    }
    let other = world.fresh_token("bob", "but-one").await.secret;
    assert_eq!(world.get(&other, "/plain/files/a%2fb/raw").await.status, 403);
    assert_eq!(world.get(&other, "/plain/files//raw").await.status, 200);
    let orders = world.fresh_token("bob", "orders-admin").await.secret;
    let strict = world.get(&orders, "/orders/v1/orders/a%2Fb").await;
    assert_eq!((strict.status, strict.code().as_str()), (400, "request_malformed"), "each API for itself");
    assert_eq!(world.row(&strict).await.api.as_deref(), Some("orders"));
    world.finish().await;
}

#[tokio::test]
async fn what_is_loose_is_loose_over_http2_too() {
    let loose = ApiSetup::open().extra("    allow_in_paths: [encoded_slash]\n");
    let world = World::of(Setup::default().api("plain", loose)).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let mut h2 = world.connect_h2().await;
    assert_eq!(h2.send(&Ask::get("/plain/a%2fb").bearer(&token)).await.status, 200);
    assert_eq!(paths(&world), ["/a%2Fb"]);
    assert_eq!(h2.send(&Ask::get("/plain/a;b").bearer(&token)).await.status, 400);
    world.finish().await;
}
