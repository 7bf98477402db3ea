//! Verbs that ask no server, and the exit codes of those that find none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use tempfile::TempDir;

/// Runs `daypass` in a directory, without anything from the environment that it reads.
pub(super) fn daypass(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
    for name in ["DAYPASS_CONFIG", "DAYPASS_URL", "DAYPASS_SESSION", "DAYPASS_LOG"] {
        command.env_remove(name);
    }
    command.current_dir(directory).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// What a run said and how it ended, with the directory's path left out.
pub(super) fn said(directory: &Path, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&directory.display().to_string(), "DIR");
    let mut said = format!("exit {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            said.push_str(&format!("-- {name}\n{}", text(bytes)));
        }
    }
    said
}

fn check(directory: &TempDir, arguments: &[&str], expected: &Expect) {
    expected.assert_eq(&said(directory.path(), &daypass(directory.path(), arguments)));
}

const CONTRACT: &str = "openapi: 3.1.0
servers: [{ url: /v1 }]
paths:
  /orders: { get: { operationId: listOrders } }
  /orders/{id}: { get: { operationId: getOrder } }
";

#[test]
fn init_writes_what_check_accepts_and_overwrites_nothing() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("orders.yaml"), CONTRACT).unwrap();
    let init = ["init", "--api", "orders", "--upstream", "http://127.0.0.1:7001", "--openapi", "orders.yaml"];
    check(
        &directory,
        &init,
        &expect![[r#"
        exit 0
        -- stdout
        daypass serve
        KEY=$(daypass service add ci --role orders-viewer --for 90d)
        curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/orders/v1/orders
        -- stderr
        wrote daypass.yaml; next:
    "#]],
    );
    check(
        &directory,
        &["check"],
        &expect![[r#"
            exit 0
            -- stdout
            ok  daypass.yaml: 1 API, 2 operations, 3 roles, no warnings
        "#]],
    );
    check(
        &directory,
        &["check", "-o", "json"],
        &expect![[r#"
            exit 0
            -- stdout
            {"apis":[{"allow_in_paths":[],"api":"orders","contract":true,"operations":2}],"errors":[],"file":"daypass.yaml","ok":true,"roles":["orders-admin","orders-editor","orders-viewer"],"users":0,"warnings":[]}
        "#]],
    );
    check(
        &directory,
        &init,
        &expect![[r#"
            exit 2
            -- stderr
            `daypass.yaml` is there already: `--force` overwrites it
        "#]],
    );
    check(
        &directory,
        &[&init[..], &["--force", "-q"]].concat(),
        &expect![[r#"
        exit 0
        -- stdout
        daypass serve
        KEY=$(daypass service add ci --role orders-viewer --for 90d)
        curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/orders/v1/orders
    "#]],
    );
    let written = fs::read_to_string(directory.path().join("daypass.yaml")).unwrap();
    expect![[r##"
        # Daypass: who may reach which API, for how long, and why. `daypass check` checks this file.
        # Its keys: `daypass config schema`. Relative paths start at this file's directory.

        listen:
          proxy: 127.0.0.1:8080          # callers come here
          console: 127.0.0.1:8081        # health, metrics and the API of the commands

        data: ./daypass-data             # ledger, journal and the socket for `daypass` on this machine

        journal:
          durability: fsync              # durable before a request goes on; `write` survives a crash only

        apis:
          orders:
            route: { prefix: /orders }
            upstreams: ["http://127.0.0.1:7001"]
            openapi: "orders.yaml"
            # credentials:                   # what the upstream asks for; callers never see it
            #   headers: { Authorization: env:UPSTREAM_AUTHORIZATION }
            limits: { request_body: 1MiB, timeout: 30s }

        roles:                           # nothing is allowed that no role allows
          orders-viewer: { allow: ["orders:read"] }
          orders-editor: { allow: ["orders:read", "orders:write"] }
          orders-admin: { allow: ["orders:all"] }

        # identity:
        #   users:
        #     alice: { groups: [platform] }

        # console:                       # on this machine, the server's own user administers through its socket
        #   administrators: ["group:platform"]
        #   auditors: ["group:platform"]
    "##]].assert_eq(&written);
}

#[test]
fn init_without_a_contract_works_too_and_anywhere() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("a b")).unwrap();
    fs::write(directory.path().join("c.yaml"), CONTRACT).unwrap();
    let at = ["--config", "a b/d.yaml"];
    let init = ["init", "--api", "shop", "--upstream", "http://127.0.0.1:7001"];
    check(
        &directory,
        &[&init[..], &at].concat(),
        &expect![[r#"
        exit 0
        -- stdout
        daypass serve --config 'a b/d.yaml'
        KEY=$(daypass service add ci --role shop-viewer --for 90d --config 'a b/d.yaml')
        curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/shop/
        -- stderr
        wrote a b/d.yaml; next:
    "#]],
    );
    check(
        &directory,
        &[&["check"][..], &at].concat(),
        &expect![[r#"
            exit 0
            -- stdout
            ok  a b/d.yaml: 1 API, no operations, 3 roles, no warnings
        "#]],
    );
    check(
        &directory,
        &[&init[..], &at, &["--openapi", "c.yaml", "--force", "-o", "json"]].concat(),
        &expect![[r#"
        exit 0
        -- stdout
        {"file":"a b/d.yaml","next":["daypass serve --config 'a b/d.yaml'","KEY=$(daypass service add ci --role shop-viewer --for 90d --config 'a b/d.yaml')","curl -H \"Authorization: Bearer $KEY\" http://127.0.0.1:8080/shop/v1/orders"]}
    "#]],
    );
    check(
        &directory,
        &[&["check"][..], &at].concat(),
        &expect![[r#"
            exit 0
            -- stdout
            ok  a b/d.yaml: 1 API, 2 operations, 3 roles, no warnings
        "#]],
    );
}

#[test]
fn init_writes_nothing_that_would_not_work() {
    let directory = TempDir::new().unwrap();
    check(
        &directory,
        &["init", "--api", "shop", "--upstream", "ftp://shop"],
        &expect![[r#"
            exit 2
            -- stderr
            `--upstream ftp://shop`: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
            next: write it like `http://127.0.0.1:7001`
        "#]],
    );
    check(
        &directory,
        &["init", "--api", "a b", "--upstream", "http://shop"],
        &expect![[r#"
        exit 2
        -- stderr
        error: invalid value 'a b' for '--api <NAME>': `a b` is not a name: use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first

        For more information, try '--help'.
    "#]],
    );
    check(
        &directory,
        &["init", "--api", "shop", "--upstream", "http://shop", "--openapi", "no.yaml"],
        &expect![[r#"
            exit 2
            -- stderr
            cannot read the contract `no.yaml`: No such file or directory (os error 2)
        "#]],
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_configuration_ends_with_2_wherever_it_is_read() {
    let directory = TempDir::new().unwrap();
    check(
        &directory,
        &["check"],
        &expect![[r#"
            exit 2
            -- stderr
            there is no configuration: neither `./daypass.yaml` nor `/etc/daypass/daypass.yaml` exists
            next: write one with `daypass init --api NAME --upstream URL`, or name it with `--config FILE` or DAYPASS_CONFIG
        "#]],
    );
    check(
        &directory,
        &["serve", "--config", "missing.yaml"],
        &expect![[r#"
            exit 2
            -- stderr
            cannot read the configuration `missing.yaml`: No such file or directory (os error 2)
        "#]],
    );
    fs::write(
        directory.path().join("daypass.yaml"),
        "apis: { a: { route: { prefix: a }, upstreams: [b] } }\n",
    )
    .unwrap();
    check(
        &directory,
        &["check"],
        &expect![[r#"
            exit 2
            -- stderr
            daypass.yaml:1:31: `a` is not the first segment of a path
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                               ^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:1:48: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                                                ^
                = write it like `http://127.0.0.1:7001`
        "#]],
    );
    check(
        &directory,
        &["check", "-o", "json"],
        &expect![[r#"
            exit 2
            -- stdout
            {"errors":[{"column":31,"file":"daypass.yaml","help":"write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`","line":1,"message":"`a` is not the first segment of a path"},{"column":48,"file":"daypass.yaml","help":"write it like `http://127.0.0.1:7001`","line":1,"message":"an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`"}],"ok":false,"warnings":[]}
        "#]],
    );
    check(
        &directory,
        &["serve"],
        &expect![[r#"
            exit 2
            -- stderr
            daypass.yaml:1:31: `a` is not the first segment of a path
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                               ^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:1:48: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                                                ^
                = write it like `http://127.0.0.1:7001`
        "#]],
    );
    check(
        &directory,
        &["config", "show"],
        &expect![[r#"
            exit 2
            -- stderr
            daypass.yaml:1:31: `a` is not the first segment of a path
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                               ^
                = write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`
            daypass.yaml:1:48: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
              1 | apis: { a: { route: { prefix: a }, upstreams: [b] } }
                |                                                ^
                = write it like `http://127.0.0.1:7001`
        "#]],
    );
    fs::write(directory.path().join("daypass.yaml"), "api: {}\n").unwrap();
    check(
        &directory,
        &["serve"],
        &expect![[r#"
        exit 2
        -- stderr
        daypass.yaml:1:1: unknown key `api`
          1 | api: {}
            | ^^^
            = did you mean `apis`?
    "#]],
    );
}

#[test]
fn a_configuration_that_is_wrong_elsewhere_keeps_nobody_from_the_socket() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("daypass.yaml"), "data: there\napi: {}\n").unwrap();
    check(
        &directory,
        &["revoke", "--user", "alice", "--reason", "a stolen laptop"],
        &expect![[r#"
            exit 1
            -- stderr
            no server runs here (`there/admin.sock`)
            next: start it with `daypass serve`, or set DAYPASS_URL and DAYPASS_SESSION
        "#]],
    );
}

#[test]
fn config_show_fills_in_what_was_left_out() {
    let directory = TempDir::new().unwrap();
    let text = "apis: { a: { route: { prefix: /a }, upstreams: [http://a], limits: { concurrency: 8 } } }\nroles: { r: { allow: ['a:all'] } }\n";
    fs::write(directory.path().join("daypass.yaml"), text).unwrap();
    check(
        &directory,
        &["config", "show"],
        &expect![[r#"
            exit 0
            -- stdout
            listen:
              proxy: 127.0.0.1:8080
              console: 127.0.0.1:8081
              drain: 30s
            data: ./daypass-data
            ledger: sqlite
            journal:
              durability: fsync
            limits_store: memory
            identity:
              users: {}
            apis:
              a:
                route:
                  prefix: /a
                upstreams:
                - http://a
                unlisted: refuse
                mode: enforce
                credentials:
                  headers: {}
                validate: "off"
                limits:
                  request_body: 1MiB
                  timeout: 30s
                  connect: 3s
                  idle: 10m
                  concurrency: 8
            roles:
              r:
                allow:
                - a:all
            console:
              administrators: []
              auditors: []
            -- stderr
            # daypass.yaml
        "#]],
    );
}

#[test]
fn usage_errors_end_with_2() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["grant", "orders-viewer", "--to", "alice", "--reason", "r"],
        &["grant", "orders-viewer", "--to", "alice", "--for", "1w", "--reason", "r"],
        &["grant", "orders viewer", "--to", "alice", "--for", "1h", "--reason", "r"],
        &["token", "token_1"],
        &["token", "--only", "/v1"],
        &["revoke", "--reason", "r"],
        &["revoke", "--all"],
        &["revoke", "--all", "--user", "alice", "--reason", "r"],
        &["service", "add", "ci", "--for", "90d"],
        &["explain", "7"],
        &["status", "-o", "xml"],
        &["status", "--url", "http://127.0.0.1:1"],
        &["audit", "search", "--limit", "0"],
        &["audit", "search", "--since", "yesterday"],
    ] {
        let output = daypass(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(directory.path(), &output));
    }
}

#[test]
fn without_a_server_the_error_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("daypass.yaml"), "{}\n").unwrap();
    check(
        &directory,
        &["status"],
        &expect![[r#"
            exit 1
            -- stderr
            no server runs here (`./daypass-data/admin.sock`)
            next: start it with `daypass serve`, or set DAYPASS_URL and DAYPASS_SESSION
        "#]],
    );
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
        command.env_clear().current_dir(directory.path()).args(arguments).envs(environment.iter().copied());
        said(directory.path(), &command.output().unwrap())
    };
    let session = ("DAYPASS_SESSION", "dpc_x");
    let local = run(&["status"], &[]);
    assert!(local.contains("no server runs here"), "without a URL it is the socket: {local}");
    let local = run(&["status", "--local"], &[("DAYPASS_URL", "http://127.0.0.1:1"), session]);
    assert!(local.contains("no server runs here"), "with `--local` it is the socket: {local}");
    let output = run(&["status"], &[("DAYPASS_URL", "http://127.0.0.1:1"), session]);
    expect![[r#"
        exit 1
        -- stderr
        cannot reach the server at http://127.0.0.1:1/: Connection refused (os error 111)
        next: see that it runs, and that DAYPASS_URL, or `--url`, is the address of its `listen.console`; on its own machine `--local` asks it through its socket
    "#]]
    .assert_eq(&output);
    let output = run(&["status", "--url", "http://daypass.example.com"], &[session]);
    expect![[r#"
        exit 2
        -- stderr
        a session is sent in the clear to this machine only: use `https://`, or forward a port, like `ssh -L 8081:127.0.0.1:8081 HOST`
    "#]].assert_eq(&output);
}

#[test]
fn half_of_another_server_is_never_the_one_on_this_machine() {
    let url = ("DAYPASS_URL", "http://127.0.0.1:1");
    let cases: [&[(&str, &str)]; 6] = [
        &[url],
        &[url, ("DAYPASS_SESSION", "")],
        &[("DAYPASS_SESSION", "")],
        &[("DAYPASS_SESSION", "dpc_x")],
        &[("DAYPASS_SESSION", "dpc_x"), ("DAYPASS_URL", "")],
        &[("DAYPASS_URL", "")],
    ];
    let mut told = String::new();
    for environment in cases {
        let server = super::api::Server::answering(200, "{}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
        command.env_clear().current_dir(server.directory.path()).args(["whoami"]);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        told.push_str(&said(server.directory.path(), &output));
        assert!(!server.asked.is_finished(), "the socket was asked with {environment:?}");
    }
    expect![[r#"
        exit 2
        -- stderr
        a URL (`--url` or DAYPASS_URL) without a session: set DAYPASS_SESSION, or use `--local`
        exit 2
        -- stderr
        DAYPASS_SESSION is set, but to nothing: give it a value, `unset DAYPASS_SESSION`, or use `--local`
        exit 2
        -- stderr
        DAYPASS_SESSION is set, but to nothing: give it a value, `unset DAYPASS_SESSION`, or use `--local`
        exit 2
        -- stderr
        DAYPASS_SESSION without a URL: set DAYPASS_URL, or use `--local`
        exit 2
        -- stderr
        DAYPASS_URL is set, but to nothing: give it a value, `unset DAYPASS_URL`, or use `--local`
        exit 2
        -- stderr
        DAYPASS_URL is set, but to nothing: give it a value, `unset DAYPASS_URL`, or use `--local`
    "#]]
    .assert_eq(&told);
}
