//! `daypass service …` and `daypass admin …`

use serde_json::{Map, Value, json};

use super::Context;
use super::access::insert;
use crate::cli::{Admin, Exit, Failure, Service, ServiceAdd, ServiceRotate};
use crate::client::Client;
use crate::output::cell;

/// Manages service keys.
pub(super) async fn run(context: &Context<'_>, client: &Client, verb: &Service) -> Result<Exit, Failure> {
    match verb {
        Service::Add(asked) => add(context, client, asked).await?,
        Service::Rotate(asked) => rotate(context, client, asked).await?,
        Service::Remove(asked) => {
            let answer = client.delete(&["services", asked.name.as_str()]).await?;
            context.output.one(&["name", "revision"], &answer)?;
        }
        Service::List => {
            let answer = client.read(&["services"], &[]).await?;
            context.output.rows(&["name", "id", "roles", "since", "expires", "state"], &answer)?;
        }
    }
    Ok(Exit::Done)
}

async fn add(context: &Context<'_>, client: &Client, asked: &ServiceAdd) -> Result<(), Failure> {
    let body = json!({ "name": asked.name, "roles": asked.roles, "for": asked.lifetime.to_string() });
    key(context, &client.post(&["services"], &body).await?)
}

async fn rotate(context: &Context<'_>, client: &Client, asked: &ServiceRotate) -> Result<(), Failure> {
    let mut body = Value::Object(Map::new());
    insert(&mut body, "for", asked.lifetime.as_ref());
    key(context, &client.post(&["services", asked.name.as_str(), "rotate"], &body).await?)
}

fn key(context: &Context<'_>, answer: &Value) -> Result<(), Failure> {
    let field = |key: &str| cell(key, answer.get(key).unwrap_or(&Value::Null));
    let prose = format!("the key of service:{}, until {}; it is shown once", field("name"), field("expires"));
    Ok(context.output.secret("key", answer, &prose)?)
}

/// Manages the server on its own machine.
pub(super) async fn admin(context: &Context<'_>, client: &Client, verb: &Admin) -> Result<Exit, Failure> {
    let Admin::Session(asked) = verb;
    let mut body = json!({ "user": asked.user });
    insert(&mut body, "for", asked.lifetime.as_ref());
    let answer = client.post(&["sessions"], &body).await?;
    let field = |key: &str| cell(key, answer.get(key).unwrap_or(&Value::Null));
    let prose = format!("a session of {}, until {}; it is shown once", field("subject"), field("until"));
    context.output.secret("session", &answer, &prose)?;
    Ok(Exit::Done)
}
