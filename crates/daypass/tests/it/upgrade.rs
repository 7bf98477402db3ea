//! Upgrades: a new process takes over, and nobody notices but the operator.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::wire::Wire;
use testkit::{Ask, Behavior, Upstream, eventually};
use tokio::net::TcpStream;

use super::cli::daypass;
use super::serving::Server;

/// A server in front of an upstream with endless events, and a key for it.
struct Stage {
    directory: TempDir,
    _upstream: Upstream,
    server: Server,
    proxy: SocketAddr,
    key: String,
}

fn write(directory: &Path, upstream: SocketAddr, listen: &str) {
    let text = format!(
        "listen: {{ proxy: '{listen}', console: '127.0.0.1:0', drain: 20s }}
apis: {{ a: {{ route: {{ prefix: /a }}, upstreams: ['http://{upstream}'] }} }}
roles: {{ r: {{ allow: ['a:all'] }} }}
"
    );
    fs::write(directory.join("daypass.yaml"), text).unwrap();
}

impl Stage {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let upstream = Upstream::start().await;
        upstream.on("/events", Behavior::Events);
        write(directory.path(), upstream.address(), "127.0.0.1:0");
        let server = Server::start(directory.path());
        let proxy = server.said().split("proxy=http://").nth(1).unwrap();
        let proxy = proxy.split(' ').next().unwrap().parse().unwrap();
        let mut stage = Self { directory, _upstream: upstream, server, proxy, key: String::new() };
        stage.key = stage.run(&["service", "add", "s", "--role", "r", "--for", "1h"]).trim().to_owned();
        stage
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = daypass(self.directory.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn connect(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.proxy).await.unwrap())
    }

    /// The status of a request on this connection, and whether it is said to end.
    async fn ask(&self, wire: &mut Wire<TcpStream>, path: &str) -> (u16, bool) {
        wire.send(&Ask::get(path).bearer(&self.key).bytes()).await.unwrap();
        let head = wire.head().await.unwrap().unwrap();
        if path != "/a/events" {
            let mut framing = head.framing().unwrap();
            while wire.piece(&mut framing).await.unwrap().is_some() {}
        }
        let status = head.start.split(' ').nth(1).unwrap().parse().unwrap();
        (
            status,
            head.fields
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("connection") && value == "close"),
        )
    }

    /// The outcomes of all requests, the oldest first.
    /// A connection that the process serves which has taken over: the one before may still take some that waited.
    async fn connect_to_successor(&self) -> Wire<TcpStream> {
        let serves = async || {
            let mut fresh = self.connect().await;
            (self.ask(&mut fresh, "/a/3").await == (200, false)).then_some(fresh)
        };
        eventually("the new process serves", serves).await
    }

    /// What became of each request, in order; of those that looked for the new process the last.
    fn outcomes(&self) -> Vec<String> {
        let rows: Vec<Value> = serde_json::from_str(&self.run(&["audit", "search", "-o", "json"])).unwrap();
        let told = |row: &Value| {
            format!("{} {}", row["path"].as_str().unwrap(), row["outcome"].as_str().unwrap_or("open"))
        };
        let mut outcomes: Vec<_> = rows.iter().map(|row| (row["leaf"].as_u64(), told(row))).collect();
        outcomes.sort();
        let mut told: Vec<_> = outcomes.into_iter().map(|(_, told)| told).collect();
        told.dedup_by(|later, earlier| later == earlier && later == "/3 completed");
        told
    }
}

#[tokio::test]
async fn a_revocation_cuts_the_streams_of_both_processes_and_counts_them() {
    let mut stage = Stage::start().await;
    let (mut before, mut kept) = (stage.connect().await, stage.connect().await);
    assert_eq!(stage.ask(&mut before, "/a/events").await, (200, false));
    assert_eq!(stage.ask(&mut kept, "/a/1").await, (200, false));
    stage.server.upgrade();
    assert_eq!(stage.ask(&mut kept, "/a/2").await, (200, true), "by the process before");
    let mut after = stage.connect_to_successor().await;
    assert_eq!(stage.ask(&mut after, "/a/events").await, (200, false));
    let receipt: Value =
        serde_json::from_str(&stage.run(&["revoke", "--all", "--reason", "drill", "-o", "json"])).unwrap();
    assert_eq!(receipt["streams"]["sse"], 2, "{receipt}");
    assert_eq!(receipt["nodes"].as_array().map(Vec::len), Some(1), "{receipt}");
    for wire in [&mut before, &mut after] {
        let mut rest = testkit::wire::Framing::UntilClose;
        while matches!(wire.piece(&mut rest).await, Ok(Some(_))) {}
    }
    assert_eq!(stage.server.ended(), Some(0));
    assert_eq!(
        stage.outcomes(),
        ["/events cut", "/1 completed", "/2 completed", "/3 completed", "/events cut"]
    );
}

