//! `apis:`: routes, contracts, limits, upstreams and what is added on the way to them.

use std::collections::{BTreeMap, BTreeSet};

use access::operation::Operation;
use access::policy::{Api, Route, Unlisted};
use access::quirk::{Quirk, Quirks};
use access::role::{Rule, Scope};
use access::{ApiName, Secret};
use http::{HeaderName, HeaderValue};

use super::super::api::{self as written, Credentials};
use super::super::contract;
use super::super::place::{Named, Place, Placed};
use super::super::secret::Reference;
use super::super::size;
use super::super::text::{self, Concurrency, Size};
use super::super::upstream::Forward;
use super::Resolver;

/// The most requests in flight that can be asked for.
const CONCURRENCY_MAX: u32 = 1_000_000;

/// What became of `apis:`.
#[derive(Default)]
pub(super) struct Apis {
    pub(super) apis: Vec<Api>,
    pub(super) forwards: Vec<Forward>,
    pub(super) marks: ApiMarks,
}

/// What later parts need to report about APIs.
#[derive(Default)]
pub(super) struct ApiMarks {
    /// Where each route stands.
    pub(super) routes: BTreeMap<ApiName, Place>,
    /// Those whose operations are not known because their contract is wrong.
    pub(super) unread: BTreeSet<ApiName>,
}

const fn quirk(written: &written::Quirk) -> Quirk {
    match written {
        written::Quirk::EncodedSlash => Quirk::EncodedSlash,
        written::Quirk::Parameters => Quirk::Parameters,
        written::Quirk::EmptySegments => Quirk::EmptySegments,
    }
}

