//! Deeds at random, and a naive account of what they should lead to: plain lists, searched from end to end.

use std::ops::Range;
use std::time::Duration;

use access::credential::CredentialKind;
use access::operation::Method;
use access::role::MethodPath;
use access::{
    Deadline, GrantId, IncidentId, KeyId, Lifetime, RoleName, Secret, SessionId, SubjectId, Timestamp,
    TokenId,
};
use control::command::{AddService, GiveGrant, MintToken, OpenSession, RotateService};
use control::{Act, Command, RevokeScope};
use proptest::prelude::*;

use crate::world::{DAY, World, actor, ask, policy};

const ACTORS: [&str; 6] = ["alice", "bob", "carol", "dave", "local:root", "local:alice"];
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const SERVICES: [&str; 2] = ["ci", "bob"];
const INCIDENTS: [&str; 2] = ["INC-1", "INC-2"];
/// Each role with the API that it is about, and whether it covers more than reading.
const ROLES: [(&str, &str, bool); 3] =
    [("orders-admin", "orders", true), ("orders-viewer", "orders", false), ("stock-viewer", "stock", false)];
const ONLY: [&str; 4] = ["GET /1", "* /**", "POST /1", "GET /2/**"];

/// One thing that somebody does. Numbers pick from the lists above, or from what was made so far.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Grant {
        by: usize,
        to: usize,
        role: usize,
        secs: u64,
        incident: Option<usize>,
    },
    Token {
        by: usize,
        grant: Option<usize>,
        secs: Option<u64>,
        only: Vec<usize>,
    },
    Add {
        by: usize,
        name: usize,
        roles: Vec<usize>,
        secs: u64,
    },
    Rotate {
        by: usize,
        name: usize,
        secs: Option<u64>,
    },
    Remove {
        by: usize,
        name: usize,
    },
    Open {
        by: usize,
        user: usize,
    },
    Close {
        by: usize,
        session: usize,
    },
    Revoke {
        by: usize,
        scope: usize,
        which: usize,
    },
    /// Which users and roles the configuration names from now on: a bit for each that it drops.
    Adopt {
        dropped: usize,
    },
}

/// A number of deeds, each after a wait in seconds.
pub(crate) fn deeds(count: Range<usize>) -> impl Strategy<Value = Vec<(u32, Deed)>> {
    let wait = prop_oneof![
        6 => 0_u32..600,
        3 => 600_u32..20_000,
        1 => 86_400_u32..2_000_000,
    ];
    prop::collection::vec((wait, deed()), count)
}

fn deed() -> impl Strategy<Value = Deed> {
    let by = 0..ACTORS.len();
    let secs = prop_oneof![1_u64..8_000, 1_u64..40 * 86_400];
    let any = 0_usize..64;
    prop_oneof![
        5 => (by.clone(), any.clone(), any.clone(), secs.clone(), prop::option::of(any.clone()))
            .prop_map(|(by, to, role, secs, incident)| Deed::Grant { by, to, role, secs, incident }),
        6 => (by.clone(), prop::option::of(any.clone()), prop::option::of(secs.clone()), prop::collection::vec(any.clone(), 0..3))
            .prop_map(|(by, grant, secs, only)| Deed::Token { by, grant, secs, only }),
        2 => (by.clone(), any.clone(), prop::collection::vec(any.clone(), 0..3), secs.clone())
            .prop_map(|(by, name, roles, secs)| Deed::Add { by, name, roles, secs }),
        1 => (by.clone(), any.clone(), prop::option::of(secs))
            .prop_map(|(by, name, secs)| Deed::Rotate { by, name, secs }),
        1 => (by.clone(), any.clone()).prop_map(|(by, name)| Deed::Remove { by, name }),
        1 => (by.clone(), any.clone()).prop_map(|(by, user)| Deed::Open { by, user }),
        1 => (by.clone(), any.clone()).prop_map(|(by, session)| Deed::Close { by, session }),
        3 => (by, 0_usize..8, any.clone()).prop_map(|(by, scope, which)| Deed::Revoke { by, scope, which }),
        1 => any.prop_map(|dropped| Deed::Adopt { dropped }),
    ]
}

