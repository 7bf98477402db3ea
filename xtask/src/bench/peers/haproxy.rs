//! HAProxy, plain and with checks.

use std::process::Command;

use anyhow::{Context, Result};

use super::{CONNECTIONS_MAX, Checks, Site};
use crate::bench::proxy::Front;
use crate::instance::ROLE_ALL;

pub(super) fn command(site: &Site<'_>, checks: Checks) -> Result<Command> {
    let part = |path| std::fs::read_to_string(path).context("cannot read a certificate");
    site.write("pair.pem", &[part(&site.tls.certificate)?, part(&site.tls.key)?].concat())?;
    site.write("tokens.map", &format!("{} load\n", site.key))?;
    site.write("roles.map", &format!("load {ROLE_ALL}\n"))?;
    let conf = site.write("haproxy.cfg", &conf(site, checks))?;
    let mut command = site.under.command("haproxy");
    command.current_dir(site.folder()).arg("-db").arg("-f").arg(conf);
    command.stdout(site.log("requests.json")?).stderr(site.log("error.log")?);
    Ok(command)
}

/// As many connections as descriptors allow: what it counts for the other side stays unused.
fn conf(site: &Site<'_>, checks: Checks) -> String {
    let Site { port, backend, .. } = site;
    let front = match site.front {
        Front::Clear => "",
        Front::H2c => " proto h2",
        Front::Tls => " ssl crt pair.pem",
    };
    let (rules, tables) = match checks {
        Checks::Off => (String::new(), ""),
        Checks::On => (rules(), TABLES),
    };
    format!(
        "\
global
  nbthread 1
  no strict-limits
  maxconn {CONNECTIONS_MAX}
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  http-reuse always
frontend bench
  bind 127.0.0.1:{port} backlog 4096{front}
{rules}  http-request set-path %[path,bytes(6)]
  default_backend backend
backend backend
  server one 127.0.0.1:{backend}
{tables}"
    )
}

const TABLES: &str = "\
backend limits
  stick-table type string len 64 size 10k expire 1m store http_req_rate(1s)
";

fn rules() -> String {
    format!(
        "  log stdout format raw local0 info
  log-format '{{\"time\":%Ts.%ms,\"id\":\"%ID\",\"subject\":\"%[var(txn.subject)]\",\"role\":\"%[var(txn.role)]\",\"peer\":\"%ci\",\
\"method\":\"%HM\",\"path\":\"%HP\",\"status\":%ST,\"bytes\":%B,\"ms\":%Ta}}'
  unique-id-format %[uuid()]
  acl reads method GET HEAD
  acl granted path_reg ^/bench/v1/items(/[^/]+(/parts)?)?$ ^/bench/v1/reports/[^/]+/[^/]+$
  acl holder var(txn.role) -m str {ROLE_ALL}
  http-request set-var(txn.subject) http_auth_bearer,map_str(tokens.map)
  http-request deny deny_status 401 unless {{ var(txn.subject) -m found }}
  http-request set-var(txn.role) var(txn.subject),map_str(roles.map)
  http-request deny deny_status 403 unless holder reads granted
  http-request track-sc0 var(txn.subject) table limits
  http-request deny deny_status 429 if {{ sc0_http_req_rate gt 1000000 }}
"
    )
}
