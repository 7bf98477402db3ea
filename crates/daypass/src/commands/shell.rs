//! `daypass completions` and `daypass man`

use super::Context;
use crate::cli::{self, Completions, Exit, Failure, Man};

/// Prints completions for a shell.
pub(super) fn completions(context: &Context<'_>, asked: &Completions) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(asked.shell, &mut cli::command(), "daypass", &mut text);
    context.output.raw(&text)?;
    Ok(Exit::Done)
}

/// Writes a manual page for each command.
pub(super) fn man(context: &Context<'_>, asked: &Man) -> Result<Exit, Failure> {
    let directory = &asked.directory;
    clap_mangen::generate_to(cli::command(), directory).map_err(|error| {
        Failure::Failed(format!("cannot write manual pages into `{}`: {error}", directory.display()))
    })?;
    context.output.note(&format!("manual pages are in `{}`", directory.display()));
    Ok(Exit::Done)
}
