//! Operations: methods, path templates, and the index from a request to the operation it asks for.
//!
//! Matching is on canonical paths (see `canonical`), case-sensitive and whole; a trailing slash makes
//! another path. Templates of rules and of contracts are the same type.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::canonical::Target;

/// The methods that are forwarded. Others are refused before anything is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// RFC 9110, section 9.3.1.
    Get,
    /// RFC 9110, section 9.3.2.
    Head,
    /// RFC 9110, section 9.3.7.
    Options,
    /// RFC 9110, section 9.3.3.
    Post,
    /// RFC 9110, section 9.3.4.
    Put,
    /// RFC 5789.
    Patch,
    /// RFC 9110, section 9.3.5.
    Delete,
}

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
    ];

    /// The method of this name; names are case-sensitive.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it is safe in the sense of RFC 9110, section 9.2.1: what the preset `read` covers.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A path with places to fill: `/v1/orders/{id}`, `/v1/*/items`, `/v1/**`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    text: Arc<str>,
    segments: Vec<Segment>,
    tail: Tail,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    /// Exactly these bytes.
    Literal(Box<str>),
    /// Exactly one non-empty segment.
    Any,
    /// One segment made of literals around places, as in `{base}...{head}`: the literals, in order; the
    /// first is the start and the last the end of the segment, either may be empty.
    Around(Vec<Box<str>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Tail {
    Exact,
    /// `**`: any remainder, none included.
    Rest,
}

/// Why a text is not a template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotATemplate {
    /// Does not start with `/`.
    #[error("the template `{0}` does not start with `/`")]
    Form(String),
    /// `**` before the end.
    #[error("the template `{0}` has `**` before its end; it may only come last")]
    Rest(String),
    /// Braces that do not pair, are empty, or a `*` beside other characters.
    #[error("the template `{0}` has a segment that is neither a literal, `{{name}}` nor `*`")]
    Segment(String),
    /// A literal part with no canonical form.
    #[error("the template `{text}` can never match: {why}")]
    Unmatchable {
        /// The template.
        text: String,
        /// What is wrong with its literal parts.
        why: crate::canonical::Ambiguous,
    },
    /// More than [`Template::SEGMENTS_MAX`] segments.
    #[error("the template `{0}` has more than 64 segments")]
    TooLong(String),
}

impl Template {
    /// The most segments a template may have.
    pub const SEGMENTS_MAX: usize = 64;

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it covers a canonical path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/').map(|inner| Some(inner.split('/'))) else {
            return false;
        };
        for segment in &self.segments {
            let Some(text) = rest.as_mut().and_then(Iterator::next) else {
                return false;
            };
            if !segment.matches(text) {
                return false;
            }
        }
        self.tail == Tail::Rest || rest.as_mut().is_none_or(|rest| rest.next().is_none())
    }

    /// Whether it covers every path that `other` covers. Never wrongly yes; may be wrongly no for segments
    /// made of literals around places.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let long_enough = match (self.tail, other.tail) {
            (Tail::Exact, Tail::Exact) => self.segments.len() == other.segments.len(),
            (Tail::Rest, _) => self.segments.len() <= other.segments.len(),
            (Tail::Exact, Tail::Rest) => false,
        };
        long_enough
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(mine, theirs)| mine.covers(theirs))
    }

    /// Whether some path is covered by both. Never wrongly no.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.segments.len(), other.segments.len());
        let lengths_meet = match (self.tail, other.tail) {
            (Tail::Exact, Tail::Exact) => mine == theirs,
            (Tail::Rest, Tail::Exact) => mine <= theirs,
            (Tail::Exact, Tail::Rest) => theirs <= mine,
            (Tail::Rest, Tail::Rest) => true,
        };
        lengths_meet
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(mine, theirs)| mine.overlaps(theirs))
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let mut literals = vec![String::new()];
        let mut rest = text;
        while let Some((before, place)) = rest.split_once('{') {
            let (name, after) = place.split_once('}')?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return None;
            }
            literals.last_mut()?.push_str(before);
            literals.push(String::new());
            rest = after;
        }
        literals.last_mut()?.push_str(rest);
        if literals.iter().any(|literal| literal.contains(['*', '}'])) {
            return None;
        }
        Some(match literals.as_slice() {
            [only] => Self::Literal(only.as_str().into()),
            [before, after] if before.is_empty() && after.is_empty() => Self::Any,
            _ => Self::Around(literals.into_iter().map(Into::into).collect()),
        })
    }

    fn literals(&self) -> &[Box<str>] {
        match self {
            Self::Literal(literal) => std::slice::from_ref(literal),
            Self::Any => &[],
            Self::Around(literals) => literals,
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Any => !text.is_empty(),
            Self::Around(literals) => matches_around(literals, text),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Literal(literal)) => !literal.is_empty(),
            (Self::Any, _) => true,
            (mine, Self::Literal(literal)) => mine.matches(literal),
            (mine, theirs) => mine == theirs,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(literal), other) | (other, Self::Literal(literal)) => other.matches(literal),
            _ => true,
        }
    }
}

