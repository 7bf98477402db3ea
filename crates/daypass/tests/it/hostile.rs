//! The hostile corpus, class by class, in the clear and over TLS.

use expect_test::expect;
use testkit::hostile::exhaustion::{ALL, Attack, is_served};
use testkit::hostile::neighbor::Neighbor;
use testkit::hostile::{self, answers, framing, heads, http2, identity, paths};
use testkit::vitals::Vitals;
use testkit::{Setup, World, eventually};

async fn check(setup: Setup, cases: Vec<hostile::Case>) {
    let world = World::of(setup).await;
    hostile::check(&world, cases).await;
    world.finish().await;
}

#[test]
fn the_corpus_is_this_large() {
    let h1 = [framing::cases(), heads::cases(), paths::cases(), identity::cases()].map(|cases| cases.len());
    let counts = format!(
        "framing {}, heads {}, paths {}, identity {}; HTTP/2 {}; upstreams {}; exhaustion {}",
        h1[0],
        h1[1],
        h1[2],
        h1[3],
        http2::cases().len(),
        answers::cases().len(),
        ALL.len(),
    );
    expect!["framing 216, heads 179, paths 324, identity 1075; HTTP/2 358; upstreams 86; exhaustion 17"]
        .assert_eq(&counts);
}

#[tokio::test]
#[should_panic(expected = "1 of 2 cases")]
async fn a_case_that_comes_to_something_else_is_named() {
    let world = World::start().await;
    let sent = "GET {at} HTTP/1.1\r\nHost: api.example\r\n{auth}\r\n";
    let right = hostile::forwarded("GET {at}", "");
    let cases = [right, hostile::MALFORMED].map(|expected| hostile::Case::new("a case", sent, expected));
    hostile::check(&world, cases.to_vec()).await;
}

#[tokio::test]
async fn bodies_with_two_ends_have_none() {
    check(Setup::default(), framing::cases()).await;
}

#[tokio::test]
async fn heads_with_two_readings_are_refused() {
    check(Setup::default(), heads::cases()).await;
}

#[tokio::test]
async fn paths_with_two_spellings_are_one_or_none() {
    check(Setup::default(), paths::cases()).await;
}

#[tokio::test]
async fn nobody_speaks_for_the_proxy() {
    check(Setup::default(), identity::cases()).await;
}

#[tokio::test]
async fn what_is_refused_in_the_clear_is_refused_over_tls() {
    let all = [framing::cases(), heads::cases(), paths::cases(), identity::cases()].concat();
    check(Setup::default().secured(), all.into_iter().step_by(5).collect()).await;
}

#[tokio::test]
async fn http2_says_no_more_than_http1_can() {
    let world = World::start().await;
    http2::check(&world, http2::cases()).await;
    world.finish().await;
}

#[tokio::test]
async fn http2_over_tls_says_no_more_either() {
    let world = World::of(Setup::default().secured()).await;
    http2::check(&world, http2::cases().into_iter().step_by(5).collect()).await;
    world.finish().await;
}

#[tokio::test]
async fn an_upstreams_answer_is_one_answer_or_none() {
    let world = World::start().await;
    answers::check(&world, answers::cases()).await;
    world.finish().await;
}

/// What a process may grow by while it is attacked: what clients were answered is kept for the oracle.
const GROWTH: Vitals = Vitals { threads: 0, descriptors: 8, memory_kib: 64 * 1024 };

#[tokio::test]
async fn clients_that_exhaust_are_nobodys_trouble_but_their_own() {
    let neighbor = Neighbor::start().await;
    let world = World::of(neighbor.beside(Setup::default()).running()).await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let near = world.fresh_token("bob", "near-all").await.secret;
    // What stays anyway is there before anything is counted.
    Attack::SlowReaders.run(&world, &token).await;
    assert!(is_served(&world, &token).await);
    let before = Vitals::now();
    for attack in ALL {
        neighbor.ask(&world, &near).await;
        attack.run(&world, &token).await;
        assert!(is_served(&world, &token).await, "after {attack:?}");
        let verdict = neighbor.verdict().await;
        assert!(verdict.is_ok(), "{attack:?}: {verdict:?}");
    }
    eventually("nothing but what was there before", async || {
        Vitals::now().grown(before, GROWTH).is_empty().then_some(())
    })
    .await;
    neighbor.leave(&world);
    world.finish().await;
}
