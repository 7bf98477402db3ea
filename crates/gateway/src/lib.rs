//! The life of a proxied request, from the first byte of its head to the last byte of its answer.
//!
//! READ `pipeline` FIRST: one function, top to bottom, in which every request is authenticated, authorized,
//! limited, validated and recorded before one byte of it goes upstream.
//!
//! What is promised:
//! - Nothing is forwarded without an open journal entry, and every answer has a row in the journal; a flood of answers
//!   to nobody is counted there instead.
//! - The upstream sees the canonical request that was judged, rebuilt from its parts, never raw bytes and never
//!   a credential of Daypass.
//! - A stream that is already open ends when its grant does.
//!
//! One thread per core, each with its own runtime, listener, connections and upstream pools; nothing of a
//! request crosses threads but the batches of the journal.
//! Not here: how access changes (the binary hands in a [`Picture`]), the console.

mod alarm;
mod announced;
mod arrival;
mod balance;
mod body;
mod budget;
mod certificate;
mod check;
mod connect;
mod core;
mod cors;
mod descriptors;
mod endpoint;
mod failure;
mod fields;
mod forward;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod h1;
mod h2;
mod headers;
mod health;
mod join;
mod limits;
mod listen;
mod name;
mod outgoing;
mod pace;
mod peer;
mod pipeline;
mod record;
mod recordable;
mod respond;
mod send;
mod shared;
mod shown;
mod streams;
mod trace;
mod transport;
mod upstream;
mod watch;
mod websocket;

pub mod bounds;
pub mod clients;
pub mod connections;
pub mod gateway;
pub mod issued;
pub mod meter;
pub mod picture;
pub mod source;
pub mod tls;

pub use certificate::Validity;
pub use check::Check;
pub use cors::{Cors, Credentials, Origins};
pub use descriptors::clients_max;
pub use gateway::{Cut, Drained, Gateway, Options, StartError};
pub use meter::ApiMeter;
pub use picture::{Forward, Kept, Patience, Picture, Plan, Protocol, Reach, Unwell, Upstream, Views};
pub use streams::CutCounts;
