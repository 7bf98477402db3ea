//! What was asked and what came of it: `audit search`, `audit tail`, `explain`.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use ::access::Timestamp;
use ::access::time::parse_duration;

use super::Context;
use crate::cli::{Audit, AuditSearch, Exit, Explain, Failure};
use crate::client::{Client, ClientError, Lines};
use crate::output::{Format, News, cell, table};

/// How many rows the table shows unless told.
const TABLE_ROWS: u64 = 100;

/// The most rows that a table is made of.
const TABLE_ROWS_MAX: u64 = 10_000;

const COLUMNS: [&str; 11] = [
    "time",
    "decision",
    "status",
    "subject",
    "api",
    "method",
    "path",
    "operation",
    "reason",
    "outcome",
    "id",
];

/// Reads the journal.
pub(super) async fn run(context: &Context<'_>, client: &Client, verb: &Audit) -> Result<Exit, Failure> {
    match verb {
        Audit::Search(asked) => search(context, client, asked).await,
        Audit::Tail => tail(context, client).await,
    }
}

async fn search(context: &Context<'_>, client: &Client, asked: &AuditSearch) -> Result<Exit, Failure> {
    let mut query = filters(asked, context.now())?;
    let limit = match (context.output.format(), asked.limit) {
        // One more, to know whether there are more.
        (Format::Table, None) => Some(TABLE_ROWS + 1),
        (Format::Table, Some(limit)) if limit > TABLE_ROWS_MAX => {
            let says = format!("a table has at most {TABLE_ROWS_MAX} rows: use `-o jsonl`");
            return Err(Failure::Usage(says));
        }
        (_, limit) => limit,
    };
    query.extend(limit.map(|limit| ("limit", limit.to_string())));
    let lines = client.lines(&["audit", "requests"], &query).await?;
    match context.output.format() {
        Format::Table => show(context, lines, asked).await?,
        Format::Json => print_array(context, lines).await?,
        Format::Jsonl => print_lines(context, lines).await?,
    }
    Ok(Exit::Done)
}

fn filters(asked: &AuditSearch, now: Timestamp) -> Result<Vec<(&'static str, String)>, Failure> {
    let texts = [
        ("user", asked.user.clone()),
        ("api", asked.api.clone()),
        ("operation", asked.operation.clone()),
        ("path", asked.path.clone()),
        ("status", asked.status.map(|status| status.to_string())),
        ("reason", asked.reason.clone()),
        ("incident", asked.incident.clone()),
        ("grant", asked.grant.clone()),
        ("decision", asked.decision.clone()),
        ("since", instant(asked.since.as_deref(), now)?),
        ("until", instant(asked.until.as_deref(), now)?),
        ("order", Some(asked.order.clone())),
    ];
    Ok(texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect())
}

/// A time, or so long ago.
fn instant(text: Option<&str>, now: Timestamp) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let instant = match parse_duration(text) {
        Some(ago) => Ok(now.minus(ago)),
        None => text.parse::<Timestamp>(),
    };
    let says = |_| {
        Failure::Usage(format!(
            "`{text}` is neither a time nor a duration: write `2026-11-22T03:00:00Z`, or `30m` for 30 minutes ago"
        ))
    };
    instant.map(|instant| Some(instant.to_string())).map_err(says)
}

