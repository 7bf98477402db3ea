//! From text to [`Config`], and from the YAML reader's errors to findings.

use std::path::PathBuf;

use admin::near::{listed, nearest};
use serde_saphyr::{DuplicateKeyPolicy, Error, MessageFormatter as _, UserMessageFormatter};

use super::file::Config;
use super::finding::{Finding, Report, Source};
use super::place::Place;

/// How deep a configuration may be nested.
const DEPTH_MAX: usize = 32;

/// Reads a configuration; the first thing wrong with its shape ends it.
pub(super) fn read(source: &Source) -> Result<Config, Report> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::Error,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: 100_000, max_aliases: 1_000 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    };
    serde_saphyr::from_str_with_options(&source.text, options).map_err(|error| {
        let mut report = Report::new(source.clone());
        report.add(finding(&error));
        report
    })
}

/// The data directory of a file whose other keys are wrong: what `data` says, else the default.
pub(super) fn data_alone(source: &Source) -> Option<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Alone {
        data: Option<String>,
    }
    let alone: Alone = serde_saphyr::from_str(&source.text).ok()?;
    Some(alone.data.unwrap_or_else(|| "./daypass-data".to_owned()).into())
}

/// An error of the YAML reader as a finding.
pub(super) fn finding(error: &Error) -> Finding {
    let error = error.without_snippet();
    let place = error.location().map_or(Place::FILE, Place::of);
    let (says, advice) = match error {
        Error::AliasError { error, .. } => explain(error.without_snippet()),
        error => explain(error),
    };
    Finding { place, says, advice }
}

fn explain(error: &Error) -> (String, String) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), suggest(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("`{variant}` is not a choice here"), suggest(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => {
            (format!("`{field}` is missing here"), format!("add `{field}:`"))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            (format!("the key `{key}` stands twice"), "keep one of them".to_owned())
        }
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            ("only one key may stand here".to_owned(), "keep one of them".to_owned())
        }
        Error::NullIntoString { .. } => {
            ("a value is missing here".to_owned(), "write one, or remove the key".to_owned())
        }
        Error::Unexpected { expected, .. } => unexpected(expected),
        Error::InvalidScalar { .. } | Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. } => {
            ("a whole number is expected here".to_owned(), "write digits only, like `100`".to_owned())
        }
        Error::UnknownAnchor { .. } => (
            "nothing in the file is named by this `*`".to_owned(),
            "mark the first place with `&name`, or put a text that starts with `*` in quotes".to_owned(),
        ),
        Error::MultipleDocuments { .. } => (
            "a second document starts here".to_owned(),
            "keep one document in the file: remove the `---`".to_owned(),
        ),
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } => (
            "this is larger or deeper than a configuration may be".to_owned(),
            format!("keep within {DEPTH_MAX} levels, 100000 values and 1000 aliases"),
        ),
        other => general(other),
    }
}

fn unexpected(expected: &str) -> (String, String) {
    let (says, advice) = match expected {
        "mapping start" => ("keys with values are expected here", "write `key: value` lines below, or `{}`"),
        "sequence start" => ("a list is expected here", "write it in brackets, like `[one, two]`"),
        "string scalar" => ("a single value is expected here", "write one text, not a list or keys"),
        other => {
            let advice = "see `daypass config schema` for what belongs here";
            return (format!("{other} is expected here"), advice.to_owned());
        }
    };
    (says.to_owned(), advice.to_owned())
}

fn general(error: &Error) -> (String, String) {
    let says = UserMessageFormatter.format_message(error).into_owned();
    let advice =
        "check quotes, brackets and indentation at this place; `daypass config schema` has every key";
    (says, advice.to_owned())
}

fn suggest(found: &str, known: &[&'static str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use {}", listed(known.iter().copied())),
    }
}
