//! Values that know where in their file they stand.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_saphyr::{Location, Spanned};

/// A stretch of one line of a file. Lines and columns count from 1, columns and lengths in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line; 0 for the file as a whole.
    pub line: usize,
    /// The first column.
    pub column: usize,
    /// How many characters; what reaches past the line is cut when shown.
    pub length: usize,
}

impl Place {
    /// The file as a whole.
    pub const FILE: Self = Self { line: 0, column: 0, length: 0 };

    pub(crate) fn of(location: Location) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            length: number(location.span().len()),
        }
    }
}

/// A value and where it stands. Equal, and in order, by the value alone.
#[derive(Debug, Clone, Default)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands; [`Place::FILE`] for a default.
    pub place: Place,
}

/// Named things, with the places of their names.
pub type Named<T> = BTreeMap<Placed<String>, T>;

impl<T> Placed<T> {
    /// A value that stands in no file: a default.
    pub fn unwritten(value: impl Into<T>) -> Self {
        Self { value: value.into(), place: Place::FILE }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Placed<T> {}

impl<T: Ord> PartialOrd for Placed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for Placed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: Place::of(spanned.referenced) })
    }
}

impl<T: Serialize> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
