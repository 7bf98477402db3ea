//! What a command prints: results on stdout as a table or as JSON, prose on stderr.
//!
//! Text that came from callers (paths, agents, reasons) never reaches a terminal with its control
//! characters: they are shown as escapes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::config::Environment;

/// In which form results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// One JSON value a row, each on its line.
    Jsonl,
}

/// Whether prose is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prose {
    /// It is, on stderr.
    Shown,
    /// It is not; errors are.
    Quiet,
}

/// Where a command's results and prose go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    prose: Prose,
    paint: Paint,
}

/// Whether colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Colors,
    Plain,
}

impl Output {
    /// Output in a format; colors only on a terminal, and not with `NO_COLOR` or `TERM=dumb`.
    #[must_use]
    pub fn new(format: Format, prose: Prose, environment: &Environment) -> Self {
        let dumb = environment.read("TERM").is_some_and(|term| term == "dumb");
        let wanted = environment.read("NO_COLOR").is_none() && !dumb;
        let paint = if wanted && io::stdout().is_terminal() { Paint::Colors } else { Paint::Plain };
        Self { format, prose, paint }
    }

    /// The format asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Prints a line of result.
    ///
    /// # Errors
    /// When stdout cannot be written; the same for every function here that returns one.
    pub fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// Prints text as it is.
    pub fn raw(&self, text: &[u8]) -> io::Result<()> {
        io::stdout().lock().write_all(text)
    }

    /// Prints prose on stderr, unless it should be quiet. What cannot be printed there is lost.
    pub fn note(&self, text: &str) {
        if self.prose == Prose::Shown {
            let _lost = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Prints a value as JSON on one line.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value).map_err(io::Error::other)?)
    }

    /// Prints rows: as a table of `columns`, as an array, or a row a line.
    pub fn rows(&self, columns: &[&str], rows: &Value) -> io::Result<()> {
        let list = rows.as_array().map_or(&[][..], Vec::as_slice);
        match self.format {
            Format::Json => self.json(rows),
            Format::Jsonl => list.iter().try_for_each(|row| self.json(row)),
            Format::Table if list.is_empty() => {
                self.note("none");
                Ok(())
            }
            Format::Table => self.raw(table(columns, list).as_bytes()),
        }
    }

    /// Prints one value: as a table of its `columns`, or as JSON.
    pub fn one(&self, columns: &[&str], value: &Value) -> io::Result<()> {
        match self.format {
            Format::Table => self.raw(table(columns, std::slice::from_ref(value)).as_bytes()),
            Format::Json | Format::Jsonl => self.json(value),
        }
    }

    /// Prints a secret alone for scripts to catch, and prose about it on stderr; or all of it as JSON.
    pub fn secret(&self, key: &str, value: &Value, prose: &str) -> io::Result<()> {
        match self.format {
            Format::Table => {
                self.note(prose);
                self.line(value.get(key).and_then(Value::as_str).unwrap_or_default())
            }
            Format::Json | Format::Jsonl => self.json(value),
        }
    }

    /// The text in green if it is good news, in red if it is not; plain where colors are not used.
    #[must_use]
    pub fn paint(&self, text: &str, news: News) -> String {
        match (self.paint, news) {
            (Paint::Plain, _) => text.to_owned(),
            (Paint::Colors, News::Good) => format!("\u{1b}[32m{text}\u{1b}[0m"),
            (Paint::Colors, News::Bad) => format!("\u{1b}[31m{text}\u{1b}[0m"),
        }
    }
}

/// Says on stderr why a command failed. What cannot be printed there is lost.
pub fn complain(failure: &impl std::fmt::Display) {
    let text = failure.to_string();
    let _lost = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Which color a text gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Green.
    Good,
    /// Red.
    Bad,
}

/// A table without borders, its columns named by their keys, ended by a line break.
#[must_use]
pub fn table(columns: &[&str], rows: &[Value]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|column| heading(column)));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(column, row.get(column).unwrap_or(&Value::Null))));
    }
    let lines = table.to_string();
    lines.lines().fold(String::new(), |mut text, line| {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        text.push_str(line);
        text.push('\n');
        text
    })
}

fn heading(column: &str) -> String {
    column.to_uppercase().replace('_', " ")
}

/// A value as text for people: `-` for nothing, lists with commas, no control characters.
#[must_use]
pub fn cell(column: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Number(micros) if column == "time" => time(micros.as_i64()),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(|item| cell(column, item)).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => plain(&other.to_string()),
    }
}

fn time(micros: Option<i64>) -> String {
    micros.map_or_else(|| "-".to_owned(), |micros| access::Timestamp::from_micros(micros).to_string())
}

/// Text without control characters and without marks that reorder it.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        let reorders =
            matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || reorders {
            let _infallible = write!(plain, "\\u{{{:x}}}", u32::from(letter));
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_shows_each_key_as_a_column_and_nothing_as_a_dash() {
        let rows = [
            json!({"role": "viewer", "allow": ["orders:read", "orders:write"], "rate": null}),
            json!({"role": "a-longer-name", "allow": [], "rate": "5/s"}),
        ];
        expect![[r#"
            ROLE           ALLOW                      RATE
            viewer         orders:read, orders:write  -
            a-longer-name  -                          5/s
        "#]]
        .assert_eq(&table(&["role", "allow", "rate"], &rows));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let row = json!({"path": "/a\u{1b}[2J\r\nallow \u{202e}b"});
        expect![[r#"
            PATH
            /a\u{1b}[2J\u{d}\u{a}allow \u{202e}b
        "#]]
        .assert_eq(&table(&["path"], &[row]));
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(cell("time", &json!(1_795_316_400_000_000_i64)), "2026-11-22T03:00:00.000000Z");
        assert_eq!(cell("time", &json!("2026-11-22T03:00:00Z")), "2026-11-22T03:00:00Z");
    }
}