/// Whether `text` is the literals in order with at least one byte in each place between them.
fn matches_around(literals: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = literals else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(&**first) else {
        return false;
    };
    for literal in middle {
        // A place takes at least one byte, so the search starts behind the first character.
        let start = rest.chars().next().map_or(0, char::len_utf8);
        let Some(found) = rest.get(start..).and_then(|inner| inner.find(&**literal)) else {
            return false;
        };
        let Some(after) = start.checked_add(found).and_then(|at| rest.get(at..)) else {
            return false;
        };
        let Some(after) = after.strip_prefix(&**literal) else {
            return false;
        };
        rest = after;
    }
    rest.strip_suffix(&**last).is_some_and(|place| !place.is_empty())
}

impl FromStr for Template {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        let path = text
            .strip_prefix('/')
            .ok_or_else(|| NotATemplate::Form(text.to_owned()))?;
        let mut parts: Vec<&str> = path.split('/').collect();
        let tail = if parts.last() == Some(&"**") {
            Tail::Rest
        } else {
            Tail::Exact
        };
        if tail == Tail::Rest {
            parts.pop();
        }
        if parts.contains(&"**") {
            return Err(NotATemplate::Rest(text.to_owned()));
        }
        if parts.len() > Self::SEGMENTS_MAX {
            return Err(NotATemplate::TooLong(text.to_owned()));
        }
        let segments = parts
            .iter()
            .map(|part| Segment::parse(part).ok_or_else(|| NotATemplate::Segment(text.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        refuse_unmatchable(text, &segments)?;
        Ok(Self {
            text: text.into(),
            segments,
            tail,
        })
    }
}

/// A literal that is not in canonical form would never match, so a `deny` with it would deny nothing.
fn refuse_unmatchable(text: &str, segments: &[Segment]) -> Result<(), NotATemplate> {
    let unmatchable = |why| {
        Err(NotATemplate::Unmatchable {
            text: text.to_owned(),
            why,
        })
    };
    let inner = segments.len().saturating_sub(1);
    if segments
        .iter()
        .take(inner)
        .any(|segment| *segment == Segment::Literal("".into()))
    {
        return unmatchable(crate::canonical::Ambiguous::EmptySegment);
    }
    for literal in segments.iter().flat_map(Segment::literals) {
        match Target::parse(&format!("/x{literal}"), None) {
            Ok(target) if target.path().strip_prefix("/x") == Some(literal) => {}
            Ok(_) => return unmatchable(crate::canonical::Ambiguous::Escape),
            Err(why) => return unmatchable(why),
        }
    }
    let dots = |segment: &Segment| matches!(segment, Segment::Literal(text) if matches!(&**text, "." | ".."));
    if segments.iter().any(dots) {
        return unmatchable(crate::canonical::Ambiguous::DotSegment);
    }
    Ok(())
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One operation of an API, as its contract names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The `operationId`, else `METHOD template`.
    pub name: Arc<str>,
    /// The method it answers.
    pub method: Method,
    /// The path it answers at, the base of the API included.
    pub template: Template,
    /// The contract's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Box<str>>,
}

/// The place of an operation in its API's list.
pub type OperationIndex = usize;

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
        let mut router = Self {
            nodes: vec![Node::default()],
        };
        for (index, operation) in operations.iter().enumerate() {
            let node = router.reach(&operation.template);
            let taken = router
                .nodes
                .get_mut(node)
                .and_then(|node| node.methods.insert(operation.method, index));
            if let Some(first) = taken.and_then(|first| operations.get(first)) {
                return Err(SameRequests {
                    first: first.name.clone(),
                    second: operation.name.clone(),
                });
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
        methods
            .get(&method)
            .or_else(|| methods.get(&Method::Get).filter(|_| method == Method::Head))
            .copied()
    }

    fn reach(&mut self, template: &Template) -> usize {
        template
            .segments
            .iter()
            .fold(0, |node, segment| self.child(node, segment))
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
            let any = here
                .any
                .filter(|_| !segment.is_empty())
                .map(|child| (child, rest.clone()));
            let around = here
                .around
                .iter()
                .rev()
                .filter(|(pattern, _)| pattern.matches(segment));
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

    #[test]
    fn a_template_matches_whole_paths_segment_by_segment() {
        for (text, path, expected) in [
            ("/v1/orders/{id}", "/v1/orders/7", true),
            ("/v1/orders/{id}", "/v1/orders/", false),
            ("/v1/orders/{id}", "/v1/orders/7/", false),
            ("/v1/orders/{id}", "/v1/orders/7/items", false),
            ("/v1/orders/{id}", "/V1/orders/7", false),
            ("/v1/*/items", "/v1/orders/items", true),
            ("/v1/*/items", "/v1//items", false),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1/a/b", true),
            ("/v1/**", "/v10", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/v1/orders/", "/v1/orders/", true),
            ("/v1/orders/", "/v1/orders", false),
            ("/c/{a}...{b}", "/c/main...dev", true),
            ("/c/{a}...{b}", "/c/...dev", false),
            ("/c/{a}...{b}", "/c/main...", false),
            ("/o/{id}:cancel", "/o/7:cancel", true),
            ("/o/{id}:cancel", "/o/:cancel", false),
        ] {
            assert_eq!(template(text).matches(path), expected, "{text} on {path}");
        }
    }

    #[test]
    fn templates_that_could_never_match_are_refused() {
        for text in [
            "", "v1", "/v1/**/a", "/a*", "/{", "/{}", "/a}", "/a//b", "/a/../b", "/a%2Fb", "/a%41", "/a b",
            "/a;b",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text} was accepted");
        }
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
        let find = |method, path| {
            router
                .find(method, path)
                .map(|index| operations[index].name.to_string())
        };
        assert_eq!(
            find(Method::Get, "/orders/7").as_deref(),
            Some("GET /orders/{id}")
        );
        assert_eq!(
            find(Method::Get, "/orders/mine").as_deref(),
            Some("GET /orders/mine")
        );
        assert_eq!(
            find(Method::Get, "/orders/mine/items").as_deref(),
            Some("GET /orders/{id}/items")
        );
        assert_eq!(
            find(Method::Get, "/orders/7:cancel").as_deref(),
            Some("GET /orders/{id}:cancel")
        );
        assert_eq!(
            find(Method::Head, "/orders/7").as_deref(),
            Some("GET /orders/{id}")
        );
        assert_eq!(
            find(Method::Delete, "/orders/mine"),
            None,
            "the path is settled before the method"
        );
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

    fn any_template() -> impl Strategy<Value = Template> {
        let segment = prop_oneof![
            Just("a"),
            Just("b"),
            Just("{x}"),
            Just("*"),
            Just("{x}-{y}"),
            Just("a-{y}")
        ];
        (proptest::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(segments, rest)| {
            template(&format!(
                "/{}{}",
                segments.join("/"),
                if rest { "/**" } else { "" }
            ))
        })
    }

    fn any_path() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            Just("a"),
            Just("b"),
            Just("c"),
            Just("a-b"),
            Just("c-d-e"),
            Just("-"),
            Just("")
        ];
        proptest::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn who_covers_a_template_matches_all_it_matches(one in any_template(), other in any_template(), path in any_path()) {
            if one.covers(&other) && other.matches(&path) {
                prop_assert!(one.matches(&path), "{one} covers {other} but not {path}");
            }
            if one.matches(&path) && other.matches(&path) {
                prop_assert!(one.overlaps(&other), "{one} and {other} share {path}");
            }
        }

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
