//! A relay that adds a credential to requests of HTTP/2 in the clear, for a client that can show none, and the upstream
//! that answers them.
//!
//! Not here: header blocks that are padded or in several frames, which the cases that need it do not send.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

use crate::http;

/// The length of a client's preface (RFC 9113, section 3.4).
const PREFACE_BYTES: u64 = 24;
const HEADERS: u8 = 1;
/// The most that a length holds in its first byte (RFC 7541, section 5.1).
const SHORT_BYTES_MAX: usize = 126;

/// Relays connections to the port, each request with the token, until the process ends: where it listens.
pub(super) fn relay(port: u16, token: &str) -> Result<u16> {
    let field = field("authorization", &format!("Bearer {token}"));
    accept(0, move |near| add(near, port, &field))
}

/// Answers every request on the port with 200 until the process ends.
pub(super) fn upstream(port: u16) -> Result<()> {
    accept(port, |stream| {
        let (mut reader, mut stream) = (BufReader::new(stream.try_clone()?), stream);
        while http::read_head(&mut reader)?.is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
        Ok(())
    })
    .map(drop)
}

fn accept(port: u16, serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("the port is taken")?;
    let port = listener.local_addr().context("no address")?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // A connection that ends ends its case, which says so.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(port)
}

fn add(near: TcpStream, port: u16, field: &[u8]) -> io::Result<()> {
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut answers, mut back) = (far.try_clone()?, near.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut answers, &mut back));
        drop(back.shutdown(Shutdown::Write));
    });
    let mut near = BufReader::new(near);
    io::copy(&mut near.by_ref().take(PREFACE_BYTES), &mut far)?;
    loop {
        let mut head = [0; 9];
        near.read_exact(&mut head)?;
        let [a, b, c, kind, rest @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        near.read_exact(&mut payload)?;
        if kind == HEADERS {
            payload.extend_from_slice(field);
        }
        let [_, a, b, c] = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        far.write_all(&[&[a, b, c, kind], &rest[..], &payload].concat())?;
    }
}

/// A field that goes into no table (RFC 7541, section 6.2.3).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0x10];
    for text in [name, value] {
        let mut rest = text.len();
        let first = rest.min(SHORT_BYTES_MAX + 1);
        field.extend(u8::try_from(first));
        rest -= first;
        if first > SHORT_BYTES_MAX {
            while rest > 127 {
                field.extend(u8::try_from(rest % 128 + 128));
                rest /= 128;
            }
            field.extend(u8::try_from(rest));
        }
        field.extend_from_slice(text.as_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_spelled_as_integers_are() {
        assert_eq!(field("a", "bc"), b"\x10\x01a\x02bc");
        assert_eq!(field("", &"b".repeat(300))[..5], [0x10, 0, 127, 0xad, 1]);
    }
}
