//! Commands for a shell, one at a time, that can be ended from another thread with all they started.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Runs commands until it is stopped.
#[derive(Debug, Default)]
pub(super) struct Shell(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// A command and all it started, as a process group of their own.
    Runs(Pid),
    Stopped,
}

impl Shell {
    /// Runs a command to its end, and gives what it printed.
    ///
    /// # Errors
    /// It cannot be started, or the shell was stopped.
    pub(super) fn run(&self, mut command: Command) -> io::Result<Output> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let mut state = self.lock();
            if matches!(*state, State::Stopped) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let child = command.spawn()?;
            *state = State::Runs(Pid::from_child(&child));
            child
        };
        let output = child.wait_with_output();
        let mut state = self.lock();
        if matches!(*state, State::Runs(_)) {
            *state = State::Idle;
        }
        output
    }

    /// Ends the command that runs, and runs no other.
    pub(super) fn stop(&self) {
        let before = std::mem::replace(&mut *self.lock(), State::Stopped);
        if let State::Runs(group) = before {
            // What has ended by itself needs no signal.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
