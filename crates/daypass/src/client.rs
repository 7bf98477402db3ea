//! The client of the console's API, which every command that asks a server goes through.
//!
//! Over the server's own socket for whoever runs it, else over HTTP with a session. It follows no
//! redirects, uses no proxy from the environment, and sends a session over TLS, or in the clear to this machine
//! only. An answer without the header that only a console sends is an error, whatever it says.
//! Not here: what the commands ask, or how answers are shown.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::config;

/// The longest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest row of a stream, in bytes.
const ROW_BYTES_MAX: usize = 1024 * 1024;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the next bytes. Streams have a heartbeat every 10 s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the server is.
#[derive(Debug)]
pub enum Target {
    /// On this machine, behind this socket.
    Socket(PathBuf),
    /// At this URL, with this session.
    Url(Url, Secret),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(&'static str),
    /// The session is not one.
    #[error("`DAYPASS_SESSION` is not a session: `daypass admin session USER` prints one")]
    Session,
    /// Nobody could vouch for a server over TLS.
    #[error(
        "{0}, so that no server can prove who it is\nnext: install the system's certificates (Debian: `ca-certificates`), or name a file of them with SSL_CERT_FILE"
    )]
    NobodyTrusted(gateway::tls::NobodyTrusted),
    /// Nothing says where the server of this machine is.
    #[error(
        "it is not known which server to ask: there is no `daypass.yaml` here, none at `/etc/daypass/daypass.yaml`, and no server's socket in `./daypass-data`\nnext: name the server's configuration with `--config FILE` or DAYPASS_CONFIG, or ask over HTTP with DAYPASS_URL and DAYPASS_SESSION; `daypass init --api NAME --upstream URL` writes a first configuration"
    )]
    NoConfiguration,
    /// Nothing listens at the socket.
    #[error(
        "no server runs here (`{}`)\nnext: start it with `daypass serve`, or set DAYPASS_URL and DAYPASS_SESSION",
        .0.display()
    )]
    NoSocket(PathBuf),
    /// The socket belongs to somebody else.
    #[error(
        "this user may not use the server's socket `{}`: run the command as the server's user, or set DAYPASS_URL and DAYPASS_SESSION",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// The server does not prove who it is.
    #[error(
        "the server at {place} does not prove who it is: {why}\nnext: if its certificate is from an authority of your own, name that one's file with SSL_CERT_FILE; nothing was sent"
    )]
    Unproven {
        /// Its URL.
        place: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// The server cannot be reached.
    #[error(
        "cannot reach the server at {place}: {why}\nnext: see that it runs, and that DAYPASS_URL, or `--url`, is the address of its `listen.console`; on its own machine `--local` asks it through its socket"
    )]
    Unreachable {
        /// Its URL or socket.
        place: String,
        /// What went wrong.
        why: String,
    },
    /// The server took too long.
    #[error("the server at {0} did not answer in time")]
    TimedOut(String),
    /// Something else answers there.
    #[error(
        "what answers at {place} with {status} is not the console of a Daypass server; nothing is known of what it did\nnext: DAYPASS_URL, or `--url`, is the address of `listen.console`, not of the proxy or of an API"
    )]
    NotDaypass {
        /// Its URL or socket.
        place: String,
        /// The status it answered.
        status: u16,
    },
    /// The answer began and did not end.
    #[error(
        "the answer of the server at {place} broke off, so what came of it is not all: {why}\nnext: see that the server still runs; its log may say why"
    )]
    BrokeOff {
        /// Its URL or socket.
        place: String,
        /// What went wrong.
        why: String,
    },
    /// The answer is not of the shape that the API has.
    #[error("the server's answer cannot be understood: {0}")]
    Answer(String),
    /// The server said no.
    #[error("{0}")]
    Problem(Box<Problem>),
}

/// The server's own words (RFC 9457).
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// What kind of problem.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong.
    #[serde(default)]
    pub detail: String,
    /// The reason, for programs.
    #[serde(default)]
    pub code: String,
    /// What to do.
    #[serde(default)]
    pub next: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let says = [&self.detail, &self.title, &self.code].into_iter().find(|text| !text.is_empty());
        let says = says.map_or_else(
            || format!("the server answered {}", self.status),
            |text| crate::output::plain(text),
        );
        f.write_str(&says)?;
        match &self.next {
            Some(next) => write!(f, "\nnext: {}", crate::output::plain(next)),
            None => Ok(()),
        }
    }
}

