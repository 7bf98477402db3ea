//! The table of routes: who may use each, and whether the published description says the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use admin::routes::{Permission, ROUTES, Route};
use expect_test::expect;
use serde_json::Value;

use crate::story::Callers;
use crate::world::within;

const CALLERS: [(&str, &str); 5] = [
    ("nobody", "anonymous"),
    ("alice", "user"),
    ("carol", "auditor"),
    ("dora", "administrator"),
    ("socket", "socket"),
];

/// An address for each place, and a body that is JSON and says nothing.
fn request_for(route: &Route) -> (String, Option<&'static str>) {
    let path = route.path.replace("{id}", "01ad4b6c-9c80-7000-8000-000000000000");
    let path = path.replace("{api}", "orders").replace("{name}", "nothing");
    (path, (route.method == "POST").then_some("{}"))
}

#[test]
fn every_route_is_open_to_exactly_these_callers() {
    within(|mut world| async {
        let mut table = String::new();
        write!(table, "{:44}", "").unwrap();
        CALLERS.iter().for_each(|(_, role)| write!(table, "{role:>14}").unwrap());
        for route in ROUTES {
            write!(table, "\n{:44}", format!("{} {}", route.method, route.path)).unwrap();
            for (caller, _) in CALLERS {
                // Closing a session ends it: each request gets one of its own.
                let mut callers = Callers::default();
                let (path, body) = request_for(route);
                let answer = callers.send(&mut world, caller, route.method, &path, body).await;
                write!(table, "{:>14}", answer.status().as_u16()).unwrap();
            }
        }
        expect![[r#"
                                                             anonymous          user       auditor administrator        socket
            GET /                                                  200           200           200           200           200
            GET /livez                                             200           200           200           200           200
            GET /readyz                                            200           200           200           200           200
            GET /metrics                                           200           200           200           200           200
            GET /api/openapi.json                                  200           200           200           200           200
            GET /api/v1/whoami                                     401           200           200           200           200
            GET /api/v1/status                                     401           200           200           200           200
            GET /api/v1/apis                                       401           200           200           200           200
            GET /api/v1/apis/{api}                                 401           200           200           200           200
            GET /api/v1/roles                                      401           200           200           200           200
            GET /api/v1/grants                                     401           200           200           200           200
            POST /api/v1/grants                                    401           403           403           400           400
            POST /api/v1/tokens                                    401           403           403           403           403
            GET /api/v1/services                                   401           403           200           200           200
            POST /api/v1/services                                  401           403           403           400           400
            POST /api/v1/services/{name}/rotate                    401           403           403           404           404
            DELETE /api/v1/services/{name}                         401           403           403           404           404
            POST /api/v1/sessions                                  401           403           403           403           400
            DELETE /api/v1/sessions/current                        401           200           200           200           400
            POST /api/v1/revocations                               401           400           400           400           400
            GET /api/v1/audit/requests                             401           200           200           200           200
            GET /api/v1/audit/changes                              401           200           200           200           200
            GET /api/v1/explain/{id}                               401           404           404           404           404
            GET /api/v1/journal/stream                             401           200           200           200           200"#]].assert_eq(&table);
        world
    });
}

fn described() -> Value {
    serde_json::from_str(admin::page::OPENAPI).unwrap()
}

#[test]
fn the_description_names_the_routes_of_the_table_and_no_others() {
    let described = described();
    let mut named = BTreeSet::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            named.insert((method.to_uppercase(), path.clone()));
        }
    }
    let table: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(named, table);
}

#[test]
fn the_description_states_the_permission_of_each_route() {
    let described = described();
    for route in ROUTES {
        let operation = &described["paths"][route.path][route.method.to_lowercase()];
        let permission = format!("{:?}", route.permission).to_lowercase();
        assert_eq!(operation["x-permission"], permission, "{} {}", route.method, route.path);
        let open = operation["security"] == serde_json::json!([]);
        assert_eq!(open, route.permission == Permission::Open, "{} {}", route.method, route.path);
    }
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let described = described();
    let mut waiting = vec![&described];
    while let Some(value) = waiting.pop() {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(described.pointer(pointer).is_some(), "{target} leads nowhere");
        }
        waiting.extend(value.as_array().into_iter().flatten());
        waiting.extend(value.as_object().into_iter().flat_map(serde_json::Map::values));
    }
}
