//! Where a head ends (RFC 9112, section 2.2): at its first empty line; every line ends in CR LF.

use super::head::Unreadable;

/// Finds where a head ends, in bytes that arrive piece by piece; each byte is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Where the present line begins.
    line_at: usize,
    /// Up to where there is no line break.
    seen: usize,
}

impl Scan {
    /// The length of the head at the start of `bytes`, its empty line included; `None` if it is not complete.
    ///
    /// # Errors
    /// A line does not end in CR LF.
    pub(crate) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
        let seen = self.seen;
        for newline in memchr::memchr_iter(b'\n', bytes.get(seen..).unwrap_or_default()) {
            let newline = seen.saturating_add(newline);
            let line = bytes.get(self.line_at..newline).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.ok_or(Unreadable::Malformed)?;
            self.line_at = newline.saturating_add(1);
            self.seen = self.line_at;
            if line.is_empty() {
                return Ok(Some(self.line_at));
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }

    /// Whether the first line has not ended yet.
    pub(crate) const fn is_in_first_line(&self) -> bool {
        self.line_at == 0
    }
}
