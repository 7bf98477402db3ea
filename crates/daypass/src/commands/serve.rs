//! `daypass serve`

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::Context;
use crate::cli::{Exit, Failure};
use crate::config::{ConfigError, locate};

/// Runs a node until it is told to stop.
pub(super) fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    let path = locate(context.global.config.as_deref())?;
    speak(context, if context.global.quiet { "warn" } else { "info" });
    crate::serve::serve(&path).map(|()| Exit::Done).map_err(failure)
}

/// Operators' messages go to stderr; `DAYPASS_LOG` says which, like `debug` or `gateway=trace`.
pub(super) fn speak(context: &Context<'_>, usual: &str) {
    let filter = context.environment.read("DAYPASS_LOG");
    let filter = EnvFilter::builder().parse_lossy(filter.as_deref().unwrap_or(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && context.environment.read("NO_COLOR").is_none())
        .with_writer(std::io::stderr);
    // A second subscriber is one too many: the first stays.
    let _first_stays = subscriber.try_init();
}

/// A wrong configuration keeps its own text and exit code.
pub(super) fn failure(error: anyhow::Error) -> Failure {
    match error.downcast::<ConfigError>() {
        Ok(error) => Failure::Config(error),
        Err(error) => Failure::Failed(format!("{error:#}")),
    }
}