#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) id: GrantId,
    subject: SubjectId,
    role: RoleName,
    incident: Option<IncidentId>,
    until: Timestamp,
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) grant: GrantId,
    pub(crate) only: Vec<MethodPath>,
    pub(crate) until: Timestamp,
    pub(crate) ended: bool,
    pub(crate) secret: Secret,
}

#[derive(Debug)]
struct Key {
    id: KeyId,
    service: SubjectId,
    roles: Vec<RoleName>,
    since: Timestamp,
    until: Timestamp,
    ended: bool,
    removed: bool,
    secret: Secret,
}

/// A world, and the naive account of it.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    pub(crate) tokens: Vec<Token>,
    grants: Vec<Grant>,
    keys: Vec<Key>,
    sessions: Vec<SessionId>,
    /// The credential of the command under way.
    fresh: Option<Secret>,
}

fn pick<T>(list: &[T], number: usize) -> &T {
    &list[number % list.len()]
}

fn lifetime(secs: u64) -> Lifetime {
    Lifetime::from_secs(secs).unwrap()
}

impl Run {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            now: DAY,
            tokens: Vec::new(),
            grants: Vec::new(),
            keys: Vec::new(),
            sessions: Vec::new(),
            fresh: None,
        }
    }

    pub(crate) fn wait(&mut self, seconds: u32) {
        self.now = self.now.plus(Duration::from_secs(seconds.into()));
    }

    /// The requests that every credential is tried with.
    pub(crate) fn requests() -> impl Iterator<Item = (Method, &'static str)> {
        let methods = [Method::Get, Method::Post];
        let paths = ["/orders/1", "/orders/2", "/orders/2/x", "/stock/1"];
        methods.into_iter().flat_map(move |method| paths.map(|path| (method, path)))
    }

    /// Does it, and where it is allowed writes down what should follow.
    pub(crate) fn perform(&mut self, deed: &Deed) {
        let Some(Command { by, act }) = self.command(deed) else {
            return self.adopt(deed);
        };
        if self.world.execute(by.clone(), act.clone(), self.now).is_ok() {
            self.account(act, &by.subject);
        }
    }

    fn adopt(&mut self, deed: &Deed) {
        let Deed::Adopt { dropped } = deed else { return };
        let mut changed = policy();
        for (place, name) in USERS.iter().enumerate() {
            if dropped & 1 << place != 0 {
                changed.users.remove(*name);
            }
        }
        for (place, (name, ..)) in ROLES.iter().enumerate() {
            if dropped & 8 << place != 0 {
                changed.roles.remove(*name);
            }
        }
        self.world.adopt(changed, self.now);
    }

    /// The command of a deed; `None` for those that nobody commands.
    pub(crate) fn command(&mut self, deed: &Deed) -> Option<Command> {
        let (by, act) = match deed {
            Deed::Grant { by, to, role, secs, incident } => (
                by,
                Act::GiveGrant(GiveGrant {
                    id: self.world.grant_id(self.now),
                    to: pick(&USERS, *to).parse().unwrap(),
                    role: pick(&ROLES, *role).0.parse().unwrap(),
                    lifetime: lifetime(*secs),
                    reason: "because".into(),
                    incident: incident.map(|number| pick(&INCIDENTS, number).parse().unwrap()),
                }),
            ),
            Deed::Token { by, grant, secs, only } => {
                let known = grant.filter(|_| !self.grants.is_empty());
                (
                    by,
                    Act::MintToken(MintToken {
                        id: self.world.token_id(self.now),
                        digest: self.credential(CredentialKind::Token),
                        grant: known.map(|number| pick(&self.grants, number).id),
                        lifetime: secs.map(lifetime),
                        only: only.iter().map(|number| pick(&ONLY, *number).parse().unwrap()).collect(),
                    }),
                )
            }
            Deed::Add { by, name, roles, secs } => (
                by,
                Act::AddService(AddService {
                    id: self.world.key_id(self.now),
                    digest: self.credential(CredentialKind::Key),
                    name: pick(&SERVICES, *name).parse().unwrap(),
                    roles: roles.iter().map(|number| pick(&ROLES, *number).0.parse().unwrap()).collect(),
                    lifetime: lifetime(*secs),
                }),
            ),
            Deed::Rotate { by, name, secs } => (
                by,
                Act::RotateService(RotateService {
                    id: self.world.key_id(self.now),
                    digest: self.credential(CredentialKind::Key),
                    name: pick(&SERVICES, *name).parse().unwrap(),
                    lifetime: secs.map(lifetime),
                }),
            ),
            Deed::Remove { by, name } => {
                (by, Act::RemoveService { name: pick(&SERVICES, *name).parse().unwrap() })
            }
            Deed::Open { by, user } => (
                by,
                Act::OpenSession(OpenSession {
                    id: self.world.session_id(self.now),
                    digest: self.credential(CredentialKind::Session),
                    subject: pick(&USERS, *user).parse().unwrap(),
                    lifetime: None,
                }),
            ),
            Deed::Close { by, session } => {
                let unknown = SessionId::new(DAY, [9; 10]);
                let known = if self.sessions.is_empty() { &unknown } else { pick(&self.sessions, *session) };
                (by, Act::CloseSession { id: *known })
            }
            Deed::Revoke { by, scope, which } => {
                (by, Act::Revoke { scope: self.scope(*scope, *which), reason: "leaked".into() })
            }
            Deed::Adopt { .. } => return None,
        };
        Some(Command { by: actor(ACTORS[*by]), act })
    }

    fn credential(&mut self, kind: CredentialKind) -> access::credential::Digest {
        let (secret, digest) = self.world.secret(kind);
        self.fresh = Some(secret);
        digest
    }

    fn scope(&self, scope: usize, which: usize) -> RevokeScope {
        match scope {
            0 if !self.grants.is_empty() => RevokeScope::Grant(pick(&self.grants, which).id),
            1 if !self.tokens.is_empty() => RevokeScope::Token(pick(&self.tokens, which).id),
            2 if !self.keys.is_empty() => RevokeScope::Key(pick(&self.keys, which).id),
            3 => RevokeScope::Role(pick(&ROLES, which).0.parse().unwrap()),
            4 => RevokeScope::Api(pick(&["orders", "stock"], which).parse().unwrap()),
            5 => RevokeScope::Incident(pick(&INCIDENTS, which).parse().unwrap()),
            6 if which.is_multiple_of(8) => RevokeScope::All,
            _ => {
                let subjects = ["alice", "bob", "user:carol", "dave", "service:ci", "service:bob"];
                RevokeScope::User(pick(&subjects, which).parse().unwrap())
            }
        }
    }

    /// Writes down what an allowed act should lead to.
    fn account(&mut self, act: Act, by: &SubjectId) {
        let now = self.now;
        match act {
            Act::GiveGrant(give) => self.grants.push(Grant {
                id: give.id,
                subject: format!("user:{}", give.to).parse().unwrap(),
                role: give.role,
                incident: give.incident,
                until: Deadline::after(now, give.lifetime).instant(),
                ended: false,
            }),
            Act::MintToken(mint) => self.account_token(mint, by),
            Act::AddService(add) => {
                let until = Deadline::after(now, add.lifetime).instant();
                self.account_key(add.id, &format!("service:{}", add.name), add.roles, until);
            }
            Act::RotateService(rotate) => {
                let service = format!("service:{}", rotate.name);
                let old = self.keys.iter_mut().rfind(|key| key.service.to_string() == service).unwrap();
                old.ended = true;
                let roles = old.roles.clone();
                let until = rotate.lifetime.map_or(now.plus(old.until.since(old.since)), |lifetime| {
                    Deadline::after(now, lifetime).instant()
                });
                self.account_key(rotate.id, &service, roles, until);
            }
            Act::RemoveService { name } => {
                for key in self.keys.iter_mut().filter(|key| *key.service.name() == name) {
                    (key.ended, key.removed) = (true, true);
                }
            }
            Act::OpenSession(open) => self.sessions.push(open.id),
            Act::Revoke { scope, .. } => self.account_revocation(&scope),
            Act::CloseSession { .. } | Act::AdoptPolicy(_) => {}
        }
    }

    fn account_token(&mut self, mint: MintToken, by: &SubjectId) {
        let now = self.now;
        let meant = |grant: &&Grant| match mint.grant {
            Some(id) => grant.id == id,
            None => grant.subject.name() == by.name() && !grant.ended && grant.until > now,
        };
        let grant = self.grants.iter().find(meant).unwrap();
        let own = mint.lifetime.map_or(grant.until, |lifetime| Deadline::after(now, lifetime).instant());
        self.tokens.push(Token {
            id: mint.id,
            grant: grant.id,
            only: mint.only,
            until: own,
            ended: false,
            secret: self.fresh.take().unwrap(),
        });
    }

    fn account_key(&mut self, id: KeyId, service: &str, roles: Vec<RoleName>, until: Timestamp) {
        self.keys.push(Key {
            id,
            service: service.parse().unwrap(),
            roles,
            since: self.now,
            until,
            ended: false,
            removed: false,
            secret: self.fresh.take().unwrap(),
        });
    }

    fn account_revocation(&mut self, scope: &RevokeScope) {
        for grant in &mut self.grants {
            grant.ended |= match scope {
                RevokeScope::Grant(id) => grant.id == *id,
                RevokeScope::User(subject) => grant.subject == *subject,
                RevokeScope::Role(role) => grant.role == *role,
                RevokeScope::Api(api) => is_about(&grant.role, api.as_str()),
                RevokeScope::Incident(incident) => grant.incident.as_ref() == Some(incident),
                RevokeScope::All => true,
                RevokeScope::Token(_) | RevokeScope::Key(_) => false,
            };
        }
        for key in &mut self.keys {
            key.ended |= match scope {
                RevokeScope::Key(id) => key.id == *id,
                RevokeScope::User(subject) => key.service == *subject,
                RevokeScope::Role(role) => key.roles.contains(role),
                RevokeScope::Api(api) => key.roles.iter().any(|role| is_about(role, api.as_str())),
                RevokeScope::All => true,
                RevokeScope::Grant(_) | RevokeScope::Token(_) | RevokeScope::Incident(_) => false,
            };
        }
        for token in &mut self.tokens {
            token.ended |= *scope == RevokeScope::Token(token.id);
        }
    }

    /// Tries every credential with every request.
    pub(crate) fn compare_all(&self) -> Result<(), TestCaseError> {
        let view = self.world.view();
        for (method, path) in Self::requests() {
            for token in &self.tokens {
                let answer = ask(&view, token.secret.expose(), method, path, self.now);
                let expected = self.token_allows(token, method, path);
                prop_assert_eq!(answer.is_ok(), expected, "{} {} {:?}: {:?}", method, path, token, answer);
            }
            for key in &self.keys {
                let answer = ask(&view, key.secret.expose(), method, path, self.now);
                let in_force = !key.ended && !key.removed && key.until > self.now;
                let expected = in_force && key.roles.iter().any(|role| self.role_allows(role, method, path));
                prop_assert_eq!(answer.is_ok(), expected, "{} {} {:?}: {:?}", method, path, key, answer);
            }
        }
        Ok(())
    }

    fn token_allows(&self, token: &Token, method: Method, path: &str) -> bool {
        let grant = self.grants.iter().find(|grant| grant.id == token.grant).unwrap();
        let inner = path.trim_start_matches("/orders").trim_start_matches("/stock");
        let narrow = token.only.is_empty() || token.only.iter().any(|only| only.matches(method, inner));
        let in_force = !grant.ended && grant.until > self.now && !token.ended && token.until > self.now;
        let known = self.world.state.policy().users.contains_key(grant.subject.name());
        in_force && known && narrow && self.role_allows(&grant.role, method, path)
    }

    fn role_allows(&self, role: &RoleName, method: Method, path: &str) -> bool {
        let (_, api, all) = ROLES.iter().find(|(name, ..)| *name == role.as_str()).unwrap();
        let named = self.world.state.policy().roles.contains_key(role);
        named && path.starts_with(&format!("/{api}/")) && (*all || method.is_read())
    }
}

fn is_about(role: &RoleName, api: &str) -> bool {
    let (_, about, _) = ROLES.iter().find(|(name, ..)| *name == role.as_str()).unwrap();
    // A role that the policy has dropped may come back with the next one.
    *about == api
}
