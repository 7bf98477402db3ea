//! The shipped schema, the shipped examples, and the two together.

use std::fs;
use std::path::{Path, PathBuf};

use daypass::config::{Config, Environment, schema};
use expect_test::expect_file;
use serde_json::Value;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn example(name: &str) -> Value {
    document(&fs::read_to_string(examples().join(name)).unwrap())
}

/// YAML 1.2: `off` is a text.
fn document(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(&schema::text()).unwrap()).unwrap()
}

#[test]
fn the_shipped_schema_is_that_of_this_version() {
    expect_file!["../../schema/daypass.schema.json"].assert_eq(&schema::text());
}

#[test]
fn the_shipped_examples_are_valid_and_load_without_warnings() {
    let validator = validator();
    for name in ["daypass.yaml", "full.yaml"] {
        let errors: Vec<_> = validator.iter_errors(&example(name)).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{name}");
        let loaded = Config::load(&examples().join(name), &Environment::of([])).unwrap();
        assert_eq!(loaded.warnings.to_string(), "", "{name}");
    }
}

#[test]
fn the_whole_interface_is_valid_whatever_of_it_is_in_force() {
    let interface = document(include_str!("interface.yaml"));
    let errors: Vec<_> = validator().iter_errors(&interface).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let validator = validator();
    for (pointer, value) in [
        ("/listen/proxy", Value::from("localhost")),
        ("/journal/durability", Value::from("maybe")),
        ("/apis/orders/limits/rate", Value::from("fast")),
        ("/apis/orders/limits/concurrency", Value::from("some")),
        ("/apis/orders/limits/request_body", Value::from("1MB")),
        ("/apis/orders/credentials/headers/Authorization", Value::from("Bearer literal")),
        ("/apis/orders/route", serde_json::json!({ "prefix": "/a", "host": "a" })),
        ("/apis/orders/upstreams", serde_json::json!([])),
        ("/roles/orders-viewer", serde_json::json!({ "alow": [] })),
        ("/console/auditors", serde_json::json!(["local:root"])),
    ] {
        let mut document = example("full.yaml");
        *document.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&document), "{pointer} was accepted");
    }
}

#[test]
fn what_is_shown_can_be_read_again_and_says_no_secret() {
    let loaded = Config::load(&examples().join("full.yaml"), &Environment::of([])).unwrap();
    let shown = serde_saphyr::to_string(&loaded.config).unwrap();
    assert!(shown.contains("file:secrets/orders-key.example") && !shown.contains("Bearer"), "{shown}");
    let errors: Vec<_> = validator().iter_errors(&document(&shown)).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0], "{shown}");
    let again: Config = serde_saphyr::from_str(&shown).unwrap();
    assert_eq!(serde_saphyr::to_string(&again).unwrap(), shown);
}
