//! Sessions over real sockets on loopback, with a sink that remembers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

mod harness;
mod limits;
mod sessions;
mod shutdown;
mod smuggling;
mod starttls;
