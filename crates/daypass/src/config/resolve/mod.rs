//! From the configuration as written to settings that mean something, or to everything that is wrong with it.
//!
//! Each part reports what it finds and goes on, so that one run of `daypass check` shows it all. Settings
//! are only handed out when nothing was reported.

mod api;
mod callers;
mod cors;
mod later;
mod people;
mod reach;
mod role;
mod tls;
mod upstreams;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use access::credential::occurs_in;
use access::id::NotAnId;
use access::limit::Rate;
use access::policy::Policy;

use super::file::{Config, Listen};
use super::finding::{Finding, Report, Source};
use super::place::{Place, Placed};
use super::text::{self, Address, RateText, Url};
use super::{Environment, Settings, upstream};

/// The longest that stopping may wait for what is open.
const DRAIN_MAX: Duration = Duration::from_secs(60 * 60);

/// Resolves a configuration: its settings and warnings, or its errors.
pub(super) fn resolve(
    config: &Config,
    source: &Source,
    directory: &Path,
    environment: &Environment,
) -> Result<(Settings, Report), Report> {
    let mut resolver = Resolver {
        directory,
        environment,
        errors: Report::new(source.clone()),
        warnings: Report::new(source.clone()),
    };
    let settings = resolver.settings(config);
    match settings.filter(|_| resolver.errors.findings().is_empty()) {
        Some(settings) => Ok((settings, resolver.warnings.sorted())),
        None => Err(resolver.errors.sorted()),
    }
}

/// What every part reads from and reports to.
struct Resolver<'c> {
    directory: &'c Path,
    environment: &'c Environment,
    errors: Report,
    warnings: Report,
}

