//! Memory: of a proxy that has just started, and with many idle connections.
//!
//! Each proxy is started anew and alone. A connection makes one request and is kept; this process
//! holds its other end. The descriptors of one process bound how many there are: a proxy that is
//! careful keeps some for upstreams.
//! Not here: memory under load.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::PATHS;
use super::proxy::{Front, Proxy};
use super::stage::{PROXY_CORE, Place, Stage};
use crate::clock::pause;
use crate::http::Connection;
use crate::instance::Under;
use crate::stop;

/// Whose memory is measured; what Daypass does to its journal makes no difference here.
const PROXIES: [Proxy; 4] = [Proxy::Nginx, Proxy::Haproxy, Proxy::Envoy, Proxy::Fsync];

/// Idle connections, when descriptors suffice.
const IDLE: usize = 10_000;

/// Descriptors that are left to a process for other things.
const DESCRIPTORS_LEFT: usize = 1_024;

/// How long a proxy is left alone before it is measured.
const REST: Duration = Duration::from_secs(1);

/// Resident bytes of one proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) proxy: Proxy,
    pub(crate) front: Front,
    pub(crate) connections: usize,
    /// Before the first request.
    pub(crate) start: u64,
    /// With the connections.
    pub(crate) idle: u64,
}

/// All proxies but `absent`, in the clear and over TLS.
pub(crate) fn measure(binary: &Path, absent: &[Proxy]) -> Result<Vec<Held>> {
    let limits = fs::read_to_string("/proc/self/limits").context("cannot read the limits of this process")?;
    let descriptors = descriptors(&limits).context("no limit of descriptors")?;
    let connections = IDLE.min(descriptors.saturating_sub(DESCRIPTORS_LEFT) / 4 * 3);
    let mut held = Vec::new();
    for front in [Front::Clear, Front::Tls] {
        for proxy in PROXIES.into_iter().filter(|proxy| !absent.contains(proxy)) {
            let one = one(binary, proxy, front, connections).with_context(|| format!("memory of {proxy}"))?;
            eprintln!("memory, {proxy}, {front:?}: {} KiB, then {} KiB", one.start / 1024, one.idle / 1024);
            held.push(one);
        }
    }
    Ok(held)
}

fn one(binary: &Path, proxy: Proxy, front: Front, connections: usize) -> Result<Held> {
    let stage = Stage::up(binary, front, &[proxy], &Under::Core(PROXY_CORE))?;
    pause(REST);
    let start = stage.resident(proxy)?;
    let place = stage.place(proxy)?;
    let idle = match front {
        Front::Tls => with(&stage, proxy, keep(place, connections, || stage.client.open(place.port))?),
        Front::Clear | Front::H2c => {
            with(&stage, proxy, keep(place, connections, || Ok(Connection::open(place.port)?))?)
        }
    }?;
    Ok(Held { proxy, front, connections, start, idle })
}

/// So many connections, each after a request that was answered with 200.
fn keep<S: Read + Write>(
    place: &Place,
    connections: usize,
    open: impl Fn() -> Result<Connection<S>>,
) -> Result<Vec<Connection<S>>> {
    let bearer = format!("Bearer {}", place.key);
    let mut held = Vec::with_capacity(connections);
    for number in 1..=connections {
        stop::check()?;
        let asked = open().and_then(|mut connection| {
            let answer = connection.ask("GET", PATHS[0], &[("Authorization", &bearer)])?;
            let said = || String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
            ensure!(answer.status == 200, "it was answered with {}: {}", answer.status, said());
            Ok(connection)
        });
        held.push(asked.with_context(|| format!("connection {number} of {connections}"))?);
    }
    Ok(held)
}

/// What is resident while `held` is.
fn with<T>(stage: &Stage, proxy: Proxy, held: Vec<T>) -> Result<u64> {
    pause(REST);
    let bytes = stage.resident(proxy);
    drop(held);
    bytes
}

/// The soft limit in the text of `/proc/PID/limits`.
fn descriptors(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_descriptors_is_read() {
        let text =
            "Max processes  1  1  processes\nMax open files            20000     65536     files     \n";
        assert_eq!(descriptors(text), Some(20_000));
        assert_eq!(descriptors("Max processes 1 1"), None);
        assert!(descriptors(&fs::read_to_string("/proc/self/limits").unwrap()).is_some());
    }
}
