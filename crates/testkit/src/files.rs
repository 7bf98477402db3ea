//! Directories as they are found: copied for a node that starts later, and read whole for the oracle.

use std::path::Path;

/// Copies what a process that starts later would find; locks and sockets are not copied.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&path, &to.join(name));
        } else if kind.is_file() && name != "lock" {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            let path = entry.path();
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}
