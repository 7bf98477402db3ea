//! The console while the journal or the ledger is out, and while its slots are taken.

use admin::serve::{CONNECTIONS_MAX, HEAD_WAIT_MAX};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, within};

async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    let asked = world.over_socket().post(format!("http://localhost{path}")).json(&body);
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[test]
fn a_journal_that_is_out_stops_no_revocation_and_allows_no_reading() {
    within(|world| async {
        let grant = json!({"role": "orders-viewer", "to": "alice", "for": "1h", "reason": "slow orders"});
        let (_, grant) = post(&world, "/api/v1/grants", grant).await;
        world.journal.shutdown().unwrap();
        let (status, receipt) =
            post(&world, "/api/v1/revocations", json!({"all": true, "reason": "drill"})).await;
        assert_eq!((status, &receipt["leaf"]), (200, &Value::Null));
        assert_eq!(receipt["grants"], json!([grant["grant"]]));
        let searched =
            world.over_socket().get("http://localhost/api/v1/audit/requests").send().await.unwrap();
        assert_eq!(searched.status().as_u16(), 503);
        assert_eq!(searched.json::<Value>().await.unwrap()["code"], "journal_unavailable");
        world
    });
}

#[test]
fn a_ledger_that_is_out_is_said_to_be() {
    within(|world| async {
        world.keeper.stop().await;
        let (status, problem) =
            post(&world, "/api/v1/revocations", json!({"all": true, "reason": "drill"})).await;
        assert_eq!((status, &problem["code"]), (503, &json!("ledger_unavailable")));
        world
    });
}

#[test]
fn a_damaged_journal_is_an_error_and_not_a_short_answer() {
    within(|world| async {
        crate::story::record_many(&world, 9_000).await;
        let first = world.journal.directory().join("00000000000000000000.log");
        let mut bytes = std::fs::read(&first).unwrap();
        bytes[500_000] ^= 1;
        std::fs::write(&first, bytes).unwrap();
        for order in ["oldest", "newest"] {
            let path = format!("http://localhost/api/v1/audit/requests?order={order}");
            let answer = world.over_socket().get(path).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200, "rows were on their way before it was met");
            let text = answer.text().await.unwrap();
            let (rows, last) = text.trim_end().rsplit_once('\n').unwrap();
            assert!(rows.lines().count() > 5_000, "{order}: {} rows", rows.lines().count());
            let last: Value = serde_json::from_str(last).unwrap();
            assert_eq!(last["error"]["code"], "journal_damaged", "{last}");
            let detail = last["error"]["detail"].as_str().unwrap();
            assert!(detail.contains("`00000000000000000000.log` is damaged at offset "), "{detail}");
            assert!(!detail.contains('/'), "{detail}");
        }
        let healthy = world.over_socket().get("http://localhost/readyz").send().await.unwrap();
        assert_eq!(healthy.status().as_u16(), 200, "requests are served all the same");
        let said = healthy.text().await.unwrap();
        assert!(said.contains("the journal is damaged: `00000000000000000000.log`"), "{said}");
        let status = world.over_socket().get("http://localhost/api/v1/status").send().await.unwrap();
        let status: Value = status.json().await.unwrap();
        assert!(status["journal"]["damage"].as_str().unwrap().contains("leaf"), "{status}");
        world
    });
}

#[test]
fn a_journal_of_which_nothing_can_be_read_is_a_damaged_one_and_not_an_empty_one() {
    within(|world| async {
        let first = world.journal.directory().join("00000000000000000000.log");
        let mut bytes = std::fs::read(&first).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&first, bytes).unwrap();
        for path in ["audit/requests", "audit/changes", "explain/0198c0de-0000-7000-8000-000000000000"] {
            let answer =
                world.over_socket().get(format!("http://localhost/api/v1/{path}")).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 500, "{path}");
            let problem = answer.text().await.unwrap();
            crate::described::assert_described("GET", &format!("/api/v1/{path}"), 500, &problem);
            assert!(problem.contains("journal_damaged"), "{problem}");
        }
        world
    });
}

async fn is_served(connection: &mut TcpStream) -> bool {
    connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.unwrap();
    &status == b"HTTP/1.1 200"
}

#[test]
fn a_crowd_at_the_port_waits_and_the_socket_stays_free() {
    within(|world| async {
        let address = world.tcp.strip_prefix("http://").unwrap();
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut connection = TcpStream::connect(address).await.unwrap();
            assert!(is_served(&mut connection).await);
            crowd.push(connection);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let whoami = world.over_socket().get("http://localhost/api/v1/whoami").send().await.unwrap();
        assert_eq!(whoami.status().as_u16(), 200);
        let mut byte = [0];
        assert!(late.try_read(&mut byte).is_err(), "it was served beyond the bound");
        crowd.pop();
        late.read_exact(&mut byte).await.unwrap();
        world
    });
}

#[test]
fn a_crowd_that_says_nothing_makes_room() {
    within(|world| async {
        let address = world.tcp.strip_prefix("http://").unwrap();
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        let served = tokio::time::timeout(HEAD_WAIT_MAX / 2, is_served(&mut late)).await;
        assert_eq!(served, Ok(true));
        drop(crowd);
        world
    });
}
