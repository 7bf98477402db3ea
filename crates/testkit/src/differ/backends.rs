//! Real servers behind the proxy, each of which reports every request that it has read whole.
//!
//! What cannot be started here is left out; whoever asks sees which ones there are.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use journal::RequestRow;
use serde_json::Value;
use tempfile::TempDir;

use crate::upstream::{Seen, Upstream};

const NODE: &str = include_str!("../../../../xtask/differ/backend.js");
const JAVA: &str = include_str!("../../../../xtask/differ/Backend.java");
const PYTHON: &str = include_str!("../../../../xtask/differ/backend.py");

/// The servers there are.
pub const NAMES: [&str; 7] = ["nginx", "haproxy", "node", "python", "java", "hyper", "reference"];

/// One server.
#[derive(Debug)]
pub struct Backend {
    /// Its name, which is that of its API, too.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    report: Report,
    process: Option<Child>,
    _folder: Option<TempDir>,
}

#[derive(Debug)]
enum Report {
    File { path: PathBuf, read: u64, line: fn(&str) -> Option<Seen> },
    Memory(Arc<Mutex<Vec<Seen>>>),
    Recorder(Upstream, usize),
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

impl Backend {
    /// Starts the server of this name, of [`NAMES`].
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn start(name: &str) -> Result<Self, String> {
        match name {
            "nginx" => nginx(),
            "haproxy" => haproxy(),
            "node" => scripted("node", "node", NODE, "backend.js"),
            "python" => scripted("python", "python3", PYTHON, "backend.py"),
            "java" => scripted("java", "java", JAVA, "Backend.java"),
            "hyper" => hyper(),
            "reference" => {
                let upstream = Upstream::start().await;
                let address = upstream.address();
                let report = Report::Recorder(upstream, 0);
                Ok(Self { name: "reference", address, report, process: None, _folder: None })
            }
            other => Err(format!("there is no backend `{other}`")),
        }
    }

    /// Whether a row's request went to it.
    #[must_use]
    pub fn is_of(&self, row: &RequestRow) -> bool {
        row.upstream.as_deref().is_some_and(|url| url.contains(&self.address.to_string()))
    }

    /// What it has seen since it was asked last.
    ///
    /// # Panics
    /// Its report cannot be read.
    pub fn seen(&mut self) -> Vec<Seen> {
        match &mut self.report {
            Report::Memory(seen) => std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)),
            Report::Recorder(upstream, taken) => {
                let all = upstream.seen();
                let new = all.get(*taken..).unwrap_or_default().to_vec();
                *taken = all.len();
                new
            }
            Report::File { path, read, line } => {
                let mut file = std::fs::File::open(path).unwrap();
                file.seek(SeekFrom::Start(*read)).unwrap();
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                *read += whole as u64;
                let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default());
                text.lines().filter_map(*line).collect()
            }
        }
    }
}

fn backend(name: &'static str, port: u16, report: Report, process: Option<(Child, TempDir)>) -> Backend {
    let (process, folder) = process.unzip();
    Backend { name, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), report, process, _folder: folder }
}

fn file(path: PathBuf, line: fn(&str) -> Option<Seen>) -> Report {
    std::fs::write(&path, "").unwrap();
    Report::File { path, read: 0, line }
}

/// A program that prints its port, and reports one line of JSON a request.
fn scripted(name: &'static str, program: &str, text: &str, script: &str) -> Result<Backend, String> {
    let folder = tempfile::tempdir().unwrap();
    let (script, path) = (folder.path().join(script), folder.path().join("report"));
    std::fs::write(&script, text).unwrap();
    let report = file(path.clone(), json_line);
    let mut command = Command::new(program);
    let mut child = spawn(command.arg(script).arg(path).stdout(Stdio::piped()))?;
    let mut said = String::new();
    let out = child.stdout.take().expect("an output");
    BufReader::new(out).read_line(&mut said).map_err(|error| error.to_string())?;
    let port = said.trim().parse().map_err(|_| format!("{program} said `{said}` instead of its port"))?;
    Ok(backend(name, port, report, Some((child, folder))))
}

/// Every process ends when its input does, so that none outlives whoever started it, however that ends.
fn spawn(command: &mut Command) -> Result<Child, String> {
    command.stdin(Stdio::piped()).spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))
}

/// A server that knows nothing of its input.
fn minded(program: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "\"$@\" </dev/null & own=$!; cat >/dev/null; kill -TERM $own; wait $own";
    command.args(["-c", script, program, program]);
    command
}

fn json_line(line: &str) -> Option<Seen> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields = value["fields"].as_array()?.iter().map(|field| (text(&field[0]), text(&field[1]))).collect();
    // One character stands for one byte.
    let body: Vec<u8> =
        value["body"].as_str()?.chars().map(|one| u8::try_from(u32::from(one)).unwrap_or(0)).collect();
    Some(seen(text(&value["method"]), text(&value["target"]), fields, body))
}

