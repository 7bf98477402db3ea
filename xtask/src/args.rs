//! Command-line arguments: words, flags and `--name value` pairs, taken out one by one.
//!
//! What is left over at [`Args::finish`] is refused, so that a misspelled option is never ignored.

use std::fmt::Display;
use std::str::FromStr;

/// The arguments not yet taken.
pub(crate) struct Args {
    rest: Vec<String>,
}

/// The command was called wrongly; exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends the program with the usage exit code.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

impl Args {
    pub(crate) fn new(rest: impl Iterator<Item = String>) -> Self {
        Self { rest: rest.collect() }
    }

    /// The first remaining argument, whatever it is.
    pub(crate) fn word(&mut self) -> Option<String> {
        if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) }
    }

    /// Whether `name` was given; takes it.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let place = self.rest.iter().position(|arg| arg == name);
        place.map(|at| self.rest.remove(at)).is_some()
    }

    /// Whether help was asked for.
    pub(crate) fn help(&mut self) -> bool {
        self.flag("--help") || self.flag("-h")
    }

    /// The value of `--name VALUE` or `--name=VALUE`. Fails when it is absent or does not parse.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> anyhow::Result<Option<T>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(usage(format!("`{name}` does not take `{text}`"))),
        }
    }

    fn text(&mut self, name: &str) -> anyhow::Result<Option<String>> {
        let joined = self.rest.iter().position(|arg| split(arg, name).is_some());
        if let Some(at) = joined {
            let arg = self.rest.remove(at);
            return Ok(split(&arg, name).map(str::to_owned));
        }
        let Some(at) = self.rest.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.rest.remove(at);
        if at == self.rest.len() {
            return Err(usage(format!("`{name}` needs a value")));
        }
        Ok(Some(self.rest.remove(at)))
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(arg) => Err(usage(format!("unknown argument `{arg}`"))),
        }
    }

    /// Everything left, to pass on.
    pub(crate) fn rest(self) -> Vec<String> {
        self.rest
    }
}

fn split<'a>(arg: &'a str, name: &str) -> Option<&'a str> {
    arg.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn values_are_taken_in_both_spellings_and_nothing_is_left() {
        let mut args = args("--rounds 3 --mode=write --quick");
        assert_eq!(args.value::<u32>("--rounds").unwrap(), Some(3));
        assert_eq!(args.value::<String>("--mode").unwrap().as_deref(), Some("write"));
        assert!(args.flag("--quick"));
        args.finish().unwrap();
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_a_usage_error() {
        for line in ["--rounds", "--rounds many", "--rounds=-1"] {
            let error = args(line).value::<u32>("--rounds").unwrap_err();
            assert!(error.is::<Usage>(), "{line}");
        }
    }

    #[test]
    fn an_unknown_argument_is_refused() {
        assert!(args("--round 3").finish().unwrap_err().is::<Usage>());
    }
}
