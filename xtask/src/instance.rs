//! A Daypass of one's own: configuration, process and command line, on free ports in a scratch folder.
//!
//! The configuration holds one API, `bench`, with a contract, a limit that is never reached and two
//! roles, so that every check is on. Only the settings and commands of the interface are used.

use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::{Watch, pause};
use crate::http;
use crate::process::{Running, output};
use crate::scratch::{Scratch, free_ports};

/// How long an instance may take to be ready before the driver gives up.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);

/// The same under a tool that makes it slow.
const READY_UNDER_TOOL_WAIT_MAX: Duration = Duration::from_secs(180);

/// Lines of an instance's log that an error shows.
const LOG_LINES_MAX: usize = 20;

/// Allows all of the API.
pub(crate) const ROLE_ALL: &str = "bench-all";

/// Allows the safe methods only.
pub(crate) const ROLE_READ: &str = "bench-read";

const CONTRACT: &str = include_str!("bench.openapi.yaml");

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Fsync,
    Write,
}

impl Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fsync => "fsync",
            Self::Write => "write",
        })
    }
}

impl FromStr for Durability {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "fsync" => Ok(Self::Fsync),
            "write" => Ok(Self::Write),
            _ => Err(()),
        }
    }
}

/// What an instance is made from.
pub(crate) struct Plan<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) durability: Durability,
    /// The port on loopback that is protected.
    pub(crate) upstream: u16,
    pub(crate) under: Under,
    /// What both listeners show callers; plain HTTP otherwise.
    pub(crate) tls: Option<&'a KeyFiles>,
}

/// How the process is started.
#[derive(Clone, Debug)]
pub(crate) enum Under {
    /// By itself, on all cores.
    Nothing,
    /// On one core, with one worker.
    Core(usize),
    /// By a tool that runs its last words as a command, with one worker; slow to start.
    Tool(Vec<String>),
}

/// A certificate and its key, in PEM.
pub(crate) struct KeyFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A configured Daypass, running or not.
pub(crate) struct Instance {
    binary: PathBuf,
    folder: PathBuf,
    under: Under,
    pub(crate) proxy: u16,
    running: Option<Running>,
}

impl Instance {
    /// Writes the configuration below `scratch`; starts nothing.
    pub(crate) fn prepare(scratch: &Scratch, plan: &Plan<'_>) -> Result<Self> {
        let [proxy, console] = free_ports()?;
        let name = plan.durability.to_string();
        let folder = scratch.path().join(&name);
        let text = configuration(plan, &folder, [proxy, console]);
        scratch.write(&format!("{name}/daypass.yaml"), &text)?;
        scratch.write(&format!("{name}/bench.openapi.yaml"), CONTRACT)?;
        let binary = plan.binary.to_path_buf();
        Ok(Self { binary, folder, under: plan.under.clone(), proxy, running: None })
    }

    /// One whose configuration, `daypass.yaml`, lies in `folder` already, with `data: data`.
    pub(crate) fn in_folder(binary: &Path, folder: PathBuf, proxy: u16) -> Self {
        Self { binary: binary.to_path_buf(), folder, under: Under::Nothing, proxy, running: None }
    }

