//! Secrets by reference: `env:NAME` and `file:PATH`.

use std::path::Path;

use access::Secret;
use zeroize::Zeroizing;

use super::Environment;

/// The longest secret in a file, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference<'t> {
    Variable(&'t str),
    File(&'t str),
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum SecretError {
    #[error("secrets are given by reference only")]
    Literal,
    #[error("the environment variable `{0}` is not set, or empty")]
    NoVariable(String),
    #[error("the file `{0}` cannot be read: {1}")]
    Unreadable(String, String),
    #[error("the file `{0}` is empty")]
    EmptyFile(String),
    #[error("the file `{0}` is longer than a secret may be, 64 KiB")]
    TooLong(String),
}

impl SecretError {
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Literal => "write `env:NAME` or `file:PATH`, and put the secret there",
            Self::NoVariable(_) => "set it where the server starts, or use `file:PATH`",
            Self::Unreadable(..) => "put the secret there, readable by the server's user",
            Self::EmptyFile(_) | Self::TooLong(_) => "put the secret there, and nothing else",
        }
    }
}

impl<'t> Reference<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, SecretError> {
        if let Some(name) = text.strip_prefix("env:").filter(|name| is_variable(name)) {
            return Ok(Self::Variable(name));
        }
        let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
        path.map(Self::File).ok_or(SecretError::Literal)
    }

    /// Reads the secret; the line break at a file's end is not part of it.
    pub(super) fn read(&self, directory: &Path, environment: &Environment) -> Result<Secret, SecretError> {
        match self {
            Self::Variable(name) => {
                let value = environment.read(name).ok_or_else(|| SecretError::NoVariable((*name).to_owned()));
                Ok(Secret::new(value?.into_bytes()))
            }
            Self::File(path) => read_file(path, &directory.join(path)),
        }
    }
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn read_file(shown: &str, path: &Path) -> Result<Secret, SecretError> {
    let shown = || shown.to_owned();
    let bytes = super::read_bounded(path, SECRET_BYTES_MAX)
        .map_err(|error| SecretError::Unreadable(shown(), error.to_string()))?;
    let bytes = Zeroizing::new(bytes.ok_or_else(|| SecretError::TooLong(shown()))?);
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.is_empty() {
        return Err(SecretError::EmptyFile(shown()));
    }
    Ok(Secret::new(secret))
}
