//! The configuration file, key by key, as it is written.
//!
//! Every key of the interface is here, whether this version acts on it or not; what it does not act on is
//! refused or warned about when the file is resolved (see `later` and `resolve`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Api, Role};
use super::later::{Access, Alert, Hook, Introspection, JwtIssuer, Notification, OidcProvider, Schedule};
use super::place::{Named, Placed};
use super::text::{
    Address, Duration, FilePath, FileReference, LedgerText, LimitsStore, NameText, PrincipalText, Text, Url,
};
use super::tls::ListenTls;

/// The configuration of Daypass. Unknown keys are refused; secrets are given by reference only.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "daypass.yaml")]
pub struct Config {
    /// Where Daypass listens.
    #[serde(default)]
    pub listen: Listen,
    /// The URL under which callers reach the proxy. `http://` on loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<Placed<Url>>,
    /// The directory for the ledger, the journal and the socket. `./daypass-data` by default.
    #[serde(default = "default_data")]
    pub data: Placed<FilePath>,
    /// Where control events are kept: `sqlite` (default), or `postgres://…` (refused by this version).
    #[serde(default = "default_ledger")]
    pub ledger: Placed<LedgerText>,
    /// How requests are recorded.
    #[serde(default)]
    pub journal: Journal,
    /// Where limits are counted: `memory` (default), or `redis://…` (refused by this version).
    #[serde(default = "default_limits_store")]
    pub limits_store: Placed<LimitsStore>,
    /// Who people are.
    #[serde(default)]
    pub identity: Identity,
    /// Who is on call. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub schedules: Named<Schedule>,
    /// The protected services, by name.
    #[serde(default)]
    pub apis: Named<Api>,
    /// Named sets of permissions on operations.
    #[serde(default)]
    pub roles: Named<Role>,
    /// Who may gain which role, and how. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Placed<Access>>,
    /// Who runs Daypass.
    #[serde(default)]
    pub console: Console,
    /// A Cedar file that no role can overrule. Refused by this version, which does not enforce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<Placed<FilePath>>,
    /// What to do about unusual traffic. Refused by this version, which does not enforce it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Placed<Alert>>,
    /// Who is told. Not in force in this version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Placed<Notification>>,
    /// Inbound webhooks, by source. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub hooks: Named<Hook>,
}

fn default_data() -> Placed<FilePath> {
    Placed::unwritten("./daypass-data")
}

fn default_ledger() -> Placed<LedgerText> {
    Placed::unwritten("sqlite")
}

fn default_limits_store() -> Placed<LimitsStore> {
    Placed::unwritten("memory")
}

/// Where Daypass listens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The proxy. `127.0.0.1:8080` by default; port 0 takes a free one.
    #[serde(default = "default_proxy")]
    pub proxy: Placed<Address>,
    /// The console: API, metrics and health. `127.0.0.1:8081` by default; port 0 takes a free one.
    #[serde(default = "default_console")]
    pub console: Placed<Address>,
    /// Certificates of both listeners. Without them they listen in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Placed<ListenTls>>,
    /// How long what is open may take to end when the server stops or hands over: at most `1h`, `30s` by default.
    /// What is open then is cut.
    #[serde(default = "default_drain")]
    pub drain: Placed<Duration>,
    /// Proxies in front of Daypass that are believed about who is behind them. Nobody by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_proxies: Option<TrustedProxies>,
    /// How many connections to the proxy one source may have open: an IPv4 address, or the first 64 bits of an IPv6
    /// address. Half of all by default, but for loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_source: Option<Placed<u32>>,
}

fn default_drain() -> Placed<Duration> {
    Placed::unwritten("30s")
}

/// Proxies in front of Daypass.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedProxies {
    /// Their addresses or networks, like `10.0.0.7` or `10.0.0.0/24`. Each machine there can say that anybody asks.
    #[schemars(length(min = 1))]
    pub addresses: Placed<Vec<Placed<Text>>>,
    /// How they say who is behind them.
    #[serde(default)]
    pub speak: Speak,
}

/// How proxies in front say who is behind them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speak {
    /// With each request: the last address in `X-Forwarded-For` that is no trusted proxy's, and `X-Forwarded-Proto`.
    #[default]
    Forwarded,
    /// With each connection, which begins with a header of the PROXY protocol, version 1 or 2.
    ProxyProtocol,
}

fn default_proxy() -> Placed<Address> {
    Placed::unwritten("127.0.0.1:8080")
}

fn default_console() -> Placed<Address> {
    Placed::unwritten("127.0.0.1:8081")
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            proxy: default_proxy(),
            console: default_console(),
            tls: None,
            drain: default_drain(),
            trusted_proxies: None,
            connections_per_source: None,
        }
    }
}

/// How requests are recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// What must be true of an entry before its request is forwarded.
    #[serde(default)]
    pub durability: Durability,
    /// Where sealed segments are copied to. Refused by this version, which does not copy them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Placed<Url>>,
    /// How long entries are kept. Refused by this version, which keeps them for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Placed<Duration>>,
}

/// What must be true of a journal entry before its request is forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives a power cut.
    #[default]
    Fsync,
    /// It survives a crash of the process, not a power cut.
    Write,
}

/// Who people are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `OpenID` Connect providers. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<Placed<OidcProvider>>,
    /// Issuers of JWTs. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<Placed<JwtIssuer>>,
    /// Token introspection. Not in force in this version: nobody gains access through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introspection: Vec<Placed<Introspection>>,
    /// Local accounts, by name.
    #[serde(default)]
    pub users: Named<User>,
}

/// A local account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The groups this person is in.
    #[serde(default)]
    pub groups: Vec<Placed<NameText>>,
    /// The file with the hash of their password. It must exist; this version does not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Placed<FileReference>>,
}

/// Who runs Daypass. Nobody by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Who gives and takes access.
    #[serde(default)]
    pub administrators: Vec<Placed<PrincipalText>>,
    /// Who reads the whole journal.
    #[serde(default)]
    pub auditors: Vec<Placed<PrincipalText>>,
}
