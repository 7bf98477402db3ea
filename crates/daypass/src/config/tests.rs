use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};

use super::*;

/// A directory with a contract, a broken one, and secrets.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("orders.yaml", ORDERS);
    write("broken.yaml", "openapi: 3.1.0\npaths:\n  /a: [\n");
    write(
        "twice.yaml",
        "openapi: 3.1.0\npaths:\n  /a: {get: {operationId: a}}\n  /b: {get: {operationId: a}}\n",
    );
    write("old.json", r#"{"swagger": "2.0", "paths": {}}"#);
    write("key.txt", "Bearer from-a-file\n");
    write("empty.txt", "\n");
    directory
}

const ORDERS: &str = "openapi: 3.1.0
info: { title: Orders, version: '1' }
servers: [{ url: /v1 }]
paths:
  /orders: { get: { operationId: listOrders, tags: [reading] }, post: { operationId: placeOrder } }
  /orders/{id}: { get: { operationId: getOrder, tags: [reading], responses: { 200: { description: ok } } } }
";

fn load(text: &str) -> Result<Loaded, ConfigError> {
    let directory = directory();
    let source = Source { path: "daypass.yaml".into(), text: text.into() };
    let environment =
        Environment::of([("ORDERS_KEY", "Bearer from-the-environment"), ("EMPTY", ""), ("LINES", "a\nb")]);
    Config::resolve(source, directory.path(), &environment)
}

/// What `daypass check` says about a configuration.
fn check(text: &str, expected: &Expect) {
    let said = match load(text) {
        Ok(loaded) => format!("ok\n{}", loaded.warnings),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&said);
}

/// The same, with one API and a role about it written already.
fn check_with(rest: &str, expected: &Expect) {
    let api = "apis: { orders: { route: { prefix: /orders }, upstreams: [http://127.0.0.1:7001], openapi: orders.yaml } }";
    check(&format!("{api}\n{rest}"), expected);
}

