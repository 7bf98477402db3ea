//! Texts of the configuration by what they mean, with the patterns that editors check.
//!
//! Nothing is parsed here: a text of the wrong form is found when the configuration is resolved, so that
//! all of them are reported at once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $(#[derive($derive:ident)])? $name:ident { $($schema:tt)* })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        $(#[derive($derive)])?
        #[serde(transparent)]
        pub struct $name(String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!({ $($schema)* });
                schema.insert("description".into(), concat!($($doc),+).trim().into());
                schema
            }
        }
    )+};
}

texts! {
    /// An IP address and port to listen on, like `127.0.0.1:8080`.
    #[derive(Serialize)]
    Address { "type": "string", "pattern": "^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$" }
    /// A duration: a whole number and `s`, `m`, `h` or `d`, like `30s`.
    #[derive(Serialize)]
    Duration { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }
    /// A rate: a whole number, `/` and `s`, `m`, `h` or `d`, like `500/s`.
    #[derive(Serialize)]
    RateText { "type": "string", "pattern": "^[1-9][0-9]{0,6}/(s|m|h|d)$" }
    /// A size: a whole number and `B`, `KiB`, `MiB` or `GiB`, like `1MiB`.
    #[derive(Serialize)]
    Size { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }
    /// Requests at once: a whole number, or `adaptive`.
    Concurrency { "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "adaptive" }] }
    /// A secret by reference: `env:NAME` or `file:PATH`, never the secret itself.
    #[derive(Serialize)]
    Reference { "type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$" }
    /// A file by reference: `file:PATH`, relative to the configuration's directory.
    #[derive(Serialize)]
    FileReference { "type": "string", "pattern": "^file:.+$" }
    /// A path, relative to the configuration's directory.
    #[derive(Serialize)]
    FilePath { "type": "string", "minLength": 1 }
    /// A URL.
    #[derive(Serialize)]
    Url { "type": "string", "pattern": "^[a-z][a-z0-9+.-]*://.+$" }
    /// Where an API runs: a URL, or `unix:` and a path.
    #[derive(Serialize)]
    UpstreamText { "type": "string", "pattern": "^((https?|h2c?)://.+|unix(\\+h2c)?:/.+)$" }
    /// A path, and a query if need be: `/healthz`.
    #[derive(Serialize)]
    TargetText { "type": "string", "pattern": "^/[!-\"$-~]*$" }
    /// A name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`, a letter or digit first.
    #[derive(Serialize)]
    NameText { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$" }
    /// A rule: `API:METHOD TEMPLATE`, `API:operationId`, `API:tag:NAME` or `API:read|write|all`.
    #[derive(Serialize)]
    RuleText { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}:.+$" }
    /// A subject or group: `user:NAME`, `service:NAME` or `group:NAME`.
    #[derive(Serialize)]
    PrincipalText { "type": "string", "pattern": "^((user|service|group):)?[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$" }
    /// The first path segment, with its slash: `/orders`.
    #[derive(Serialize)]
    Prefix { "type": "string", "pattern": "^/[A-Za-z0-9._~-]+$" }
    /// A host name without port, in any case.
    #[derive(Serialize)]
    Host { "type": "string", "pattern": "^[A-Za-z0-9.-]+(:[0-9]{1,5})?$" }
    /// An origin: scheme, host in lower case, and a port that the scheme does not imply; or `*`.
    #[derive(Serialize)]
    Origin { "type": "string", "pattern": "^([*]|https?://[^/?#@]+)$" }
    /// The name of a header: letters, digits and `-`.
    #[derive(Serialize)]
    FieldName { "type": "string", "pattern": "^[A-Za-z0-9-]+$" }
    /// A path that every operation of the contract starts with: `/v1`, or empty.
    #[derive(Serialize)]
    BasePath { "type": "string", "pattern": "^(/.*)?$" }
    /// `sqlite`, or `postgres://…` for a fleet.
    #[derive(Serialize)]
    LedgerText { "type": "string", "pattern": "^(sqlite|postgres(ql)?://.+)$" }
    /// `memory`, or `redis://…` for a fleet.
    #[derive(Serialize)]
    LimitsStore { "type": "string", "pattern": "^(memory|rediss?://.+)$" }
    /// Text.
    #[derive(Serialize)]
    Text { "type": "string" }
}

/// A number is shown as one, so that what is shown can be read again.
impl Serialize for Concurrency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parse::<u32>() {
            Ok(limit) => serializer.serialize_u32(limit),
            Err(_) => serializer.serialize_str(self),
        }
    }
}
