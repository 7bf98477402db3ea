//! The process environment, as one value that is passed to whoever may read it.

use std::collections::BTreeMap;
use std::env::VarError;

use access::{Clock as _, Timestamp};

use crate::node::clock::SystemClock;

/// Where `env:NAME` references and `DAYPASS_*` settings come from.
#[derive(Debug, Clone)]
pub struct Environment(Source);

#[derive(Debug, Clone)]
enum Source {
    Process,
    Fixed(BTreeMap<String, String>),
}

impl Environment {
    /// The environment of this process, read afresh at every question.
    #[must_use]
    pub const fn process() -> Self {
        Self(Source::Process)
    }

    /// An environment of these variables only.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(Source::Fixed(owned.into()))
    }

    /// The value of a variable; `None` if it is not set, empty, or not Unicode.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// Whether a variable is set, if only to nothing.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The present, by which certificates are judged.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        SystemClock::start().now()
    }

    fn value(&self, name: &str) -> Option<String> {
        match &self.0 {
            Source::Process => process_variable(name),
            Source::Fixed(variables) => variables.get(name).cloned(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the binary reads its environment")]
fn process_variable(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value),
        Err(VarError::NotPresent) => None,
        // Set, and as good as to nothing.
        Err(VarError::NotUnicode(_)) => Some(String::new()),
    }
}
