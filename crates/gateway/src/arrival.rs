//! From what a codec parsed to an arrival: each part read once, with one reading or a refusal.
//!
//! A [`Head`] borrows strings and bytes only, so that any codec can feed it.

use std::borrow::Cow;
use std::sync::LazyLock;

use access::arrival::{Arrival, BodyLength, Certificate, Shown};
use access::canonical::Target;
use access::operation::Method;
use access::{Reason, Refused, RequestId, Timestamp, credential};
use http::Version;

use crate::bounds::{HEAD_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};
use crate::fields::{Entry, FieldList};
use crate::grpc;
use crate::h1::head::Asked;
use crate::headers::Parts;
use crate::name::Name;
use crate::peer::{Caller, Peer};
use crate::shown::ShownBefore;
use crate::trace::Trace;
use crate::websocket::{self, Opening};

/// The parts of a request's head, as parsed and not yet judged.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) peer: &'a Peer,
    pub(crate) trace: Trace,
    pub(crate) version: Version,
    pub(crate) method: &'a str,
    /// How it would ask for a WebSocket.
    pub(crate) opening: Opening,
    /// The authority of the request target (absolute form, or HTTP/2's `:authority`).
    pub(crate) authority: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: BodyLength,
    pub(crate) fields: Fields<'a>,
    /// What the connection showed last.
    pub(crate) shown_before: &'a ShownBefore,
}

impl<'a> Head<'a> {
    /// The head of what could not be read as a request: who sent it, and nothing else.
    pub(crate) fn unread((id, at): (RequestId, Timestamp), caller: &'a Caller, version: Version) -> Self {
        Self {
            id,
            at,
            peer: &caller.peer,
            trace: Trace::of(None, id),
            version,
            method: "?",
            opening: Opening::Upgrade,
            authority: None,
            path: "?",
            query: None,
            body: BodyLength::None,
            fields: Fields::default(),
            shown_before: &caller.shown_before,
        }
    }
}

impl Head<'_> {
    /// Whether the answer has a body.
    pub(crate) fn asked(&self) -> Asked {
        if self.method == "HEAD" { Asked::Head } else { Asked::Other }
    }

    /// Whether the request asks to become a WebSocket.
    pub(crate) fn asks_for_websocket(&self) -> bool {
        let upgrade = self.fields.upgrade.text();
        self.opening == Opening::Connect || upgrade.is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    }
}

/// What matters of the header fields, gathered in one pass.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) host: Field<'a>,
    pub(crate) authorization: Field<'a>,
    pub(crate) content_length: Field<'a>,
    pub(crate) expect: Field<'a>,
    pub(crate) upgrade: Field<'a>,
    pub(crate) websocket_key: Field<'a>,
    pub(crate) websocket_version: Field<'a>,
    pub(crate) user_agent: Field<'a>,
    pub(crate) traceparent: Field<'a>,
    pub(crate) origin: Field<'a>,
    /// What a browser asks whether it may (`Access-Control-Request-Method`).
    pub(crate) asked_method: Field<'a>,
    pub(crate) te: Field<'a>,
    pub(crate) grpc_timeout: Field<'a>,
    pub(crate) dialect: Dialect,
    /// Whether `Connection` lists `upgrade`.
    pub(crate) connection_upgrades: bool,
    count: usize,
    bytes: usize,
    fault: Option<Fault<'a>>,
}

/// Why no request with these fields is read.
#[derive(Debug, Clone, Copy)]
struct Fault<'a> {
    why: &'static str,
    /// The name that shall be left out.
    name: Option<&'a [u8]>,
}

impl Fault<'_> {
    fn detail(&self) -> Cow<'static, str> {
        let Some(name) = self.name else { return self.why.into() };
        let (shown, more) = match name.get(..HEADER_NAME_BYTES_MAX) {
            Some(shown) if shown.len() < name.len() => (shown, "..."),
            _ => (name, ""),
        };
        format!("{}: `{}{more}`", self.why, String::from_utf8_lossy(shown)).into()
    }
}

/// What kind of refusals a caller can read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    Http,
    Grpc,
    /// One whose own deadline has passed.
    GrpcLate,
}

