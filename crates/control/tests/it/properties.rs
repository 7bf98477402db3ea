//! What holds whatever is done, in whatever order, at whatever time.

use std::time::Duration;

use access::Timestamp;
use access::credential::CredentialId;
use access::view::Credential;
use control::{Change, Event, State, Via, decide, project};
use proptest::prelude::*;

use crate::random::{Deed, Run, deeds};
use crate::world::{World, ask};

fn run(deeds: &[(u32, Deed)]) -> Run {
    let mut run = Run::new();
    for (wait, deed) in deeds {
        run.wait(*wait);
        run.perform(deed);
    }
    run
}

fn fold<'e>(events: impl IntoIterator<Item = &'e Event>) -> State {
    events.into_iter().fold(State::new(), |mut state, event| {
        state.apply(event);
        state
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Each request is judged as a list of grants without any index would judge it: never allowed when its
    /// grant or credential has expired or was ended, and always when neither.
    #[test]
    fn no_access_outlives_its_grant(deeds in deeds(1..80)) {
        let mut run = Run::new();
        for (wait, deed) in &deeds {
            run.wait(*wait);
            run.perform(deed);
            run.compare_all()?;
            run.wait(1);
            run.compare_all()?;
        }
    }

    #[test]
    fn a_fold_of_the_events_equals_the_live_state(deeds in deeds(1..80)) {
        let run = run(&deeds);
        prop_assert_eq!(&fold(&run.world.events), &run.world.state);
        let written = serde_json::to_vec(&run.world.events).unwrap();
        let read: Vec<Event> = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(&read, &run.world.events);
        prop_assert_eq!(&fold(&read), &run.world.state);
    }

    #[test]
    fn deciding_changes_nothing_and_says_the_same_again(deeds in deeds(1..40)) {
        let mut run = Run::new();
        for (wait, deed) in &deeds {
            run.wait(*wait);
            let Some(command) = run.command(deed) else {
                run.perform(deed);
                continue;
            };
            let World { state, .. } = &run.world;
            let before = state.clone();
            let first = decide(state, &command, run.now);
            prop_assert_eq!(&first, &decide(state, &command, run.now));
            prop_assert_eq!(&before, state);
            run.perform(deed);
        }
    }

    /// Nor does anybody give who may not: a session's holder gives only while they administer.
    #[test]
    fn nobody_grants_to_themselves(deeds in deeds(1..80)) {
        for event in &run(&deeds).world.events {
            if let Change::GiveGrant { subject, .. } = &event.change {
                prop_assert_ne!(event.by.name(), subject.name());
                prop_assert_ne!(event.by.to_string(), "user:alice", "who administers nothing");
            }
        }
    }

    #[test]
    fn a_narrowed_token_is_allowed_nothing_that_its_grant_is_not(deeds in deeds(1..60)) {
        let run = run(&deeds);
        let view = run.world.view();
        for narrowed in &run.tokens {
            for wide in run.tokens.iter().filter(|wide| wide.grant == narrowed.grant && wide.only.is_empty()) {
                for (method, path) in Run::requests() {
                    let asked = |token: &crate::random::Token| {
                        ask(&view, token.secret.expose(), method, path, run.now)
                    };
                    let wide_in_force = !wide.ended && wide.until > run.now;
                    if wide_in_force && asked(narrowed).is_ok() {
                        prop_assert!(asked(wide).is_ok(), "{method} {path}");
                    }
                }
            }
        }
    }

    /// No event outdates a deadline: a token ends no later than its grant.
    #[test]
    fn no_token_is_made_to_outlive_its_grant(deeds in deeds(1..60)) {
        let state = run(&deeds).world.state;
        for credential in state.credentials().values() {
            let Credential::Token(token) = &**credential else { continue };
            if let Some(grant) = state.grants().get(&token.grant) {
                prop_assert!(token.until <= grant.until);
            }
        }
    }

    /// What is kept can be found by every way that leads to it, and nothing is kept longer than a week
    /// after its end.
    #[test]
    fn indexes_lead_to_all_there_is_and_to_nothing_else(deeds in deeds(1..80)) {
        let mut run = run(&deeds);
        check_indexes(&run.world.state)?;
        run.wait(400 * 86_400);
        run.world.adopt(access::policy::Policy::default(), run.now);
        let newest = run.world.events.last().unwrap();
        let nothing_else_happened = fold(run.world.events.iter().map(|_| newest));
        prop_assert_eq!(&run.world.state, &nothing_else_happened);
    }

    /// The state takes any event in any order: a ledger merged by hand is folded, not judged.
    #[test]
    fn applying_never_fails(deeds in deeds(1..60), order in any::<prop::sample::Index>(), back in 0_u64..100) {
        let mut events = run(&deeds).world.events;
        let turn = order.index(events.len());
        events.rotate_left(turn);
        events.extend(events.clone());
        let earlier = |at: Timestamp| at.minus(Duration::from_secs(back * 3_600));
        for event in events.iter_mut().step_by(3) {
            event.at = earlier(event.at);
        }
        let state = fold(&events);
        prop_assert_eq!(state.revision().number(), events.len() as u64);
        check_indexes(&state)?;
    }
}

fn check_indexes(state: &State) -> Result<(), TestCaseError> {
    let (mut tokens, mut sessions) = (0, 0);
    for grant in state.grants().values() {
        prop_assert!(state.grants_of(&grant.subject).any(|found| found.id == grant.id));
    }
    for (digest, credential) in state.credentials() {
        let id = match &**credential {
            Credential::Token(token) => {
                tokens += 1;
                prop_assert!(state.tokens_of(token.grant).any(|found| found.id == token.id));
                CredentialId::Token(token.id)
            }
            Credential::Key(key) => CredentialId::Key(key.id),
            Credential::Session(session) => {
                sessions += 1;
                prop_assert!(state.sessions_of(&session.subject).any(|found| found.id == session.id));
                CredentialId::Session(session.id)
            }
        };
        prop_assert_eq!(state.credential(id), Some(&**credential), "{}", digest);
    }
    let listed: usize = state.grants().keys().map(|grant| state.tokens_of(*grant).count()).sum();
    prop_assert!(listed <= tokens);
    prop_assert!(state.services().count() <= state.credentials().len() - tokens - sessions);
    Ok(())
}

#[test]
fn a_view_is_the_state_that_it_was_made_from() {
    let mut run = Run::new();
    run.perform(&Deed::Grant { by: 4, to: 0, role: 1, secs: 600, incident: None });
    let view = project(&run.world.state, run.world.compiled.clone());
    assert_eq!(view.revision, run.world.state.revision());
    assert_eq!(&view.grants, run.world.state.grants());
    assert_eq!(&view.credentials, run.world.state.credentials());
    assert_eq!(crate::world::actor("local:root").via, Via::Socket);
}
