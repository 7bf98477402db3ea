//! A second opinion: who may do what, worked out naively from the words of the configuration.
//!
//! Nothing here is shared with the code under test: rules are text, contracts are read line by line, and each
//! question goes through all of it again.

use std::collections::BTreeMap;

/// What a configuration says, in its own words.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Roles by name: what is allowed, and what is denied.
    pub roles: BTreeMap<String, Role>,
    /// What the contract of each API names; `None` without a contract.
    pub apis: BTreeMap<String, Option<Vec<Operation>>>,
}

/// A role as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// `allow:`.
    pub allow: Vec<String>,
    /// `deny:`.
    pub deny: Vec<String>,
}

/// One operation of a contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// Its `operationId`.
    pub id: String,
    /// Its method, in upper case.
    pub method: String,
    /// Its path template.
    pub template: String,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Operation {
    /// A path that it answers.
    #[must_use]
    pub fn example(&self) -> String {
        let segment =
            |segment: &str| if segment.starts_with('{') { "7".to_owned() } else { segment.to_owned() };
        self.template.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}

/// The operations of a contract in plain block YAML, two spaces a level, as the sample API's is.
#[must_use]
pub fn operations(contract: &str) -> Vec<Operation> {
    let mut found: Vec<Operation> = Vec::new();
    let (mut template, mut method) = (String::new(), String::new());
    for line in contract.lines().skip_while(|line| *line != "paths:") {
        let text = line.trim();
        match line.len() - line.trim_start().len() {
            0 if line.ends_with(':') && line != "paths:" => break,
            2 => template = text.trim_end_matches(':').to_owned(),
            4 => method = text.trim_end_matches(':').to_uppercase(),
            6 => match text.split_once(": ") {
                Some(("operationId", id)) => found.push(Operation {
                    id: id.to_owned(),
                    method: method.clone(),
                    template: template.clone(),
                    tags: Vec::new(),
                }),
                Some(("tags", tags)) => {
                    let tags = tags.trim_matches(['[', ']']).split(", ").map(str::to_owned);
                    found.last_mut().into_iter().for_each(|operation| operation.tags.extend(tags.clone()));
                }
                _ => {}
            },
            _ => {}
        }
    }
    found
}

impl Policy {
    /// Whether a credential with these roles, narrowed to `only` unless that is empty, may do this.
    #[must_use]
    pub fn allows(&self, roles: &[String], only: &[String], api: &str, method: &str, path: &str) -> bool {
        let Some(contract) = self.apis.get(api) else { return false };
        let operation = contract
            .iter()
            .flatten()
            .find(|operation| same_method(&operation.method, method) && covers(&operation.template, path));
        if contract.is_some() && operation.is_none() {
            return false;
        }
        if !only.is_empty() && !only.iter().any(|only| speaks_of_path(only, method, path)) {
            return false;
        }
        let says = |rules: &[String]| rules.iter().any(|rule| speaks_of(rule, api, method, path, operation));
        let held: Vec<&Role> = roles.iter().filter_map(|role| self.roles.get(role)).collect();
        !held.iter().any(|role| says(&role.deny)) && held.iter().any(|role| says(&role.allow))
    }
}

/// `GET` operations answer `HEAD` too.
fn same_method(own: &str, asked: &str) -> bool {
    own == asked || (own == "GET" && asked == "HEAD")
}

fn speaks_of(rule: &str, api: &str, method: &str, path: &str, operation: Option<&Operation>) -> bool {
    let Some((about, what)) = rule.split_once(':') else { return false };
    let safe = ["GET", "HEAD", "OPTIONS"].contains(&method);
    about == api
        && match what {
            "read" => safe,
            "write" => !safe,
            "all" => true,
            _ if what.contains(' ') => speaks_of_path(what, method, path),
            _ => match what.strip_prefix("tag:") {
                Some(tag) => operation.is_some_and(|operation| operation.tags.iter().any(|own| own == tag)),
                None => operation.is_some_and(|operation| operation.id == what),
            },
        }
}

fn speaks_of_path(rule: &str, method: &str, path: &str) -> bool {
    let Some((methods, template)) = rule.split_once(' ') else { return false };
    (methods == "*" || methods.split(',').any(|own| same_method(own, method))) && covers(template, path)
}

fn covers(template: &str, path: &str) -> bool {
    let (template, rest) = match template.strip_suffix("/**") {
        Some(front) => (front, true),
        None => (template, false),
    };
    let wanted: Vec<&str> = template.split('/').collect();
    let found: Vec<&str> = path.split('/').collect();
    let long_enough = if rest { found.len() >= wanted.len() } else { found.len() == wanted.len() };
    let fits = |(wanted, found): (&&str, &&str)| {
        let any = *wanted == "*" || (wanted.starts_with('{') && wanted.ends_with('}'));
        if any { !found.is_empty() } else { wanted == found }
    };
    long_enough && wanted.iter().zip(&found).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_opinion_reads_the_contract_and_the_rules() {
        let listed = operations(daypass::demo::orders::CONTRACT);
        let known: Vec<(&str, &str, &str)> =
            listed.iter().map(|known| (&*known.method, &*known.template, &*known.id)).collect();
        let own = daypass::demo::orders::operations();
        assert_eq!(known.len(), own.len());
        for own in own {
            assert!(known.contains(&(own.method, own.template, own.id)), "{own:?}");
        }
        assert!(listed.iter().all(|operation| !operation.tags.is_empty()));
    }

    #[test]
    fn rules_mean_what_the_interface_says() {
        for (rule, method, path, expected) in [
            ("a:read", "HEAD", "/x", true),
            ("a:read", "POST", "/x", false),
            ("a:write", "DELETE", "/x", true),
            ("b:all", "GET", "/x", false),
            ("a:GET /x/{id}", "HEAD", "/x/7", true),
            ("a:HEAD /x/{id}", "GET", "/x/7", false),
            ("a:GET /x/*", "GET", "/x/", false),
            ("a:GET /x/*", "GET", "/x/7/y", false),
            ("a:GET,POST /x", "POST", "/x", true),
            ("a:* /x/**", "PUT", "/x", true),
            ("a:* /x/**", "PUT", "/x/a/b", true),
            ("a:* /x/**", "PUT", "/xy", false),
            ("a:GET /x", "GET", "/x/", false),
        ] {
            assert_eq!(speaks_of(rule, "a", method, path, None), expected, "{rule} {method} {path}");
        }
    }
}
