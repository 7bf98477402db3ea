//! HTTP/1.1, both sides: heads, framing, connections.
//!
//! A security proxy's framing is its product: one canonical reading of every message, or a refusal and the end of
//! its connection. What goes on is rebuilt from parsed parts, never the bytes that came.
//! Not here: HTTP/2 (see `h2`), what a request may do (see `pipeline`).

pub(crate) mod answer;
mod buffers;
pub(crate) mod client;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod wire;
