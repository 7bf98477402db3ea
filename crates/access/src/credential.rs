//! What a subject shows: opaque credentials that scanners recognise and of which only digests are kept.
//!
//! The form is a four-character prefix, 43 base-62 digits of 32 random bytes, and six base-62 digits of the
//! CRC-32 of all before: a typo is refused without a look-up.
//! Not here: whether a credential is in force (see `authenticate`).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::sha256;
use crate::id::{KeyId, SessionId, TokenId};
use crate::secret::Secret;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LEN: usize = 4;
const BODY_LEN: usize = 43;
const CHECK_LEN: usize = 6;

/// The length of every credential, in bytes: 53.
pub const CREDENTIAL_LEN: usize = PREFIX_LEN + BODY_LEN + CHECK_LEN;

/// What a credential is for, told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// `dpt_`: minted from a grant.
    Token,
    /// `dps_`: a service's own key.
    Key,
    /// `dpc_`: a session on the console listener; never valid on the proxy listener.
    Session,
}

impl CredentialKind {
    const ALL: [Self; 3] = [Self::Token, Self::Key, Self::Session];

    /// The first four characters.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "dpt_",
            Self::Key => "dps_",
            Self::Session => "dpc_",
        }
    }
}

/// The id of a credential, which may be shown and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialId {
    /// A token's.
    Token(TokenId),
    /// A service key's.
    Key(KeyId),
    /// A session's.
    Session(SessionId),
    /// A client certificate's.
    Certificate(CertificateId),
}

/// The id of a client certificate: the first eight bytes of its SHA-256 digest, as most tools show fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId([u8; 8]);

impl CertificateId {
    /// The id of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[der]);
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cert_")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
            Self::Certificate(id) => id.fmt(f),
        }
    }
}

/// The SHA-256 digest of a credential: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a credential's text.
    #[must_use]
    pub fn of(credential: &[u8]) -> Self {
        Self(sha256(&[credential]))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_hex(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a SHA-256 digest in hexadecimal"))
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Why a text is not a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotACredential {
    /// Another prefix or another length.
    #[error("this is not a Daypass credential")]
    Form,
    /// The check digits do not fit.
    #[error("the credential is mistyped or cut short: its check digits do not fit")]
    Check,
}

/// Makes a credential of `kind` from 32 random bytes.
///
/// Returns the credential, to be shown once, and the digest to keep.
#[must_use]
pub fn mint(kind: CredentialKind, entropy: &[u8; 32]) -> (Secret, Digest) {
    let mut text = Vec::with_capacity(CREDENTIAL_LEN);
    text.extend_from_slice(kind.prefix().as_bytes());
    text.extend_from_slice(&base62_body(entropy));
    text.extend_from_slice(&check_digits(&text));
    let digest = Digest::of(&text);
    (Secret::new(text), digest)
}

/// Reads what was shown: its kind and its digest, if the form and the check digits are right.
///
/// # Errors
/// [`NotACredential`] says which of the two is wrong.
pub fn parse(shown: &[u8]) -> Result<(CredentialKind, Digest), NotACredential> {
    let (start, check) = shown.split_at_checked(PREFIX_LEN + BODY_LEN).ok_or_else(|| form_of(shown))?;
    let kind = kind_of(start).ok_or(NotACredential::Form)?;
    let digits = start.iter().skip(PREFIX_LEN).all(u8::is_ascii_alphanumeric);
    if !digits || check != check_digits(start) {
        return Err(NotACredential::Check);
    }
    Ok((kind, Digest::of(shown)))
}

/// Whether a Daypass credential stands anywhere in `text`, its check digits or not: they can be computed.
#[must_use]
pub fn occurs_in(text: &[u8]) -> bool {
    first_in(text).is_some()
}

/// The text with stars for every credential that [`occurs_in`] it, as long as it was.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = first_in(rest.as_bytes()) {
        let Some((before, secret)) = rest.split_at_checked(at.saturating_add(PREFIX_LEN)) else { break };
        let length = secret.bytes().take_while(u8::is_ascii_alphanumeric).count();
        shown.push_str(before);
        shown.extend(std::iter::repeat_n('*', length));
        rest = secret.get(length..).unwrap_or_default();
    }
    match shown.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(shown + rest),
    }
}

