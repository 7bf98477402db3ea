//! The PROXY protocol: what a believed proxy says at the start of a connection about who is behind it.
//!
//! Versions 1 and 2, read to their last byte and no further, whatever comes behind them. Only the source's address is
//! used. Not here: who is believed (see `source`).

use std::io::{Error, ErrorKind, Result};
use std::net::IpAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::bounds::PROXY_HEADER_BYTES_MAX;

/// How every header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of a header of version 2, up to what its length counts.
const START_BYTES: usize = 16;

/// Who is behind a proxy; `None` where it speaks for itself. Not bounded in time.
///
/// # Errors
/// The connection is gone, or does not begin with a header.
pub(crate) async fn announced(stream: &mut TcpStream) -> Result<Option<IpAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(START_BYTES, 0);
        stream.read_exact(header.get_mut(SIGNATURE.len()..).unwrap_or_default()).await?;
        let length = header.last_chunk().map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
        let whole = START_BYTES.saturating_add(length);
        if whole > PROXY_HEADER_BYTES_MAX {
            return Err(malformed());
        }
        header.resize(whole, 0);
        stream.read_exact(header.get_mut(START_BYTES..).unwrap_or_default()).await?;
    } else {
        // A line whose length nothing tells: byte by byte, so that nothing behind it is taken.
        while !header.ends_with(b"\r\n") {
            if header.len() >= PROXY_HEADER_BYTES_MAX || !header.starts_with(b"PROXY ") {
                return Err(malformed());
            }
            header.push(stream.read_u8().await?);
        }
    }
    source(&header)
}

fn source(header: &[u8]) -> Result<Option<IpAddr>> {
    Ok(match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(named) => Some(named.source_address.into()),
            v1::Addresses::Tcp6(named) => Some(IpAddr::from(named.source_address).to_canonical()),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => None,
        HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(named) => Some(named.source_address.into()),
            v2::Addresses::IPv6(named) => Some(IpAddr::from(named.source_address).to_canonical()),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return Err(malformed()),
    })
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "the connection does not begin with a PROXY header")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Who is announced by these bytes, and what is left of them.
    async fn read(bytes: &[u8]) -> (Result<Option<IpAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut near = listener.accept().await.unwrap().0;
        far.write_all(bytes).await.unwrap();
        drop(far);
        let announced = announced(&mut near).await;
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        (announced, rest)
    }

    fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn a_header_names_its_client_and_takes_nothing_behind_it() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 1, 0, 2, 0];
        let six = [&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets()[..], &[0; 20]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n".to_vec(), Some("203.0.113.7")),
            (b"PROXY TCP6 2001:db8::7 ::1 5000 443\r\n".to_vec(), Some("2001:db8::7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &four), Some("203.0.113.7")),
            // With a TLV behind the addresses.
            (version_2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat()), Some("203.0.113.7")),
            (version_2(0x21, 0x21, &six), Some("2001:db8::7")),
            (version_2(0x20, 0x00, &[]), None),
        ] {
            let (announced, rest) = read(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(announced.unwrap(), expected.map(|ip| ip.parse().unwrap()), "{header:?}");
            assert_eq!(rest, b"GET /", "{header:?}");
        }
    }

    #[tokio::test]
    async fn whatever_else_begins_a_connection_is_refused() {
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; PROXY_HEADER_BYTES_MAX]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"",
            b"PROXY TCP4 203.0.113.7",
            b"PROXY TCP4 nobody 10.0.0.1 5000 443\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\n\r\n",
            &version_2(0x31, 0x11, &[0; 12]),
            &version_2(0x21, 0x11, &[0; 4]),
            &long,
            &huge,
        ] {
            assert!(read(bytes).await.0.is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
