//! `daypass config schema` and `daypass config show`

use super::Context;
use crate::cli::{ConfigVerb, Exit, Failure};
use crate::config::schema;
use crate::output::Format;

/// Prints the schema, or the configuration in effect.
pub(super) fn run(context: &Context<'_>, verb: &ConfigVerb) -> Result<Exit, Failure> {
    match verb {
        ConfigVerb::Schema => context.output.raw(schema::text().as_bytes())?,
        ConfigVerb::Show => show(context)?,
    }
    Ok(Exit::Done)
}

/// Only a configuration without errors is shown: it has no secret in it, only references.
fn show(context: &Context<'_>) -> Result<(), Failure> {
    let loaded = context.load()?;
    match context.output.format() {
        Format::Table => {
            let text = serde_saphyr::to_string(&loaded.config);
            let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
            context.output.note(&format!("# {}", loaded.source.path.display()));
            context.output.raw(text.as_bytes())?;
        }
        Format::Json | Format::Jsonl => context.output.json(&loaded.config)?,
    }
    Ok(())
}
