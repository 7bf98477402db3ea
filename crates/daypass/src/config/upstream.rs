//! Where an API's requests go on to, and what is added to them on the way.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use access::{ApiName, Secret};
use gateway::Reach;
use http::HeaderName;
use http::uri::Authority;

/// How one API's requests go on.
#[derive(Debug)]
pub struct Forward {
    /// The API.
    pub api: ApiName,
    /// Where it runs: at least one, at most [`Forward::UPSTREAMS_MAX`].
    pub upstreams: Vec<gateway::Upstream>,
    /// Headers that each request gets, and no caller sees. Their values are header values.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How long what may take.
    pub patience: gateway::Patience,
    /// How its upstreams are asked whether they do well.
    pub check: Option<gateway::Check>,
    /// The most requests in flight; `None` without a limit.
    pub concurrency: Option<u32>,
    /// Which pages of other origins may call it.
    pub cors: Option<gateway::Cors>,
}

impl Forward {
    /// The most upstreams of one API.
    pub const UPSTREAMS_MAX: usize = gateway::bounds::UPSTREAMS_MAX;
}

/// The URL of one place where an API runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// The protocol it speaks.
    pub scheme: Scheme,
    /// Host and port as written, as in the `Host` header; the port is missing when the scheme implies it.
    pub authority: String,
    /// Where its server listens.
    pub server: Server,
    /// What comes before every path: empty, or `/…` without a slash at its end.
    pub base_path: String,
}

/// Where an upstream's server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// At a port.
    Port {
        /// The host alone, an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a socket of this machine.
    Socket(PathBuf),
}

/// The longest path of a Unix socket, in bytes: `sun_path` of `unix(7)` less its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What the `Host` header says of a server that has no host.
const SOCKET_AUTHORITY: &str = "localhost";

/// The protocol that an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
}

impl Scheme {
    /// Whether it is spoken over TLS.
    #[must_use]
    pub const fn is_secured(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }
}

impl UpstreamUrl {
    /// How it is found.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match &self.server {
            Server::Socket(path) => Reach::Path(path.as_path().into()),
            Server::Port { host, port } => match host.parse::<IpAddr>() {
                Ok(ip) => Reach::Address(SocketAddr::new(ip, *port)),
                Err(_) => Reach::Name(format!("{host}:{port}").into()),
            },
        }
    }

    /// The host; a server at a socket has none.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.server {
            Server::Port { host, .. } => Some(host),
            Server::Socket(_) => None,
        }
    }

    fn socket(scheme: Scheme, path: &str) -> Result<Self, NotAnUpstream> {
        let absolute = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
        if !absolute || path.len() > SOCKET_PATH_BYTES_MAX || path.chars().any(char::is_control) {
            return Err(NotAnUpstream::Socket);
        }
        let server = Server::Socket(path.into());
        Ok(Self { scheme, authority: SOCKET_AUTHORITY.to_owned(), server, base_path: String::new() })
    }
}

/// Why a text is not an upstream's URL.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAnUpstream {
    /// No scheme, or another.
    #[error("an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`")]
    Scheme,
    /// Not a path at which a socket can be.
    #[error("a Unix socket has an absolute path of at most {SOCKET_PATH_BYTES_MAX} bytes")]
    Socket,
    /// User and password in the URL.
    #[error("an upstream's URL does not carry a user or password")]
    UserInfo,
    /// No host, or a bad host or port.
    #[error("an upstream's URL names a host, and a port unless its scheme implies it")]
    Authority,
    /// A path that could be read in two ways, a query or a fragment.
    #[error("an upstream's path is plain segments, without `..`, `%`, `?` or `#`")]
    Path,
}

impl NotAnUpstream {
    /// What to write instead.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Scheme | Self::Authority | Self::Path => "write it like `http://127.0.0.1:7001`",
            Self::Socket => "write it like `unix:/run/orders.sock`",
            Self::UserInfo => "add them with `credentials.headers`, by reference",
        }
    }
}

impl std::str::FromStr for UpstreamUrl {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        for (prefix, scheme) in [("unix:", Scheme::Http), ("unix+h2c:", Scheme::H2c)] {
            if let Some(path) = text.strip_prefix(prefix) {
                return Self::socket(scheme, path);
            }
        }
        let (scheme, rest) = text.split_once("://").ok_or(NotAnUpstream::Scheme)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "h2c" => Scheme::H2c,
            "https" => Scheme::Https,
            "h2" => Scheme::H2,
            _ => return Err(NotAnUpstream::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NotAnUpstream::Authority)?;
        if authority.contains('@') {
            return Err(NotAnUpstream::UserInfo);
        }
        let (host, port) = host_and_port(authority, if scheme.is_secured() { 443 } else { 80 })
            .ok_or(NotAnUpstream::Authority)?;
        let server = Server::Port { host, port };
        Ok(Self { scheme, authority: authority.to_owned(), server, base_path: base_path(path)? })
    }
}

