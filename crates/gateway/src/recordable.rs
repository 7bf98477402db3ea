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
        let (name, equals) = field.split_once('=').map_or((field, ""), |(name, _)| (name, "="));
        kept.push_str(name);
        kept.push_str(equals);
    }
    kept
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
        assert_eq!(recordable_query("email=a@b.c&page=2&flag&x=1=2"), "email=&page=&flag&x=");
    }
}
