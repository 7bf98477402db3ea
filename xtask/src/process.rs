//! Child processes: run and read, run and pass on, keep running until dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock;
use crate::tally::Tally;

/// How long a process may take to end after SIGTERM before it is killed.
const STOP_WAIT_MAX: Duration = Duration::from_secs(40);

/// Runs to the end and returns its standard output. Fails, with its error output, when it does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let done = command.output().with_context(|| format!("cannot run {name}"))?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        bail!("{name} ended with {}: {}", done.status, errors.trim());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{name} printed bytes that are no text"))
}

/// Runs to the end, handing on standard output line by line. Fails when the process or `each` does.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot run {name}"))?;
    let read = child.stdout.take().map_or(Ok(()), |out| {
        BufReader::new(out).lines().try_for_each(|line| each(&line.context("cannot read its output")?))
    });
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    read.with_context(|| format!("what {name} printed"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Whether the program can be started at all and answers `--version` or `-v`.
pub(crate) fn present(program: &str, flag: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.status().is_ok()
}

/// Runs to the end, printing both outputs as they come and counting the tests they report.
pub(crate) fn tee(command: &mut Command) -> Result<(ExitStatus, Tally)> {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("{name} has no output");
    };
    let errors = thread::spawn(move || copy(err, std::io::stderr()));
    let mut tally = copy(out, std::io::stdout());
    tally += errors.join().unwrap_or_default();
    Ok((child.wait().with_context(|| format!("cannot wait for {name}"))?, tally))
}

fn copy(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut from = BufReader::new(from);
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        tally.read(&String::from_utf8_lossy(&line));
        // A closed terminal must not end the tests.
        drop(to.write_all(&line));
        line.clear();
    }
    tally
}

/// A process that ends with its owner: SIGTERM first, then SIGKILL.
pub(crate) struct Running {
    own: Own,
    name: &'static str,
}

/// Whose child it is.
enum Own {
    Child(Child),
    /// Of another process, which has left it to itself.
    Heir(u32),
}

impl Running {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { own: Own::Child(child), name })
    }

    /// Waits until this process has ended well, and has `heir`, which it started, in its place.
    pub(crate) fn succeed(&mut self, heir: u32) -> Result<()> {
        let ended = self.wait();
        self.own = Own::Heir(heir);
        ended
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.own {
            Own::Child(child) => child.id(),
            Own::Heir(pid) => *pid,
        }
    }

    /// Fails when the process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(how) => bail!("{} ended by itself with {how}", self.name),
        }
    }

    /// How it ended, if it did: well, as far as can be told.
    fn ended(&mut self) -> Result<Option<String>> {
        let name = self.name;
        match &mut self.own {
            Own::Child(child) => {
                let status = child.try_wait().with_context(|| format!("lost {name}"))?;
                Ok(status.map(|status| if status.success() { String::new() } else { status.to_string() }))
            }
            Own::Heir(pid) => Ok(is_gone(*pid).then(String::new)),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.signal("-KILL")?;
        let gone = clock::wait_for(STOP_WAIT_MAX, || !matches!(self.ended(), Ok(None)));
        ensure!(gone.is_some(), "cannot kill {}", self.name);
        Ok(())
    }

    /// SIGTERM, and waits; fails when the process does not end cleanly and in time.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        self.wait()
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        ensure!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {}", self.name);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let mut how = None;
        let ended = clock::wait_for(STOP_WAIT_MAX, || {
            how = self.ended().ok().flatten();
            how.is_some()
        });
        ensure!(ended.is_some(), "{} did not end within {STOP_WAIT_MAX:?}", self.name);
        let how = how.unwrap_or_default();
        ensure!(how.is_empty(), "{} ended with {how}", self.name);
        Ok(())
    }
}

/// Whether there is no such process, or nobody but its parent knows of it any more.
fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.map_or(true, |status| status.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

impl Drop for Running {
    fn drop(&mut self) {
        let runs = |own: &mut Self| matches!(own.ended(), Ok(None));
        // Whoever says on its way out that it was told to go has gone, which is what was wanted.
        if runs(self) && self.stop().is_err() && runs(self) {
            drop(self.kill());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_gone_when_dropped() {
        let running = Running::start("sleep", Command::new("sleep").arg("60")).unwrap();
        let proc = format!("/proc/{}", running.pid());
        drop(running);
        assert!(!std::path::Path::new(&proc).exists());
    }

    #[test]
    fn output_is_read_and_a_failure_carries_what_was_said() {
        assert_eq!(output(Command::new("echo").arg("hello")).unwrap(), "hello\n");
        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("no"), "{error}");
    }

    #[test]
    fn lines_are_handed_on_and_a_failure_is_not_lost_behind_them() {
        let mut seen = Vec::new();
        let read = lines(Command::new("sh").args(["-c", "echo a; echo b; exit 4"]), |line| {
            seen.push(line.to_owned());
            Ok(())
        });
        assert_eq!(seen, ["a", "b"]);
        assert!(read.unwrap_err().to_string().contains("ended with"));
        assert!(lines(Command::new("echo").arg("a"), |_| bail!("no")).is_err());
    }

    #[test]
    fn tee_counts_the_tests_of_both_outputs() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; \
                      echo '     Summary [   0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped' >&2; exit 1";
        let (status, tally) = tee(Command::new("sh").args(["-c", script])).unwrap();
        assert!(!status.success());
        assert_eq!((tally.passed, tally.failed), (4, 1));
    }
}
