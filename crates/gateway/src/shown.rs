//! The credential that a connection showed last: the next request shows the same, as a rule, and needs no hash then.
//!
//! Only what was read is remembered, never what it stands for: each request looks that up anew.

use std::cell::RefCell;

use access::Secret;
use access::credential::{CredentialKind, Digest, NotACredential, parse};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// What one connection showed last.
#[derive(Debug, Default)]
pub(crate) struct ShownBefore(RefCell<Option<(Secret, (CredentialKind, Digest))>>);

impl ShownBefore {
    /// Reads a credential, unless it is the one from before.
    ///
    /// # Errors
    /// [`NotACredential`]; then the one from before stays remembered.
    pub(crate) fn read(&self, shown: &[u8]) -> Result<(CredentialKind, Digest), NotACredential> {
        // A connection may carry the requests of many: how long this takes tells nobody what another showed.
        if let Some((before, read)) = &*self.0.borrow()
            && verify_slices_are_equal(before.expose(), shown).is_ok()
        {
            return Ok(*read);
        }
        let read = parse(shown)?;
        self.0.replace(Some((Secret::new(shown), read)));
        Ok(read)
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
}
