//! Stories: lines of `TIME WHO COMMAND` and `TIME CREDENTIAL METHOD PATH`, and what came of each.
//!
//! A time is `10:05`, or `2/10:05` on the second day. Commands print the changes they became; requests print
//! the rule or the reason.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use access::credential::{CredentialKind, Digest};
use access::operation::Method;
use access::{Secret, Timestamp};
use control::Change;
use expect_test::{Expect, expect};

use crate::world::{DAY, World, actor, ask};

pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// `grant_1` to the id behind it.
    ids: BTreeMap<String, String>,
    /// `token_1` to the credential.
    secrets: BTreeMap<String, Secret>,
    counts: BTreeMap<&'static str, usize>,
}

impl Story {
    fn new() -> Self {
        Self {
            world: World::new(),
            now: DAY,
            ids: BTreeMap::new(),
            secrets: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Gives an id the next short name of its kind.
    pub(crate) fn name(&mut self, kind: &'static str, id: impl Display) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let name = format!("{kind}_{count}");
        self.ids.insert(name.clone(), id.to_string());
        name
    }

    /// The same, with a fresh credential.
    pub(crate) fn keep(&mut self, name: &'static str, id: impl Display, kind: CredentialKind) -> Digest {
        let name = self.name(name, id);
        let (secret, digest) = self.world.secret(kind);
        self.secrets.insert(name, secret);
        digest
    }

    pub(crate) fn id<'a>(&'a self, name: &'a str) -> &'a str {
        self.ids.get(name).map_or(name, String::as_str)
    }

    fn line(&mut self, time: &str, who: &str, rest: &str) -> String {
        self.now = time_of(time);
        let (method, path) = rest.split_once(' ').unwrap_or((rest, ""));
        let told = match Method::parse(method) {
            Some(method) => self.request(who, method, path),
            None => self.command(who, rest),
        };
        let ids = self.ids.iter();
        ids.fold(told, |told, (name, id)| told.replace(id.as_str(), name))
    }

    fn request(&self, credential: &str, method: Method, path: &str) -> String {
        let secret = self.secrets[credential].expose();
        match ask(&self.world.view(), secret, method, path, self.now) {
            Ok(rule) => format!("allow by `{rule}`"),
            Err(refused) => format!("refuse {}", refused.reason),
        }
    }

    fn command(&mut self, who: &str, line: &str) -> String {
        let act = self.act(line);
        match self.world.execute(actor(who), act, self.now) {
            Ok(events) if events.is_empty() => "nothing to do".into(),
            Ok(events) => {
                let told: Vec<_> = events.iter().map(|event| tell(&event.change)).collect();
                told.join(", ")
            }
            Err(denied) => format!("denied: {denied}"),
        }
    }
}

fn time_of(text: &str) -> Timestamp {
    let (day, time) = text.split_once('/').unwrap_or(("1", text));
    let (hours, minutes) = time.split_once(':').unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let minutes = ((number(day) - 1) * 24 + number(hours)) * 60 + number(minutes);
    DAY.plus(Duration::from_secs(minutes * 60))
}

fn clock(at: Timestamp) -> String {
    let minutes = at.since(DAY).as_secs() / 60;
    let (day, minutes) = (minutes / 1_440 + 1, minutes % 1_440);
    let day = if day == 1 { String::new() } else { format!("{day}/") };
    format!("{day}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn tell(change: &Change) -> String {
    match change {
        Change::GiveGrant { grant, until, .. } => format!("{grant} until {}", clock(until.instant())),
        Change::MintToken { token, grant, until, .. } => {
            format!("{token} of {grant} until {}", clock(until.instant()))
        }
        Change::AddKey { key, until, .. } => format!("{key} until {}", clock(until.instant())),
        Change::EndKeys { keys, cause, .. } => format!("{cause:?} {keys:?}"),
        Change::OpenSession { session, until, .. } => {
            format!("{session} until {}", clock(until.instant()))
        }
        Change::CloseSession { session, .. } => format!("closed {session}"),
        Change::Revoke { grants, tokens, keys, sessions, .. } => {
            let mut told = String::from("ended");
            for (what, ids) in [
                ("grants", format!("{grants:?}")),
                ("tokens", format!("{tokens:?}")),
                ("keys", format!("{keys:?}")),
                ("sessions", format!("{sessions:?}")),
            ] {
                if ids != "[]" {
                    write!(told, " {what} {ids}").unwrap();
                }
            }
            told
        }
        Change::AdoptPolicy { .. } => "adopted".into(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a story and its answers read side by side")]
pub(crate) fn check(story: &str, expected: Expect) {
    let mut told = Story::new();
    let mut answers = String::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (time, rest) = line.split_once(' ').unwrap();
        let (who, rest) = rest.trim_start().split_once(' ').unwrap();
        let answer = told.line(time, who, rest.trim_start());
        writeln!(answers, "{time} {who} {rest}: {answer}").unwrap();
    }
    expected.assert_eq(&answers);
}

#[test]
fn a_revoked_grant_stops_the_next_request() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 30m
         10:01 alice token
         10:05 token_1 GET /orders/7
         10:05 token_1 DELETE /orders/7
         10:06 bob revoke --grant grant_1
         10:06 token_1 GET /orders/7",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 30m: grant_1 until 10:30
            10:01 alice token: token_1 of grant_1 until 10:30
            10:05 token_1 GET /orders/7: allow by `allow orders:read`
            10:05 token_1 DELETE /orders/7: refuse operation_not_allowed
            10:06 bob revoke --grant grant_1: ended grants [grant_1]
            10:06 token_1 GET /orders/7: refuse grant_ended
        "#]],
    );
}

#[test]
fn a_grant_ends_by_itself_and_its_tokens_with_it() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 30m
         10:10 alice token --for 10m
         10:10 alice token --for 9h
         10:19 token_1 GET /orders/7
         10:20 token_1 GET /orders/7
         10:29 token_2 GET /orders/7
         10:30 token_2 GET /orders/7
         10:30 alice token
         10:31 alice token grant_1",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 30m: grant_1 until 10:30
            10:10 alice token --for 10m: token_1 of grant_1 until 10:20
            10:10 alice token --for 9h: token_2 of grant_1 until 10:30
            10:19 token_1 GET /orders/7: allow by `allow orders:read`
            10:20 token_1 GET /orders/7: refuse credential_expired
            10:29 token_2 GET /orders/7: allow by `allow orders:read`
            10:30 token_2 GET /orders/7: refuse grant_ended
            10:30 alice token: denied: you hold no grant in force
            10:31 alice token grant_1: denied: the grant `grant_1` has ended
        "#]],
    );
}

#[test]
fn who_holds_several_grants_names_one() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 30m
         10:00 bob grant stock-viewer --to alice --for 30m
         10:01 alice token
         10:01 alice token grant_2
         10:01 token_2 GET /stock/1
         10:01 token_2 GET /orders/1",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 30m: grant_1 until 10:30
            10:00 bob grant stock-viewer --to alice --for 30m: grant_2 until 10:30
            10:01 alice token: denied: you hold several grants in force, name one of them: `grant_1`, `grant_2`
            10:01 alice token grant_2: token_2 of grant_2 until 10:30
            10:01 token_2 GET /stock/1: allow by `allow stock:read`
            10:01 token_2 GET /orders/1: refuse operation_not_allowed
        "#]],
    );
}

