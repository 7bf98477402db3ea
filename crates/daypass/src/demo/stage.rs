//! The demo's stage: the order API on a free port, and a directory with a configuration and the `daypass`
//! command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::orders;
use crate::config::{Config, Environment};
use crate::node::{Node, Parts};

/// What is on the stage, until it is cleared.
pub(super) struct Stage {
    directory: TempDir,
    stop: CancellationToken,
    api: std::thread::JoinHandle<()>,
}

/// Where things are, for the commands of the tour.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The configuration.
    pub(super) config: PathBuf,
    /// A directory with the `daypass` command in it.
    pub(super) bin: PathBuf,
    /// The URL of the order API behind Daypass.
    pub(super) orders: String,
    /// The URL of the console.
    pub(super) console: String,
}

impl Stage {
    pub(super) async fn build() -> anyhow::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("daypass-demo-").tempdir().context("no temporary directory")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        write(directory.path(), address)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let listener = listener.into_std()?;
        let api = std::thread::Builder::new()
            .name("orders".into())
            .spawn(move || serve_orders(listener, stopped))?;
        Ok(Self { directory, stop, api })
    }

    /// What the node is started with: the configuration, as `daypass serve` would read it.
    pub(super) fn parts(&self) -> anyhow::Result<Parts> {
        let environment = Environment::of([("ORDERS_KEY", concat!("Bearer ", "demo-orders-key"))]);
        let loaded = Config::load(&self.config(), &environment)?;
        crate::serve::parts(loaded.settings)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("daypass.yaml")
    }

    pub(super) fn places(&self, node: &Node) -> anyhow::Result<Places> {
        let bin = self.directory.path().join("bin");
        std::fs::create_dir(&bin)?;
        std::os::unix::fs::symlink(std::env::current_exe()?, bin.join("daypass"))?;
        Ok(Places {
            config: self.config(),
            bin,
            orders: format!("http://{}/orders", node.proxy_address()),
            console: format!("http://{}", node.console_address()),
        })
    }

    /// Leaves nothing behind.
    pub(super) fn clear(self) {
        self.stop.cancel();
        let _ = self.api.join();
        if let Err(error) = self.directory.close() {
            tracing::warn!(%error, "the demo's directory could not be removed");
        }
    }
}

fn serve_orders(listener: std::net::TcpListener, stopped: CancellationToken) {
    let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            orders::serve(listener, stopped.cancelled_owned()).await
        })
    });
    if let Err(error) = served {
        tracing::error!(%error, "the order API ended");
    }
}

fn write(directory: &Path, api: SocketAddr) -> anyhow::Result<()> {
    std::fs::write(directory.join("orders.openapi.yaml"), orders::CONTRACT)?;
    std::fs::write(directory.join("daypass.yaml"), configuration(api))?;
    Ok(())
}

fn configuration(api: SocketAddr) -> String {
    include_str!("daypass.yaml").replace("127.0.0.1:7001", &api.to_string())
}
