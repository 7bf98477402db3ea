//! The server as a process: what it says of itself while it runs, and what it leaves behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use daypass::config::{Config, Environment, Source};
use daypass::node::{Node, StartError};
use rustix::process::{Pid, Signal, kill_process};
use testkit::tls::{Authority, InForce};

use tempfile::TempDir;

use super::cli::daypass;

pub(super) const CONFIGURATION: &str = "listen: { proxy: '127.0.0.1:0', console: '127.0.0.1:0' }
apis: { a: { route: { prefix: /a }, upstreams: [http://a] } }
roles: { r: { allow: ['a:all'] } }
";

/// A running server, ended with the test, and with it whoever took over.
pub(super) struct Server {
    child: Child,
    heirs: Vec<Pid>,
    says: BufReader<ChildStderr>,
    /// What it said until it served.
    said: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        for heir in &self.heirs {
            let _ended_already = kill_process(*heir, Signal::KILL);
        }
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(super) fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
        command.env_clear().env("NO_COLOR", "1").current_dir(directory).arg("serve");
        Self::launch(&mut command)
    }

    /// Waits until what a command starts serves.
    pub(super) fn launch(command: &mut Command) -> Self {
        let mut server = Self::spawn(command);
        server.said = server.wait_for("serving node=");
        server
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        Self { child, heirs: Vec::new(), says, said: String::new() }
    }

    /// What it says until it serves or ends, and whether it serves.
    fn outcome(&mut self) -> (String, bool) {
        let mut said = String::new();
        while !said.contains("serving node=") {
            if self.says.read_line(&mut said).unwrap() == 0 {
                return (said, false);
            }
        }
        (said, true)
    }

    /// Reads what it says up to a line that contains `text`.
    pub(super) fn wait_for(&mut self, text: &str) -> String {
        let mut said = String::new();
        while !said.contains(text) {
            assert_ne!(self.says.read_line(&mut said).unwrap(), 0, "it ended without `{text}`: {said}");
        }
        said
    }

    /// What it said until it served.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends a signal to the process that serves now.
    pub(super) fn signal(&self, signal: Signal) {
        let serving = self.heirs.last().copied().unwrap_or_else(|| Pid::from_child(&self.child));
        kill_process(serving, signal).unwrap();
    }

    /// Has a new process take over, and waits until it serves.
    pub(super) fn upgrade(&mut self) {
        self.signal(Signal::USR2);
        let said = self.wait_for("successor=");
        self.succeed(said.rsplit("successor=").next().unwrap());
    }

    /// Remembers the process that has taken over.
    pub(super) fn succeed(&mut self, pid: &str) {
        self.heirs.push(Pid::from_raw(pid.trim().parse().unwrap()).unwrap());
    }

    /// Waits until the process that was started first has ended, and tells how.
    pub(super) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn status(directory: &TempDir, arguments: &[&str]) -> String {
    let output = daypass(directory.path(), &[&["status"], arguments].concat());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn status_shows_the_configuration_in_force_and_why_the_last_reload_failed() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("daypass.yaml");
    fs::write(&file, CONFIGURATION).unwrap();
    let mut server = Server::start(directory.path());
    let shown = status(&directory, &[]);
    assert!(shown.contains("at revision 1, no warnings\n") && !shown.contains("reload"), "{shown}");
    assert!(shown.contains("ledger         revision 1, 1 event, writable\n"), "{shown}");

    fs::write(&file, format!("{CONFIGURATION}api: {{}}\n")).unwrap();
    server.hang_up();
    server.wait_for("unknown key `api`");
    let shown = status(&directory, &[]);
    assert!(shown.contains("the configuration before it stays in force\n"), "{shown}");
    assert!(shown.contains("  daypass.yaml:4:1: unknown key `api`\n"), "{shown}");

    fs::write(&file, format!("{CONFIGURATION}schedules: {{ s: {{ ical: 'https://x' }} }}\n")).unwrap();
    server.hang_up();
    let said = server.wait_for("the configuration was reloaded");
    assert!(said.contains("`schedules` is not in force"), "a reload tells its warnings: {said}");
    let shown: serde_json::Value = serde_json::from_str(&status(&directory, &["-o", "json"])).unwrap();
    let configuration = &shown["configuration"];
    assert_eq!((&configuration["warnings"], &configuration["failed"]), (&1.into(), &serde_json::Value::Null));
}

/// Runs the demo until it has said `text`, sends it a signal, and tells how it ended and what is left of its files.
fn interrupted(arguments: &[&str], text: &str, signal: Signal) -> (Option<i32>, usize) {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
    command.arg("demo").args(arguments).env("TMPDIR", directory.path()).env("NO_COLOR", "1");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    let mut says = BufReader::new(child.stdout.take().unwrap());
    while !said.contains(text) {
        assert_ne!(says.read_line(&mut said).unwrap(), 0, "it ended without `{text}`: {said}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    kill_process(Pid::from_child(&child), signal).unwrap();
    // Its output is read to the end, so that it never waits for a reader.
    let _ = std::io::copy(&mut says, &mut std::io::sink());
    (child.wait().unwrap().code(), fs::read_dir(directory.path()).unwrap().count())
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        assert_eq!(interrupted(&[], "Ctrl-C ends it", signal), (Some(0), 0), "{signal:?}");
        assert_eq!(interrupted(&["--tour"], "$ ", signal), (Some(1), 0), "{signal:?} in the tour");
    }
}

#[test]
fn every_step_of_the_tour_is_answered_as_it_says() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
    command.args(["demo", "--tour"]).env("TMPDIR", directory.path()).env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("20 steps, each answered as expected"), "{said}");
}

/// A node on a directory, from a file as `serve` would read it.
async fn start(directory: &TempDir, console: &str) -> Result<Node, StartError> {
    let text = CONFIGURATION.replace("console: '127.0.0.1:0'", &format!("console: '{console}'"));
    let source = Source { path: "daypass.yaml".into(), text: text.into() };
    let loaded = Config::resolve(source, directory.path(), &Environment::of([])).unwrap();
    Node::start(daypass::serve::parts(loaded.settings).unwrap()).await
}

#[tokio::test]
async fn a_node_that_cannot_have_its_console_leaves_nothing_running() {
    let directory = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let refused = start(&directory, &taken).await.err().unwrap();
    assert!(matches!(refused, StartError::Console { .. }), "{refused}");
    // Its journal and ledger are closed: the next one can have them at once.
    let node = start(&directory, "127.0.0.1:0").await.unwrap();
    assert_eq!(node.recovered().torn_bytes, 0);
    node.stop(Duration::ZERO).await;
}

#[test]
fn a_server_that_cannot_have_all_of_its_cores_does_not_serve() {
    let (mut served, mut refused) = (0, 0);
    for descriptors in (12..48).step_by(2) {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("daypass.yaml"), CONFIGURATION).unwrap();
        let limited = format!("ulimit -n {descriptors}; exec \"$0\" serve");
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("NO_COLOR", "1").env("DAYPASS_CORES", "2").current_dir(directory.path());
        let mut server = Server::spawn(command.args(["-c", &limited, env!("CARGO_BIN_EXE_daypass")]));
        let (said, serves) = server.outcome();
        *(if serves { &mut served } else { &mut refused }) += 1;
        assert!(!serves || !said.contains("ERROR"), "with {descriptors} descriptors: {said}");
        assert!(serves || server.ended() == Some(1), "with {descriptors} descriptors: {said}");
    }
    assert!(served > 0 && refused > 0, "{served} served, {refused} did not");
}

#[test]
fn what_was_lost_of_a_node_is_not_begun_anew_and_what_to_do_is_said() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("daypass-data");
    fs::write(directory.path().join("daypass.yaml"), CONFIGURATION).unwrap();
    drop(Server::start(directory.path()));
    let refused = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
        command.env_clear().env("NO_COLOR", "1").current_dir(directory.path()).arg("serve");
        let (said, serves) = Server::spawn(&mut command).outcome();
        assert!(!serves, "{said}");
        said
    };
    let name = fs::read_to_string(data.join("node")).unwrap();
    fs::write(data.join("node"), "no name\n").unwrap();
    let said = refused();
    assert!(said.contains("the node's name in `") && said.contains("\nnext: write the name"), "{said}");
    fs::write(data.join("node"), name).unwrap();

    fs::remove_dir_all(data.join("journal")).unwrap();
    let said = refused();
    assert!(said.contains("is missing") && said.contains("\nnext: put the journal"), "{said}");
    assert!(!data.join("journal").exists(), "an empty directory would look like a journal");
}

#[test]
fn a_reload_that_takes_tls_away_warns() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("daypass.yaml");
    let own = Authority::stranger().sign(&["localhost"], InForce::Now);
    fs::write(directory.path().join("own.pem"), own.certificate).unwrap();
    fs::write(directory.path().join("own.key"), own.key).unwrap();
    let own = "console: '127.0.0.1:0', tls: { certificate: 'file:own.pem', key: 'file:own.key' } }";
    let tls = CONFIGURATION.replace("console: '127.0.0.1:0' }", own);
    fs::write(&file, tls).unwrap();
    let mut server = Server::start(directory.path());
    fs::write(&file, CONFIGURATION).unwrap();
    server.hang_up();
    let said = server.wait_for("the configuration was reloaded");
    assert!(said.contains("WARN") && said.contains("in the clear"), "{said}");
    fs::write(&file, CONFIGURATION.replace("console: '127.0.0.1:0'", "console: '127.0.0.1:1'")).unwrap();
    server.hang_up();
    let said = server.wait_for("put it back");
    assert!(
        said.contains("`listen.console` can only change with a restart") && said.contains("SIGUSR2"),
        "{said}"
    );
}