/// A header field that may come once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Several,
}

impl<'a> Field<'a> {
    pub(crate) fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Several => Self::Several,
        };
    }

    /// The value as text, if the field came once and is visible ASCII.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Self::Once(value) if value.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                std::str::from_utf8(value).ok()
            }
            _ => None,
        }
    }
}

impl<'a> Fields<'a> {
    /// Reads the fields. `fault` is why the codec found that they have more than one reading.
    pub(crate) fn read(fields: &'a FieldList, fault: Option<&'static str>) -> Self {
        let fault = fault.map(|why| Fault { why, name: None });
        let mut read = Self { fault, ..Self::default() };
        for field in fields.entries() {
            let bytes = field.text.len().saturating_add(field.value.len()).saturating_add(4);
            read.count = read.count.saturating_add(1);
            read.bytes = read.bytes.saturating_add(bytes);
            read.add(field);
        }
        read
    }

    /// The request is refused for this, whatever else it says.
    pub(crate) const fn find_fault(&mut self, why: &'static str) {
        self.fault = Some(Fault { why, name: None });
    }

    /// Whether the client waits to be told that it may send its body.
    pub(crate) fn expects(&self) -> bool {
        self.expect != Field::Absent
    }

    fn add(&mut self, Entry { name, text, value }: Entry<'a>) {
        match name {
            Name::Host => self.host.add(value),
            Name::Authorization => return self.authorization.add(value),
            Name::ContentLength => self.content_length.add(value),
            Name::Expect => self.expect.add(value),
            Name::Upgrade => self.upgrade.add(value),
            Name::SecWebsocketKey => self.websocket_key.add(value),
            Name::SecWebsocketVersion => self.websocket_version.add(value),
            Name::UserAgent => self.user_agent.add(value),
            Name::Traceparent => self.traceparent.add(value),
            Name::Origin => self.origin.add(value),
            Name::AccessControlRequestMethod => self.asked_method.add(value),
            Name::Te => self.te.add(value),
            Name::GrpcTimeout => self.grpc_timeout.add(value),
            Name::ContentType if grpc::is_call(value) => self.dialect = Dialect::Grpc,
            Name::Connection => {
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.connection_upgrades |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
            }
            Name::Other => self.find_fault_in(text),
            Name::ContentType
            | Name::Cookie
            | Name::Hop
            | Name::Plain
            | Name::TransferEncoding
            | Name::XRequestId => {}
        }
        if credential::occurs_in(value) {
            self.find_fault("a credential stands in a header other than `Authorization`");
        }
    }

    /// What a name that means nothing else may be refused for.
    fn find_fault_in(&mut self, name: &'a [u8]) {
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            self.find_fault("a header name has characters other than letters, digits and `-`");
        } else if is_override(name) {
            let why = "a header asks for another method, path or host than the request line";
            self.fault = Some(Fault { why, name: Some(name) });
        }
    }
}

/// Headers by which some upstreams are asked for another method, path or host than the one that was judged.
pub(crate) fn is_override(name: &[u8]) -> bool {
    name == b"x-method" || OVERRIDES.is_match(name)
}

/// Parts of their names.
static OVERRIDES: LazyLock<Parts> = LazyLock::new(|| {
    Parts::of(&[
        "destinationurl",
        "http-method",
        "http-verb",
        "invoke-path",
        "matched-path",
        "original-dst",
        "original-http",
        "original-method",
        "original-path",
        "original-uri",
        "original-url",
        "override",
        "replaced-path",
        "request-uri",
        "rewrite",
        "unencoded-url",
        "x-middleware-",
    ])
});

