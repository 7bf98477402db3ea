//! Secrets, owned headers, and what this version does not enforce.

use expect_test::expect;

use super::*;

#[test]
fn secrets_are_references_that_lead_somewhere() {
    let api = |headers: &str| {
        format!(
            "apis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a], credentials: {{ headers: {headers} }} }} }}"
        )
    };
    check(
        &api("{ Authorization: env:ORDERS_KEY, X-Key: 'file:key.txt' }"),
        &expect![[r#"
        ok
    "#]],
    );
    check(
        &api("{ Authorization: Bearer hunter2 }"),
        &expect![[r#"
        daypass.yaml:1:101: secrets are given by reference only
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { Authorization: ************** } } } }
            |                                                                                                     ^^^^^^^^^^^^^^
            = write `env:NAME` or `file:PATH`, and put the secret there
    "#]],
    );
    check(
        &api("{ A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES }"),
        &expect![[r#"
        daypass.yaml:1:89: the environment variable `MISSING` is not set, or empty
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES } } } }
            |                                                                                         ^^^^^^^^^^^
            = set it where the server starts, or use `file:PATH`
        daypass.yaml:1:105: the environment variable `EMPTY` is not set, or empty
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES } } } }
            |                                                                                                         ^^^^^^^^^
            = set it where the server starts, or use `file:PATH`
        daypass.yaml:1:119: the file `missing.txt` cannot be read: No such file or directory (os error 2)
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES } } } }
            |                                                                                                                       ^^^^^^^^^^^^^^^^^^
            = put the secret there, readable by the server's user
        daypass.yaml:1:142: the file `empty.txt` is empty
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES } } } }
            |                                                                                                                                              ^^^^^^^^^^^^^^^^
            = put the secret there, and nothing else
        daypass.yaml:1:163: `env:LINES` cannot be the value of a header
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], credentials: { headers: { A: env:MISSING, B: env:EMPTY, C: 'file:missing.txt', D: 'file:empty.txt', E: env:LINES } } } }
            |                                                                                                                                                                   ^^^^^^^^^
            = put one line of text there, without control characters
    "#]],
    );
}

#[test]
fn a_literal_secret_is_hidden_in_every_line_that_is_shown() {
    let said = load(
        "apis: { a: { route: { prefix: a }, upstreams: [], credentials: { headers: { A: hunter2 } } } }",
    );
    let said = said.unwrap_err().to_string();
    assert!(said.lines().count() > 8 && !said.contains("hunter2"), "{said}");
}