/// Host, without an IPv6 address's brackets, and port.
pub(super) fn host_and_port(text: &str, implied: u16) -> Option<(String, u16)> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let written_port = text.strip_prefix(host)?.strip_prefix(':');
    let port = match written_port {
        None if text == host => implied,
        None => return None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!bare.is_empty() && port > 0).then(|| (bare.to_owned(), port))
}

fn base_path(path: &str) -> Result<String, NotAnUpstream> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let plain = |segment: &str| {
        let letters = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        letters && !matches!(segment, "" | "." | "..")
    };
    let segments = trimmed.strip_prefix('/').map_or(trimmed.is_empty(), |inner| inner.split('/').all(plain));
    segments.then(|| trimmed.to_owned()).ok_or(NotAnUpstream::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_scheme_a_host_a_port_and_a_plain_path() {
        let read = |text: &str| {
            let upstream: UpstreamUrl = text.parse().unwrap();
            (upstream.scheme, upstream.server, upstream.base_path)
        };
        let at = |host: &str, port| Server::Port { host: host.to_owned(), port };
        let http = |host: &str, port, path: &str| (Scheme::Http, at(host, port), path.to_owned());
        assert_eq!(read("http://127.0.0.1:7001"), http("127.0.0.1", 7001, ""));
        assert_eq!(read("http://orders.internal/"), http("orders.internal", 80, ""));
        assert_eq!(read("http://[::1]:7001/a/b/"), http("::1", 7001, "/a/b"));
        assert_eq!(read("h2c://a:1").0, Scheme::H2c);
        assert_eq!(read("https://a"), (Scheme::Https, at("a", 443), String::new()));
        assert_eq!(read("h2://a:8443"), (Scheme::H2, at("a", 8_443), String::new()));
    }

    #[test]
    fn what_is_connected_to_always_has_a_port() {
        let reach = |text: &str| text.parse::<UpstreamUrl>().unwrap().reach();
        assert_eq!(reach("http://orders.internal"), Reach::Name("orders.internal:80".into()));
        assert_eq!(reach("https://orders.internal"), Reach::Name("orders.internal:443".into()));
        assert_eq!(reach("http://[::1]"), Reach::Address("[::1]:80".parse().unwrap()));
        assert_eq!(reach("http://127.0.0.1:1"), Reach::Address("127.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn a_socket_is_an_absolute_path_that_the_system_takes() {
        let read = |text: &str| text.parse::<UpstreamUrl>();
        let orders = read("unix:/run/orders.sock").unwrap();
        assert_eq!(
            (orders.scheme, orders.authority.as_str(), orders.host()),
            (Scheme::Http, "localhost", None)
        );
        assert_eq!(orders.reach(), Reach::Path(std::path::Path::new("/run/orders.sock").into()));
        assert_eq!(read("unix+h2c:/run/a.sock").unwrap().scheme, Scheme::H2c);
        let longest = format!("unix:/{}", "a".repeat(SOCKET_PATH_BYTES_MAX - 1));
        assert!(read(&longest).is_ok());
        for text in [
            "unix:",
            "unix:run/a",
            "unix://run/a",
            "unix:/run/",
            "unix:/a\nb",
            &format!("{longest}a"),
            "unix+h2c:a",
        ] {
            assert_eq!(read(text), Err(NotAnUpstream::Socket), "{text}");
        }
    }

    #[test]
    fn urls_that_could_mean_two_things_are_refused() {
        for (text, why) in [
            ("127.0.0.1:7001", NotAnUpstream::Scheme),
            ("ftp://a", NotAnUpstream::Scheme),
            ("unix+h2:/a", NotAnUpstream::Scheme),
            ("http://user:pass@a", NotAnUpstream::UserInfo),
            ("http://", NotAnUpstream::Authority),
            ("http://:80", NotAnUpstream::Authority),
            ("http://a:", NotAnUpstream::Authority),
            ("http://a:0", NotAnUpstream::Authority),
            ("http://a:65536", NotAnUpstream::Authority),
            ("http://a b", NotAnUpstream::Authority),
            ("http://a/..", NotAnUpstream::Path),
            ("http://a//b", NotAnUpstream::Path),
            ("http://a/%2e", NotAnUpstream::Path),
            ("http://a?x=1", NotAnUpstream::Path),
            ("http://a/b#c", NotAnUpstream::Path),
        ] {
            assert_eq!(text.parse::<UpstreamUrl>(), Err(why), "{text}");
        }
    }
}
