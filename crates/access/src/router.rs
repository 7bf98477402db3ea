//! From a method and a canonical path to the operation that a contract names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::operation::{Method, Operation, OperationIndex};
use crate::template::{Segment, Template};

/// From method and path to the operation: one look-up per segment.
#[derive(Debug, Default)]
pub struct Router {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, usize>,
    around: Vec<(Segment, usize)>,
    any: Option<usize>,
    methods: BTreeMap<Method, OperationIndex>,
}

/// Two operations of one contract answer the same requests.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the operations `{first}` and `{second}` answer the same method and path")]
pub struct SameRequests {
    /// The one that came first.
    pub first: Arc<str>,
    /// The one that came after it.
    pub second: Arc<str>,
}

impl Router {
    /// An index over `operations`.
    ///
    /// # Errors
    /// When two operations answer the same method at the same template.
    pub fn new(operations: &[Operation]) -> Result<Self, SameRequests> {
        let mut router = Self { nodes: vec![Node::default()] };
        for (index, operation) in operations.iter().enumerate() {
            let node = router.reach(&operation.template);
            let taken =
                router.nodes.get_mut(node).and_then(|node| node.methods.insert(operation.method, index));
            if let Some(first) = taken.and_then(|first| operations.get(first)) {
                return Err(SameRequests { first: first.name.clone(), second: operation.name.clone() });
            }
        }
        Ok(router)
    }

    /// The operation that answers `method` at a canonical `path`; `HEAD` falls back to `GET`.
    ///
    /// Literal segments go before templated ones (OpenAPI 3.1, section 4.8.8.2); the path is settled before
    /// the method, so a concrete path never falls back to a templated one for a method it lacks.
    #[must_use]
    pub fn find(&self, method: Method, path: &str) -> Option<OperationIndex> {
        let segments = path.strip_prefix('/')?.split('/');
        let node = self.walk(0, segments)?;
        let methods = &self.nodes.get(node)?.methods;
        methods.get(&method).or_else(|| methods.get(&Method::Get).filter(|_| method == Method::Head)).copied()
    }

    fn reach(&mut self, template: &Template) -> usize {
        template.segments.iter().fold(0, |node, segment| self.child(node, segment))
    }

    fn child(&mut self, node: usize, segment: &Segment) -> usize {
        let fresh = self.nodes.len();
        let Some(here) = self.nodes.get_mut(node) else {
            return 0;
        };
        let child = match segment {
            Segment::Literal(literal) => *here.literals.entry(literal.clone()).or_insert(fresh),
            Segment::Any => *here.any.get_or_insert(fresh),
            Segment::Around(_) => match here.around.iter().find(|(known, _)| known == segment) {
                Some((_, child)) => *child,
                None => {
                    here.around.push((segment.clone(), fresh));
                    fresh
                }
            },
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Depth first, most concrete first. Bounded: each step goes one level down a tree of at most
    /// [`Template::SEGMENTS_MAX`] levels, whatever the length of the path.
    fn walk<'p>(&self, from: usize, mut rest: impl Iterator<Item = &'p str> + Clone) -> Option<usize> {
        let mut open: Vec<(usize, _)> = Vec::new();
        let mut node = from;
        loop {
            let Some(segment) = rest.next() else {
                match self.nodes.get(node) {
                    Some(here) if !here.methods.is_empty() => return Some(node),
                    _ => (node, rest) = open.pop()?,
                }
                continue;
            };
            let here = self.nodes.get(node)?;
            let any = here.any.filter(|_| !segment.is_empty()).map(|child| (child, rest.clone()));
            let around = here.around.iter().rev().filter(|(pattern, _)| pattern.matches(segment));
            open.extend(any);
            open.extend(around.map(|(_, child)| (*child, rest.clone())));
            match here.literals.get(segment) {
                Some(child) => node = *child,
                None => (node, rest) = open.pop()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    fn router(templates: &[(Method, &str)]) -> (Vec<Operation>, Router) {
        let operations: Vec<_> = templates
            .iter()
            .map(|(method, text)| Operation {
                name: format!("{method} {text}").into(),
                method: *method,
                template: template(text),
                tags: Vec::new(),
            })
            .collect();
        let router = Router::new(&operations).unwrap();
        (operations, router)
    }

    #[test]
    fn concrete_paths_go_before_templated_ones() {
        let (operations, router) = router(&[
            (Method::Get, "/orders/{id}"),
            (Method::Delete, "/orders/{id}"),
            (Method::Get, "/orders/mine"),
            (Method::Get, "/orders/{id}/items"),
            (Method::Get, "/orders/{id}:cancel"),
        ]);
        let find = |method, path| router.find(method, path).map(|index| operations[index].name.to_string());
        assert_eq!(find(Method::Get, "/orders/7").as_deref(), Some("GET /orders/{id}"));
        assert_eq!(find(Method::Get, "/orders/mine").as_deref(), Some("GET /orders/mine"));
        assert_eq!(find(Method::Get, "/orders/mine/items").as_deref(), Some("GET /orders/{id}/items"));
        assert_eq!(find(Method::Get, "/orders/7:cancel").as_deref(), Some("GET /orders/{id}:cancel"));
        assert_eq!(find(Method::Head, "/orders/7").as_deref(), Some("GET /orders/{id}"));
        assert_eq!(find(Method::Delete, "/orders/mine"), None, "the path is settled before the method");
        assert_eq!(find(Method::Get, "/orders/7/"), None);
        assert_eq!(find(Method::Get, "/orders"), None);
    }

    #[test]
    fn two_operations_cannot_answer_the_same_requests() {
        let operations = ["/a/{x}", "/a/{y}"].map(|text| Operation {
            name: text.into(),
            method: Method::Get,
            template: template(text),
            tags: Vec::new(),
        });
        assert!(Router::new(&operations).is_err());
    }

    fn any_path() -> impl Strategy<Value = String> {
        let segment =
            prop_oneof![Just("a"), Just("b"), Just("c"), Just("a-b"), Just("c-d-e"), Just("-"), Just("")];
        proptest::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_of_the_list_finds(
            templates in proptest::collection::btree_set("/(a|b|\\{x\\})(/(a|b|\\{x\\})){0,2}", 1..8), path in any_path()
        ) {
            let listed: Vec<_> = templates.iter().map(|text| (Method::Get, text.as_str())).collect();
            let (operations, router) = router(&listed);
            let found = router.find(Method::Get, &path);
            let matching = operations.iter().any(|operation| operation.template.matches(&path));
            prop_assert_eq!(found.is_some(), matching);
            if let Some(index) = found {
                prop_assert!(operations[index].template.matches(&path));
            }
        }
    }
}
