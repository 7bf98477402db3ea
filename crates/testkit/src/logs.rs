//! What the product says to operators in this process, kept so that the oracle can look for secrets in it.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

/// Bytes of log that are kept; later ones are not.
const LOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Our own crates say everything; libraries log what passes through them, which is not ours to judge.
const FILTER: &str =
    "off,access=trace,admin=trace,control=trace,daypass=trace,gateway=trace,journal=trace,ledger=trace";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

/// Starts keeping, once a process.
pub(crate) fn keep() {
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_env_filter(EnvFilter::new(FILTER));
        // Where another subscriber was there first, its log is not ours to judge.
        let _ = subscriber.with_writer(|| Sink).try_init();
    });
}

/// What this process's log says so far; nothing before there is a world.
#[must_use]
pub fn log() -> String {
    String::from_utf8_lossy(&kept()).into_owned()
}

/// What was said so far.
pub(crate) fn kept() -> Vec<u8> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() < LOG_BYTES_MAX {
            log.extend(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
