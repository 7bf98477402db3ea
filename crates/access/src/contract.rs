//! Contracts: the operations that an API's OpenAPI document (3.0 or 3.1) names.
//!
//! Read here: paths, methods, operation ids, tags and the base path. Not here yet: parameters, bodies and
//! responses. Nothing is fetched: a reference may only point into the same document.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::operation::{Method, NotATemplate, Operation, Router, SameRequests, Template};

/// The most operations one contract may have.
pub const OPERATIONS_MAX: usize = 20_000;

/// The most references that are followed from a path to its item.
pub const REFERENCES_MAX: usize = 16;

/// Why a document is not a contract.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContractError {
    /// Not an OpenAPI 3 document.
    #[error("this is not an OpenAPI 3.0 or 3.1 document: `openapi` is `{0}`")]
    Version(String),
    /// The version is not a text.
    #[error("`openapi` is {0} and must be a text")]
    VersionKind(String),
    /// No `paths`, or not an object.
    #[error("the document has no `paths`")]
    NoPaths,
    /// Something under `paths` has a shape it may not have.
    #[error("`{place}` is not {wanted}")]
    Shape {
        /// Where in the document.
        place: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A reference that leads out of the document, or nowhere.
    #[error("`{place}` refers to `{reference}`, which is not a path item of this document")]
    Reference {
        /// Where in the document.
        place: String,
        /// What it refers to.
        reference: String,
    },
    /// References that come back to one of themselves.
    #[error("`{place}` refers to itself, by way of `{reference}`")]
    Cycle {
        /// Where in the document.
        place: String,
        /// The reference that closes the circle.
        reference: String,
    },
    /// More than [`REFERENCES_MAX`] references in a row.
    #[error("`{0}` leads through more than 16 references")]
    TooFar(String),
    /// A reference with something of its own beside it.
    #[error("`{place}` has `{key}` beside its `$ref`, and OpenAPI does not say which of the two counts")]
    Beside {
        /// Where in the document.
        place: String,
        /// What stands there.
        key: String,
    },
    /// An address of its own for a path or an operation, where nobody said what all paths start with.
    #[error("`{place}` gives it an address of its own, and the operations of an API have one base")]
    Servers {
        /// Where in the document.
        place: String,
    },
    /// A path that is no template.
    #[error("the path `{path}` cannot be matched")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        why: NotATemplate,
    },
    /// A `*` in a path.
    #[error("the path `{0}` has a `*`, which stands for nothing in OpenAPI")]
    Wildcard(String),
    /// A method that Daypass does not forward.
    #[error("`{place}` uses the method `{method}`, which is not forwarded")]
    Method {
        /// Where in the document.
        place: String,
        /// The method.
        method: String,
    },
    /// Two operations of one name.
    #[error("two operations are named `{0}`")]
    SameName(Arc<str>),
    /// Two operations at one place.
    #[error(transparent)]
    SameRequests(#[from] SameRequests),
    /// More than [`OPERATIONS_MAX`].
    #[error("the document has more than 20000 operations")]
    TooMany,
}

/// Reads the operations of an OpenAPI document, sorted by path and method.
///
/// `base` replaces the path of every server in the document when given; without it, only the document itself may
/// have servers, and its first counts.
///
/// # Errors
/// [`ContractError`] names the place in the document that cannot be read.
pub fn operations(document: &Value, base: Option<&str>) -> Result<Vec<Operation>, ContractError> {
    let version = match document.get("openapi") {
        None => "missing",
        Some(Value::String(version)) => version,
        Some(other) => return Err(ContractError::VersionKind(other.to_string())),
    };
    if !(version.starts_with("3.0") || version.starts_with("3.1")) {
        return Err(ContractError::Version(version.to_owned()));
    }
    let stated = match base {
        Some(base) => Base::Stated(base.to_owned()),
        None => Base::FirstServer(server_path(document)),
    };
    let paths = document.get("paths").and_then(Value::as_object).ok_or(ContractError::NoPaths)?;
    let mut operations = Vec::new();
    for (path, item) in paths.iter().filter(|(path, _)| !path.starts_with("x-")) {
        let item = path_item(document, path, item)?;
        read_item(&stated, path, item, &mut operations)?;
    }
    refuse_same_names(&operations)?;
    operations.sort_by(|a, b| (a.template.as_str(), a.method).cmp(&(b.template.as_str(), b.method)));
    Router::new(&operations)?;
    Ok(operations)
}

