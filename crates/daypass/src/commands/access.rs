//! Who may reach what: `grants`, `grant`, `token`, `revoke`.

use serde_json::{Map, Value, json};

use super::Context;
use super::check::counted;
use crate::cli::{Exit, Failure, Grant, Grants, Revoke, Revoked, Token};
use crate::client::Client;
use crate::output::{Format, cell};

/// The grants that the caller may see.
pub(super) async fn grants(context: &Context<'_>, client: &Client, asked: &Grants) -> Result<Exit, Failure> {
    let query: Vec<_> = asked.user.iter().map(|user| ("user", user.to_string())).collect();
    let answer = client.read(&["grants"], &query).await?;
    let columns = ["grant", "role", "subject", "state", "since", "until", "by", "incident", "reason"];
    context.output.rows(&columns, &answer)?;
    Ok(Exit::Done)
}

/// Gives somebody a role.
pub(super) async fn grant(context: &Context<'_>, client: &Client, asked: &Grant) -> Result<Exit, Failure> {
    let mut body = json!({
        "role": asked.role,
        "to": asked.to,
        "for": asked.lifetime.to_string(),
        "reason": asked.reason,
    });
    insert(&mut body, "incident", asked.incident.as_ref());
    let answer = client.post(&["grants"], &body).await?;
    context.output.one(&["grant", "role", "subject", "until"], &answer)?;
    Ok(Exit::Done)
}

/// Mints a token and prints it alone.
pub(super) async fn token(context: &Context<'_>, client: &Client, asked: &Token) -> Result<Exit, Failure> {
    let mut body = Value::Object(Map::new());
    insert(&mut body, "grant", asked.grant.as_ref());
    insert(&mut body, "for", asked.lifetime.as_ref());
    if !asked.only.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        body.insert("only".to_owned(), json!(asked.only));
    }
    let answer = client.post(&["tokens"], &body).await?;
    let field = |key: &str| cell(key, answer.get(key).unwrap_or(&Value::Null));
    let prose = format!("{} of {}, until {}; it is shown once", field("id"), field("grant"), field("until"));
    context.output.secret("token", &answer, &prose)?;
    Ok(Exit::Done)
}

/// Adds what is given, as text.
pub(super) fn insert(body: &mut Value, key: &str, value: Option<&impl ToString>) {
    if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
        body.insert(key.to_owned(), value.to_string().into());
    }
}

/// Ends access and prints the receipt.
pub(super) async fn revoke(context: &Context<'_>, client: &Client, asked: &Revoke) -> Result<Exit, Failure> {
    let mut body = what(&asked.what);
    insert(&mut body, "reason", Some(&asked.reason));
    let receipt = client.post(&["revocations"], &body).await?;
    match context.output.format() {
        Format::Table => context.output.line(&sentences(&receipt))?,
        Format::Json | Format::Jsonl => context.output.json(&receipt)?,
    }
    Ok(Exit::Done)
}

/// The one thing that is given; the command line allows no other number of them.
fn what(asked: &Revoked) -> Value {
    let mut body = Value::Object(Map::new());
    insert(&mut body, "grant", asked.grant.as_ref());
    insert(&mut body, "token", asked.token.as_ref());
    insert(&mut body, "key", asked.key.as_ref());
    insert(&mut body, "user", asked.user.as_ref());
    insert(&mut body, "role", asked.role.as_ref());
    insert(&mut body, "api", asked.api.as_ref());
    insert(&mut body, "incident", asked.incident.as_ref());
    if asked.all
        && let Some(body) = body.as_object_mut()
    {
        body.insert("all".to_owned(), true.into());
    }
    body
}

/// The receipt in sentences.
fn sentences(receipt: &Value) -> String {
    let field = |key: &str| cell(key, receipt.get(key).unwrap_or(&Value::Null));
    let count = |key: &str| receipt.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let more = receipt.get("more_tokens").and_then(Value::as_u64).unwrap_or(0);
    let more = usize::try_from(more).unwrap_or(usize::MAX);
    let ended =
        [("grants", "grant", 0), ("tokens", "token", more), ("keys", "key", 0), ("sessions", "session", 0)]
            .map(|(key, what, more)| counted(count(key).saturating_add(more), what));
    let streams = receipt.get("streams").and_then(Value::as_object);
    let cut = streams.into_iter().flatten().filter_map(|(kind, count)| {
        let count = count.as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {kind}"))
    });
    let cut: Vec<_> = cut.collect();
    let cut = if cut.is_empty() { "none".to_owned() } else { cut.join(", ") };
    let nodes = receipt.get("nodes").and_then(Value::as_array).into_iter().flatten().map(|node| {
        let part = |key: &str| cell(key, node.get(key).unwrap_or(&Value::Null));
        format!("{} after {} ms", part("node"), part("acknowledged_ms"))
    });
    let nodes: Vec<_> = nodes.collect();
    let leaf = match receipt.get("leaf").and_then(Value::as_u64) {
        Some(leaf) => format!("entry {leaf} of the journal"),
        None => "not in the journal yet: it could not be written".to_owned(),
    };
    format!(
        "revoked at revision {}: {}\nstreams cut: {cut}\nin force on: {}; slowest {} ms\nrecorded: {leaf}",
        field("revision"),
        ended.join(", "),
        nodes.join(", "),
        field("slowest_ms"),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_receipt_says_what_ended_where_and_how_fast() {
        let receipt = json!({
            "revision": 12, "grants": ["grant_1"], "tokens": ["token_1", "token_2"], "keys": [],
            "sessions": ["session_1"], "more_tokens": 7,
            "nodes": [{"node": "a", "acknowledged_ms": 3}, {"node": "b", "acknowledged_ms": null}],
            "streams": {"websocket": 1, "sse": 2, "grpc": 0, "transfer": 0}, "slowest_ms": 3, "leaf": null
        });
        expect![[r#"
            revoked at revision 12: 1 grant, 9 tokens, no keys, 1 session
            streams cut: 2 sse, 1 websocket
            in force on: a after 3 ms, b after - ms; slowest 3 ms
            recorded: not in the journal yet: it could not be written"#]]
        .assert_eq(&sentences(&receipt));
    }
}
