//! `cargo xtask gates`: suites that others wrote, against a node of this tree.
//!
//! Each gate prints what passed and what failed. Tools are installed below the target folder, or from Debian.
//! Not here: what the suites find wrong; that has a test of its own beside the code.

mod conformance;
mod credited;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::args::{Args, usage};
use crate::instance::Instance;
use crate::process::{output, tee};
use crate::scratch::{Scratch, free_ports};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::{Profile, build, target};

const HELP: &str = "\
cargo xtask gates [NAME...] [--binary F]

  http2       httpwg: the cases of RFC 9113 against the listener
  websocket   kosoku: each WebSocket case ends through the proxy, over HTTP/1.1 and HTTP/2, as it does direct
  grpc        grpcio: calls and streams of all kinds end through the proxy as they do direct
  load        h2load: no failed request, also beside floods of resets, and no growth
  slow        slowhttptest: a neighbor is answered in under 100 ms meanwhile

  --binary F  test this binary instead of building the quick profile

Without a name all of them run. Each prints its counts; exit code 1 when anything failed.

Examples:
  cargo xtask gates
  cargo xtask gates http2 grpc";

const ROLE: &str = "all";

/// Packages from PyPI that the gates lean on, in the versions they were written against.
const PACKAGES: [&str; 4] = ["grpcio==1.85.1", "h2==4.4.1", "kosoku==0.1.0", "websockets"];

struct Gate {
    name: &'static str,
    run: fn(&Stage) -> Result<Tally>,
}

const GATES: [Gate; 5] = [
    Gate { name: "http2", run: conformance::run },
    Gate {
        name: "websocket",
        run: |stage| stage.script("websocket.py", include_str!("websocket.py"), stage.upstreams[1]),
    },
    Gate {
        name: "grpc",
        run: |stage| stage.script("grpc_calls.py", include_str!("grpc.py"), stage.upstreams[2]),
    },
    Gate { name: "load", run: |stage| stage.script("load.py", include_str!("load.py"), stage.upstreams[0]) },
    Gate { name: "slow", run: |stage| stage.script("slow.py", include_str!("slow.py"), stage.upstreams[0]) },
];

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    if args.help() {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let binary: Option<PathBuf> = args.value("--binary")?;
    let names: Vec<String> = std::iter::from_fn(|| args.word()).collect();
    if let Some(name) = names.iter().find(|name| GATES.iter().all(|gate| gate.name != **name)) {
        return Err(usage(format!("no gate `{name}`\n\n{HELP}")));
    }
    tools::require(&tools::OF_GATES)?;
    let binary = binary.map_or_else(|| build(Profile::Quick), Ok)?;
    let mut total = Tally::default();
    for gate in GATES.iter().filter(|gate| names.is_empty() || names.iter().any(|name| name == gate.name)) {
        println!("== {} ==", gate.name);
        let tally = Stage::begin(&binary).and_then(|stage| (gate.run)(&stage)).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", gate.name);
            Tally::FAILED
        });
        println!("-- {:<10} {tally}", gate.name);
        total += tally;
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A running node, and where its upstreams are to be.
struct Stage {
    scratch: Scratch,
    node: Instance,
    key: PathBuf,
    /// Of the APIs `web` and `local`, of `ws`, and of the gRPC service.
    upstreams: [u16; 3],
}

impl Stage {
    fn begin(binary: &Path) -> Result<Self> {
        let scratch = Scratch::new("gates")?;
        let [proxy, console, web, ws, grpc] = free_ports()?;
        let text = format!(
            "\
listen: {{ proxy: 127.0.0.1:{proxy}, console: 127.0.0.1:{console} }}
data: data
journal: {{ durability: write }}
apis:
  web: {{ route: {{ prefix: /web }}, upstreams: [http://127.0.0.1:{web}] }}
  ws: {{ route: {{ prefix: /ws }}, upstreams: [http://127.0.0.1:{ws}] }}
  local: {{ route: {{ host: localhost }}, upstreams: [http://127.0.0.1:{web}] }}
  shop: {{ route: {{ prefix: /shop.Orders }}, upstreams: [h2c://127.0.0.1:{grpc}/shop.Orders], limits: {{ request_body: 64MiB }} }}
roles:
  {ROLE}: {{ allow: [\"web:all\", \"ws:all\", \"shop:all\", \"local:all\"] }}
"
        );
        scratch.write("node/daypass.yaml", &text)?;
        let mut node = Instance::in_folder(binary, scratch.path().join("node"), proxy);
        node.start()?;
        let key = scratch.write("key", &node.key(ROLE)?)?;
        Ok(Self { scratch, node, key, upstreams: [web, ws, grpc] })
    }

    /// Runs a gate that is written in Python, and counts what it says.
    fn script(&self, name: &str, text: &str, upstream: u16) -> Result<Tally> {
        self.scratch.write("tunnel.py", include_str!("tunnel.py"))?;
        let script = self.scratch.write(name, text)?;
        let mut command = Command::new(python()?);
        command.arg(script).args([upstream.to_string(), self.node.proxy.to_string()]).arg(&self.key);
        if name == "load.py" {
            command.arg(self.node.pid().context("the node is gone")?.to_string());
        }
        let (status, mut tally) = tee(&mut command)?;
        if !status.success() && tally.failed == 0 {
            tally += Tally::FAILED;
        }
        Ok(tally)
    }
}

/// A Python of the gates' own, with their packages.
fn python() -> Result<PathBuf> {
    let folder = target().join("tools/gates");
    let python = folder.join("bin/python");
    if !python.exists() {
        output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    let installed = install.status().context("cannot start pip")?;
    ensure!(installed.success(), "pip could not install {}", PACKAGES.join(" "));
    Ok(python)
}
