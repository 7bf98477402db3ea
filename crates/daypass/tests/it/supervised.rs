//! The server under a supervisor: sockets that listen before it starts, and what it tells.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::serving::{CONFIGURATION, Server};

/// Binds two sockets, and becomes the server with them, as systemd does.
const LAUNCHER: &str = "
import os, socket, sys
sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
for place, listening in enumerate(sockets):
    os.dup2(listening.fileno(), 10 + place)
for place in range(2):
    os.dup2(10 + place, 3 + place)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])
";

fn launch(directory: &TempDir, names: &str) -> Command {
    fs::write(directory.path().join("daypass.yaml"), CONFIGURATION).unwrap();
    let mut command = Command::new("python3");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("NO_COLOR", "1");
    command
        .args(["-c", LAUNCHER, names, env!("CARGO_BIN_EXE_daypass"), "serve"])
        .current_dir(directory.path());
    command
}

/// What a supervisor at this place is told, as it comes: one that does not listen misses signs of life.
fn listen(place: &Path) -> Receiver<String> {
    let socket = UnixDatagram::bind(place).unwrap();
    let (send, heard) = channel();
    std::thread::spawn(move || {
        let mut text = [0; 512];
        while let Ok(read) = socket.recv(&mut text) {
            if send.send(String::from_utf8_lossy(&text[..read]).into_owned()).is_err() {
                return;
            }
        }
    });
    heard
}

/// The next thing that is told, apart from signs of life.
fn told(heard: &Receiver<String>) -> String {
    loop {
        let text = heard.recv_timeout(Duration::from_secs(30)).unwrap();
        if text != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn a_supervisor_hears_when_it_is_ready_reloads_is_succeeded_and_stops() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("notify");
    let supervisor = listen(&place);
    let mut command = launch(&directory, "proxy:console");
    command.env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "20000");
    let mut server = Server::launch(&mut command);
    assert_eq!(told(&supervisor), "READY=1");
    assert_eq!(supervisor.recv_timeout(Duration::from_secs(30)).unwrap(), "WATCHDOG=1");
    server.signal(Signal::HUP);
    assert!(told(&supervisor).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(&supervisor), "READY=1");
    server.upgrade();
    let (one, other) = (told(&supervisor), told(&supervisor));
    let told_by_both = [one.as_str(), other.as_str()];
    assert!(told_by_both.contains(&"READY=1"), "{told_by_both:?}");
    assert!(told_by_both.iter().any(|text| text.starts_with("MAINPID=")), "{told_by_both:?}");
    assert_eq!(server.ended(), Some(0));
    server.signal(Signal::TERM);
    assert_eq!(told(&supervisor), "STOPPING=1");
}

#[test]
fn a_supervisor_that_does_not_listen_holds_up_nothing() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("notify");
    let deaf = UnixDatagram::bind(&place).unwrap();
    let mut command = launch(&directory, "proxy:console");
    command.env("NOTIFY_SOCKET", &place).env("WATCHDOG_USEC", "2000");
    let mut server = Server::launch(&mut command);
    for _ in 0..2 {
        server.signal(Signal::HUP);
        server.wait_for("the configuration was reloaded");
    }
    drop(deaf);
}

#[test]
fn sockets_that_are_given_are_listened_on_and_no_others() {
    let directory = TempDir::new().unwrap();
    // The configured ports are taken: it would not start on them.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = launch(&directory, "proxy:console");
    let text = CONFIGURATION.replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    fs::write(directory.path().join("daypass.yaml"), text).unwrap();
    let server = Server::launch(&mut command);
    let proxy = server.said().split("proxy=http://").nth(1).unwrap().split(' ').next().unwrap();
    let answer = std::net::TcpStream::connect(proxy).unwrap();
    drop(answer);
    assert_ne!(proxy, taken.local_addr().unwrap().to_string());
}

#[test]
fn a_socket_of_another_name_is_refused() {
    let directory = TempDir::new().unwrap();
    let output = launch(&directory, "proxy:metrics").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("given under the name `metrics`"), "{said}");
}