/// Reads a head as an arrival, over a connection with this proven certificate.
///
/// # Errors
/// `request_malformed`, `misdirected`, `uri_too_long`, `headers_too_large`, `upgrade_refused` or
/// `method_unsupported`.
pub(crate) fn arrive<'a>(
    head: &Head<'a>,
    certificate: Option<&'a Certificate>,
) -> Result<Arrival<'a>, Refused> {
    let target_bytes = head.path.len().saturating_add(head.query.map_or(0, str::len));
    if target_bytes > TARGET_BYTES_MAX {
        return Err(Refused::because(Reason::UriTooLong, "the path and query are longer than 8192 bytes"));
    }
    if head.fields.count > HEADERS_MAX || head.fields.bytes > HEAD_BYTES_MAX {
        return Err(Refused::because(
            Reason::HeadersTooLarge,
            "the header fields are more than 100, or longer than 32768 bytes together",
        ));
    }
    if let Some(fault) = &head.fields.fault {
        return Err(malformed(fault.detail()));
    }
    let method = Method::parse(head.method).ok_or_else(|| {
        Refused::because(Reason::MethodUnsupported, "this method is not forwarded")
            .next("use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE")
    })?;
    refuse_odd_fields(&head.fields)?;
    refuse_odd_upgrade(head, method)?;
    let host = host(head)?;
    if head.peer.security.contradicts(host) {
        let detail = "the TLS handshake was for another host than the request";
        return Err(Refused::because(Reason::Misdirected, detail));
    }
    Ok(Arrival {
        id: head.id,
        at: head.at,
        client: head.peer.ip,
        method,
        host,
        target: target(head)?,
        shown: shown(head)?,
        certificate,
        body: head.body,
    })
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Refused {
    Refused::because(Reason::RequestMalformed, detail)
}

fn refuse_odd_fields(fields: &Fields<'_>) -> Result<(), Refused> {
    if fields.content_length == Field::Several {
        return Err(malformed("the request has more than one `Content-Length` header"));
    }
    match fields.expect {
        Field::Absent => Ok(()),
        Field::Once(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(malformed("the `Expect` header asks for something other than `100-continue`")),
    }
}

/// Only a WebSocket handshake may ask for another protocol (RFC 6455, section 4.1).
fn refuse_odd_upgrade(head: &Head<'_>, method: Method) -> Result<(), Refused> {
    match (head.fields.upgrade, head.opening) {
        (Field::Absent, Opening::Upgrade) => Ok(()),
        _ if websocket::is_handshake(head, method) => Ok(()),
        _ => Err(Refused::because(
            Reason::UpgradeRefused,
            "only a whole WebSocket handshake, of version 13, may switch to another protocol",
        )),
    }
}

/// The one host a request names (RFC 9112, section 3.2).
fn host<'a>(head: &Head<'a>) -> Result<&'a str, Refused> {
    let host = match (head.authority, head.fields.host) {
        (_, Field::Several) => return Err(malformed("the request has more than one `Host` header")),
        (None, Field::Absent) => return Err(malformed("the request names no host")),
        (Some(_), Field::Absent) if head.version == Version::HTTP_11 => {
            return Err(malformed("the request has no `Host` header"));
        }
        (Some(authority), Field::Absent) => authority,
        (None, Field::Once(_)) => head.fields.host.text().unwrap_or(""),
        (Some(authority), Field::Once(host)) if authority.as_bytes() == host => authority,
        (Some(_), Field::Once(_)) => return Err(malformed("the request names two hosts")),
    };
    if head.shown_before.is_host(host) {
        return Ok(host);
    }
    if !is_host(host) {
        return Err(malformed(
            "the host is not a name or an address, with or without a port from 1 to 65535",
        ));
    }
    if credential::occurs_in(host.as_bytes()) {
        return Err(malformed("a credential stands in the host"));
    }
    head.shown_before.keep_host(host);
    Ok(host)
}

/// A name, or an address as in a URL, with or without a port (RFC 3986, section 3.2.2).
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", rest),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let digits = port.strip_prefix(':').unwrap_or("1");
    let is_port =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0);
    text.len() <= 255
        && !name.is_empty()
        && name.bytes().all(plain)
        && is_port
        && (port.is_empty() || port.starts_with(':'))
}

fn target<'a>(head: &Head<'a>) -> Result<Target<'a>, Refused> {
    let target = Target::parse(head.path, head.query).map_err(|why| malformed(why.to_string()))?;
    let leaks = credential::occurs_in(target.path().as_bytes())
        || target.query().is_some_and(|query| credential::occurs_in(query.as_bytes()));
    if !leaks {
        return Ok(target);
    }
    match head.fields.authorization {
        Field::Absent => Err(Refused::because(
            Reason::CredentialMissing,
            "nothing is read from the path or the query; the credential that stands there should be revoked",
        )
        .next("send it as `Authorization: Bearer <token>`")),
        _ => Err(malformed("a second credential stands in the path or the query")),
    }
}

