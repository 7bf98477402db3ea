//! Who is believed about who asks, and what an API's paths may have.

use expect_test::expect;

use super::*;

#[test]
fn trusted_proxies_are_addresses_of_machines() {
    let trusted = |addresses: &str, expected: &Expect| {
        check_with(&format!("listen: {{ trusted_proxies: {{ addresses: {addresses} }} }}"), expected);
    };
    trusted(
        "[10.0.0.7, 10.1.0.0/16, '::1', 'fd00::/8']",
        &expect![[r#"
        ok
    "#]],
    );
    trusted(
        "[]",
        &expect![[r#"
        daypass.yaml:2:41: an empty list trusts nobody
          2 | listen: { trusted_proxies: { addresses: [] } }
            |                                         ^
            = name an address, or remove `trusted_proxies`
    "#]],
    );
    trusted(
        "[0.0.0.0/0, '::/0']",
        &expect![[r#"
        daypass.yaml:2:42: this trusts everybody to say who they are
          2 | listen: { trusted_proxies: { addresses: [0.0.0.0/0, '::/0'] } }
            |                                          ^^^^^^^^^
            = name the addresses of the proxies in front
        daypass.yaml:2:53: this trusts everybody to say who they are
          2 | listen: { trusted_proxies: { addresses: [0.0.0.0/0, '::/0'] } }
            |                                                     ^^^^^^
            = name the addresses of the proxies in front
    "#]],
    );
    trusted(
        "[10.0.0.7/8, proxy.internal, 10.0.0.0/33]",
        &expect![[r#"
        daypass.yaml:2:42: `10.0.0.7/8` names an address inside a network
          2 | listen: { trusted_proxies: { addresses: [10.0.0.7/8, proxy.internal, 10.0.0.0/33] } }
            |                                          ^^^^^^^^^^
            = write `10.0.0.0/8` for the network
        daypass.yaml:2:54: `proxy.internal` is not an IP address or network
          2 | listen: { trusted_proxies: { addresses: [10.0.0.7/8, proxy.internal, 10.0.0.0/33] } }
            |                                                      ^^^^^^^^^^^^^^
            = write it like `10.0.0.7` or `10.0.0.0/24`
        daypass.yaml:2:70: `10.0.0.0/33` is not an IP address or network
          2 | listen: { trusted_proxies: { addresses: [10.0.0.7/8, proxy.internal, 10.0.0.0/33] } }
            |                                                                      ^^^^^^^^^^^
            = write it like `10.0.0.7` or `10.0.0.0/24`
    "#]],
    );
    check_with(
        "listen: { connections_per_source: 0 }",
        &expect![[r#"
        daypass.yaml:2:35: 0 connections of a source are out of bounds
          2 | listen: { connections_per_source: 0 }
            |                                   ^
            = write a number from 1 to 1000000
    "#]],
    );
    check_with(
        "listen: { trusted_proxies: { addresses: [10.0.0.7], speak: smtp } }",
        &expect![[r#"
        daypass.yaml:2:60: `smtp` is not a choice here
          2 | listen: { trusted_proxies: { addresses: [10.0.0.7], speak: smtp } }
            |                                                            ^^^^
            = use `forwarded` or `proxy_protocol`
    "#]],
    );
}

#[test]
fn a_rule_for_paths_that_its_api_does_not_take_is_an_error() {
    let file = |key: &str, list: &str| {
        format!(
            "apis:\n  files:\n    route: {{ prefix: /files }}\n    upstreams: [http://127.0.0.1:1]\n{key}roles:\n  \
             reader: {{ allow: ['files:read'], {list}: ['files:* /a%2Fb/**'] }}\n"
        )
    };
    check(
        &file("", "deny"),
        &expect![[r#"
        daypass.yaml:6:43: no path that `files` takes is covered by this rule
          6 |   reader: { allow: ['files:read'], deny: ['files:* /a%2Fb/**'] }
            |                                           ^^^^^^^^^^^^^^^^^^^
            = write `allow_in_paths: [encoded_slash]` under `files`, if its upstream takes such paths for what the rules do
    "#]],
    );
    check(
        &file("    allow_in_paths: [parameters]\n", "deny"),
        &expect![[r#"
        daypass.yaml:7:43: no path that `files` takes is covered by this rule
          7 |   reader: { allow: ['files:read'], deny: ['files:* /a%2Fb/**'] }
            |                                           ^^^^^^^^^^^^^^^^^^^
            = write `allow_in_paths: [encoded_slash]` under `files`, if its upstream takes such paths for what the rules do
    "#]],
    );
    check(
        &file("    allow_in_paths: [encoded_slash]\n", "deny"),
        &expect![[r#"
        ok
    "#]],
    );
    check(
        &file("    allow_in_paths: [dots]\n", "deny"),
        &expect![[r#"
        daypass.yaml:5:22: `dots` is not a choice here
          5 |     allow_in_paths: [dots]
            |                      ^^^^
            = use `encoded_slash`, `parameters` or `empty_segments`
    "#]],
    );
}
