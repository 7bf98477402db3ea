//! What a connection showed last, its credential and its host: the next request shows the same, as a rule, and neither
//! has to be read again.
//!
//! Only what was read is remembered, never what it stands for: each request looks that up anew.

use std::cell::RefCell;

use access::Secret;
use access::credential::{CredentialKind, Digest, NotACredential, parse};
use arrayvec::ArrayString;
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// What one connection showed last.
#[derive(Debug, Default)]
pub(crate) struct ShownBefore {
    credential: RefCell<Option<(Secret, (CredentialKind, Digest))>>,
    /// A host that is one.
    host: RefCell<ArrayString<HOST_BYTES_MAX>>,
}

/// Longer hosts are read anew each time.
const HOST_BYTES_MAX: usize = 64;

impl ShownBefore {
    /// Reads a credential, unless it is the one from before.
    ///
    /// # Errors
    /// [`NotACredential`]; then the one from before stays remembered.
    pub(crate) fn read(&self, shown: &[u8]) -> Result<(CredentialKind, Digest), NotACredential> {
        // A connection may carry the requests of many: how long this takes tells nobody what another showed.
        if let Some((before, read)) = &*self.credential.borrow()
            && verify_slices_are_equal(before.expose(), shown).is_ok()
        {
            return Ok(*read);
        }
        let read = parse(shown)?;
        self.credential.replace(Some((Secret::new(shown), read)));
        Ok(read)
    }

    /// Whether this host was found good, and remembered.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        !host.is_empty() && *self.host.borrow() == *host
    }

    /// Remembers a host that was found good, if it is not too long.
    pub(crate) fn keep_host(&self, host: &str) {
        self.host.replace(ArrayString::from(host).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use access::credential::mint;

    use super::*;

    #[test]
    fn what_is_shown_again_reads_as_before_and_anything_else_anew() {
        let [(one, first), (other, second)] =
            [[1; 32], [2; 32]].map(|bytes| mint(CredentialKind::Token, &bytes));
        let before = ShownBefore::default();
        for (secret, digest) in [(&one, first), (&one, first), (&other, second), (&one, first)] {
            assert_eq!(before.read(secret.expose()), Ok((CredentialKind::Token, digest)));
        }
        for wrong in [&b""[..], b"dpt_", &one.expose()[..52], &[one.expose(), b"x"].concat()] {
            assert!(before.read(wrong).is_err());
        }
        assert_eq!(before.read(one.expose()), Ok((CredentialKind::Token, first)));
    }

    #[test]
    fn one_host_is_remembered_and_only_that_one() {
        let before = ShownBefore::default();
        assert!(!before.is_host("") && !before.is_host("a"));
        before.keep_host("a");
        assert!(before.is_host("a") && !before.is_host("A") && !before.is_host("ab") && !before.is_host(""));
        before.keep_host(&"b".repeat(HOST_BYTES_MAX + 1));
        assert!(!before.is_host("a") && !before.is_host(""));
    }
}