#[tokio::test]
async fn who_cannot_take_over_leaves_everything_as_it_was() {
    let mut stage = Stage::start().await;
    let mut events = stage.connect().await;
    assert_eq!(stage.ask(&mut events, "/a/events").await, (200, false));
    let file = stage.directory.path().join("daypass.yaml");
    let sound = fs::read_to_string(&file).unwrap();
    // One that does not come as far as to take anything, and one that has taken the journal by then.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere =
        sound.replace("proxy: '127.0.0.1:0'", &format!("proxy: '{}'", taken.local_addr().unwrap()));
    for (wrong, why) in [("surprise: 1\n".to_owned(), "unknown key"), (elsewhere, "cannot listen")] {
        fs::write(&file, wrong).unwrap();
        stage.server.signal(Signal::USR2);
        let said = stage.server.wait_for("no new process took over, this one goes on");
        assert!(said.contains(why), "{said}");
        fs::write(&file, &sound).unwrap();
        let shown = stage.run(&["status"]);
        let (_, shown) = shown.split_once("\ntakeover       failed ").expect("a line of its own");
        assert!(shown.contains("; the process before it goes on\n") && shown.contains(why), "{shown}");
        assert!(!shown.contains("\\n") && !shown.contains("took over"), "{shown}");
        let mut fresh = stage.connect().await;
        assert_eq!(stage.ask(&mut fresh, "/a/1").await, (200, false));
        stage.run(&["service", "add", why.split(' ').next().unwrap(), "--role", "r", "--for", "1h"]);
    }
    stage.server.upgrade();
    drop(stage.connect_to_successor().await);
    // The first process still has the events open: nobody else can take over before it has ended.
    stage.server.signal(Signal::USR2);
    stage.server.wait_for("the process before this one still ends what it has open");
    drop(events);
    assert_eq!(stage.server.ended(), Some(0));
    assert_eq!(stage.outcomes(), ["/events abandoned", "/1 completed", "/1 completed", "/3 completed"]);
}

/// Has a link lead elsewhere, in one go.
fn lead(link: &Path, to: &Path) {
    let fresh = link.with_extension("fresh");
    symlink(to, &fresh).unwrap();
    fs::rename(&fresh, link).unwrap();
}

/// A server that was started by a link to its binary.
fn linked(directory: &Path, link: &Path) -> Server {
    write(directory, "127.0.0.1:1".parse().unwrap(), "127.0.0.1:0");
    let mut command = Command::new(link);
    command.env_clear().env("NO_COLOR", "1").current_dir(directory).arg("serve");
    Server::launch(&mut command)
}

#[tokio::test]
async fn a_reload_that_is_asked_for_during_a_takeover_is_obeyed_by_whoever_goes_on() {
    let directory = TempDir::new().unwrap();
    let binary = env!("CARGO_BIN_EXE_daypass");
    let (link, pipe, slow) = ["current", "pipe", "slow"].map(|name| directory.path().join(name)).into();
    symlink(binary, &link).unwrap();
    let mut server = linked(directory.path(), &link);
    // It waits to be told whether it is to be one that takes over.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = format!("#!/bin/sh\nread word < pipe\n[ \"$word\" = go ] || exit 1\nexec {binary} \"$@\"\n");
    fs::write(&slow, text).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o700)).unwrap();
    lead(&link, &slow);
    for (word, ends) in [("stop", "no new process took over"), ("go", "successor=")] {
        server.signal(Signal::USR2);
        server.wait_for("a new process is to take over");
        let mut waits = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        server.signal(Signal::HUP);
        waits.write_all(format!("{word}\n").as_bytes()).unwrap();
        drop(waits);
        let said = server.wait_for(ends);
        if let Some((_, pid)) = said.rsplit_once("successor=") {
            server.succeed(pid);
        }
        server.wait_for("the configuration was reloaded");
    }
    assert_eq!(server.ended(), Some(0));
}

#[tokio::test]
async fn a_link_that_leads_to_a_new_binary_is_followed_and_one_that_ends_is_told() {
    let directory = TempDir::new().unwrap();
    let (old, link) = (directory.path().join("v1"), directory.path().join("current"));
    fs::copy(env!("CARGO_BIN_EXE_daypass"), &old).unwrap();
    symlink("v1", &link).unwrap();
    let mut server = linked(directory.path(), &link);
    assert!(server.said().contains(&format!("program={}\n", link.display())), "{}", server.said());

    lead(&link, Path::new("/bin/false"));
    server.signal(Signal::USR2);
    let said = server.wait_for("this one goes on");
    assert!(said.contains("it ended with exit status: 1; its own log says why"), "{said}");
    let shown = daypass(directory.path(), &["status"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("it ended with exit status: 1; its own log says why\n"), "{shown}");
    assert!(shown.contains(&format!(", {}\n", link.display())), "{shown}");

    fs::copy(&old, directory.path().join("v2")).unwrap();
    lead(&link, Path::new("v2"));
    fs::remove_file(&old).unwrap();
    server.upgrade();
    assert_eq!(server.ended(), Some(0));
}
