//! Whether an answer is what the published description says.

use admin::routes::ROUTES;
use serde_json::{Map, Value};

/// Fails unless the description names this status for the route, and the text is of its schema.
pub(crate) fn assert_described(method: &str, path: &str, status: u16, text: &str) {
    let described: Value = serde_json::from_str(admin::page::OPENAPI).unwrap();
    let path = path.split('?').next().unwrap();
    let route = ROUTES.iter().find(|route| route.method == method && is_at(path, route.path));
    let Some(route) = route else {
        assert!(matches!(status, 404 | 405), "{method} {path} has no route");
        return;
    };
    let operation = &described["paths"][route.path][route.method.to_lowercase()];
    let answer = resolved(&described, &operation["responses"][status.to_string()]);
    assert!(answer.is_object(), "{method} {} does not say that it answers {status}", route.path);
    for (media, content) in answer["content"].as_object().unwrap() {
        let schema = &content["schema"];
        match media.as_str() {
            "application/json" | "application/problem+json" => {
                check(&described, schema, &serde_json::from_str(text).unwrap(), path);
            }
            "application/x-ndjson" => text
                .lines()
                .for_each(|line| check(&described, schema, &serde_json::from_str(line).unwrap(), path)),
            _ => {}
        }
    }
}

fn is_at(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(&template).all(|(have, want)| have == want || want.starts_with('{'))
}

fn resolved<'a>(described: &'a Value, node: &'a Value) -> &'a Value {
    let target = node["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.map_or(node, |target| described.pointer(target).unwrap())
}

fn check(described: &Value, schema: &Value, found: &Value, place: &str) {
    let schema = resolved(described, schema);
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(found), "{place}: {found} is none of {values:?}");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&kind.into()), "{place}: {found} is no {types:?}");
    found.as_array().into_iter().flatten().for_each(|item| check(described, &schema["items"], item, place));
    if let (Some(members), Some(known)) = (found.as_object(), schema["properties"].as_object()) {
        check_members(described, schema, known, members, place);
    }
}

fn check_members(
    described: &Value,
    schema: &Value,
    known: &Map<String, Value>,
    found: &Map<String, Value>,
    place: &str,
) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(found.contains_key(name), "{place}: `{name}` is missing");
    }
    for (name, value) in found {
        assert!(known.contains_key(name), "{place}: `{name}` is not described");
        check(described, &known[name], value, &format!("{place}/{name}"));
    }
}