/// What the paths of a document start with.
enum Base {
    /// Whatever its servers say.
    Stated(String),
    /// The path of its first server; no other may be named anywhere.
    FirstServer(String),
}

impl Base {
    fn path(&self) -> &str {
        match self {
            Self::Stated(path) | Self::FirstServer(path) => path,
        }
    }

    /// Refuses servers of a part of the document, unless they do not matter.
    fn check(&self, part: &Map<String, Value>, place: impl FnOnce() -> String) -> Result<(), ContractError> {
        match self {
            Self::FirstServer(_) if part.contains_key("servers") => {
                Err(ContractError::Servers { place: place() + ".servers" })
            }
            Self::FirstServer(_) | Self::Stated(_) => Ok(()),
        }
    }
}

/// The path of the first server's URL without its trailing slash; variables take their defaults.
fn server_path(document: &Value) -> String {
    let Some(server) = document.pointer("/servers/0") else {
        return String::new();
    };
    let mut url = server.get("url").and_then(Value::as_str).unwrap_or("").to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or("");
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""),
        None => &url,
    };
    path.trim_end_matches('/').to_owned()
}

fn path_item<'d>(
    document: &'d Value,
    path: &str,
    item: &'d Value,
) -> Result<&'d Map<String, Value>, ContractError> {
    let place = || format!("paths.{path}");
    let mut item = item;
    let mut followed: Vec<&str> = Vec::new();
    loop {
        let members = item.as_object();
        let members =
            members.ok_or_else(|| ContractError::Shape { place: place(), wanted: "a path item" })?;
        let Some(reference) = members.get("$ref") else {
            return Ok(members);
        };
        let reference = reference
            .as_str()
            .ok_or_else(|| ContractError::Shape { place: place() + ".$ref", wanted: "a reference" })?;
        refuse_beside(members, || followed.last().map_or_else(place, ToString::to_string))?;
        if followed.contains(&reference) {
            return Err(ContractError::Cycle { place: place(), reference: reference.to_owned() });
        }
        if followed.len() >= REFERENCES_MAX {
            return Err(ContractError::TooFar(place()));
        }
        followed.push(reference);
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        let dangling = || ContractError::Reference { place: place(), reference: reference.to_owned() };
        item = target.ok_or_else(dangling)?;
    }
}

/// What stands beside a reference and would be lost by following it. Texts and extensions change no operation.
fn refuse_beside(members: &Map<String, Value>, place: impl FnOnce() -> String) -> Result<(), ContractError> {
    let lost =
        |key: &&String| !matches!(key.as_str(), "$ref" | "summary" | "description") && !key.starts_with("x-");
    match members.keys().find(lost) {
        Some(key) => Err(ContractError::Beside { place: place(), key: key.clone() }),
        None => Ok(()),
    }
}

const NOT_METHODS: [&str; 5] = ["summary", "description", "servers", "parameters", "$ref"];

