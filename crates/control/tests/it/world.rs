//! A small world to tell stories in: one API, a few people, and the state that their commands add up to.

use std::sync::Arc;

use access::arrival::{Arrival, BodyLength, Shown};
use access::authenticate::authenticate;
use access::authorize::authorize;
use access::canonical::Target;
use access::credential::{CredentialKind, Digest, mint};
use access::operation::Method;
use access::policy::{Compiled, Policy};
use access::view::View;
use access::{GrantId, KeyId, Refused, RequestId, Secret, SessionId, SubjectId, Timestamp, TokenId};
use control::{Act, Actor, Command, Denied, Event, State, Via, decide, project};

/// Midnight of the day of every story.
pub(crate) const DAY: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);

/// People, their roles and two APIs without contracts, as the ledger writes policies.
pub(crate) const POLICY: &str = r#"{
    "apis": [
        {"name": "orders", "route": {"prefix": "orders"}, "operations": null, "unlisted": "allow", "request_body_bytes_max": 1024},
        {"name": "stock", "route": {"prefix": "stock"}, "operations": null, "unlisted": "allow", "request_body_bytes_max": 1024}
    ],
    "roles": {
        "orders-admin": {"allow": ["orders:all"]},
        "orders-viewer": {"allow": ["orders:read"]},
        "stock-viewer": {"allow": ["stock:read"]}
    },
    "users": {"alice": ["sre"], "bob": [], "carol": ["platform"], "dave": ["platform"]},
    "administrators": ["user:bob", "group:platform"],
    "auditors": []
}"#;

pub(crate) fn policy() -> Policy {
    serde_json::from_str(POLICY).unwrap()
}

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) events: Vec<Event>,
    made: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            compiled: Arc::new(Compiled::new(Policy::default()).unwrap()),
            events: Vec::new(),
            made: 0,
        };
        world.adopt(policy(), DAY);
        world
    }

    pub(crate) fn adopt(&mut self, policy: Policy, now: Timestamp) {
        let binary = Actor { subject: "local:daypass".parse().unwrap(), via: Via::System };
        self.execute(binary, Act::AdoptPolicy(Arc::new(policy)), now).unwrap();
    }

    /// Decides a command and takes its events in.
    pub(crate) fn execute(&mut self, by: Actor, act: Act, now: Timestamp) -> Result<Vec<Event>, Denied> {
        let events = decide(&self.state, &Command { by, act }, now)?;
        for event in &events {
            self.state.apply(event);
        }
        if self.compiled.policy() != &**self.state.policy() {
            let policy = Policy::clone(self.state.policy());
            self.compiled = Arc::new(Compiled::new(policy).unwrap());
        }
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    pub(crate) fn view(&self) -> View {
        project(&self.state, Arc::clone(&self.compiled))
    }

    /// Ten bytes that no other id has.
    fn entropy(&mut self) -> [u8; 10] {
        self.made += 1;
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.made.to_be_bytes());
        bytes
    }

    pub(crate) fn grant_id(&mut self, now: Timestamp) -> GrantId {
        GrantId::new(now, self.entropy())
    }

    pub(crate) fn token_id(&mut self, now: Timestamp) -> TokenId {
        TokenId::new(now, self.entropy())
    }

    pub(crate) fn key_id(&mut self, now: Timestamp) -> KeyId {
        KeyId::new(now, self.entropy())
    }

    pub(crate) fn session_id(&mut self, now: Timestamp) -> SessionId {
        SessionId::new(now, self.entropy())
    }

    pub(crate) fn secret(&mut self, kind: CredentialKind) -> (Secret, Digest) {
        let mut bytes = [0; 32];
        bytes[..10].copy_from_slice(&self.entropy());
        mint(kind, &bytes)
    }
}

/// Somebody with a session, or on the server's own machine if named `local:…`.
pub(crate) fn actor(name: &str) -> Actor {
    let subject: SubjectId = name.parse().unwrap();
    let via = if name.starts_with("local:") { Via::Socket } else { Via::Session };
    Actor { subject, via }
}

/// Asks the way the gateway does: `Ok` with the rule that allows it.
pub(crate) fn ask(
    view: &View,
    credential: &[u8],
    method: Method,
    path: &str,
    now: Timestamp,
) -> Result<String, Refused> {
    let arrival = Arrival {
        id: RequestId::new(now, [0; 10]),
        at: now,
        client: [127, 0, 0, 1].into(),
        method,
        host: "localhost",
        target: Target::parse(path, None).unwrap(),
        shown: Shown::Bearer(access::credential::parse(credential)),
        certificate: None,
        body: BodyLength::None,
    };
    let authorized = authorize(authenticate(view, &arrival)?)?;
    Ok(authorized.rule().to_string())
}
