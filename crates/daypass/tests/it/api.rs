//! Verbs that ask a server, against one that writes down what it is asked and says what it is told to.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::cli::{daypass, said};

/// A server behind a socket that answers one request.
pub(super) struct Server {
    pub(super) directory: TempDir,
    pub(super) asked: JoinHandle<String>,
}

impl Server {
    pub(super) fn answering(status: u16, body: &str) -> Self {
        Self::of_kind("daypass-console: 1\r\n", status, body, 0)
    }

    /// A server that announces more than it sends.
    pub(super) fn breaking_off(body: &str) -> Self {
        Self::of_kind("daypass-console: 1\r\n", 200, body, 1)
    }

    /// A server that sends these headers, and leaves so many bytes out.
    fn of_kind(headers: &'static str, status: u16, body: &str, missing: usize) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("daypass-data")).unwrap();
        let listener = UnixListener::bind(directory.path().join("daypass-data/admin.sock")).unwrap();
        let body = body.to_owned();
        let length = body.len() + missing;
        let headers = format!("{headers}content-length: {length}\r\n");
        let asked = std::thread::spawn(move || answer(listener.accept().unwrap().0, &headers, status, &body));
        Self { directory, asked }
    }
}

/// Answers one request; gives its line and body.
fn answer(stream: UnixStream, headers: &str, status: u16, body: &str) -> String {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim_end().to_ascii_lowercase();
        assert!(!header.starts_with("authorization"), "the socket needs no credential");
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if header.is_empty() {
            break;
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    let head = format!("HTTP/1.1 {status} x\r\n{headers}connection: close\r\n\r\n");
    let mut stream = reader.into_inner();
    // Who does not believe the head reads no further.
    let _broken_off = stream.write_all(format!("{head}{body}").as_bytes());
    format!("{} {}", line.trim_end().trim_end_matches(" HTTP/1.1"), String::from_utf8(sent).unwrap())
}

/// What a verb asks, and what it makes of the answer.
pub(super) fn check(arguments: &[&str], status: u16, body: &str, expected: &Expect) {
    let server = Server::answering(status, body);
    let output = daypass(server.directory.path(), arguments);
    let said = said(server.directory.path(), &output);
    let asked = server.asked.join().unwrap();
    expected.assert_eq(&format!("{}\n{said}", asked.trim_end()));
}

#[test]
fn whoami_apis_and_roles_are_tables() {
    check(
        &["whoami"],
        200,
        r#"{"subject":"local:root","administrator":true,"auditor":true,"until":null}"#,
        &expect![[r#"
        GET /api/v1/whoami
        exit 0
        -- stdout
        SUBJECT     ADMINISTRATOR  AUDITOR  UNTIL
        local:root  yes            yes      -
    "#]],
    );
    check(
        &["apis"],
        200,
        r#"[{"api":"orders","route":"/orders","contract":true,"operations":15}]"#,
        &expect![[r#"
        GET /api/v1/apis
        exit 0
        -- stdout
        API     ROUTE    CONTRACT  OPERATIONS
        orders  /orders  yes       15
    "#]],
    );
    let orders = r#"{"api":"orders","operations":[{"operation":"getOrder","method":"GET","path":"/v1/orders/{id}","tags":["reading"]}]}"#;
    check(
        &["apis", "orders"],
        200,
        orders,
        &expect![[r#"
        GET /api/v1/apis/orders
        exit 0
        -- stdout
        OPERATION  METHOD  PATH             TAGS
        getOrder   GET     /v1/orders/{id}  reading
    "#]],
    );
    check(
        &["roles"],
        200,
        r#"[{"role":"v","allow":["orders:read"],"deny":[],"rate":"5/s"}]"#,
        &expect![[r#"
        GET /api/v1/roles
        exit 0
        -- stdout
        ROLE  ALLOW        DENY  RATE
        v     orders:read  -     5/s
    "#]],
    );
    check(
        &["roles"],
        200,
        "[]",
        &expect![[r#"
        GET /api/v1/roles
        exit 0
        -- stderr
        none
    "#]],
    );
    check(
        &["roles", "-o", "json"],
        200,
        "[]",
        &expect![[r#"
        GET /api/v1/roles
        exit 0
        -- stdout
        []
    "#]],
    );
}

#[test]
fn grants_are_given_and_listed() {
    let answer = r#"{"grant":"grant_1","role":"v","subject":"user:alice","until":"2026-11-22T04:00:00Z"}"#;
    let grant = ["grant", "v", "--to", "alice", "--for", "60m", "--reason", "why", "--incident", "INC-7"];
    check(
        &grant,
        201,
        answer,
        &expect![[r#"
        POST /api/v1/grants {"for":"1h","incident":"INC-7","reason":"why","role":"v","to":"user:alice"}
        exit 0
        -- stdout
        GRANT    ROLE  SUBJECT     UNTIL
        grant_1  v     user:alice  2026-11-22T04:00:00Z
    "#]],
    );
    check(
        &[&grant[..], &["-o", "json"]].concat(),
        201,
        answer,
        &expect![[r#"
        POST /api/v1/grants {"for":"1h","incident":"INC-7","reason":"why","role":"v","to":"user:alice"}
        exit 0
        -- stdout
        {"grant":"grant_1","role":"v","subject":"user:alice","until":"2026-11-22T04:00:00Z"}
    "#]],
    );
    check(
        &["grants", "--user", "alice", "-o", "jsonl"],
        200,
        r#"[{"grant":"grant_1"},{"grant":"grant_2"}]"#,
        &expect![[r#"
        GET /api/v1/grants?user=user%3Aalice
        exit 0
        -- stdout
        {"grant":"grant_1"}
        {"grant":"grant_2"}
    "#]],
    );
}

#[test]
fn secrets_are_printed_alone() {
    let token = r#"{"token":"dpt_secret","id":"token_1","grant":"grant_1","until":"2026-11-22T04:00:00Z"}"#;
    let only = ["token", "grant_01KAR4F0M8070E1R70W3GE1R70", "--for", "5m", "--only", "GET /v1/orders/{id}"];
    check(
        &only,
        201,
        token,
        &expect![[r#"
        POST /api/v1/tokens {"for":"5m","grant":"grant_01KAR4F0M8070E1R70W3GE1R70","only":["GET /v1/orders/{id}"]}
        exit 0
        -- stdout
        dpt_secret
        -- stderr
        token_1 of grant_1, until 2026-11-22T04:00:00Z; it is shown once
    "#]],
    );
    check(
        &["token", "-q"],
        201,
        token,
        &expect![[r#"
        POST /api/v1/tokens {}
        exit 0
        -- stdout
        dpt_secret
    "#]],
    );
    check(
        &["token", "-o", "json"],
        201,
        token,
        &expect![[r#"
        POST /api/v1/tokens {}
        exit 0
        -- stdout
        {"grant":"grant_1","id":"token_1","token":"dpt_secret","until":"2026-11-22T04:00:00Z"}
    "#]],
    );
    let service = r#"{"name":"ci","id":"key_1","key":"dps_secret","expires":"2027-02-20T03:00:00Z"}"#;
    check(
        &["service", "add", "ci", "--role", "a", "--role", "b", "--for", "90d"],
        201,
        service,
        &expect![[r#"
        POST /api/v1/services {"for":"90d","name":"ci","roles":["a","b"]}
        exit 0
        -- stdout
        dps_secret
        -- stderr
        the key of service:ci, until 2027-02-20T03:00:00Z; it is shown once
    "#]],
    );
    check(
        &["service", "rotate", "ci"],
        200,
        service,
        &expect![[r#"
        POST /api/v1/services/ci/rotate {}
        exit 0
        -- stdout
        dps_secret
        -- stderr
        the key of service:ci, until 2027-02-20T03:00:00Z; it is shown once
    "#]],
    );
    let session =
        r#"{"session":"dpc_secret","id":"session_1","subject":"user:alice","until":"2026-11-22T11:00:00Z"}"#;
    check(
        &["admin", "session", "alice", "--for", "8h"],
        201,
        session,
        &expect![[r#"
        POST /api/v1/sessions {"for":"8h","user":"alice"}
        exit 0
        -- stdout
        dpc_secret
        -- stderr
        a session of user:alice, until 2026-11-22T11:00:00Z; it is shown once
    "#]],
    );
}

#[test]
fn services_are_listed_and_removed() {
    let list = r#"[{"name":"ci","id":"key_1","roles":["a"],"since":"s","expires":"e","state":"active"}]"#;
    check(
        &["service", "list"],
        200,
        list,
        &expect![[r#"
        GET /api/v1/services
        exit 0
        -- stdout
        NAME  ID     ROLES  SINCE  EXPIRES  STATE
        ci    key_1  a      s      e        active
    "#]],
    );
    check(
        &["service", "remove", "ci"],
        200,
        r#"{"name":"ci","revision":9}"#,
        &expect![[r#"
        DELETE /api/v1/services/ci
        exit 0
        -- stdout
        NAME  REVISION
        ci    9
    "#]],
    );
}

#[test]
fn a_revocation_names_one_thing_and_gives_a_receipt() {
    let receipt = r#"{"revision":12,"grants":["grant_1"],"tokens":[],"keys":[],"nodes":[{"node":"n1","acknowledged_ms":2}],"streams":{"websocket":0,"sse":1,"grpc":0,"transfer":0},"slowest_ms":2,"leaf":40}"#;
    check(
        &["revoke", "--user", "alice", "--reason", "why"],
        200,
        receipt,
        &expect![[r#"
            POST /api/v1/revocations {"reason":"why","user":"user:alice"}
            exit 0
            -- stdout
            revoked at revision 12: 1 grant, no tokens, no keys, no sessions
            streams cut: 1 sse
            in force on: n1 after 2 ms; slowest 2 ms
            recorded: entry 40 of the journal
        "#]],
    );
    check(
        &["revoke", "--all", "--reason", "drill", "-o", "json"],
        200,
        receipt,
        &expect![[r#"
        POST /api/v1/revocations {"all":true,"reason":"drill"}
        exit 0
        -- stdout
        {"grants":["grant_1"],"keys":[],"leaf":40,"nodes":[{"acknowledged_ms":2,"node":"n1"}],"revision":12,"slowest_ms":2,"streams":{"grpc":0,"sse":1,"transfer":0,"websocket":0},"tokens":[]}
    "#]],
    );
}

#[test]
fn what_the_server_refuses_has_its_own_exit_code() {
    let problem = |code: &str| {
        format!(
            r#"{{"type":"about:blank","title":"No","status":1,"detail":"it says no","code":"{code}","next":"do this"}}"#
        )
    };
    for (status, code, exit) in [
        (401, "unauthenticated", 3),
        (403, "not_allowed", 3),
        (404, "not_found", 4),
        (400, "invalid", 2),
        (409, "exists", 1),
        (409, "ambiguous", 1),
        (503, "ledger_unavailable", 1),
        (429, "too_many", 1),
    ] {
        let server = Server::answering(status, &problem(code));
        let output = daypass(server.directory.path(), &["whoami"]);
        assert_eq!(output.status.code(), Some(exit), "{code}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "it says no\nnext: do this\n");
        server.asked.join().unwrap();
    }
    check(
        &["whoami"],
        500,
        "not JSON",
        &expect![[r#"
        GET /api/v1/whoami
        exit 1
        -- stderr
        the server answered 500
    "#]],
    );
    check(
        &["whoami"],
        200,
        "not JSON",
        &expect![[r#"
        GET /api/v1/whoami
        exit 1
        -- stderr
        the server's answer cannot be understood: expected ident at line 1 column 2
    "#]],
    );
    check(
        &["whoami"],
        302,
        "",
        &expect![[r#"
        GET /api/v1/whoami
        exit 1
        -- stderr
        the server answered 302
    "#]],
    );
}

#[test]
fn an_answer_of_something_else_is_never_success() {
    let verbs: [&[&str]; 11] = [
        &["whoami"],
        &["status"],
        &["roles"],
        &["grants"],
        &["grant", "v", "--to", "alice", "--for", "1h", "--reason", "why"],
        &["token"],
        &["revoke", "--user", "alice", "--reason", "why"],
        &["service", "add", "ci", "--role", "v", "--for", "1h"],
        &["audit", "search"],
        &["audit", "tail"],
        &["explain", "01930000-0000-7000-8000-000000000000"],
    ];
    for (verb, body) in verbs.iter().flat_map(|verb| [(verb, "{}"), (verb, "[]"), (verb, "")]) {
        for status in [200, 404] {
            let server = Server::of_kind("content-type: application/json\r\n", status, body, 0);
            let output = daypass(server.directory.path(), verb);
            server.asked.join().unwrap();
            let said = said(server.directory.path(), &output);
            let expected =
                format!("exit 1\n-- stderr\nwhat answers at `daypass-data/admin.sock` with {status} ");
            assert!(said.starts_with(&expected), "{verb:?}: {said}");
        }
    }
}
