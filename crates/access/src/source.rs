//! Sources: what counts as one where clients are counted that have shown no credential.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one source: an IPv4 address, or the 64 bits of an IPv6 address that one customer is given.
#[must_use]
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
    }
}
