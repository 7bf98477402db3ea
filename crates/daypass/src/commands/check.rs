//! `daypass check`

use access::policy::Api;
use access::quirk::Quirk;
use admin::near::listed;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{Exit, Failure};
use crate::config::{ConfigError, Loaded, Report};
use crate::output::Format;

/// Checks the configuration and prints what it protects, or everything that is wrong with it.
pub(super) fn run(context: &Context<'_>) -> Result<Exit, Failure> {
    match context.load() {
        Ok(loaded) => {
            if !loaded.warnings.findings().is_empty() {
                context.output.note(loaded.warnings.to_string().trim_end());
            }
            print(context, &loaded)?;
            Ok(Exit::Done)
        }
        Err(Failure::Config(ConfigError::Wrong(report))) if context.output.format() != Format::Table => {
            context.output.json(&json!({ "ok": false, "errors": lines(&report), "warnings": [] }))?;
            Ok(Exit::Usage)
        }
        Err(error) => Err(error),
    }
}

fn print(context: &Context<'_>, loaded: &Loaded) -> Result<(), Failure> {
    let policy = &loaded.settings.policy;
    let apis = policy.apis.iter().map(|api| {
        json!({ "api": api.name, "contract": api.operations.is_some(),
            "operations": api.operations.as_ref().map(Vec::len), "allow_in_paths": api.quirks })
    });
    let summary = json!({
        "ok": true,
        "file": loaded.source.path.display().to_string(),
        "apis": apis.collect::<Vec<_>>(),
        "roles": policy.roles.keys().collect::<Vec<_>>(),
        "users": policy.users.len(),
        "errors": [],
        "warnings": lines(&loaded.warnings),
    });
    match context.output.format() {
        Format::Table => {
            context.output.line(&sentence(loaded))?;
            for api in policy.apis.iter().filter(|api| !api.quirks.is_none()) {
                context.output.line(&looser(api))?;
            }
        }
        Format::Json | Format::Jsonl => context.output.json(&summary)?,
    }
    Ok(())
}

fn sentence(loaded: &Loaded) -> String {
    let policy = &loaded.settings.policy;
    let operations: usize = policy.apis.iter().filter_map(|api| api.operations.as_ref()).map(Vec::len).sum();
    let warnings = loaded.warnings.findings().len();
    let file = loaded.source.path.display();
    let [apis, operations, roles, warnings] = [
        counted(policy.apis.len(), "API"),
        counted(operations, "operation"),
        counted(policy.roles.len(), "role"),
        counted(warnings, "warning"),
    ];
    format!("ok  {file}: {apis}, {operations}, {roles}, {warnings}")
}

/// What an API allows that is refused everywhere else.
fn looser(api: &Api) -> String {
    let allowed: Vec<_> = api.quirks.iter().map(Quirk::as_str).collect();
    format!("looser  {}: its paths may have {}", api.name, listed(allowed.into_iter()))
}

/// `no roles`, `1 role`, `2 roles`
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

fn lines(report: &Report) -> Value {
    report.lines().map(|line| json!(line)).collect()
}
