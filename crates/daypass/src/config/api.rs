//! `apis:` and `roles:` as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::later::MaskRule;
use super::place::{Named, Placed};
use super::text::{
    BasePath, Concurrency, Duration, FieldName, FilePath, Host, Origin, Prefix, RateText, Reference,
    RuleText, Size, TargetText, Text, UpstreamText,
};
use super::tls::UpstreamTls;

/// A protected service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// How requests for it are told from others.
    pub route: Placed<Route>,
    /// Where it runs: `https://` or `http://` for HTTP/1.1, `h2://` or `h2c://` (without TLS) for HTTP/2; on this machine
    /// also `unix:/PATH`, or `unix+h2c:/PATH` for HTTP/2. Requests are spread over them, and over all addresses of a name.
    #[schemars(length(min = 1))]
    pub upstreams: Placed<Vec<Placed<UpstreamText>>>,
    /// How upstreams over TLS prove who they are, and who Daypass is to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_tls: Option<Placed<UpstreamTls>>,
    /// How its upstreams are asked whether they do well. Without it only requests show that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Its `OpenAPI` contract, YAML or JSON, at most 16 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<Placed<FilePath>>,
    /// What the paths of its contract start with, instead of the path of the contract's first server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Placed<BasePath>>,
    /// What becomes of requests outside the contract.
    #[serde(default)]
    pub unlisted: Unlisted,
    /// Whether decisions are enforced.
    #[serde(default)]
    pub mode: Placed<Mode>,
    /// What its paths may have that readers differ about: `encoded_slash` (`%2F`), `parameters` (`;`), `empty_segments`
    /// (`//`). Nothing by default: such requests are refused. Rules take each for a part of the path as it is spelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_in_paths: Vec<Quirk>,
    /// What is added to each request on its way to the upstream.
    #[serde(default)]
    pub credentials: Credentials,
    /// How strictly requests are held to the contract.
    #[serde(default)]
    pub validate: Placed<Validate>,
    /// How much of it is let through.
    #[serde(default)]
    pub limits: ApiLimits,
    /// Which pages of other origins may call it from a browser. Left to the upstream by default, which cannot answer
    /// preflights: they show no credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What is hidden in answers. Refused by this version, which does not hide it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<Placed<MaskRule>>,
    /// Fields with personal data. Refused by this version, which does not treat them apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<Placed<Text>>,
}

/// How requests for an API are told from others: by one of the two.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// By the first path segment, which is taken off before forwarding.
    Prefix(Placed<Prefix>),
    /// By the host.
    Host(Placed<Host>),
}

/// What becomes of requests outside an API's contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unlisted {
    /// They are refused, for every role.
    #[default]
    Refuse,
    /// Path rules may name them.
    Allow,
}

/// Something in a path that readers differ about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// `%2F`, which some take for a slash.
    EncodedSlash,
    /// `;`, which some take for the start of parameters that are no part of the path.
    Parameters,
    /// `//`, which some take for one slash.
    EmptySegments,
}

/// Whether decisions are enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are recorded only. Refused by this version.
    Observe,
}

/// How strictly requests are held to the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// In everything the contract says. Refused by this version.
    Strict,
    /// In what the contract declares; the rest passes. Refused by this version.
    Declared,
    /// In their operation only.
    #[default]
    Off,
}

/// What is added to each request on its way to the upstream, never seen by the caller.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Headers by name; each value is a secret's reference.
    #[serde(default)]
    pub headers: Named<Placed<Reference>>,
}

/// How upstreams are asked whether they do well: a GET from each node, with the API's `credentials` and no caller's. An
/// answer of 2xx passes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is asked for, behind the upstream's own path.
    pub path: Placed<TargetText>,
    /// The time from one check to the next. `5s` by default, `100ms` to `1h`.
    #[serde(default = "default_every")]
    pub every: Placed<Duration>,
    /// The longest time for one, connecting included. `2s` by default, at most `1h`.
    #[serde(default = "default_check_timeout")]
    pub timeout: Placed<Duration>,
    /// How many in a row must not pass before an upstream is sent nothing more. `3` by default.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: Placed<u32>,
    /// How many in a row must pass before it is again. `2` by default.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: Placed<u32>,
}