fn first_in(text: &[u8]) -> Option<usize> {
    text.windows(PREFIX_LEN + BODY_LEN).position(|window| {
        window.starts_with(b"dp")
            && window.get(3) == Some(&b'_')
            && kind_of(window).is_some()
            && window.iter().skip(PREFIX_LEN).all(u8::is_ascii_alphanumeric)
    })
}

fn form_of(shown: &[u8]) -> NotACredential {
    if kind_of(shown).is_some() { NotACredential::Check } else { NotACredential::Form }
}

fn kind_of(text: &[u8]) -> Option<CredentialKind> {
    CredentialKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix().as_bytes()))
}

fn base62_body(entropy: &[u8; 32]) -> [u8; BODY_LEN] {
    let mut number = *entropy;
    let mut digits = [0; BODY_LEN];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let value = remainder << 8 | u16::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = base62_digit(u32::from(remainder));
    }
    digits
}

fn check_digits(text: &[u8]) -> [u8; CHECK_LEN] {
    let mut number = crc32fast::hash(text);
    let mut digits = [0; CHECK_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(number % 62);
        number /= 62;
    }
    digits
}

fn base62_digit(value: u32) -> u8 {
    BASE62.get(value as usize).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_is_53_characters_with_its_kind_in_front() {
        let (secret, digest) = mint(CredentialKind::Token, &[0xff; 32]);
        let text = secret.expose_str().unwrap();
        assert_eq!(text.len(), CREDENTIAL_LEN);
        assert!(text.starts_with("dpt_"));
        assert_eq!(parse(text.as_bytes()), Ok((CredentialKind::Token, digest)));
        assert!(!format!("{secret:?}").contains(text));
    }

    #[test]
    fn a_credential_is_found_wherever_it_stands() {
        let (secret, _) = mint(CredentialKind::Key, &[3; 32]);
        let text = secret.expose_str().unwrap();
        assert!(occurs_in(format!("a=b&token={text}&c").as_bytes()));
        assert!(occurs_in(text.as_bytes()));
        assert!(occurs_in(&text.as_bytes()[..52]), "what is missing can be computed");
        assert!(!occurs_in(&text.as_bytes()[..46]));
        assert!(!occurs_in(
            b"dpt_ is the prefix of a token, and dps_ of a key; neither is a credential by itself"
        ));
    }

    #[test]
    fn a_masked_text_keeps_its_length_and_no_credential() {
        let (secret, _) = mint(CredentialKind::Key, &[3; 32]);
        let text = secret.expose_str().unwrap();
        let said = format!("ä {text}, and {}: no", text.get(..50).unwrap());
        let shown = masked(&said);
        assert!(!occurs_in(shown.as_bytes()) && shown.starts_with("ä dps_***") && shown.ends_with("**: no"));
        assert_eq!(shown.chars().count(), said.chars().count());
        assert_eq!(masked("dps_ is a prefix"), "dps_ is a prefix");
    }

    proptest! {
        #[test]
        fn every_mistyped_character_is_noticed_without_a_look_up(
            entropy: [u8; 32], place in 0..CREDENTIAL_LEN, letter in proptest::char::range('!', '~')
        ) {
            let (secret, _) = mint(CredentialKind::Session, &entropy);
            let mut text = secret.expose().to_vec();
            prop_assume!(text[place] != letter as u8);
            text[place] = letter as u8;
            prop_assert!(parse(&text).is_err());
        }

        #[test]
        fn no_input_makes_the_parser_panic(shown: Vec<u8>) {
            prop_assert!(parse(&shown).is_err());
            prop_assert!(!occurs_in(&shown));
        }
    }
}
