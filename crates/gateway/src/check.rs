//! Checks: whether an endpoint answers a request of Daypass's own as its API says.
//!
//! Sent over a connection made for it, with the API's own credentials and nobody's else, and never recorded: nobody
//! asked for it. Only an answer of 2xx within the time passes.
//! Not here: when it is checked (see `watch`), what follows from it (see `health`).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bounds::{INBOX_BYTES, INTERIM_ANSWERS_MAX, UPSTREAM_HEAD_BYTES_MAX};
use crate::connect::{Unconnected, connect};
use crate::endpoint::Endpoint;
use crate::fields::{FieldList, Sink as _};
use crate::h1::head::{Asked, ResponseHead};
use crate::h1::scan::Scan;
use crate::health::{Rounds, Trouble};
use crate::picture::{Forward, Protocol, Upstream};
use crate::transport::Transport;

/// How the upstreams of an API are asked whether they do well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked for, behind the upstream's own path.
    pub path: String,
    /// The time from one check to the next.
    pub every: Duration,
    /// How long one may take, connecting included.
    pub timeout: Duration,
    /// After how many in a row that did not pass an upstream is sent nothing more.
    pub unhealthy_after: u32,
    /// After how many in a row that passed it is again.
    pub healthy_after: u32,
}

impl Check {
    pub(crate) const fn rounds(&self) -> Rounds {
        Rounds { unhealthy_after: self.unhealthy_after, healthy_after: self.healthy_after }
    }
}

type Fields = [(HeaderName, HeaderValue)];

/// What a check sends to say who asks.
const USER_AGENT: &str = "daypass-health";

/// Asks once; `None` if this node could not ask.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    check: &Check,
    forward: &Forward,
) -> Option<Result<(), Trouble>> {
    let asking = tokio::time::timeout(check.timeout, status(endpoint, check, forward));
    match asking.await.unwrap_or(Err(Some(Trouble::Late))) {
        Ok(status) if status.is_success() => Some(Ok(())),
        Ok(status) => Some(Err(Trouble::Status(status))),
        Err(why) => why.map(Err),
    }
}

async fn status(
    endpoint: &Endpoint,
    check: &Check,
    forward: &Forward,
) -> Result<StatusCode, Option<Trouble>> {
    let connected = connect(endpoint, check.timeout.min(forward.patience.connect)).await;
    let transport = connected.map_err(Unconnected::trouble)?;
    let target = format!("{}{}", endpoint.upstream.base_path, check.path);
    let answered = match endpoint.upstream.protocol {
        Protocol::Http1 => http1(transport, &endpoint.upstream, &target, &forward.headers).await,
        Protocol::Http2 => http2(transport, &endpoint.upstream, &target, &forward.headers).await,
    };
    answered.map_err(Some)
}

async fn http1(
    mut transport: Transport,
    upstream: &Upstream,
    target: &str,
    fields: &Fields,
) -> Result<StatusCode, Trouble> {
    let mut request = format!("GET {target} HTTP/1.1\r\n").into_bytes();
    request.add(b"host", upstream.authority.as_bytes());
    request.add(b"user-agent", USER_AGENT.as_bytes());
    request.add(b"connection", b"close");
    for (name, value) in fields {
        request.add(name.as_str().as_bytes(), value.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    transport.write_all(&request).await.map_err(|_| Trouble::Closed)?;
    transport.flush().await.map_err(|_| Trouble::Closed)?;
    let mut read = Vec::with_capacity(INBOX_BYTES);
    // Each turn reads more, up to the longest head there may be.
    loop {
        if let Some(status) = final_status(&read)? {
            return Ok(status);
        }
        if read.len() >= UPSTREAM_HEAD_BYTES_MAX {
            return Err(Trouble::Malformed);
        }
        match transport.read_buf(&mut read).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Trouble::Closed),
        }
    }
}

/// The status of the answer behind the interim ones, if its head is there.
fn final_status(read: &[u8]) -> Result<Option<StatusCode>, Trouble> {
    let mut rest = read;
    for _ in 0..=INTERIM_ANSWERS_MAX {
        let Some(length) = Scan::default().find_end(rest).map_err(|_| Trouble::Malformed)? else {
            return Ok(None);
        };
        let (head, behind) = rest.split_at_checked(length).ok_or(Trouble::Malformed)?;
        let head =
            ResponseHead::read(head, Asked::Other, FieldList::default()).map_err(|_| Trouble::Malformed)?;
        if head.status.as_u16() >= 200 {
            return Ok(Some(head.status));
        }
        rest = behind;
    }
    Err(Trouble::Malformed)
}

async fn http2(
    transport: Transport,
    upstream: &Upstream,
    target: &str,
    fields: &Fields,
) -> Result<StatusCode, Trouble> {
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(&*upstream.authority).path_and_query(target).build();
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri.map_err(|_| Trouble::Malformed)?;
    request.headers_mut().insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    request.headers_mut().extend(fields.iter().cloned());
    let mut builder = h2::client::Builder::new();
    builder.max_header_list_size(UPSTREAM_HEAD_BYTES_MAX as u32);
    let handshake = builder.handshake::<_, Bytes>(transport).await;
    let (sender, connection) = handshake.map_err(|why| trouble(&why))?;
    let asking = async {
        let mut sender = sender.ready().await?;
        let (response, _stream) = sender.send_request(request, true)?;
        response.await
    };
    tokio::select! {
        answered = asking => Ok(answered.map_err(|why| trouble(&why))?.status()),
        _ended = connection => Err(Trouble::Closed),
    }
}

fn trouble(why: &h2::Error) -> Trouble {
    if why.is_io() || why.is_remote() { Trouble::Closed } else { Trouble::Malformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_final_answer_counts() {
        let read = |text: &str| final_status(text.as_bytes());
        assert_eq!(read("HTTP/1.1 200 OK\r\n"), Ok(None));
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some(StatusCode::NO_CONTENT)));
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
        assert_eq!(read(interim), Ok(None));
        assert_eq!(
            read(&format!("{interim}HTTP/1.1 500 X\r\n\r\n")),
            Ok(Some(StatusCode::INTERNAL_SERVER_ERROR))
        );
        assert_eq!(read(&interim.repeat(INTERIM_ANSWERS_MAX + 1)), Err(Trouble::Malformed));
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Err(Trouble::Malformed));
    }
}
