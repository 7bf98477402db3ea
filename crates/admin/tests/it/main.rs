//! The console over real HTTP, a real ledger and a real journal.

mod doors;
mod routes;
mod story;
mod world;
