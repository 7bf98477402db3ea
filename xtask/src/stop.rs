//! Ctrl-C: what was started is stopped before the tool ends.
//!
//! A command that leaves processes behind when it is cut short calls [`on_signal`] once and
//! [`check`] between its steps; its owners then fall out of scope as after any error. A second
//! signal ends the tool at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT, SIGTERM and SIGHUP are noted and do not end the tool.
pub(crate) fn on_signal() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot wait for signals")?;
    let watch = {
        let _inside = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [int, term, hup] = kinds.map(signal);
        (int?, term?, hup?)
    };
    thread::spawn(move || runtime.block_on(note(watch)));
    Ok(())
}

type Signal = tokio::signal::unix::Signal;

async fn note((mut int, mut term, mut hup): (Signal, Signal, Signal)) {
    loop {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
        if STOPPED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    }
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    ensure!(!STOPPED.load(Ordering::Relaxed), "stopped by a signal");
    Ok(())
}
