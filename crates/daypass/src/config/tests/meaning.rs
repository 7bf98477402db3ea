//! Settings that mean nothing, or two things.

use expect_test::expect;

use super::*;

#[test]
fn a_path_rule_that_matches_no_operation_is_reported_and_a_deny_that_does_is_refused() {
    check_with(
        "roles:
  r:
    allow: [orders:read, 'orders:GET /orders', 'orders:DELETE /v1/orders/{id}', 'orders:GET /v2/**']
",
        &expect![[r#"
            ok
            daypass.yaml:4:26: this rule allows nothing: no operation in the contract of `orders` matches it
              4 |     allow: [orders:read, 'orders:GET /orders', 'orders:DELETE /v1/orders/{id}', 'orders:GET /v2/**']
                |                          ^^^^^^^^^^^^^^^^^^^^
                = did you mean `/v1/orders`?
            daypass.yaml:4:48: this rule allows nothing: no operation in the contract of `orders` matches it
              4 |     allow: [orders:read, 'orders:GET /orders', 'orders:DELETE /v1/orders/{id}', 'orders:GET /v2/**']
                |                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = the operations at this path are `GET /v1/orders/{id}`
            daypass.yaml:4:81: this rule allows nothing: no operation in the contract of `orders` matches it
              4 |     allow: [orders:read, 'orders:GET /orders', 'orders:DELETE /v1/orders/{id}', 'orders:GET /v2/**']
                |                                                                                 ^^^^^^^^^^^^^^^^^^^
                = its operations are `GET /v1/orders`, `POST /v1/orders` or `GET /v1/orders/{id}`
        "#]],
    );
    check_with(
        "roles:
  r:
    allow: [orders:read]
    deny: ['orders:GET /orders', 'orders:* /v1/order/{id}', 'orders:POST /v1/orders/{id}', 'orders:* /**']
",
        &expect![[r#"
            daypass.yaml:5:12: this rule denies nothing: no operation in the contract of `orders` matches it
              5 |     deny: ['orders:GET /orders', 'orders:* /v1/order/{id}', 'orders:POST /v1/orders/{id}', 'orders:* /**']
                |            ^^^^^^^^^^^^^^^^^^^^
                = did you mean `/v1/orders`?
            daypass.yaml:5:34: this rule denies nothing: no operation in the contract of `orders` matches it
              5 |     deny: ['orders:GET /orders', 'orders:* /v1/order/{id}', 'orders:POST /v1/orders/{id}', 'orders:* /**']
                |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^
                = did you mean `/v1/orders/{id}`?
            daypass.yaml:5:61: this rule denies nothing: no operation in the contract of `orders` matches it
              5 |     deny: ['orders:GET /orders', 'orders:* /v1/order/{id}', 'orders:POST /v1/orders/{id}', 'orders:* /**']
                |                                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                = the operations at this path are `GET /v1/orders/{id}`
        "#]],
    );
    // HEAD goes to GET operations, and one path of several is enough.
    check_with(
        "roles: { r: { allow: ['orders:HEAD /v1/orders', 'orders:GET /v1/orders/7'], deny: ['orders:write'] } }",
        &expect![[r#"
            ok
        "#]],
    );
}

#[test]
fn path_rules_may_name_anything_where_requests_outside_the_contract_pass() {
    let api = "route: { prefix: /orders }, upstreams: [http://127.0.0.1:7001]";
    for contract in ["", ", openapi: orders.yaml, unlisted: allow"] {
        let roles = "roles: { r: { allow: ['orders:GET /a'], deny: ['orders:GET /b'] } }";
        check(&format!("apis: {{ orders: {{ {api}{contract} }} }}\n{roles}"), &expect![["ok\n"]]);
    }
}

#[test]
fn rules_name_what_exists() {
    check_with(
        "roles:
  viewer:
    allow:
      - orders:read
      - oders:read
      - payments:read
      - orders:listOrder
      - orders:refund
      - orders:tag:writing
    deny: ['orders:GET v1', 'orders', 'orders:GETS /v1']
  nobody: { allow: [] }
  'no name': { allow: ['orders:read'] }
",
        &expect![[r#"
            daypass.yaml:6:9: there is no API named `oders`
              6 |       - oders:read
                |         ^^^^^^^^^^
                = did you mean `orders`?
            daypass.yaml:7:9: there is no API named `payments`
              7 |       - payments:read
                |         ^^^^^^^^^^^^^
                = use `orders`, or add it under `apis:`
            daypass.yaml:8:9: the contract of `orders` does not have an operation named `listOrder`
              8 |       - orders:listOrder
                |         ^^^^^^^^^^^^^^^^
                = did you mean `listOrders`?
            daypass.yaml:9:9: the contract of `orders` does not have an operation named `refund`
              9 |       - orders:refund
                |         ^^^^^^^^^^^^^
                = its operations are `listOrders`, `placeOrder` or `getOrder`
            daypass.yaml:10:9: the contract of `orders` does not have an operation tagged `writing`
              10 |       - orders:tag:writing
                 |         ^^^^^^^^^^^^^^^^^^
                 = its tags are `reading`
            daypass.yaml:11:12: the template `v1` does not start with `/`
              11 |     deny: ['orders:GET v1', 'orders', 'orders:GETS /v1']
                 |            ^^^^^^^^^^^^^^^
                 = write `API:METHOD /path`, `API:operationId`, `API:tag:NAME` or `API:read|write|all`
            daypass.yaml:11:29: `orders` does not say which API it is about: write `API:read`, `API:operationId` or `API:GET /path`
              11 |     deny: ['orders:GET v1', 'orders', 'orders:GETS /v1']
                 |                             ^^^^^^^^
                 = write `API:METHOD /path`, `API:operationId`, `API:tag:NAME` or `API:read|write|all`
            daypass.yaml:11:39: `GETS` is not a method: use `GET`, `HEAD`, `OPTIONS`, `POST`, `PUT`, `PATCH`, `DELETE`, several with commas, or `*`
              11 |     deny: ['orders:GET v1', 'orders', 'orders:GETS /v1']
                 |                                       ^^^^^^^^^^^^^^^^^
                 = write `API:METHOD /path`, `API:operationId`, `API:tag:NAME` or `API:read|write|all`
            daypass.yaml:12:20: the role `nobody` allows nothing
              12 |   nobody: { allow: [] }
                 |                    ^
                 = name at least one rule, like `"orders:read"`
            daypass.yaml:13:3: `no name` is not a name
              13 |   'no name': { allow: ['orders:read'] }
                 |   ^^^^^^^^^
                 = use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first
        "#]],
    );
    check(
        "apis: { bare: { route: { host: a }, upstreams: [http://a] } }\nroles: { r: { allow: ['bare:getThing'] } }",
        &expect![[r#"
            daypass.yaml:2:23: the API `bare` has no contract, so it cannot have an operation named `getThing`: use a path rule
              2 | roles: { r: { allow: ['bare:getThing'] } }
                |                       ^^^^^^^^^^^^^^^
                = write `bare:GET /path`, or name a contract with `openapi:`
        "#]],
    );
}

#[test]
fn contracts_are_readable_and_unambiguous() {
    check(
        "apis:
  a: { route: { prefix: /a }, upstreams: [http://a], openapi: missing.yaml }
  b: { route: { prefix: /b }, upstreams: [http://a], openapi: broken.yaml }
  c: { route: { prefix: /c }, upstreams: [http://a], openapi: twice.yaml }
  d: { route: { prefix: /d }, upstreams: [http://a], openapi: old.json }
  e: { route: { prefix: /e }, upstreams: [http://a], base: /v1 }
  f: { route: { prefix: /f }, upstreams: [http://a], openapi: orders.yaml, base: '/v1/{' }
roles: { r: { allow: ['a:getThing', 'b:tag:x'] } }
",
        &expect![[r#"
            daypass.yaml:2:63: the contract `missing.yaml` cannot be read: No such file or directory (os error 2)
              2 |   a: { route: { prefix: /a }, upstreams: [http://a], openapi: missing.yaml }
                |                                                               ^^^^^^^^^^^^
                = name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory
            daypass.yaml:3:63: the contract `broken.yaml` is wrong at line 3, column 7: unclosed bracket '['
              3 |   b: { route: { prefix: /b }, upstreams: [http://a], openapi: broken.yaml }
                |                                                               ^^^^^^^^^^^
                = name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory
            daypass.yaml:4:63: the contract `twice.yaml` cannot be used: two operations are named `a`
              4 |   c: { route: { prefix: /c }, upstreams: [http://a], openapi: twice.yaml }
                |                                                               ^^^^^^^^^^
                = give each operation in it an `operationId` of its own
            daypass.yaml:5:63: the contract `old.json` cannot be used: this is not an OpenAPI 3.0 or 3.1 document: `openapi` is `missing`
              5 |   d: { route: { prefix: /d }, upstreams: [http://a], openapi: old.json }
                |                                                               ^^^^^^^^
                = name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory
            daypass.yaml:6:60: `base` is about the paths of a contract, and this API has none
              6 |   e: { route: { prefix: /e }, upstreams: [http://a], base: /v1 }
                |                                                            ^^^
                = add `openapi:`, or remove `base:`
            daypass.yaml:7:63: the contract `orders.yaml` cannot be used: the path `/v1/{/orders` cannot be matched: the template `/v1/{/orders` has a segment that is neither a literal, `{name}` nor `*`
              7 |   f: { route: { prefix: /f }, upstreams: [http://a], openapi: orders.yaml, base: '/v1/{' }
                |                                                               ^^^^^^^^^^^
                = write the path with literals as they are matched, and `{name}` for what varies
        "#]],
    );
}

#[test]
fn routes_and_upstreams_mean_one_thing() {
    check(
        "apis:
  a: { route: { prefix: orders }, upstreams: [] }
  b: { route: { prefix: /a/b }, upstreams: [h2c://a, ftp://a, 'http://u:hunter2@a', http://a/../b] }
  c: { route: { prefix: /same }, upstreams: [http://a, http://a] }
  d: { route: { prefix: /same }, upstreams: [http://a] }
  e: { route: { host: API.example.com }, upstreams: [http://a] }
  f: { route: { host: 'api.example.com:443' }, upstreams: [http://a] }
  g: { route: { host: 'a_b' }, upstreams: [http://a] }
",
        &expect![[r#"
            daypass.yaml:2:25: `orders` is not the first segment of a path
              2 |   a: { route: { prefix: orders }, upstreams: [] }
                |                         ^^^^^^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:2:46: an API has 1 to 64 upstreams
              2 |   a: { route: { prefix: orders }, upstreams: [] }
                |                                              ^
                = write them like `[http://127.0.0.1:7001]`
            daypass.yaml:3:25: `/a/b` is not the first segment of a path
              3 |   b: { route: { prefix: /a/b }, upstreams: [h2c://a, ftp://a, ********************, http://a/../b] }
                |                         ^^^^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:3:54: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
              3 |   b: { route: { prefix: /a/b }, upstreams: [h2c://a, ftp://a, ********************, http://a/../b] }
                |                                                      ^^^^^^^
                = write it like `http://127.0.0.1:7001`
            daypass.yaml:3:63: an upstream's URL does not carry a user or password
              3 |   b: { route: { prefix: /a/b }, upstreams: [h2c://a, ftp://a, ********************, http://a/../b] }
                |                                                               ^^^^^^^^^^^^^^^^^^^^
                = add them with `credentials.headers`, by reference
            daypass.yaml:3:85: an upstream's path is plain segments, without `..`, `%`, `?` or `#`
              3 |   b: { route: { prefix: /a/b }, upstreams: [h2c://a, ftp://a, ********************, http://a/../b] }
                |                                                                                     ^^^^^^^^^^^^^
                = write it like `http://127.0.0.1:7001`
            daypass.yaml:4:56: this upstream stands twice
              4 |   c: { route: { prefix: /same }, upstreams: [http://a, http://a] }
                |                                                        ^^^^^^^^
                = keep one of them
            daypass.yaml:5:15: the APIs `c` and `d` have the same route
              5 |   d: { route: { prefix: /same }, upstreams: [http://a] }
                |               ^
                = give one of them another prefix or host
            daypass.yaml:7:15: the APIs `e` and `f` have the same route
              7 |   f: { route: { host: 'api.example.com:443' }, upstreams: [http://a] }
                |               ^
                = give one of them another prefix or host
            daypass.yaml:8:23: `a_b` is not a host name
              8 |   g: { route: { host: 'a_b' }, upstreams: [http://a] }
                |                       ^^^^^
                = write it like `orders.api.example.com`
        "#]],
    );
}

#[test]
fn numbers_have_bounds_and_units() {
    check_with(
        "roles:
  a: { allow: ['orders:read'], limits: { rate: 5 } }
  b: { allow: ['orders:read'], limits: { burst: 5 } }
  c: { allow: ['orders:read'], limits: { rate: 5/s, burst: 0 } }
",
        &expect![[r#"
            daypass.yaml:3:48: `5` is not a rate
              3 |   a: { allow: ['orders:read'], limits: { rate: 5 } }
                |                                                ^
                = write a number from 1 to 1000000, `/` and `s`, `m`, `h` or `d`, like `500/s`
            daypass.yaml:4:49: a burst without a rate limits nothing
              4 |   b: { allow: ['orders:read'], limits: { burst: 5 } }
                |                                                 ^
                = add `rate:` beside it
            daypass.yaml:5:60: a burst of 0 is out of bounds
              5 |   c: { allow: ['orders:read'], limits: { rate: 5/s, burst: 0 } }
                |                                                            ^
                = write a number from 1 to 1000000
        "#]],
    );
    check(
        "apis:
  a: { route: { prefix: /a }, upstreams: [http://a], limits: { request_body: 1MB, timeout: 30, concurrency: 0 } }
  b: { route: { prefix: /b }, upstreams: [http://a], limits: { timeout: 2d, concurrency: many } }
  c: { route: { prefix: /c }, upstreams: [http://a], limits: { connect: 2m, idle: 0s, total: 8d } }
",
        &expect![[r#"
            daypass.yaml:2:78: `1MB` is not a size
              2 |   a: { route: { prefix: /a }, upstreams: [http://a], limits: { request_body: 1MB, timeout: 30, concurrency: 0 } }
                |                                                                              ^^^
                = write a whole number and `B`, `KiB`, `MiB` or `GiB`, like `1MiB`; at most `1024GiB`
            daypass.yaml:2:92: `30` is not a timeout
              2 |   a: { route: { prefix: /a }, upstreams: [http://a], limits: { request_body: 1MB, timeout: 30, concurrency: 0 } }
                |                                                                                            ^^
                = write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `1d`
            daypass.yaml:2:109: `0` is not a number of requests
              2 |   a: { route: { prefix: /a }, upstreams: [http://a], limits: { request_body: 1MB, timeout: 30, concurrency: 0 } }
                |                                                                                                             ^
                = write a whole number from 1 to 1000000
            daypass.yaml:3:73: `2d` is not a timeout
              3 |   b: { route: { prefix: /b }, upstreams: [http://a], limits: { timeout: 2d, concurrency: many } }
                |                                                                         ^^
                = write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `1d`
            daypass.yaml:3:90: `many` is not a number of requests
              3 |   b: { route: { prefix: /b }, upstreams: [http://a], limits: { timeout: 2d, concurrency: many } }
                |                                                                                          ^^^^
                = write a whole number from 1 to 1000000
            daypass.yaml:4:73: `2m` is not a timeout
              4 |   c: { route: { prefix: /c }, upstreams: [http://a], limits: { connect: 2m, idle: 0s, total: 8d } }
                |                                                                         ^^
                = write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `1m`
            daypass.yaml:4:83: `0s` is not a timeout
              4 |   c: { route: { prefix: /c }, upstreams: [http://a], limits: { connect: 2m, idle: 0s, total: 8d } }
                |                                                                                   ^^
                = write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `1d`
            daypass.yaml:4:94: `8d` is not a timeout
              4 |   c: { route: { prefix: /c }, upstreams: [http://a], limits: { connect: 2m, idle: 0s, total: 8d } }
                |                                                                                              ^^
                = write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `7d`
        "#]],
    );
}

#[test]
fn a_contract_that_cannot_be_used_is_told_what_to_change_in_it() {
    for (contract, advice) in [
        ("openapi: 3.1\npaths: {}", "put the version in quotes, like `openapi: \"3.1.0\"`"),
        ("openapi: 3.1.0\npaths: { '/a/**': { get: {} } }", "write the place as `{name}`"),
        ("openapi: 3.1.0\npaths: { /a: { get: { servers: [{ url: /v2 }] } } }", "say with `base:`"),
        ("openapi: 3.1.0\npaths: { /a: { $ref: '#/b', get: {} } }", "move it to what the reference leads to"),
        ("openapi: 3.1.0\npaths: { /a: { $ref: '#/paths/~1a' } }", "let it lead to a path item"),
        (
            "openapi: 3.1.0\npaths: { /a%7Eb: { get: {} } }",
            "write the path with literals as they are matched",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("c.yaml"), contract).unwrap();
        let error = contract::read_operations(directory.path(), "c.yaml", None).unwrap_err();
        assert!(error.advice.starts_with(advice), "{contract}: {error}, {}", error.advice);
    }
}

#[test]
fn an_operation_that_no_rule_can_name_is_warned_of() {
    let directory = directory();
    let contract = "openapi: 3.1.0
paths:
  /a: { get: { operationId: read }, post: { operationId: tag:x }, put: { operationId: GET x }, delete: {} }
  /b: { get: { operationId: list things } }
";
    fs::write(directory.path().join("c.yaml"), contract).unwrap();
    let text = "apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: c.yaml } }
roles: { b: { allow: ['a:list things', 'a:GET /a', 'a:POST /a', 'a:PUT /a', 'a:DELETE /a'] } }
";
    let source = Source { path: "daypass.yaml".into(), text: text.into() };
    let loaded = Config::resolve(source, directory.path(), &Environment::of([])).unwrap();
    expect![[r#"
        daypass.yaml:1:69: no rule can name the operation `GET x`: `a:GET x` means another thing
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: c.yaml } }
            |                                                                     ^^^^^^
            = write `a:PUT /a` in rules, or give it another `operationId` in the contract
        daypass.yaml:1:69: no rule can name the operation `read`: `a:read` means another thing
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: c.yaml } }
            |                                                                     ^^^^^^
            = write `a:GET /a` in rules, or give it another `operationId` in the contract
        daypass.yaml:1:69: no rule can name the operation `tag:x`: `a:tag:x` means another thing
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: c.yaml } }
            |                                                                     ^^^^^^
            = write `a:POST /a` in rules, or give it another `operationId` in the contract
    "#]]
    .assert_eq(&loaded.warnings.to_string());
}
