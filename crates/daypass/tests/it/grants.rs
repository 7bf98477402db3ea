//! Grants: stories, every operation against every role, and random lives in which no access outlives its grant.

use std::collections::BTreeMap;
use std::time::Duration;

use access::{Clock as _, Timestamp};
use expect_test::expect;
use testkit::{Ask, Granted, Issue, Random, START, Setup, World, story};

#[tokio::test]
async fn a_revoked_grant_stops_the_next_request() {
    story::check(
        "10:00 admin grants alice orders-viewer for 30m
         10:05 alice GET /orders/v1/orders/7
         10:06 admin revokes grant alice
         10:06 alice GET /orders/v1/orders/7",
        expect![[r#"
            10:05 allow  alice GET /orders/v1/orders/7 200
            10:06 refuse alice GET /orders/v1/orders/7 grant_ended
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_grant_ends_by_itself_and_a_new_one_starts_anew() {
    story::check(
        "10:00 admin grants alice orders-viewer for 30m
         10:29 alice GET /orders/v1/orders/7
         10:30 alice GET /orders/v1/orders/7
         10:31 admin grants alice orders-admin for 10m
         10:40 alice POST /orders/v1/orders/7/cancel
         10:41 alice POST /orders/v1/orders/7/cancel",
        expect![[r#"
            10:29 allow  alice GET /orders/v1/orders/7 200
            10:30 refuse alice GET /orders/v1/orders/7 grant_ended
            10:40 allow  alice POST /orders/v1/orders/7/cancel 200
            10:41 refuse alice POST /orders/v1/orders/7/cancel grant_ended
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_token_may_be_shorter_and_narrower_than_its_grant() {
    story::check(
        "10:00 admin grants alice orders-admin for 1h
         10:00 alice mints for 10m only GET /v1/orders/{id}
         10:01 alice GET /orders/v1/orders/7
         10:01 alice GET /orders/v1/orders
         10:01 alice POST /orders/v1/orders/7/cancel
         10:10 alice GET /orders/v1/orders/7
         10:11 alice mints for 1h
         10:59 alice GET /orders/v1/orders
         11:00 alice GET /orders/v1/orders",
        expect![[r#"
            10:01 allow  alice GET /orders/v1/orders/7 200
            10:01 refuse alice GET /orders/v1/orders operation_not_allowed
            10:01 refuse alice POST /orders/v1/orders/7/cancel operation_not_allowed
            10:10 refuse alice GET /orders/v1/orders/7 credential_expired
            10:59 allow  alice GET /orders/v1/orders 200
            11:00 refuse alice GET /orders/v1/orders grant_ended
        "#]],
    )
    .await;
}

#[tokio::test]
async fn who_was_given_nothing_reaches_nothing() {
    story::check(
        "10:00 bob GET /orders/v1/orders/7
         10:00 bob GET /nothing
         10:01 admin grants bob no-such-role for 1h
         10:01 admin grants nobody orders-viewer for 1h
         10:02 admin grants alice orders-viewer for 1h
         10:03 bob GET /orders/v1/orders/7
         10:03 alice GET /orders/v1/orders/7
         10:03 alice GET /plain/x",
        expect![[r#"
            10:00 refuse bob GET /orders/v1/orders/7 credential_missing
            10:00 refuse bob GET /nothing credential_missing
            10:01 denied admin grants bob no-such-role: "not_found"
            10:01 denied admin grants nobody orders-viewer: "not_found"
            10:03 refuse bob GET /orders/v1/orders/7 credential_missing
            10:03 allow  alice GET /orders/v1/orders/7 200
            10:03 refuse alice GET /plain/x operation_not_allowed
        "#]],
    )
    .await;
}

#[tokio::test]
async fn one_revocation_ends_what_it_names_and_nothing_else() {
    story::check(
        "10:00 admin grants alice orders-viewer for 1h
         10:00 admin grants bob plain-all for 1h
         10:00 admin adds service ci as orders-viewer
         10:01 admin revokes role orders-viewer
         10:01 alice GET /orders/v1/orders/7
         10:01 bob GET /plain/x
         10:01 ci GET /orders/v1/orders/7
         10:02 admin grants alice orders-viewer for 1h
         10:02 alice GET /orders/v1/orders/7
         10:03 admin revokes user bob
         10:03 bob GET /plain/x
         10:03 alice GET /orders/v1/orders/7
         10:04 admin revokes api orders
         10:04 alice GET /orders/v1/orders/7
         10:05 admin grants bob plain-all for 1h
         10:06 admin revokes everything
         10:06 bob GET /plain/x",
        expect![[r#"
            10:01 refuse alice GET /orders/v1/orders/7 grant_ended
            10:01 allow  bob GET /plain/x 200
            10:01 refuse ci GET /orders/v1/orders/7 credential_revoked
            10:02 allow  alice GET /orders/v1/orders/7 200
            10:03 refuse bob GET /plain/x credential_revoked
            10:03 allow  alice GET /orders/v1/orders/7 200
            10:04 refuse alice GET /orders/v1/orders/7 grant_ended
            10:06 refuse bob GET /plain/x grant_ended
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_service_key_works_until_it_is_revoked() {
    story::check(
        "10:00 admin adds service ci as orders-viewer
         10:00 ci GET /orders/v1/orders
         10:00 ci POST /orders/v1/orders
         10:05 admin revokes key ci
         10:05 ci GET /orders/v1/orders",
        expect![[r#"
            10:00 allow  ci GET /orders/v1/orders 200
            10:00 refuse ci POST /orders/v1/orders operation_not_allowed
            10:05 refuse ci GET /orders/v1/orders credential_revoked
        "#]],
    )
    .await;
}

#[tokio::test]
async fn nobody_gives_access_to_themselves_through_the_console() {
    let world = World::of(Setup::default().extra("")).await;
    let asked =
        serde_json::json!({ "role": "orders-admin", "to": "alice", "for": "1h", "reason": "I want it" });
    let denied = world.user("alice", testkit::post("/api/v1/grants", &asked)).await;
    assert_eq!((denied.status, denied.json()["code"].as_str()), (403, Some("not_allowed")));
    let grant = world.grant("bob", "orders-admin", "1h").await;
    let minted =
        world.user("alice", testkit::post("/api/v1/tokens", &serde_json::json!({ "grant": grant.id }))).await;
    assert!([403, 404].contains(&minted.status), "{}", minted.text());
    world.finish().await;
}

/// Roles of every kind of rule.
fn many_roles() -> Setup {
    Setup::default()
        .role("reads", &["orders:read"], &[])
        .role("writes", &["orders:write"], &[])
        .role("all-but-payments", &["orders:all"], &["orders:tag:payments", "orders:showHeaders"])
        .role("reads-but-customers", &["orders:read"], &["orders:GET /v1/customers/**"])
        .role("incident", &["orders:tag:incident", "orders:getOrder"], &[])
        .role("one-segment", &["orders:* /v1/*"], &["orders:POST /v1/orders"])
        .role("templates", &["orders:GET,PATCH /v1/orders/{id}", "orders:POST /v1/orders/{id}/refund"], &[])
        .role(
            "remainder",
            &["orders:* /v1/fulfilment/**", "orders:HEAD /v1/orders"],
            &["orders:restartFulfilment"],
        )
        .role("elsewhere", &["plain:all"], &[])
}

#[tokio::test]
async fn every_operation_and_every_role_through_http_equals_the_second_opinion() {
    let setup = many_roles();
    let (policy, world) = (setup.policy(), World::of(setup).await);
    let operations = policy.apis["orders"].clone().unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for role in policy.roles.keys() {
        let key = world.service(&format!("holds-{role}"), &[role]).await.secret;
        let mut connection = world.connect().await;
        for operation in &operations {
            let head = (operation.method == "GET").then_some("HEAD");
            for method in [Some(operation.method.as_str()), head].into_iter().flatten() {
                let path = operation.example();
                let answer = connection.ask(&Ask::new(method, &format!("/orders{path}")).bearer(&key)).await;
                let expected = policy.allows(std::slice::from_ref(role), &[], "orders", method, &path);
                assert_eq!(answer.status, if expected { 200 } else { 403 }, "{role}: {method} {path}");
                if expected { allowed += 1 } else { refused += 1 }
            }
        }
    }
    assert!(allowed > 100 && refused > 100, "{allowed} allowed, {refused} refused");
    println!("{} pairs: {allowed} allowed, {refused} refused", allowed + refused);
    world.finish().await;
}

/// What a random life holds: grants and tokens, and what is known of their ends.
#[derive(Default)]
struct Life {
    grants: Vec<(Granted, Timestamp)>,
    tokens: Vec<(Issue, usize, Timestamp)>,
    grant_ends: BTreeMap<usize, ()>,
    token_ends: BTreeMap<usize, ()>,
}

impl Life {
    /// Whether a token is to be let through now.
    fn holds(&self, token: usize, now: Timestamp) -> bool {
        let (_, grant, until) = &self.tokens[token];
        let revoked = self.token_ends.contains_key(&token) || self.grant_ends.contains_key(grant);
        !revoked && now < *until && now < self.grants[*grant].1
    }
}

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const STEPS: usize = 200;

/// One step of a random life: something changes, or time passes.
async fn step(world: &World, life: &mut Life, random: &Random) {
    let now = world.clock().now();
    match random.below(8) {
        0 => {
            let who = PEOPLE[random.below(PEOPLE.len())];
            let seconds = 1 + random.below(600);
            let grant = world.grant(who, "plain-all", &format!("{seconds}s")).await;
            life.grants.push((grant, now.plus(Duration::from_secs(seconds as u64))));
        }
        1 | 2 => {
            let open: Vec<usize> = (0..life.grants.len())
                .filter(|place| !life.grant_ends.contains_key(place) && now < life.grants[*place].1)
                .collect();
            let Some(place) = random.pick(&open).copied() else { return };
            let seconds = 1 + random.below(300);
            let token = world.narrow_token(&life.grants[place].0, Some(&format!("{seconds}s")), &[]).await;
            life.tokens.push((token, place, now.plus(Duration::from_secs(seconds as u64))));
        }
        3 if !life.tokens.is_empty() => {
            let place = random.below(life.tokens.len());
            world.revoke("token", &life.tokens[place].0.id).await;
            life.token_ends.insert(place, ());
        }
        4 if !life.grants.is_empty() => {
            let place = random.below(life.grants.len());
            world.revoke("grant", &life.grants[place].0.id).await;
            life.grant_ends.insert(place, ());
        }
        5 if random.below(4) == 0 => {
            let who = PEOPLE[random.below(PEOPLE.len())];
            world.revoke("user", who).await;
            let theirs = life.grants.iter().enumerate().filter(|(_, (grant, _))| grant.user == who);
            life.grant_ends.extend(theirs.map(|(place, _)| (place, ())).collect::<Vec<_>>());
            world.session(who).await;
        }
        _ => world.advance(Duration::from_millis(1 + random.below(60_000) as u64)).await,
    }
}

#[tokio::test]
async fn no_access_outlives_its_grant() {
    let seed = START.as_micros().unsigned_abs() ^ u64::from(std::process::id());
    println!("seed {seed}");
    let (world, random) = (World::of(Setup::default().seed(seed)).await, Random::seeded(seed));
    let mut life = Life::default();
    let (mut let_through, mut refused) = (0, 0);
    for number in 0..STEPS {
        step(&world, &mut life, &random).await;
        for _ in 0..2.min(life.tokens.len()) {
            let place = random.below(life.tokens.len());
            let answer = world.get(&life.tokens[place].0.secret, "/plain/x").await;
            let expected = life.holds(place, world.clock().now());
            assert_eq!(answer.status == 200, expected, "seed {seed}, step {number}: {}", answer.text());
            if expected { let_through += 1 } else { refused += 1 }
        }
    }
    println!("{STEPS} steps: {let_through} let through, {refused} refused");
    world.finish().await;
}

#[tokio::test]
async fn a_refusal_says_in_a_sentence_which_command_gives_access() {
    let setup = Setup::default()
        .role("refunds", &["orders:refundOrder"], &[])
        .role("half-refunds", &["orders:refundOrder"], &[])
        .role("no-refunds", &["orders:read"], &["orders:refundOrder"]);
    let mut world = World::of(setup.clone()).await;
    let next = async |world: &World, credential: &str| {
        let refund = Ask::post("/orders/v1/orders/7/refund", "{}").bearer(credential);
        let refused = world.send(&refund).await;
        assert_eq!(refused.code(), "operation_not_allowed");
        refused.json()["next"].as_str().unwrap().to_owned()
    };
    let token = world.fresh_token("alice", "orders-viewer").await.secret;
    expect!["ask an administrator to run `daypass grant half-refunds --to alice --for 1h --reason 'WHY'`; instead of `half-refunds` it may be `refunds` or `orders-admin`"].assert_eq(&next(&world, &token).await);
    let key = world.service("ci", &["orders-viewer", "no-refunds"]).await.secret;
    expect!["a service's roles are fixed with its key: ask an administrator to run `daypass service add ci-2 --role orders-viewer --role half-refunds --for 90d` (any name that is free will do), and to remove `ci` once nothing uses its key any more; instead of `half-refunds` it may be `refunds` or `orders-admin`"].assert_eq(&next(&world, &key).await);
    let dropped = Setup::default().role("refunds", &["orders:refundOrder"], &[]);
    world.reload(dropped).await.unwrap();
    expect!["a service's roles are fixed with its key: ask an administrator to run `daypass service add ci-2 --role orders-viewer --role refunds --for 90d` (any name that is free will do), and to remove `ci` once nothing uses its key any more; instead of `refunds` it may be `orders-admin`"].assert_eq(&next(&world, &key).await);
    world.finish().await;
}

#[tokio::test]
async fn a_revoked_token_is_told_what_became_of_its_grant() {
    let setup = Setup::default().role("refunds", &["orders:refundOrder"], &[]);
    let mut world = World::of(setup).await;
    let next = async |world: &World, credential: &str| {
        let refused = world.get(credential, "/orders/v1/orders/7").await.json();
        let text = |key: &str| refused[key].as_str().unwrap().to_owned();
        format!("{}: {}", text("code"), text("next"))
    };
    let grant = world.grant("alice", "orders-viewer", "1h").await;
    let token = world.token(&grant).await;
    world.revoke("token", &token.id).await;
    let said = next(&world, &token.secret).await.replace(&grant.id, "GRANT");
    expect!["credential_revoked: its grant is in force: `daypass token GRANT` mints another"]
        .assert_eq(&said);
    world.revoke("user", "alice").await;
    expect!["credential_revoked: its grant has ended too: ask an administrator to run `daypass grant orders-viewer --to alice --for 1h --reason 'WHY'`"].assert_eq(&next(&world, &token.secret).await);
    let other = world.fresh_token("bob", "refunds").await;
    world.revoke("user", "bob").await;
    world.reload(Setup::default()).await.unwrap();
    expect!["credential_revoked: its grant has ended too: ask an administrator for another role: there is no role `refunds` any more, and `daypass roles` lists those that there are"].assert_eq(&next(&world, &other.secret).await);
    world.finish().await;
}

#[tokio::test]
async fn a_refusal_of_a_narrowed_token_is_explained_by_its_narrowing() {
    let world = World::start().await;
    let grant = world.grant("alice", "orders-viewer", "1h").await;
    let token = world.narrow_token(&grant, None, &["GET /v1/orders/{id}"]).await;
    let why = async |target: &str, method: &str| {
        let refused = world.send(&Ask::new(method, target).bearer(&token.secret)).await;
        world.row(&refused).await;
        let explained = world.admin(Ask::get(&format!("/api/v1/explain/{}", refused.id()))).await.json();
        explained["why"][1].as_str().unwrap().to_owned()
    };
    expect![
        "It was refused with 403 `operation_not_allowed`: its token is narrowed to `GET /v1/orders/{id}`."
    ]
    .assert_eq(&why("/orders/v1/orders", "GET").await);
    world.finish().await;
}

#[tokio::test]
async fn a_receipt_names_the_tokens_and_sessions_that_ended_with_what_was_revoked() {
    let world = World::start().await;
    world.session("bob").await;
    let receipt = world.revoke("user", "bob").await;
    assert_eq!(receipt["sessions"].as_array().map(Vec::len), Some(1), "{receipt}");
    let grant = world.grant("alice", "orders-viewer", "1h").await;
    let scopes =
        [("grant", grant.id.clone()), ("role", "orders-viewer".to_owned()), ("api", "orders".to_owned())];
    for (what, name) in scopes {
        let grant =
            if what == "grant" { grant.clone() } else { world.grant("alice", "orders-viewer", "1h").await };
        let token = world.token(&grant).await;
        let receipt = world.revoke(what, &name).await;
        assert_eq!(receipt["tokens"], serde_json::json!([token.id]), "{what}: {receipt}");
    }
    let token = world.fresh_token("alice", "orders-viewer").await;
    let receipt = world.revoke_all().await;
    assert_eq!(receipt["tokens"], serde_json::json!([token.id]), "{receipt}");
    world.finish().await;
}