/// The next row, as the server wrote it; empty lines are none.
async fn next_row(lines: &mut Lines<'_>) -> Result<Option<String>, ClientError> {
    while let Some(line) = lines.next().await? {
        if !line.trim().is_empty() {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, ClientError> {
    serde_json::from_str(line).map_err(|error| ClientError::Answer(error.to_string()))
}

async fn show(context: &Context<'_>, mut lines: Lines<'_>, asked: &AuditSearch) -> Result<(), Failure> {
    let shown = asked.limit.unwrap_or(TABLE_ROWS);
    let mut rows = Vec::new();
    let mut more = 0_usize;
    // What has come is shown, whatever ends it.
    let end = loop {
        match next_row(&mut lines).await {
            Ok(Some(row)) if (rows.len() as u64) < shown => rows.push(parse(&row)?),
            Ok(Some(_)) => more += 1,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if rows.is_empty() {
        end?;
        context.output.note("no request matches");
        return Ok(());
    }
    context.output.raw(table(&COLUMNS, &rows).as_bytes())?;
    end?;
    if more > 0 {
        let order = &asked.order;
        context.output.note(&format!(
            "the {order} {shown} are shown; there are more: use `--limit`, or `-o jsonl` for all"
        ));
    }
    Ok(())
}

/// Prints rows as they come; an answer that breaks off leaves the array open, which no reader takes for whole.
async fn print_array(context: &Context<'_>, mut lines: Lines<'_>) -> Result<(), Failure> {
    let mut before = "[";
    while let Some(row) = next_row(&mut lines).await? {
        parse::<IgnoredAny>(&row)?;
        context.output.raw(format!("{before}\n{row}").as_bytes())?;
        before = ",";
    }
    let end: &[u8] = if before == "[" { b"[]\n" } else { b"\n]\n" };
    Ok(context.output.raw(end)?)
}

async fn print_lines(context: &Context<'_>, mut lines: Lines<'_>) -> Result<(), Failure> {
    while let Some(row) = next_row(&mut lines).await? {
        parse::<IgnoredAny>(&row)?;
        context.output.line(&row)?;
    }
    Ok(())
}

/// Server-sent events: only the data of `request` events is of interest, one line each.
async fn tail(context: &Context<'_>, client: &Client) -> Result<Exit, Failure> {
    let mut lines = client.lines(&["journal", "stream"], &[]).await?;
    context.output.note("following requests; Ctrl-C ends");
    let mut requests = true;
    while let Some(line) = lines.next().await? {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            requests = true;
        } else if let Some(event) = line.strip_prefix("event:") {
            requests = event.trim() == "request";
        } else if let Some(data) = line.strip_prefix("data:").filter(|_| requests) {
            let row: Value = parse(data)?;
            match context.output.format() {
                Format::Table => context.output.line(&one_line(context, &row))?,
                Format::Json | Format::Jsonl => context.output.line(data.trim())?,
            }
        }
    }
    Err(Failure::Failed("the server ended the stream".to_owned()))
}

fn one_line(context: &Context<'_>, row: &Value) -> String {
    let field = |key: &str| cell(key, row.get(key).unwrap_or(&Value::Null));
    let decision = field("decision");
    let news = if decision == "allow" { News::Good } else { News::Bad };
    let milliseconds = row.get("duration_us").and_then(Value::as_u64);
    let milliseconds =
        milliseconds.map_or_else(|| "-".to_owned(), |us| format!("{}.{}", us / 1_000, us % 1_000 / 100));
    format!(
        "{} {} {} {} {} {} {} {} {} {} {milliseconds} ms {}",
        field("time"),
        context.output.paint(&format!("{decision:<6}"), news),
        field("status"),
        field("subject"),
        field("api"),
        field("method"),
        field("path"),
        field("operation"),
        field("reason"),
        field("outcome"),
        field("id"),
    )
}

/// Why a request was allowed or refused, in sentences.
pub(super) async fn explain(
    context: &Context<'_>,
    client: &Client,
    asked: &Explain,
) -> Result<Exit, Failure> {
    let id = asked.id.to_string();
    let answer = client.read(&["explain", &id], &[]).await?;
    if context.output.format() != Format::Table {
        context.output.json(&answer)?;
        return Ok(Exit::Done);
    }
    let why = answer.get("why").and_then(Value::as_array).into_iter().flatten();
    for sentence in why {
        context.output.line(&cell("", sentence))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_a_time_or_a_duration() {
        let now = Timestamp::from_micros(1_795_316_400_000_000);
        let read = |text| instant(Some(text), now).ok().flatten();
        assert_eq!(read("30m").as_deref(), Some("2026-11-22T02:30:00.000000Z"));
        assert_eq!(read("2026-11-22T03:00:00+01:00").as_deref(), Some("2026-11-22T02:00:00.000000Z"));
        assert_eq!(read("yesterday"), None);
        assert_eq!(instant(None, now).unwrap(), None);
    }
}
