//! Quirks: what readers of paths differ about, and an API may nonetheless need.
//!
//! None is allowed unless the configuration names it for an API whose upstream is known to read it in one way.
//! Not here: finding them (see `canonical`).

use serde::{Deserialize, Serialize};

/// Something in a path that readers differ about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// `%2F`: a slash to some, part of a segment to others. Rules take it for part of a segment.
    EncodedSlash,
    /// `;`, or `%3B`: the start of parameters, which some drop, or a letter as any other. Rules take it for a letter.
    Parameters,
    /// `//`: one slash to some. Rules take it for two.
    EmptySegments,
}

impl Quirk {
    /// Every quirk, in the order in which they are told.
    pub const ALL: [Self; 3] = [Self::EncodedSlash, Self::Parameters, Self::EmptySegments];

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded_slash",
            Self::Parameters => "parameters",
            Self::EmptySegments => "empty_segments",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::EncodedSlash => 1,
            Self::Parameters => 2,
            Self::EmptySegments => 4,
        }
    }
}

/// A set of quirks; empty by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Quirk>", into = "Vec<Quirk>")]
pub struct Quirks(u8);

impl Quirks {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// These.
    #[must_use]
    pub fn of(quirks: impl IntoIterator<Item = Quirk>) -> Self {
        let mut set = Self::NONE;
        quirks.into_iter().for_each(|quirk| set.add(quirk));
        set
    }

    /// One more.
    pub const fn add(&mut self, quirk: Quirk) {
        self.0 |= quirk.bit();
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.into_iter().filter(move |quirk| self.0 & quirk.bit() != 0)
    }

    /// The first that is not among `allowed`.
    #[must_use]
    pub fn first_beyond(self, allowed: Self) -> Option<Quirk> {
        Self(self.0 & !allowed.0).iter().next()
    }
}

impl From<Vec<Quirk>> for Quirks {
    fn from(quirks: Vec<Quirk>) -> Self {
        Self::of(quirks)
    }
}

impl From<Quirks> for Vec<Quirk> {
    fn from(quirks: Quirks) -> Self {
        quirks.iter().collect()
    }
}
