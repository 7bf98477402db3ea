//! A node under churn: its configuration in variants, its process, and the process that took over from it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::Security;
use super::client::Target;
use crate::clock::{Watch, wait_for};
use crate::instance::Instance;
use crate::process::lines;
use crate::scratch::{Scratch, free_ports};

/// How long anything that a signal asks for may take.
const SIGNAL_WAIT_MAX: Duration = Duration::from_secs(40);
const ROLE: &str = "churn";

/// Signs the certificates of all nodes.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for loopback and its key, both in PEM.
    fn sign(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["localhost".to_owned()])?;
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }

    /// How clients trust it.
    pub(crate) fn connector(&self) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.0.pem().as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A node and where its files lie.
pub(crate) struct Node<'a> {
    pub(crate) instance: Instance,
    name: &'static str,
    scratch: &'a Scratch,
    authority: &'a Authority,
    security: Security,
    upstreams: [u16; 2],
    console: u16,
    bearer: Option<Arc<str>>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    pub(crate) kib: u64,
}

impl<'a> Node<'a> {
    pub(crate) fn prepare(
        scratch: &'a Scratch,
        name: &'static str,
        binary: &Path,
        authority: &'a Authority,
        security: Security,
        upstreams: [u16; 2],
    ) -> Result<Self> {
        let [proxy, console] = free_ports()?;
        let instance = Instance::in_folder(binary, scratch.path().join(name), proxy);
        let node = Self { instance, name, scratch, authority, security, upstreams, console, bearer: None };
        node.write(0)?;
        Ok(node)
    }

    /// Where clients go, with a key of this node.
    pub(crate) fn target(&mut self) -> Result<Target> {
        if self.bearer.is_none() {
            self.bearer = Some(self.instance.key(ROLE)?.into());
        }
        let bearer = self.bearer.clone().context("no key")?;
        Ok(Target { port: self.instance.proxy, bearer })
    }

    /// Writes the configuration of this number: another header, upstream, role, API and certificate each time.
    pub(crate) fn write(&self, number: usize) -> Result<()> {
        let text = self.configuration(number);
        self.scratch.write(&format!("{}/configuration", self.name), &number.to_string())?;
        if self.security == Security::Tls {
            let (certificate, key) = self.authority.sign()?;
            self.scratch.write(&format!("{}/cert.pem", self.name), &certificate)?;
            self.scratch.write(&format!("{}/key.pem", self.name), &key)?;
        }
        self.scratch.write(&format!("{}/daypass.yaml", self.name), &text)?;
        Ok(())
    }

    fn configuration(&self, number: usize) -> String {
        let tls = match self.security {
            Security::Plain => "",
            Security::Tls => "  tls: { certificate: 'file:cert.pem', key: 'file:key.pem' }\n",
        };
        let [one, two] = self.upstreams;
        let upstream = if number.is_multiple_of(2) { one } else { two };
        format!(
            "\
listen:
  proxy: 127.0.0.1:{proxy}
  console: 127.0.0.1:{console}
  drain: 20s
{tls}data: data
apis:
  load:
    route: {{ prefix: /load }}
    upstreams: [http://127.0.0.1:{upstream}]
    credentials: {{ headers: {{ X-Configuration: 'file:configuration' }} }}
  sockets: {{ route: {{ prefix: /sockets }}, upstreams: [http://127.0.0.1:{one}] }}
  other-{number}: {{ route: {{ prefix: /other-{number} }}, upstreams: [http://127.0.0.1:{two}] }}
roles:
  {ROLE}: {{ allow: [\"load:all\", \"sockets:all\"] }}
  other-{number}: {{ allow: [\"other-{number}:read\"] }}
",
            proxy = self.instance.proxy,
            console = self.console,
        )
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.instance.pid().context("not running")?.to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        ensure!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
        Ok(())
    }

    /// Reloads; returns once the node says so.
    pub(crate) fn reload(&self, number: usize) -> Result<()> {
        self.write(number)?;
        let before = self.said("was reloaded");
        self.signal("-HUP")?;
        let done = wait_for(SIGNAL_WAIT_MAX, || self.said("was reloaded") > before);
        ensure!(done.is_some() && self.said("was not reloaded") == 0, "a reload did not come about");
        Ok(())
    }

    /// Has a new process take over; returns once the old one has ended, with the time until the new one served.
    pub(crate) fn upgrade(&mut self) -> Result<Duration> {
        let (old, before) = (self.instance.pid().context("not running")?, self.said("took over"));
        let watch = Watch::start();
        self.signal("-USR2")?;
        let served = wait_for(SIGNAL_WAIT_MAX, || self.said("took over") > before);
        ensure!(served.is_some(), "no process took over; it said:\n{}", self.instance.log());
        let took = watch.elapsed();
        let heir = heir(old).context("the new process is not to be found")?;
        self.instance.succeed(heir)?;
        Ok(took)
    }

    /// How often its log says this.
    fn said(&self, text: &str) -> usize {
        self.instance.whole_log().matches(text).count()
    }

    /// What its process holds now.
    pub(crate) fn held(&self) -> Result<Held> {
        let pid = self.instance.pid().context("not running")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("no process")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("no process")?.count() as u64;
        Ok(Held { threads: number("Threads:"), descriptors, kib: number("VmRSS:") })
    }

    /// Every row of its journal.
    pub(crate) fn search(&self, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        lines(&mut self.instance.command(&["audit", "search", "-o", "jsonl"]), &mut each)
    }
}

/// The one child of a process.
fn heir(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().last()?.parse().ok()
}
