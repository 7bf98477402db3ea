//! A shell in an empty directory that a document's commands are typed into, one after the other.
//!
//! What runs in the background writes into the same output, as on a terminal. A command's output is complete when
//! the shell is done with it and as many lines as the document shows have come.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::alike::{Known, compact};
use super::document::{Failure, Step};

/// How long a line of output may take.
const LINE_TIME_MAX: Duration = Duration::from_secs(30);

/// Stands between the outputs of two commands.
const DONE: &str = "=== done with";

pub(super) struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
    known: Known,
    /// Where the commands run.
    directory: TempDir,
    /// Where they are written down, out of their sight.
    script: TempDir,
}

impl Shell {
    pub(super) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_daypass")).parent().unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-s"]).current_dir(directory.path()).env("NO_COLOR", "1");
        for name in ["DAYPASS_CONFIG", "DAYPASS_URL", "DAYPASS_SESSION", "DAYPASS_LOG", "DAYPASS_CORES"] {
            command.env_remove(name);
        }
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the documents need `bash`");
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("PATH='{}':$PATH; exec 2>&1\n", binary.display()).as_bytes()).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, output) = channel();
        std::thread::spawn(move || {
            stdout
                .split(b'\n')
                .map_while(Result::ok)
                .map(|line| String::from_utf8_lossy(&line).into_owned())
                // What the log of a server says of connections and upstreams comes beside a command's own output.
                .filter(|line| !line.contains(" WARN gateway::") && !line.contains(" INFO gateway::"))
                .try_for_each(|line| send.send(line))
        });
        let script = TempDir::new().unwrap();
        Self { child, input, output, known: Known::default(), directory, script }
    }

    /// Types a command; gives what it said, if that is what the document shows.
    pub(super) fn run(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let (mut said, exit) = self.typed(&self.known.typed(&step.command))?;
        self.free_ports();
        if exit != "0" && step.failure == Failure::Unexpected {
            return Err(format!("exit code {exit}, and no `echo $?` after it:\n{}", said.join("\n")));
        }
        let Some(shown) = &step.shown else { return Ok(said) };
        let shown = compact(shown);
        while compact(&said).len() < shown.len() {
            let line = self.line().map_err(|why| format!("{why}; so far:\n{}", said.join("\n")))?;
            said.push(line);
        }
        let said = compact(&said);
        let alike = self.known.alike(&shown, &said);
        alike.map_err(|why| format!("{why}\n-- all it said\n{}", said.join("\n")))?;
        Ok(said)
    }

    /// What a command says until the shell is done with it, and its exit code.
    fn typed(&mut self, command: &str) -> Result<(Vec<String>, String), String> {
        let file = self.script.path().join("command");
        fs::write(&file, format!("{command}\n")).unwrap();
        let file = file.display();
        let line = format!(". {file} </dev/null; code=$?; echo '{DONE}' $code; (exit $code)\n");
        self.input.write_all(line.as_bytes()).map_err(|error| format!("the shell has ended: {error}"))?;
        let mut said = Vec::new();
        loop {
            let line = self.line()?;
            if let Some((unended, code)) = line.split_once(DONE) {
                said.extend(Some(unended.to_owned()).filter(|line| !line.is_empty()));
                return Ok((said, code.trim().to_owned()));
            }
            said.push(line);
        }
    }

    fn line(&self) -> Result<String, String> {
        self.output.recv_timeout(LINE_TIME_MAX).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("nothing more was said within {LINE_TIME_MAX:?}"),
            RecvTimeoutError::Disconnected => "the shell has ended".to_owned(),
        })
    }

    /// Has a configuration that was just written listen where it is free.
    fn free_ports(&self) {
        let file = self.directory.path().join("daypass.yaml");
        let Ok(text) = fs::read_to_string(&file) else { return };
        let free = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:8081", "127.0.0.1:0");
        // A server that is starting may be reading it.
        if free != text {
            fs::write(file, free).unwrap();
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _code = self.child.wait();
    }
}
