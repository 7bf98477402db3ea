use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use testkit::clients::{CLIENTS, LATER};
use testkit::tls::{AUTHORITY, InForce};

use super::*;

mod callers;
mod cors;
mod meaning;
mod safety;
mod shape;
mod tls;

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
    let [own, other] = [["a"], ["b"]].map(|names| AUTHORITY.sign(&names, InForce::Now));
    write("cert.pem", &own.certificate);
    write("key.pem", &own.key);
    write("other.key", &other.key);
    write("clients.pem", &CLIENTS.pem());
    write("clients.crl", &CLIENTS.revoke(&[1], LATER));
    write("stale.crl", &CLIENTS.revoke(&[], (2026, 1, 2)));
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
    assert_eq!((orders.upstreams.len(), orders.patience.answer.as_secs(), orders.concurrency), (2, 30, None));
    assert_eq!((zebra.patience.answer.as_millis(), zebra.concurrency), (250, Some(8)));
    assert_eq!(settings.policy.apis[1].request_body_bytes_max, 2048);
    assert_eq!(settings.policy.apis[1].rate.unwrap().burst(), 50);
    assert_eq!(settings.policy.apis[0].operations.as_ref().map(Vec::len), Some(3));
}