    /// Starts the process and waits until it is ready: the time that took.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let watch = Watch::start();
        let mut running = Running::start("daypass serve", &mut self.serve()?)?;
        let longest = match self.under {
            Under::Tool(_) => READY_UNDER_TOOL_WAIT_MAX,
            Under::Nothing | Under::Core(_) => READY_WAIT_MAX,
        };
        while watch.elapsed() < longest {
            let asked = http::get_local(&self.folder.join("data/admin.sock"), "/readyz");
            if asked.is_ok_and(|answer| answer.status == 200) {
                self.running = Some(running);
                return Ok(watch.elapsed());
            }
            if let Err(error) = running.check() {
                bail!("{error}; it said:\n{}", self.log());
            }
            pause(Duration::from_millis(2));
        }
        bail!("not ready after {longest:?}; it said:\n{}", self.log())
    }

    fn serve(&self) -> Result<Command> {
        let mut command = self.under.command(&self.binary);
        if !matches!(self.under, Under::Nothing) {
            command.env("DAYPASS_CORES", "1");
        }
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("serve.log"));
        let log: File = log.context("cannot open the log of an instance")?;
        let same = log.try_clone().context("cannot open the log of an instance")?;
        command
            .current_dir(&self.folder)
            .args(["serve", "--config", "daypass.yaml"])
            .stdout(log)
            .stderr(same);
        Ok(command)
    }

    /// `daypass ARGS`, as the local administrator of this instance.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder).args(args).args(["--config", "daypass.yaml", "--local"]);
        command
    }

    /// A fresh service key that holds `role` for a day.
    pub(crate) fn key(&self, role: &str) -> Result<String> {
        let key = output(&mut self.command(&["service", "add", "load", "--role", role, "--for", "1d"]))?;
        Ok(key.trim().to_owned())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.running.take().context("not running")?.kill()
    }

    /// SIGTERM; fails unless the process ends well and in time.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.running.take().context("not running")?.stop()
    }

    /// Has the process that the running one started in its place, once that has ended.
    pub(crate) fn succeed(&mut self, heir: u32) -> Result<()> {
        self.running.as_mut().context("not running")?.succeed(heir)
    }

    pub(crate) fn whole_log(&self) -> String {
        fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let text = self.whole_log();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LOG_LINES_MAX)..).unwrap_or_default();
        last.join("\n")
    }
}

impl Under {
    /// A command that starts `program` so.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Nothing => Command::new(program.as_ref()),
            Self::Core(core) => pinned(*core, program),
            Self::Tool(words) => {
                let mut words = words.iter();
                let mut command = Command::new(words.next().map_or("", String::as_str));
                command.args(words).arg(program.as_ref());
                command
            }
        }
    }
}

/// A command that runs on one core only.
pub(crate) fn pinned(core: usize, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program.as_ref());
    command
}

fn configuration(plan: &Plan<'_>, folder: &Path, [proxy, console]: [u16; 2]) -> String {
    let Plan { durability, upstream, .. } = plan;
    let data = folder.join("data");
    let tls = plan.tls.map(|KeyFiles { certificate, key }| {
        format!("  tls: {{ certificate: 'file:{}', key: 'file:{}' }}\n", certificate.display(), key.display())
    });
    let tls = tls.unwrap_or_default();
    format!(
        "\
listen:
  proxy: 127.0.0.1:{proxy}
  console: 127.0.0.1:{console}
{tls}data: {data}
ledger: sqlite
journal: {{ durability: {durability} }}
apis:
  bench:
    route: {{ prefix: /bench }}
    upstreams: [http://127.0.0.1:{upstream}]
    openapi: bench.openapi.yaml
    limits: {{ rate: 1000000/s }}
roles:
  {ROLE_ALL}: {{ allow: [\"bench:all\"] }}
  {ROLE_READ}: {{ allow: [\"bench:read\"] }}
",
        data = data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(binary: &Path, durability: Durability) -> Plan<'_> {
        Plan { binary, durability, upstream: 3, under: Under::Nothing, tls: None }
    }

    #[test]
    fn the_configuration_says_what_was_planned() {
        let pair = KeyFiles { certificate: PathBuf::from("/c.pem"), key: PathBuf::from("/k.pem") };
        let plan = Plan { tls: Some(&pair), ..plan(Path::new("daypass"), Durability::Write) };
        let text = configuration(&plan, Path::new("/tmp/x"), [1, 2]);
        for line in [
            "  proxy: 127.0.0.1:1",
            "  console: 127.0.0.1:2",
            "  tls: { certificate: 'file:/c.pem', key: 'file:/k.pem' }",
            "data: /tmp/x/data",
            "journal: { durability: write }",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert!(text.contains("upstreams: [http://127.0.0.1:3]"));
    }

    #[test]
    fn an_instance_that_dies_at_once_shows_what_it_said() {
        let scratch = Scratch::new("instance-test").unwrap();
        let binary = scratch.write("daypass", "#!/bin/sh\necho \"cannot serve\" >&2\nexit 1\n").unwrap();
        let sh = Command::new("chmod").arg("+x").arg(&binary).status().unwrap();
        assert!(sh.success());
        let plan = plan(&binary, Durability::Fsync);
        let error = Instance::prepare(&scratch, &plan).unwrap().start().unwrap_err().to_string();
        assert!(error.contains("ended by itself") && error.contains("cannot serve"), "{error}");
    }
}
