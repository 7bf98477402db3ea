//! Where the workspace, its build products and its cargo are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder with the root `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.filter(|dir| dir.ends_with("xtask"));
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(given.unwrap_or_else(|| PathBuf::from("target")))
}

/// The cargo that started this tool, run in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// A build profile of the root `Cargo.toml`.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// What the tests run.
    Dev,
    /// Fat LTO: what is measured.
    Release,
    /// Optimized without the long link: demo and crash drivers.
    Quick,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Quick => "quick",
        }
    }
}

/// Builds the product and says where it is. Fails when cargo does.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let name = profile.name();
    eprintln!("building daypass, profile `{name}`");
    let status = cargo()
        .args(["build", "--locked", "--package", "daypass", "--bin", "daypass", "--profile", name])
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "daypass does not build");
    let folder = if name == "dev" { "debug" } else { name };
    Ok(target().join(folder).join("daypass"))
}
