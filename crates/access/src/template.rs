//! Path templates: `/v1/orders/{id}`, `/v1/*/items`, `/v1/**`, of rules and of contracts alike.
//!
//! Matching is on canonical paths (see `canonical`), case-sensitive and whole; a trailing slash makes another
//! path. A template whose literal parts could never match is refused when it is read.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::canonical::Target;
use crate::quirk::Quirks;

/// A path with places to fill: `/v1/orders/{id}`, `/v1/*/items`, `/v1/**`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    text: Arc<str>,
    pub(crate) segments: Vec<Segment>,
    tail: Tail,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
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
    /// A literal part that is spelled otherwise in canonical paths.
    #[error(
        "the template `{text}` can never match: `{written}` is spelled `{canonical}` in the paths that are matched"
    )]
    Spelling {
        /// The template.
        text: String,
        /// The part.
        written: String,
        /// What stands for it in a path.
        canonical: String,
    },
    /// More than [`Template::SEGMENTS_MAX`] segments.
    #[error("the template `{0}` has more than 64 segments")]
    TooLong(String),
}

impl Template {
    /// The most segments a template may have.
    pub const SEGMENTS_MAX: usize = 64;

    /// `/`.
    pub(crate) fn root() -> Self {
        Self { text: "/".into(), segments: vec![Segment::Literal("".into())], tail: Tail::Exact }
    }

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What a path must have that readers differ about for the template to cover it.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        let literals = self.segments.iter().flat_map(Segment::literals);
        let spelled: Vec<_> = literals.map(|literal| format!("/x{literal}")).collect();
        let targets = spelled.iter().filter_map(|path| Target::parse(path, None).ok());
        Quirks::of(targets.flat_map(|target| target.quirks().iter()))
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
        long_enough && self.segments.iter().zip(&other.segments).all(|(mine, theirs)| mine.covers(theirs))
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
        lengths_meet && self.segments.iter().zip(&other.segments).all(|(mine, theirs)| mine.overlaps(theirs))
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

    pub(crate) fn matches(&self, text: &str) -> bool {
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
        let path = text.strip_prefix('/').ok_or_else(|| NotATemplate::Form(text.to_owned()))?;
        let mut parts: Vec<&str> = path.split('/').collect();
        let tail = if parts.last() == Some(&"**") { Tail::Rest } else { Tail::Exact };
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
        Ok(Self { text: text.into(), segments, tail })
    }
}

/// A literal that is not in canonical form would never match, so a `deny` with it would deny nothing.
fn refuse_unmatchable(text: &str, segments: &[Segment]) -> Result<(), NotATemplate> {
    let unmatchable = |why| Err(NotATemplate::Unmatchable { text: text.to_owned(), why });
    let inner = segments.len().saturating_sub(1);
    if segments.iter().take(inner).any(|segment| *segment == Segment::Literal("".into())) {
        return unmatchable(crate::canonical::Ambiguous::EmptySegment);
    }
    for literal in segments.iter().flat_map(Segment::literals) {
        match Target::parse(&format!("/x{literal}"), None) {
            Ok(target) if target.path().strip_prefix("/x") == Some(literal) => {}
            Ok(target) => {
                let canonical = target.path().strip_prefix("/x").unwrap_or_default().to_owned();
                let (text, written) = (text.to_owned(), literal.to_string());
                return Err(NotATemplate::Spelling { text, written, canonical });
            }
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
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
        for text in
            ["", "v1", "/v1/**/a", "/a*", "/{", "/{}", "/a}", "/a//b", "/a/../b", "/a%2fb", "/a%41", "/a b"]
        {
            assert!(text.parse::<Template>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn what_a_template_needs_of_paths_is_known() {
        for (text, expected) in
            [("/a/{b}", &[][..]), ("/{a}/b%2Fc", &["encoded_slash"]), ("/a;v={b}/**", &["parameters"])]
        {
            let needed: Vec<_> = template(text).quirks().iter().map(crate::quirk::Quirk::as_str).collect();
            assert_eq!(needed, expected, "{text}");
        }
    }

    #[test]
    fn a_part_that_is_spelled_otherwise_is_told_its_spelling() {
        for (text, expected) in [
            ("/a/b%7Ec", "`b%7Ec` is spelled `b~c`"),
            ("/a%c3%a4", "`a%c3%a4` is spelled `a%C3%A4`"),
            ("/a%zz", "the target has a `%` without two hexadecimal digits"),
        ] {
            let said = text.parse::<Template>().unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    fn any_template() -> impl Strategy<Value = Template> {
        let segment =
            prop_oneof![Just("a"), Just("b"), Just("{x}"), Just("*"), Just("{x}-{y}"), Just("a-{y}")];
        (proptest::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(segments, rest)| {
            template(&format!("/{}{}", segments.join("/"), if rest { "/**" } else { "" }))
        })
    }

    fn any_path() -> impl Strategy<Value = String> {
        let segment =
            prop_oneof![Just("a"), Just("b"), Just("c"), Just("a-b"), Just("c-d-e"), Just("-"), Just("")];
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
    }
}
