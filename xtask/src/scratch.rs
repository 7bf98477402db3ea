//! A private temporary folder that goes away with its owner, and free ports.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::clock;

/// A folder of mode 0700, removed on drop unless kept.
pub(crate) struct Scratch {
    path: PathBuf,
    fate: Fate,
}

/// What becomes of the folder at the end.
#[derive(PartialEq, Eq)]
enum Fate {
    Remove,
    Keep,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let unique = format!("daypass-{name}-{}-{}", std::process::id(), clock::nanoseconds());
        let path = std::env::temp_dir().join(unique);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self { path, fate: Fate::Remove })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder in place, for someone to look at.
    pub(crate) fn keep(&mut self) {
        self.fate = Fate::Keep;
    }

    /// Writes `name` below the folder and returns its whole path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.fate == Fate::Remove {
            // Nothing can be done about a folder that will not go; it is in the temporary folder.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

/// Ports on loopback that were free a moment ago, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        *port = listener.local_addr().context("no free port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_is_gone_with_its_owner_unless_kept() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.write("a/b.txt", "x").unwrap();
        assert!(path.exists());
        drop(scratch);
        assert!(!path.exists());

        let mut kept = Scratch::new("test").unwrap();
        kept.keep();
        let path = kept.path().to_path_buf();
        drop(kept);
        assert!(path.exists());
        fs::remove_dir(path).unwrap();
    }

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports::<3>().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
