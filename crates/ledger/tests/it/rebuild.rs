//! Whatever was done: what is on disk adds up to what was in memory.

use std::time::Duration;

use access::credential::Digest;
use access::{GrantId, Lifetime, TokenId};
use control::command::{MintToken, RotateService};
use control::{Act, Actor, Command, RevokeScope, State, Via};
use ledger::{ExecuteError, Ledger, Sqlite};
use proptest::prelude::*;

use crate::world::{DAY, adopt, at, bob, grant, policy, service, start};

/// A command by the numbers drawn for it; each number is used for one id.
fn command(number: u8, kind: u8, which: u8) -> Command {
    let alice = || Actor { subject: "user:alice".parse().unwrap(), via: Via::Session };
    let id = GrantId::new(DAY, [which; 10]);
    match kind {
        0 | 1 => grant(number),
        2 | 3 => {
            let mint = MintToken {
                id: TokenId::new(DAY, [number; 10]),
                digest: Digest::of(&[number, 1]),
                grant: Some(id),
                lifetime: Lifetime::from_secs(u64::from(which) + 1),
                only: vec!["GET /v1/{id}".parse().unwrap()],
            };
            Command { by: alice(), act: Act::MintToken(mint) }
        }
        4 => service(if which.is_multiple_of(2) { "ci" } else { "cd" }, number),
        5 => bob(Act::RotateService(RotateService {
            id: access::KeyId::new(DAY, [number; 10]),
            digest: Digest::of(&[number, 2]),
            name: "ci".parse().unwrap(),
            lifetime: None,
        })),
        6 => bob(Act::RemoveService { name: "cd".parse().unwrap() }),
        7 => bob(Act::Revoke { scope: RevokeScope::Grant(id), reason: "ä \"quoted\" \\ reason".into() }),
        8 => bob(Act::Revoke { scope: RevokeScope::All, reason: "leaked".into() }),
        _ => {
            let mut changed = policy();
            changed.users.insert(format!("user-{which}").parse().unwrap(), [].into());
            adopt(changed)
        }
    }
}

async fn play(steps: &[(u8, u8, u32)], ledger: Sqlite) -> std::sync::Arc<State> {
    let house = start(ledger).unwrap();
    house.keeper.execute(adopt(policy())).await.unwrap();
    for (number, (kind, which, wait)) in (0_u8..).zip(steps) {
        house.clock.advance(Duration::from_secs(u64::from(*wait)));
        let answer = house.keeper.execute(command(number, *kind, *which)).await;
        assert!(matches!(answer, Ok(_) | Err(ExecuteError::Denied(_))), "{answer:?}");
    }
    house.keeper.stop().await;
    house.keeper.state()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_fold_of_the_ledger_rebuilt_from_disk_equals_the_live_state(
        steps in prop::collection::vec((0_u8..10, 0_u8..30, prop_oneof![0_u32..100, 100_000_u32..900_000]), 1..30)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let live = runtime.block_on(play(&steps, Sqlite::open(&path).unwrap()));
        let mut rebuilt = State::new();
        let mut ledger = Sqlite::open(&path).unwrap();
        for recorded in ledger.read(at(0), usize::MAX).unwrap() {
            rebuilt.apply(&recorded.event);
            prop_assert_eq!(rebuilt.revision(), recorded.revision);
        }
        prop_assert_eq!(&rebuilt, &*live);
        let restarted = start(ledger).unwrap();
        prop_assert_eq!(&*restarted.keeper.state(), &*live);
        let view = restarted.keeper.view();
        prop_assert_eq!(view.policy.policy(), &**live.policy());
    }
}
