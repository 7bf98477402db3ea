//! What is up during a bench: the backend, nginx and two Daypasses, one for each durability.

use std::fmt::{self, Display};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Options;
use super::cpu;
use super::load::{self, LOAD_CORE, Load, PATHS, Shot};
use super::stats::Slice;
use crate::clock::wait_for;
use crate::http;
use crate::instance::{Durability, Instance, Plan, ROLE_ALL, pinned};
use crate::process::{Running, output};
use crate::scratch::{Scratch, free_ports};

/// The core of every proxy.
const PROXY_CORE: usize = 0;

/// Length of the backend's answer.
const BODY_BYTES: usize = 1024;

/// What is measured; the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proxy {
    Nginx,
    Write,
    Fsync,
}

impl Proxy {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Write, Self::Fsync];
}

impl Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nginx => "nginx",
            Self::Write => "daypass-write",
            Self::Fsync => "daypass-fsync",
        })
    }
}

/// Where a proxy is reached, who it is, and with what.
struct Place {
    port: u16,
    pid: u32,
    key: String,
}

/// Everything that runs; ends with its owner.
pub(crate) struct Stage {
    // Dropped in this order: proxies, backend, folder.
    instances: Vec<Instance>,
    servers: Vec<Running>,
    places: Vec<(Proxy, Place)>,
    ticks_per_second: u64,
    scratch: Scratch,
}

impl Stage {
    /// Starts everything and asks each proxy once. Fails when one does not answer as it should.
    pub(crate) fn up(binary: &Path) -> Result<Self> {
        let ticks = output(Command::new("getconf").arg("CLK_TCK"))?;
        let ticks_per_second = ticks.trim().parse().context("`getconf CLK_TCK` gave no number")?;
        let mut stage = Self {
            instances: Vec::new(),
            servers: Vec::new(),
            places: Vec::new(),
            ticks_per_second,
            scratch: Scratch::new("bench")?,
        };
        let [backend, nginx] = free_ports()?;
        stage.nginx("backend", LOAD_CORE, backend, &backend_server(backend))?;
        let mut keys = Vec::new();
        for (proxy, durability) in [(Proxy::Write, Durability::Write), (Proxy::Fsync, Durability::Fsync)] {
            keys.push(stage.daypass(binary, proxy, durability, backend)?);
        }
        let pid = stage.nginx("proxy", PROXY_CORE, nginx, &proxy_server(nginx, backend))?;
        // nginx ignores the credential; it is sent so that the load is the same.
        let key = keys.pop().unwrap_or_default();
        stage.places.push((Proxy::Nginx, Place { port: nginx, pid, key }));
        stage.rehearse()?;
        Ok(stage)
    }

    fn nginx(&mut self, name: &'static str, core: usize, port: u16, server: &str) -> Result<u32> {
        let folder = self.scratch.path().join(name);
        let conf = self.scratch.write(&format!("{name}/nginx.conf"), &nginx_conf(server))?;
        let mut command = pinned(core, "nginx");
        command.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(conf);
        let mut running = Running::start("nginx", &mut command)?;
        let up = wait_for(Duration::from_secs(10), || http::get(port, "/bench/v1/items", &[]).is_ok());
        running.check().with_context(|| format!("see `{}`", folder.join("error.log").display()))?;
        ensure!(up.is_some(), "nginx does not answer");
        let pid = running.pid();
        self.servers.push(running);
        Ok(pid)
    }

    fn daypass(
        &mut self,
        binary: &Path,
        proxy: Proxy,
        durability: Durability,
        upstream: u16,
    ) -> Result<String> {
        let plan = Plan { binary, durability, upstream, core: Some(PROXY_CORE) };
        let mut instance = Instance::prepare(&self.scratch, &plan)?;
        instance.start()?;
        let key = instance.key(ROLE_ALL)?;
        let pid = instance.pid().context("not running")?;
        self.places.push((proxy, Place { port: instance.proxy, pid, key: key.clone() }));
        self.instances.push(instance);
        Ok(key)
    }

    /// One request of each kind through each proxy; and Daypass refuses one without a credential.
    fn rehearse(&self) -> Result<()> {
        for (proxy, place) in &self.places {
            let bearer = format!("Bearer {}", place.key);
            for path in PATHS {
                let answer = http::get(place.port, path, &[("Authorization", &bearer)])?;
                let length = answer.body.as_ref().map_or(0, Vec::len);
                let right = answer.status == 200 && length == BODY_BYTES;
                ensure!(right, "{proxy} answered `{path}` with {} and {length} B", answer.status);
            }
            let bare = http::get(place.port, PATHS[0], &[])?.status;
            let expected = if *proxy == Proxy::Nginx { 200 } else { 401 };
            ensure!(bare == expected, "{proxy} answered {bare} to a request without a credential");
        }
        Ok(())
    }

    /// One slice of load on one proxy, with the CPU time it took there.
    pub(crate) fn slice(&self, proxy: Proxy, options: &Options, load: &Load) -> Result<Slice> {
        let place = self.places.iter().find(|(name, _)| *name == proxy).map(|(_, place)| place);
        let place = place.context("not on stage")?;
        let shot = Shot {
            port: place.port,
            key: &place.key,
            connections: options.connections,
            length: options.slice,
        };
        let before = cpu::used(place.pid, self.ticks_per_second)?;
        let heard = load::fire(&self.scratch, load, &shot)?;
        let cpu = cpu::used(place.pid, self.ticks_per_second)?.since(before);
        Ok(Slice {
            requests: heard.requests,
            seconds: heard.seconds,
            cpu,
            p50_us: heard.p50_us,
            p99_us: heard.p99_us,
        })
    }

    /// Where the journals lie: `fsync` costs what this file system makes it cost.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }
}

/// One worker, no log, connections kept: what a plain proxy costs at its best.
fn nginx_conf(server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("  {name}_temp_path tmp_{name};\n")).concat();
    format!(
        "\
daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
{temporary}{server}}}
"
    )
}

fn backend_server(port: u16) -> String {
    let frame = r#"{"id":42,"text":""}"#.len();
    let text = "x".repeat(BODY_BYTES - frame);
    format!(
        "  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{{\"id\":42,\"text\":\"{text}\"}}'; }}
  }}\n"
    )
}

fn proxy_server(port: u16, backend: u16) -> String {
    format!(
        "  upstream backend {{
    server 127.0.0.1:{backend};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /bench/ {{
      proxy_pass http://backend/;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}\n"
    )
}
