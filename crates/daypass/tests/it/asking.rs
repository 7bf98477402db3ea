//! Verbs that read: the journal, one request, the server's health.

use expect_test::expect;

use super::api::{Server, check};
use super::cli::daypass;

#[test]
fn the_journal_is_searched_in_the_form_asked_for() {
    let rows = "{\"id\":\"i1\",\"time\":1795316400000000,\"decision\":\"allow\",\"status\":200,\"subject\":\"alice\",\"api\":\"orders\",\"method\":\"GET\",\"path\":\"/v1/\\u001b[2J\",\"operation\":\"getOrder\",\"reason\":null}\n{\"id\":\"i2\"}\n";
    check(
        &["audit", "search", "--user", "alice", "--path", "/a b"],
        200,
        rows,
        &expect![[r#"
            GET /api/v1/audit/requests?user=alice&path=%2Fa+b&order=newest&limit=101
            exit 0
            -- stdout
            TIME                         DECISION  STATUS  SUBJECT  API     METHOD  PATH           OPERATION  REASON  OUTCOME  ID
            2026-11-22T03:00:00.000000Z  allow     200     alice    orders  GET     /v1/\u{1b}[2J  getOrder   -       -        i1
            -                            -         -       -        -       -       -              -          -       -        i2
        "#]],
    );
    check(
        &["audit", "search", "-o", "json", "--since", "2026-11-22T00:00:00Z"],
        200,
        rows,
        &expect![[r#"
            GET /api/v1/audit/requests?since=2026-11-22T00%3A00%3A00.000000Z&order=newest
            exit 0
            -- stdout
            [
            {"id":"i1","time":1795316400000000,"decision":"allow","status":200,"subject":"alice","api":"orders","method":"GET","path":"/v1/\u001b[2J","operation":"getOrder","reason":null},
            {"id":"i2"}
            ]
        "#]],
    );
    check(
        &["audit", "search", "-o", "jsonl", "--limit", "2"],
        200,
        rows,
        &expect![[r#"
            GET /api/v1/audit/requests?order=newest&limit=2
            exit 0
            -- stdout
            {"id":"i1","time":1795316400000000,"decision":"allow","status":200,"subject":"alice","api":"orders","method":"GET","path":"/v1/\u001b[2J","operation":"getOrder","reason":null}
            {"id":"i2"}
        "#]],
    );
    check(
        &["audit", "search", "-o", "json"],
        200,
        "",
        &expect![[r#"
        GET /api/v1/audit/requests?order=newest
        exit 0
        -- stdout
        []
    "#]],
    );
    check(
        &["audit", "search"],
        200,
        "",
        &expect![[r#"
        GET /api/v1/audit/requests?order=newest&limit=101
        exit 0
        -- stderr
        no request matches
    "#]],
    );
    check(
        &["audit", "search", "-o", "jsonl"],
        200,
        "{\"id\":",
        &expect![[r#"
        GET /api/v1/audit/requests?order=newest
        exit 1
        -- stderr
        the server's answer cannot be understood: EOF while parsing a value at line 1 column 6
    "#]],
    );
}

#[test]
fn the_table_shows_the_newest_hundred_and_says_so() {
    let server = Server::answering(200, &"{\"id\":\"i\"}\n".repeat(101));
    let output = daypass(server.directory.path(), &["audit", "search"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 101, "a heading and 100 rows");
    expect![[r#"
        the newest 100 are shown; there are more: use `--limit`, or `-o jsonl` for all
    "#]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
    assert!(server.asked.join().unwrap().contains("limit=101"));
}

#[test]
fn what_could_be_read_of_a_damaged_journal_is_shown_before_the_error() {
    let rows = "{\"id\":\"i1\"}\n{\"error\":{\"status\":500,\"code\":\"journal_damaged\",\"detail\":\"`0.log` is damaged at offset 7, leaf 2\",\"next\":\"copy it\"}}\n";
    for format in ["table", "json", "jsonl"] {
        let server = Server::answering(200, rows);
        let output = daypass(server.directory.path(), &["audit", "search", "-o", format]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("i1") && !shown.contains("damaged"), "{format}: {shown}");
        assert!(serde_json::from_str::<serde_json::Value>(&shown).is_err() || format == "jsonl", "{shown}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "`0.log` is damaged at offset 7, leaf 2\nnext: copy it\n", "{format}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_called_a_server_that_cannot_be_reached() {
    let server = Server::breaking_off("{\"id\":\"i1\"}\n");
    let output = daypass(server.directory.path(), &["audit", "search", "-o", "jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"id\":\"i1\"}\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("broke off") && !said.contains("cannot reach"), "{said}");
}

#[test]
fn tail_prints_a_line_a_request() {
    let events = ": heartbeat\n\nevent: request\ndata: {\"time\":1795316400000000,\"decision\":\"refuse\",\"status\":403,\"subject\":\"alice\",\"api\":\"orders\",\"method\":\"GET\",\"path\":\"/v1/a\",\"operation\":\"getA\",\"reason\":\"operation_not_allowed\",\"duration_us\":1234}\n\nevent: other\ndata: {}\n\n";
    check(
        &["audit", "tail"],
        200,
        events,
        &expect![[r#"
            GET /api/v1/journal/stream
            exit 1
            -- stdout
            2026-11-22T03:00:00.000000Z refuse 403 alice orders GET /v1/a getA operation_not_allowed - 1.2 ms -
            -- stderr
            following requests; Ctrl-C ends
            the server ended the stream
        "#]],
    );
    check(
        &["audit", "tail", "-o", "jsonl", "-q"],
        200,
        events,
        &expect![[r#"
            GET /api/v1/journal/stream
            exit 1
            -- stdout
            {"time":1795316400000000,"decision":"refuse","status":403,"subject":"alice","api":"orders","method":"GET","path":"/v1/a","operation":"getA","reason":"operation_not_allowed","duration_us":1234}
            -- stderr
            the server ended the stream
        "#]],
    );
}

#[test]
fn explain_prints_sentences() {
    let id = "01930000-0000-7000-8000-000000000000";
    let answer = r#"{"id":"x","decision":"refuse","why":["alice asked.","No rule allows it."],"row":{}}"#;
    check(
        &["explain", id],
        200,
        answer,
        &expect![[r#"
        GET /api/v1/explain/01930000-0000-7000-8000-000000000000
        exit 0
        -- stdout
        alice asked.
        No rule allows it.
    "#]],
    );
    check(
        &["explain", id, "-o", "json"],
        200,
        answer,
        &expect![[r#"
        GET /api/v1/explain/01930000-0000-7000-8000-000000000000
        exit 0
        -- stdout
        {"decision":"refuse","id":"x","row":{},"why":["alice asked.","No rule allows it."]}
    "#]],
    );
}

#[test]
fn status_is_told_in_words_and_in_data() {
    let answer = r#"{"ready":false,"why":["journal"],"nodes":[{"node":"n1","revision":7,"started":"2026-11-22T03:00:00Z","version":"1.2.3 (abc)","pid":4711,"program":"/usr/bin/daypass"}],"takeover":{"at":"2026-11-22T05:00:00Z","why":["it ended with exit status: 1; its own log says why","and so on"]},"configuration":{"revision":5,"loaded":"2026-11-22T03:00:00Z","warnings":1,"failed":{"at":"2026-11-22T04:00:00Z","why":["daypass.yaml:3:1: unknown key `api`","daypass.yaml:9:1: `x` is missing"]}},"upstreams":[{"api":"orders","upstream":"a:80 (192.0.2.1:80)","state":"failing","why":"it answered 500","since":"2026-11-22T03:30:00Z"}],"ledger":{"revision":9,"events":9,"writable":true},"journal":{"size":10,"lag_ms":3,"checkpoint_age_ms":null,"spooled":0,"writable":false,"last_error":"disk full","damage":"`1.log` is damaged"},"view":{"revision":7,"age_ms":12},"fail_open_minutes":0}"#;
    check(
        &["status"],
        200,
        answer,
        &expect![[r#"
            GET /api/v1/status
            exit 0
            -- stdout
            ready          no
            why not        journal
            configuration  loaded 2026-11-22T03:00:00Z at revision 5, 1 warning
            reload         failed 2026-11-22T04:00:00Z; the configuration before it stays in force
                             daypass.yaml:3:1: unknown key `api`
                             daypass.yaml:9:1: `x` is missing
            takeover       failed 2026-11-22T05:00:00Z; the process before it goes on
                             it ended with exit status: 1; its own log says why
                             and so on
            ledger         revision 9, 9 events, writable
            journal        10 entries, 3 ms behind
            journal error  disk full
            journal damage `1.log` is damaged
            view           revision 7, 12 ms old
            fail open      0 min
            upstream       orders a:80 (192.0.2.1:80) is failing since 2026-11-22T03:30:00Z: it answered 500
            node           n1 at revision 7, since 2026-11-22T03:00:00Z
            program        1.2.3 (abc), process 4711, /usr/bin/daypass
        "#]],
    );
    check(
        &["status", "-o", "json"],
        200,
        answer,
        &expect![[r#"
            GET /api/v1/status
            exit 0
            -- stdout
            {"configuration":{"failed":{"at":"2026-11-22T04:00:00Z","why":["daypass.yaml:3:1: unknown key `api`","daypass.yaml:9:1: `x` is missing"]},"loaded":"2026-11-22T03:00:00Z","revision":5,"warnings":1},"fail_open_minutes":0,"journal":{"checkpoint_age_ms":null,"damage":"`1.log` is damaged","lag_ms":3,"last_error":"disk full","size":10,"spooled":0,"writable":false},"ledger":{"events":9,"revision":9,"writable":true},"nodes":[{"node":"n1","pid":4711,"program":"/usr/bin/daypass","revision":7,"started":"2026-11-22T03:00:00Z","version":"1.2.3 (abc)"}],"ready":false,"takeover":{"at":"2026-11-22T05:00:00Z","why":["it ended with exit status: 1; its own log says why","and so on"]},"upstreams":[{"api":"orders","since":"2026-11-22T03:30:00Z","state":"failing","upstream":"a:80 (192.0.2.1:80)","why":"it answered 500"}],"view":{"age_ms":12,"revision":7},"why":["journal"]}
        "#]],
    );
}
