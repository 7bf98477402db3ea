//! The keeper with a ledger that works.

use std::sync::Arc;
use std::time::Duration;

use access::operation::Method;
use access::policy::{Asked, Ruling};
use access::{Revision, Timestamp};
use control::{Act, Actor, Change, Command, Denied, RevokeScope, State, Via};
use ledger::{
    AppendError, ExecuteError, FetchError, Keeper, Ledger, Memory, ReadError, Recorded, Sqlite, StoreFault,
};

use crate::world::{
    Audience, DAY, Stopped, adopt, at, bob, grant, house, policy, revoke_all, senseless_policy, service,
    start, unread_policy,
};

#[tokio::test]
async fn a_command_is_in_force_when_it_is_answered() {
    let house = house(Memory::new()).await;
    let given = house.keeper.execute(grant(1)).await.unwrap();
    assert_eq!(given.revision, at(2));
    assert_eq!(given.state.grants().len(), 1);
    let told = house.audience.told();
    assert_eq!(told.newest(), at(2), "published before it was answered");
    assert_eq!(told.views.last().unwrap().grants.len(), 1);
    assert_eq!((house.keeper.view().revision, *house.keeper.head().borrow()), (at(2), at(2)));
    assert_eq!(house.keeper.state(), given.state);
    let revoked = house.keeper.execute(revoke_all()).await.unwrap();
    let told = house.audience.told();
    let grant = told.views.last().unwrap().grants.values().next().cloned().unwrap();
    assert!(!grant.is_in_force(DAY));
    assert!(matches!(&revoked.events[0].change, Change::Revoke { grants, .. } if grants.len() == 1));
}

#[tokio::test]
async fn what_is_denied_or_needs_no_change_is_not_written() {
    let house = house(Memory::new()).await;
    let by = Actor { subject: "user:alice".parse().unwrap(), via: Via::Session };
    let act = Act::Revoke { scope: RevokeScope::All, reason: "fun".into() };
    let denied = house.keeper.execute(Command { by, act }).await;
    assert!(matches!(denied, Err(ExecuteError::Denied(Denied::NotAllowed { .. }))));
    let same = house.keeper.execute(adopt(policy())).await.unwrap();
    assert_eq!((same.revision, same.events.len()), (at(1), 0));
    assert_eq!(house.audience.told().newest(), at(1));
}

#[tokio::test]
async fn each_write_and_each_heartbeat_proves_the_view_at_a_time_before_it() {
    let house = house(Memory::new()).await;
    house.clock.advance(Duration::from_secs(5));
    let later = DAY.plus(Duration::from_secs(5));
    house.keeper.execute(grant(1)).await.unwrap();
    assert_eq!(house.audience.told().proven.last(), Some(&later), "by the write");
    house.clock.advance(Duration::from_secs(60));
    let beaten = house.audience.wait_for(|told| told.proven.last() > Some(&later));
    assert_eq!(beaten.proven.last(), Some(&DAY.plus(Duration::from_secs(65))));
}

#[tokio::test]
async fn a_keeper_whose_state_is_outdated_catches_up_and_decides_again() {
    let ledger = Memory::new();
    let (one, other) = (house(ledger.clone()).await, house(ledger.clone()).await);
    one.keeper.execute(service("ci", 1)).await.unwrap();
    let second = other.keeper.execute(service("ci", 2)).await;
    assert!(matches!(second, Err(ExecuteError::Denied(Denied::Exists { .. }))), "{second:?}");
    other.keeper.execute(grant(1)).await.unwrap();
    one.keeper.head().wait_for(|head| *head == at(3)).await.unwrap();
    assert_eq!(one.keeper.state(), other.keeper.state());
}

#[tokio::test]
async fn a_keeper_that_follows_writes_nothing_and_shows_what_another_has_written() {
    let ledger = Memory::new();
    let (old, new) = (house(ledger.clone()).await, house(ledger.clone()).await);
    old.keeper.follow().await;
    assert!(matches!(old.keeper.execute(grant(1)).await, Err(ExecuteError::Stopped)));
    new.keeper.execute(grant(1)).await.unwrap();
    assert_eq!(old.keeper.catch_up().await.unwrap(), at(2));
    assert_eq!(old.audience.told().newest(), at(2), "published before it was answered");
    old.keeper.lead().await;
    old.keeper.execute(revoke_all()).await.unwrap();
    assert_eq!(new.keeper.catch_up().await.unwrap(), at(3));
}

/// A ledger that loses the race once.
struct Outrun {
    ledger: Memory,
    rival: Option<Vec<control::Event>>,
}

impl Ledger for Outrun {
    fn append(&mut self, expected: Revision, events: &[control::Event]) -> Result<Revision, AppendError> {
        if let Some(rival) = self.rival.take_if(|_| expected == at(1)) {
            self.ledger.append(expected, &rival)?;
        }
        self.ledger.append(expected, events)
    }

    fn read(&mut self, since: Revision, most: usize) -> Result<Vec<Recorded>, ReadError> {
        self.ledger.read(since, most)
    }

    fn prove(&mut self) -> Result<Revision, ReadError> {
        self.ledger.prove()
    }

    fn try_write(&mut self) -> Result<(), StoreFault> {
        self.ledger.try_write()
    }
}

