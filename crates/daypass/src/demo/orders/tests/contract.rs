//! The contract and the router tell the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{CONTRACT, operations};
use super::World;

struct Declared {
    method: String,
    template: String,
    operation: Value,
}

fn contract() -> Value {
    serde_saphyr::from_str(CONTRACT).unwrap()
}

fn declared(contract: &Value) -> Vec<Declared> {
    let paths = contract["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(template, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| Declared {
            method: method.to_uppercase(),
            template: template.clone(),
            operation: operation.clone(),
        })
    });
    operations.collect()
}

/// `value`, or what its `$ref` names.
fn resolve<'a>(contract: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => contract.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

impl Declared {
    /// The request that the contract's examples make.
    fn example(&self, contract: &Value) -> String {
        let (mut path, mut query) = (self.template.clone(), Vec::new());
        for parameter in self.operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolve(contract, parameter);
            let name = parameter["name"].as_str().unwrap();
            match (&parameter["in"], &parameter["example"]) {
                (_, Value::Null) => {}
                (Value::String(place), example) if place == "path" => {
                    path = path.replace(&format!("{{{name}}}"), &plain(example));
                }
                (_, example) => query.push(format!("{name}={}", plain(example))),
            }
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let body = &self.operation["requestBody"]["content"]["application/json"]["example"];
        let body = if body.is_null() { String::new() } else { format!(" {body}") };
        format!("{} {path}{mark}{}{body}", self.method, query.join("&"))
    }

    fn declares(&self, status: u16) -> bool {
        let responses = &self.operation["responses"];
        let range = format!("{}XX", status / 100);
        !responses[status.to_string()].is_null() || !responses[range].is_null()
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn every_operation_has_a_route_and_every_route_an_operation() {
    let contract = contract();
    let declared: BTreeSet<_> = declared(&contract)
        .iter()
        .map(|one| format!("{} {} {}", one.method, one.template, plain(&one.operation["operationId"])))
        .collect();
    let routed: BTreeSet<_> =
        operations().iter().map(|one| format!("{} {} {}", one.method, one.template, one.id)).collect();
    assert_eq!(declared, routed);
    assert_eq!(declared.len(), 21);
}

#[test]
fn every_reference_of_the_contract_leads_somewhere_and_every_tag_is_described() {
    let contract = contract();
    let mut rest = vec![&contract];
    while let Some(value) = rest.pop() {
        assert!(!resolve(&contract, value).is_null());
        rest.extend(value.as_object().into_iter().flat_map(|map| map.values()).filter(|v| !v.is_null()));
        rest.extend(value.as_array().into_iter().flatten());
    }
    let described: BTreeSet<_> =
        contract["tags"].as_array().unwrap().iter().map(|tag| plain(&tag["name"])).collect();
    let used: BTreeSet<_> = declared(&contract)
        .iter()
        .flat_map(|one| one.operation["tags"].as_array().unwrap().clone())
        .map(|tag| plain(&tag))
        .collect();
    assert_eq!(described, used);
}

#[tokio::test]
async fn every_example_is_answered_as_declared() {
    let contract = contract();
    for one in declared(&contract) {
        // A service of its own, since one example may cancel the order that another changes.
        let (line, world) = (one.example(&contract), World::start().await);
        let response = world.request(&line).send().await.unwrap();
        let status = response.status().as_u16();
        assert!(one.declares(status), "{line}: {status}");
        let expected = match plain(&one.operation["operationId"]).as_str() {
            "orderFeed" => 400..=426,
            "failOnDemand" => 503..=503,
            _ => 200..=202,
        };
        assert!(expected.contains(&status), "{line}: {status}");
        let declared = &resolve(&contract, &one.operation["responses"][status.to_string()])["content"];
        let media = response.headers()["content-type"].to_str().unwrap();
        assert!(declared.is_null() || !declared[media].is_null(), "{line}: {media}");
    }
}

#[tokio::test]
async fn without_the_key_only_health_is_answered() {
    let (contract, world) = (contract(), World::start().await);
    for one in declared(&contract) {
        let line = one.example(&contract);
        let status = world.keyless(&line).send().await.unwrap().status().as_u16();
        let open = one.operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(status, if open { 200 } else { 401 }, "{line}");
        assert!(one.declares(status), "{line}: {status}");
    }
}

#[test]
fn the_contract_and_the_seed_know_the_same_articles() {
    let contract = contract();
    let skus = contract["components"]["schemas"]["Sku"]["enum"].as_array().unwrap();
    assert!(skus.iter().all(|sku| super::super::seed::article(sku.as_str().unwrap()).is_some()));
    assert_eq!(skus.len(), 8);
}
