//! The JSON Schema of the configuration, for editors.

use super::file::Config;

/// The schema, pretty-printed, with a line break at its end.
///
/// It describes the whole interface, whatever of it this version acts on.
#[must_use]
pub fn text() -> String {
    let schema = schemars::schema_for!(Config);
    format!("{:#}\n", schema.as_value())
}
