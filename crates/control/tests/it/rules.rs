//! Bounds, written forms, and rules that no story tells.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use access::credential::{CredentialId, CredentialKind, occurs_in};
use access::policy::Policy;
use control::command::{AddService, GiveGrant, MintToken, RotateService};
use control::decide::{GRANTS_IN_FORCE_MAX, ONLY_BYTES_MAX, ONLY_MAX, REASON_CHARS_MAX};
use control::event::EndKeys;
use control::{Act, Actor, Change, Denied, Event, RevokeScope, Via};
use expect_test::{Expect, expect};

use crate::world::{DAY, World, actor, policy};

fn grant(world: &mut World, reason: &str) -> Act {
    Act::GiveGrant(GiveGrant {
        id: world.grant_id(DAY),
        to: "alice".parse().unwrap(),
        role: "orders-viewer".parse().unwrap(),
        lifetime: "1h".parse().unwrap(),
        reason: reason.into(),
        incident: Some("INC-1".parse().unwrap()),
    })
}

fn token(world: &mut World, only: Vec<access::role::MethodPath>) -> Act {
    Act::MintToken(MintToken {
        id: world.token_id(DAY),
        digest: world.secret(CredentialKind::Token).1,
        grant: None,
        lifetime: None,
        only,
    })
}

fn is_invalid(answer: &Result<Vec<Event>, Denied>) -> bool {
    matches!(answer, Err(Denied::Invalid { .. }))
}

#[test]
fn a_reason_is_one_line_of_bounded_length() {
    let mut world = World::new();
    let longest = "ä".repeat(REASON_CHARS_MAX);
    for (reason, fits) in [
        ("x", true),
        (longest.as_str(), true),
        (&format!("{longest}."), false),
        ("", false),
        (" \u{a0}", false),
        ("one\ntwo", false),
        ("\u{1b}[31m", false),
    ] {
        let act = grant(&mut world, reason);
        assert_eq!(world.execute(actor("bob"), act, DAY).is_ok(), fits, "{reason:?}");
        let act = Act::Revoke { scope: RevokeScope::All, reason: reason.into() };
        assert_eq!(world.execute(actor("bob"), act, DAY).is_ok(), fits, "{reason:?}");
    }
}

#[test]
fn no_credential_is_recorded_in_a_reason_an_incident_or_a_name() {
    let mut world = World::new();
    for kind in [CredentialKind::Token, CredentialKind::Key, CredentialKind::Session] {
        let (secret, _) = world.secret(kind);
        let secret = secret.expose_str().unwrap().to_owned();
        let reason = format!("used {secret} for it");
        let Act::GiveGrant(given) = grant(&mut world, "slow orders") else { unreachable!() };
        let service = AddService {
            id: world.key_id(DAY),
            digest: world.secret(CredentialKind::Key).1,
            name: secret.parse().unwrap(),
            roles: vec!["orders-viewer".parse().unwrap()],
            lifetime: "1h".parse().unwrap(),
        };
        for (act, what) in [
            (Act::GiveGrant(GiveGrant { reason: reason.as_str().into(), ..given.clone() }), "reason"),
            (Act::GiveGrant(GiveGrant { incident: secret.parse().ok(), ..given.clone() }), "incident"),
            (Act::AddService(service), "name of the service"),
            (Act::GiveGrant(GiveGrant { role: secret.parse().unwrap(), ..given.clone() }), "role"),
            (Act::GiveGrant(GiveGrant { to: secret.parse().unwrap(), ..given }), "user"),
            (Act::RemoveService { name: secret.parse().unwrap() }, "service"),
        ] {
            let denied = world.execute(actor("bob"), act, DAY).unwrap_err();
            let said = denied.to_string();
            assert!(said.contains(what) && !occurs_in(said.as_bytes()), "{said}");
            assert!(!occurs_in(format!("{denied:?}").as_bytes()), "{denied:?}");
        }
    }
}

