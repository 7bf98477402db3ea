//! What is up during a part of a bench: the backend, and each proxy of the part.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::{self, BLOB, BLOB_BYTES, BODY_BYTES, Load, PATHS, Shot};
use super::peers::{self, Site};
use super::proxy::{Front, Proxy};
use super::stats::Slice;
use super::tls::Client;
use super::usage::{self, Units};
use super::{h2load, tls};
use crate::clock::wait_for;
use crate::http::{Answer, Connection};
use crate::instance::{Durability, Instance, KeyFiles, Plan, ROLE_ALL, Under};
use crate::process::Running;
use crate::scratch::{Scratch, free_ports};
use crate::stop;

/// The core of every proxy.
pub(crate) const PROXY_CORE: usize = 0;

/// How long a peer may take to listen: under a tool it is slow.
const LISTEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a proxy is reached, who it is, and with what.
pub(crate) struct Place {
    pub(crate) port: u16,
    pub(crate) pid: u32,
    pub(crate) key: String,
}

/// Everything that runs; ends with its owner.
pub(crate) struct Stage {
    // Dropped in this order: proxies, backend, folder.
    instances: Vec<Instance>,
    servers: Vec<Running>,
    places: Vec<(Proxy, Place)>,
    pub(crate) front: Front,
    pub(crate) client: Client,
    tls: KeyFiles,
    units: Units,
    pub(crate) scratch: Scratch,
}

impl Stage {
    /// Starts everything; nothing is asked of a proxy yet.
    pub(crate) fn up(binary: &Path, front: Front, proxies: &[Proxy], under: &Under) -> Result<Self> {
        let scratch = Scratch::new("bench")?;
        let pair = tls::pair(&scratch)?;
        let mut stage = Self {
            instances: Vec::new(),
            servers: Vec::new(),
            places: Vec::new(),
            front,
            client: Client::trusting(&pair)?,
            tls: pair,
            units: Units::of_this_machine()?,
            scratch,
        };
        let [backend] = free_ports()?;
        let command = peers::backend(&stage.scratch, "backend", backend)?;
        stage.server("backend", command, backend)?;
        for proxy in proxies {
            stop::check()?;
            let up = match proxy {
                Proxy::Write => stage.daypass(binary, *proxy, Durability::Write, backend, under),
                Proxy::Fsync => stage.daypass(binary, *proxy, Durability::Fsync, backend, under),
                _ => stage.peer(*proxy, backend, under),
            };
            up.with_context(|| format!("{proxy} does not start"))?;
        }
        Ok(stage)
    }

    /// A key that no peer knows but those that check; of the length that Daypass gives.
    fn peer(&mut self, proxy: Proxy, backend: u16, under: &Under) -> Result<()> {
        let [port] = free_ports()?;
        let key = format!("dpk_{}", "0".repeat(44));
        let site = Site {
            name: proxy.name(),
            front: self.front,
            port,
            backend,
            tls: &self.tls,
            key: &key,
            scratch: &self.scratch,
            under,
        };
        let command = peers::command(proxy, &site)?;
        let pid = self.server(proxy.name(), command, port)?;
        self.places.push((proxy, Place { port, pid, key }));
        Ok(())
    }

    fn server(&mut self, name: &'static str, mut command: std::process::Command, port: u16) -> Result<u32> {
        let mut running = Running::start(name, &mut command)?;
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let up = wait_for(LISTEN_WAIT_MAX, || listens() || running.check().is_err());
        let log = self.scratch.path().join(name).join("error.log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        running.check().with_context(|| format!("it said:\n{}", said()))?;
        ensure!(up.is_some(), "{name} does not listen; it said:\n{}", said());
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
        under: &Under,
    ) -> Result<()> {
        let tls = (self.front == Front::Tls).then_some(&self.tls);
        let plan = Plan { binary, durability, upstream, under: under.clone(), tls };
        let mut instance = Instance::prepare(&self.scratch, &plan)?;
        instance.start()?;
        let key = instance.key(ROLE_ALL)?;
        let pid = instance.pid().context("not running")?;
        self.places.push((proxy, Place { port: instance.proxy, pid, key }));
        self.instances.push(instance);
        Ok(())
    }

    /// Each kind of request through each proxy. Fails when one does not answer as it should.
    pub(crate) fn rehearse(&self) -> Result<()> {
        let right = |(proxy, place): &(Proxy, Place)| {
            self.rehearse_one(*proxy, place).with_context(|| format!("{proxy} does not answer as it should"))
        };
        self.places.iter().try_for_each(right)
    }

    fn rehearse_one(&self, proxy: Proxy, place: &Place) -> Result<()> {
        let long = match proxy {
            // Their rules know the short answers only.
            Proxy::NginxChecks | Proxy::HaproxyChecks => None,
            _ => Some((BLOB, BLOB_BYTES)),
        };
        for (path, expected) in PATHS.map(|path| (path, BODY_BYTES)).into_iter().chain(long) {
            let (good, length) = self.ask(place, path, &place.key)?;
            ensure!(good && length == expected, "`{path}` has no 2xx, or {length} B");
        }
        let (passed, _) = self.ask(place, PATHS[0], "")?;
        ensure!(passed != proxy.checks(), "without a credential: passed is {passed}");
        Ok(())
    }

    /// Whether a request was answered with a 2xx, and the length of the body.
    fn ask(&self, place: &Place, path: &str, key: &str) -> Result<(bool, usize)> {
        let shot = |length| Shot { front: self.front, port: place.port, key, connections: 1, length };
        let bearer = format!("Bearer {key}");
        let fields: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("Authorization", &bearer)] };
        let answer = match self.front {
            Front::H2c => return h2load::once(&self.scratch, &shot(Duration::ZERO), path),
            Front::Clear => Connection::open(place.port)?.ask("GET", path, fields)?,
            Front::Tls => self.client.open(place.port)?.ask("GET", path, fields)?,
        };
        let Answer { status, body, .. } = answer;
        Ok(((200..300).contains(&status), body.map_or(0, |body| body.len())))
    }

    pub(crate) fn place(&self, proxy: Proxy) -> Result<&Place> {
        let place = self.places.iter().find(|(name, _)| *name == proxy).map(|(_, place)| place);
        place.with_context(|| format!("{proxy} is not on stage"))
    }

    /// One slice of load on one proxy, with the CPU time it took there.
    pub(crate) fn slice(
        &self,
        proxy: Proxy,
        load: Load,
        connections: usize,
        length: Duration,
    ) -> Result<Slice> {
        let place = self.place(proxy)?;
        let shot = Shot { front: self.front, port: place.port, key: &place.key, connections, length };
        let before = usage::used(place.pid, self.units)?;
        let heard = load::fire(&self.scratch, load, &shot)?;
        let cpu = usage::used(place.pid, self.units)?.since(before);
        Ok(Slice {
            requests: heard.requests,
            seconds: heard.seconds,
            cpu,
            p50_us: heard.p50_us,
            p99_us: heard.p99_us,
        })
    }

    /// Resident memory of a proxy, in bytes.
    pub(crate) fn resident(&self, proxy: Proxy) -> Result<u64> {
        usage::resident(self.place(proxy)?.pid, self.units)
    }

    /// Ends every proxy by SIGTERM, and fails unless each ends well.
    pub(crate) fn down(mut self) -> Result<()> {
        self.instances.drain(..).try_for_each(|mut instance| instance.stop())?;
        let peers = self.servers.drain(1..).collect::<Vec<_>>();
        peers.into_iter().try_for_each(|mut running| running.stop())
    }
}