#[test]
fn headers_that_daypass_owns_are_not_given_away() {
    let headers = "{ Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }";
    let text = format!(
        "apis:\n  a:\n    route: {{ prefix: /a }}\n    upstreams: [http://a]\n    credentials:\n      headers: {headers}\n"
    );
    check(
        &text,
        &expect![[r#"
        daypass.yaml:6:18: the header `Host` is set by Daypass itself
          6 |       headers: { Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }
            |                  ^^^^
            = use another header for the upstream's credential
        daypass.yaml:6:40: the header `daypass-subject` is set by Daypass itself
          6 |       headers: { Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }
            |                                        ^^^^^^^^^^^^^^^
            = use another header for the upstream's credential
        daypass.yaml:6:73: the header `X-Forwarded-For` is set by Daypass itself
          6 |       headers: { Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }
            |                                                                         ^^^^^^^^^^^^^^^
            = use another header for the upstream's credential
        daypass.yaml:6:106: `x_under` is not a header that is forwarded
          6 |       headers: { Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }
            |                                                                                                          ^^^^^^^
            = use letters, digits and `-` only
        daypass.yaml:6:157: the header `x-a` stands twice, in two spellings
          6 |       headers: { Host: env:ORDERS_KEY, daypass-subject: env:ORDERS_KEY, X-Forwarded-For: env:ORDERS_KEY, x_under: env:ORDERS_KEY, X-A: env:ORDERS_KEY, x-a: env:ORDERS_KEY }
            |                                                                                                                                                             ^^^^^^^^^^^^^^
            = keep one of them
    "#]],
    );
}

#[test]
fn what_is_not_enforced_is_refused() {
    check(
        "listen: { tls: { certificate: 'file:missing', key: 'file:missing', client_ca: 'file:missing' } }
ledger: postgres://daypass:hunter2@db/daypass
limits_store: redis://cache
journal:
  archive: s3://bucket/prefix
  retain: 400d
guardrails: guardrails.cedar
alerts: [{ when: burst, over: 10x, do: [notify, suspend] }]
apis:
  orders:
    route: { prefix: /orders }
    upstreams: [http://127.0.0.1:7001]
    openapi: orders.yaml
    mode: observe
    validate: strict
    limits: { concurrency: adaptive }
    mask: [{ field: $.customer.email, unless_role: viewer }]
    personal: [$.customer.email]
roles:
  viewer: { allow: ['orders:read'], when: 'context.body.amount <= 100' }
",
        &expect![[r#"
            daypass.yaml:1:31: the file `missing` cannot be read: No such file or directory (os error 2)
              1 | listen: { tls: { certificate: 'file:missing', key: 'file:missing', client_ca: 'file:missing' } }
                |                               ^^^^^^^^^^^^^^
                = put it there, readable by the server's user
            daypass.yaml:1:52: the file `missing` cannot be read: No such file or directory (os error 2)
              1 | listen: { tls: { certificate: 'file:missing', key: 'file:missing', client_ca: 'file:missing' } }
                |                                                    ^^^^^^^^^^^^^^
                = put it there, readable by the server's user
            daypass.yaml:1:79: the file `missing` cannot be read: No such file or directory (os error 2)
              1 | listen: { tls: { certificate: 'file:missing', key: 'file:missing', client_ca: 'file:missing' } }
                |                                                                               ^^^^^^^^^^^^^^
                = put it there, readable by the server's user
            daypass.yaml:2:9: this version keeps `ledger` in `sqlite` only
              2 | ledger: *************************************
                |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = write `ledger: sqlite`, and run one node
            daypass.yaml:3:15: this version keeps `limits_store` in `memory` only
              3 | limits_store: *************
                |               ^^^^^^^^^^^^^
                = write `limits_store: memory`, and run one node
            daypass.yaml:5:12: this version does not enforce `journal.archive`, and refuses to run as if it did
              5 |   archive: s3://bucket/prefix
                |            ^^^^^^^^^^^^^^^^^^
                = remove it, and copy `<data>/journal` yourself
            daypass.yaml:6:11: this version does not enforce `journal.retain`, and refuses to run as if it did
              6 |   retain: 400d
                |           ^^^^
                = remove it: entries are kept for ever
            daypass.yaml:7:13: this version does not enforce `guardrails`, and refuses to run as if it did
              7 | guardrails: guardrails.cedar
                |             ^^^^^^^^^^^^^^^^
                = remove it, and use `deny:` in roles
            daypass.yaml:8:10: this version does not enforce `alerts`, and refuses to run as if it did
              8 | alerts: [{ when: burst, over: 10x, do: [notify, suspend] }]
                |          ^
                = remove it, and watch `/metrics`
            daypass.yaml:14:11: `mode: observe` is not there in this version, which refuses what it would refuse
              14 |     mode: observe
                 |           ^^^^^^^
                 = write `mode: enforce`
            daypass.yaml:15:15: this version does not enforce `validate`, and refuses to run as if it did
              15 |     validate: strict
                 |               ^^^^^^
                 = write `validate: off`: requests are then held to the contract's operations only
            daypass.yaml:16:28: this version does not enforce `concurrency: adaptive`, and refuses to run as if it did
              16 |     limits: { concurrency: adaptive }
                 |                            ^^^^^^^^
                 = write a whole number, like `64`
            daypass.yaml:17:12: this version does not enforce `mask`, and refuses to run as if it did
              17 |     mask: [{ field: $.customer.email, unless_role: viewer }]
                 |            ^
                 = remove it, and deny the operations that show the field
            daypass.yaml:18:16: this version does not enforce `personal`, and refuses to run as if it did
              18 |     personal: [$.customer.email]
                 |                ^^^^^^^^^^^^^^^^
                 = remove it
            daypass.yaml:20:43: this version does not enforce `when`, and refuses to run as if it did
              20 |   viewer: { allow: ['orders:read'], when: 'context.body.amount <= 100' }
                 |                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                 = remove it, or remove the role's rules that need it
        "#]],
    );
}

#[test]
fn what_would_only_give_access_is_warned_about() {
    check_with(
        "identity:
  oidc: [{ name: corp, issuer: https://idp.example.com, client_id: daypass, client_secret: env:OIDC, groups_claim: groups }]
  jwt: [{ issuer: https://ci.example.com, audience: daypass }]
  users: { alice: { groups: [sre] } }
schedules: { primary: { ical: 'file:a.ics' } }
roles: { viewer: { allow: ['orders:read'] } }
access:
  standing: [{ role: viewer, to: ['group:support'] }]
  on_request: [{ role: viewer, to: ['group:sre'], max: 4h, approve: [{ on_call: primary }, { any: 1, of: ['group:leads'] }], break_glass: { to: ['group:sre'], max: 30m, review_within: 24h } }]
  on_incident: [{ source: pagerduty, service: orders, grant: viewer, to: 'on_call:primary', max: 4h, grace: 10m }]
notify: [{ webhook: https://example.com, secret: env:HOOK }]
hooks: { pagerduty: { secret: env:PD } }
",
        &expect![[r#"
            ok
            daypass.yaml:3:10: `identity.oidc` is not in force in this version: nobody gains access through it
              3 |   oidc: [{ name: corp, issuer: https://idp.example.com, client_id: daypass, client_secret: env:OIDC, groups_claim: groups }]
                |          ^
                = give access with `daypass grant` and `daypass service add`; it may stay for a later version
            daypass.yaml:4:9: `identity.jwt` is not in force in this version: nobody gains access through it
              4 |   jwt: [{ issuer: https://ci.example.com, audience: daypass }]
                |         ^
                = give access with `daypass grant` and `daypass service add`; it may stay for a later version
            daypass.yaml:6:14: `schedules` is not in force in this version: nobody gains access through it
              6 | schedules: { primary: { ical: 'file:a.ics' } }
                |              ^^^^^^^
                = give access with `daypass grant` and `daypass service add`; it may stay for a later version
            daypass.yaml:9:3: `access` is not in force in this version: nobody gains access through it
              9 |   standing: [{ role: viewer, to: ['group:support'] }]
                |   ^
                = give access with `daypass grant` and `daypass service add`; it may stay for a later version
            daypass.yaml:12:10: `notify` is not in force in this version: nobody gains access through it
              12 | notify: [{ webhook: https://example.com, secret: env:HOOK }]
                 |          ^
                 = give access with `daypass grant` and `daypass service add`; it may stay for a later version
            daypass.yaml:13:10: `hooks` is not in force in this version: nobody gains access through it
              13 | hooks: { pagerduty: { secret: env:PD } }
                 |          ^^^^^^^^^
                 = give access with `daypass grant` and `daypass service add`; it may stay for a later version
        "#]],
    );
    check_with(
        "hooks: { pagerduty: { secret: hunter2 } }",
        &expect![[r#"
        daypass.yaml:2:31: secrets are given by reference only
          2 | hooks: { pagerduty: { secret: ******* } }
            |                               ^^^^^^^
            = write `env:NAME` or `file:PATH`, and put the secret there
    "#]],
    );
}

#[test]
fn people_are_named_and_their_files_exist() {
    check_with(
        "identity: { users: { alice: { groups: [sre], password: 'file:key.txt' }, bob: { password: 'file:no.txt' }, carol: { password: hunter2 } } }
console: { administrators: ['group:sre', 'group:platform', 'user:dave', 'local:root', 'gruppe:x'], auditors: [alice] }
",
        &expect![[r#"
            daypass.yaml:2:91: there is no file `no.txt`
              2 | identity: { users: { alice: { groups: [sre], password: 'file:key.txt' }, bob: { password: 'file:no.txt' }, carol: { password: ******* } } }
                |                                                                                           ^^^^^^^^^^^^^
                = put the password's hash there, or remove `password:`
            daypass.yaml:2:127: a password's hash is given by reference only
              2 | identity: { users: { alice: { groups: [sre], password: 'file:key.txt' }, bob: { password: 'file:no.txt' }, carol: { password: ******* } } }
                |                                                                                                                               ^^^^^^^
                = write `file:PATH`, and put the hash there
            daypass.yaml:3:73: `local:root` names nobody
              3 | console: { administrators: ['group:sre', 'group:platform', 'user:dave', 'local:root', 'gruppe:x'], auditors: [alice] }
                |                                                                         ^^^^^^^^^^^^
                = write `user:NAME`, `service:NAME` or `group:NAME`
            daypass.yaml:3:87: `gruppe:x` names nobody
              3 | console: { administrators: ['group:sre', 'group:platform', 'user:dave', 'local:root', 'gruppe:x'], auditors: [alice] }
                |                                                                                       ^^^^^^^^^^
                = write `user:NAME`, `service:NAME` or `group:NAME`
        "#]],
    );
}

#[test]
fn listeners_are_addresses_and_urls_are_safe() {
    check_with(
        "listen: { proxy: localhost, console: 0.0.0.0:8081 }",
        &expect![[r#"
        daypass.yaml:2:18: `localhost` is not an address to listen on
          2 | listen: { proxy: localhost, console: 0.0.0.0:8081 }
            |                  ^^^^^^^^^
            = write an IP address and a port, like `127.0.0.1:8080`
    "#]],
    );
    check_with(
        "listen: { console: 127.0.0.1:8080 }",
        &expect![[r#"
        daypass.yaml:2:20: the proxy and the console cannot listen at one address
          2 | listen: { console: 127.0.0.1:8080 }
            |                    ^^^^^^^^^^^^^^
            = give one of them another port
    "#]],
    );
    check_with(
        "listen: { console: 0.0.0.0:8081 }",
        &expect![[r#"
            ok
            daypass.yaml:2:20: credentials travel unencrypted to this address
              2 | listen: { console: 0.0.0.0:8081 }
                |                    ^^^^^^^^^^^^
                = add `listen.tls`, or listen on loopback behind something that speaks TLS
        "#]],
    );
    check_with(
        "public_url: http://daypass.example.com",
        &expect![[r#"
        daypass.yaml:2:13: `http://` is for loopback only
          2 | public_url: http://daypass.example.com
            |             ^^^^^^^^^^^^^^^^^^^^^^^^^^
            = use `https://`
    "#]],
    );
    check_with(
        "public_url: https://daypass.example.com/path",
        &expect![[r#"
        daypass.yaml:2:13: a public URL is a scheme, a host and perhaps a port, without a path
          2 | public_url: https://daypass.example.com/path
            |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            = write it like `https://daypass.example.com`
    "#]],
    );
}

#[test]
fn a_credential_is_no_name_and_is_shown_nowhere() {
    let (secret, _) = access::credential::mint(access::credential::CredentialKind::Token, &[7; 32]);
    let secret = secret.expose_str().unwrap();
    for text in [
        format!("roles: {{ {secret}: {{ allow: ['orders:read'] }} }}"),
        format!("identity: {{ users: {{ {secret}: {{ groups: [a] }} }} }}"),
        format!("identity: {{ users: {{ alice: {{ groups: [{secret}] }} }} }}"),
    ] {
        let api = "apis: { orders: { route: { prefix: /orders }, upstreams: [http://127.0.0.1:7001] } }";
        let said = load(&format!("{api}\n{text}")).unwrap_err().to_string();
        assert!(said.contains("this name contains a Daypass credential"), "{said}");
        assert!(!access::credential::occurs_in(said.as_bytes()), "{said}");
    }
    for text in [
        format!("apis: {{ {secret}: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}"),
        format!(
            "apis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://a] }} }}\nroles: {{ b: {{ allow: ['{secret}:read'] }} }}"
        ),
        format!("{secret}: 1"),
    ] {
        let said = load(&text).unwrap_err().to_string();
        assert!(!access::credential::occurs_in(said.as_bytes()), "{said}");
    }
}