#[test]
fn nobody_gives_to_themselves_and_only_administrators_give() {
    check(
        "10:00 bob grant orders-admin --to bob --for 1h
         10:00 local:alice grant orders-admin --to alice --for 1h
         10:00 alice grant orders-admin --to bob --for 1h
         10:00 carol grant orders-admin --to bob --for 1h
         10:00 mallory grant orders-admin --to bob --for 1h
         10:00 local:root grant orders-admin --to carol --for 1h",
        expect![[r#"
            10:00 bob grant orders-admin --to bob --for 1h: denied: nobody gives a grant to themselves: ask another administrator
            10:00 local:alice grant orders-admin --to alice --for 1h: denied: nobody gives a grant to themselves: ask another administrator
            10:00 alice grant orders-admin --to bob --for 1h: denied: only administrators may do this
            10:00 carol grant orders-admin --to bob --for 1h: grant_4 until 11:00
            10:00 mallory grant orders-admin --to bob --for 1h: denied: the configuration does not name `user:mallory`
            10:00 local:root grant orders-admin --to carol --for 1h: grant_6 until 11:00
        "#]],
    );
}

#[test]
fn the_servers_own_machine_mints_from_any_grant_and_people_from_their_own() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 30m
         10:01 carol token grant_1
         10:01 local:root token grant_1
         10:01 local:root token
         10:01 local:alice token
         10:02 token_2 GET /orders/1",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 30m: grant_1 until 10:30
            10:01 carol token grant_1: denied: the grant `grant_1` is not yours
            10:01 local:root token grant_1: token_2 of grant_1 until 10:30
            10:01 local:root token: denied: you hold no grant in force
            10:01 local:alice token: token_4 of grant_1 until 10:30
            10:02 token_2 GET /orders/1: allow by `allow orders:read`
        "#]],
    );
}

