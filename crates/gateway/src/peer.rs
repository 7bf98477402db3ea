//! The other end of a connection, written down once for all of its requests.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use arrayvec::ArrayString;

use crate::arrival::{Field, Fields};
use crate::clients::Shown;
use crate::fields::FieldList;
use crate::shown::ShownBefore;
use crate::source::{Callers, Standing};

/// Who is at the other end of a connection, or behind the proxy there.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// What upstreams are told that was asked over.
    pub(crate) scheme: &'static str,
    /// The address, as the journal keeps it and as `X-Forwarded-For` says it.
    pub(crate) text: ArrayString<48>,
    /// The `for` parameter of `Forwarded` (RFC 7239, section 6).
    pub(crate) forwarded: ArrayString<64>,
    pub(crate) security: Security,
    /// The certificate that it showed.
    pub(crate) shown: Option<Rc<Shown>>,
}

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    /// With the name that the client asked for in its handshake, in lower case.
    Tls(Option<Box<str>>),
}

impl Security {
    /// The scheme of what is asked for over the connection.
    const fn scheme(&self) -> &'static str {
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
    pub(crate) fn new(ip: IpAddr, security: Security, shown: Option<Shown>) -> Self {
        let (text, forwarded) = written(ip);
        Self { ip, scheme: security.scheme(), text, forwarded, security, shown: shown.map(Rc::new) }
    }

    /// Whether no further request is read from it: its certificate was found good no more.
    pub(crate) fn is_over(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.is_void())
    }

    /// Somebody who asks through this one, whose certificate says nothing of them.
    fn behind(&self, ip: IpAddr, scheme: &'static str) -> Self {
        let (text, forwarded) = written(ip);
        Self { ip, scheme, text, forwarded, shown: None, security: self.security.clone() }
    }
}

/// An address as text, and as the `for` parameter of `Forwarded`.
fn written(ip: IpAddr) -> (ArrayString<48>, ArrayString<64>) {
    let (mut text, mut forwarded) = (ArrayString::new(), ArrayString::new());
    // An IPv6 address has at most 45 characters: both fit.
    let _ = write!(text, "{ip}");
    let _ = match ip {
        IpAddr::V4(ip) => write!(forwarded, "for={ip}"),
        IpAddr::V6(ip) => write!(forwarded, "for=\"[{ip}]\""),
    };
    (text, forwarded)
}

/// The other end of a connection, and whether it speaks for others.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) shown_before: ShownBefore,
    /// The rules by which it was believed when it connected.
    callers: Arc<Callers>,
    standing: Standing,
}

/// What a believed proxy must say of each request.
const UNTOLD: &str =
    "the proxy in front does not say in `X-Forwarded-For` and `X-Forwarded-Proto` who asks, and how";

impl Caller {
    pub(crate) fn new(peer: Peer, callers: Arc<Callers>) -> Self {
        let standing = callers.standing(peer.ip);
        Self { peer, shown_before: ShownBefore::default(), callers, standing }
    }

    /// Who asks by a request with these fields, where the other end is believed to speak for others. What it says that
    /// cannot be read becomes the request's fault.
    pub(crate) fn behind(&self, sent: &FieldList, fields: &mut Fields<'_>) -> Option<Peer> {
        if self.standing != Standing::Forwards {
            return None;
        }
        let told: Vec<_> = sent.all(b"x-forwarded-for").collect();
        let client = self.callers.client_in(told.into_iter());
        let mut scheme = Field::Absent;
        sent.all(b"x-forwarded-proto").for_each(|value| scheme.add(value));
        let scheme = match scheme {
            Field::Absent => Some(self.peer.scheme),
            Field::Once(b"http") => Some("http"),
            Field::Once(b"https") => Some("https"),
            Field::Once(_) | Field::Several => None,
        };
        let (Ok(client), Some(scheme)) = (client, scheme) else {
            fields.find_fault(UNTOLD);
            return None;
        };
        Some(self.peer.behind(client.unwrap_or(self.peer.ip), scheme))
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
