//! `cors:`: which pages of other origins may call an API.

use std::time::Duration;

use access::time::parse_duration;
use gateway::{Cors, Credentials, Origins};

use super::super::api as written;
use super::super::place::Placed;
use super::super::text::{FieldName, Origin};
use super::Resolver;

/// The longest that a browser may be told to remember a preflight; common ones forget sooner.
const MAX_AGE_MAX: Duration = Duration::from_secs(86_400);

impl Resolver<'_> {
    pub(super) fn cors(&mut self, written: &written::Cors) -> Option<Cors> {
        let origins = self.origins(&written.origins);
        let headers = self.field_names(&written.headers);
        let expose = self.field_names(&written.expose);
        let credentials = if written.credentials.value { Credentials::Allowed } else { Credentials::Refused };
        if written.credentials.value && origins == Some(Origins::Any) {
            let says = "browsers give nothing they hold to an API that is open to every origin";
            self.refuse(written.credentials.place, says, "name the origins, or write `credentials: false`");
        }
        let max_age = parse_duration(&written.max_age.value).filter(|age| *age <= MAX_AGE_MAX);
        if max_age.is_none() {
            let says = format!("`{}` is not how long a preflight may be remembered", written.max_age.value);
            self.refuse(
                written.max_age.place,
                says,
                "write a whole number and `s`, `m` or `h`, like `10m`; at most `1d`",
            );
        }
        Some(Cors::new(origins?, credentials, &headers, &expose, max_age?))
    }

    fn origins(&mut self, written: &Placed<Vec<Placed<Origin>>>) -> Option<Origins> {
        if written.is_empty() {
            self.refuse(
                written.place,
                "`cors` names no origin",
                "write them like `[https://app.example.com]`",
            );
        }
        let any = written.iter().find(|origin| &*origin.value == "*");
        if let Some(any) = any {
            if written.len() > 1 {
                self.refuse(any.place, "`*` stands for every origin", "keep it alone, or name the origins");
            }
            return Some(Origins::Any);
        }
        let mut listed: Vec<Box<str>> = Vec::new();
        for origin in written.iter() {
            let text: &str = &origin.value;
            if !is_origin(text) {
                let advice = "write what browsers send: the scheme, the host in lower case, and the port where the scheme \
                              does not imply it, without a path: `https://app.example.com`";
                self.refuse(origin.place, format!("`{text}` is not an origin"), advice);
            } else if listed.iter().any(|known| **known == *text) {
                self.refuse(origin.place, format!("`{text}` stands twice"), "keep one of them");
            }
            listed.push(text.into());
        }
        Some(Origins::Listed(listed))
    }

    fn field_names(&mut self, written: &[Placed<FieldName>]) -> Vec<String> {
        for name in written {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if name.is_empty() || !plain {
                let says = format!("`{}` is not the name of a header that is forwarded", name.value);
                self.refuse(name.place, says, "name each one, in letters, digits and `-`");
            }
        }
        written.iter().map(|name| name.to_ascii_lowercase()).collect()
    }
}

/// Whether a browser would write the origin so (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let implied = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Ok(authority) = rest.parse::<http::uri::Authority>() else { return false };
    let port = match authority.port_u16() {
        None => !rest.ends_with(':'),
        Some(port) => port > 0 && port != implied && rest.ends_with(&format!(":{port}")),
    };
    let host = authority.host();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.[]:".contains(&byte);
    port && !host.is_empty() && !rest.contains('@') && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_spelled_as_browsers_spell_them() {
        for origin in
            ["https://app.example.com", "http://localhost:3000", "https://[::1]:8443", "http://127.0.0.1"]
        {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:",
            "https://app.example.com:0443",
            "https://user@app.example.com",
            "https://*.example.com",
            "ftp://app.example.com",
            "https://app.example.com?x",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
