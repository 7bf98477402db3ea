//! JSON in and out: bodies within bounds, unknown members refused, times as text.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use access::Lifetime;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serializer};

use crate::problem::Problem;

/// The longest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request body may take to arrive.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// A request body of this form.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = tokio::time::timeout(BODY_WAIT_MAX, Json::<T>::from_request(request, state)).await;
        match body {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(fault)) => Err(unreadable(&fault)),
            Err(_) => Err(Problem::invalid("the body took longer than 10 seconds to arrive")),
        }
    }
}

fn unreadable(fault: &JsonRejection) -> Problem {
    match fault {
        JsonRejection::MissingJsonContentType(_) => {
            Problem::invalid("the body is not JSON: send `Content-Type: application/json`")
        }
        JsonRejection::BytesRejection(_) => {
            Problem::invalid("the body is longer than 64 KiB, or ended before it was whole")
        }
        fault => misfit(fault),
    }
}

/// What the decoder said: the member and what is wrong with it, without the place in the text.
fn misfit(fault: &dyn Error) -> Problem {
    let said = fault.source().map_or_else(|| fault.to_string(), ToString::to_string);
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    Problem::invalid(said.to_owned())
}

/// A query string of this form.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::try_from_uri(&parts.uri).map_err(|fault: QueryRejection| misfit(&fault))?;
        Ok(Self(asked))
    }
}

/// The place in the path, as text.
pub(crate) struct Place(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(place) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|fault| Problem::invalid(fault.body_text()))?;
        Ok(Self(place))
    }
}

/// Reads a text of the caller's as what it should be.
pub(crate) fn parse<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    text.parse().map_err(|why: T::Err| Problem::invalid(why.to_string()))
}

/// Writes whatever prints itself as its text.
pub(crate) fn text<T: Display, S: Serializer>(shown: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(shown)
}

/// Reads `30s`, `10m`, `2h`, `7d`.
pub(crate) fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lifetime, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// The same, where it may be absent or null.
pub(crate) fn optional_lifetime<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Lifetime>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// A value as text, or nothing.
pub(crate) fn text_or_null<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