#[test]
fn a_narrowed_token_reaches_less_and_never_more() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 30m
         10:01 alice token --only 'GET /7' --only 'DELETE /7'
         10:01 token_1 GET /orders/7
         10:01 token_1 GET /orders/8
         10:01 token_1 DELETE /orders/7",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 30m: grant_1 until 10:30
            10:01 alice token --only 'GET /7' --only 'DELETE /7': token_1 of grant_1 until 10:30
            10:01 token_1 GET /orders/7: allow by `allow orders:read`
            10:01 token_1 GET /orders/8: refuse operation_not_allowed
            10:01 token_1 DELETE /orders/7: refuse operation_not_allowed
        "#]],
    );
}

#[test]
fn a_rotated_key_stops_at_once_and_keeps_its_roles() {
    check(
        "10:00 bob service add ci --role orders-viewer --for 90d
         10:00 key_1 GET /orders/1
         10:01 bob service add ci --role orders-viewer --for 90d
         10:02 alice service rotate ci
         10:02 bob service rotate ci
         10:02 key_1 GET /orders/1
         10:02 key_3 GET /orders/1
         10:02 key_4 GET /orders/1
         10:03 bob service remove ci
         10:03 key_4 GET /orders/1
         10:04 bob service rotate ci
         10:05 bob service add ci --role stock-viewer --for 1d
         10:05 key_6 GET /stock/1",
        expect![[r#"
            10:00 bob service add ci --role orders-viewer --for 90d: key_1 until 91/10:00
            10:00 key_1 GET /orders/1: allow by `allow orders:read`
            10:01 bob service add ci --role orders-viewer --for 90d: denied: the service `ci` exists already
            10:02 alice service rotate ci: denied: only administrators may do this
            10:02 bob service rotate ci: Replace [key_1], key_4 until 91/10:02
            10:02 key_1 GET /orders/1: refuse credential_revoked
            10:02 key_3 GET /orders/1: refuse credential_invalid
            10:02 key_4 GET /orders/1: allow by `allow orders:read`
            10:03 bob service remove ci: Remove [key_4]
            10:03 key_4 GET /orders/1: refuse credential_revoked
            10:04 bob service rotate ci: denied: there is no service `ci`
            10:05 bob service add ci --role stock-viewer --for 1d: key_6 until 2/10:05
            10:05 key_6 GET /stock/1: allow by `allow stock:read`
        "#]],
    );
}

#[test]
fn a_revoked_key_can_be_rotated() {
    check(
        "10:00 bob service add ci --role orders-viewer --for 90d
         10:01 bob revoke --key key_1
         10:01 key_1 GET /orders/1
         10:02 bob service rotate ci --for 1d
         10:02 key_2 GET /orders/1
         10:03 bob revoke --user service:ci
         10:03 key_2 GET /orders/1",
        expect![[r#"
            10:00 bob service add ci --role orders-viewer --for 90d: key_1 until 91/10:00
            10:01 bob revoke --key key_1: ended keys [key_1]
            10:01 key_1 GET /orders/1: refuse credential_revoked
            10:02 bob service rotate ci --for 1d: Replace [key_1], key_2 until 2/10:02
            10:02 key_2 GET /orders/1: allow by `allow orders:read`
            10:03 bob revoke --user service:ci: ended keys [key_2]
            10:03 key_2 GET /orders/1: refuse credential_revoked
        "#]],
    );
}

#[test]
fn a_revocation_reaches_what_its_scope_says() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 1h --incident INC-1
         10:00 bob grant stock-viewer --to alice --for 1h
         10:00 bob grant orders-admin --to carol --for 1h
         10:00 bob service add ci --role orders-viewer --role stock-viewer --for 1d
         10:00 local:root session alice
         10:01 alice token grant_1
         10:01 alice token grant_2
         10:02 bob revoke --incident INC-1
         10:02 bob revoke --incident INC-2
         10:03 bob revoke --user alice
         10:03 token_2 GET /stock/1
         10:04 bob revoke --api orders
         10:04 key_1 GET /stock/1
         10:05 bob revoke --role orders-admin
         10:05 bob revoke --role no-such-role
         10:05 bob revoke --user nobody
         10:05 bob revoke --api no-such-api
         10:06 bob grant stock-viewer --to alice --for 1h
         10:06 alice token
         10:06 local:root session alice
         10:07 bob revoke --all
         10:07 token_3 GET /stock/1",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 1h --incident INC-1: grant_1 until 11:00
            10:00 bob grant stock-viewer --to alice --for 1h: grant_2 until 11:00
            10:00 bob grant orders-admin --to carol --for 1h: grant_3 until 11:00
            10:00 bob service add ci --role orders-viewer --role stock-viewer --for 1d: key_1 until 2/10:00
            10:00 local:root session alice: session_1 until 22:00
            10:01 alice token grant_1: token_1 of grant_1 until 11:00
            10:01 alice token grant_2: token_2 of grant_2 until 11:00
            10:02 bob revoke --incident INC-1: ended grants [grant_1]
            10:02 bob revoke --incident INC-2: denied: there is no grant of the incident `INC-2`
            10:03 bob revoke --user alice: ended grants [grant_2] tokens [token_2] sessions [session_1]
            10:03 token_2 GET /stock/1: refuse credential_revoked
            10:04 bob revoke --api orders: ended grants [grant_3] keys [key_1]
            10:04 key_1 GET /stock/1: refuse credential_revoked
            10:05 bob revoke --role orders-admin: ended
            10:05 bob revoke --role no-such-role: denied: there is no role `no-such-role`
            10:05 bob revoke --user nobody: denied: there is no user `nobody`
            10:05 bob revoke --api no-such-api: denied: there is no API `no-such-api`
            10:06 bob grant stock-viewer --to alice --for 1h: grant_4 until 11:06
            10:06 alice token: token_3 of grant_4 until 11:06
            10:06 local:root session alice: session_2 until 22:06
            10:07 bob revoke --all: ended grants [grant_4] sessions [session_2]
            10:07 token_3 GET /stock/1: refuse grant_ended
        "#]],
    );
}

#[test]
fn people_revoke_their_own_and_nothing_else() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 1h
         10:00 bob grant orders-viewer --to carol --for 1h
         10:01 alice token
         10:01 carol token
         10:02 alice revoke --token token_2
         10:02 alice revoke --grant grant_2
         10:02 alice revoke --user carol
         10:02 alice revoke --role orders-viewer
         10:02 alice revoke --all
         10:03 alice revoke --token token_1
         10:03 token_1 GET /orders/1
         10:04 alice revoke --grant grant_1
         10:04 alice revoke --grant grant_1
         10:05 alice revoke --grant grant_00000000000000000000000000",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 1h: grant_1 until 11:00
            10:00 bob grant orders-viewer --to carol --for 1h: grant_2 until 11:00
            10:01 alice token: token_1 of grant_1 until 11:00
            10:01 carol token: token_2 of grant_2 until 11:00
            10:02 alice revoke --token token_2: denied: only administrators revoke what is not their own
            10:02 alice revoke --grant grant_2: denied: only administrators revoke what is not their own
            10:02 alice revoke --user carol: denied: only administrators revoke what is not their own
            10:02 alice revoke --role orders-viewer: denied: only administrators revoke what is not their own
            10:02 alice revoke --all: denied: only administrators revoke what is not their own
            10:03 alice revoke --token token_1: ended tokens [token_1]
            10:03 token_1 GET /orders/1: refuse credential_revoked
            10:04 alice revoke --grant grant_1: ended grants [grant_1]
            10:04 alice revoke --grant grant_1: ended
            10:05 alice revoke --grant grant_00000000000000000000000000: denied: there is no grant `grant_00000000000000000000000000`
        "#]],
    );
}

