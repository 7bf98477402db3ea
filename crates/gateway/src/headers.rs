//! Headers: what of a request goes upstream, what of an answer comes back, and what is added.
//!
//! Removal comes before addition, so that nothing a client names in `Connection` can remove what the proxy
//! adds. Not here: which names are refused outright (see `arrival`).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::peer::Peer;
use crate::picture::{Forward, Upstream};

/// What the proxy says of a request to its upstream.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    pub(crate) subject: HeaderValue,
    pub(crate) grant: Option<HeaderValue>,
    pub(crate) request_id: HeaderValue,
    pub(crate) traceparent: HeaderValue,
    pub(crate) peer: &'a Peer,
    /// The host the client asked for.
    pub(crate) host: &'a str,
    /// Whether the API is told by that host.
    pub(crate) host_routed: HostRouted,
}

/// Whether an API is told by its host, and so may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostRouted {
    Yes,
    No,
}

/// Hop-by-hop fields (RFC 9110, section 7.6.1), and those by which clients could speak for the proxy.
fn is_dropped_from_request(name: &str) -> bool {
    is_hop_by_hop(name)
        || matches!(
            name,
            "authorization"
                | "proxy-authorization"
                | "host"
                | "expect"
                | "forwarded"
                | "x-request-id"
                | "traceparent"
                | "tracestate"
                | "x-real-ip"
                | "via"
                | "http2-settings"
                | "x-client-ip"
                | "client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "x-cluster-client-ip"
                | "x-original-forwarded-for"
                | "x-envoy-external-address"
                | "x-forwarded"
                | "forwarded-for"
                | "x-host"
                | "x-original-host"
                | "remote-user"
                | "x-remote-user"
                | "proxy"
        )
        || name.contains("daypass")
        || name.starts_with("x-forwarded-")
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade"
    )
}

/// The fields of the upstream request: what the client sent less what is dropped, then what is added.
pub(crate) fn for_upstream(
    sent: &HeaderMap,
    added: Added<'_>,
    forward: &Forward,
    upstream: &Upstream,
) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(sent.len().saturating_add(12));
    let named = named_by_connection(sent);
    let overridden = |name: &HeaderName| forward.headers.iter().any(|(own, _)| own == name);
    for (name, value) in sent {
        let drop =
            is_dropped_from_request(name.as_str()) || is_named(&named, name.as_str()) || overridden(name);
        if !drop {
            fields.append(name.clone(), value.clone());
        }
    }
    add(&mut fields, added, upstream);
    for (name, value) in &forward.headers {
        fields.insert(name.clone(), value.clone());
    }
    fields
}

static DAYPASS_SUBJECT: HeaderName = HeaderName::from_static("daypass-subject");
static DAYPASS_GRANT: HeaderName = HeaderName::from_static("daypass-grant");
static DAYPASS_RECEIPT: HeaderName = HeaderName::from_static("daypass-receipt");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn add(fields: &mut HeaderMap, added: Added<'_>, upstream: &Upstream) {
    let host = if added.host_routed == HostRouted::Yes { added.host } else { upstream.authority.as_str() };
    insert_text(fields, header::HOST, host);
    insert_text(fields, X_FORWARDED_HOST.clone(), added.host);
    fields.insert(X_FORWARDED_PROTO.clone(), HeaderValue::from_static("http"));
    fields.insert(X_FORWARDED_FOR.clone(), added.peer.forwarded_for.clone());
    let mut text = arrayvec::ArrayString::<384>::new();
    // At most 64 + 7 + 255 + 12 characters: all fit.
    for part in [&*added.peer.forwarded, ";host=\"", added.host, "\";proto=http"] {
        let _ = text.try_push_str(part);
    }
    insert_text(fields, header::FORWARDED, &text);
    fields.insert(DAYPASS_SUBJECT.clone(), added.subject);
    if let Some(grant) = added.grant {
        fields.insert(DAYPASS_GRANT.clone(), grant);
    }
    fields.insert(X_REQUEST_ID.clone(), added.request_id);
    fields.insert(TRACEPARENT.clone(), added.traceparent);
}

fn insert_text(fields: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        fields.insert(name, value);
    }
}

/// The fields of an answer: hop-by-hop ones and those reserved to the proxy are dropped, receipts are added.
pub(crate) fn for_client(fields: &mut HeaderMap, request_id: HeaderValue, receipt: Option<HeaderValue>) {
    if fields.contains_key(header::CONNECTION) {
        let named = named_by_connection(fields);
        for name in named.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
            remove_all(fields, &name);
        }
    }
    drop_reserved(fields);
    stamp(fields, request_id, receipt);
}

/// Adds the names by which an answer can be found again.
pub(crate) fn stamp(fields: &mut HeaderMap, request_id: HeaderValue, receipt: Option<HeaderValue>) {
    fields.insert(X_REQUEST_ID.clone(), request_id);
    if let Some(receipt) = receipt {
        fields.insert(DAYPASS_RECEIPT.clone(), receipt);
    }
}

/// Drops what an upstream may not say to a client: hop-by-hop fields, and those that are the proxy's own.
pub(crate) fn drop_reserved(fields: &mut HeaderMap) {
    let reserved = |name: &&HeaderName| is_hop_by_hop(name.as_str()) || is_reserved(name.as_str());
    while let Some(name) = fields.keys().find(reserved).cloned() {
        remove_all(fields, &name);
    }
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("daypass-") || name == "x-request-id"
}

fn remove_all(fields: &mut HeaderMap, name: &HeaderName) {
    if let header::Entry::Occupied(entry) = fields.entry(name) {
        entry.remove_entry_mult();
    }
}

/// The names that `Connection` fields list, in lower case. Names that must stay whatever is listed are left out.
fn named_by_connection(fields: &HeaderMap) -> Vec<String> {
    let values = fields.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| {
            !matches!(name.as_str(), "" | "close" | "keep-alive" | "content-length" | "content-type" | "host")
        })
        .collect()
}

fn is_named(named: &[String], name: &str) -> bool {
    named.iter().any(|listed| listed == name)
}

/// The path and query that an upstream is sent: its base, the canonical path within the API, the query.
pub(crate) fn upstream_target(upstream: &Upstream, path: &str, query: Option<&str>) -> String {
    let length =
        upstream.base_path.len().saturating_add(path.len()).saturating_add(query.map_or(0, str::len));
    let mut text = String::with_capacity(length.saturating_add(1));
    text.push_str(&upstream.base_path);
    text.push_str(path);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    text
}
