//! What the server is and protects: `whoami`, `apis`, `roles`, `status`.

use serde_json::Value;

use super::Context;
use super::check::counted;
use crate::cli::{Apis, Exit, Failure};
use crate::client::Client;
use crate::output::{Format, cell};

/// Who the server takes the caller for.
pub(super) async fn whoami(context: &Context<'_>, client: &Client) -> Result<Exit, Failure> {
    let answer = client.read(&["whoami"], &[]).await?;
    context.output.one(&["subject", "administrator", "auditor", "until"], &answer)?;
    Ok(Exit::Done)
}

/// The APIs, or the operations of one.
pub(super) async fn apis(context: &Context<'_>, client: &Client, asked: &Apis) -> Result<Exit, Failure> {
    match &asked.api {
        None => {
            let answer = client.read(&["apis"], &[]).await?;
            context.output.rows(&["api", "route", "contract", "operations"], &answer)?;
        }
        Some(api) => {
            let answer = client.read(&["apis", api.as_str()], &[]).await?;
            match context.output.format() {
                Format::Json => context.output.json(&answer)?,
                Format::Table | Format::Jsonl => {
                    let operations = answer.get("operations").unwrap_or(&Value::Null);
                    context.output.rows(&["operation", "method", "path", "tags"], operations)?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// The roles and what they allow.
pub(super) async fn roles(context: &Context<'_>, client: &Client) -> Result<Exit, Failure> {
    let answer = client.read(&["roles"], &[]).await?;
    context.output.rows(&["role", "allow", "deny", "rate"], &answer)?;
    Ok(Exit::Done)
}

/// The server's health; a server that is not ready is not a failure of asking.
pub(super) async fn status(context: &Context<'_>, client: &Client) -> Result<Exit, Failure> {
    let answer = client.read(&["status"], &[]).await?;
    if context.output.format() != Format::Table {
        context.output.json(&answer)?;
        return Ok(Exit::Done);
    }
    let field = |pointer: &str| cell("", answer.pointer(pointer).unwrap_or(&Value::Null));
    for (name, value) in [
        ("ready", field("/ready")),
        ("why not", field("/why")),
        ("configuration", configuration(&answer)),
        ("reload", failed(&answer, "/configuration/failed", "the configuration before it stays in force")),
        ("takeover", failed(&answer, "/takeover", "the process before it goes on")),
        ("ledger", ledger(&answer)),
        ("journal", format!("{} entries, {} ms behind", field("/journal/size"), field("/journal/lag_ms"))),
        ("journal error", field("/journal/last_error")),
        ("journal damage", field("/journal/damage")),
        ("view", format!("revision {}, {} ms old", field("/view/revision"), field("/view/age_ms"))),
        ("fail open", format!("{} min", field("/fail_open_minutes"))),
    ] {
        if value != "-" {
            context.output.line(&format!("{name:<14} {value}"))?;
        }
    }
    for upstream in answer.get("upstreams").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| cell(key, upstream.get(key).unwrap_or(&Value::Null));
        let (api, place, state) = (part("api"), part("upstream"), part("state"));
        let says = format!("{api} {place} is {state} since {}: {}", part("since"), part("why"));
        context.output.line(&format!("{:<14} {says}", "upstream"))?;
    }
    for certificate in answer.get("certificates").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| cell(key, certificate.get(key).unwrap_or(&Value::Null));
        let (hosts, until, left) = (part("hosts"), part("until"), part("days_left"));
        context.output.line(&format!("{:<14} {hosts} until {until}, {left} days left", "certificate"))?;
    }
    if let Some(acme) = answer.get("acme").filter(|acme| !acme.is_null()) {
        context.output.line(&format!("{:<14} {}", "acme", order(acme)))?;
    }
    for node in answer.get("nodes").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| cell(key, node.get(key).unwrap_or(&Value::Null));
        let since = part("started");
        context.output.line(&format!(
            "{:<14} {} at revision {}, since {since}",
            "node",
            part("node"),
            part("revision")
        ))?;
        let (version, pid, program) = (part("version"), part("pid"), part("program"));
        context.output.line(&format!("{:<14} {version}, process {pid}, {program}", "program"))?;
    }
    Ok(Exit::Done)
}

/// How it stands with the authority that the listeners' certificate is had from.
fn order(acme: &Value) -> String {
    let field = |pointer: &str| cell("", acme.pointer(pointer).unwrap_or(&Value::Null));
    let next =
        format!("{} from {}, next order at {}", field("/domains"), field("/directory"), field("/next"));
    match acme.get("failed").filter(|failed| !failed.is_null()) {
        None => next,
        Some(_) => format!("{next}; the last failed at {}: {}", field("/failed/at"), field("/failed/why")),
    }
}

/// Since when it is in force, and how much of it is not.
fn configuration(status: &Value) -> String {
    let field = |pointer: &str| cell("", status.pointer(pointer).unwrap_or(&Value::Null));
    format!(
        "loaded {} at revision {}, {}",
        field("/configuration/loaded"),
        field("/configuration/revision"),
        count(status, "/configuration/warnings", "warning")
    )
}

/// What was in the way of the last attempt, and what that leaves; `-` if it came about, or none was made.
fn failed(status: &Value, pointer: &str, leaves: &str) -> String {
    let Some(failed) = status.pointer(pointer).filter(|failed| !failed.is_null()) else {
        return "-".to_owned();
    };
    let at = cell("", failed.get("at").unwrap_or(&Value::Null));
    let why = failed.get("why").and_then(Value::as_array).into_iter().flatten();
    why.fold(format!("failed {at}; {leaves}"), |said, why| format!("{said}\n{:<14}   {}", "", cell("", why)))
}

fn ledger(status: &Value) -> String {
    let field = |pointer: &str| cell("", status.pointer(pointer).unwrap_or(&Value::Null));
    let state = match status.pointer("/ledger/writable").and_then(Value::as_bool) {
        Some(true) => "writable",
        _ => "not writable",
    };
    let events = count(status, "/ledger/events", "event");
    format!("revision {}, {events}, {state}", field("/ledger/revision"))
}

/// `2 warnings`, from the number that stands there.
fn count(status: &Value, pointer: &str, what: &str) -> String {
    let number = status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    counted(usize::try_from(number).unwrap_or(usize::MAX), what)
}