#[test]
fn sessions_are_opened_on_the_servers_own_machine_and_closed_by_their_holder() {
    check(
        "10:00 alice session alice
         10:00 local:root session alice
         10:00 local:root session alice --for 13h
         10:00 local:root session nobody
         10:01 session_2 GET /orders/1
         10:02 carol logout session_2
         10:02 alice logout session_2
         10:02 alice logout session_2",
        expect![[r#"
            10:00 alice session alice: denied: sessions are opened on the server's own machine: `daypass admin session`
            10:00 local:root session alice: session_2 until 22:00
            10:00 local:root session alice --for 13h: denied: a session lasts at most `12h`, not `13h`
            10:00 local:root session nobody: denied: there is no user `nobody`
            10:01 session_2 GET /orders/1: refuse credential_invalid
            10:02 carol logout session_2: closed session_2
            10:02 alice logout session_2: nothing to do
            10:02 alice logout session_2: nothing to do
        "#]],
    );
}

#[test]
fn every_lifetime_and_reason_has_its_bounds() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 31d
         10:00 bob grant orders-viewer --to alice --for 30d --reason '  '
         10:00 bob grant orders-viewer --to nobody --for 30d
         10:00 bob grant no-such-role --to alice --for 30d
         10:00 bob service add ci --role orders-viewer --for 366d
         10:00 bob service add ci --for 1d
         10:00 bob service add ci --role no-such-role --for 1d
         10:00 bob grant orders-viewer --to alice --for 30d",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 31d: denied: a grant lasts at most `30d`, not `31d`
            10:00 bob grant orders-viewer --to alice --for 30d --reason '  ': denied: a reason is required
            10:00 bob grant orders-viewer --to nobody --for 30d: denied: there is no user `nobody`
            10:00 bob grant no-such-role --to alice --for 30d: denied: there is no role `no-such-role`
            10:00 bob service add ci --role orders-viewer --for 366d: denied: a service key lasts at most `365d`, not `366d`
            10:00 bob service add ci --for 1d: denied: a service has 1 to 32 roles
            10:00 bob service add ci --role no-such-role --for 1d: denied: there is no role `no-such-role`
            10:00 bob grant orders-viewer --to alice --for 30d: grant_5 until 31/10:00
        "#]],
    );
}

