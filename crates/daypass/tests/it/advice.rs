//! What goes wrong for a newcomer, and what the errors say to do about it.

use std::fs;
use std::net::TcpListener;

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::cli::{daypass, said};

fn check(directory: &TempDir, arguments: &[&str], expected: &Expect) {
    expected.assert_eq(&said(directory.path(), &daypass(directory.path(), arguments)));
}

#[test]
fn without_a_configuration_a_command_says_where_it_looked_and_how_to_name_one() {
    let directory = TempDir::new().unwrap();
    check(
        &directory,
        &["status"],
        &expect![[r#"
        exit 2
        -- stderr
        it is not known which server to ask: there is no `daypass.yaml` here, none at `/etc/daypass/daypass.yaml`, and no server's socket in `./daypass-data`
        next: name the server's configuration with `--config FILE` or DAYPASS_CONFIG, or ask over HTTP with DAYPASS_URL and DAYPASS_SESSION; `daypass init --api NAME --upstream URL` writes a first configuration
    "#]],
    );
}

#[test]
fn a_wrong_upstream_is_told_of_the_argument_and_a_password_in_it_is_not_shown() {
    let directory = TempDir::new().unwrap();
    let init = |url| daypass(directory.path(), &["init", "--api", "shop", "--upstream", url]);
    let mut told = String::new();
    for url in ["ftp://shop", "127.0.0.1:7001", "http://me:secret@shop", "http://shop/a?b"] {
        told.push_str(&said(directory.path(), &init(url)));
    }
    expect![[r#"
        exit 2
        -- stderr
        `--upstream ftp://shop`: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
        next: write it like `http://127.0.0.1:7001`
        exit 2
        -- stderr
        `--upstream 127.0.0.1:7001`: an upstream's URL starts with `https://`, `http://`, `h2://` or `h2c://`, or with `unix:`
        next: write it like `http://127.0.0.1:7001`
        exit 2
        -- stderr
        `--upstream`: an upstream's URL does not carry a user or password
        next: add them with `credentials.headers`, by reference
        exit 2
        -- stderr
        `--upstream http://shop/a?b`: an upstream's path is plain segments, without `..`, `%`, `?` or `#`
        next: write it like `http://127.0.0.1:7001`
    "#]]
    .assert_eq(&told);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What `serve` says of two addresses of which it cannot have one, with their ports left out.
fn serve(proxy: &str, console: &str) -> String {
    let directory = TempDir::new().unwrap();
    let text = format!(
        "listen: {{ proxy: '{proxy}', console: '{console}' }}\n\
         apis: {{ a: {{ route: {{ prefix: /a }}, upstreams: [http://127.0.0.1:1] }} }}\n\
         roles: {{ r: {{ allow: ['a:all'] }} }}\n"
    );
    fs::write(directory.path().join("daypass.yaml"), text).unwrap();
    let said = said(directory.path(), &daypass(directory.path(), &["serve"]));
    [proxy, console].iter().fold(said, |said, place| said.replace(place, "ADDRESS"))
}

#[test]
fn an_address_that_is_taken_names_the_setting_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    expect![[r#"
        exit 1
        -- stderr
        cannot start the proxy: cannot listen on `ADDRESS`: Address already in use (os error 98)
        next: another process listens there: stop it, or change `listen.proxy` in `daypass.yaml`
    "#]]
    .assert_eq(&serve(&taken, "127.0.0.1:0"));
    expect![[r#"
        exit 1
        -- stderr
        cannot listen on `ADDRESS` for the console: Address already in use (os error 98)
        next: another process listens there: stop it, or change `listen.console` in `daypass.yaml`
    "#]]
    .assert_eq(&serve("127.0.0.1:0", &taken));
}

#[test]
fn what_is_no_requests_id_is_told_what_one_is() {
    let directory = TempDir::new().unwrap();
    check(
        &directory,
        &["explain", "nope"],
        &expect![[r#"
        exit 2
        -- stderr
        error: invalid value 'nope' for '<ID>': a request's id is a UUID, the `X-Request-Id` of its answer; `daypass audit search` lists them as ID

        For more information, try '--help'.
    "#]],
    );
}
