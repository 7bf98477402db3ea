//! Headers: what of a request goes upstream, what of an answer comes back, and what is added.
//!
//! Removal comes before addition, so that nothing a client names in `Connection` can remove what the proxy
//! adds. Not here: which names are refused outright (see `arrival`), and the fields of framing (see `h1`).

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use arrayvec::ArrayString;
use http::HeaderMap;
use http::header::HeaderName;

use crate::arrival::Head;
use crate::fields::{Entry, FieldList, Sink};
use crate::name::Name;
use crate::picture::{Forward, Upstream};
use crate::record::{Admitted, id_text};
use crate::trace::TraceParent;

/// Whether an API is told by its host, and so may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostRouted {
    Yes,
    No,
}

/// Fields of one hop, and those by which clients could speak for the proxy.
fn is_dropped_from_request(name: Name, text: &[u8]) -> bool {
    match name {
        Name::Authorization | Name::Expect | Name::Host | Name::Traceparent | Name::XRequestId => true,
        Name::Other => is_of_proxies(text),
        _ => is_hop_by_hop(name),
    }
}

/// Names by which proxies and what stands before servers tell who asks, from where and with what certificate, and by
/// which some servers are told to be asked by somebody else.
pub(crate) fn is_of_proxies(name: &[u8]) -> bool {
    matches!(
        name,
        b"clientcert"
            | b"front-end-https"
            | b"http2-settings"
            | b"proxy"
            | b"proxy-authorization"
            | b"ssl"
            | b"tracestate"
            | b"via"
            | b"x-certificate"
            | b"x-host"
            | b"x-original-host"
            | b"x-real-ip"
            | b"x-scheme"
            | b"x-ssl"
            | b"xfcc"
    ) || FAMILIES.is_match(name)
}

/// Parts of names, of which products and the people who set them up make many: a name that has one is none of a
/// client's own. No list is whole: an API's own headers set what its upstream believes besides.
static FAMILIES: LazyLock<Parts> = LazyLock::new(|| {
    Parts::of(&[
        // Ours.
        "daypass",
        // Where a request came from.
        "cluster-client",
        "client-ip",
        "clientip",
        "cluster-ip",
        "connecting-ip",
        "forward-for",
        "forwarded",
        "forwarder-for",
        "originating-ip",
        "pseudo-ip",
        "remote-addr",
        "remote-ip",
        "socketip",
        "source-ip",
        "user-ip",
        "x-envoy-",
        // Who sent it.
        "authenticated-user",
        "auth-request-",
        "authentik-",
        "cf-access-",
        "goog-iap-",
        "impersonate-",
        "ms-client-principal",
        "ms-token-",
        "oidc-",
        "pomerium-",
        "remote-extra-",
        "remote-group",
        "remote-user",
        "tailscale-",
        "webauth-",
        "x-consumer-",
        // With what certificate (RFC 9440, and what nginx, Apache, Envoy, HAProxy, Azure and AWS are told to use).
        "arr-clientcert",
        "cf-connecting",
        "client-cert",
        "client-dn",
        "client-s-dn",
        "client-verify",
        "mtls-",
        "peer-cert",
        "ssl-",
        "tls-",
        "x-clientcert",
    ])
});

/// Parts of names, all looked for at once.
#[derive(Debug)]
pub(crate) struct Parts(Option<AhoCorasick>);

impl Parts {
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(parts).ok())
    }

    /// Whether the name has one of them; what cannot be told has.
    pub(crate) fn is_match(&self, name: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|parts| parts.is_match(name))
    }
}

/// Fields of one hop (RFC 9110, section 7.6.1), and those of framing, which every hop writes anew.
const fn is_hop_by_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::ContentLength
            | Name::Hop
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade
    )
}

/// What goes upstream in the name of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) request_id: &'a str,
    pub(crate) traceparent: &'a TraceParent,
}

