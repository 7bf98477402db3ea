//! A request as it arrived: borrowed views of its parts, read once, whatever protocol brought it.
//!
//! The gateway makes one from what its codec parsed; every decision works on this and on nothing else.

use std::net::IpAddr;

use crate::canonical::Target;
use crate::id::RequestId;
use crate::operation::Method;
use crate::time::Timestamp;

/// A request whose parts each have one reading.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Its id, made on arrival.
    pub id: RequestId,
    /// When its head was complete.
    pub at: Timestamp,
    /// Who is at the other end of the connection.
    pub client: IpAddr,
    /// Its method.
    pub method: Method,
    /// The host it asks for, port included, as sent.
    pub host: &'a str,
    /// What it asks for.
    pub target: Target<'a>,
    /// What it shows to say who asks.
    pub shown: Shown<'a>,
    /// How long its body is.
    pub body: BodyLength,
}

/// What stands in the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// No such header.
    Nothing,
    /// `Bearer` and this.
    Bearer(&'a [u8]),
    /// Another scheme.
    OtherScheme,
}

/// How long a body is, as far as its head tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Known(u64),
    /// Told only by its end.
    Unknown,
}