#[tokio::test]
async fn who_comes_second_is_judged_by_what_came_first() {
    let template = house(Memory::new()).await;
    let rival = template.keeper.execute(service("ci", 1)).await.unwrap().events;
    let outrun = Outrun { ledger: Memory::new(), rival: Some(rival) };
    let house = house(outrun).await;
    let denied = house.keeper.execute(service("ci", 2)).await;
    assert!(matches!(denied, Err(ExecuteError::Denied(Denied::Exists { .. }))), "{denied:?}");
    assert_eq!(house.audience.told().newest(), at(2), "the rival's service is in force");
    assert_eq!(house.keeper.state(), template.keeper.state());
}

#[tokio::test]
async fn a_stored_policy_that_does_not_compile_refuses_everything_until_another_is_adopted() {
    let mut ledger = Memory::new();
    let event = control::Event {
        at: DAY,
        by: "local:daypass".parse().unwrap(),
        change: Change::AdoptPolicy { policy: Arc::new(senseless_policy()) },
    };
    ledger.append(at(0), &[event]).unwrap();
    let house = start(ledger).unwrap();
    let view = house.keeper.view();
    assert!(view.policy.policy().apis.is_empty() && view.policy.policy().roles.is_empty());
    assert_eq!(view.revision, at(1));
    house.keeper.execute(adopt(policy())).await.unwrap();
    assert_eq!(house.keeper.view().policy.policy(), &policy());
}

#[tokio::test]
async fn a_stored_rule_that_this_build_cannot_read_refuses_and_the_ledger_is_read_all_the_same() {
    for (list, expected) in [("allow", "allowed"), ("deny", "denied")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        let event = control::Event {
            at: DAY,
            by: "local:daypass".parse().unwrap(),
            change: Change::AdoptPolicy { policy: Arc::new(unread_policy(list)) },
        };
        let mut ledger = ledger::Sqlite::open(&path).unwrap();
        ledger.append(at(0), std::slice::from_ref(&event)).unwrap();
        assert_eq!(ledger.read(at(0), 10).unwrap()[0].event, event);
        let house = start(ledger).unwrap();
        let view = house.keeper.view();
        let asked = Asked { method: Method::Get, path: "/v1", operation: None };
        let said = match view.policy.ruling(&"orders-viewer".parse().unwrap(), 0, asked) {
            Ruling::Allowed(_) => "allowed",
            Ruling::Denied(_) => "denied",
            Ruling::Silent => "silent",
        };
        assert_eq!(said, expected, "{list}");
        let again = house.keeper.execute(adopt(unread_policy("allow"))).await;
        assert_eq!(again.is_ok(), list == "allow", "what cannot be read is not adopted: {again:?}");
        house.keeper.execute(adopt(policy())).await.unwrap();
        house.keeper.stop().await;
        let rebuilt = start(ledger::Sqlite::open(&path).unwrap()).unwrap();
        assert_eq!(rebuilt.keeper.state(), house.keeper.state());
    }
}

#[tokio::test]
async fn a_policy_is_compiled_once_and_shared_by_the_views_after_it() {
    let house = house(Memory::new()).await;
    let first = house.keeper.view().policy.clone();
    house.keeper.execute(grant(1)).await.unwrap();
    assert!(Arc::ptr_eq(&first, &house.keeper.view().policy));
}

#[tokio::test]
async fn readers_get_the_events_as_they_are_recorded() {
    let house = house(Memory::new()).await;
    let mut head = house.keeper.head();
    head.mark_unchanged();
    house.keeper.execute(grant(1)).await.unwrap();
    assert!(head.has_changed().unwrap());
    let read = house.keeper.read(at(0), 10).await.unwrap();
    let kinds: Vec<_> = read.iter().map(|recorded| recorded.event.change.kind()).collect();
    assert_eq!(kinds, ["adopt_policy", "give_grant"]);
    assert_eq!(house.keeper.read(at(1), 10).await.unwrap().len(), 1);
    assert_eq!(house.keeper.read(at(2), 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_stopped_keeper_has_closed_its_ledger_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let house = house(Sqlite::open(&path).unwrap()).await;
    house.keeper.execute(grant(1)).await.unwrap();
    let clone = house.keeper.clone();
    house.keeper.stop().await;
    house.keeper.stop().await;
    assert!(!directory.path().join("ledger.sqlite-wal").exists(), "closed and folded in");
    assert!(matches!(clone.execute(grant(2)).await, Err(ExecuteError::Stopped)));
    assert!(matches!(clone.read(at(0), 1).await, Err(FetchError::Stopped)));
    let again = start(Sqlite::open(&path).unwrap()).unwrap();
    assert_eq!(again.keeper.state(), clone.state());
}

#[tokio::test]
async fn handles_go_to_any_thread() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let house = house(Memory::new()).await;
    shared(&house.keeper);
    let commands = (1..=20).map(|number| house.keeper.execute(grant(number)));
    let mut revisions = Vec::new();
    for command in commands {
        revisions.push(command.await.unwrap().revision.number());
    }
    assert_eq!(revisions, (2..=21).collect::<Vec<_>>());
}

#[test]
fn a_new_keeper_publishes_and_proves_before_it_is_there() {
    let audience = Arc::new(Audience::default());
    let clock = Stopped::at(Timestamp::from_micros(7));
    let keeper = Keeper::start(Memory::new(), clock, audience.clone()).unwrap();
    let told = audience.told();
    assert_eq!((told.newest(), told.proven), (at(0), vec![Timestamp::from_micros(7)]));
    assert_eq!(*keeper.state(), State::new());
    assert!(matches!(bob(Act::RemoveService { name: "ci".parse().unwrap() }).by.via, Via::Session));
}
