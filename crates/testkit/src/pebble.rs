//! An ACME authority: `pebble` as Debian has it, the name server that it asks, and the way on which it looks at proofs.
//!
//! Every name leads to a gate, and the test decides where that leads.

use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::time::eventually;
use crate::tls::{AUTHORITY, InForce, provider};

/// How often other ports are tried, if somebody takes one first.
const TRIES: usize = 5;

/// Where an authority gets that looks at a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nowhere: it is let in and waits.
    Held,
    /// Nowhere: its connections end.
    Closed,
    /// To a listener.
    To(SocketAddr),
}

/// A running authority; stopped when dropped.
#[derive(Debug)]
pub struct Pebble {
    process: Child,
    directory: TempDir,
    port: u16,
    management: u16,
    roots: RootCertStore,
    names: SocketAddr,
    way: watch::Sender<Way>,
    looks: watch::Receiver<usize>,
    seen: usize,
    _serving: JoinSet<()>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Pebble {
    /// Starts one, with [`Way::Held`].
    ///
    /// # Panics
    /// It does not come up.
    pub async fn start() -> Self {
        for _ in 0..TRIES {
            if let Some(pebble) = Self::try_start().await {
                return pebble;
            }
        }
        panic!("pebble does not come up");
    }

    async fn try_start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let own = AUTHORITY.sign(&["localhost", "127.0.0.1"], InForce::Now);
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("ca.pem"), AUTHORITY.pem()).unwrap();
        std::fs::write(path("cert.pem"), own.certificate).unwrap();
        std::fs::write(path("key.pem"), own.key).unwrap();
        let (way, leads) = watch::channel(Way::Held);
        let (looked, looks) = watch::channel(0);
        let mut serving = JoinSet::new();
        let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let challenges = gate.local_addr().unwrap().port();
        serving.spawn(lead(gate, leads, looked));
        let names = answer_names(&mut serving);
        let [port, management] = free_ports();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": challenges,
            "tlsPort": challenges,
        } });
        std::fs::write(path("config.json"), config.to_string()).unwrap();
        let process = launch(&path("config.json"), names);
        let mut pebble = Self {
            process,
            directory,
            port,
            management,
            roots: RootCertStore::empty(),
            names,
            way,
            looks,
            seen: 0,
            _serving: serving,
        };
        pebble.comes_up().await.then_some(pebble)
    }

    async fn comes_up(&mut self) -> bool {
        let (port, management) = (self.port, self.management);
        let both = async || {
            let ended = self.process.try_wait().unwrap().is_some();
            let up = TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                && TcpStream::connect(("127.0.0.1", management)).await.is_ok();
            (ended || up).then_some(!ended)
        };
        let up = eventually("an authority", both).await;
        if up {
            self.roots = self.own_roots();
        }
        up
    }

    /// Those of what it issues: others after each start.
    fn own_roots(&self) -> RootCertStore {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--cacert"]).arg(self.ca());
        let said = curl.arg(format!("https://127.0.0.1:{}/roots/0", self.management)).output().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&said.stdout).unwrap()).unwrap();
        roots
    }

    /// Ends it: nobody answers any more.
    pub fn stop(&mut self) {
        let _ended_already = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it anew at the same place: it keeps nothing, and knows no account.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn forget(&mut self) {
        self.stop();
        self.process = launch(&self.directory.path().join("config.json"), self.names);
        assert!(self.comes_up().await, "pebble does not come up again");
    }

    /// Where it gets from now on when it looks at a proof, and where those get that wait.
    pub fn lead(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Waits until it has looked since the last time that this was asked.
    ///
    /// # Panics
    /// It does not look.
    pub async fn looks(&mut self) {
        let (seen, looks) = (self.seen, &self.looks);
        let more = async || Some(*looks.borrow()).filter(|looks| *looks > seen);
        self.seen = eventually("an authority that looks", more).await;
    }

    /// Where it says what it has.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Who vouches for its own server: a file.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// How a client speaks TLS that believes what this authority issues since its last start, and nothing else.
    ///
    /// # Panics
    /// TLS cannot be set up.
    #[must_use]
    pub fn trusting(&self, protocol: &str) -> Arc<ClientConfig> {
        let builder =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Arc::new(config)
    }
}

fn launch(config: &std::path::Path, names: SocketAddr) -> Child {
    let mut pebble = Command::new("pebble");
    pebble.arg("-config").arg(config).args(["-dnsserver", &names.to_string()]);
    pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
    pebble.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Debian's `pebble` is installed")
}

/// Two ports that nobody has at present.
fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| StdTcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Lets in who comes, and leads them on.
async fn lead(gate: TcpListener, way: watch::Receiver<Way>, looked: watch::Sender<usize>) {
    let mut led = JoinSet::new();
    while let Ok((mut outer, _)) = gate.accept().await {
        looked.send_modify(|looks| *looks += 1);
        let mut way = way.clone();
        led.spawn(async move {
            let open = way.wait_for(|way| *way != Way::Held).await.map(|way| *way);
            if let Ok(Way::To(listener)) = open
                && let Ok(mut inner) = TcpStream::connect(listener).await
            {
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            }
        });
        while led.try_join_next().is_some() {}
    }
}

/// A name server to which every name is 127.0.0.1 (RFC 1035).
fn answer_names(serving: &mut JoinSet<()>) -> SocketAddr {
    let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let socket = UdpSocket::from_std(socket).unwrap();
    serving.spawn(async move {
        let mut asked = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut asked).await {
            if let Some(answer) = answered(&asked[..length]) {
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    });
    address
}

/// Nothing of the question but its name, class and type is answered: additions such as EDNS are left out.
fn answered(asked: &[u8]) -> Option<Vec<u8>> {
    let name_ends = asked.get(12..)?.iter().position(|byte| *byte == 0)? + 13;
    let question = asked.get(12..name_ends + 4)?;
    let is_address = question.ends_with(&[0, 1, 0, 1]);
    let mut answer = asked.get(..2)?.to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend(question);
    if is_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
