//! How commands end, and why they did not do what they were asked.

use std::io;

use crate::client::{ClientError, Problem};
use crate::config::ConfigError;

/// How a command ends: its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It could not.
    Failed = 1,
    /// It was asked wrongly, or the configuration is wrong.
    Usage = 2,
    /// It was refused.
    Refused = 3,
    /// There is no such thing.
    NotFound = 4,
    /// What was to be verified is not true.
    Unverified = 5,
    /// It waited in vain.
    TimedOut = 6,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was asked wrongly.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
    /// Its result cannot be printed.
    #[error("cannot print the result: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code that belongs to it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config(_) => Exit::Usage,
            Self::Client(error) => exit_of_client(error),
            // Who reads only the first lines of a result has what they want.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Failed(_) | Self::Output(_) => Exit::Failed,
        }
    }
}

fn exit_of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Url(_) | ClientError::Session | ClientError::NoConfiguration => Exit::Usage,
        ClientError::NotOurs(_) => Exit::Refused,
        ClientError::TimedOut(_) => Exit::TimedOut,
        ClientError::Unproven { .. } => Exit::Refused,
        ClientError::NoSocket(_) | ClientError::NobodyTrusted(_) | ClientError::Unreachable { .. } => {
            Exit::Failed
        }
        ClientError::NotDaypass { .. } | ClientError::BrokeOff { .. } | ClientError::Answer(_) => {
            Exit::Failed
        }
        ClientError::Problem(problem) => exit_of_problem(problem),
    }
}

fn exit_of_problem(problem: &Problem) -> Exit {
    match (problem.code.as_str(), problem.status) {
        ("unauthenticated" | "not_allowed", _) | (_, 401 | 403) => Exit::Refused,
        ("not_found", _) | (_, 404) => Exit::NotFound,
        ("invalid", _) | (_, 400) => Exit::Usage,
        _ => Exit::Failed,
    }
}
