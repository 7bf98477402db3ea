//! Values that a caller may send: parsed within their bounds, or refused with them.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Why a value was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutOfBounds {
    #[error("expected a whole number from `{min}` to `{max}`")]
    Number { min: u64, max: u64 },
    #[error("expected `{min}` to `{max}` characters")]
    Text { min: usize, max: usize },
    #[error("expected `{min}` to `{max}` items")]
    Items { min: usize, max: usize },
    #[error("expected an e-mail address")]
    Email,
}

/// A whole number as JSON Schema has it: `31.0` is one, as `31` is (2020-12, section 6.1.1).
#[derive(Clone, Copy)]
pub(super) struct Whole(pub(super) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
        // Every whole number below 2^53 is exact; no bound here is higher.
        let whole = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
        whole.then_some(Whole(number as u64)).ok_or_else(|| E::custom("expected a whole number"))
    }
}

/// A field that may be absent, but not `null`.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Whole")]
pub(super) struct Number<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    pub(super) fn value(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<Whole> for Number<MIN, MAX> {
    type Error = OutOfBounds;

    fn try_from(Whole(number): Whole) -> Result<Self, OutOfBounds> {
        let inside = (MIN..=MAX).contains(&number);
        inside.then_some(Self(number)).ok_or(OutOfBounds::Number { min: MIN, max: MAX })
    }
}

/// Text of `MIN` to `MAX` characters.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = OutOfBounds;

    fn try_from(text: String) -> Result<Self, OutOfBounds> {
        let inside = (MIN..=MAX).contains(&text.chars().count());
        inside.then_some(Self(text)).ok_or(OutOfBounds::Text { min: MIN, max: MAX })
    }
}

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> Self {
        text.0
    }
}

/// One to `MAX` items.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<T>", bound = "T: Deserialize<'de>")]
pub(super) struct Items<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Items<T, MAX> {
    pub(super) fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for Items<T, MAX> {
    type Error = OutOfBounds;

    fn try_from(items: Vec<T>) -> Result<Self, OutOfBounds> {
        let inside = (1..=MAX).contains(&items.len());
        inside.then_some(Self(items)).ok_or(OutOfBounds::Items { min: 1, max: MAX })
    }
}

/// `name@domain`, of at most 254 characters (RFC 5321, section 4.5.3.1.3) and without spaces.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Email(String);

impl TryFrom<String> for Email {
    type Error = OutOfBounds;

    fn try_from(text: String) -> Result<Self, OutOfBounds> {
        let halves = text.split_once('@');
        let plain = halves
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if !plain || text.chars().count() > 254 || text.contains(char::is_whitespace) {
            return Err(OutOfBounds::Email);
        }
        Ok(Self(text))
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}