fn shown(head: &Head<'_>) -> Result<Shown, Refused> {
    let value = match head.fields.authorization {
        Field::Absent => return Ok(Shown::Nothing),
        Field::Several => return Err(malformed("the request has more than one `Authorization` header")),
        Field::Once(value) => value,
    };
    Ok(match value.split_at_checked(7) {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Shown::Bearer(head.shown_before.read(credential.trim_ascii()))
        }
        _ => Shown::OtherScheme,
    })
}

#[cfg(test)]
mod tests {
    use access::credential::{CredentialKind, mint};

    use super::*;
    use crate::fields::Sink as _;
    use crate::peer::Security;
    use crate::trace::TraceId;

    fn judge(path: &str, fields: &[(&str, &str)]) -> Result<String, Reason> {
        let mut list = FieldList::default();
        fields.iter().for_each(|(name, value)| list.add(name.as_bytes(), value.as_bytes()));
        let fields = Fields::read(&list, None);
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let head = Head {
            id: RequestId::from_bytes([0; 16]),
            at: Timestamp::EPOCH,
            peer: &Peer::new([127, 0, 0, 1].into(), Security::None, None),
            trace: Trace::Own(TraceId::new()),
            version: Version::HTTP_11,
            method: "GET",
            opening: Opening::Upgrade,
            authority: None,
            path,
            query,
            body: BodyLength::None,
            fields,
            shown_before: &ShownBefore::default(),
        };
        arrive(&head, None)
            .map(|arrival| format!("{} {}", arrival.host, arrival.target.path()))
            .map_err(|refused| refused.reason)
    }

    #[test]
    fn a_head_with_two_readings_is_malformed() {
        let host = ("host", "a");
        assert_eq!(judge("/x", &[host]).as_deref(), Ok("a /x"));
        for known in ["A.b-c_d.", "127.0.0.1:8080", "a:65535", "[::1]", "[::1]:80"] {
            assert_eq!(judge("/x", &[("host", known)]), Ok(format!("{known} /x")));
        }
        for fields in [
            &[][..],
            &[host, host],
            &[("host", "")],
            &[("host", "a b")],
            &[("host", "a/b")],
            &[("host", "user@a")],
            &[("host", "a:")],
            &[("host", "a:0")],
            &[("host", "a:65536")],
            &[("host", "a:+80")],
            &[("host", "a:80:80")],
            &[("host", "[a]")],
            &[("host", "[::1]80")],
            &[("host", "[::1")],
            &[("host", "::1")],
            &[("host", ":80")],
            &[host, ("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[host, ("content-length", "1"), ("content-length", "1")],
            &[host, ("expect", "something")],
            &[host, ("x_forwarded_for", "10.0.0.1")],
            &[host, ("x.y", "1")],
            &[host, ("x-http-method-override", "DELETE")],
            &[host, ("x-original-url", "/admin")],
        ] {
            assert_eq!(judge("/x", fields), Err(Reason::RequestMalformed), "{fields:?}");
        }
    }

    #[test]
    fn a_credential_is_read_from_one_place_only() {
        let (secret, _) = mint(CredentialKind::Token, &[1; 32]);
        let token = secret.expose_str().unwrap();
        let bearer = format!("Bearer {token}");
        let (host, shown) = (("host", "a"), ("authorization", bearer.as_str()));
        assert_eq!(judge(&format!("/x?token={token}"), &[host]), Err(Reason::CredentialMissing));
        assert_eq!(judge(&format!("/x?token={token}"), &[host, shown]), Err(Reason::RequestMalformed));
        assert_eq!(judge(&format!("/{token}"), &[host, shown]), Err(Reason::RequestMalformed));
        assert_eq!(judge("/x", &[host, shown, ("x-api-key", token)]), Err(Reason::RequestMalformed));
    }
}