/// A URL that a session may be sent to.
///
/// # Errors
/// [`ClientError::Url`] for another machine over `http://`, and for anything but that and `https://`.
pub fn parse_url(text: &str) -> Result<Url, ClientError> {
    let url: Url = text.parse().map_err(|_| {
        ClientError::Url("the server's URL is not one: write it like `http://127.0.0.1:8081`")
    })?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match url.scheme() {
        "https" if bare => Ok(url),
        "http" if bare && config::is_loopback(host) => Ok(url),
        "http" if bare => Err(ClientError::Url(
            "a session is sent in the clear to this machine only: use `https://`, or forward a port, like `ssh -L 8081:127.0.0.1:8081 HOST`",
        )),
        _ => Err(ClientError::Url("the server's URL is not one: write it like `http://127.0.0.1:8081`")),
    }
}

/// A way to ask one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    socket: Option<PathBuf>,
}

impl Client {
    /// A client of the server there. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Session`] if the session cannot be sent.
    pub fn new(target: Target) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tls_backend_preconfigured(trusted(&target)?);
        let answer = |error: reqwest::Error| ClientError::Answer(error.to_string());
        match target {
            Target::Socket(socket) => Ok(Self {
                http: builder.unix_socket(socket.as_path()).build().map_err(answer)?,
                base: parse_url("http://localhost/")?,
                authorization: None,
                socket: Some(socket),
            }),
            Target::Url(base, session) => Ok(Self {
                http: builder.build().map_err(answer)?,
                base,
                authorization: Some(bearer(&session)?),
                socket: None,
            }),
        }
    }

    /// Asks for a value.
    ///
    /// # Errors
    /// [`ClientError`]; the same for every function here that returns one.
    pub async fn read(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, ClientError> {
        self.value(self.send(Method::GET, path, query, None).await?).await
    }

    /// Asks for a change.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, ClientError> {
        self.value(self.send(Method::POST, path, &[], Some(body)).await?).await
    }

    /// Asks for a removal.
    pub async fn delete(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.value(self.send(Method::DELETE, path, &[], None).await?).await
    }

    /// Asks for lines, one after the other as they come.
    pub async fn lines(&self, path: &[&str], query: &[(&str, String)]) -> Result<Lines<'_>, ClientError> {
        let response = self.send(Method::GET, path, query, None).await?;
        Ok(Lines { client: self, response, buffer: Vec::new(), read: 0 })
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, self.url(path, query)).header(ACCEPT, "*/*");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.explain(&error))?;
        if !response.headers().contains_key(admin::routes::CONSOLE_HEADER) {
            let (place, status) = (self.place(), response.status().as_u16());
            return Err(ClientError::NotDaypass { place, status });
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn value(&self, response: Response) -> Result<Value, ClientError> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Answer(error.to_string()))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broke_off(&error))? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(ClientError::Answer("it is longer than 64 MiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn problem(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let empty =
            Problem { title: String::new(), status, detail: String::new(), code: String::new(), next: None };
        let problem = serde_json::from_slice(&body).unwrap_or(empty);
        ClientError::Problem(Box::new(Problem { status, ..problem }))
    }

    fn explain(&self, error: &reqwest::Error) -> ClientError {
        match (&self.socket, io_kind(error)) {
            (Some(socket), Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => {
                ClientError::NoSocket(socket.clone())
            }
            (Some(socket), Some(io::ErrorKind::PermissionDenied)) => ClientError::NotOurs(socket.clone()),
            _ if error.is_timeout() => ClientError::TimedOut(self.place()),
            _ => match innermost(error) {
                why if why.contains("peer certificate") => ClientError::Unproven { place: self.place(), why },
                why => ClientError::Unreachable { place: self.place(), why },
            },
        }
    }

    /// Why an answer that has begun does not go on.
    fn broke_off(&self, error: &reqwest::Error) -> ClientError {
        match error.is_timeout() {
            true => ClientError::TimedOut(self.place()),
            false => ClientError::BrokeOff { place: self.place(), why: innermost(error) },
        }
    }

    fn place(&self) -> String {
        let shown = |socket: &PathBuf| format!("`{}`", Path::new(socket).display());
        self.socket.as_ref().map_or_else(|| self.base.to_string(), shown)
    }
}

/// Whom a server that is reached over TLS must be vouched for by: the system's authorities, or those of the file
/// that `SSL_CERT_FILE` names. Read for nobody else.
fn trusted(target: &Target) -> Result<impl std::any::Any, ClientError> {
    let trust = match target {
        Target::Url(url, _) if url.scheme() == "https" => {
            gateway::tls::Trust::system().map_err(ClientError::NobodyTrusted)?
        }
        Target::Url(..) | Target::Socket(_) => gateway::tls::Trust::nobody(),
    };
    trust.client().ok_or_else(|| ClientError::Answer("TLS cannot be set up".to_owned()))
}

/// A session as a header that is left out of every log.
fn bearer(session: &Secret) -> Result<HeaderValue, ClientError> {
    let text = session
        .expose_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let value = text.and_then(|text| HeaderValue::try_from(format!("Bearer {text}")).ok());
    let mut value = value.ok_or(ClientError::Session)?;
    value.set_sensitive(true);
    Ok(value)
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// Lines of an answer, as they come.
pub struct Lines<'c> {
    client: &'c Client,
    response: Response,
    buffer: Vec<u8>,
    /// How much of the buffer has been handed out.
    read: usize,
}

impl Lines<'_> {
    /// The next line without its line break; `None` at the end of the answer.
    ///
    /// # Errors
    /// [`ClientError::Answer`] for a line of more than 1 MiB, [`ClientError::BrokeOff`] for an answer without an
    /// end, and [`ClientError::Problem`] for one whose last line is an error.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                return text(line).and_then(refuse_error).map(Some);
            }
            if self.buffer.len() > ROW_BYTES_MAX {
                return Err(ClientError::Answer("a line is longer than 1 MiB".to_owned()));
            }
            let chunk = self.response.chunk().await.map_err(|error| self.client.broke_off(&error))?;
            match chunk {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return text(std::mem::take(&mut self.buffer)).and_then(refuse_error).map(Some),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.get(self.read..)?;
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            self.buffer.drain(..self.read);
            self.read = 0;
            return None;
        };
        let line = rest.get(..length).map(<[u8]>::to_vec);
        self.read = self.read.saturating_add(length).saturating_add(1);
        line
    }
}