#[test]
fn a_small_configuration_is_enough() {
    check_with(
        "roles: { viewer: { allow: ['orders:read'] } }",
        &expect![[r#"
        ok
    "#]],
    );
}

#[test]
fn syntax_errors_stand_at_their_place() {
    check(
        "apis:\n  orders: { route: { prefix: '/orders }\n",
        &expect![[r#"
        daypass.yaml:2:30: unclosed quote
          2 |   orders: { route: { prefix: '/orders }
            |                              ^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "listen:\n  proxy: 127.0.0.1:1\n   console: 127.0.0.1:2\n",
        &expect![[r#"
        daypass.yaml:3:11: mapping values are not allowed in this context
          3 |    console: 127.0.0.1:2
            |           ^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "listen:\n\tproxy: 127.0.0.1:1\n",
        &expect![[r#"
        daypass.yaml:2:2: tabs disallowed within this context (block indentation)
          2 | 	proxy: 127.0.0.1:1
            | 	^
            = check quotes, brackets and indentation at this place; `daypass config schema` has every key
    "#]],
    );
    check(
        "apis: *orders\n",
        &expect![[r#"
        daypass.yaml:1:7: nothing in the file is named by this `*`
          1 | apis: *orders
            |       ^
            = mark the first place with `&name`, or put a text that starts with `*` in quotes
    "#]],
    );
    check(
        "apis: {}\n---\napis: {}\n",
        &expect![[r#"
        daypass.yaml:3:1: a second document starts here
          3 | apis: {}
            | ^
            = keep one document in the file: remove the `---`
    "#]],
    );
}

#[test]
fn unknown_keys_are_refused_and_the_nearest_is_named() {
    check(
        "lisen: {}\n",
        &expect![[r#"
        daypass.yaml:1:1: unknown key `lisen`
          1 | lisen: {}
            | ^^^^^
            = did you mean `listen`?
    "#]],
    );
    check_with(
        "roles: { viewer: { allow: ['orders:read'], rate: 5/s } }",
        &expect![[r#"
        daypass.yaml:2:44: unknown key `rate`
          2 | roles: { viewer: { allow: ['orders:read'], rate: 5/s } }
            |                                            ^^^^
            = use `allow`, `deny`, `when` or `limits`
    "#]],
    );
}

#[test]
fn keys_stand_once() {
    check(
        "data: a\ndata: b\n",
        &expect![[r#"
        daypass.yaml:2:1: the key `data` stands twice
          2 | data: b
            | ^^^^
            = keep one of them
    "#]],
    );
    check(
        "apis:\n  a: { route: { prefix: /a, host: a }, upstreams: [] }\n",
        &expect![[r#"
        daypass.yaml:2:29: only one key may stand here
          2 |   a: { route: { prefix: /a, host: a }, upstreams: [] }
            |                             ^^^^
            = keep one of them
    "#]],
    );
}

#[test]
fn values_of_another_type_are_refused() {
    check(
        "apis: [orders]\n",
        &expect![[r#"
        daypass.yaml:1:7: keys with values are expected here
          1 | apis: [orders]
            |       ^
            = write `key: value` lines below, or `{}`
    "#]],
    );
    check(
        "data: [a]\n",
        &expect![[r#"
        daypass.yaml:1:7: a single value is expected here
          1 | data: [a]
            |       ^
            = write one text, not a list or keys
    "#]],
    );
    check(
        "data:\n",
        &expect![[r#"
        daypass.yaml:1:5: a value is missing here
          1 | data:
            |     ^
            = write one, or remove the key
    "#]],
    );
    check(
        "journal: { durability: fsnyc }\n",
        &expect![[r#"
        daypass.yaml:1:24: `fsnyc` is not a choice here
          1 | journal: { durability: fsnyc }
            |                        ^^^^^
            = did you mean `fsync`?
    "#]],
    );
    check(
        "apis: { a: { route: { path: /a }, upstreams: [] } }\n",
        &expect![[r#"
        daypass.yaml:1:23: `path` is not a choice here
          1 | apis: { a: { route: { path: /a }, upstreams: [] } }
            |                       ^^^^
            = use `prefix` or `host`
    "#]],
    );
    check(
        "apis: { a: { upstreams: [] } }\n",
        &expect![[r#"
        daypass.yaml:1:14: `route` is missing here
          1 | apis: { a: { upstreams: [] } }
            |              ^^^^^^^^^
            = add `route:`
    "#]],
    );
    check(
        "apis: { a: { route: { prefix: /a }, upstreams: [http://a], limits: { burst: many } } }\n",
        &expect![[r#"
        daypass.yaml:1:77: a whole number is expected here
          1 | apis: { a: { route: { prefix: /a }, upstreams: [http://a], limits: { burst: many } } }
            |                                                                             ^^^^
            = write digits only, like `100`
    "#]],
    );
}

#[test]
fn an_api_is_needed() {
    check(
        "",
        &expect![[r#"
        daypass.yaml: there is no API to protect
          = add `apis:` with a `route:` and `upstreams:` for each; `daypass init` writes a first one
    "#]],
    );
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
                = name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory
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
                = name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory
        "#]],
    );
}

#[test]
fn routes_and_upstreams_mean_one_thing() {
    check(
        "apis:
  a: { route: { prefix: orders }, upstreams: [] }
  b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, 'http://u:hunter2@a', http://a/../b] }
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
              3 |   b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, ********************, http://a/../b] }
                |                         ^^^^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:3:45: this version does not speak TLS to upstreams
              3 |   b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, ********************, http://a/../b] }
                |                                             ^^^^^^^^^
                = use `http://` or `h2c://` on a network that you trust
            daypass.yaml:3:56: an upstream's URL starts with `http://` or `h2c://`
              3 |   b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, ********************, http://a/../b] }
                |                                                        ^^^^^^^
                = write it like `http://127.0.0.1:7001`
            daypass.yaml:3:65: an upstream's URL does not carry a user or password
              3 |   b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, ********************, http://a/../b] }
                |                                                                 ^^^^^^^^^^^^^^^^^^^^
                = add them with `credentials.headers`, by reference
            daypass.yaml:3:87: an upstream's path is plain segments, without `..`, `%`, `?` or `#`
              3 |   b: { route: { prefix: /a/b }, upstreams: [https://a, ftp://a, ********************, http://a/../b] }
                |                                                                                       ^^^^^^^^^^^^^
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
        "#]],
    );
}

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
        "listen: { tls: { certificate: 'file:a', key: 'file:b' } }
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
            daypass.yaml:1:16: this version does not enforce `listen.tls`, and refuses to run as if it did
              1 | listen: { tls: { certificate: 'file:a', key: 'file:b' } }
                |                ^
                = listen on loopback behind something that speaks TLS
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
        daypass.yaml:2:20: credentials travel unencrypted to this address: this version does not speak TLS
          2 | listen: { console: 0.0.0.0:8081 }
            |                    ^^^^^^^^^^^^
            = listen on loopback behind something that does, or trust the network
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
fn an_alias_bomb_is_refused() {
    let mut text = "a: &a0 [x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("b{level}: &a{level} [{alias}]\n"));
    }
    assert!(load(&text).is_err());
    let directory = directory();
    fs::write(directory.path().join("bomb.yaml"), format!("openapi: 3.1.0\n{text}")).unwrap();
    let refused = contract::read_operations(directory.path(), "bomb.yaml", None).unwrap_err();
    expect!["the contract `bomb.yaml` is wrong at line 8, column 30: this is larger or deeper than a configuration may be"].assert_eq(&refused.to_string());
}

#[test]
fn settings_are_what_was_written() {
    let loaded = load(
        "listen: { proxy: 127.0.0.1:0, console: '[::1]:9' }
public_url: http://127.0.0.1:8080/
data: var/data
journal: { durability: write }
identity: { users: { alice: { groups: [sre] } } }
console: { administrators: ['group:sre'] }
apis:
  zebra: { route: { host: 'Zebra.example.com:80' }, upstreams: [h2c://z:50051], limits: { rate: 500/s, burst: 50, request_body: 2KiB, timeout: 250ms, concurrency: 8 } }
  orders: { route: { prefix: /orders }, upstreams: [http://a, http://b:81/base/], openapi: orders.yaml, unlisted: allow, credentials: { headers: { Authorization: 'file:key.txt' } } }
roles: { viewer: { allow: ['orders:tag:reading', 'zebra:GET /**'], limits: { rate: 60/m } } }
",
    );
    let Loaded { settings, .. } = loaded.unwrap();
    let shown: Vec<_> =
        settings.policy.apis.iter().map(|api| format!("{} {:?}", api.name, api.route)).collect();
    assert_eq!(shown, ["orders Prefix(\"orders\")", "zebra Host(\"zebra.example.com\")"]);
    assert!(settings.data.ends_with("var/data"));
    assert_eq!(settings.public_url.as_deref(), Some("http://127.0.0.1:8080"));
    let [orders, zebra] = settings.forwards.as_slice() else { panic!("two forwards") };
    assert_eq!(orders.headers[0].0, "authorization");
    assert_eq!(orders.headers[0].1.expose(), b"Bearer from-a-file");
    assert_eq!((orders.upstreams.len(), orders.timeout.as_secs(), orders.concurrency), (2, 30, None));
    assert_eq!((zebra.timeout.as_millis(), zebra.concurrency), (250, Some(8)));
    assert_eq!(settings.policy.apis[1].request_body_bytes_max, 2048);
    assert_eq!(settings.policy.apis[1].rate.unwrap().burst(), 50);
    assert_eq!(settings.policy.apis[0].operations.as_ref().map(Vec::len), Some(3));
}

#[test]
fn a_file_is_found_read_and_bounded() {
    let directory = directory();
    let path = directory.path().join("daypass.yaml");
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::Unreadable { .. })));
    fs::write(&path, [0xff]).unwrap();
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::NotText { .. })));
    fs::write(&path, vec![b'#'; CONFIG_BYTES_MAX as usize + 1]).unwrap();
    assert!(matches!(Config::load(&path, &Environment::of([])), Err(ConfigError::NotText { .. })));
    fs::write(&path, "apis: { a: { route: { prefix: /a }, upstreams: [http://a], openapi: orders.yaml } }")
        .unwrap();
    let loaded = Config::load(&path, &Environment::of([])).unwrap();
    assert_eq!(loaded.settings.data, directory.path().join("./daypass-data"));
    assert_eq!(Config::data_directory(&path).unwrap(), loaded.settings.data);
    assert_eq!(locate(Some(Path::new("a.yaml"))).unwrap(), Path::new("a.yaml"));
}
