//! From a contract's file to the operations it names.

use std::path::Path;

use access::contract::{ContractError, operations};
use access::operation::Operation;
use serde_json::Value;

use super::read;

/// The longest contract, in bytes.
pub const CONTRACT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How deep a contract may be nested.
const DEPTH_MAX: usize = 128;

/// Values, and parser events, in the largest contract. The 16 MiB of input bound them already.
const NODES_MAX: usize = 4_000_000;

/// Why a file gives no operations, in a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{says}")]
pub struct NotAContract {
    says: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl NotAContract {
    const fn new(says: String) -> Self {
        Self { says, advice: "name an OpenAPI 3.0 or 3.1 document; its path starts at this file's directory" }
    }
}

/// Reads the contract at `written`, a path from `directory`, in YAML or JSON. Nothing it refers to is read
/// or fetched.
///
/// # Errors
/// [`NotAContract`] if the file cannot be read, is longer than [`CONTRACT_BYTES_MAX`], or is no contract.
pub fn read_operations(
    directory: &Path,
    written: &str,
    base: Option<&str>,
) -> Result<Vec<Operation>, NotAContract> {
    let says = |why: String| NotAContract::new(format!("the contract `{written}` {why}"));
    let bytes = super::read_bounded(&directory.join(written), CONTRACT_BYTES_MAX)
        .map_err(|error| says(format!("cannot be read: {error}")))?
        .ok_or_else(|| says("is longer than 16 MiB".to_owned()))?;
    let document = parse(&bytes).map_err(|why| says(format!("is wrong {why}")))?;
    operations(&document, base).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let unfit = says(format!("cannot be used: {error}{}", cause.unwrap_or_default()));
        NotAContract { advice: advice(&error).unwrap_or(unfit.advice), ..unfit }
    })
}

/// What to do, where that is not to name another document.
const fn advice(error: &ContractError) -> Option<&'static str> {
    match error {
        ContractError::SameName(_) => Some("give each operation in it an `operationId` of its own"),
        ContractError::SameRequests(_) => Some("keep one of them in the contract"),
        ContractError::VersionKind(_) => Some("put the version in quotes, like `openapi: \"3.1.0\"`"),
        ContractError::Wildcard(_) => {
            Some("write the place as `{name}`; for paths below it, leave it out and use `unlisted: allow`")
        }
        ContractError::Servers { .. } => Some(
            "say with `base:` what the paths of this API start with, or make an API of its own of what runs elsewhere",
        ),
        ContractError::Beside { .. } => {
            Some("move it to what the reference leads to, or write the path without `$ref`")
        }
        ContractError::Reference { .. } | ContractError::Cycle { .. } | ContractError::TooFar(_) => {
            Some("let it lead to a path item in the same document")
        }
        ContractError::Path { .. } => {
            Some("write the path with literals as they are matched, and `{name}` for what varies")
        }
        ContractError::Version(_)
        | ContractError::NoPaths
        | ContractError::Shape { .. }
        | ContractError::Method { .. }
        | ContractError::TooMany => None,
    }
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
        },
    };
    serde_saphyr::from_slice_with_options(bytes, options).map_err(|error| {
        let finding = read::finding(&error);
        format!("at line {}, column {}: {}", finding.place.line, finding.place.column, finding.says)
    })
}
