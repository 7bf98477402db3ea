//! `daypass init`: a first configuration that works at once.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use access::ApiName;
use access::operation::{Method, Operation};
use serde_json::json;

use super::Context;
use crate::cli::{Exit, Failure, Init};
use crate::config::{Config, FILE_NAME, Loaded, Source, UpstreamUrl};
use crate::output::{self, Format};

/// Writes the file, after having checked what it is about to write.
pub(super) fn run(context: &Context<'_>, asked: &Init) -> Result<Exit, Failure> {
    let path = context.global.config.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    if path.exists() && !asked.force {
        let says = format!("`{}` is there already: `--force` overwrites it", path.display());
        return Err(Failure::Usage(says));
    }
    check_upstream(&asked.upstream)?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let text = text(asked, &directory)?;
    let source = Source { path: path.clone(), text: text.as_str().into() };
    let loaded = Config::resolve(source, &directory, context.environment)?;
    write(&path, &text, asked).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::Usage(format!("`{}` is there already: `--force` overwrites it", path.display()))
        }
        _ => Failure::Failed(format!("cannot write `{}`: {error}", path.display())),
    })?;
    report(context, &asked.api, &path, &loaded)?;
    Ok(Exit::Done)
}

/// What is wrong with the URL is told of the argument, and not of a file that is never written.
fn check_upstream(url: &str) -> Result<(), Failure> {
    let Err(why) = url.parse::<UpstreamUrl>() else { return Ok(()) };
    // What stands before an `@` may be a password.
    let shown = if url.contains('@') { String::new() } else { format!(" {}", output::plain(url)) };
    Err(Failure::Usage(format!("`--upstream{shown}`: {why}\nnext: {}", why.advice())))
}

fn write(path: &Path, text: &str, asked: &Init) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if asked.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

fn report(context: &Context<'_>, api: &ApiName, path: &Path, loaded: &Loaded) -> Result<(), Failure> {
    let next = next_commands(context, api, loaded);
    if context.output.format() != Format::Table {
        context.output.json(&json!({ "file": path.display().to_string(), "next": next }))?;
        return Ok(());
    }
    context.output.note(&format!("wrote {}; next:", path.display()));
    for command in next {
        context.output.line(&command)?;
    }
    Ok(())
}

/// Commands to copy, in order: the server, a key, a request.
fn next_commands(context: &Context<'_>, api: &ApiName, loaded: &Loaded) -> Vec<String> {
    let config = context.global.config.as_ref().map(|path| format!(" --config {}", quoted(path)));
    let config = config.unwrap_or_default();
    let policy = &loaded.settings.policy;
    let operations = policy.apis.first().and_then(|api| api.operations.as_deref());
    let path = example_path(operations.unwrap_or_default());
    let proxy = loaded.settings.proxy;
    vec![
        format!("daypass serve{config}"),
        format!("KEY=$(daypass service add ci --role {api}-viewer --for 90d{config})"),
        format!("curl -H \"Authorization: Bearer $KEY\" http://{proxy}/{api}{path}"),
    ]
}

/// A path that can be asked for as it is: a GET without parameters, the shortest first.
fn example_path(operations: &[Operation]) -> String {
    let plain = operations.iter().filter(|operation| operation.method == Method::Get);
    let paths = plain.map(|operation| operation.template.as_str()).filter(|path| !path.contains(['{', '*']));
    paths.min_by_key(|path| path.len()).unwrap_or("/").to_owned()
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The contract's path as the file writes it: from the file's directory.
fn contract_path(contract: &Path, directory: &Path) -> Result<String, Failure> {
    let unreadable =
        |error| Failure::Usage(format!("cannot read the contract `{}`: {error}", contract.display()));
    let contract_at = contract.canonicalize().map_err(unreadable)?;
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let inside = directory.canonicalize().ok();
    let inside = inside.as_deref().and_then(|directory| contract_at.strip_prefix(directory).ok());
    let path = inside.unwrap_or(&contract_at);
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Failure::Usage(format!("the contract's path `{}` is not Unicode", contract.display())))
}

fn text(asked: &Init, directory: &Path) -> Result<String, Failure> {
    let api = &asked.api;
    let upstream = json!(asked.upstream);
    let openapi = match &asked.openapi {
        Some(contract) => format!("    openapi: {}\n", json!(contract_path(contract, directory)?)),
        None => format!(
            "    # openapi: {api}.openapi.yaml       # its contract: operations get names, the rest is refused\n"
        ),
    };
    Ok(format!(
        r#"# Daypass: who may reach which API, for how long, and why. `daypass check` checks this file.
# Its keys: `daypass config schema`. Relative paths start at this file's directory.

listen:
  proxy: 127.0.0.1:8080          # callers come here
  console: 127.0.0.1:8081        # health, metrics and the API of the commands

data: ./daypass-data             # ledger, journal and the socket for `daypass` on this machine

journal:
  durability: fsync              # durable before a request goes on; `write` survives a crash only

apis:
  {api}:
    route: {{ prefix: /{api} }}
    upstreams: [{upstream}]
{openapi}    # credentials:                   # what the upstream asks for; callers never see it
    #   headers: {{ Authorization: env:UPSTREAM_AUTHORIZATION }}
    limits: {{ request_body: 1MiB, timeout: 30s }}

roles:                           # nothing is allowed that no role allows
  {api}-viewer: {{ allow: ["{api}:read"] }}
  {api}-editor: {{ allow: ["{api}:read", "{api}:write"] }}
  {api}-admin: {{ allow: ["{api}:all"] }}

# identity:
#   users:
#     alice: {{ groups: [platform] }}

# console:                       # on this machine, the server's own user administers through its socket
#   administrators: ["group:platform"]
#   auditors: ["group:platform"]
"#
    ))
}