fn seen(method: String, target: String, fields: Vec<(String, String)>, body: Vec<u8>) -> Seen {
    Seen { method, target, fields, body_bytes: body.len() as u64, body, ..Seen::default() }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
fn listens(port: u16) -> Result<(), String> {
    for _ in 0..500 {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("it does not listen".to_owned())
}

/// The fields that nginx reports, one by one; it joins several of one name.
const FIELDS: [&str; 11] = [
    "x-request-id",
    "daypass-subject",
    "daypass-grant",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "forwarded",
    "traceparent",
    "x-real-ip",
    "x-body",
    "authorization",
];

fn nginx() -> Result<Backend, String> {
    let folder = tempfile::tempdir().unwrap();
    let (port, inner, path) = (free_port(), free_port(), folder.path().join("report"));
    let report = file(path, nginx_line);
    let conf = folder.path().join("nginx.conf");
    std::fs::write(&conf, nginx_conf(folder.path(), port, inner)).unwrap();
    let mut command = minded("nginx");
    let child = spawn(command.arg("-p").arg(folder.path()).arg("-e").arg("error.log").arg("-c").arg(conf))?;
    listens(port)?;
    Ok(backend("nginx", port, report, Some((child, folder))))
}

/// Bodies are read, and so can be logged, only where they are passed on. What nginx writes where there is none, `-`, may
/// be a body, hence the `=`.
fn nginx_conf(folder: &Path, port: u16, inner: u16) -> String {
    let fields: String = FIELDS.iter().map(|name| format!("\"$http_{}", name.replace('-', "_"))).collect();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|name| format!("  {name}_temp_path tmp_{name};\n")).collect();
    let folder = folder.display();
    format!(
        "daemon off;\nworker_processes 1;\npid nginx.pid;\nevents {{ worker_connections 4096; }}\nhttp {{
  map $request_body $body {{ '' ''; default =$request_body; }}
  log_format seen escape=default '$status\"$request_method\"$request_uri{fields}\"$body';
  keepalive_requests 1000000000;\n  keepalive_timeout 60s;\n  large_client_header_buffers 8 64k;
  client_max_body_size 0;\n  client_body_buffer_size 256k;
{temporary}  upstream inner {{ server 127.0.0.1:{inner}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    access_log {folder}/report seen;
    location / {{
      proxy_pass http://inner;\n      proxy_http_version 1.1;
      proxy_set_header Connection '';\n      proxy_set_header upstream-saw $http_x_request_id;
    }}
  }}
  server {{
    listen 127.0.0.1:{inner};\n    access_log off;
    location / {{ add_header upstream-saw $http_upstream_saw; return 200 'nginx'; }}
  }}\n}}\n"
    )
}

fn nginx_line(line: &str) -> Option<Seen> {
    let parts: Vec<&str> = line.split('"').collect();
    let [status, method, target, rest @ ..] = &parts[..] else { return None };
    let (values, body) = rest.split_at_checked(FIELDS.len())?;
    if *status != "200" {
        return None;
    }
    let present = FIELDS.iter().zip(values).filter(|(_, value)| **value != "-");
    let text = |escaped: &str| String::from_utf8_lossy(&unescaped(escaped)).into_owned();
    let fields = present.map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    let body = body.first().and_then(|body| body.strip_prefix('=')).map(unescaped).unwrap_or_default();
    Some(seen(text(method), text(target), fields, body))
}

/// `\xHH` is how nginx writes what is not plain, quotes among it.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.strip_prefix(b"x").and_then(|after| after.get(..2)).filter(|_| *byte == b'\\');
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

fn haproxy() -> Result<Backend, String> {
    let folder = tempfile::tempdir().unwrap();
    let (port, path) = (free_port(), folder.path().join("report"));
    let report = file(path.clone(), haproxy_line);
    let conf = folder.path().join("haproxy.cfg");
    std::fs::write(&conf, haproxy_conf(port)).unwrap();
    let out = std::fs::File::options().append(true).open(path).unwrap();
    let child = spawn(minded("haproxy").arg("-f").arg(conf).stdout(out).stderr(Stdio::null()))?;
    listens(port)?;
    Ok(backend("haproxy", port, report, Some((child, folder))))
}

fn haproxy_conf(port: u16) -> String {
    format!(
        "global\n  log stdout len 65535 format raw local0\n  nbthread 1\n  tune.bufsize 65536\n  maxconn 4000
defaults\n  mode http\n  log global\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s
  timeout http-keep-alive 60s
frontend f\n  bind 127.0.0.1:{port}\n  option http-buffer-request
  http-request set-var(txn.url) url,hex
  http-request set-var(txn.fields) req.hdrs,hex\n  http-request set-var(txn.body) req.body,hex
  log-format \"seen %ST %HM %[var(txn.url)] %[var(txn.fields)] %[var(txn.body)]\"
  http-request return status 200 content-type text/plain string haproxy hdr upstream-saw \"%[req.hdr(x-request-id)]\"\n"
    )
}

fn haproxy_line(line: &str) -> Option<Seen> {
    let rest = line.get(line.find("seen ")? + 5..)?;
    let mut words = rest.split(' ');
    if words.next() != Some("200") {
        return None;
    }
    let (method, target) = (words.next()?.to_owned(), from_hex(words.next()?));
    let fields = from_hex(words.next()?);
    let fields = String::from_utf8_lossy(&fields).into_owned();
    let fields = fields.split("\r\n").filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let body = words.next().filter(|body| *body != "-").map(from_hex).unwrap_or_default();
    Some(seen(method, String::from_utf8_lossy(&target).into_owned(), fields, body))
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// hyper's server on a thread of its own; it ends with the process.
fn hyper() -> Result<Backend, String> {
    let all: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let kept = all.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while serving.try_join_next().is_some() {}
                let _ = stream.set_nodelay(true);
                let kept = kept.clone();
                serving.spawn(async move {
                    let service = service_fn(|request| answer(request, kept.clone()));
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    Ok(backend("hyper", port, Report::Memory(all), None))
}

async fn answer(
    request: hyper::Request<Incoming>,
    kept: Arc<Mutex<Vec<Seen>>>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = body.collect().await?.to_bytes().to_vec();
    let own = seen(parts.method.to_string(), parts.uri.to_string(), fields, body);
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(own);
    let mut response = hyper::Response::new(Full::from("hyper"));
    let id = parts.headers.get("x-request-id").cloned();
    response.headers_mut().extend(id.map(|id| (http::HeaderName::from_static("upstream-saw"), id)));
    Ok(response)
}
