//! Why a node does not start, or does not take another configuration, in words for whoever runs it.

use std::io;
use std::path::PathBuf;

use access::Revision;
use gateway::tls::NoListener;
use ledger::ExecuteError;

use crate::node::data;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made or used.
    #[error("cannot use the data directory `{}`", path.display())]
    Data {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else than the node's name.
    #[error(
        "the node's name in `{}` cannot be one: {error}\nnext: write the name there that the journal was written under, as its receipts begin; if there is no journal yet, remove the file",
        path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: access::id::NotAnId,
    },
    /// Another process has the data directory.
    #[error("another daypass runs on `{}`: stop it first, or give this one a `data` directory of its own", .0.display())]
    Taken(PathBuf),
    /// The process before has another one.
    #[error("the data directory is now `{}`, which a process that takes over cannot change: put `data` back, or stop the server and start it anew", .0.display())]
    OtherData(PathBuf),
    /// Somebody else than the server's user could change what it keeps.
    #[error("the data directory `{}` {exposed}", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// How, and what to do.
        exposed: data::Exposed,
    },
    /// The process before did not let go of the node.
    #[error("cannot take over from the process before")]
    Predecessor(#[source] io::Error),
    /// The journal is not what was written.
    #[error("cannot open the journal")]
    Journal(#[from] journal::OpenError),
    /// The ledger cannot be opened.
    #[error("cannot open the ledger `{}`", path.display())]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: ledger::OpenError,
    },
    /// The ledger cannot be read, or is not what was appended.
    #[error("cannot start on the ledger")]
    Keeper(#[from] ledger::StartError),
    /// The journal knows of control events that the ledger has lost: an older copy was put back, and what was
    /// revoked since would be in force again.
    #[error(
        "the ledger ends at revision {ledger}, but the journal has recorded revision {journal}: an older ledger was put back; restore the newest one"
    )]
    LedgerBehind {
        /// Where the ledger ends.
        ledger: Revision,
        /// What the journal has recorded.
        journal: Revision,
    },
    /// The policy could not be written into the ledger.
    #[error("cannot put the configuration in force")]
    Policy(#[source] ExecuteError),
    /// The empty policy does not compile, which never happens.
    #[error("cannot begin with an empty policy")]
    Empty(#[source] access::policy::PolicyError),
    /// The listeners cannot speak TLS.
    #[error("cannot secure the listeners")]
    Tls(#[from] NoListener),
    /// The proxy cannot listen.
    #[error("cannot start the proxy")]
    Gateway(#[from] gateway::StartError),
    /// The console cannot listen.
    #[error("cannot listen on `{place}` for the console")]
    Console {
        /// The address or socket.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why the configuration before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The listeners cannot speak TLS.
    #[error("cannot secure the listeners")]
    Tls(#[from] NoListener),
    /// The ledger did not take the policy.
    #[error(transparent)]
    Policy(#[from] ExecuteError),
}
