//! The configuration: one YAML file, found, read, and resolved into settings that mean something.
//!
//! [`Config::load`] is whole or not at all: what it returns has no unknown key, no rule about something that
//! does not exist, no missing secret and no setting that this version would silently not enforce. Everything
//! that is wrong is reported at once, each at its line.
//! Not here: running anything from it (see `serve`), or looking at it again (a reload loads it anew).

pub mod api;
pub mod contract;
pub mod environment;
pub mod file;
pub mod finding;
pub mod later;
pub mod place;
mod read;
mod resolve;
pub(crate) use resolve::is_loopback;
pub mod schema;
mod secret;
mod size;
pub mod text;
pub mod tls;
pub mod upstream;

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access::policy::Policy;

pub use environment::Environment;
pub use file::{Config, Durability};
pub use finding::{Report, Source};
pub use upstream::{Forward, Scheme, Server, UpstreamUrl};

/// The longest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file that is looked for in the current directory.
pub const FILE_NAME: &str = "daypass.yaml";

/// The file that is looked for last.
pub const SYSTEM_FILE: &str = "/etc/daypass/daypass.yaml";

/// Why there is no configuration to run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// None of the usual places holds a file.
    #[error(
        "there is no configuration: neither `./daypass.yaml` nor `/etc/daypass/daypass.yaml` exists\nnext: write one with `daypass init --api NAME --upstream URL`, or name it with `--config FILE` or DAYPASS_CONFIG"
    )]
    Missing,
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The file is longer than [`CONFIG_BYTES_MAX`], or not UTF-8.
    #[error("the configuration `{}` is not text of at most 4 MiB in UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file is wrong.
    #[error("{0}")]
    Wrong(Box<Report>),
}

/// A configuration without errors.
#[derive(Debug)]
pub struct Loaded {
    /// The file as written, with its defaults.
    pub config: Config,
    /// Its path and text.
    pub source: Source,
    /// Where relative paths in it start.
    pub directory: PathBuf,
    /// What it says that is not in force.
    pub warnings: Report,
    /// What it means.
    pub settings: Settings,
}

/// What a configuration means, parsed and checked.
#[derive(Debug)]
pub struct Settings {
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// Where the console listens.
    pub console: SocketAddr,
    /// What secures both listeners.
    pub tls: tls::ListenerTls,
    /// How long what is open may take to end when the node stops.
    pub drain: Duration,
    /// Whom the proxy believes about who asks, and how many connections it takes of one.
    pub callers: gateway::source::Callers,
    /// The URL under which callers reach the proxy, without a trailing slash.
    pub public_url: Option<String>,
    /// The directory for the ledger, the journal and the socket. It may not exist yet.
    pub data: PathBuf,
    /// What must be true of a journal entry before its request is forwarded.
    pub durability: Durability,
    /// APIs, roles and people; [`access::policy::Compiled::new`] has accepted it.
    pub policy: Policy,
    /// How each API's requests go on, in the order of `policy.apis`.
    pub forwards: Vec<Forward>,
}

impl Config {
    /// Reads and resolves a file.
    ///
    /// # Errors
    /// [`ConfigError`]; its text is ready to be printed, and names every place that is wrong.
    pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, ConfigError> {
        let source = read_source(path)?;
        Self::resolve(source, &directory_of(path), environment)
    }

    /// Resolves a text as if it stood in the file `source` names, with its relative paths in `directory`.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`] with everything that is wrong.
    pub fn resolve(
        source: Source,
        directory: &Path,
        environment: &Environment,
    ) -> Result<Loaded, ConfigError> {
        let config = read::read(&source).map_err(|report| ConfigError::Wrong(Box::new(report)))?;
        let resolved = resolve::resolve(&config, &source, directory, environment);
        let (settings, warnings) = resolved.map_err(|report| ConfigError::Wrong(Box::new(report)))?;
        Ok(Loaded { config, source, directory: directory.to_owned(), warnings, settings })
    }

    /// The data directory that a file names, without checking anything else in it: for the commands, which
    /// look for the server's socket there and need none of its secrets.
    ///
    /// A file that a running server would refuse to reload must not keep anybody from revoking.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or is no YAML.
    pub fn data_directory(path: &Path) -> Result<PathBuf, ConfigError> {
        let source = read_source(path)?;
        let data = match read::read(&source) {
            Ok(config) => PathBuf::from(&*config.data.value),
            Err(report) => read::data_alone(&source).ok_or_else(|| ConfigError::Wrong(Box::new(report)))?,
        };
        Ok(directory_of(path).join(data))
    }
}

/// The configuration to use: the one `named`, else the first that exists of the usual places.
///
/// # Errors
/// [`ConfigError::Missing`] if there is none.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let usual = [FILE_NAME, SYSTEM_FILE].map(PathBuf::from);
    usual.into_iter().find(|path| path.exists()).ok_or(ConfigError::Missing)
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

fn read_source(path: &Path) -> Result<Source, ConfigError> {
    let unreadable = |why| ConfigError::Unreadable { path: path.to_owned(), why };
    let not_text = || ConfigError::NotText { path: path.to_owned() };
    let bytes = read_bounded(path, CONFIG_BYTES_MAX).map_err(unreadable)?.ok_or_else(not_text)?;
    let text = String::from_utf8(bytes).map_err(|_| not_text())?;
    Ok(Source { path: path.to_owned(), text: text.into() })
}

/// The bytes of a file; `None` if there are more than `bytes_max`.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= bytes_max))
}

#[cfg(test)]
mod tests;
