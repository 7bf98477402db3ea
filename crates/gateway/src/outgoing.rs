//! A request as it goes upstream, but for its body: what is written to a wire, and the same for HTTP/2.
//!
//! Not here: which fields go upstream (see `headers`), which endpoint they go to (see `upstream`).

use std::cell::RefCell;
use std::sync::Arc;

use access::arrival::BodyLength;
use access::operation::Method;
use http::{HeaderMap, Request, Version};

use crate::arrival::{Field, Head};
use crate::body::Upload;
use crate::endpoint::Endpoint;
use crate::fields::{FieldList, Sink as _};
use crate::h1::client::{StatesLength, Switching};
use crate::h1::head::ResponseHead;
use crate::headers::{self, Added};
use crate::picture::{Forward, Upstream};
use crate::record::Admitted;
use crate::trace::TraceParent;
use crate::websocket::{self, Key};

/// A request as it is sent, but for its body.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) fields: &'a FieldList,
    pub(crate) forward: &'a Forward,
    pub(crate) request_id: &'a str,
    pub(crate) traceparent: &'a TraceParent,
    /// The key of a handshake whose client sent none.
    pub(crate) own_key: Option<&'a Key>,
    /// Which upstream was tried last, for when nobody waits for the answer any more.
    pub(crate) tried: &'a RefCell<Option<Arc<Endpoint>>>,
}

impl Outgoing<'_> {
    fn added(&self) -> Added<'_> {
        Added {
            head: self.head,
            admitted: self.admitted,
            request_id: self.request_id,
            traceparent: self.traceparent,
        }
    }

    pub(crate) fn switching(&self) -> Switching {
        if self.head.asks_for_websocket() { Switching::Asked } else { Switching::NotAsked }
    }

    pub(crate) fn is_agreed(&self, answer: &ResponseHead) -> bool {
        let key = self.own_key.map_or(self.head.fields.websocket_key, |key| Field::Once(key.as_bytes()));
        websocket::agrees(&answer.fields, key)
    }

    /// Writes the head but for the fields of framing.
    pub(crate) fn write(&self, upstream: &Upstream, out: &mut Vec<u8>) {
        out.extend_from_slice(self.admitted.method.as_str().as_bytes());
        out.push(b' ');
        headers::write_target(upstream, self.admitted.path(), self.admitted.target.query(), out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        headers::for_upstream(self.fields, self.added(), self.forward, upstream, out);
        if self.switching() == Switching::Asked {
            out.add(b"connection", b"Upgrade");
            out.add(b"upgrade", b"websocket");
        }
        if let Some(key) = self.own_key {
            out.add(b"sec-websocket-key", key.as_bytes());
        }
        if self.is_last() {
            out.add(b"connection", b"close");
        }
    }

    /// Whether nothing may follow on its connection: a body where its method gives it no meaning is one that many
    /// servers do not read, and would take for the next request (RFC 9110, section 9.3.1).
    pub(crate) fn is_last(&self) -> bool {
        self.head.body != BodyLength::None && self.states_length() == StatesLength::OfBodies
    }

    /// Whether the request says that it has no body: methods that give one a meaning do.
    pub(crate) const fn states_length(&self) -> StatesLength {
        match self.admitted.method {
            Method::Post | Method::Put | Method::Patch => StatesLength::Always,
            Method::Get | Method::Head | Method::Options | Method::Delete => StatesLength::OfBodies,
        }
    }

    /// The same for an upstream that speaks HTTP/2; `None` if it cannot be written down.
    pub(crate) fn to_http2(&self, upstream: &Upstream, upload: Upload) -> Result<Request<Upload>, Upload> {
        let mut target = Vec::new();
        headers::write_target(upstream, self.admitted.path(), self.admitted.target.query(), &mut target);
        let mut fields = HeaderMap::new();
        headers::for_upstream(self.fields, self.added(), self.forward, upstream, &mut fields);
        // What HTTP/1.1 says in `Host` is the authority here (RFC 9113, section 8.3.1).
        let Some(host) = fields.remove(http::header::HOST) else { return Err(upload) };
        if self.head.fields.te == Field::Once(b"trailers") {
            // Of one hop, and true of the next: trailers are passed on. Servers of gRPC insist on it.
            fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        }
        let scheme = if upstream.tls.is_some() { "https" } else { "http" };
        let uri =
            http::Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(target).build();
        let method = http::Method::from_bytes(self.admitted.method.as_str().as_bytes());
        let (Ok(uri), Ok(method)) = (uri, method) else { return Err(upload) };
        let mut request = Request::new(upload);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        *request.version_mut() = Version::HTTP_2;
        Ok(request)
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110, section 9.2.2).
    pub(crate) const fn is_idempotent(&self) -> bool {
        match self.admitted.method {
            Method::Get | Method::Head | Method::Options | Method::Put | Method::Delete => true,
            Method::Post | Method::Patch => false,
        }
    }
}
