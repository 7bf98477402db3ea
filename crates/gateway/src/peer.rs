//! The other end of a connection, written down once for all of its requests.

use std::fmt::Write as _;
use std::net::IpAddr;

use arrayvec::ArrayString;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// The address, as the journal keeps it and as `X-Forwarded-For` says it.
    pub(crate) text: ArrayString<48>,
    /// The `for` parameter of `Forwarded` (RFC 7239, section 6).
    pub(crate) forwarded: ArrayString<64>,
    pub(crate) security: Security,
}

/// How a connection is secured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    /// With the name that the client asked for in its handshake, in lower case.
    Tls(Option<Box<str>>),
}

impl Security {
    /// The scheme of what is asked for over the connection.
    pub(crate) const fn scheme(&self) -> &'static str {
        match self {
            Self::None => "http",
            Self::Tls(_) => "https",
        }
    }

    /// Whether the client shook hands with a server of another name than `host`, a port aside.
    pub(crate) fn contradicts(&self, host: &str) -> bool {
        let Self::Tls(Some(name)) = self else { return false };
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => host,
        };
        !bare.strip_suffix('.').unwrap_or(bare).eq_ignore_ascii_case(name)
    }
}

impl Peer {
    pub(crate) fn new(ip: IpAddr, security: Security) -> Self {
        let (mut text, mut forwarded) = (ArrayString::new(), ArrayString::new());
        // An IPv6 address has at most 45 characters: both fit.
        let _ = write!(text, "{ip}");
        let _ = match ip {
            IpAddr::V4(ip) => write!(forwarded, "for={ip}"),
            IpAddr::V6(ip) => write!(forwarded, "for=\"[{ip}]\""),
        };
        Self { ip, text, forwarded, security }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_for_another_name_contradicts_the_host() {
        let shaken = Security::Tls(Some("orders.example.com".into()));
        for host in ["orders.example.com", "ORDERS.example.com:8443", "orders.example.com."] {
            assert!(!shaken.contradicts(host), "{host}");
        }
        for host in ["example.com", "stock.example.com", "orders.example.com.evil", "[::1]:443", ""] {
            assert!(shaken.contradicts(host), "{host}");
        }
        assert!(!Security::Tls(None).contradicts("anything"));
        assert!(!Security::None.contradicts("anything"));
    }
}