#[test]
fn a_credential_in_the_reason_of_a_revocation_is_taken_out_and_holds_nothing_up() {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    world.execute(actor("bob"), given, DAY).unwrap();
    let (secret, _) = world.secret(CredentialKind::Key);
    let reason = format!("leaked {} in a chat", secret.expose_str().unwrap()).into();
    let events = world.execute(actor("bob"), Act::Revoke { scope: RevokeScope::All, reason }, DAY).unwrap();
    let [Event { change: Change::Revoke { reason, grants, .. }, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(grants.len(), 1);
    assert!(reason.starts_with("leaked dps_****") && reason.ends_with("* in a chat"), "{reason}");
}

#[test]
fn a_subject_holds_at_most_a_hundred_grants_at_a_time() {
    let mut world = World::new();
    for _ in 0..GRANTS_IN_FORCE_MAX {
        let act = grant(&mut world, "on call");
        world.execute(actor("bob"), act, DAY).unwrap();
    }
    let act = grant(&mut world, "on call");
    let denied = world.execute(actor("bob"), act.clone(), DAY);
    assert!(matches!(denied, Err(Denied::TooMany { most: 100, .. })), "{denied:?}");
    let later = DAY.plus(Duration::from_secs(3_600));
    world.execute(actor("bob"), act, later).unwrap();
}

#[test]
fn an_id_or_a_digest_is_used_once() {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    world.execute(actor("bob"), given.clone(), DAY).unwrap();
    let again = world.execute(actor("bob"), given, DAY);
    assert!(matches!(again, Err(Denied::Exists { what: "grant", .. })));
    let minted = token(&mut world, Vec::new());
    world.execute(actor("alice"), minted.clone(), DAY).unwrap();
    let again = world.execute(actor("alice"), minted.clone(), DAY);
    assert!(matches!(again, Err(Denied::Exists { .. })));
    let Act::MintToken(mut same) = minted else { panic!() };
    same.id = world.token_id(DAY);
    let again = world.execute(actor("alice"), Act::MintToken(same), DAY);
    assert!(matches!(again, Err(Denied::Exists { .. })));
}

#[test]
fn a_token_is_narrowed_to_a_bounded_number_of_bounded_lines() {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    world.execute(actor("bob"), given, DAY).unwrap();
    let line = |length: usize| format!("GET /{}", "a".repeat(length - "GET /".len())).parse().unwrap();
    let most = token(&mut world, vec![line(ONLY_BYTES_MAX); ONLY_MAX]);
    let minted = world.execute(actor("alice"), most, DAY).unwrap();
    assert!(minted[0].change.detail().len() < 16 * 1024);
    let longer = token(&mut world, vec![line(ONLY_BYTES_MAX + 1)]);
    assert!(is_invalid(&world.execute(actor("alice"), longer, DAY)));
    let more = token(&mut world, vec![line(10); ONLY_MAX + 1]);
    assert!(is_invalid(&world.execute(actor("alice"), more, DAY)));
}

#[test]
fn only_the_binary_adopts_policies_and_only_those_that_mean_something() {
    let mut world = World::new();
    let binary = || Actor { subject: "local:daypass".parse().unwrap(), via: Via::System };
    let same = Act::AdoptPolicy(Arc::new(policy()));
    assert_eq!(world.execute(binary(), same.clone(), DAY), Ok(Vec::new()));
    let refused = world.execute(actor("bob"), same.clone(), DAY);
    assert!(matches!(refused, Err(Denied::NotAllowed { .. })));
    let refused = world.execute(actor("local:root"), same, DAY);
    assert!(matches!(refused, Err(Denied::NotAllowed { .. })));
    let act = grant(&mut world, "on call");
    let refused = world.execute(binary(), act, DAY);
    assert!(matches!(refused, Err(Denied::NotAllowed { .. })));
    let mut empty = policy();
    empty.apis.clear();
    assert!(is_invalid(&world.execute(binary(), Act::AdoptPolicy(Arc::new(empty)), DAY)));
}

#[test]
fn whom_the_configuration_drops_may_do_nothing_and_can_still_be_revoked() {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    world.execute(actor("bob"), given, DAY).unwrap();
    let mut without = policy();
    without.users.clear();
    world.adopt(without, DAY);
    let minting = token(&mut world, Vec::new());
    let refused = world.execute(actor("alice"), minting, DAY);
    assert!(matches!(refused, Err(Denied::NotAllowed { .. })));
    let revoke = Act::Revoke { scope: RevokeScope::User("alice".parse().unwrap()), reason: "left".into() };
    let refused = world.execute(actor("bob"), revoke.clone(), DAY);
    assert!(matches!(refused, Err(Denied::NotAllowed { .. })), "bob is dropped as well");
    let events = world.execute(actor("local:root"), revoke, DAY).unwrap();
    assert!(matches!(&events[0].change, Change::Revoke { grants, .. } if grants.len() == 1));
}

/// The written form is read for ever: a change here needs a new version.
fn check_written(event: &Event, expected: &Expect, detail: &Expect) {
    let written = serde_json::to_string(event).unwrap();
    expected.assert_eq(&written);
    detail.assert_eq(&event.change.detail());
    assert_eq!(&serde_json::from_str::<Event>(&written).unwrap(), event);
}

#[test]
fn a_grant_and_its_token_are_written_like_this() {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    let given = world.execute(actor("bob"), given, DAY).unwrap();
    check_written(
        &given[0],
        &expect![[
            r#"{"v":1,"at":1795305600000000,"by":"user:bob","change":{"kind":"give_grant","grant":"grant_01M808TX000000000000000001","subject":"user:alice","role":"orders-viewer","until":1795309200000000,"reason":"on call","incident":"INC-1"}}"#
        ]],
        &expect![[
            r#"{"grant":"grant_01M808TX000000000000000001","incident":"INC-1","reason":"on call","role":"orders-viewer","subject":"user:alice","until":"2026-11-22T01:00:00.000000Z"}"#
        ]],
    );
    assert_eq!(given[0].change.kind(), "give_grant");
    assert_eq!(given[0].change.subject().unwrap().to_string(), "user:alice");
    assert_eq!(given[0].change.incident().unwrap().as_str(), "INC-1");
    let only = vec!["GET /v1/**".parse().unwrap()];
    let minting = token(&mut world, only);
    let minted = world.execute(actor("local:root"), minting.clone(), DAY);
    assert!(minted.is_err(), "root holds nothing");
    let minted = world.execute(actor("alice"), minting, DAY).unwrap();
    check_written(
        &minted[0],
        &expect![[
            r#"{"v":1,"at":1795305600000000,"by":"user:alice","change":{"kind":"mint_token","token":"token_01M808TX000000000000000002","digest":"83f6888b6fb6047861d895232c47394bad68763f0fde7898a0bc357f17c99287","grant":"grant_01M808TX000000000000000001","subject":"user:alice","until":1795309200000000,"only":["GET /v1/**"]}}"#
        ]],
        &expect![[
            r#"{"grant":"grant_01M808TX000000000000000001","only":["GET /v1/**"],"subject":"user:alice","token":"token_01M808TX000000000000000002","until":"2026-11-22T01:00:00.000000Z"}"#
        ]],
    );
    assert_eq!(minted[0].change.grant(), given[0].change.grant());
}

#[test]
fn every_other_kind_is_written_like_this() {
    let key: access::KeyId = "key_00000000000000000000000001".parse().unwrap();
    let session: access::SessionId = "session_00000000000000000000000002".parse().unwrap();
    let subject: access::SubjectId = "user:alice".parse().unwrap();
    let digest = access::credential::Digest::of(b"");
    let until = access::Deadline::at(DAY);
    let scopes =
        ["grant", "token", "key"].map(|kind| format!("{{\"{kind}\":\"{kind}_00000000000000000000000003\"}}"));
    let named = ["user\":\"user:alice", "role\":\"r", "api\":\"a", "incident\":\"i"]
        .map(|scope| format!("{{\"{scope}\"}}"));
    let scopes = scopes.into_iter().chain(named).chain(["\"all\"".to_owned()]);
    let revocations = scopes.map(|scope| Change::Revoke {
        scope: serde_json::from_str(&scope).unwrap(),
        reason: "left".into(),
        subject: None,
        grants: Vec::new(),
        tokens: Vec::new(),
        keys: vec![key],
        sessions: vec![session],
    });
    let service: access::id::Name = "ci".parse().unwrap();
    let end = |cause| Change::EndKeys { service: service.clone(), keys: vec![key], cause };
    let changes = [
        Change::AdoptPolicy { policy: Arc::default() },
        Change::AddKey { key, digest, service: service.clone(), roles: vec!["r".parse().unwrap()], until },
        end(EndKeys::Replace),
        end(EndKeys::Remove),
        Change::OpenSession { session, digest, subject: subject.clone(), until },
        Change::CloseSession { session, subject },
    ];
    let mut written = String::new();
    for change in changes.into_iter().chain(revocations) {
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
        assert!(text.contains(&format!("\"kind\":\"{}\"", change.kind())));
        writeln!(written, "{text}").unwrap();
    }
    expect![[r#"
        {"kind":"adopt_policy","policy":{"apis":[],"roles":{},"users":{},"administrators":[],"auditors":[]}}
        {"kind":"add_key","key":"key_00000000000000000000000001","digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","service":"ci","roles":["r"],"until":1795305600000000}
        {"kind":"end_keys","service":"ci","keys":["key_00000000000000000000000001"],"cause":"replace"}
        {"kind":"end_keys","service":"ci","keys":["key_00000000000000000000000001"],"cause":"remove"}
        {"kind":"open_session","session":"session_00000000000000000000000002","digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","subject":"user:alice","until":1795305600000000}
        {"kind":"close_session","session":"session_00000000000000000000000002","subject":"user:alice"}
        {"kind":"revoke","scope":{"grant":"grant_00000000000000000000000003"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"token":"token_00000000000000000000000003"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"key":"key_00000000000000000000000003"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"user":"user:alice"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"role":"r"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"api":"a"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":{"incident":"i"},"reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
        {"kind":"revoke","scope":"all","reason":"left","grants":[],"tokens":[],"keys":["key_00000000000000000000000001"],"sessions":["session_00000000000000000000000002"]}
    "#]].assert_eq(&written);
}

#[test]
fn a_policy_is_recorded_by_its_names_and_its_fingerprint() {
    let world = World::new();
    let Change::AdoptPolicy { policy } = &world.events[0].change else { panic!() };
    assert!(policy.users.contains_key("alice"));
    let detail = expect![[
        r#"{"administrators":["user:bob","group:platform"],"apis":["orders","stock"],"auditors":[],"roles":["orders-admin","orders-viewer","stock-viewer"],"sha256":"e9bfc62bd8b035b0c4278e72c4ace13a5ed685967a350cb962249705764b42ab","users":4}"#
    ]];
    detail.assert_eq(&world.events[0].change.detail());
    assert_eq!(world.events[0].change.subject(), None);
}

#[test]
fn a_long_revocation_is_recorded_in_short() {
    let mut world = World::new();
    let ids: Vec<_> = (0..1_000).map(|_| world.grant_id(DAY)).collect();
    let tokens: Vec<_> = (0..1_000).map(|_| world.token_id(DAY)).collect();
    let change = Change::Revoke {
        scope: RevokeScope::All,
        reason: "\u{10ffff}".repeat(REASON_CHARS_MAX).into(),
        subject: None,
        grants: ids,
        tokens,
        keys: Vec::new(),
        sessions: Vec::new(),
    };
    let detail = change.detail();
    assert!(detail.len() < 16 * 1024, "{} bytes", detail.len());
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    assert_eq!(detail["grants_count"], 1_000);
    assert_eq!(detail["grants"].as_array().unwrap().len(), 40);
    assert_eq!(detail["keys"].as_array().unwrap().len(), 0);
}

#[test]
fn a_policy_of_the_largest_size_is_recorded_in_short() {
    let mut large = Policy::default();
    for number in 0..1_000 {
        let name = format!("{number:0>64}");
        large.users.insert(name.parse().unwrap(), [].into());
        large.administrators.push(format!("service:{name}").parse().unwrap());
        large.auditors.push(format!("group:{name}").parse().unwrap());
        let role = serde_json::from_str(r#"{"allow": ["orders:read"]}"#).unwrap();
        large.roles.insert(name.parse().unwrap(), role);
    }
    let policy = Arc::new(large);
    let detail = Change::AdoptPolicy { policy }.detail();
    assert!(detail.len() < 16 * 1024, "{} bytes", detail.len());
}

#[test]
fn what_a_later_build_wrote_is_refused_and_not_misread() {
    let known = r#"{"v":1,"at":0,"by":"user:bob","change":{"kind":"close_session","session":"session_00000000000000000000000000","subject":"user:bob"}}"#;
    assert!(serde_json::from_str::<Event>(known).is_ok());
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        ("close_session", "open_door"),
        (r#""v":1,"#, ""),
        (r#""at":0"#, r#""at":0,"to":1"#),
        ("user:bob", "group:bob"),
    ] {
        let text = known.replace(from, to);
        assert!(serde_json::from_str::<Event>(&text).is_err(), "{text}");
    }
}

#[test]
fn a_narrowing_recorded_by_another_build_still_narrows() {
    let written = r#"{"v":1,"at":0,"by":"user:alice","change":{"kind":"mint_token","token":"TOKEN","digest":"DIGEST",
        "grant":"GRANT","subject":"user:alice","until":1,"only":["FETCH /v1"]}}"#;
    let mut world = World::new();
    let written = written
        .replace("TOKEN", &world.token_id(DAY).to_string())
        .replace("GRANT", &world.grant_id(DAY).to_string())
        .replace("DIGEST", &world.secret(CredentialKind::Token).1.to_string());
    let event: Event = serde_json::from_str(&written).unwrap();
    let Change::MintToken { only, .. } = &event.change else { panic!("{event:?}") };
    assert_eq!(only.len(), 1);
    assert!(!only[0].matches(access::operation::Method::Get, "/v1"));
    assert!(serde_json::to_string(&event).unwrap().contains(r#""only":["FETCH /v1"]"#));
}

/// An API with a contract, and one without.
const CONTRACTED: &str = r#"{
    "apis": [
        {"name": "orders", "route": {"prefix": "orders"}, "operations": [
            {"name": "getOrder", "method": "GET", "template": "/v1/orders/{id}", "tags": ["orders"]},
            {"name": "refund", "method": "POST", "template": "/v1/orders/{id}/refund"}
        ], "unlisted": "refuse", "request_body_bytes_max": 1024},
        {"name": "stock", "route": {"prefix": "stock"}, "operations": null, "unlisted": "allow", "request_body_bytes_max": 1024}
    ],
    "roles": {ROLES},
    "users": {USERS},
    "administrators": ["user:bob"],
    "auditors": []
}"#;

fn contracted(roles: &str, users: &str) -> Policy {
    serde_json::from_str(&CONTRACTED.replace("ROLES", roles).replace("USERS", users)).unwrap()
}

const EVERYBODY: &str = r#""alice": [], "bob": []"#;

/// What minting from a grant of `orders-viewer`, narrowed to this, is answered.
fn minted(rule: &str, only: &str) -> Result<Vec<Event>, Denied> {
    let mut world = World::new();
    let given = grant(&mut world, "on call");
    world.execute(actor("bob"), given, DAY).unwrap();
    let roles = format!(r#""orders-viewer": {{"allow": ["{rule}"]}}"#);
    world.adopt(contracted(&roles, EVERYBODY), DAY);
    let minting = token(&mut world, only.split(" or ").map(|line| line.parse().unwrap()).collect());
    world.execute(actor("alice"), minting, DAY)
}

#[test]
fn a_token_narrowed_to_what_its_role_never_allows_is_not_minted() {
    for (rule, only, passes) in [
        ("orders:read", "GET /v1/orders/7", true),
        ("orders:read", "HEAD /v1/orders/7", true),
        ("orders:read", "GET /**", true),
        ("orders:read", "POST /v1/orders/7/refund or GET /v1/orders/7", true),
        ("orders:read", "GET /orders/v1/orders/7", false),
        ("orders:read", "POST /v1/orders/7/refund", false),
        ("orders:read", "GET /v1/orders/7/refund", false),
        ("orders:refund", "POST /v1/orders/{id}/refund", true),
        ("orders:refund", "GET /v1/orders/{id}", false),
        ("orders:tag:orders", "GET /v1/orders/*", true),
        ("orders:tag:orders", "POST /**", false),
        ("orders:GET,POST /v2/**", "POST /v2/x", true),
        ("orders:GET,POST /v2/**", "PUT /v2/x", false),
        ("stock:write", "DELETE /anything", true),
        ("stock:write", "GET /anything", false),
    ] {
        match minted(rule, only) {
            Ok(_) => assert!(passes, "{rule}, {only}"),
            Err(Denied::Vain { why, next }) if !passes => {
                assert_eq!(why, "the role `orders-viewer` allows nothing of what the token is narrowed to");
                assert!(next.starts_with("`daypass roles` shows what it allows"), "{next}");
            }
            other => panic!("{rule}, {only}: {other:?}"),
        }
    }
}

#[test]
fn no_token_is_minted_from_a_grant_whose_role_or_holder_the_configuration_dropped() {
    let viewer = r#""orders-viewer": {"allow": ["orders:read"]}"#;
    for (roles, users, expected) in [
        (viewer, EVERYBODY, None),
        ("", EVERYBODY, Some("the role `orders-viewer` of the grant `GRANT` is not in the configuration")),
        (
            viewer,
            r#""bob": []"#,
            Some("the configuration does not name `user:alice`, who holds the grant `GRANT`"),
        ),
    ] {
        let mut world = World::new();
        let given = grant(&mut world, "on call");
        world.execute(actor("bob"), given, DAY).unwrap();
        let held = *world.state.grants().keys().next().unwrap();
        world.adopt(contracted(roles, users), DAY);
        let mut minting = token(&mut world, Vec::new());
        if let Act::MintToken(mint) = &mut minting {
            mint.grant = Some(held);
        }
        let denied = world.execute(actor("local:root"), minting, DAY).err().map(|denied| denied.to_string());
        assert_eq!(denied, expected.map(|why| why.replace("GRANT", &held.to_string())));
    }
}

#[test]
fn revoking_an_api_reaches_whoever_gets_it_back_with_the_next_reload() {
    let without = [
        ("a role", contracted(r#""other": {"allow": ["stock:read"]}"#, EVERYBODY)),
        ("a rule", contracted(r#""orders-viewer": {"allow": ["stock:read"]}"#, EVERYBODY)),
        ("the API", {
            let mut policy = contracted("", EVERYBODY);
            policy.apis.retain(|api| api.name.to_string() != "orders");
            policy
        }),
    ];
    for (gone, policy) in without {
        let mut world = World::new();
        let given = grant(&mut world, "on call");
        world.execute(actor("bob"), given, DAY).unwrap();
        world.adopt(policy.clone(), DAY);
        world.adopt(policy, DAY);
        let api = RevokeScope::Api("orders".parse().unwrap());
        let revoked = world.execute(actor("bob"), Act::Revoke { scope: api, reason: "leak".into() }, DAY);
        assert!(revoked.is_ok(), "{gone}: {revoked:?}");
        assert!(world.state.grants().values().all(|grant| !grant.is_in_force(DAY)), "{gone}");
    }
}

#[test]
fn revoking_an_api_reaches_a_key_that_was_renewed_while_its_role_was_gone() {
    let hour = access::Lifetime::from_secs(3_600).unwrap();
    let later = DAY.plus(Duration::from_secs(7_200));
    let mut world = World::new();
    let (name, roles) = ("ci".parse().unwrap(), vec!["orders-viewer".parse().unwrap()]);
    let (id, (_, digest)) = (world.key_id(DAY), world.secret(CredentialKind::Key));
    let add = AddService { id, digest, name, roles, lifetime: hour };
    world.execute(actor("bob"), Act::AddService(add), DAY).unwrap();

    world.adopt(contracted("", EVERYBODY), later);
    let (id, (_, digest)) = (world.key_id(later), world.secret(CredentialKind::Key));
    let rotate = RotateService { id, digest, name: "ci".parse().unwrap(), lifetime: Some(hour) };
    world.execute(actor("bob"), Act::RotateService(rotate), later).unwrap();
    let api = RevokeScope::Api("orders".parse().unwrap());
    world.execute(actor("bob"), Act::Revoke { scope: api, reason: "leak".into() }, later).unwrap();

    assert!(!world.state.credential(CredentialId::Key(id)).unwrap().is_in_force(later));
}
