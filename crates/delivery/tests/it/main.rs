//! The SMTP client and the queue worker against servers on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; a panic is a failed test"
)]

mod client;
mod server;
mod sink;
mod worker;
mod world;
