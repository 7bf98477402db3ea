//! What was asked, and what came of it: one append-only log per node, one writer.
//!
//! Before a request goes upstream its *intent* is in the log; when it ends, its *outcome* is. A request that
//! may not pass has one *refusal*. Changes of access and notes about the node itself stand between them. Each
//! record is one *leaf* of the log, numbered from 0 without gaps, and is never rewritten.
//!
//! What is promised:
//! - An [`OpenEntry`] exists only after its intent is durable as [`Durability`] says, and closing it cannot
//!   fail: its outcome's place is reserved. Dropped, it says `abandoned`; after a crash, recovery says `unknown`.
//! - A client that hangs up cannot stop the recording, and a failed write is never called durable.
//! - While the log cannot be written nothing is opened; refusals and changes are held within bounds and, beyond
//!   them, counted. The log becomes writable again without a restart.
//! - Requests and refusals without a subject have so many rows in a second, and beyond that are counted in notes.
//! - [`Reader`] works on the files alone, from any process, while the writer writes.
//!
//! Read [`lane`] for the path of one request, [`writer`] for group commit and failure, [`segment`] for the files.
//! Not here: signatures and the tree over the leaves, sealing, SQL.

pub mod disk;
pub mod health;
pub mod journal;
pub mod lane;
pub mod leaf;
pub mod open;
pub mod read;
pub mod record;
pub mod row;
pub mod search;
pub mod segment;
pub mod tail;
pub mod writer;

mod active;
mod budget;
mod codec;
mod collapsed;
mod estate;
mod flow;
mod frame;
mod group;
mod head;
mod log;
mod parcel;
mod recover;
mod relay;
mod scan;
mod slots;

pub use budget::Spent;
pub use disk::{Disk, DiskFile, RealDisk};
pub use health::{Health, Writable};
pub use journal::{Durability, Journal, NotHandedOver, OpenError, Options, Recovered};
pub use lane::Lane;
pub use leaf::{LeafHash, Receipt};
pub use open::{Closing, Ending, OpenEntry, Opening, Refusing, Unavailable};
pub use read::{Leaf, ReadError, Reader};
pub use record::{Change, Note, Outcome, OutcomeKind, Record, Refusal, Request, Statement};
pub use row::{ChangeRow, Decision, NoteRow, RequestRow, RowOutcome};
pub use search::{Filter, Order};
pub use tail::{Event, Tail};
