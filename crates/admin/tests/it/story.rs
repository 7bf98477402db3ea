//! Stories through HTTP: who asks for what, and what they are answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use access::credential::CREDENTIAL_LEN;
use access::{RequestId, Revision, Timestamp};
use expect_test::{Expect, expect};
use reqwest::{Client, Response};
use serde_json::Value;

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
        let mut shown = text.to_owned();
        for kind in ["grant", "token", "key", "session"] {
            let mut from = 0;
            while let Some(found) = shown[from..].find(&format!("{kind}_")) {
                let start = from + found;
                let end = start + kind.len() + 27;
                let real =
                    shown.get(start..end).filter(|id| id.ends_with(|c: char| c.is_ascii_alphanumeric()));
                let Some(real) = real.map(str::to_owned).filter(|id| is_id(&id[kind.len() + 1..])) else {
                    from = start + 1;
                    continue;
                };
                let name = self.name(kind, &real);
                shown = shown.replace(&real, &name);
                from = start + name.len();
            }
        }
        for prefix in ["dpt_", "dps_", "dpc_"] {
            while let Some(start) = shown.find(prefix).filter(|start| shown.len() >= start + CREDENTIAL_LEN) {
                shown.replace_range(start..start + CREDENTIAL_LEN, &format!("<{}>", &prefix[..3]));
            }
        }
        shown
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
pub(crate) fn check(story: &str, expect: Expect) {
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
                    let text = ids.hide(&answer.text().await.unwrap());
                    let line = line.replace(body.as_deref().map_or("", |_| " {}"), "");
                    writeln!(told, "{line}").unwrap();
                    text.lines().for_each(|text| writeln!(told, "    {status} {text}").unwrap());
                }
                _ => panic!("{line} is no line of a story"),
            }
        }
        expect.assert_eq(&told);
        world
    });
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
            for _ in 0..count {
                drop(lane.refuse(&request, "operation_not_allowed", 403, request.time));
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
        lane.refuse(request, "operation_not_allowed", status, at).await;
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
        carol GET /api/v1/grants?all=true
        carol GET /api/v1/audit/changes?order=oldest
        "#,
        expect![[r#"
            socket POST /api/v1/grants {"role":"orders-viewer","to":"alice","for":"1h","reason":"slow orders","incident":"INC-7"}
                201 {"grant":"grant_1","role":"orders-viewer","subject":"user:alice","until":"2026-11-22T04:00:00.000000Z"}
            alice GET /api/v1/grants
                200 [{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":"INC-7","state":"active"}]
            alice POST /api/v1/tokens {"for":"10m","only":["GET /v1/orders/{id}"]}
                201 {"token":"<dpt>","id":"token_1","grant":"grant_1","until":"2026-11-22T03:10:00.000000Z"}
            alice GET /api/v1/whoami
                200 {"subject":"user:alice","administrator":false,"auditor":false,"until":"2026-11-22T15:00:00.000000Z"}
            dora POST /api/v1/revocations {"user":"alice","reason":"left the team"}
                200 {"revision":6,"grants":["grant_1"],"tokens":["token_1"],"keys":[],"nodes":[{"node":"n1","acknowledged_ms":1}],"streams":{"websocket":0,"sse":1,"grpc":0,"transfer":0},"slowest_ms":1,"leaf":6}
            alice GET /api/v1/grants
                401 {"type":"urn:daypass:problem:unauthenticated","title":"Not signed in","status":401,"detail":"this session has ended","code":"unauthenticated","next":"an administrator makes a session on the server's machine: `daypass admin session USER`; set it as DAYPASS_SESSION"}
            carol GET /api/v1/grants?all=true
                200 [{"grant":"grant_1","role":"orders-viewer","subject":"user:alice","since":"2026-11-22T03:00:00.000000Z","until":"2026-11-22T04:00:00.000000Z","by":"local:root","reason":"slow orders","incident":"INC-7","state":"revoked"}]
            carol GET /api/v1/audit/changes?order=oldest
                200 {"revision":1,"time":"2026-11-22T03:00:00.000000Z","actor":"local:daypass","kind":"adopt_policy","subject":null,"grant_id":null,"incident":null,"detail":"{\"administrators\":[\"user:dora\"],\"apis\":[\"orders\"],\"auditors\":[\"user:carol\"],\"roles\":[\"orders-refunder\",\"orders-viewer\"],\"sha256\":\"61e2cd8efdd5fcd905959f209be809c9cfe79877be934ebb3c492f336a5e7d89\",\"users\":4}"}
                200 {"revision":2,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"give_grant","subject":"user:alice","grant_id":"grant_1","incident":"INC-7","detail":"{\"grant\":\"grant_1\",\"incident\":\"INC-7\",\"reason\":\"slow orders\",\"role\":\"orders-viewer\",\"subject\":\"user:alice\",\"until\":1795320000000000}"}
                200 {"revision":3,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:alice","grant_id":null,"incident":null,"detail":"{\"session\":\"session_1\",\"subject\":\"user:alice\",\"until\":1795359600000000}"}
                200 {"revision":4,"time":"2026-11-22T03:00:00.000000Z","actor":"user:alice","kind":"mint_token","subject":"user:alice","grant_id":"grant_1","incident":null,"detail":"{\"grant\":\"grant_1\",\"only\":[\"GET /v1/orders/{id}\"],\"subject\":\"user:alice\",\"token\":\"token_1\",\"until\":1795317000000000}"}
                200 {"revision":5,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:dora","grant_id":null,"incident":null,"detail":"{\"session\":\"session_2\",\"subject\":\"user:dora\",\"until\":1795359600000000}"}
                200 {"revision":6,"time":"2026-11-22T03:00:00.000000Z","actor":"user:dora","kind":"revoke","subject":"user:alice","grant_id":null,"incident":null,"detail":"{\"grants\":[\"grant_1\"],\"keys\":[],\"reason\":\"left the team\",\"scope\":{\"user\":\"user:alice\"},\"sessions\":[\"session_1\"],\"subject\":\"user:alice\",\"tokens\":[\"token_1\"]}"}
                200 {"revision":7,"time":"2026-11-22T03:00:00.000000Z","actor":"local:root","kind":"open_session","subject":"user:carol","grant_id":null,"incident":null,"detail":"{\"session\":\"session_3\",\"subject\":\"user:carol\",\"until\":1795359600000000}"}
        "#]],
    );
}
