//! HTTP toward an ACME authority, which must prove who it is; no answer of it is read without end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use gateway::tls::Trust;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: beyond it the order fails.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Speaks to one authority.
pub(super) struct Http(reqwest::Client);

impl Http {
    pub(super) fn trusting(trust: &Trust) -> anyhow::Result<Self> {
        let tls = trust.client().ok_or_else(|| anyhow::anyhow!("TLS cannot be set up"))?;
        let builder = reqwest::Client::builder().https_only(true).redirect(reqwest::redirect::Policy::none());
        let builder = builder.connect_timeout(CONNECT_TIME_MAX).timeout(REQUEST_TIME_MAX);
        Ok(Self(builder.tls_backend_preconfigured(tls).build()?))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> BoxFuture<'static, Result<BytesResponse, Error>> {
        let client = self.0.clone();
        Box::pin(async move { send(client, request).await })
    }
}

async fn send(
    client: reqwest::Client,
    request: http::Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Error> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await;
    let request = http::Request::from_parts(parts, reqwest::Body::from(body.to_bytes()));
    let request = reqwest::Request::try_from(request).map_err(|error| other(&error))?;
    let mut answer = client.execute(request).await.map_err(|error| other(&error))?;
    let mut read = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| other(&error))? {
        if read.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
            return Err(Error::Str("an answer of at most 1 MiB"));
        }
        read.extend_from_slice(&piece);
    }
    let mut response = http::Response::new(Full::new(read.freeze()));
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(BytesResponse::from(response))
}

fn other(error: &reqwest::Error) -> Error {
    // What went wrong stands in the cause.
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        said = format!("{said}: {why}");
        cause = why.source();
    }
    Error::Other(said.into())
}
