//! nginx: the backend, the plain proxy that ratios are taken to, and the one with checks.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{CONNECTIONS_MAX, Checks, Site};
use crate::bench::load::{BLOB_BYTES, BODY_BYTES, LOAD_CORE};
use crate::bench::proxy::Front;
use crate::instance::{ROLE_ALL, Under};
use crate::scratch::Scratch;

/// In one process, so that it may read its folder whoever that belongs to.
pub(super) fn backend(scratch: &Scratch, name: &str, port: u16) -> Result<Command> {
    let blob = scratch.write(&format!("{name}/blob"), &"x".repeat(BLOB_BYTES))?;
    let text = format!("master_process off;\n{}", conf(&backend_server(port, &blob)));
    let conf = scratch.write(&format!("{name}/nginx.conf"), &text)?;
    Ok(start(&Under::Core(LOAD_CORE), &conf))
}

/// In one process under a tool, which would count the master as well.
pub(super) fn command(site: &Site<'_>, checks: Checks) -> Result<Command> {
    let processes = match site.under {
        Under::Tool(_) => "master_process off;\n",
        Under::Nothing | Under::Core(_) => "",
    };
    let text = format!("{processes}{}", conf(&proxy_server(site, checks)));
    Ok(start(site.under, &site.write("nginx.conf", &text)?))
}

fn start(under: &Under, conf: &Path) -> Command {
    let folder = conf.parent().unwrap_or(conf);
    let mut command = under.command("nginx");
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(conf);
    command
}

/// Nothing of a body goes through a file.
fn conf(servers: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("  {name}_temp_path tmp_{name};\n")).concat();
    format!(
        "\
daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_max_body_size 2m;
  client_body_buffer_size 16k;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_buffers 8 64k;
  proxy_busy_buffers_size 128k;
{temporary}{servers}}}
"
    )
}

/// Answers everything with 1 KiB, a blob with 1 MiB, and an upload once all of it was read.
fn backend_server(port: u16, blob: &Path) -> String {
    let frame = r#"{"id":42,"text":""}"#.len();
    let text = "x".repeat(BODY_BYTES - frame);
    format!(
        "  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{{\"id\":42,\"text\":\"{text}\"}}'; }}
    location = /v1/blobs/1 {{ sendfile on; alias {blob}; }}
    location = /v1/blobs {{
      client_body_buffer_size 2m;
      proxy_request_buffering on;
      proxy_pass http://127.0.0.1:{port}/read;
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_set_header Content-Length \"\";
    }}
  }}\n",
        blob = blob.display()
    )
}

fn proxy_server(site: &Site<'_>, checks: Checks) -> String {
    let Site { port, backend, tls, .. } = site;
    let (front, pair) = match site.front {
        Front::Clear => ("", String::new()),
        Front::H2c => (" http2", String::new()),
        Front::Tls => {
            let (certificate, key) = (tls.certificate.display(), tls.key.display());
            let pair = format!("    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n");
            (" ssl", pair + "    ssl_protocols TLSv1.2 TLSv1.3;\n")
        }
    };
    let (maps, rules) = match checks {
        Checks::Off => (String::new(), ""),
        Checks::On => (maps(site), RULES),
    };
    format!(
        "{maps}  upstream backend {{
    server 127.0.0.1:{backend};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port}{front} backlog=4096;
{pair}    location /bench/ {{
{rules}      proxy_pass http://backend/;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}\n"
    )
}

const RULES: &str = "      \
      if ($subject = \"\") { return 401; }
      if ($granted = 0) { return 403; }
      limit_req zone=subjects burst=100000 nodelay;
      access_log requests.json record buffer=64k flush=1s;
";

fn maps(site: &Site<'_>) -> String {
    let granted = [
        "GET /bench/v1/items$",
        "GET /bench/v1/items/[^/]+$",
        "GET /bench/v1/items/[^/]+/parts$",
        "GET /bench/v1/reports/[^/]+/[^/]+$",
    ];
    let granted = granted.map(|rule| format!("    \"~^{ROLE_ALL} {rule}\" 1;\n")).concat();
    format!(
        "  map_hash_bucket_size 256;
  map $http_authorization $subject {{ default \"\"; \"Bearer {key}\" load; }}
  map $subject $role {{ default \"\"; load {ROLE_ALL}; }}
  map \"$role $request_method $uri\" $granted {{
    default 0;
{granted}  }}
  limit_req_zone $subject zone=subjects:1m rate=1000000r/s;
  log_format record escape=json '{{\"time\":\"$time_iso8601\",\"id\":\"$request_id\",\"subject\":\"$subject\",\"role\":\"$role\",\
\"peer\":\"$remote_addr\",\"method\":\"$request_method\",\"path\":\"$uri\",\"status\":$status,\"bytes\":$body_bytes_sent,\
\"seconds\":$request_time}}';\n",
        key = site.key
    )
}