#[test]
fn what_has_ended_is_remembered_for_a_week_so_that_a_refusal_can_say_why() {
    check(
        "10:00 bob grant orders-viewer --to alice --for 1h
         10:00 alice token
         10:00 bob service add ci --role orders-viewer --for 1h
         2/10:00 token_1 GET /orders/1
         8/10:59 bob grant orders-viewer --to carol --for 1h
         8/10:59 token_1 GET /orders/1
         8/10:59 key_1 GET /orders/1
         8/11:00 bob grant orders-viewer --to carol --for 1h
         8/11:00 token_1 GET /orders/1
         8/11:01 bob grant orders-viewer --to carol --for 1h
         8/11:01 token_1 GET /orders/1
         8/11:01 key_1 GET /orders/1
         8/11:02 bob service rotate ci",
        expect![[r#"
            10:00 bob grant orders-viewer --to alice --for 1h: grant_1 until 11:00
            10:00 alice token: token_1 of grant_1 until 11:00
            10:00 bob service add ci --role orders-viewer --for 1h: key_1 until 11:00
            2/10:00 token_1 GET /orders/1: refuse grant_ended
            8/10:59 bob grant orders-viewer --to carol --for 1h: grant_2 until 8/11:59
            8/10:59 token_1 GET /orders/1: refuse grant_ended
            8/10:59 key_1 GET /orders/1: refuse credential_expired
            8/11:00 bob grant orders-viewer --to carol --for 1h: grant_3 until 8/12:00
            8/11:00 token_1 GET /orders/1: refuse grant_ended
            8/11:01 bob grant orders-viewer --to carol --for 1h: grant_4 until 8/12:01
            8/11:01 token_1 GET /orders/1: refuse credential_invalid
            8/11:01 key_1 GET /orders/1: refuse credential_invalid
            8/11:02 bob service rotate ci: denied: there is no service `ci`
        "#]],
    );
}