fn text(line: Vec<u8>) -> Result<String, ClientError> {
    String::from_utf8(line).map_err(|_| ClientError::Answer("a line is not UTF-8".to_owned()))
}

/// A server that finds out amid its answer that it cannot give all of it says so in a last line, as a problem.
fn refuse_error(line: String) -> Result<String, ClientError> {
    #[derive(Deserialize)]
    struct LastLine {
        error: Box<Problem>,
    }
    // No row has a member `error`; most lines need not be read twice to know it.
    if !line.starts_with("{\"error\":") {
        return Ok(line);
    }
    match serde_json::from_str::<LastLine>(&line) {
        Ok(last) => Err(ClientError::Problem(last.error)),
        Err(_) => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_sent_in_the_clear_to_this_machine_only() {
        for text in [
            "http://127.0.0.1:8081",
            "https://daypass.example.com",
            "http://localhost:8081/",
            "http://[::1]:8081",
        ] {
            assert!(parse_url(text).is_ok(), "{text} was refused");
        }
        for text in
            ["http://10.0.0.1:8081", "http://a@localhost", "https://a@localhost", "ftp://localhost", "8081"]
        {
            assert!(parse_url(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn paths_are_segments_whatever_is_in_them() {
        let client = Client::new(Target::Socket("/nowhere".into())).unwrap();
        let url = client.url(&["services", "a/../b", "rotate"], &[("path", "/a b&c".to_owned())]);
        assert_eq!(url.as_str(), "http://localhost/api/v1/services/a%2F..%2Fb/rotate?path=%2Fa+b%26c");
    }
}