impl Resolver<'_> {
    /// `None` only where something was refused.
    fn settings(&mut self, config: &Config) -> Option<Settings> {
        self.refuse_what_is_not_enforced(config);
        self.warn_of_what_is_not_in_force(config);
        if config.data.trim().is_empty() {
            let says = "`data` names no directory";
            self.refuse(config.data.place, says, "name one, like `./daypass-data`, or remove the key");
        }
        let tls = self.listener_tls(config.listen.tls.as_ref());
        let listeners = self.listeners(&config.listen);
        let drain = self.drain(&config.listen.drain);
        let callers = self.callers(&config.listen);
        let public_url = config.public_url.as_ref().and_then(|url| self.public_url(url));
        let users = self.users(&config.identity.users);
        let administrators = self.principals(&config.console.administrators, &users);
        let auditors = self.principals(&config.console.auditors, &users);
        let apis = self.apis(&config.apis);
        let roles = self.roles(&config.roles);
        let policy = Policy { apis: apis.apis, roles: roles.roles, users, administrators, auditors };
        self.check_rules(&policy, &apis.marks, roles.marks);
        let (proxy, console) = listeners?;
        Some(Settings {
            proxy,
            console,
            tls,
            drain: drain?,
            callers,
            public_url,
            data: self.directory.join(&*config.data.value),
            durability: config.journal.durability,
            policy,
            forwards: apis.forwards,
        })
    }

    fn refuse(&mut self, place: Place, says: impl Into<String>, advice: impl Into<String>) {
        self.errors.add(Finding { place, says: says.into(), advice: advice.into() });
    }

    fn warn(&mut self, place: Place, says: impl Into<String>, advice: impl Into<String>) {
        self.warnings.add(Finding { place, says: says.into(), advice: advice.into() });
    }

    /// A name of some kind.
    fn name<T>(&mut self, written: &Placed<impl std::ops::Deref<Target = str>>) -> Option<T>
    where
        T: std::str::FromStr<Err = NotAnId>,
    {
        let text: &str = &written.value;
        let named = text.parse();
        if named.is_err() {
            let says = format!("`{text}` is not a name");
            let advice = "use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first";
            self.refuse(written.place, says, advice);
        }
        if occurs_in(text.as_bytes()) {
            let says = "this name contains a Daypass credential, and names are shown to everybody";
            let advice = "use another name, and revoke the credential if others may have read this file";
            self.refuse(written.place, says, advice);
        }
        named.ok()
    }

    fn rate(&mut self, rate: Option<&Placed<RateText>>, burst: Option<&Placed<u32>>) -> Option<Rate> {
        let Some(written) = rate else {
            if let Some(burst) = burst {
                self.refuse(burst.place, "a burst without a rate limits nothing", "add `rate:` beside it");
            }
            return None;
        };
        let parsed = written.parse::<Rate>();
        if parsed.is_err() {
            let advice = "write a number from 1 to 1000000, `/` and `s`, `m`, `h` or `d`, like `500/s`";
            self.refuse(written.place, format!("`{}` is not a rate", written.value), advice);
        }
        match burst {
            Some(burst) if !(1..=1_000_000).contains(&burst.value) => {
                let says = format!("a burst of {} is out of bounds", burst.value);
                self.refuse(burst.place, says, "write a number from 1 to 1000000");
                None
            }
            Some(burst) => parsed.ok().map(|rate| rate.with_burst(burst.value)),
            None => parsed.ok(),
        }
    }

    fn listeners(&mut self, listen: &Listen) -> Option<(SocketAddr, SocketAddr)> {
        let proxy = self.address(&listen.proxy);
        let console = self.address(&listen.console);
        if listen.tls.is_none() {
            self.warn_of_open_air(&listen.proxy, proxy);
            self.warn_of_open_air(&listen.console, console);
        }
        let (proxy, console) = (proxy?, console?);
        if proxy == console && proxy.port() != 0 {
            let says = "the proxy and the console cannot listen at one address";
            let place = listen.console.place.max(listen.proxy.place);
            self.refuse(place, says, "give one of them another port");
        }
        Some((proxy, console))
    }

    fn address(&mut self, written: &Placed<Address>) -> Option<SocketAddr> {
        let address: Option<SocketAddr> = written.parse().ok();
        if address.is_none() {
            let says = format!("`{}` is not an address to listen on", written.value);
            self.refuse(written.place, says, "write an IP address and a port, like `127.0.0.1:8080`");
        }
        address
    }

    fn drain(&mut self, written: &Placed<text::Duration>) -> Option<Duration> {
        let drain = access::time::parse_duration(&written.value).filter(|drain| *drain <= DRAIN_MAX);
        if drain.is_none() {
            let says = format!("`{}` is not a time to drain", written.value);
            self.refuse(written.place, says, "write a duration from `0s` to `1h`, like `30s`");
        }
        drain
    }

    fn warn_of_open_air(&mut self, written: &Placed<Address>, address: Option<SocketAddr>) {
        if address.is_some_and(|address| !address.ip().is_loopback()) {
            let says = "credentials travel unencrypted to this address";
            let advice = "add `listen.tls`, or listen on loopback behind something that speaks TLS";
            self.warn(written.place, says, advice);
        }
    }

    fn public_url(&mut self, written: &Placed<Url>) -> Option<String> {
        let url = parse_public_url(&written.value);
        if let Err((says, advice)) = &url {
            self.refuse(written.place, *says, *advice);
        }
        url.ok()
    }
}

fn parse_public_url(text: &str) -> Result<String, (&'static str, &'static str)> {
    let example = "write it like `https://daypass.example.com`";
    let (scheme, rest) = text.split_once("://").ok_or(("this is not a URL", example))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let plain = !authority.contains(['/', '?', '#', '@']);
    let host = upstream::host_and_port(authority, 80).filter(|_| plain);
    let (host, _) =
        host.ok_or(("a public URL is a scheme, a host and perhaps a port, without a path", example))?;
    match scheme {
        "https" => {}
        "http" if is_loopback(&host) => {}
        "http" => return Err(("`http://` is for loopback only", "use `https://`")),
        _ => return Err(("a public URL starts with `https://`", example)),
    }
    Ok(format!("{scheme}://{authority}"))
}

/// Whether a host is this machine whatever any name server says.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