impl Resolver<'_> {
    pub(super) fn apis(&mut self, written: &Named<written::Api>) -> Apis {
        if written.is_empty() {
            let advice =
                "add `apis:` with a `route:` and `upstreams:` for each; `daypass init` writes a first one";
            self.refuse(Place::FILE, "there is no API to protect", advice);
        }
        let mut apis = Apis::default();
        for (name, api) in written {
            if let Some(name) = self.name::<ApiName>(name) {
                self.api(name, api, &mut apis);
            }
        }
        apis
    }

    fn api(&mut self, name: ApiName, written: &written::Api, apis: &mut Apis) {
        // A route that stands for a bad one keeps the API known to the rules about it.
        let no_route = || Route::Host(format!("{name} has no route").into());
        let route = self.route(&written.route).unwrap_or_else(no_route);
        let operations = self.operations(&name, written);
        apis.marks.routes.insert(name.clone(), written.route.place);
        if matches!(operations, Contract::Wrong) {
            apis.marks.unread.insert(name.clone());
        }
        let limits = &written.limits;
        apis.apis.push(Api {
            name: name.clone(),
            route,
            operations: operations.known(),
            unlisted: match written.unlisted {
                written::Unlisted::Refuse => Unlisted::Refuse,
                written::Unlisted::Allow => Unlisted::Allow,
            },
            request_body_bytes_max: self.size(&limits.request_body).unwrap_or_default(),
            quirks: Quirks::of(written.allow_in_paths.iter().map(quirk)),
            rate: self.rate(limits.rate.as_ref(), limits.burst.as_ref()),
        });
        let upstreams = self.upstreams(&written.upstreams, written.upstream_tls.as_ref());
        let headers = self.headers(&written.credentials);
        let patience = self.patience(limits);
        let concurrency = limits.concurrency.as_ref().and_then(|written| self.concurrency(written));
        let check = written.health.as_ref().and_then(|health| self.check(health));
        let cors = written.cors.as_ref().and_then(|written| self.cors(written));
        apis.forwards.push(Forward { api: name, upstreams, headers, patience, concurrency, check, cors });
    }

    fn route(&mut self, written: &written::Route) -> Option<Route> {
        match written {
            written::Route::Prefix(prefix) => {
                let segment = prefix.strip_prefix('/').filter(|segment| is_segment(segment));
                if segment.is_none() {
                    let says = format!("`{}` is not the first segment of a path", prefix.value);
                    let advice =
                        "write a slash and one segment of letters, digits, `-`, `.`, `_` or `~`: `/orders`";
                    self.refuse(prefix.place, says, advice);
                }
                segment.map(|segment| Route::Prefix(segment.into()))
            }
            written::Route::Host(host) => {
                let bare = host_name(&host.value);
                if bare.is_none() {
                    let says = format!("`{}` is not a host name", host.value);
                    self.refuse(host.place, says, "write it like `orders.api.example.com`");
                }
                bare.map(|bare| Route::Host(bare.to_ascii_lowercase().into()))
            }
        }
    }

    fn operations(&mut self, name: &ApiName, written: &written::Api) -> Contract {
        let Some(path) = &written.openapi else {
            if let Some(base) = &written.base {
                let says = "`base` is about the paths of a contract, and this API has none";
                self.refuse(base.place, says, "add `openapi:`, or remove `base:`");
            }
            return Contract::None;
        };
        let base = written.base.as_ref().map(|base| base.strip_suffix('/').unwrap_or(base));
        match contract::read_operations(self.directory, &path.value, base) {
            Ok(operations) => {
                self.warn_of_names(name, &operations, path.place);
                Contract::Read(operations)
            }
            Err(why) => {
                self.refuse(path.place, why.to_string(), why.advice);
                Contract::Wrong
            }
        }
    }

    /// A rule that was meant to name one operation and means another thing gives more than anybody wanted.
    fn warn_of_names(&mut self, api: &ApiName, operations: &[Operation], place: Place) {
        for Operation { name, method, template, .. } in operations {
            let by_path = format!("{method} {template}");
            let rule = format!("{api}:{name}").parse::<Rule>();
            let named =
                rule.is_ok_and(|rule| matches!(rule.scope(), Scope::Operation(named) if **named == **name));
            if !named && **name != *by_path {
                let says =
                    format!("no rule can name the operation `{name}`: `{api}:{name}` means another thing");
                let advice = format!(
                    "write `{api}:{by_path}` in rules, or give it another `operationId` in the contract"
                );
                self.warn(place, says, advice);
            }
        }
    }

    fn size(&mut self, written: &Placed<Size>) -> Option<u64> {
        let bytes = size::parse(&written.value);
        if bytes.is_none() {
            let advice =
                "write a whole number and `B`, `KiB`, `MiB` or `GiB`, like `1MiB`; at most `1024GiB`";
            self.refuse(written.place, format!("`{}` is not a size", written.value), advice);
        }
        bytes
    }

    /// `adaptive` is refused elsewhere, with what else is not enforced.
    fn concurrency(&mut self, written: &Placed<Concurrency>) -> Option<u32> {
        let text: &str = &written.value;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = text.parse().ok().filter(|limit| digits && (1..=CONCURRENCY_MAX).contains(limit));
        if limit.is_none() && text != "adaptive" {
            let says = format!("`{text}` is not a number of requests");
            self.refuse(written.place, says, "write a whole number from 1 to 1000000");
        }
        limit
    }

    fn headers(&mut self, written: &Credentials) -> Vec<(HeaderName, Secret)> {
        let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
        for (name, reference) in &written.headers {
            let secret = self.secret(reference);
            let Some(name) = self.header_name(name) else { continue };
            if headers.iter().any(|(known, _)| *known == name) {
                let says = format!("the header `{name}` stands twice, in two spellings");
                self.refuse(reference.place, says, "keep one of them");
            } else if let Some(secret) = secret {
                headers.push((name, secret));
            }
        }
        headers
    }

    fn header_name(&mut self, written: &Placed<String>) -> Option<HeaderName> {
        let plain = written.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let name = HeaderName::from_bytes(written.as_bytes()).ok().filter(|_| plain);
        match name {
            None => {
                let says = format!("`{}` is not a header that is forwarded", written.value);
                self.refuse(written.place, says, "use letters, digits and `-` only");
                None
            }
            Some(name) if is_ours(name.as_str()) => {
                let says = format!("the header `{}` is set by Daypass itself", written.value);
                self.refuse(written.place, says, "use another header for the upstream's credential");
                None
            }
            Some(name) => Some(name),
        }
    }

    fn secret(&mut self, written: &Placed<text::Reference>) -> Option<Secret> {
        let secret = Reference::parse(&written.value)
            .inspect_err(|_| self.errors.hide(written.place))
            .and_then(|reference| reference.read(self.directory, self.environment));
        match secret {
            Ok(secret) if HeaderValue::from_bytes(secret.expose()).is_ok() => Some(secret),
            Ok(_) => {
                let says = format!("`{}` cannot be the value of a header", written.value);
                self.refuse(written.place, says, "put one line of text there, without control characters");
                None
            }
            Err(why) => {
                self.refuse(written.place, why.to_string(), why.advice());
                None
            }
        }
    }
}

/// What is known of an API's operations.
enum Contract {
    None,
    Read(Vec<Operation>),
    Wrong,
}

impl Contract {
    fn known(self) -> Option<Vec<Operation>> {
        match self {
            Self::Read(operations) => Some(operations),
            Self::None | Self::Wrong => None,
        }
    }
}

fn is_segment(segment: &str) -> bool {
    let letters = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    letters && !matches!(segment, "" | "." | "..")
}

/// The name without its port; DNS bounds it at 253 characters (RFC 1035).
fn host_name(text: &str) -> Option<&str> {
    let bare = match text.rsplit_once(':') {
        Some((bare, port)) if port.parse::<u16>().is_ok() => bare,
        _ => text,
    };
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    (bare.len() <= 253 && bare.split('.').all(label)).then_some(bare)
}

/// Headers that Daypass sets, and those that belong to a connection rather than a request.
fn is_ours(lower_case: &str) -> bool {
    const OURS: [&str; 15] = [
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-request-id",
    ];
    OURS.contains(&lower_case) || lower_case.starts_with("daypass-") || lower_case.starts_with("x-forwarded-")
}
