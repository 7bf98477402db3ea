//! Stories through HTTP: who asks for what, and what they are answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use access::credential::{self, CREDENTIAL_LEN};
use access::{RequestId, Revision, Timestamp};
use expect_test::{Expect, expect};
use reqwest::{Client, Response};
use serde_json::Value;

use crate::described::assert_described;
use crate::world::{World, within};

/// The sessions of a story's people, each made at first use.
#[derive(Default)]
pub(crate) struct Callers(BTreeMap<String, String>);

impl Callers {
    pub(crate) async fn send(
        &mut self,
        world: &mut World,
        caller: &str,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Response {
        let (client, origin) = match caller {
            "socket" => (world.over_socket(), "http://localhost"),
            _ => (Client::new(), world.tcp.as_str()),
        };
        let mut request = client.request(method.parse().unwrap(), format!("{origin}{path}"));
        if !["socket", "nobody"].contains(&caller) {
            request = request.bearer_auth(self.session(world, caller).await);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        // A session that was opened for this stands in the journal before anything is asked with it.
        world.settle().await;
        let answer = request.send().await.unwrap();
        world.settle().await;
        answer
    }

    pub(crate) async fn session(&mut self, world: &World, user: &str) -> String {
        if let Some(session) = self.0.get(user) {
            return session.clone();
        }
        let body = serde_json::json!({ "user": user });
        let asked = world.over_socket().post("http://localhost/api/v1/sessions").json(&body);
        let opened: Value = asked.send().await.unwrap().json().await.unwrap();
        let session = opened["session"].as_str().unwrap().to_owned();
        self.0.insert(user.to_owned(), session.clone());
        session
    }
}

/// Ids as people write them in stories: `grant_1` for the first grant that is seen.
#[derive(Default)]
struct Ids(Vec<(String, String)>);

impl Ids {
    fn hide(&mut self, text: &str) -> String {
        let (mut shown, mut rest) = (String::new(), text.chars());
        loop {
            let (length, said) = self.recognize(rest.as_str());
            shown.push_str(&said);
            if length == 0 {
                return shown;
            }
            rest.by_ref().take(length).for_each(drop);
        }
    }

    /// How many characters at the start are one thing, and what stands for them.
    fn recognize(&mut self, text: &str) -> (usize, String) {
        let start = |length| text.get(..length).unwrap_or_default();
        if credential::parse(start(CREDENTIAL_LEN).as_bytes()).is_ok() {
            return (CREDENTIAL_LEN, format!("<{}>", start(3)));
        }
        if start(36).parse::<RequestId>().is_ok() {
            return (36, self.name("request", start(36)));
        }
        for kind in ["grant", "token", "key", "session"] {
            let id = start(kind.len() + 27);
            if id.strip_prefix(kind).and_then(|id| id.strip_prefix('_')).is_some_and(is_id) {
                return (id.len(), self.name(kind, id));
            }
        }
        text.chars().next().map_or((0, String::new()), |other| (1, other.to_string()))
    }

    fn name(&mut self, kind: &str, real: &str) -> String {
        if let Some((name, _)) = self.0.iter().find(|(_, known)| known == real) {
            return name.clone();
        }
        let count = self.0.iter().filter(|(name, _)| name.starts_with(kind)).count();
        let name = format!("{kind}_{}", count + 1);
        self.0.push((name.clone(), real.to_owned()));
        name
    }

    fn reveal(&self, text: &str) -> String {
        self.0.iter().rev().fold(text.to_owned(), |text, (name, real)| text.replace(name, real))
    }
}

fn is_id(digits: &str) -> bool {
    digits.len() == 26 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Plays a story: `WHO METHOD PATH [JSON]`, `later DURATION`, `proxy WHO PATH STATUS`.
pub(crate) fn check(story: &str, expect: &Expect) {
    within(|mut world| async {
        let (mut callers, mut ids, mut told) = (Callers::default(), Ids::default(), String::new());
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["later", duration] => world.pass(access::time::parse_duration(duration).unwrap()),
                ["proxy", who, path, status] => record(&world, who, path, status).await,
                [who, method, path, ref body @ ..] => {
                    let (path, body) = (ids.reveal(path), body.first().map(|body| ids.reveal(body)));
                    let answer = callers.send(&mut world, who, method, &path, body.as_deref()).await;
                    let status = answer.status().as_u16();
                    let text = answer.text().await.unwrap();
                    assert_described(method, &path, status, &text);
                    let text = ids.hide(&text);
                    writeln!(told, "{line}").unwrap();
                    text.lines().for_each(|text| writeln!(told, "    {status} {text}").unwrap());
                }
                _ => panic!("{line} is no line of a story"),
            }
        }
        expect.assert_eq(&told);
        assert_no_credential_is_kept(world.directory.path());
        world
    });
}

/// Digests are kept of credentials, in the ledger; nothing else, anywhere.
fn assert_no_credential_is_kept(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => assert_no_credential_is_kept(&entry.path()),
            kind if kind.is_file() => {
                let bytes = std::fs::read(entry.path()).unwrap();
                assert!(!credential::occurs_in(&bytes), "{:?} holds a credential", entry.path());
            }
            _ => {}
        }
    }
}

