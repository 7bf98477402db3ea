//! What is measured, and how it is reached.

use std::fmt::{self, Display};

/// A proxy; the order of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Envoy,
    NginxChecks,
    HaproxyChecks,
    Write,
    Fsync,
}

impl Proxy {
    pub(crate) const ALL: [Self; 7] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Envoy,
        Self::NginxChecks,
        Self::HaproxyChecks,
        Self::Write,
        Self::Fsync,
    ];

    pub(crate) const OURS: [Self; 2] = [Self::Write, Self::Fsync];

    /// Those that a change of every day is measured with.
    pub(crate) const DAILY: [Self; 3] = [Self::Nginx, Self::Write, Self::Fsync];

    /// Each peer at its plainest, and Daypass, which has no plain mode.
    pub(crate) const PLAIN: [Self; 5] = [Self::Nginx, Self::Haproxy, Self::Envoy, Self::Write, Self::Fsync];

    /// Whether a request without a credential is refused.
    pub(crate) fn checks(self) -> bool {
        match self {
            Self::Nginx | Self::Haproxy | Self::Envoy => false,
            Self::NginxChecks | Self::HaproxyChecks | Self::Write | Self::Fsync => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::NginxChecks => "nginx-checks",
            Self::HaproxyChecks => "haproxy-checks",
            Self::Write => "daypass-write",
            Self::Fsync => "daypass-fsync",
        }
    }
}

impl Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is spoken to a proxy; behind it, it is HTTP/1.1 in the clear always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Front {
    /// HTTP/1.1.
    Clear,
    /// HTTP/2 in the clear, known beforehand.
    H2c,
    /// HTTP/1.1 over TLS.
    Tls,
}