fn read_item(
    base: &Base,
    path: &str,
    item: &Map<String, Value>,
    operations: &mut Vec<Operation>,
) -> Result<(), ContractError> {
    base.check(item, || format!("paths.{path}"))?;
    let text = format!("{}{path}", base.path());
    if has_wildcard(&text) {
        return Err(ContractError::Wildcard(text));
    }
    let template: Template = text.parse().map_err(|why| ContractError::Path { path: text.clone(), why })?;
    for (key, operation) in item.iter().filter(|(key, _)| !key.starts_with("x-")) {
        let place = || format!("paths.{path}.{key}");
        if NOT_METHODS.contains(&key.as_str()) {
            continue;
        }
        // TRACE is never forwarded; a contract that lists it gains nothing by it.
        if key == "trace" {
            continue;
        }
        let method =
            Method::parse(&key.to_ascii_uppercase()).filter(|_| key.bytes().all(|b| b.is_ascii_lowercase()));
        let method = method.ok_or_else(|| ContractError::Method { place: place(), method: key.clone() })?;
        let operation = operation
            .as_object()
            .ok_or_else(|| ContractError::Shape { place: place(), wanted: "an operation" })?;
        base.check(operation, place)?;
        if operations.len() >= OPERATIONS_MAX {
            return Err(ContractError::TooMany);
        }
        operations.push(read_operation(method, &template, operation));
    }
    Ok(())
}

/// Templates of rules take `*`; taken over from a contract, it would open paths that the contract does not name.
fn has_wildcard(path: &str) -> bool {
    let mut rest = path;
    while let Some((literal, place)) = rest.split_once('{') {
        if literal.contains('*') {
            return true;
        }
        rest = place.split_once('}').map_or("", |(_, after)| after);
    }
    rest.contains('*')
}

fn read_operation(method: Method, template: &Template, operation: &Map<String, Value>) -> Operation {
    let id = operation.get("operationId").and_then(Value::as_str).filter(|id| !id.is_empty());
    let name = id.map_or_else(|| format!("{method} {template}").into(), Into::into);
    let tags = operation.get("tags").and_then(Value::as_array).into_iter().flatten();
    let tags = tags.filter_map(Value::as_str).map(Into::into).collect();
    Operation { name, method, template: template.clone(), tags }
}

