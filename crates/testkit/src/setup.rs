//! How a world is to be: APIs, roles, people, limits, durability, and where its time comes from.
//!
//! A setup is written as a real `daypass.yaml`, so that what is tested is what the binary would run.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use journal::Durability;

use crate::disk::Fault;
use crate::reference;

/// The credential of the sample API, which callers never see.
pub const UPSTREAM_KEY: &str = "Bearer upstream-key-nobody-sees-0123456789";

/// Whether time moves by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pace {
    /// It stands still until it is advanced.
    #[default]
    Held,
    /// It runs as fast as the machine's.
    Running,
}

/// Who answers an API's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behind {
    /// The world's recording upstream.
    #[default]
    Recorder,
    /// The world's recording upstream for HTTP/2.
    H2c,
    /// Somebody else, at this URL.
    Url(String),
    /// Several, at these URLs.
    Urls(Vec<String>),
    /// Nobody: connections are refused.
    Nobody,
}

/// One API of a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiSetup {
    behind: Behind,
    contract: Option<&'static str>,
    limits: String,
    tls: String,
    extra: String,
}

impl ApiSetup {
    /// An API without a contract, at the first path segment that is its name.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// The sample order API, with its contract.
    #[must_use]
    pub fn orders() -> Self {
        Self { contract: Some(daypass::demo::orders::CONTRACT), ..Self::default() }
    }

    /// With limits, as `limits:` of the configuration takes them.
    #[must_use]
    pub fn limits(self, limits: &str) -> Self {
        Self { limits: limits.to_owned(), ..self }
    }

    /// With what `upstream_tls:` of the configuration takes.
    #[must_use]
    pub fn tls(self, tls: &str) -> Self {
        Self { tls: tls.to_owned(), ..self }
    }

    /// With more lines of its configuration, each with its four spaces, right or wrong.
    #[must_use]
    pub fn extra(self, lines: &str) -> Self {
        Self { extra: lines.to_owned(), ..self }
    }

    /// With another upstream.
    #[must_use]
    pub fn behind(self, behind: Behind) -> Self {
        Self { behind, ..self }
    }
}

/// How a world is to be. The default has the APIs `orders` (with its contract) and `plain` (without), alice
/// (sre), bob, carol (auditor), and the roles `orders-viewer`, `orders-admin` and `plain-all`.
#[derive(Debug, Clone)]
pub struct Setup {
    apis: BTreeMap<String, ApiSetup>,
    roles: BTreeMap<String, (reference::Role, String)>,
    users: BTreeMap<String, String>,
    extra: String,
    tls: String,
    listen: String,
    pub(crate) durability: Durability,
    pub(crate) cores: usize,
    pub(crate) descriptors: usize,
    pub(crate) seed: u64,
    pub(crate) pace: Pace,
    pub(crate) fault: Fault,
}

/// Where the upstreams of a world are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) recorder: SocketAddr,
    pub(crate) h2c: SocketAddr,
    pub(crate) nobody: SocketAddr,
}

impl Default for Setup {
    fn default() -> Self {
        let bare = Self {
            apis: BTreeMap::new(),
            roles: BTreeMap::new(),
            users: BTreeMap::new(),
            extra: String::new(),
            tls: String::new(),
            listen: String::new(),
            durability: Durability::Write,
            cores: 1,
            descriptors: 1_000,
            seed: 1,
            pace: Pace::Held,
            fault: Fault::None,
        };
        let users = [("alice", "sre"), ("bob", "dev"), ("carol", "audit")];
        users
            .into_iter()
            .fold(bare, |setup, (name, group)| setup.user(name, group))
            .api("orders", ApiSetup::orders())
            .api("plain", ApiSetup::open())
            .role("orders-viewer", &["orders:read"], &[])
            .role("orders-admin", &["orders:all"], &[])
            .role("plain-all", &["plain:all"], &[])
    }
}

impl Setup {
    /// With an API, in place of one of its name.
    #[must_use]
    pub fn api(mut self, name: &str, api: ApiSetup) -> Self {
        self.apis.insert(name.to_owned(), api);
        self
    }

    /// Without an API, and without the roles that speak of it.
    #[must_use]
    pub fn without_api(mut self, name: &str) -> Self {
        self.apis.remove(name);
        let about = format!("{name}:");
        let speaks = |rules: &[String]| rules.iter().any(|rule| rule.starts_with(&about));
        self.roles.retain(|_, (role, _)| !speaks(&role.allow) && !speaks(&role.deny));
        self
    }

    /// With a role, in place of one of its name.
    #[must_use]
    pub fn role(self, name: &str, allow: &[&str], deny: &[&str]) -> Self {
        self.limited_role(name, allow, deny, "")
    }

    /// With a role that has `limits:`.
    #[must_use]
    pub fn limited_role(mut self, name: &str, allow: &[&str], deny: &[&str], limits: &str) -> Self {
        let owned = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        let role = reference::Role { allow: owned(allow), deny: owned(deny) };
        self.roles.insert(name.to_owned(), (role, limits.to_owned()));
        self
    }

