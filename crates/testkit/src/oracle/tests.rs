use super::*;
use crate::{Ask, Setup, World};

/// The evidence of a small honest world: an allowed request, a refused one, and a malformed one.
async fn honest() -> Evidence {
    let mut world = World::of(Setup::default()).await;
    let token = world.fresh_token("alice", "orders-viewer").await;
    world.get(&token.secret, "/orders/v1/orders/7?page=2").await;
    world.send(&Ask::new("DELETE", "/orders/v1/orders/7").bearer(&token.secret)).await;
    world.send(&Ask::get("/orders/../x").bearer(&token.secret)).await;
    let evidence = world.gather().await;
    assert_eq!(judge(&evidence), Vec::<String>::new());
    evidence
}

/// What the oracle says after one thing was changed: the numbers of the rules that it names.
async fn after(change: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let mut evidence = honest().await;
    change(&mut evidence);
    let mut rules: Vec<_> =
        judge(&evidence).iter().map(|wrong| wrong.split(' ').next().unwrap().to_owned()).collect();
    rules.dedup();
    rules
}

fn allowed(evidence: &mut Evidence) -> &mut RequestRow {
    evidence.rows.iter_mut().find(|row| row.decision == Decision::Allow).unwrap()
}

fn set(seen: &mut Seen, name: &str, value: &str) {
    seen.fields.iter_mut().filter(|(own, _)| own == name).for_each(|(_, own)| *own = value.to_owned());
}

#[tokio::test]
async fn o1_notices_a_forwarded_request_without_its_row() {
    let missing = after(|evidence| evidence.rows.retain(|row| row.decision != Decision::Allow)).await;
    assert!(missing.contains(&"O1".to_owned()), "{missing:?}");
    assert_eq!(after(|evidence| allowed(evidence).path = "/v1/orders/8".to_owned()).await, ["O1"]);
    assert_eq!(after(|evidence| allowed(evidence).query = Some("other=".to_owned())).await, ["O1"]);
    let method = after(|evidence| evidence.seen[0].method = "PUT".to_owned()).await;
    assert_eq!(method, ["O1"]);
    assert_eq!(after(|evidence| evidence.seen.push(evidence.seen[0].clone())).await, ["O1"]);
    assert_eq!(after(|evidence| evidence.seen.clear()).await, ["O1"]);
}

#[tokio::test]
async fn o2_notices_what_no_role_allows() {
    let role = after(|evidence| {
        evidence.holdings.values_mut().for_each(|holding| holding.roles = vec!["plain-all".to_owned()]);
    });
    assert_eq!(role.await, ["O2"]);
    let narrowed = after(|evidence| {
        evidence
            .holdings
            .values_mut()
            .for_each(|holding| holding.only = vec!["GET /v1/customers".to_owned()]);
    });
    assert_eq!(narrowed.await, ["O2"]);
    let late =
        after(|evidence| evidence.holdings.values_mut().for_each(|holding| holding.until = crate::START));
    assert_eq!(late.await, ["O2"]);
    assert_eq!(after(|evidence| evidence.holdings.clear()).await, ["O2"]);
}

#[tokio::test]
async fn o3_notices_an_answer_given_to_another() {
    let swapped = after(|evidence| {
        let answer = evidence.answers.iter_mut().find(|answer| answer.status == 200).unwrap();
        answer.fields.iter_mut().filter(|(name, _)| name == "upstream-saw").for_each(|(_, id)| id.push('0'));
    });
    assert_eq!(swapped.await, ["O3"]);
}

#[tokio::test]
async fn o4_notices_identity_that_is_not_the_proxys() {
    for (name, value) in
        [("Daypass_Subject", "user:eve"), ("x-forwarded.for", "10.0.0.1"), ("X-Real-IP", "10.0.0.1")]
    {
        let spoofed =
            after(|evidence| evidence.seen[0].fields.push((name.to_owned(), value.to_owned()))).await;
        assert_eq!(spoofed, ["O4"], "{name}");
    }
    assert_eq!(after(|evidence| set(&mut evidence.seen[0], "daypass-grant", "grant_0")).await, ["O4"]);
    let removed = after(|evidence| evidence.seen[0].fields.retain(|(name, _)| name != "traceparent")).await;
    assert_eq!(removed, ["O4"]);
}

#[tokio::test]
async fn o5_notices_a_credential_wherever_it_stands() {
    let journal = after(|evidence| {
        let secret = evidence.secrets[0].clone();
        evidence.texts.push(("the journal".to_owned(), format!("..{secret}..").into_bytes()));
    });
    assert_eq!(journal.await, ["O5"]);
    let upstream = after(|evidence| {
        let bare = evidence.secrets[0].trim_start_matches("dpt_").trim_start_matches("dpc_").to_owned();
        evidence.seen[0].raw.extend(bare.bytes());
    });
    assert_eq!(upstream.await, ["O5"]);
    let client = after(|evidence| {
        let bare = UPSTREAM_KEY.trim_start_matches("Bearer ");
        evidence.answers[0].body.extend(bare.bytes());
    });
    assert_eq!(client.await, ["O5"]);
}

#[tokio::test]
async fn o6_notices_an_answer_after_a_framing_refusal() {
    let followed = after(|evidence| {
        let malformed = evidence.answers.iter().find(|answer| answer.status == 400).unwrap().connection;
        let mut next = evidence.answers[0].clone();
        next.connection = malformed;
        evidence.answers.push(next);
    });
    assert_eq!(followed.await, ["O6"]);
}

#[tokio::test]
async fn o7_notices_an_answer_without_its_row_or_a_row_without_its_end() {
    let refusals = after(|evidence| evidence.rows.retain(|row| row.decision == Decision::Allow)).await;
    assert_eq!(refusals, ["O7"]);
    let counted = after(|evidence| {
        evidence.rows.retain(|row| row.decision == Decision::Allow);
        evidence.counted = 9;
    });
    assert_eq!(counted.await, ["O7"], "an answer with a receipt has a row");
    let status = after(|evidence| evidence.rows.iter_mut().for_each(|row| row.status = Some(299))).await;
    assert_eq!(status, ["O7"]);
    let reason = after(|evidence| {
        let refused = evidence.rows.iter_mut().filter(|row| row.decision == Decision::Refuse);
        refused.for_each(|row| row.reason = Some("overloaded".to_owned()));
    });
    assert_eq!(reason.await, ["O7"]);
    assert_eq!(after(|evidence| allowed(evidence).outcome = Some(RowOutcome::Abandoned)).await, ["O7"]);
    assert_eq!(after(|evidence| allowed(evidence).outcome = None).await, ["O7"]);
    let nameless = after(|evidence| evidence.answers.push(Answer { status: 400, ..Answer::default() })).await;
    assert_eq!(nameless, ["O7"]);
}

#[tokio::test]
async fn o8_notices_an_exchange_that_nobody_waits_for() {
    let mut world = World::of(Setup::default()).await;
    let token = world.fresh_token("alice", "plain-all").await;
    world.upstream().on("/hang", crate::Behavior::Hang);
    let mut waiting = world.connect().await;
    waiting.send(Ask::get("/plain/hang").bearer(&token.secret).bytes()).await;
    crate::eventually("the upstream hangs", async || world.upstream().seen_at("/hang").pop()).await;
    let wrong = judge(&world.gather().await);
    assert!(wrong.iter().any(|wrong| wrong.starts_with("O8 1 exchanges are open")), "{wrong:?}");
    drop(waiting);
}

#[tokio::test]
#[should_panic(expected = "dropped without `finish`")]
async fn a_world_that_is_not_finished_fails_its_test() {
    drop(World::start().await);
}
