//! The other end of a connection, written down once for all of its requests.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use arrayvec::ArrayString;

use crate::streams::Line;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// The address, as the journal keeps it and as `X-Forwarded-For` says it.
    pub(crate) text: ArrayString<48>,
    /// The `for` parameter of `Forwarded` (RFC 7239, section 6).
    pub(crate) forwarded: ArrayString<64>,
    /// Where the connection learns that an exchange of its was cut.
    pub(crate) line: Rc<Line>,
}

impl Peer {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let (mut text, mut forwarded) = (ArrayString::new(), ArrayString::new());
        // An IPv6 address has at most 45 characters: both fit.
        let _ = write!(text, "{ip}");
        let _ = match ip {
            IpAddr::V4(ip) => write!(forwarded, "for={ip}"),
            IpAddr::V6(ip) => write!(forwarded, "for=\"[{ip}]\""),
        };
        Self { ip, text, forwarded, line: Rc::default() }
    }
}
