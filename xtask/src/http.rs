//! The least HTTP/1.1 that a driver needs: ask over a kept connection, and read heads.
//!
//! Bodies are framed by `Content-Length` or chunked; anything else ends the connection.
//! Not here: the handshake of TLS, redirects, pipelining.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The most that a head may hold, all lines together.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// The most that a body may hold.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// How long to wait for a byte.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// A message's first line and header fields.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The first field of this name, whatever its case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer. No body means that its head came and its body did not come whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Option<Vec<u8>>,
}

/// A connection to loopback, or to a socket, for one request after another.
pub(crate) struct Connection<S = TcpStream> {
    stream: BufReader<S>,
}

impl Connection<UnixStream> {
    fn local(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        Ok(Self::over(Self::stream(port)?))
    }

    /// A stream to loopback, set up as a connection wants it.
    pub(crate) fn stream(port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        Ok(stream)
    }
}

impl<S: Read + Write> Connection<S> {
    /// One that is open already, whatever it runs over.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request without a body and reads its answer. Fails when no whole head comes back.
    pub(crate) fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let body = read_body(&mut self.stream, &head).ok();
        Ok(Answer { status, head, body })
    }
}

/// One request to a socket of this machine.
pub(crate) fn get_local(socket: &Path, path: &str) -> io::Result<Answer> {
    Connection::local(socket)?.ask("GET", path, &[])
}

/// The next head, or nothing when the connection ended before its first byte.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut stream = stream.take(HEAD_BYTES_MAX);
    let Some(first) = read_line(&mut stream)? else {
        return Ok(None);
    };
    let mut fields = Vec::new();
    loop {
        let line = read_line(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some(Head { first, fields }));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let whole = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some(whole.to_owned()))
}

fn read_body(stream: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    if head.field("transfer-encoding").is_some() {
        return read_chunks(stream);
    }
    let length = head.field("content-length").and_then(|length| length.parse().ok());
    let mut body = Vec::new();
    read_exactly(stream, length.unwrap_or(0), &mut body)?;
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        read_exactly(stream, length, &mut body)?;
        read_line(stream)?; // the end of the chunk, or of the empty trailer section
        if length == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let read = stream.take(length).read_to_end(body)?;
    if read as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Option<String> {
        let mut stream = text.as_bytes();
        let head = read_head(&mut stream).unwrap().unwrap();
        read_body(&mut stream, &head).ok().map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn bodies_of_both_framings_are_read() {
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabcd").as_deref(), Some("abc"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(body(chunked).as_deref(), Some("abcde"));
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n").as_deref(), Some(""));
    }

    #[test]
    fn a_body_that_ends_early_is_no_body() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"), None);
    }

    #[test]
    fn a_head_that_ends_early_is_an_error_and_no_head_is_none() {
        assert!(read_head(&mut "".as_bytes()).unwrap().is_none());
        for text in [
            "HTTP/1.1 2",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            assert!(read_head(&mut text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