fn refuse_same_names(operations: &[Operation]) -> Result<(), ContractError> {
    let mut names = BTreeSet::new();
    match operations.iter().find(|operation| !names.insert(&operation.name)) {
        Some(twice) => Err(ContractError::SameName(twice.name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(document: &Value, base: Option<&str>) -> Result<Vec<String>, ContractError> {
        let operations = operations(document, base)?;
        Ok(operations.iter().map(|op| format!("{} = {} {}", op.name, op.method, op.template)).collect())
    }

    #[test]
    fn operations_carry_the_base_of_the_first_server() {
        let mut document = json!({
            "openapi": "3.1.0",
            "servers": [{"url": "https://{host}/shop/{version}/", "variables": {"version": {"default": "v1"}}}],
            "paths": {"/orders/{id}": {
                "parameters": [], "get": {"operationId": "getOrder", "tags": ["reading"]}, "delete": {}
            }}
        });
        let expected = [
            "getOrder = GET /shop/v1/orders/{id}",
            "DELETE /shop/v1/orders/{id} = DELETE /shop/v1/orders/{id}",
        ];
        assert_eq!(names(&document, None).unwrap(), expected);
        assert_eq!(names(&document, Some("")).unwrap()[0], "getOrder = GET /orders/{id}");
        document["servers"] = json!([{"url": "/"}]);
        assert_eq!(names(&document, None).unwrap()[0], "getOrder = GET /orders/{id}");
    }

    #[test]
    fn a_path_or_an_operation_has_no_server_of_its_own_unless_the_base_is_stated() {
        for (item, place) in [
            (json!({"servers": [{"url": "/v2"}], "get": {"operationId": "a"}}), "paths./a.servers"),
            (json!({"get": {"operationId": "a", "servers": [{"url": "/v2"}]}}), "paths./a.get.servers"),
        ] {
            let document = json!({"openapi": "3.0.3", "servers": [{"url": "/v1"}], "paths": {"/a": item}});
            let error = names(&document, None).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{place}` gives it an address of its own")), "{error}");
            assert_eq!(names(&document, Some("/v2")).unwrap(), ["a = GET /v2/a"]);
        }
    }

    #[test]
    fn references_are_followed_to_their_end() {
        let document = json!({
            "openapi": "3.1.0",
            "paths": {"/a": {"$ref": "#/components/pathItems/one", "summary": "A"}},
            "components": {"pathItems": {
                "one": {"$ref": "#/components/pathItems/two"},
                "two": {"get": {"operationId": "a"}},
            }},
        });
        assert_eq!(names(&document, None).unwrap(), ["a = GET /a"]);
    }

    #[test]
    fn references_that_lead_nowhere_or_too_far_are_refused() {
        let with = |path: Value, items: Value| {
            let document = json!({"openapi": "3.1.0", "paths": {"/a": path}, "items": items});
            names(&document, None).map_err(|error| error.to_string())
        };
        let to = |item: &str| json!({"$ref": format!("#/items/{item}")});
        let error = with(to("b"), json!({"b": to("c"), "c": to("b")})).unwrap_err();
        assert_eq!(error, "`paths./a` refers to itself, by way of `#/items/b`");
        let beside = "has `get` beside its `$ref`, and OpenAPI does not say which of the two counts";
        let error = with(json!({"$ref": "#/items/b", "get": {}}), json!({"b": {"post": {}}})).unwrap_err();
        assert!(error.starts_with(&format!("`paths./a` {beside}")), "{error}");
        let chained = json!({"b": {"$ref": "#/items/c", "get": {}}, "c": {}});
        let error = with(to("b"), chained).unwrap_err();
        assert!(error.starts_with(&format!("`#/items/b` {beside}")), "{error}");
        let chain = |length: usize| {
            let mut items = Map::new();
            for place in 1..length {
                items.insert(place.to_string(), to(&(place + 1).to_string()));
            }
            items.insert(length.to_string(), json!({"get": {}}));
            with(to("1"), items.into())
        };
        assert_eq!(chain(REFERENCES_MAX).unwrap(), ["GET /a = GET /a"]);
        assert_eq!(
            chain(REFERENCES_MAX + 1).unwrap_err(),
            "`paths./a` leads through more than 16 references"
        );
    }

    #[test]
    fn documents_that_mean_two_things_are_refused() {
        let with = |paths: Value| json!({"openapi": "3.0.3", "paths": paths});
        for (document, error) in [
            (json!({"swagger": "2.0"}), "this is not an OpenAPI 3.0 or 3.1 document: `openapi` is `missing`"),
            (json!({"openapi": "3.1.0"}), "the document has no `paths`"),
            (
                with(json!({"/a": {"get": {"operationId": "x"}}, "/b": {"get": {"operationId": "x"}}})),
                "two operations are named `x`",
            ),
            (
                with(json!({"/a/{x}": {"get": {}}, "/a/{y}": {"get": {}}})),
                "the operations `GET /a/{x}` and `GET /a/{y}` answer the same method and path",
            ),
            (
                with(json!({"/a": {"$ref": "https://example.com/a.yaml"}})),
                "`paths./a` refers to `https://example.com/a.yaml`, which is not a path item of this document",
            ),
            (
                with(json!({"/a": {"frobnicate": {}}})),
                "`paths./a.frobnicate` uses the method `frobnicate`, which is not forwarded",
            ),
            (json!({"openapi": 3.1, "paths": {}}), "`openapi` is 3.1 and must be a text"),
            (
                with(json!({"/a/**": {"get": {}}})),
                "the path `/a/**` has a `*`, which stands for nothing in OpenAPI",
            ),
            (
                with(json!({"/a/{b}/*": {"get": {}}})),
                "the path `/a/{b}/*` has a `*`, which stands for nothing in OpenAPI",
            ),
            (with(json!({"/a": []})), "`paths./a` is not a path item"),
            (with(json!({"a": {}})), "the path `a` cannot be matched"),
        ] {
            assert_eq!(names(&document, None).unwrap_err().to_string(), error);
        }
    }
}
