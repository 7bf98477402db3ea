//! Rows of the journal, from what `daypass audit search -o jsonl` prints.

use anyhow::{Context, Result};

use crate::json::{Value, fields};

/// The columns that a crash is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) node: String,
    pub(crate) leaf: u64,
    /// Of the ledger, as the request was decided.
    pub(crate) revision: u64,
    pub(crate) decision: String,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Option<String>,
}

impl Row {
    /// The row on this line. Fails when a column is missing or is of another kind.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let fields = Fields(fields(line)?);
        Ok(Self {
            id: fields.required("id")?,
            node: fields.required("node")?,
            leaf: fields.required("leaf")?.parse().context("`leaf` is no number")?,
            revision: fields.required("revision")?.parse().context("`revision` is no number")?,
            decision: fields.required("decision")?,
            status: fields
                .optional("status")?
                .map(|status| status.parse())
                .transpose()
                .context("`status` is no number")?,
            outcome: fields.optional("outcome")?,
        })
    }
}

struct Fields(Vec<(String, Value)>);

impl Fields {
    /// The text of a column that is there and not null.
    fn required(&self, name: &str) -> Result<String> {
        self.optional(name)?.with_context(|| format!("`{name}` is null"))
    }

    /// The text of a column that is there; nothing when it is null. A missing column is an error:
    /// the interface names them all.
    fn optional(&self, name: &str) -> Result<Option<String>> {
        let found = self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        match found.with_context(|| format!("no column `{name}`"))? {
            Value::Null => Ok(None),
            Value::Text(text) | Value::Plain(text) => Ok(Some(text.clone())),
            Value::Nested => anyhow::bail!("`{name}` is nested"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_whatever_else_they_hold() {
        let open = r#"{"id":"a","node":"n1","leaf":7,"revision":1,"time":"2026-01-01T00:00:00Z","decision":"allow","status":null,"outcome":null}"#;
        let row = Row::parse(open).unwrap();
        assert_eq!((row.leaf, row.status, row.outcome), (7, None, None));
        let refused = r#"{"id":"b","node":"n1","leaf":8,"revision":1,"decision":"refuse","status":403,"outcome":"refused","more":[1]}"#;
        let row = Row::parse(refused).unwrap();
        assert_eq!((row.leaf, row.status, row.outcome.as_deref()), (8, Some(403), Some("refused")));
    }

    #[test]
    fn a_row_without_a_column_is_an_error_that_names_it() {
        let error = Row::parse("{\"id\":\"a\"}").unwrap_err();
        assert_eq!(format!("{error:#}"), "no column `node`");
    }
}
