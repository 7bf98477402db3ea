//! Which program this process is.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Environment;

/// Its version, and the commit that it was built from where that is known.
pub const VERSION: &str = env!("DAYPASS_VERSION");

/// What this process runs, whatever lies at its path by now.
const ITSELF: &str = "/proc/self/exe";

/// The path by which this program was started, with its links kept: where they lead by the next start, the next version
/// lies. To be asked before that.
///
/// # Errors
/// Neither whoever started it nor the system says where it lies.
pub fn path(environment: &Environment) -> io::Result<PathBuf> {
    let name = std::env::args_os().next().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    let invoked = invoked(&name, environment.read("PATH").as_deref(), &here);
    match invoked.filter(|path| is_same(path, Path::new(ITSELF))) {
        Some(path) => Ok(path),
        None => std::env::current_exe(),
    }
}

/// Where a shell in this directory finds a command of this name.
fn invoked(name: &OsStr, path: Option<&str>, here: &Path) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(here.join(name));
    }
    let mut places = std::env::split_paths(path?).map(|place| here.join(place).join(name));
    places.find(|place| {
        std::fs::metadata(place).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    place(one).is_some_and(|place_of_one| Some(place_of_one) == place(other))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_program_is_known_by_the_path_that_it_was_started_with() {
        let directory = tempfile::tempdir().unwrap();
        let (here, link) = (directory.path(), directory.path().join("bin/current"));
        std::fs::create_dir(here.join("bin")).unwrap();
        symlink(std::env::current_exe().unwrap(), &link).unwrap();
        for (name, path) in [
            (link.to_str().unwrap(), None),
            ("bin/current", None),
            ("current", Some("/nowhere:bin")),
            ("current", Some(link.parent().unwrap().to_str().unwrap())),
        ] {
            let found = invoked(OsStr::new(name), path, here);
            assert_eq!(found.as_deref(), Some(&*link), "{name}");
            assert!(is_same(&link, Path::new(ITSELF)), "its links lead to it");
        }
        assert_eq!(invoked(OsStr::new("current"), Some("/nowhere"), here), None);
        assert!(!is_same(here, Path::new(ITSELF)) && !is_same(&here.join("gone"), &here.join("gone")));
    }
}