/// The fields of the upstream request but those of framing: what is added, then what the client sent less what is
/// dropped, then what the API's own configuration says.
pub(crate) fn for_upstream(
    sent: &FieldList,
    added: Added<'_>,
    forward: &Forward,
    upstream: &Upstream,
    out: &mut impl Sink,
) {
    let overridden = |name: &[u8]| forward.headers.iter().any(|(own, _)| own.as_str().as_bytes() == name);
    add(added, upstream, |name, value| {
        if !overridden(name.as_bytes()) {
            out.add(name.as_bytes(), value.as_bytes());
        }
    });
    pass_on(sent, overridden, out);
    for (name, value) in &forward.headers {
        out.add(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// What the client sent less what is dropped and what is `overridden`.
pub(crate) fn pass_on(sent: &FieldList, overridden: impl Fn(&[u8]) -> bool, out: &mut impl Sink) {
    let named = Named::of(sent);
    for Entry { name, text, value } in sent.entries() {
        if name != Name::Cookie
            && !is_dropped_from_request(name, text)
            && !named.lists(text)
            && !overridden(text)
        {
            out.add(text, value);
        }
    }
    if !named.lists(COOKIE) && !overridden(COOKIE) {
        add_cookies(sent, out);
    }
}

const COOKIE: &[u8] = b"cookie";

/// However many fields they came in, they go out in one (RFC 9113, section 8.2.3): servers differ about several.
fn add_cookies(sent: &FieldList, out: &mut impl Sink) {
    let mut values = sent.known(Name::Cookie);
    match (values.next(), values.next()) {
        (None, _) => {}
        (Some(only), None) => out.add(COOKIE, only),
        (Some(_), Some(_)) => {
            out.add(COOKIE, &sent.known(Name::Cookie).collect::<Vec<_>>().join(&b"; "[..]));
        }
    }
}

fn add(added: Added<'_>, upstream: &Upstream, mut add: impl FnMut(&str, &str)) {
    let Added { head, admitted, request_id, traceparent } = added;
    let (asked, scheme) = (admitted.host, head.peer.scheme);
    let host = if admitted.host_routed == HostRouted::Yes { asked } else { &*upstream.authority };
    add("host", host);
    add("x-forwarded-for", &head.peer.text);
    add("x-forwarded-host", asked);
    add("x-forwarded-proto", scheme);
    add("forwarded", &joined::<384>(&[&head.peer.forwarded, ";host=\"", asked, "\";proto=", scheme]));
    let (kind, name) = (admitted.subject.kind().as_str(), admitted.subject.name().as_str());
    add("daypass-subject", &joined::<96>(&[kind, ":", name]));
    if let Some(grant) = admitted.grant {
        add("daypass-grant", &id_text(grant));
    }
    add("x-request-id", request_id);
    add("traceparent", traceparent);
}

/// The parts in a row. They fit: an address, a host of at most 255 bytes; a kind and a name of at most 64.
fn joined<const N: usize>(parts: &[&str]) -> ArrayString<N> {
    let mut text = ArrayString::new();
    for part in parts {
        let _ = text.try_push_str(part);
    }
    text
}

/// Leaves of an answer's fields what an upstream may say to a client.
pub(crate) fn for_client(fields: &mut FieldList) {
    let stays = |field: Entry<'_>| !is_hop_by_hop(field.name) && !is_reserved(field.name, field.text);
    if Named::of(fields).is_empty() {
        fields.retain(stays);
        return;
    }
    let whole = fields.clone();
    let named = Named::of(&whole);
    fields.retain(|field| stays(field) && !named.lists(field.text));
}

/// Adds the names by which an answer can be found again.
pub(crate) fn stamp(fields: &mut FieldList, request_id: &str, receipt: Option<&str>) {
    fields.add(b"x-request-id", request_id.as_bytes());
    if let Some(receipt) = receipt {
        fields.add(b"daypass-receipt", receipt.as_bytes());
    }
}

/// Drops of trailers what an upstream may not say to a client.
pub(crate) fn drop_reserved(fields: &mut HeaderMap) {
    let reserved = |name: &&HeaderName| {
        let text = name.as_str().as_bytes();
        let name = Name::of(text);
        is_hop_by_hop(name) || is_reserved(name, text) || belongs_to_head(text)
    };
    while let Some(name) = fields.keys().find(reserved).cloned() {
        if let http::header::Entry::Occupied(entry) = fields.entry(&name) {
            entry.remove_entry_mult();
        }
    }
}

/// Fields that mean something only before the body: what routes, authenticates, changes the answer's meaning or says
/// what the body is (RFC 9110, section 6.5.1).
fn belongs_to_head(name: &[u8]) -> bool {
    name.starts_with(b"content-")
        || name.starts_with(b"access-control-")
        || matches!(
            name,
            b"host"
                | b"authorization"
                | b"proxy-authorization"
                | b"proxy-authenticate"
                | b"www-authenticate"
                | b"authentication-info"
                | b"set-cookie"
                | b"cache-control"
                | b"expires"
                | b"vary"
                | b"location"
                | b"refresh"
                | b"retry-after"
                | b"date"
                | b"strict-transport-security"
        )
}

/// Whether a name is ours, or one that readers fold to it.
fn is_reserved(name: Name, text: &[u8]) -> bool {
    let alike = |own: &u8, other: &u8| own == other || (*own == b'-' && matches!(other, b'_' | b'.'));
    let request_id = b"x-request-id";
    match name {
        Name::XRequestId => true,
        Name::Other => {
            text.windows(b"daypass".len()).any(|part| part == b"daypass")
                || (text.len() == request_id.len()
                    && request_id.iter().zip(text).all(|(own, other)| alike(own, other)))
        }
        _ => false,
    }
}

/// The names that `Connection` fields list, less those that must stay whatever is listed.
struct Named<'a>(Vec<&'a [u8]>);

impl<'a> Named<'a> {
    fn of(fields: &'a FieldList) -> Self {
        let listed = fields.known(Name::Connection).flat_map(|value| value.split(|byte| *byte == b','));
        let stays = |name: &&[u8]| {
            name.is_empty()
                || [&b"close"[..], b"keep-alive", b"upgrade", b"content-type", b"host"]
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(name))
        };
        Self(listed.map(<[u8]>::trim_ascii).filter(|name| !stays(name)).collect())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn lists(&self, name: &[u8]) -> bool {
        self.0.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// Writes the path and query that an upstream is sent: its base, the canonical path within the API, the query.
pub(crate) fn write_target(upstream: &Upstream, path: &str, query: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(upstream.base_path.as_bytes());
    out.extend_from_slice(path.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
}
