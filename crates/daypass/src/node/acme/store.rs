//! What is kept of ACME in the data directory: the account's key, and the newest certificate with its key, each in a
//! file for the server's user alone, and each replaced whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::tls::{Identity, NotAnIdentity};
use instant_acme::AccountCredentials;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::read_bounded;
use crate::config::tls::AcmePlan;

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.json";

/// The longest file that is read, in bytes.
const KEPT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A directory.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

/// An account with the authority of a directory.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAccount {
    directory: String,
    pub(super) contact: Vec<String>,
    pub(super) credentials: AccountCredentials,
}

/// A certificate as it is issued and kept: PEM, and the directory of its authority.
#[derive(Serialize, Deserialize)]
pub(super) struct Paper {
    pub(super) directory: String,
    pub(super) chain: String,
    pub(super) key: Zeroizing<String>,
}

/// The newest certificate, and whose it is.
#[derive(Debug)]
pub(super) struct Kept {
    directory: String,
    pub(super) identity: Identity,
}

impl Kept {
    /// # Errors
    /// [`NotAnIdentity`].
    pub(super) fn read(paper: &Paper) -> Result<Self, NotAnIdentity> {
        let identity = Identity::parse(paper.chain.as_bytes(), paper.key.as_bytes())?;
        Ok(Self { directory: paper.directory.clone(), identity })
    }

    /// Whether it is of the plan's authority, and for all of its names.
    pub(super) fn fits(&self, plan: &AcmePlan) -> bool {
        self.directory == plan.directory && plan.domains.iter().all(|name| self.identity.is_for_host(name))
    }
}

impl Store {
    /// Below a data directory. Made when something is kept.
    pub(super) fn below(data: &Path) -> Self {
        Self(data.join("acme"))
    }

    /// Where the account is kept.
    pub(super) fn account_path(&self) -> PathBuf {
        self.0.join(ACCOUNT)
    }

    /// The account with the authority of a directory; `None` if there is none, or another authority's.
    ///
    /// # Errors
    /// There is one that cannot be read: that it exists is not forgotten.
    pub(super) fn account(&self, directory: &str) -> anyhow::Result<Option<KeptAccount>> {
        let kept: Option<KeptAccount> = self.read(ACCOUNT)?;
        Ok(kept.filter(|kept| kept.directory == directory))
    }

    /// Keeps the account with an authority, in the place of another.
    pub(super) fn keep_account(
        &self,
        directory: &str,
        contact: &[String],
        credentials: AccountCredentials,
    ) -> anyhow::Result<()> {
        let account = KeptAccount { directory: directory.to_owned(), contact: contact.to_vec(), credentials };
        self.write(ACCOUNT, &account)
    }

    /// Keeps of the account whom its authority writes to.
    pub(super) fn keep_contact(&self, directory: &str, contact: &[String]) -> anyhow::Result<()> {
        match self.account(directory)? {
            Some(kept) => self.keep_account(directory, contact, kept.credentials),
            None => Ok(()),
        }
    }

    /// The newest certificate; `None` if there is none that can be used.
    pub(super) fn certificate(&self) -> Option<Kept> {
        let paper: Paper = match self.read(CERTIFICATE) {
            Ok(read) => read?,
            Err(error) => {
                tracing::error!("the certificate that is kept is not used: {error:#}");
                return None;
            }
        };
        let kept = Kept::read(&paper);
        let path = self.0.join(CERTIFICATE);
        kept.inspect_err(|why| tracing::error!("`{}` is not used: {why}", path.display())).ok()
    }

    /// Keeps a certificate in the place of the one before.
    pub(super) fn keep_certificate(&self, paper: &Paper) -> anyhow::Result<()> {
        self.write(CERTIFICATE, paper)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.0.join(name);
        let cannot = || format!("`{}` cannot be read", path.display());
        let bytes = match read_bounded(&path, KEPT_BYTES_MAX) {
            Ok(Some(bytes)) => Zeroizing::new(bytes),
            Ok(None) => anyhow::bail!("`{}` is longer than {KEPT_BYTES_MAX} bytes", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(cannot),
        };
        // Of what stands there nothing is told but where it goes wrong.
        let read: Result<T, _> = serde_json::from_slice(&bytes);
        let at =
            |error: serde_json::Error| anyhow::anyhow!("line {}, column {}", error.line(), error.column());
        Ok(Some(read.map_err(at).with_context(cannot)?))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let bytes = Zeroizing::new(serde_json::to_vec(value)?);
        self.replace(name, &bytes)
            .with_context(|| format!("`{}` cannot be written", self.0.join(name).display()))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let fresh = self.0.join(format!("{name}.new"));
        // One that a crash left behind may have another mode.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }
}
