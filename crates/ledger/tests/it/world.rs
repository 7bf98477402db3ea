//! What the tests share: a clock that stands still, somebody who is published to, and a few commands.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use access::credential::Digest;
use access::policy::Policy;
use access::view::View;
use access::{Clock, GrantId, KeyId, Revision, Timestamp};
use control::command::{AddService, GiveGrant};
use control::{Act, Actor, Change, Command, Event, RevokeScope, Via};
use ledger::{Keeper, Ledger, Publish, StartError};

pub(crate) const DAY: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

const POLICY: &str = r#"{
    "apis": [{"name": "orders", "route": {"prefix": "orders"}, "operations": null, "unlisted": "allow", "request_body_bytes_max": 1024}],
    "roles": {"orders-viewer": {"allow": ["orders:read"]}},
    "users": {"alice": [], "bob": []},
    "administrators": ["user:bob"],
    "auditors": []
}"#;

pub(crate) fn policy() -> Policy {
    serde_json::from_str(POLICY).unwrap()
}

/// The same, with a rule about an API that there is not.
pub(crate) fn senseless_policy() -> Policy {
    serde_json::from_str(&POLICY.replace("orders:read", "nothing:read")).unwrap()
}

/// The same, as another build recorded it: with rules that this one cannot read.
pub(crate) fn unread_policy(list: &str) -> Policy {
    let rules = match list {
        "allow" => r#"["orders:read", "orders:FETCH /v1"]"#,
        _ => r#"["orders:read"], "deny": ["orders:FETCH /v1"]"#,
    };
    serde_json::from_str(&POLICY.replace(r#"["orders:read"]"#, rules)).unwrap()
}

#[derive(Debug)]
pub(crate) struct Stopped(AtomicI64);

impl Stopped {
    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.as_micros())))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// What was published so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) views: Vec<Arc<View>>,
    pub(crate) proven: Vec<Timestamp>,
}

impl Told {
    pub(crate) fn newest(&self) -> Revision {
        self.views.last().unwrap().revision
    }
}

#[derive(Debug, Default)]
pub(crate) struct Audience {
    told: Mutex<Told>,
    news: Condvar,
}

impl Audience {
    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    /// Waits until enough has been told.
    pub(crate) fn wait_for(&self, enough: impl Fn(&Told) -> bool) -> Told {
        let told = self.told.lock().unwrap();
        let waited = self.news.wait_timeout_while(told, PATIENCE, |told| !enough(told));
        let (told, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "not told in time: {told:?}");
        told.clone()
    }
}

impl Publish for Audience {
    fn publish(&self, view: Arc<View>) {
        self.told.lock().unwrap().views.push(view);
        self.news.notify_all();
    }

    fn proven(&self, at: Timestamp) {
        self.told.lock().unwrap().proven.push(at);
        self.news.notify_all();
    }
}

/// A keeper with its surroundings.
pub(crate) struct House {
    pub(crate) keeper: Keeper,
    pub(crate) audience: Arc<Audience>,
    pub(crate) clock: Arc<Stopped>,
}

pub(crate) fn start(ledger: impl Ledger) -> Result<House, StartError> {
    let audience = Arc::new(Audience::default());
    let clock = Stopped::at(DAY);
    let keeper = Keeper::start(ledger, clock.clone(), audience.clone())?;
    Ok(House { keeper, audience, clock })
}

/// A keeper whose ledger holds the policy of these tests.
pub(crate) async fn house(ledger: impl Ledger) -> House {
    let house = start(ledger).unwrap();
    house.keeper.execute(adopt(policy())).await.unwrap();
    house
}

pub(crate) fn adopt(policy: Policy) -> Command {
    let by = Actor { subject: "local:daypass".parse().unwrap(), via: Via::System };
    Command { by, act: Act::AdoptPolicy(Arc::new(policy)) }
}

pub(crate) fn bob(act: Act) -> Command {
    let by = Actor { subject: "user:bob".parse().unwrap(), via: Via::Session };
    Command { by, act }
}

pub(crate) fn grant(number: u8) -> Command {
    bob(Act::GiveGrant(GiveGrant {
        id: GrantId::new(DAY, [number; 10]),
        to: "alice".parse().unwrap(),
        role: "orders-viewer".parse().unwrap(),
        lifetime: "1h".parse().unwrap(),
        reason: "on call".into(),
        incident: None,
    }))
}

pub(crate) fn service(name: &str, number: u8) -> Command {
    bob(Act::AddService(AddService {
        id: KeyId::new(DAY, [number; 10]),
        digest: Digest::of(&[number]),
        name: name.parse().unwrap(),
        roles: vec!["orders-viewer".parse().unwrap()],
        lifetime: "1d".parse().unwrap(),
    }))
}

pub(crate) fn revoke_all() -> Command {
    bob(Act::Revoke { scope: RevokeScope::All, reason: "leaked".into() })
}

/// Events for engines, which know no rules.
pub(crate) fn events(count: u8) -> Vec<Event> {
    let event = |number| Event {
        at: DAY.plus(Duration::from_secs(u64::from(number))),
        by: "user:bob".parse().unwrap(),
        change: Change::GiveGrant {
            grant: GrantId::new(DAY, [number; 10]),
            subject: "user:alice".parse().unwrap(),
            role: "orders-viewer".parse().unwrap(),
            until: access::Deadline::at(DAY.plus(Duration::from_secs(3_600))),
            reason: format!("because {number}").into(),
            incident: None,
        },
    };
    (0..count).map(event).collect()
}

pub(crate) fn at(number: u64) -> Revision {
    Revision::from_number(number)
}
