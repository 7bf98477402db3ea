//! What of a request's target may be recorded: never a credential, and no values of a query.

use access::credential;

/// A path as it may be recorded when it was refused before it had a canonical form: visible ASCII only, and
/// nothing where a credential stands in it.
pub(crate) fn recordable_path(path: &str) -> std::borrow::Cow<'_, str> {
    if hides_credential(path) {
        return "[a credential stood here]".into();
    }
    if path.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return path.into();
    }
    path.chars().flat_map(char::escape_default).collect::<String>().into()
}

/// The names of a query's fields, without their values: `a=&b=`. Empty where a credential stands in it.
///
/// What has no `=` is a value, and what does not look like a name may be one: `*` stands for it.
pub(crate) fn recordable_query(query: &str) -> String {
    let visible = query.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if !visible || hides_credential(query) {
        return String::new();
    }
    let mut kept = String::with_capacity(query.len());
    for (place, field) in query.split('&').enumerate() {
        if place > 0 {
            kept.push('&');
        }
        match field.split_once('=') {
            Some((name, _)) => {
                kept.push_str(if is_name(name) { name } else { "*" });
                kept.push('=');
            }
            None if field.is_empty() => {}
            None => kept.push('*'),
        }
    }
    kept
}

/// How long a name in a query is at most, in bytes.
const QUERY_NAME_BYTES_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-$[]:".contains(&byte);
    text.len() <= QUERY_NAME_BYTES_MAX && text.bytes().all(plain)
}

/// How many layers of percent escapes are looked through for a credential.
const ESCAPE_LAYERS_MAX: usize = 4;

/// Percent escapes must not carry a credential past the check into the record.
pub(crate) fn hides_credential(text: &str) -> bool {
    let mut bytes = std::borrow::Cow::Borrowed(text.as_bytes());
    for _ in 0..ESCAPE_LAYERS_MAX {
        if credential::occurs_in(&bytes) {
            return true;
        }
        if !bytes.contains(&b'%') {
            return false;
        }
        bytes = unescape(&bytes).into();
    }
    credential::occurs_in(&bytes)
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high << 4 | low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use access::credential::{CredentialKind, mint};

    use super::*;

    #[test]
    fn a_credential_is_recorded_in_no_spelling() {
        let (secret, _) = mint(CredentialKind::Token, &[1; 32]);
        let token = secret.expose_str().unwrap();
        let body = token.strip_prefix("dpt_").unwrap();
        assert!(!recordable_path(&format!("/a/{token}")).contains(token));
        assert!(!recordable_path(&format!("/a/{}", token.replace('_', "%5f"))).contains(body));
        assert!(!recordable_query(&format!("t={token}")).contains(token));
        assert!(!recordable_query(&token.replace('_', "%255f")).contains(body));
    }

    #[test]
    fn values_of_a_query_are_not_recorded() {
        for (query, kept) in [
            ("email=a@b.c&page=2&x=1=2", "email=&page=&x="),
            ("alice@example.com", "*"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2VjcmV0", "*"),
            ("filter[name]=a&$top=1&a.b-c=d", "filter[name]=&$top=&a.b-c="),
            ("a@b.c=1&%41=2&=3", "*=&*=&="),
            ("", ""),
            ("&", "&"),
        ] {
            assert_eq!(recordable_query(query), kept, "{query}");
        }
        assert_eq!(recordable_query(&format!("{}=1", "a".repeat(QUERY_NAME_BYTES_MAX + 1))), "*=");
    }
}