    /// With a person of one group.
    #[must_use]
    pub fn user(mut self, name: &str, group: &str) -> Self {
        self.users.insert(name.to_owned(), group.to_owned());
        self
    }

    /// Without a person.
    #[must_use]
    pub fn without_user(mut self, name: &str) -> Self {
        self.users.remove(name);
        self
    }

    /// With more lines of configuration, right or wrong.
    #[must_use]
    pub fn extra(self, lines: &str) -> Self {
        Self { extra: lines.to_owned(), ..self }
    }

    /// With one more key of `listen:`.
    #[must_use]
    pub fn listen(mut self, key: &str) -> Self {
        self.listen.push_str(&format!(", {key}"));
        self
    }

    /// With listeners that speak TLS.
    #[must_use]
    pub fn secured(self) -> Self {
        self.secured_with("")
    }

    /// With listeners that speak TLS, and a proxy that asks for certificates of [`crate::clients::CLIENTS`].
    #[must_use]
    pub fn asking(self) -> Self {
        self.secured_with(", client_ca: 'file:clients.pem'")
    }

    /// With listeners that speak TLS, and more of `listen.tls`.
    #[must_use]
    pub fn secured_with(self, more: &str) -> Self {
        self.tls(&format!("certificate: 'file:cert.pem', key: 'file:key.pem'{more}"))
    }

    /// With this of `listen.tls`.
    #[must_use]
    pub fn tls(self, keys: &str) -> Self {
        Self { tls: format!(", tls: {{ {keys} }}"), ..self }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_empty() { "http" } else { "https" }
    }

    /// With another durability; `write` unless said.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// With so many threads of the proxy; one unless said.
    #[must_use]
    pub fn cores(self, cores: usize) -> Self {
        Self { cores, ..self }
    }

    /// With so many connections that each of them may have open; 1,000 unless said.
    #[must_use]
    pub fn descriptors(self, descriptors: usize) -> Self {
        Self { descriptors, ..self }
    }

    /// With other random numbers.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With time that moves by itself.
    #[must_use]
    pub fn running(self) -> Self {
        Self { pace: Pace::Running, ..self }
    }

    /// With a disk that does wrong from the start.
    #[must_use]
    pub fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// The configuration file, and the contracts beside it, by name.
    pub(crate) fn files(&self, places: Places) -> (String, BTreeMap<String, &'static str>) {
        let mut text = format!(
            "listen: {{ proxy: '127.0.0.1:0', console: '127.0.0.1:0'{}{} }}\ndata: data\napis:\n",
            self.tls, self.listen
        );
        let mut contracts = BTreeMap::new();
        for (name, api) in &self.apis {
            let upstream = match &api.behind {
                Behind::Recorder => format!("http://{}", places.recorder),
                Behind::H2c => format!("h2c://{}", places.h2c),
                Behind::Url(url) => url.clone(),
                Behind::Urls(urls) => urls.join("', '"),
                Behind::Nobody => format!("http://{}", places.nobody),
            };
            text.push_str(&format!(
                "  {name}:\n    route: {{ prefix: /{name} }}\n    upstreams: ['{upstream}']\n"
            ));
            text.push_str("    credentials: { headers: { Authorization: 'env:UPSTREAM_KEY' } }\n");
            if let Some(contract) = api.contract {
                text.push_str(&format!("    openapi: {name}.openapi.yaml\n"));
                contracts.insert(format!("{name}.openapi.yaml"), contract);
            }
            if !api.tls.is_empty() {
                text.push_str(&format!("    upstream_tls: {}\n", api.tls));
            }
            if !api.limits.is_empty() {
                text.push_str(&format!("    limits: {}\n", api.limits));
            }
            text.push_str(&api.extra);
        }
        text.push_str("roles:\n");
        for (name, (role, limits)) in &self.roles {
            let limits = if limits.is_empty() { String::new() } else { format!(", limits: {limits}") };
            text.push_str(&format!(
                "  {name}: {{ allow: {:?}, deny: {:?}{limits} }}\n",
                role.allow, role.deny
            ));
        }
        text.push_str("identity:\n  users:\n");
        for (name, group) in &self.users {
            text.push_str(&format!("    {name}: {{ groups: [{group}] }}\n"));
        }
        text.push_str("console: { auditors: ['group:audit'] }\n");
        text.push_str(&self.extra);
        (text, contracts)
    }

    /// What it says, for the second opinion.
    #[must_use]
    pub fn policy(&self) -> reference::Policy {
        let roles = self.roles.iter().map(|(name, (role, _))| (name.clone(), role.clone()));
        let apis =
            self.apis.iter().map(|(name, api)| (name.clone(), api.contract.map(reference::operations)));
        reference::Policy { roles: roles.collect(), apis: apis.collect() }
    }
}