fn default_every() -> Placed<Duration> {
    Placed::unwritten("5s")
}

fn default_check_timeout() -> Placed<Duration> {
    Placed::unwritten("2s")
}

fn default_unhealthy_after() -> Placed<u32> {
    Placed::unwritten(3_u32)
}

fn default_healthy_after() -> Placed<u32> {
    Placed::unwritten(2_u32)
}

/// Which pages of other origins may call an API from a browser. Preflights are answered by Daypass, and what the
/// upstream says about origins is left out of its answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, like `https://app.example.com`; or `*` alone, for all of them.
    #[schemars(length(min = 1))]
    pub origins: Placed<Vec<Placed<Origin>>>,
    /// Headers that pages may send beside `Authorization`, which is always among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Placed<FieldName>>,
    /// Headers of answers that pages may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Placed<FieldName>>,
    /// Whether browsers may add what they hold: cookies and certificates. Not by default.
    #[serde(default)]
    pub credentials: Placed<bool>,
    /// How long a browser may remember the answer to a preflight. `10m` by default, at most `1d`.
    #[serde(default = "default_max_age")]
    pub max_age: Placed<Duration>,
}

fn default_max_age() -> Placed<Duration> {
    Placed::unwritten("10m")
}

/// How much of an API is let through.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiLimits {
    /// Requests of all subjects together. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Placed<RateText>>,
    /// Requests that may come at once. One second's worth of the rate by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<Placed<u32>>,
    /// The longest request body. `1MiB` by default, at most `1024GiB`.
    #[serde(default = "default_request_body")]
    pub request_body: Placed<Size>,
    /// The longest wait for the upstream's answer to begin. `30s` by default, at most `1d`.
    #[serde(default = "default_timeout")]
    pub timeout: Placed<Duration>,
    /// The longest wait for a connection to an upstream, its TLS included. `3s` by default, at most `1m`.
    #[serde(default = "default_connect")]
    pub connect: Placed<Duration>,
    /// How long nothing may move once the answer has begun. `10m` by default, at most `1d`.
    #[serde(default = "default_idle")]
    pub idle: Placed<Duration>,
    /// The longest time for a whole exchange; WebSockets are not held to it. No limit by default, at most `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Placed<Duration>>,
    /// Requests in flight. No limit by default; `adaptive` is refused by this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Placed<Concurrency>>,
}

fn default_request_body() -> Placed<Size> {
    Placed::unwritten("1MiB")
}

fn default_timeout() -> Placed<Duration> {
    Placed::unwritten("30s")
}

fn default_connect() -> Placed<Duration> {
    Placed::unwritten("3s")
}

fn default_idle() -> Placed<Duration> {
    Placed::unwritten("10m")
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            rate: None,
            burst: None,
            request_body: default_request_body(),
            timeout: default_timeout(),
            connect: default_connect(),
            idle: default_idle(),
            total: None,
            concurrency: None,
        }
    }
}

/// A named set of permissions on operations. What nothing allows is refused; `deny` wins over `allow`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What it allows.
    #[schemars(length(min = 1))]
    pub allow: Placed<Vec<Placed<RuleText>>>,
    /// What it refuses, whatever else allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Placed<RuleText>>,
    /// A Cedar expression that must hold. Refused by this version, which does not enforce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Placed<Text>>,
    /// How fast one subject may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RoleLimits>,
}

/// How fast one subject may use a role.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleLimits {
    /// Requests of one subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Placed<RateText>>,
    /// Requests that may come at once. One second's worth of the rate by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<Placed<u32>>,
}
