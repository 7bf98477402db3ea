//! The index decides like the rules it was compiled from.

use proptest::prelude::*;

use super::*;
use crate::operation::Router;
use crate::policy::Unlisted;
use crate::quirk::Quirks;
use crate::role::Unread;

const OPERATIONS: [(&str, Method, &str, &[&str]); 6] = [
    ("list", Method::Get, "/a", &["t"]),
    ("read", Method::Get, "/a/{id}", &["t", "u"]),
    ("mine", Method::Get, "/a/mine", &[]),
    ("make", Method::Post, "/a", &["u"]),
    ("drop", Method::Delete, "/a/{id}", &[]),
    ("deep", Method::Put, "/a/{id}/b-{x}", &["u"]),
];

fn api(contract: bool) -> Api {
    let operations = OPERATIONS.map(|(name, method, template, tags)| Operation {
        name: name.into(),
        method,
        template: template.parse().unwrap(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
    });
    Api {
        name: "x".parse().unwrap(),
        route: Route::Prefix("x".into()),
        operations: contract.then(|| operations.into()),
        unlisted: Unlisted::Allow,
        request_body_bytes_max: 0,
        quirks: Quirks::NONE,
        rate: None,
    }
}

fn any_rule(contract: bool) -> impl Strategy<Value = Rule> {
    let path =
        ["GET /a/**", "* /a/*", "POST,PUT /**", "HEAD /a/7", "DELETE /a/mine", "PUT /a/*/b-1", "GET /z"];
    let named = ["x:read", "x:write", "x:all", "x:list", "x:read", "x:deep", "x:tag:t", "x:tag:u"];
    let named: Vec<_> = if contract { named.to_vec() } else { named[..3].to_vec() };
    prop_oneof![
        proptest::sample::select(path.to_vec()).prop_map(|path| format!("x:{path}").parse().unwrap()),
        proptest::sample::select(named).prop_map(|text| text.parse().unwrap()),
    ]
}

/// What a rule covers, from its words alone.
fn covers(rule: &Rule, asked: Asked<'_>, listed: Option<&Operation>, contract: bool) -> bool {
    match rule.scope() {
        Scope::Preset(preset) => (listed.is_some() || !contract) && preset.covers(asked.method),
        Scope::Tag(tag) => listed.is_some_and(|operation| operation.tags.contains(tag)),
        Scope::Operation(name) => listed.is_some_and(|operation| *operation.name == **name),
        Scope::Path(path) => path.matches(asked.method, asked.path),
    }
}

proptest! {
    #[test]
    fn the_index_says_what_the_rules_say_one_by_one(
        (contract, allow, deny) in any::<bool>().prop_flat_map(|contract| (
            Just(contract),
            proptest::collection::vec(any_rule(contract), 1..5),
            proptest::collection::vec(any_rule(contract), 0..4),
        )),
        method in proptest::sample::select(Method::ALL.to_vec()),
        path in proptest::sample::select(vec!["/a", "/a/", "/a/7", "/a/mine", "/a/7/b-1", "/z", "/"]),
    ) {
        let role = Role { allow: allow.clone(), deny: deny.clone(), rate: None, unread: Unread::default() };
        let name: RoleName = "r".parse().unwrap();
        let policy = Policy {
            apis: vec![api(contract)],
            roles: [(name.clone(), role)].into(),
            ..Policy::default()
        };
        let operations = policy.apis[0].operations.clone().unwrap_or_default();
        let index = Router::new(&operations).unwrap().find(method, path);
        let compiled = Compiled::new(policy).unwrap();
        prop_assert_eq!(compiled.operation(0, method, path).map(|(index, _)| index), index);
        let asked = Asked { method, path, operation: index };
        let listed = index.map(|index| &operations[index]);
        let hit = |rules: &[Rule]| rules.iter().any(|rule| covers(rule, asked, listed, contract));
        let expected = if hit(&deny) { "denied" } else if hit(&allow) { "allowed" } else { "silent" };
        let found = match compiled.ruling(&name, 0, asked) {
            Ruling::Denied(_) => "denied",
            Ruling::Allowed(_) => "allowed",
            Ruling::Silent => "silent",
        };
        prop_assert_eq!(found, expected, "{} {} under {:?} / {:?}", method, path, allow, deny);
    }
}
