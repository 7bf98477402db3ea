//! What the operating system calls its users.

use access::id::Name;

/// The name of the user with this number, from `/etc/passwd`; `None` if it has none there.
#[must_use]
pub fn name_of(uid: u32) -> Option<Name> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    found?.parse().ok()
}
