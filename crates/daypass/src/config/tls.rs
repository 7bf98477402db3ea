//! `listen.tls` and `upstream_tls` as they are written.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use gateway::clients::ClientTrust;
use gateway::tls::{Identity, Trust};

use super::place::Placed;
use super::text::{FileReference, Text, Url};

/// Certificates for the listeners. Read again with every reload; connections that are open keep theirs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// The certificate chain, PEM, its own certificate first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Placed<FileReference>>,
    /// Its private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Placed<FileReference>>,
    /// Instead of the two: a certificate that Daypass gets from an authority, and renews, by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Placed<Acme>>,
    /// More of them: the first that is for the name a client asks for is shown, else the one above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<KeyPair>,
    /// Who signs client certificates, PEM: the proxy asks callers for one, believes these authorities and no others, and
    /// takes it for the subject it names. It gives nothing by itself: who may do what is as for tokens and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<Placed<FileReference>>,
    /// Revocation lists, PEM or DER. Given any, each client certificate must be covered by one that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_crl: Option<Placed<Vec<Placed<FileReference>>>>,
}

/// What `listen.tls` means; with neither an identity nor an authority to have one from, the listeners speak in the clear.
#[derive(Debug, Clone, Default)]
pub struct ListenerTls {
    /// Who the listeners are, the first where none is asked for.
    pub identities: Vec<Identity>,
    /// Whose certificates the proxy asks for.
    pub clients: Option<ClientTrust>,
    /// From whom the first identity is had, if not from a file.
    pub acme: Option<Arc<AcmePlan>>,
}

/// What `acme:` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmePlan {
    /// Where the authority says what it has.
    pub directory: String,
    /// The names of the certificate.
    pub domains: Vec<String>,
    /// Whom the authority writes to.
    pub contact: Vec<String>,
    /// Who vouches for the authority's own server.
    pub trust: Trust,
}

/// How certificates are had from an authority (RFC 8555). Its terms of service count as agreed to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Where the authority says what it has: `https://acme-v02.api.letsencrypt.org/directory`.
    pub directory: Placed<Url>,
    /// The names of the certificate, in lower case; each must lead to the proxy's listener at port 443.
    pub domains: Placed<Vec<Placed<Text>>>,
    /// Whom the authority writes to: `mailto:` addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<Placed<Text>>,
    /// Who vouches for the authority's own server, PEM. Without it, those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Placed<FileReference>>,
}

/// A certificate and its key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// The certificate chain, PEM, its own certificate first.
    pub certificate: Placed<FileReference>,
    /// Its private key, PEM.
    pub key: Placed<FileReference>,
}

/// How upstreams prove who they are, and who Daypass is to them. About `https://` and `h2://` upstreams.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// The authorities that are believed, PEM; no others are. Without it, those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Placed<FileReference>>,
    /// Daypass's own certificate chain, PEM, for upstreams that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Placed<FileReference>>,
    /// Its private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Placed<FileReference>>,
    /// The name that the upstreams' certificates are for, where it is not the host of their URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Placed<Text>>,
}
