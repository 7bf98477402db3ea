//! What callers of the order API see.

use expect_test::{Expect, expect};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;

use super::super::bounded::OutOfBounds;
use super::super::model::NewOrder;
use super::super::recorder::{Recorder, SEEN_MAX, Seen};
use super::super::state::{Book, Fault, ORDERS_MAX};
use super::World;

/// Sends each line of `story` to a fresh service and compares the answers, a line each.
async fn check(story: &str, expected: Expect) {
    let lines: Vec<_> =
        answers(story).await.into_iter().map(|(status, body)| format!("{status} {body}\n")).collect();
    expected.assert_eq(&lines.concat());
}

/// As [`check`], for problems, of which only the `code` is compared.
async fn check_codes(story: &str, expected: Expect) {
    let mut lines = String::new();
    for (status, body) in answers(story).await {
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status, "{body}");
        lines.push_str(&format!("{status} {}\n", problem["code"].as_str().unwrap()));
    }
    expected.assert_eq(&lines);
}

async fn answers(story: &str) -> Vec<(u16, String)> {
    let (world, mut answers) = (World::start().await, Vec::new());
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let response = world.request(line).send().await.unwrap();
        answers.push((response.status().as_u16(), response.text().await.unwrap()));
    }
    answers
}

#[tokio::test]
async fn an_order_is_placed_changed_and_canceled_once() {
    check(
        r#"POST /v1/orders {"customer":8,"lines":[{"sku":"lamp","quantity":2}],"note":"hello"}
           PATCH /v1/orders/201 {"priority":"high"}
           POST /v1/orders/201/cancel
           POST /v1/orders/201/cancel
           PATCH /v1/orders/201 {"note":"too late"}
           POST /v1/fulfilment/201/restart
           GET /v1/health"#,
        expect![[r#"
            201 {"id":201,"status":"open","priority":"normal","note":"hello","customer":{"id":8,"name":"Hana Okafor","email":"hana.okafor@example.com"},"lines":[{"sku":"lamp","quantity":2,"unit_price":60}],"total":120,"payment":1201,"placed_at":"2026-01-09T08:00:00Z"}
            200 {"id":201,"status":"open","priority":"high","note":"hello","customer":{"id":8,"name":"Hana Okafor","email":"hana.okafor@example.com"},"lines":[{"sku":"lamp","quantity":2,"unit_price":60}],"total":120,"payment":1201,"placed_at":"2026-01-09T08:00:00Z"}
            200 {"id":201,"status":"canceled","priority":"high","note":"hello","customer":{"id":8,"name":"Hana Okafor","email":"hana.okafor@example.com"},"lines":[{"sku":"lamp","quantity":2,"unit_price":60}],"total":120,"payment":1201,"placed_at":"2026-01-09T08:00:00Z"}
            200 {"id":201,"status":"canceled","priority":"high","note":"hello","customer":{"id":8,"name":"Hana Okafor","email":"hana.okafor@example.com"},"lines":[{"sku":"lamp","quantity":2,"unit_price":60}],"total":120,"payment":1201,"placed_at":"2026-01-09T08:00:00Z"}
            409 {"type":"about:blank","title":"Conflict","status":409,"detail":"order `201` has been shipped or canceled","code":"order_closed"}
            409 {"type":"about:blank","title":"Conflict","status":409,"detail":"order `201` has been shipped or canceled","code":"order_closed"}
            200 {"status":"ok","orders":201}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn refunds_add_up_and_never_exceed_the_payment() {
    check(
        r#"GET /v1/payments/1007
           POST /v1/orders/7/refund {"amount":20.0,"reason":"arrived broken"}
           POST /v1/orders/7/refund {"amount":100000,"reason":"greed"}
           GET /v1/payments/1007
           GET /v1/payments?status=partly_refunded
           GET /v1/reports/sales?delay_ms=0"#,
        expect![[r#"
            200 {"id":1007,"order":7,"customer":10,"status":"captured","amount":490,"refunded":0}
            200 {"order":7,"payment":1007,"amount":20,"reason":"arrived broken","refunded_total":20}
            409 {"type":"about:blank","title":"Conflict","status":409,"detail":"`470` of the payment is left to refund","code":"refund_too_high"}
            200 {"id":1007,"order":7,"customer":10,"status":"partly_refunded","amount":490,"refunded":20}
            200 {"rows":[{"id":1007,"order":7,"customer":10,"status":"partly_refunded","amount":490,"refunded":20}],"next":null}
            200 {"orders":200,"open":130,"shipped":54,"canceled":16,"revenue":104615,"refunded":20}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_stuck_order_is_found_and_restarted() {
    check(
        "GET /v1/fulfilment?stage=stuck&limit=2
         POST /v1/fulfilment/7/restart
         GET /v1/fulfilment?stage=stuck&limit=2
         POST /v1/fulfilment/3/restart",
        expect![[r#"
            200 {"rows":[{"id":7,"stage":"stuck","warehouse":"gdansk","restarts":0},{"id":17,"stage":"stuck","warehouse":"gdansk","restarts":0}],"next":17}
            202 {"id":7,"stage":"picking","warehouse":"gdansk","restarts":1}
            200 {"rows":[{"id":17,"stage":"stuck","warehouse":"gdansk","restarts":0},{"id":27,"stage":"stuck","warehouse":"gdansk","restarts":0}],"next":27}
            409 {"type":"about:blank","title":"Conflict","status":409,"detail":"order `3` has been shipped or canceled","code":"order_closed"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_changed_customer_shows_in_their_orders() {
    check(
        r#"GET /v1/customers/10
           PUT /v1/customers/10 {"name":"A B","email":"a@example.com","address":{"street":"1 X","city":"Y","postal_code":"2","country":"FI"}}
           GET /v1/orders/7"#,
        expect![[r#"
            200 {"id":10,"name":"Bruno Lindqvist","email":"bruno.lindqvist@example.com","address":{"street":"10 Canal Walk","city":"Lyon","postal_code":"17310","country":"FR"},"card":{"brand":"visa","last_four":"3770"}}
            200 {"id":10,"name":"A B","email":"a@example.com","address":{"street":"1 X","city":"Y","postal_code":"2","country":"FI"},"card":{"brand":"visa","last_four":"3770"}}
            200 {"id":7,"status":"open","priority":"high","note":"","customer":{"id":10,"name":"A B","email":"a@example.com"},"lines":[{"sku":"rug","quantity":4,"unit_price":95},{"sku":"shelf","quantity":1,"unit_price":110}],"total":490,"payment":1007,"placed_at":"2026-01-01T06:00:00Z"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_the_contract_does_not_allow_is_refused_with_a_problem() {
    check_codes(
        r#"GET /v1/orders/0
           GET /v1/orders/999
           GET /v1/orders/4294967296
           GET /v1/orders/seven
           GET /v1/orders?customer=0
           GET /v1/orders?limit=0
           GET /v1/orders?limit=101
           GET /v1/orders?status=lost
           GET /v1/reports/sales?delay_ms=60001
           GET /v1/exports/orders?bytes=1073741825
           GET /v1/feed/events?count=0
           GET /v1/debug/fail?status=200
           PATCH /v1/orders/7 {}
           PATCH /v1/orders/7 {"total":1}
           PATCH /v1/orders/7 {"note":null}
           POST /v1/orders {"customer":8,"lines":[]}
           POST /v1/orders {"customer":41,"lines":[{"sku":"lamp","quantity":1}]}
           POST /v1/orders {"customer":8,"lines":[{"sku":"yacht","quantity":1}]}
           POST /v1/orders/7/refund {"amount":0,"reason":"x"}
           POST /v1/orders/7/refund {"amount":1.5,"reason":"x"}
           POST /v1/orders/7/refund {"amount":-1,"reason":"x"}
           POST /v1/orders/7/refund {"amount":1,"reason":""}
           POST /v1/orders/7/refund {"amount":1,
           PUT /v1/customers/8 {"name":"A","email":"nobody","address":{"street":"1","city":"Y","postal_code":"2","country":"FI"}}
           POST /v1/reports/sales
           GET /v2/orders"#,
        expect![[r#"
            400 path_invalid
            404 order_unknown
            400 path_invalid
            400 path_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 query_invalid
            400 body_invalid
            400 body_invalid
            400 body_invalid
            400 body_invalid
            404 customer_unknown
            400 sku_unknown
            400 body_invalid
            400 body_invalid
            400 body_invalid
            400 body_invalid
            400 body_invalid
            400 body_invalid
            405 method_unsupported
            404 operation_unknown
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_json_is_refused() {
    let world = World::start().await;
    let long = format!(r#"POST /v1/orders/7/refund {{"amount":1,"reason":"{}"}}"#, "x".repeat(65_536));
    assert_eq!(world.request(&long).send().await.unwrap().status(), 413);
    let plain = world.request("POST /v1/orders/7/refund").body("amount=1").send().await.unwrap();
    assert_eq!(plain.status(), 415);
}

#[tokio::test]
async fn paging_reaches_every_order_once() {
    let world = World::start().await;
    let (mut ids, mut after) = (Vec::new(), 0);
    while ids.len() <= 200 {
        let page = world.json(&format!("GET /v1/orders?limit=7&after={after}")).await;
        ids.extend(page["rows"].as_array().unwrap().iter().map(|order| order["id"].as_u64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_services_tell_the_same() {
    let (one, other) = (World::start().await, World::start().await);
    for line in ["GET /v1/orders?limit=100", "GET /v1/customers?limit=100", "GET /v1/payments?limit=100"] {
        assert_eq!(one.json(line).await, other.json(line).await, "{line}");
    }
}

#[tokio::test]
async fn an_export_has_the_size_asked_for_and_every_row_its_place() {
    let world = World::start().await;
    let bytes = 3 * 65_536 + 100;
    let response = world.request(&format!("GET /v1/exports/orders?bytes={bytes}")).send().await.unwrap();
    assert_eq!(response.content_length(), Some(bytes));
    let text = response.text().await.unwrap();
    assert_eq!(text.len() as u64, bytes);
    for (place, row) in text.split_inclusive('\n').enumerate() {
        assert!(row.starts_with(&format!("{place:012},")), "row {place}: {row}");
        assert!(row.len() == 64 || place == 3_073, "row {place}: {row}");
    }
}

#[tokio::test]
async fn only_one_right_key_is_let_in() {
    let world = World::start().await;
    let send = async |keys: &[&str]| {
        let request = world.keyless("GET /v1/orders/7");
        let request = keys.iter().fold(request, |request, key| request.header("authorization", *key));
        request.send().await.unwrap().status()
    };
    let right = "Bearer demo-orders-key";
    assert_eq!(send(&[right]).await, StatusCode::OK);
    for keys in [&[][..], &["Bearer other"], &["Bearer "], &["Basic demo-orders-key"], &[right, right]] {
        assert_eq!(send(keys).await, StatusCode::UNAUTHORIZED, "{keys:?}");
    }
}

#[tokio::test]
async fn the_headers_that_arrived_are_shown_and_recorded() {
    let world = World::start().await;
    let request = world.request("GET /v1/debug/headers?a=%20b").header("x-twice", "1").header("x-twice", "2");
    let shown: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["headers"]["x-twice"], serde_json::json!(["1", "2"]));
    assert_eq!(shown["headers"]["authorization"], serde_json::json!(["(this API's own key)"]));
    world.keyless("DELETE /nowhere").send().await.unwrap();

    let seen = world.recorder.take();
    let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path_and_query)).collect();
    assert_eq!(lines, ["GET /v1/debug/headers?a=%20b", "DELETE /nowhere"]);
    assert_eq!(seen[0].headers.get_all("x-twice").iter().count(), 2);
    assert!(world.recorder.seen().is_empty());
}

#[test]
fn a_full_recorder_counts_what_it_loses() {
    let recorder = Recorder::new();
    for _ in 0..SEEN_MAX + 2 {
        recorder.record(Seen {
            method: http::Method::GET,
            path_and_query: String::new(),
            headers: http::HeaderMap::new(),
        });
    }
    assert_eq!((recorder.take().len(), recorder.lost()), (SEEN_MAX, 2));
}

#[test]
fn a_full_book_takes_no_order() {
    let order = || -> NewOrder {
        serde_json::from_str(r#"{"customer":1,"lines":[{"sku":"mug","quantity":1}]}"#).unwrap()
    };
    let mut book = Book::seeded();
    for _ in book.size()..ORDERS_MAX {
        book.create(order()).unwrap();
    }
    assert!(matches!(book.create(order()), Err(Fault::BookFull)));
    assert_eq!(book.size(), ORDERS_MAX);
}

#[test]
fn an_email_has_one_at_and_no_space() {
    use super::super::bounded::Email;
    let parse = |text: &str| Email::try_from(text.to_owned()).map(String::from);
    assert_eq!(parse("a@b").unwrap(), "a@b");
    for text in ["", "a", "@b", "a@", "a@b@c", "a b@c", &format!("a@{}", "b".repeat(253))] {
        assert!(matches!(parse(text), Err(OutOfBounds::Email)), "{text}");
    }
}

#[tokio::test]
async fn many_refunds_at_once_lose_no_dollar() {
    let world = World::start().await;
    let line = r#"POST /v1/orders/7/refund {"amount":1,"reason":"one"}"#;
    let answers = join_all((0..50).map(|_| world.request(line).send())).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    assert_eq!(world.json("GET /v1/payments/1007").await["refunded"], 50);
}
