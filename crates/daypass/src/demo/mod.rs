//! What `daypass demo` shows: so far, the real API that it protects.

pub mod orders;