/// A request through the proxy listener, as the gateway would record it.
pub(crate) async fn record(world: &World, who: &str, path: &str, status: &str) {
    let seed = u8::try_from(path.len()).unwrap();
    let request = request(access::Clock::now(&*world.clock), seed, who, path);
    let status: u16 = status.parse().unwrap();
    let lane = world.journal.lane();
    tokio::select! {
        () = lane.run() => {}
        () = enter(&lane, &request, status) => {}
    }
}

/// So many requests, all alike.
pub(crate) async fn record_many(world: &World, count: usize) {
    let request = request(access::Clock::now(&*world.clock), 0, "alice", "/v1/orders/7");
    let lane = world.journal.lane();
    tokio::select! {
        () = lane.run() => {}
        () = async {
            for place in 0..count {
                drop(lane.refuse(&request, "operation_not_allowed", 403, request.time));
                // A lane holds 4,096 refusals, and counts what is more.
                if place % 1_000 == 999 {
                    lane.flush().await;
                }
            }
            lane.flush().await;
        } => {}
    }
}

fn request<'a>(time: Timestamp, seed: u8, who: &'a str, path: &'a str) -> journal::Request<'a> {
    journal::Request {
        id: RequestId::new(time, [seed; 10]),
        time,
        api: Some("orders"),
        operation: Some("getOrder"),
        method: "GET",
        host: Some("localhost"),
        path,
        query: None,
        subject: Some(who),
        subject_kind: Some("user"),
        credential: None,
        grant_id: None,
        role: Some("orders-viewer"),
        incident: None,
        client_ip: "127.0.0.1",
        user_agent: None,
        rule: Some("allow orders:read"),
        revision: Revision::from_number(1),
        trace_id: None,
        observed: None,
    }
}

async fn enter(lane: &journal::Lane, request: &journal::Request<'_>, status: u16) {
    let at = request.time.plus(Duration::from_micros(5));
    if status == 403 {
        let request = journal::Request { rule: None, ..*request };
        lane.refuse(&request, "operation_not_allowed", status, at).await;
        return;
    }
    let entry = lane.open(request).await.unwrap();
    entry.close(&journal::Closing {
        status: Some(status),
        upstream: Some("127.0.0.1:7001"),
        upstream_status: Some(status),
        upstream_us: Some(3),
        request_bytes: 0,
        response_bytes: 9,
        outcome: journal::Ending::Completed,
        reason: None,
        at,
    });
    lane.flush().await;
}

