//! Reads one flat JSON object a line, as `daypass audit search -o jsonl` prints them.
//!
//! Fields may be added over time, so nested values are stepped over and not refused (RFC 8259).
//! Not here: writing JSON, or keeping what is nested.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context, Result, bail, ensure};

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// A number, `true` or `false`, as written.
    Plain(String),
    Null,
    /// An array or object, not kept.
    Nested,
}

/// The fields of the object on this line, in their order. Fails on anything that is not an object.
pub(crate) fn fields(line: &str) -> Result<Vec<(String, Value)>> {
    let mut parser = Parser { rest: line.chars().peekable() };
    let fields = parser.object().with_context(|| format!("not a JSON object: `{}`", line.trim()))?;
    parser.blank();
    ensure!(parser.rest.next().is_none(), "more than one JSON object on a line");
    Ok(fields)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Parser<'_> {
    fn blank(&mut self) {
        while self.rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        self.blank();
        let found = self.rest.next();
        ensure!(found == Some(wanted), "expected `{wanted}`, found {found:?}");
        Ok(())
    }

    fn object(&mut self) -> Result<Vec<(String, Value)>> {
        self.expect('{')?;
        self.blank();
        let mut fields = Vec::new();
        if self.rest.next_if_eq(&'}').is_some() {
            return Ok(fields);
        }
        loop {
            self.expect('"')?;
            let name = self.text()?;
            self.expect(':')?;
            fields.push((name, self.value()?));
            self.blank();
            match self.rest.next() {
                Some(',') => {}
                Some('}') => return Ok(fields),
                other => bail!("expected `,` or `}}`, found {other:?}"),
            }
        }
    }

    fn value(&mut self) -> Result<Value> {
        self.blank();
        match self.rest.peek() {
            Some('"') => {
                self.rest.next();
                Ok(Value::Text(self.text()?))
            }
            Some('{' | '[') => self.nested(),
            _ => self.plain(),
        }
    }

    fn plain(&mut self) -> Result<Value> {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
            word.push(c);
        }
        ensure!(!word.is_empty(), "a value is missing");
        Ok(if word == "null" { Value::Null } else { Value::Plain(word) })
    }

    fn nested(&mut self) -> Result<Value> {
        let mut depth = 0_usize;
        loop {
            match self.rest.next().context("a nested value does not end")? {
                '{' | '[' => depth += 1,
                '}' | ']' => depth -= 1,
                '"' => drop(self.text()?),
                _ => {}
            }
            if depth == 0 {
                return Ok(Value::Nested);
            }
        }
    }

    /// The rest of a string, its opening quote taken.
    fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.rest.next().context("a string does not end")? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        Ok(match self.rest.next().context("an escape does not end")? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits: String = self.rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).context("not four hexadecimal digits")?;
                // Half of a surrogate pair stands for a character no rule here looks at.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_and_nested_values_are_stepped_over() {
        let line = r#" {"id":"a\"\u0041\n", "leaf": 17, "status":null, "x":{"a":[1,"}"]}, "ok":true} "#;
        let text = |text: &str| Value::Text(text.to_owned());
        let plain = |text: &str| Value::Plain(text.to_owned());
        let expected = [
            ("id", text("a\"A\n")),
            ("leaf", plain("17")),
            ("status", Value::Null),
            ("x", Value::Nested),
            ("ok", plain("true")),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(fields(line).unwrap(), expected);
        assert_eq!(fields("{}").unwrap(), []);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for line in [
            "",
            "[1]",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\" 1}",
            "{\"a\":\"x}",
            "{\"a\":[1}",
            "{} {}",
            "{\"a\":1,}",
        ] {
            assert!(fields(line).is_err(), "{line}");
        }
    }
}
