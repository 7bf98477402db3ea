//! Cross-origin requests of browsers (the CORS protocol of the Fetch standard): which pages may read an answer, and
//! the preflights that ask before a request.
//!
//! A preflight is answered from the configuration and recorded. It shows no credential, and never goes upstream.
//! Not here: whether a request may pass. CORS tells a browser what to show to a page, and adds nothing to that.

use std::fmt::Write as _;
use std::time::Duration;

use access::arrival::Arrival;
use access::operation::Method;
use access::policy::{ApiIndex, Asked};

use crate::arrival::{Field, Head};
use crate::fields::{FieldList, Sink as _};
use crate::picture::Picture;

/// Which pages of other origins may call an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    credentials: Credentials,
    /// What pages may send, beside `Authorization`, without which nothing passes.
    headers: String,
    /// What pages may read.
    expose: String,
    max_age: String,
}

/// The origins whose pages may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All of them.
    Any,
    /// These, as browsers write them.
    Listed(Vec<Box<str>>),
}

/// Whether a page's cookies and certificates may go with its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// They may.
    Allowed,
    /// Pages send what they were given, and nothing that the browser holds.
    Refused,
}

impl Cors {
    /// What pages of these origins may send and read, and how long a browser may remember that.
    #[must_use]
    pub fn new(
        origins: Origins,
        credentials: Credentials,
        headers: &[String],
        expose: &[String],
        max_age: Duration,
    ) -> Self {
        let mut sent = vec!["authorization"];
        sent.extend(headers.iter().map(String::as_str).filter(|name| *name != "authorization"));
        Self {
            origins,
            credentials,
            headers: sent.join(", "),
            expose: expose.join(", "),
            max_age: max_age.as_secs().to_string(),
        }
    }

    /// What `Access-Control-Allow-Origin` says to this origin; `None` to one that is not listed.
    fn allowed<'o>(&self, origin: Field<'o>) -> Option<&'o [u8]> {
        let Field::Once(asked) = origin else { return None };
        match &self.origins {
            Origins::Any => Some(b"*"),
            Origins::Listed(listed) => listed.iter().any(|own| own.as_bytes() == asked).then_some(asked),
        }
    }

    /// Says in an answer which pages may read it, in place of what the upstream says.
    pub(crate) fn dress(&self, origin: Field<'_>, fields: &mut FieldList) {
        fields.retain(|field| !field.text.starts_with(b"access-control-"));
        if let Origins::Listed(_) = self.origins {
            // Whoever keeps answers must not give one origin's to another.
            fields.add(b"vary", b"origin");
        }
        let Some(allowed) = self.allowed(origin) else { return };
        fields.add(b"access-control-allow-origin", allowed);
        if self.credentials == Credentials::Allowed {
            fields.add(b"access-control-allow-credentials", b"true");
        }
        if !self.expose.is_empty() {
            fields.add(b"access-control-expose-headers", self.expose.as_bytes());
        }
    }

    /// The fields of an answer to a preflight that may be followed by these methods.
    fn offer(&self, origin: Field<'_>, methods: &[Method]) -> FieldList {
        let (mut fields, mut offered) = (FieldList::default(), String::new());
        for (place, method) in methods.iter().enumerate() {
            // Writing to memory does not fail.
            let _ = write!(offered, "{}{method}", if place > 0 { ", " } else { "" });
        }
        self.dress(origin, &mut fields);
        fields.add(b"access-control-allow-methods", offered.as_bytes());
        fields.add(b"access-control-allow-headers", self.headers.as_bytes());
        fields.add(b"access-control-max-age", self.max_age.as_bytes());
        fields
    }
}

/// Whether a browser asks what a page may send.
pub(crate) fn is_preflight(head: &Head<'_>) -> bool {
    head.method == "OPTIONS"
        && matches!(head.fields.origin, Field::Once(_))
        && matches!(head.fields.asked_method, Field::Once(_))
}

/// A preflight of a listed origin, for an API that answers it.
#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) api: ApiIndex,
    /// The canonical path within the API.
    pub(crate) path: String,
    /// Of its answer.
    pub(crate) fields: FieldList,
}

impl Preflight {
    /// What it may be followed by: the methods that any role allows at its path, whoever asks. `None` for what is no
    /// preflight.
    pub(crate) fn of(picture: &Picture, arrival: &Arrival<'_>, head: &Head<'_>) -> Option<Self> {
        if !is_preflight(head) {
            return None;
        }
        let policy = &picture.view.policy;
        let (api, rest) = policy.route(arrival.host, arrival.target.path())?;
        let cors = picture.forward(api)?.cors.as_ref()?;
        // A path that the API does not take is refused, whatever is asked of it.
        arrival.target.require(policy.api(api)?.quirks).ok()?;
        let path = if rest.is_empty() { "/" } else { rest };
        let allowed = |method: &Method| {
            let operation = policy.operation(api, *method, path).map(|(place, _)| place);
            !policy.roles_allowing(api, Asked { method: *method, path, operation }, 1).is_empty()
        };
        cors.allowed(head.fields.origin)?;
        let methods: Vec<_> = Method::ALL.iter().copied().filter(allowed).collect();
        Some(Self { api, path: path.to_owned(), fields: cors.offer(head.fields.origin, &methods) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: Credentials) -> Cors {
        let origins = match origins {
            ["*"] => Origins::Any,
            listed => Origins::Listed(listed.iter().map(|origin| (*origin).into()).collect()),
        };
        let (headers, expose) = (["authorization", "content-type"], ["x-request-id"]);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Cors::new(origins, credentials, &owned(&headers), &owned(&expose), Duration::from_secs(600))
    }

    fn said(cors: &Cors, origin: &[u8]) -> String {
        let mut fields = FieldList::default();
        fields.add(b"access-control-allow-origin", b"https://upstream.example");
        fields.add(b"x-own", b"1");
        cors.dress(Field::Once(origin), &mut fields);
        let mut out = Vec::new();
        fields.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_listed_origins_are_told_and_the_upstream_has_no_say() {
        let app = cors(&["https://app.example"], Credentials::Allowed);
        assert_eq!(
            said(&app, b"https://app.example"),
            "x-own: 1\r\nvary: origin\r\naccess-control-allow-origin: https://app.example\r\n\
             access-control-allow-credentials: true\r\naccess-control-expose-headers: x-request-id\r\n"
        );
        for other in
            ["https://app.example.evil", "http://app.example", "https://APP.example", "null", "*", ""]
        {
            assert_eq!(said(&app, other.as_bytes()), "x-own: 1\r\nvary: origin\r\n", "{other}");
        }
        assert_eq!(
            said(&cors(&["*"], Credentials::Refused), b"null"),
            "x-own: 1\r\naccess-control-allow-origin: *\r\naccess-control-expose-headers: x-request-id\r\n"
        );
    }
}