#[test]
fn a_grant_becomes_a_token_and_ends_with_a_receipt() {
    check(
        r#"
        socket POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders","incident":"INC-7"}
        alice GET /api/v1/grants
        alice POST /api/v1/tokens {"for":"10m","only":["GET /v1/orders/{id}"]}
        alice GET /api/v1/whoami
        dora POST /api/v1/revocations {"user":"alice","reason":"left the team"}
        alice GET /api/v1/grants
        carol GET /api/v1/grants
        carol GET /api/v1/audit/changes?order=oldest
        "#,
        &expect![[r#"
            socket POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders","incident":"INC-7"}
                201 {"grant":"grant_1","role":"orders-viewer","subject":"user:alice","until":"2026-11-22T04:00:00.000000Z"}
            alice GET /api/v1/grants
                200 [{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":"INC-7","state":"active"}]
            alice POST /api/v1/tokens {"for":"10m","only":["GET /v1/orders/{id}"]}
                201 {"token":"<dpt>","id":"token_1","grant":"grant_1","until":"2026-11-22T03:10:00.000000Z"}
            alice GET /api/v1/whoami
                200 {"subject":"user:alice","administrator":false,"auditor":false,"until":"2026-11-22T15:00:00.000000Z"}
            dora POST /api/v1/revocations {"user":"alice","reason":"left the team"}
                200 {"revision":6,"grants":["grant_1"],"tokens":["token_1"],"keys":[],"sessions":["session_1"],"more_tokens":0,"nodes":[{"node":"n1","acknowledged_ms":1}],"streams":{"websocket":0,"sse":1,"grpc":0,"transfer":0},"slowest_ms":1,"leaf":6}
            alice GET /api/v1/grants
                401 {"type":"urn:daypass:problem:unauthenticated","title":"Not signed in","status":401,"detail":"this session has ended","code":"unauthenticated","next":"an administrator makes a session on the server's machine: `daypass admin session USER`; set it as DAYPASS_SESSION"}
            carol GET /api/v1/grants
                200 [{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":"INC-7","state":"revoked"}]
            carol GET /api/v1/audit/changes?order=oldest
                200 {"revision":1,"time":"2026-11-22T03:00:00.000000Z","actor":"local:daypass","kind":"adopt_policy","subject":null,"grant_id":null,"incident":null,"detail":"{\"administrators\":[\"user:dora\"],\"apis\":[\"orders\"],\"auditors\":[\"user:carol\"],\"roles\":[\"orders-refunder\",\"orders-viewer\"],\"sha256\":\"61e2cd8efdd5fcd905959f209be809c9cfe79877be934ebb3c492f336a5e7d89\",\"users\":4}"}
                200 {"revision":2,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"give_grant","subject":"user:alice","grant_id":"grant_1","incident":"INC-7","detail":"{\"grant\":\"grant_1\",\"incident\":\"INC-7\",\"reason\":\"slow orders\",\"role\":\"orders-viewer\",\"subject\":\"user:alice\",\"until\":\"2026-11-22T04:00:00.000000Z\"}"}
                200 {"revision":3,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:alice","grant_id":null,"incident":null,"detail":"{\"session\":\"session_1\",\"subject\":\"user:alice\",\"until\":\"2026-11-22T15:00:00.000000Z\"}"}
                200 {"revision":4,"time":"2026-11-22T03:00:00.000000Z","actor":"user:alice","kind":"mint_token","subject":"user:alice","grant_id":"grant_1","incident":null,"detail":"{\"grant\":\"grant_1\",\"only\":[\"GET /v1/orders/{id}\"],\"subject\":\"user:alice\",\"token\":\"token_1\",\"until\":\"2026-11-22T03:10:00.000000Z\"}"}
                200 {"revision":5,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:dora","grant_id":null,"incident":null,"detail":"{\"session\":\"session_2\",\"subject\":\"user:dora\",\"until\":\"2026-11-22T15:00:00.000000Z\"}"}
                200 {"revision":6,"time":"2026-11-22T03:00:00.000000Z","actor":"user:dora","kind":"revoke","subject":"user:alice","grant_id":null,"incident":null,"detail":"{\"grants\":[\"grant_1\"],\"keys\":[],\"reason\":\"left the team\",\"scope\":{\"user\":\"user:alice\"},\"sessions\":[\"session_1\"],\"subject\":\"user:alice\",\"tokens\":[\"token_1\"]}"}
                200 {"revision":7,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:carol","grant_id":null,"incident":null,"detail":"{\"session\":\"session_3\",\"subject\":\"user:carol\",\"until\":\"2026-11-22T15:00:00.000000Z\"}"}
        "#]],
    );
}

#[test]
fn each_sees_their_own_requests_and_auditors_see_all() {
    check(
        "
        proxy alice /v1/orders/7 200
        later 1s
        proxy bob /v1/orders/77 403
        alice GET /api/v1/audit/requests
        alice GET /api/v1/audit/requests?user=bob
        carol GET /api/v1/audit/requests?order=oldest&limit=1
        carol GET /api/v1/audit/requests?decision=refuse
        carol GET /api/v1/audit/requests?since=2026-11-22T03:00:00.5Z&path=/v1/orders/*&status=403&user=user:bob
        alice GET /api/v1/explain/request_1
        alice GET /api/v1/explain/request_2
        carol GET /api/v1/explain/request_2
        bob GET /api/v1/audit/changes
        ",
        &expect![[r#"
            alice GET /api/v1/audit/requests
                200 {"id":"request_1","node":"n1","leaf":2,"time":"2026-11-22T03:00:00.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/7","query":null,"subject":"alice","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"allow","reason":null,"rule":"allow orders:read","revision":1,"status":200,"upstream":"127.0.0.1:7001","upstream_status":200,"duration_us":5,"upstream_us":3,"request_bytes":0,"response_bytes":9,"outcome":"completed","trace_id":"01a201323f807c0c8c0c0c0c0c0c0c0c"}
            alice GET /api/v1/audit/requests?user=bob
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the requests of others are for auditors and administrators","code":"not_allowed","next":"leave out `user` to see your own"}
            carol GET /api/v1/audit/requests?order=oldest&limit=1
                200 {"id":"request_1","node":"n1","leaf":2,"time":"2026-11-22T03:00:00.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/7","query":null,"subject":"alice","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"allow","reason":null,"rule":"allow orders:read","revision":1,"status":200,"upstream":"127.0.0.1:7001","upstream_status":200,"duration_us":5,"upstream_us":3,"request_bytes":0,"response_bytes":9,"outcome":"completed","trace_id":"01a201323f807c0c8c0c0c0c0c0c0c0c"}
            carol GET /api/v1/audit/requests?decision=refuse
                200 {"id":"request_2","node":"n1","leaf":4,"time":"2026-11-22T03:00:01.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/77","query":null,"subject":"bob","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"refuse","reason":"operation_not_allowed","rule":null,"revision":1,"status":403,"upstream":null,"upstream_status":null,"duration_us":5,"upstream_us":null,"request_bytes":null,"response_bytes":null,"outcome":"refused","trace_id":"01a2013243687d0d8d0d0d0d0d0d0d0d"}
            carol GET /api/v1/audit/requests?since=2026-11-22T03:00:00.5Z&path=/v1/orders/*&status=403&user=user:bob
                200 {"id":"request_2","node":"n1","leaf":4,"time":"2026-11-22T03:00:01.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/77","query":null,"subject":"bob","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"refuse","reason":"operation_not_allowed","rule":null,"revision":1,"status":403,"upstream":null,"upstream_status":null,"duration_us":5,"upstream_us":null,"request_bytes":null,"response_bytes":null,"outcome":"refused","trace_id":"01a2013243687d0d8d0d0d0d0d0d0d0d"}
            alice GET /api/v1/explain/request_1
                200 {"id":"request_1","decision":"allow","why":["At 2026-11-22T03:00:00.000000Z, user `alice` asked for `GET /v1/orders/7`, the operation `getOrder` of `orders`, from 127.0.0.1.","It was allowed by the rule `allow orders:read` of the role `orders-viewer`, as the ledger stood at revision 1.","127.0.0.1:7001 took it; 200 was answered whole after 5 µs."],"row":{"id":"request_1","node":"n1","leaf":2,"time":"2026-11-22T03:00:00.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/7","query":null,"subject":"alice","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"allow","reason":null,"rule":"allow orders:read","revision":1,"status":200,"upstream":"127.0.0.1:7001","upstream_status":200,"duration_us":5,"upstream_us":3,"request_bytes":0,"response_bytes":9,"outcome":"completed","trace_id":"01a201323f807c0c8c0c0c0c0c0c0c0c"}}
            alice GET /api/v1/explain/request_2
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"the journal has no request of this id that you may see","code":"not_found","next":"`daypass audit search` lists requests with their ids"}
            carol GET /api/v1/explain/request_2
                200 {"id":"request_2","decision":"refuse","why":["At 2026-11-22T03:00:01.000000Z, user `bob` asked for `GET /v1/orders/77`, the operation `getOrder` of `orders`, from 127.0.0.1.","It was refused with 403 `operation_not_allowed`: no role of its credential allows the operation."],"row":{"id":"request_2","node":"n1","leaf":4,"time":"2026-11-22T03:00:01.000000Z","api":"orders","operation":"getOrder","method":"GET","host":"localhost","path":"/v1/orders/77","query":null,"subject":"bob","subject_kind":"user","credential":null,"grant_id":null,"role":"orders-viewer","incident":null,"client_ip":"127.0.0.1","user_agent":null,"decision":"refuse","reason":"operation_not_allowed","rule":null,"revision":1,"status":403,"upstream":null,"upstream_status":null,"duration_us":5,"upstream_us":null,"request_bytes":null,"response_bytes":null,"outcome":"refused","trace_id":"01a2013243687d0d8d0d0d0d0d0d0d0d"}}
            bob GET /api/v1/audit/changes
                200 {"revision":4,"time":"2026-11-22T03:00:01.000000Z","actor":"local:root","kind":"open_session","subject":"user:bob","grant_id":null,"incident":null,"detail":"{\"session\":\"session_1\",\"subject\":\"user:bob\",\"until\":\"2026-11-22T15:00:01.000000Z\"}"}
        "#]],
    );
}

#[test]
fn access_is_given_by_administrators_to_others_within_bounds() {
    check(
        r#"
        dora POST /api/v1/grants {"role":"orders-viewer","to":"dora","for":"1h","reason":"me"}
        dora POST /api/v1/grants {"role":"orders-vewer","to":"alice","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"erin","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"alcie","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"service:ci","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"31d","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":""}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"soon","reason":"slow orders"}
        alice POST /api/v1/tokens {}
        dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders"}
        dora POST /api/v1/grants {"role":"orders-refunder","to":"alice","for":"1h","reason":"slow orders"}
        alice POST /api/v1/tokens {}
        bob POST /api/v1/tokens {"grant":"grant_1"}
        bob POST /api/v1/revocations {"grant":"grant_1","reason":"envy"}
        bob GET /api/v1/grants?user=alice
        alice POST /api/v1/revocations {"grant":"grant_1","reason":"done"}
        later 2h
        alice POST /api/v1/tokens {"grant":"grant_1"}
        alice GET /api/v1/grants
        alice POST /api/v1/revocations {"grant":"grant_1","role":"orders-viewer","reason":"both"}
        "#,
        &expect![[r#"
            dora POST /api/v1/grants {"role":"orders-viewer","to":"dora","for":"1h","reason":"me"}
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"nobody gives a grant to themselves: ask another administrator","code":"not_allowed"}
            dora POST /api/v1/grants {"role":"orders-vewer","to":"alice","for":"1h","reason":"slow orders"}
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no role `orders-vewer`","code":"not_found","next":"did you mean `orders-viewer`? `daypass roles` lists them"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"erin","for":"1h","reason":"slow orders"}
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no user `erin`","code":"not_found","next":"name `alice`, `bob`, `carol` or `dora`; others are added under `identity: users:` in the configuration, as `erin: {}`, and by a reload"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"alcie","for":"1h","reason":"slow orders"}
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no user `alcie`","code":"not_found","next":"did you mean `alice`?"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"service:ci","for":"1h","reason":"slow orders"}
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"`service:ci` is no user: name a person, like `alice`","code":"invalid","next":"a service has its roles with its key: `daypass service add ci --role orders-viewer --for 90d`"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"31d","reason":"slow orders"}
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"a grant lasts at most `30d`, not `31d`","code":"invalid"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":""}
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"a reason is required","code":"invalid","next":"say why, with `--reason TEXT`"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"soon","reason":"slow orders"}
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"for: `soon` is not a duration: write a whole number and a unit, like `30s`, `10m`, `2h` or `7d`","code":"invalid"}
            alice POST /api/v1/tokens {}
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"you hold no grant in force","code":"not_allowed","next":"ask an administrator to run `daypass grant ROLE --to alice --for 1h --reason 'WHY'`; `daypass roles` lists the roles"}
            dora POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders"}
                201 {"grant":"grant_1","role":"orders-viewer","subject":"user:alice","until":"2026-11-22T04:00:00.000000Z"}
            dora POST /api/v1/grants {"role":"orders-refunder","to":"alice","for":"1h","reason":"slow orders"}
                201 {"grant":"grant_2","role":"orders-refunder","subject":"user:alice","until":"2026-11-22T04:00:00.000000Z"}
            alice POST /api/v1/tokens {}
                409 {"type":"urn:daypass:problem:ambiguous","title":"Ambiguous","status":409,"detail":"you hold several grants in force, name one of them: `grant_2`, `grant_1`","code":"ambiguous","next":"`daypass grants` tells them apart"}
            bob POST /api/v1/tokens {"grant":"grant_1"}
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the grant `grant_1` is not yours","code":"not_allowed","next":"`daypass grants` lists those that you hold"}
            bob POST /api/v1/revocations {"grant":"grant_1","reason":"envy"}
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"only administrators revoke what is not their own","code":"not_allowed","next":"ask an administrator; `daypass grants` lists what is your own"}
            bob GET /api/v1/grants?user=alice
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the grants of others are for auditors and administrators","code":"not_allowed","next":"leave out `user` to see your own"}
            alice POST /api/v1/revocations {"grant":"grant_1","reason":"done"}
                200 {"revision":7,"grants":["grant_1"],"tokens":[],"keys":[],"sessions":[],"more_tokens":0,"nodes":[{"node":"n1","acknowledged_ms":1}],"streams":{"websocket":0,"sse":1,"grpc":0,"transfer":0},"slowest_ms":1,"leaf":7}
            alice POST /api/v1/tokens {"grant":"grant_1"}
                403 {"type":"urn:daypass:problem:not_allowed","title":"Not allowed","status":403,"detail":"the grant `grant_1` has ended","code":"not_allowed","next":"ask an administrator to run `daypass grant orders-viewer --to alice --for 1h --reason 'WHY'`"}
            alice GET /api/v1/grants
                200 [{"grant":"grant_2","role":"orders-refunder","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"expired"},{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"user:dora","reason":"slow orders","incident":null,"state":"revoked"}]
            alice POST /api/v1/revocations {"grant":"grant_1","role":"orders-viewer","reason":"both"}
                400 {"type":"urn:daypass:problem:invalid","title":"Invalid request","status":400,"detail":"name exactly one of `grant`, `token`, `key`, `user`, `role`, `api`, `incident` or `all: true`","code":"invalid"}
        "#]],
    );
}

#[test]
fn a_service_has_one_key_at_a_time() {
    check(
        r#"
        dora POST /api/v1/services {"name":"ci","roles":["orders-viewer","orders-viewer"],"for":"90d"}
        dora POST /api/v1/services {"name":"ci","roles":["orders-viewer"],"for":"90d"}
        dora POST /api/v1/services/ci/rotate {}
        carol GET /api/v1/services
        dora POST /api/v1/revocations {"key":"key_2","reason":"leaked"}
        carol GET /api/v1/services
        dora DELETE /api/v1/services/ci
        dora DELETE /api/v1/services/ci
        carol GET /api/v1/services
        "#,
        &expect![[r#"
            dora POST /api/v1/services {"name":"ci","roles":["orders-viewer","orders-viewer"],"for":"90d"}
                201 {"name":"ci","id":"key_1","key":"<dps>","expires":"2027-02-20T03:00:00.000000Z"}
            dora POST /api/v1/services {"name":"ci","roles":["orders-viewer"],"for":"90d"}
                409 {"type":"urn:daypass:problem:exists","title":"Exists already","status":409,"detail":"the service `ci` exists already","code":"exists","next":"`daypass service rotate ci` gives it a new key; another service needs another name"}
            dora POST /api/v1/services/ci/rotate {}
                201 {"name":"ci","id":"key_2","key":"<dps>","expires":"2027-02-20T03:00:00.000000Z"}
            carol GET /api/v1/services
                200 [{"name":"ci","id":"key_2","roles":["orders-viewer"],"since":"2026-11-22T03:00:00.000000Z","expires":"2027-02-20T03:00:00.000000Z","state":"active"}]
            dora POST /api/v1/revocations {"key":"key_2","reason":"leaked"}
                200 {"revision":7,"grants":[],"tokens":[],"keys":["key_2"],"sessions":[],"more_tokens":0,"nodes":[{"node":"n1","acknowledged_ms":1}],"streams":{"websocket":0,"sse":1,"grpc":0,"transfer":0},"slowest_ms":1,"leaf":7}
            carol GET /api/v1/services
                200 [{"name":"ci","id":"key_2","roles":["orders-viewer"],"since":"2026-11-22T03:00:00.000000Z","expires":"2027-02-20T03:00:00.000000Z","state":"revoked"}]
            dora DELETE /api/v1/services/ci
                200 {"name":"ci","revision":8}
            dora DELETE /api/v1/services/ci
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no service `ci`","code":"not_found","next":"`daypass service list` lists them"}
            carol GET /api/v1/services
                200 []
        "#]],
    );
}

#[test]
fn what_there_is_can_be_read_by_everybody_with_a_session() {
    check(
        "
        alice GET /api/v1/apis
        alice GET /api/v1/apis/orders
        alice GET /api/v1/apis/payments
        alice GET /api/v1/roles
        alice GET /api/v1/status
        carol GET /api/v1/status
        nobody GET /api/v1/nothing
        nobody PUT /api/v1/roles
        nobody GET /readyz
        alice DELETE /api/v1/sessions/current
        alice GET /api/v1/roles
        ",
        &expect![[r#"
            alice GET /api/v1/apis
                200 [{"api":"orders","route":"/orders","contract":true,"operations":2}]
            alice GET /api/v1/apis/orders
                200 {"api":"orders","route":"/orders","contract":true,"operations":[{"operation":"getOrder","method":"GET","path":"/v1/orders/{id}","tags":["orders"]},{"operation":"refund","method":"POST","path":"/v1/orders/{id}/refund","tags":["orders"]}]}
            alice GET /api/v1/apis/payments
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no API of this name","code":"not_found","next":"`daypass apis` lists them"}
            alice GET /api/v1/roles
                200 [{"role":"orders-refunder","allow":["orders:refund"],"deny":[],"rate":"60/m"},{"role":"orders-viewer","allow":["orders:read"],"deny":[],"rate":"60/m"}]
            alice GET /api/v1/status
                200 {"ready":true,"why":[],"nodes":[{"node":"n1","revision":1,"started":"2026-11-22T03:00:00.000000Z","version":"1.2.3","pid":null,"program":null}],"configuration":{"revision":1,"loaded":"2026-11-22T03:00:00.000000Z","warnings":2,"failed":{"at":"2026-11-22T03:00:00.000000Z","why":[]}},"takeover":null,"upstreams":[],"certificates":[],"acme":null,"ledger":{"revision":2,"events":2,"writable":true,"last_error":null},"journal":{"size":3,"lag_ms":0,"checkpoint_age_ms":null,"spooled":0,"writable":true,"last_error":null,"damage":null},"view":{"revision":2,"age_ms":7},"fail_open_minutes":0}
            carol GET /api/v1/status
                200 {"ready":true,"why":[],"nodes":[{"node":"n1","revision":1,"started":"2026-11-22T03:00:00.000000Z","version":"1.2.3","pid":7,"program":"/usr/bin/daypass"}],"configuration":{"revision":1,"loaded":"2026-11-22T03:00:00.000000Z","warnings":2,"failed":{"at":"2026-11-22T03:00:00.000000Z","why":["daypass.yaml:3:1: unknown key `api`"]}},"takeover":null,"upstreams":[{"api":"orders","upstream":"127.0.0.1:7001","state":"unreachable","why":"it cannot be connected to","since":"2026-11-22T03:00:00.000000Z"}],"certificates":[],"acme":null,"ledger":{"revision":3,"events":3,"writable":true,"last_error":null},"journal":{"size":4,"lag_ms":0,"checkpoint_age_ms":null,"spooled":0,"writable":true,"last_error":null,"damage":null},"view":{"revision":3,"age_ms":7},"fail_open_minutes":0}
            nobody GET /api/v1/nothing
                404 {"type":"urn:daypass:problem:not_found","title":"Not found","status":404,"detail":"there is no such path","code":"not_found","next":"`/api/openapi.json` describes every path"}
            nobody PUT /api/v1/roles
                405 {"type":"urn:daypass:problem:method_not_allowed","title":"Method not allowed","status":405,"detail":"this path takes other methods","code":"method_not_allowed","next":"`/api/openapi.json` describes every path"}
            nobody GET /readyz
                200 ready
            alice DELETE /api/v1/sessions/current
                200 {"id":"session_1","revision":4}
            alice GET /api/v1/roles
                401 {"type":"urn:daypass:problem:unauthenticated","title":"Not signed in","status":401,"detail":"this session has ended","code":"unauthenticated","next":"an administrator makes a session on the server's machine: `daypass admin session USER`; set it as DAYPASS_SESSION"}
        "#]],
    );
}
